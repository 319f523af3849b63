"""FGA-BLIP2 at its authors' size, with random weights, on a GPU: pairs a second from files, beside the network alone.

    python benchmarks/fga_on_gpu.py [--pairs 512] [--batch 64]

ViT-g/14 at 364 x 364 (39 layers of 1,408) and a Q-Former of 12 layers of 768, in bfloat16. What it knows does not matter
here. Also: projecting 16 gradients of 134M parameters (LoRA of rank 128 on a model of 7B) to 8,192 on that GPU. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

WORDS = "a red green blue car dog cat man woman on the street left of two with under tree house boat guitar".split()  # noqa: SIM905
SIZE = 364


def prepare(folder: Path, pairs: int) -> tuple[list[str], list[str]]:
    """The model, saved; JPEGs of 640 x 480; captions of 8 to 16 words."""
    import transformers

    torch.manual_seed(0)
    vision = {
        "hidden_size": 1408,
        "intermediate_size": 6144,
        "num_hidden_layers": 39,
        "num_attention_heads": 16,
        "image_size": SIZE,
        "patch_size": 14,
        "initializer_range": 0.02,
    }
    words = {"vocab_size": 30523, "encoder_hidden_size": 1408, "use_qformer_text_input": True}
    with torch.device("cuda"):
        net = transformers.Blip2ForImageTextRetrieval(
            transformers.Blip2Config(vision_config=vision, qformer_config=words, num_query_tokens=32)
        )
    net.to(torch.bfloat16).save_pretrained(folder / "model")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(folder / "model")
    rng = np.random.default_rng(0)
    for i in range(pairs):
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((640, 480)).save(folder / f"{i}.jpg")
    texts = [" ".join(rng.choice(WORDS, rng.integers(8, 17))) for _ in range(pairs)]
    return [str(folder / f"{i}.jpg") for i in range(pairs)], texts


def alone(model: Any, texts: list[str], batch: int) -> float:
    """Seconds of the network on tensors that lie on the GPU: what no scorer can beat."""
    pixels = torch.randn(batch, 3, SIZE, SIZE, device="cuda")
    with torch.inference_mode():
        for timed in (False, True):
            torch.cuda.synchronize()
            start = time.perf_counter()
            for low in range(0, len(texts), batch):
                ids, mask = model.pad([model.encode(text) for text in texts[low : low + batch]])
                model.match(model.see(pixels[: len(ids)]), ids, mask)
                if not timed:
                    break
            torch.cuda.synchronize()
    return time.perf_counter() - start


def projecting(rows: int = 16, parameters: int = 134_217_728, dim: int = 8192) -> list[tuple[str, float]]:
    from curate.scorers.influence.projection import project

    found = []
    gradients = torch.randn(rows, parameters, device="cuda", dtype=torch.bfloat16)
    for _ in range(2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        project(gradients, dim)
        torch.cuda.synchronize()
        found = [("count-sketch", time.perf_counter() - start)]
    small = gradients[:, : parameters // 64]
    for _ in range(2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        project(small, dim, kind="rademacher")
        torch.cuda.synchronize()
    return [*found, ("rademacher, of 2.1M parameters", time.perf_counter() - start)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    asked = parser.parse_args()
    from curate.scorers.alignment import FgaBlip2

    print(f"{torch.cuda.get_device_name()}, {asked.pairs} pairs, batches of {asked.batch}\n")
    with tempfile.TemporaryDirectory() as name:
        images, texts = prepare(Path(name), asked.pairs)
        scorer = FgaBlip2(model=f"{name}/model", device="cuda", precision="bf16", batch_size=asked.batch)
        model = scorer.load()
        bare = alone(model, texts, asked.batch)
        scorer.score_pairs(images[: asked.batch], texts[: asked.batch])
        start = time.perf_counter()
        found = scorer.score_pairs(images, texts)
        ours = time.perf_counter() - start
    assert np.isfinite(found.overall).all()
    print("| way | pairs a second | of the network alone |\n|---|---|---|")
    print(f"| the network alone | {asked.pairs / bare:.0f} | |")
    print(f"| ours, from JPEGs | {asked.pairs / ours:.0f} | {bare / ours:.0%} |")
    print(f"\nPeak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB of GPU memory.\n")
    for kind, seconds in projecting():
        print(f"16 gradients to 8,192, {kind}: {seconds:.3f} s")


if __name__ == "__main__":
    main()
