"""One job by several engines: filter, exact deduplication and CLIP score of image-text pairs, on the same cores.

    python benchmarks/on_ray_peers.py [--rows 4000] [--workers 2] [--peers VENV] [--only NAME ...] [--folder DIR]

VENV has torch and open-clip-torch in our versions, daft, py-data-juicer, ray and duckdb (default: this environment, where what
is missing is left out). Pairs are made here: a noise JPEG of 160 x 120 each and a caption, 15 % of the pairs twice. Keep captions
of 30 characters and more and images of 200 and more (by their metadata), of equal captions the row of the lowest id, and score
what is left with open_clip's ViT-S-32-alt, random weights, fp32. Everything starts from one Parquet file and ends in Parquet,
start-up, imports, ours the import into a store, and all of every process included; each engine runs in a process tree of its own.
*bare* is DuckDB and a loop with no engine around it. Peers get the one batch size and one thread per worker; what they must be
told to run at all on so few cores is in `_peer_pairs.py`. The length of the caption is a column that they find ready. Scores of all must agree to 1e-5. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import Measurement, markdown, measure
from _peer_pairs import BATCH, FILTER, MODEL, PEERS, run

WORDS = [
    "a",
    "red",
    "old",
    "ship",
    "tree",
    "river",
    "the",
    "painting",
    "of",
    "dog",
    "mountain",
    "at",
    "night",
    "woman",
]


def prepare(folder: Path, rows: int) -> None:
    """pairs.parquet, the images and the weights."""
    import open_clip
    import torch
    from PIL import Image

    torch.manual_seed(0)
    torch.save(open_clip.create_model(MODEL, pretrained=None).state_dict(), folder / "model.pt")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    table: dict[str, list[object]] = {name: [] for name in ("id", "image", "caption", "width", "height")}
    for i in range(rows):
        if i and rng.random() < 0.15:
            again = int(rng.integers(i))
            pair = [table[name][again] for name in ("image", "caption", "width", "height")]
        else:
            path = folder / "images" / f"{i}.jpg"
            noise = rng.integers(0, 256, (30, 40, 3), np.uint8)
            Image.fromarray(noise).resize((160, 120)).save(path, quality=85)
            caption = f"{' '.join(rng.choice(WORDS, rng.integers(3, 12)))} {i}"
            pair = [str(path), caption, *map(int, rng.integers(64, 2048, 2))]
        for name, value in zip(table, [f"{i:08}", *pair], strict=True):
            table[name].append(value)
    made = pa.table(table)
    lengths = pa.array([len(str(caption)) for caption in table["caption"]])
    pq.write_table(made.append_column("length", lengths), folder / "pairs.parquet", row_group_size=512)


def ours(name: str, folder: Path, workers: int) -> None:
    """In the measured process: import, run the recipe, export."""
    import curate

    on, _, through = name.partition("-")[2].partition("-")
    if on == "local":  # on Ray the driver needs no torch
        import torch

        torch.set_num_threads(workers)
    shutil.rmtree(folder / "s.curate", ignore_errors=True)
    shutil.rmtree(folder / name, ignore_errors=True)
    clip = {"model": MODEL, "pretrained": str(folder / "model.pt"), "device": "cpu", "batch_size": BATCH}
    steps = [
        {"keep": FILTER},
        {"score": "exact-duplicate", "with": {"columns": ["caption"]}},
        {"keep": "NOT exact_duplicate", "as": "distinct"},
        {"score": "clip-score", "with": clip},
    ]
    with curate.open(folder / "s.curate", create=True) as store:
        store.add(folder / "pairs.parquet", kind="image-text", id="id", check="none", part_rows=512)
        url = str(folder / "published") if through else None
        shutil.rmtree(folder / "published", ignore_errors=True)
        store.run({"steps": steps}, on=on, workers=workers, through=url)
        found = store.selections["distinct"].items.to_arrow(["id", "caption", "clip_score"])
    (folder / name).mkdir()
    pq.write_table(found, folder / name / "0.parquet")


def result(folder: Path, name: str) -> dict[str, tuple[str, float]]:
    """Caption -> (id, score)."""
    files = sorted((folder / name).rglob("*.parquet"))
    table = pa.concat_tables(
        [pq.read_table(file) for file in files if file.is_file()], promote_options="permissive"
    )
    captions = table["caption"] if "caption" in table.column_names else table["text"]
    rows = zip(captions.to_pylist(), table["id"].to_pylist(), table["clip_score"].to_pylist(), strict=True)
    return {caption: (id_, score) for caption, id_, score in rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers", type=Path, help="a virtual environment")
    parser.add_argument(
        "--only", nargs="+", default=["curate-local", "curate-ray", "curate-ray-through", *PEERS]
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        (ours if asked.one.startswith("curate") else run)(asked.one, asked.folder, asked.workers)
        print(json.dumps({"done": asked.one}))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        if not (folder / "pairs.parquet").exists():
            folder.mkdir(exist_ok=True)
            prepare(folder, asked.rows)
        compare(folder, asked)


def compare(folder: Path, asked: argparse.Namespace) -> None:
    """Run each engine once, and tell what it took and whether it agrees with the first."""
    peers = str(asked.peers.absolute() / "bin" / "python") if asked.peers else sys.executable
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment |= {
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "DAFT_PROGRESS_BAR": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    truth: dict[str, tuple[str, float]] = {}
    table, left_out = [], []
    for name in asked.only:
        python = sys.executable if name.startswith("curate") else peers
        command = [python, __file__, "--one", name, "--folder", str(folder), "--workers", str(asked.workers)]
        try:
            taken = measure(command, asked.timeout, **environment)
        except (RuntimeError, TimeoutError) as error:
            left_out.append(f"{name}: {str(error).strip().splitlines()[-1][:300]}")
            print(f"{name}: {error}", file=sys.stderr)
            continue
        found = result(folder, name)
        truth = truth or found
        table.append(_row(name, taken, found, truth))
        print(table[-1], file=sys.stderr)
    rows = pq.read_metadata(folder / "pairs.parquet").num_rows
    print(f"{rows:,} pairs, {len(truth):,} scored, {asked.workers} workers\n")
    header = ("engine", "wall s", "CPU s", "rows in per CPU s", "scored per CPU s", "PSS MB", "agrees")
    print(markdown(header, [[n, w, c, f"{rows / float(c):.1f}", *rest] for n, w, c, *rest in table]))
    for line in left_out:
        print(f"\nLeft out: {line}")


def _row(
    name: str, taken: Measurement, found: dict[str, tuple[str, float]], truth: dict[str, tuple[str, float]]
) -> tuple[str, ...]:
    same = found.keys() == truth.keys()
    gap = max(abs(found[c][1] - truth[c][1]) for c in truth) if same else np.inf
    ids = sum(found[c][0] == truth[c][0] for c in truth) if same else 0
    verdict = (
        f"{gap:.0e}" + ("" if ids == len(truth) else f", other ids for {len(truth) - ids}") if same else "NO"
    )
    rate = f"{len(found) / taken.cpu:.1f}"
    return name, f"{taken.wall:.1f}", f"{taken.cpu:.1f}", rate, f"{taken.pss:.0f}", verdict


if __name__ == "__main__":
    main()
