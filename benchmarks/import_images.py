"""Importing small images, decoded and hashed, beside a bare Pillow loop: images per CPU-second.

    python benchmarks/import_images.py FOLDER_OR_ZIP... [--repeat 3] [--markdown FILE]

Give it the CIFAR archives (25,000 JPEGs of 32 x 32) or any folder of images. Each measurement runs in a process of its
own, with its libraries imported and the files listed before the clock starts; CPU-seconds count worker processes and
their start; medians of `--repeat` runs. Roofline:
decoding these JPEGs in libjpeg is what the bare loop does and little else, so its rate is the ceiling for one core.

    bare      Image.open(path).load()                                     what a script would do
    sha256    the same from bytes that were read and hashed               the least an import with identity can do
    threads   ours in two threads of one process                          shows why processes are used
    inline    ours without worker processes                               limits and error codes, no protection
    probe     ours: worker processes with memory and time limits          what `import` uses
    import    the whole import into a new store: list, probe, hash rows, write parts durably, commit
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from PIL import Image

import curate
from curate.media import DEFAULT, pool, probe
from curate.media.worker import examine

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def list_images(folder: str) -> list[str]:
    """All images under a folder, sorted."""
    return sorted(str(path) for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)


def bare(paths: list[str]) -> int:
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return len(paths)


def sha256(paths: list[str]) -> int:
    for path in paths:
        with open(path, "rb") as file:  # noqa: PTH123  (a third faster than Path.read_bytes: be fair to the peer)
            data = file.read()
        hashlib.sha256(data).digest()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    return len(paths)


def threads(paths: list[str]) -> int:
    pieces = [paths[at : at + 256] for at in range(0, len(paths), 256)]
    with ThreadPoolExecutor(2) as workers:
        list(
            workers.map(
                lambda piece: examine(piece, "image", "decode", DEFAULT, enter=lambda index: None), pieces
            )
        )
    return len(paths)


def inline(paths: list[str]) -> int:
    return _count(probe(pa.array(paths), "image", "decode", workers=0))


def processes(paths: list[str]) -> int:
    return _count(probe(pa.array(paths), "image", "decode"))


def _count(table: pa.Table) -> int:
    assert table["code"].null_count == table.num_rows
    return int(table.num_rows)


def import_(paths: list[str]) -> int:
    with tempfile.TemporaryDirectory() as place:
        store = curate.open(Path(place) / "images.curate", create=True)
        store.add(os.path.commonpath(paths), kind="label")
        return len(store.items)


WAYS: dict[str, Callable[[list[str]], int]] = {
    "bare": bare,
    "sha256": sha256,
    "threads": threads,
    "inline": inline,
    "probe": processes,
    "import": import_,
}


def measure(way: str, folder: str) -> None:
    """Run one way in this process and print what it took as JSON."""
    paths = list_images(folder)
    before, started = _cpu(), time.perf_counter()
    count = WAYS[way](paths)
    wall = time.perf_counter() - started
    pool._close_all()  # workers count only once they have ended
    cpu = _cpu() - before
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"count": count, "wall": wall, "cpu": cpu, "mb": mb}))


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def compare(folder: str, repeat: int) -> str:
    """The table, as Markdown."""
    rows = [
        "| way | images | wall s | CPU s | images / CPU-s | of bare | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    base = 0.0
    for way in WAYS:
        runs = []
        for _ in range(repeat):
            command = [sys.executable, __file__, "--measure", way, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        wall, cpu, mb = (statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "mb"))
        rate = runs[0]["count"] / cpu
        base = base or rate
        rows.append(
            f"| {way} | {runs[0]['count']} | {wall:.2f} | {cpu:.2f} | {rate:,.0f} | {rate / base:.0%} | {mb:.0f} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+", help="folders, or zip archives of images")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--markdown", help="append the table to this file")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.sources[0])
        return
    with tempfile.TemporaryDirectory() as place:
        for source in options.sources:
            if source.endswith(".zip"):
                with zipfile.ZipFile(source) as archive:
                    archive.extractall(place)
            else:
                (Path(place) / Path(source).name).symlink_to(Path(source).resolve())
        folder = place if any(source.endswith(".zip") for source in options.sources) else options.sources[0]
        table = compare(str(folder), options.repeat)
    print(table)
    if options.markdown:
        with Path(options.markdown).open("a", encoding="utf-8") as out:
            out.write(table + "\n")


if __name__ == "__main__":
    main()
