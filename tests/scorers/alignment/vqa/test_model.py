"""Asking a vision-language model with random weights: one look per image, and nothing but the prompt changes an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.errors import InputError, MissingModelError
from curate.scorers.alignment.vqa.loading import load_vision_language_model

pytest.importorskip("torch", reason="extra vision not installed")
pytest.importorskip("transformers", reason="extra vision not installed")

KINDS = ("qwen2-vl", "qwen3-vl", "llava-next")
PROMPTS = (
    ["Is there a dog?", "Is there, far behind the second house, a man who has two hats and no coat?"],
    ["a"],
    ["Are there two?", "Is it red?", ""],
)


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, save_vision_language_model: Callable[..., str]) -> Any:
    return load_vision_language_model(save_vision_language_model(request.param), "cpu", "fp32")


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = ((40, 90, 3), (90, 40, 3), (60, 60, 3))
    return [Image.fromarray(rng.integers(0, 256, size, np.uint8)) for size in sizes]


def words(model: Any) -> list[list[int]]:
    return [model.find_words(("yes",)), model.find_words(("no",))]


def transformers_alone(model: Any, image: Image.Image, prompt: str) -> np.ndarray:
    """One image and one prompt, as transformers' own documentation does it."""
    import torch

    content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
    inputs = model.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        probabilities = model.net(**inputs).logits[0, -1].double().softmax(-1)
    return np.log([float(probabilities[ids].sum()) for ids in words(model)])


def test_answers_are_those_of_transformers_one_by_one(model: Any, images: list[Image.Image]) -> None:
    found = model.ask(zip(images, PROMPTS, strict=True), words(model), batch_size=4)
    for image, prompts, answers in zip(images, PROMPTS, found, strict=True):
        expected = np.stack([transformers_alone(model, image, prompt) for prompt in prompts])
        assert np.allclose(answers, expected, atol=1e-5)
    everything = np.concatenate(found)
    assert len(np.unique(everything.round(4))) == everything.size  # nothing is right by being all the same


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_neither_batches_nor_order_change_an_answer(
    model: Any, images: list[Image.Image], batch_size: int
) -> None:
    whole = model.ask(zip(images, PROMPTS, strict=True), words(model), batch_size=3)
    again = model.ask(zip(images[::-1], PROMPTS[::-1], strict=True), words(model), batch_size)
    for one, other in zip(whole, again[::-1], strict=True):
        assert np.abs(one - other).max() < 1e-5


def test_an_image_goes_through_the_tower_once(model: Any, images: list[Image.Image]) -> None:
    calls = []
    tower = next(m for name, m in model.net.named_modules() if name in ("model.visual", "model.vision_tower"))
    handle = tower.register_forward_hook(lambda *_: calls.append(1))
    reused = model.ask(zip(images, PROMPTS, strict=True), words(model), batch_size=1)
    assert (model.reuse, len(calls)) == (True, 3)
    without = dataclasses.replace(model, reuse=False)
    repeated = without.ask(zip(images, PROMPTS, strict=True), words(model), batch_size=1)
    handle.remove()
    assert len(calls) == 3 + 6  # once with every prompt
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(reused, repeated, strict=True))


def test_the_image_matters(model: Any, images: list[Image.Image]) -> None:
    white = Image.new("RGB", images[0].size, "white")
    one, other = model.ask([(images[0], ["a dog"]), (white, ["a dog"])], words(model))
    assert np.abs(one - other).max() > 1e-3


def test_words_are_found_in_every_casing_and_with_a_space(model: Any) -> None:
    tokens = model.processor.tokenizer.convert_ids_to_tokens(model.find_words(("yes",)))
    assert sorted(tokens) == ["Yes", "yes", "ĠYes", "Ġyes"]
    assert model.find_words((" YES ",)) == model.find_words(("yes",))
    assert len(model.find_words(("yes", "no"))) == 8


def test_what_cannot_be_asked_says_so_and_leaves_the_others(model: Any, images: list[Image.Image]) -> None:
    mark = model.processor.image_token
    jobs = [
        (images[0], ["a dog"]),
        (images[0], [f"{mark} a dog"]),
        (images[0], ["a dog " * 10_000]),
        (images[0], ["a dog", "x" * 1015]),  # with the image's tokens too long, without not
        (images[0], []),
    ]
    good, special, long, with_image, empty = model.ask(jobs, words(model))
    assert special == f"the text holds {mark!r}, which means something else to the model"
    assert "tokens, the model takes 1024" in long
    assert "tokens, the model takes 1024" in with_image
    assert empty.shape == (0, 2)
    assert np.allclose(good, model.ask(jobs[:1], words(model))[0], atol=1e-6)


def test_an_image_that_the_processor_refuses(save_vision_language_model: Callable[..., str]) -> None:
    model = load_vision_language_model(save_vision_language_model("qwen2-vl"), "cpu", "fp32")
    found = model.ask([(Image.new("RGB", (1000, 2)), ["a"])], words(model))
    assert "refuses the image" in found[0]


def test_models_that_cannot_be_asked(
    save_vision_language_model: Callable[..., str],
    save_language_model: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wordless = load_vision_language_model(save_vision_language_model(words=("no",)), "cpu", "fp32")
    with pytest.raises(InputError, match=r"no token for \['yes'\]"):
        wordless.find_words(("yes",))
    with pytest.raises(InputError, match="no chat template"):
        load_vision_language_model(save_vision_language_model(chat=False), "cpu", "fp32")
    with pytest.raises(InputError, match="'fp16' is for a GPU"):
        load_vision_language_model(str(tmp_path), "cpu", "fp16")
    with pytest.raises(MissingModelError, match="holds no usable vision-language model"):
        load_vision_language_model(str(tmp_path), "cpu", "fp32")
    with pytest.raises((InputError, MissingModelError), match=r"no processor|holds no usable"):
        load_vision_language_model(save_language_model(), "cpu", "fp32")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingModelError, match=r"'Qwen/Qwen2-VL-7B-Instruct' is not on this machine"):
        load_vision_language_model("Qwen/Qwen2-VL-7B-Instruct", "cpu", "fp32")


def test_weights_of_another_model_are_no_model(save_vision_language_model: Callable[..., str]) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_vision_language_model()
    file = Path(folder) / "model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if name.endswith("layers.1.mlp.up_proj.weight")))
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"weights of another model: 1 are missing.*up_proj"):
        load_vision_language_model(folder, "cpu", "fp32")


def test_half_precision_is_near(
    save_vision_language_model: Callable[..., str], images: list[Image.Image]
) -> None:
    folder = save_vision_language_model()
    found = []
    for precision in ("fp32", "bf16"):
        model = load_vision_language_model(folder, "cpu", precision)
        found.append(model.ask([(images[0], ["a dog"])], words(model))[0])
    assert 0 < np.abs(found[0] - found[1]).max() < 0.3
