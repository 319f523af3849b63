"""CLIP scoring of a million pairs: memory, and what a kill costs.

    python benchmarks/clip_memory.py [--rows 100000 1000000] [--distinct 2000] [--killed 100000] [--folder DIR]

Small pictures lie in one file and are addressed by byte range, each by many rows; the model is a CLIP of two layers and 32
pixels with random weights, so that a million rows take minutes and what is measured is the path around the model: reading
the store, opening, decoding, batches, tokens, answers, parts. Each step runs in a process of its own. Then scoring of
`killed` rows is killed (SIGKILL) half-way and run again: nothing that was committed is done twice, and the scores are those
of a run that nobody killed. Prints Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from _measure import markdown, measure
from PIL import Image

import curate

SIZE = 32
WORDS = "a red green blue car dog cat man woman on the street left of two with under tree house boat guitar".split()  # noqa: SIM905
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESS = {"size": [SIZE, SIZE], "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}


def prepare(folder: Path, distinct: int) -> None:
    """A model in a folder, pictures in one file, and rows by the thousand to draw from."""
    import open_clip
    import torch

    model = folder / "model"
    model.mkdir()
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**CONFIG).state_dict(), model / "open_clip_pytorch_model.bin")
    told = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (model / "open_clip_config.json").write_text(json.dumps(told))
    rng = np.random.default_rng(0)
    shard, places = io.BytesIO(), []
    for _ in range(distinct):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        start = shard.tell()
        Image.fromarray(coarse).resize((64, 48)).save(shard, "JPEG")
        places.append(f"{folder / 'shard.bin'}#bytes={start},{shard.tell() - start}")
    (folder / "shard.bin").write_bytes(shard.getvalue())
    texts = [" ".join(rng.choice(WORDS, rng.integers(6, 17))) for _ in range(distinct)]
    (folder / "drawn.json").write_text(json.dumps([places, texts]))


def write_rows(folder: Path, rows: int) -> Path:
    """`rows` pairs as Parquet, pictures and texts drawn at random."""
    path = folder / f"{rows}.parquet"
    places, texts = (pl.Series(values) for values in json.loads((folder / "drawn.json").read_text()))
    rng = np.random.default_rng(rows)
    drawn = rng.integers(0, len(places), (2, rows))
    table = {"id": np.arange(rows), "image": places.gather(drawn[0]), "caption": texts.gather(drawn[1])}
    pl.DataFrame(table).with_columns(pl.col("id").cast(pl.String)).write_parquet(path)
    return path


def add(folder: Path, rows: int, name: str) -> dict[str, Any]:
    """Import the rows."""
    with curate.open(folder / name, create=True) as store:
        store.add(folder / f"{rows}.parquet", kind="image-text", check="none")
        return {"rows": len(store)}


def score(folder: Path, name: str) -> dict[str, Any]:
    """Score what is not scored yet."""
    import torch

    torch.set_num_threads(1)
    with curate.open(folder / name) as store:
        wall, cpu = time.perf_counter(), time.process_time()
        done = store.score("clip-score", model=f"local-dir:{folder / 'model'}", device="cpu", batch_size=256)
        used = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        return {**used, "computed": done.computed}


def check(folder: Path, name: str) -> dict[str, Any]:
    """How many rows have a score, and a digest of all scores by id."""
    with curate.open(folder / name) as store:
        table = store.items.to_polars(["id", "clip_score"]).sort("id")
    known = int(table["clip_score"].is_not_null().sum())
    return {
        "scored": known,
        "digest": hashlib.sha256(table["clip_score"].to_numpy().tobytes()).hexdigest()[:16],
    }


def own(folder: Path, *words: str) -> list[str]:
    return [sys.executable, __file__, "--folder", str(folder), "--do", *words]


def kill_half_way(folder: Path, name: str, rows: int) -> int:
    """Start scoring, kill it when about half of the rows are committed, and say how many were."""
    worker = subprocess.Popen(
        own(folder, "score", name), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with curate.open(folder / name) as store:

        def committed() -> int:
            return (
                len(store.items.where("clip_score is not null")) if "clip_score" in store.items.columns else 0
            )

        while committed() < rows // 2:
            if worker.poll() is not None:
                raise RuntimeError("scoring ended before it was killed: ask for more --killed rows")
            time.sleep(0.2)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        return committed()


def run(given: argparse.Namespace, folder: Path) -> None:
    prepare(folder, given.distinct)
    table = []
    for rows in given.rows:
        write_rows(folder, rows)
        name = f"{rows}.curate"
        made, found = measure(own(folder, "add", str(rows), name)), measure(own(folder, "score", name))
        told = found.result
        speed = f"{rows / told['cpu']:,.0f}"
        table.append((f"{rows:,}", f"{made.pss:.0f}", f"{found.pss:.0f}", f"{told['cpu']:.0f}", speed))
        print(
            markdown(("rows", "MB, import", "MB, score", "CPU s, score", "rows a CPU second"), table),
            flush=True,
        )
    rows, name = given.killed, "killed.curate"
    write_rows(folder, rows)
    for one in (name, "whole.curate"):
        measure(own(folder, "add", str(rows), one))
    kept = kill_half_way(folder, name, rows)
    again, whole = (
        measure(own(folder, "score", name)).result,
        measure(own(folder, "score", "whole.curate")).result,
    )
    first, second = (measure(own(folder, "check", one)).result for one in (name, "whole.curate"))
    print(
        f"\nKilled with {kept:,} of {rows:,} rows committed; the next run did {again['computed']:,} in {again['cpu']:.0f} CPU "
        f"seconds (all {rows:,}: {whole['cpu']:.0f}). Scored {first['scored']:,}; scores equal to the whole run's: {first == second}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--distinct", type=int, default=2000)
    parser.add_argument("--killed", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--do", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.do:
        task, *words = given.do
        if task == "add":
            print(json.dumps(add(given.folder, int(words[0]), words[1])))
        else:
            print(json.dumps({"score": score, "check": check}[task](given.folder, words[0])))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        run(given, Path(name))


if __name__ == "__main__":
    main()
