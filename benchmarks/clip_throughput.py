"""CLIP scoring from files against the bare model: how busy does it keep ViT-B-32?

    python benchmarks/clip_throughput.py IMAGES.zip [--pairs 192] [--rounds 4] [--threads 1] [--precision fp32]

IMAGES.zip holds JPEGs (flickr8k_1k), which are brought to 640 x 480 at quality 90: the size photos have in such sets.
Random weights: what the model knows does not matter here. In one process, round by round and in turn: *model*,
open_clip's own forward of both towers on tensors and tokens that lie ready, in batches of the same size; *model, texts
unpadded*, the same with the texts shortened as ours shortens them; and *ours*, `store.score("clip-score")` of the same
pairs from the files, with opening, decoding, resizing, tokenising, checks and the durable write of the scores. Prints
Markdown: pairs by the medians over the rounds of wall seconds (which show the overlap) and of CPU seconds of all threads
(which show the work).
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from _measure import markdown
from PIL import Image

import curate

if TYPE_CHECKING:
    from curate.scorers.embedding.clip_model import ClipModel

MODEL = "ViT-B-32"
WORDS = "a red green blue car dog cat man woman on the street left of two with under tree house boat guitar".split()  # noqa: SIM905


def prepare(archive: Path, folder: Path, pairs: int) -> list[dict[str, str]]:
    """Rows of distinct JPEG files and captions of 6 to 16 words."""
    rng = np.random.default_rng(0)
    rows = []
    with zipfile.ZipFile(archive) as images:
        names = sorted(name for name in images.namelist() if name.lower().endswith(".jpg"))
        for i in range(pairs):
            path = folder / f"{i}.jpg"
            photo = Image.open(io.BytesIO(images.read(names[i % len(names)]))).convert("RGB")
            photo.resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)
            text = " ".join(rng.choice(WORDS, rng.integers(6, 17)))
            rows.append({"id": str(i), "image": str(path), "caption": text})
    return rows


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall seconds, CPU seconds of all threads, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def alone(
    model: ClipModel, pixels: Any, tokens: Any, given: argparse.Namespace, *, short: bool = False
) -> Any:
    """Cosines by the two towers: nothing is read, decoded or written. `short`: texts of a length together, unpadded."""
    import torch

    places = (tokens != 0).sum(1).argsort() if short else torch.arange(len(tokens))
    texts = torch.empty(len(tokens), model.dim)
    images = torch.empty(len(pixels), model.dim)
    with torch.inference_mode():
        for rows in torch.arange(len(pixels)).split(given.batch):
            images[rows] = model.model.encode_image(pixels[rows[0] : rows[-1] + 1], normalize=True).float()
        for rows in places.split(given.batch):
            tower = model.read_texts if short else model.model.encode_text
            texts[rows] = torch.nn.functional.normalize(tower(tokens[rows]).float(), dim=-1)
        return (images * texts).sum(1).numpy()


def scored(rows: list[dict[str, str]], path: Path, given: argparse.Namespace) -> tuple[float, float, Any]:
    """What the step `score` takes, and the scores in the order of the rows."""
    how = {"model": MODEL, "pretrained": None, "device": "cpu"}
    how |= {"precision": given.precision, "batch_size": given.batch}
    with curate.open(path, create=True) as store:
        store.add(pl.DataFrame(rows), kind="image-text", check="none")
        wall, cpu, _ = timed(lambda: store.score("clip-score", **how))
        table = store.items.to_arrow(["id", "clip_score"]).to_pydict()
    found = dict(zip(table["id"], table["clip_score"], strict=True))
    return wall, cpu, np.array([found[row["id"]] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("--pairs", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()

    import torch

    from curate.scorers.embedding.clip_model import load_clip

    torch.set_num_threads(given.threads)
    model = load_clip(MODEL, None, "cpu", given.precision)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = prepare(given.images, folder, given.pairs)
        ready = [model.prepare(Image.open(row["image"]).convert("RGB")) for row in rows]
        pixels = torch.stack(ready).to(model.dtype)
        tokens = model.tokenise([row["caption"] for row in rows])
        alone(
            model, pixels[: given.batch], tokens[: given.batch], given
        )  # the first batch pays for allocations
        found: dict[str, list[tuple[float, float, Any]]] = {}
        for turn in range(given.rounds):
            for way, short in (("model", False), ("model, texts unpadded", True)):
                run = timed(lambda short=short: alone(model, pixels, tokens, given, short=short))
                found.setdefault(way, []).append(run)
            found.setdefault("ours", []).append(scored(rows, folder / f"{turn}.curate", given))
    table = []
    wall, cpu = ({way: median(run[i] for run in runs) for way, runs in found.items()} for i in (0, 1))
    for way in found:
        shares = [f"{base[ref] / base[way]:.0%}" for base in (wall, cpu) for ref in list(found)[:2]]
        table.append(
            (way, f"{given.pairs / wall[way]:.1f}", *shares[:2], f"{given.pairs / cpu[way]:.1f}", *shares[2:])
        )
    of = ("of the model", "of it unpadded")
    print(markdown(("way", "pairs a second", *of, "pairs a CPU second", *of), table))
    gap = np.abs(found["ours"][0][2] - found["model"][0][2]).max()
    print(f"\n{given.threads} thread(s), {given.precision}; scores differ by at most {gap:.1e}.")


if __name__ == "__main__":
    main()
