"""What running on Ray costs on one machine: the same scoring step by the local runner and by Ray, in turn.

    python benchmarks/on_ray.py [--images 12000] [--workers 2] [--repeats 2]

Noise JPEGs of 512 x 384 (made here), scored by `image-basics`, which decodes each in full. Each run is a process of its own
with its own copy of the store, start-up of the cluster included. The scores must be the same bytes. Prints Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _measure import measure
from PIL import Image


def prepare(folder: Path, images: int, kinds: int = 64) -> None:
    """A store of so many images, each a link to one of a few files."""
    import curate

    rng = np.random.default_rng(0)
    for kind in range(kinds):
        noise = rng.integers(0, 256, (96, 128, 3), np.uint8)
        Image.fromarray(noise).resize((512, 384)).save(folder / f"{kind}.jpg", quality=90)
    paths = [str(folder / f"{i % kinds}.jpg") for i in range(images)]
    table = {"id": [f"{i:06}" for i in range(images)], "image": paths, "caption": ["noise"] * images}
    import pyarrow as pa

    with curate.open(folder / "s.curate", create=True) as store:
        store.add(pa.table(table), kind="image-text", part_rows=max(64, images // 48))


def run(on: str, workers: int, store: Path) -> None:
    """In the measured process."""
    import curate

    start = time.perf_counter()
    recipe = {"steps": [{"score": "image-basics"}]}
    with curate.open(store) as opened:
        done = opened.run(recipe, on=on, workers=workers)
        seconds = time.perf_counter() - start
        parts = opened.parts.snapshot().aligned
        made = sorted(part.blake3 for (_, _), files in sorted(parts.items()) for part in files)
    step = done.steps[0]
    digest = hashlib.sha256("".join(made).encode()).hexdigest()[:12]
    print(
        json.dumps({"seconds": seconds, "rows": step.counts["scored"], "digest": digest, "times": step.times})
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--one", nargs=2, metavar=("ON", "STORE"))
    asked = parser.parse_args()
    if asked.one:
        run(asked.one[0], asked.workers, Path(asked.one[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, asked.images)
        found: dict[str, list[object]] = {"local": [], "ray": []}
        for repeat in range(asked.repeats):
            for on in found:
                store = folder / f"{on}-{repeat}.curate"
                shutil.copytree(folder / "s.curate", store)
                command = [sys.executable, __file__, "--workers", str(asked.workers), "--one", on, str(store)]
                found[on].append(measure(command))
    print(f"{asked.images:,} images, {asked.workers} workers\n")
    print(
        "| runner | wall s | of local | CPU s | of local | PSS MB | scores |\n|---|---|---|---|---|---|---|"
    )
    wall = {on: statistics.median(m.result["seconds"] for m in ms) for on, ms in found.items()}
    cpu = {on: statistics.median(m.cpu for m in ms) for on, ms in found.items()}
    for on, runs in found.items():
        print(
            f"| {on} | {wall[on]:.1f} | {wall[on] / wall['local']:.2f} x | {cpu[on]:.1f} | {cpu[on] / cpu['local']:.2f} x "
            f"| {max(m.pss for m in runs):.0f} | {', '.join(sorted({m.result['digest'] for m in runs}))} |"
        )


if __name__ == "__main__":
    main()
