"""FGA-BLIP2 from files: how near to the model alone, beside one pair at a time as the authors' evaluator goes.

    python benchmarks/fga_blip2.py [--pairs 64]

A BLIP-2 of random weights and middling size on a CPU; what it knows does not matter here. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import measure
from PIL import Image

WORDS = "a red green blue car dog cat man woman on the street left of two with under tree house boat guitar".split()  # noqa: SIM905
WAYS = ("model", "ours", "ours-shared", "one-by-one", "one-by-one-shared")


def prepare(folder: Path, pairs: int) -> None:
    """A model, pictures of 640 x 480, and captions of 8 to 16 words."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Blip2Config(
        vision_config={
            "hidden_size": 384,
            "intermediate_size": 1536,
            "num_hidden_layers": 10,
            "num_attention_heads": 6,
            "image_size": 224,
            "patch_size": 14,
            "initializer_range": 0.02,
        },
        qformer_config={
            "vocab_size": 64,
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "use_qformer_text_input": True,
        },
    )
    transformers.Blip2ForImageTextRetrieval(config).save_pretrained(folder / "model")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    transformers.BertTokenizer(vocab={w: i for i, w in enumerate([*special, *WORDS])}).save_pretrained(
        folder / "model"
    )
    rng = np.random.default_rng(0)
    for i in range(pairs):
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((640, 480)).save(folder / f"{i}.jpg")
    texts = [" ".join(rng.choice(WORDS, rng.integers(8, 17))) for _ in range(pairs)]
    (folder / "texts.json").write_text(json.dumps(texts))


def run(way: str, folder: Path) -> dict[str, Any]:
    """One way, in this process: seconds of scoring alone, and the scores."""
    import time

    import torch

    from curate.scorers.alignment import FgaBlip2

    texts = json.loads((folder / "texts.json").read_text())
    images = [str(folder / f"{i // 4 if way.endswith('shared') else i}.jpg") for i in range(len(texts))]
    scorer = FgaBlip2(model=str(folder / "model"), device="cpu")
    model = scorer.load()
    ready = None
    if way == "model":
        from curate.scorers.alignment.fga.pictures import open_picture, prepare_picture

        ready = torch.from_numpy(np.stack([prepare_picture(open_picture(one), 224) for one in images]))
    wall, cpu = time.perf_counter(), time.process_time()
    scores = {
        "model": lambda: alone(model, ready, texts),
        "ours": lambda: scorer.score_pairs(images, texts).overall.tolist(),
        "one-by-one": lambda: one_by_one(folder, model, images, texts),
    }[way.removesuffix("-shared")]()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "scores": scores}


def alone(model: Any, pixels: Any, texts: list[str]) -> list[float]:
    """The network on tensors that lie ready: what no scorer can beat."""
    import torch

    scores: list[float] = []
    with torch.inference_mode():
        for low in range(0, len(texts), 16):
            ids, mask = model.pad([model.encode(text) for text in texts[low : low + 16]])
            out = model.match(model.see(pixels[low : low + 16]), ids, mask)
            scores += (1 + 4 * out.queries.mean(1)).tolist()
    return scores


def one_by_one(folder: Path, model: Any, images: list[str], texts: list[str]) -> list[float]:
    """transformers' own forward, tokenizer and image processor, a pair at a time."""
    import torch
    import transformers

    look = transformers.BlipImageProcessor(size={"height": 224, "width": 224})
    scores = []
    with torch.inference_mode():
        for image, text in zip(images, texts, strict=True):
            pixels = look(Image.open(image).convert("RGB"), return_tensors="pt")["pixel_values"]
            words = model.tokenizer(text, return_tensors="pt")
            out = model.net(
                pixel_values=pixels,
                input_ids=words["input_ids"],
                attention_mask=words["attention_mask"],
                use_image_text_matching_head=True,
                return_dict=True,
            )
            states = out.text_model_output.last_hidden_state
            scores.append(1 + 4 * float(model.net.itm_head(states)[0, :32].softmax(-1)[:, 1].mean()))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(run(given.way, given.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, given.pairs)
        command = [sys.executable, __file__, "--folder", name, "--way"]
        found = {way: measure([*command, way]) for way in WAYS}
    print(
        "| way | CPU s | wall s | pairs a CPU second | of the model alone | peak MB |\n|---|---|---|---|---|---|"
    )
    best = found["model"].result["cpu"]
    for way in WAYS:
        m = found[way].result
        print(
            f"| {way} | {m['cpu']:.1f} | {m['wall']:.1f} | {given.pairs / m['cpu']:.1f} | {best / m['cpu']:.0%} "
            f"| {found[way].pss:.0f} |"
        )
    for a, b in (("ours", "one-by-one"), ("ours-shared", "one-by-one-shared")):
        gap = np.abs(np.array(found[a].result["scores"]) - found[b].result["scores"]).max()
        print(f"\n{a} and {b} differ by at most {gap:.1e}.")


if __name__ == "__main__":
    main()
