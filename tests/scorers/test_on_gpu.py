"""On a GPU, where there is one: the same numbers as on the CPU, and in half precision nearly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="extra train not installed")
pytest.importorskip("transformers", reason="extra train not installed")
if not torch.cuda.is_available():
    pytest.skip("no GPU here", allow_module_level=True)

TEXTS = ["a dog on the street", "a dog", "the street", "a dog on a dog on the street", "the dog", "a street"]


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40 + 9 * i, 60, 3), np.uint8)) for i in range(6)]


def test_fga_blip2(save_blip2: Callable[..., Path], pictures: list[Any]) -> None:
    from curate.scorers.alignment import FgaBlip2

    folder = str(save_blip2())
    elements = [["dog", "street"], ["dog"], None, ["dog"], [], ["street"]]
    found = {
        key: FgaBlip2(model=folder, device=device, precision=precision, batch_size=4).score_pairs(
            pictures, TEXTS, elements
        )
        for key, device, precision in (
            ("cpu", "cpu", "fp32"),
            ("gpu", "cuda", "fp32"),
            ("bf16", "cuda", "bf16"),
        )
    }
    np.testing.assert_allclose(found["gpu"].overall, found["cpu"].overall, atol=2e-3)
    np.testing.assert_allclose(found["bf16"].overall, found["cpu"].overall, atol=0.15)
    for mine, theirs in zip(found["gpu"].elements, found["cpu"].elements, strict=True):
        assert [x is None for x in mine] == [x is None for x in theirs]
        np.testing.assert_allclose(
            [x for x in mine if x is not None], [x for x in theirs if x is not None], atol=2e-3
        )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fga_blip2_learns(save_blip2: Callable[..., Path], pictures: list[Any], precision: Any) -> None:
    from curate.scorers.alignment.fga.loading import load_fga
    from curate.scorers.alignment.fga.ratings import Rating
    from curate.scorers.alignment.fga.training import TrainingSettings, train_fga

    model = load_fga(str(save_blip2()), "", "cuda", "fp32")
    ratings = [
        Rating(image, text, 1.0 + 4.0 * (i % 2), {"dog": float(i % 2)} if "dog" in text else None)
        for i, (image, text) in enumerate(zip(pictures, TEXTS, strict=True))
    ]
    how = TrainingSettings(
        epochs=30, batch_size=6, learning_rate=3e-3, warm_up=0, crop=False, precision=precision
    )
    history = train_fga(model, ratings, how).history
    assert history[-1, 0] < 0.7 * history[0, 0]


@pytest.mark.parametrize("kind", ["qwen2-vl", "llava-next"])
def test_a_vision_language_model(
    save_vision_language_model: Callable[..., str], pictures: list[Any], kind: str
) -> None:
    from curate.scorers.alignment.vqa.loading import load_vision_language_model

    folder = save_vision_language_model(kind)
    jobs = [(image, ["Is there a dog?", "Is it red, or is it not?"]) for image in pictures]
    answers = []
    for device in ("cpu", "cuda"):
        model = load_vision_language_model(folder, device, "fp32")
        words = [model.find_words(["yes"]), model.find_words(["no"])]
        answers.append(np.array(model.ask(jobs, words, batch_size=3)))
    np.testing.assert_allclose(answers[1], answers[0], atol=5e-3)


@pytest.mark.parametrize("kind", ["count-sketch", "rademacher"])
def test_projections(kind: Any) -> None:
    from curate.scorers.influence.projection import project

    gradients = np.random.default_rng(0).normal(size=(5, 30_000)).astype(np.float32)
    there = project(torch.from_numpy(gradients).cuda(), 256, kind=kind, seed=3, offset=17)
    here = project(gradients, 256, kind=kind, seed=3, offset=17)
    np.testing.assert_allclose(there, here, atol=2e-3)
