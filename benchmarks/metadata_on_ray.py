"""A metadata recipe on millions of rows, here and on Ray: filter, exact deduplication by caption, top 30 % by a sum of scores.

    python benchmarks/metadata_on_ray.py [--rows 1000000] [--workers 2] [--folder DIR] [--on local ray]

The store is that of `metadata.py`: 6 columns and five score columns, parts of 8,192 rows. Each run is a process tree of its own
over a copy of the catalog's folder with the same parts, start-up of the cluster included; memory is the peak over the tree. The
selections must be the same. Prints Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import metadata
from _measure import markdown, measure

STEPS = [
    {"keep": metadata.FILTER, "as": "filtered"},
    {"score": "exact-duplicate", "with": {"columns": ["caption"]}},
    {"keep": "NOT exact_duplicate", "as": "distinct"},
    {"select": "top", "with": {"by": metadata.SUM}, "budget": "30%", "as": "best"},
]


def prepare(folder: Path, rows: int) -> None:
    """The store alone, without what `metadata.py` makes for its peers."""
    import duckdb

    con = duckdb.connect()
    metadata.view_rows(con, rows)
    scores = ", ".join(f"(hash(id, 1{k}) % 1000003 / 1000003.0)::FLOAT AS s{k}" for k in range(5))
    con.execute(f"COPY (SELECT *, {scores} FROM made) TO '{folder}/wide.parquet' (COMPRESSION zstd)")
    metadata.fill_store(folder)
    (folder / "wide.parquet").unlink()


def run(on: str, workers: int, store: Path) -> None:
    """In the measured process."""
    import curate

    start = time.perf_counter()
    with curate.open(store) as opened:
        done = opened.run({"steps": STEPS}, on=on, workers=workers)
        seconds = time.perf_counter() - start
        chosen = opened.parts.selection_table("best")
        digest = hashlib.sha256(chosen["seq"].to_numpy().tobytes() + chosen["rank"].to_numpy().tobytes())
    steps = {step.title: round(step.seconds, 1) for step in done.steps}
    found = {"seconds": seconds, "chosen": len(chosen), "digest": digest.hexdigest()[:12], "steps": steps}
    print(json.dumps(found))


def copied(source: Path, target: Path) -> Path:
    """The store again, its parts linked: they never change."""
    return Path(
        shutil.copytree(
            source, target, copy_function=lambda a, b: os.link(a, b) if "parts" in a else shutil.copy2(a, b)
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--on", nargs="+", default=["local", "ray"])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        run(asked.one[0], asked.workers, Path(asked.one[1]))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        if not (folder / "store" / "STORE.json").exists():
            folder.mkdir(exist_ok=True)
            prepare(folder, asked.rows)
        table = []
        for on in asked.on:
            store = copied(folder / "store", folder / f"{on}.curate")
            taken = measure(
                [sys.executable, __file__, "--workers", str(asked.workers), "--one", on, str(store)]
            )
            shutil.rmtree(store)
            found = taken.result
            row = (
                on,
                f"{taken.wall:.0f}",
                f"{taken.cpu:.1f}",
                f"{taken.pss:.0f}",
                f"{found['chosen']:,}",
                found["digest"],
            )
            table.append(row)
            print(on, found["steps"], file=sys.stderr)
    print(f"{asked.rows:,} rows, {asked.workers} workers\n")
    print(markdown(("on", "wall s", "CPU s", "PSS MB", "chosen", "selection"), table))


if __name__ == "__main__":
    main()
