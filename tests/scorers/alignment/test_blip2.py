"""BLIP-2's matching by hand, and against transformers' own forward on a model with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import InputError, MissingModelError
from curate.scorers.alignment import itc_score, itm_score
from curate.scorers.alignment.blip2 import Blip2Itm
from curate.scorers.alignment.fga.pictures import prepare_picture
from curate.testing import ArrayView, check_scorer, score_all


def test_itm_by_hand() -> None:
    logits = [[[0, np.log(3)], [np.log(3), 0]], [[0, 2 * np.log(3)], [0, 0]], [[900, 0], [900, 0]]]
    assert np.allclose(
        itm_score(logits), [0.5, 0.75, 0]
    )  # the mean first: of probabilities, the second were 0.7
    with pytest.raises(InputError, match=r"\(n, queries, 2\)"):
        itm_score([[1, 2]])


def test_itc_by_hand() -> None:
    queries = [[[1, 0], [3, 4]], [[0, 2], [0, -1]]]
    assert np.allclose(itc_score(queries, [[6, 8], [5, 0]]), [1, 0])
    with pytest.raises(InputError, match="are needed"):
        itc_score(queries, [[1, 2, 3], [1, 2, 3]])


TEXTS = ["A red car!", "a green dog on the street, left of two", "blue", " . ", None, "a car"]


@pytest.fixture(scope="module")
def folder(save_blip2: Callable[..., Path]) -> str:
    return str(save_blip2())


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> ArrayView:
    place = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = [str(place / f"{i}.png") for i in range(6)]
    for i, path in enumerate(paths[:5]):
        Image.fromarray(rng.integers(0, 256, (30 + 5 * i, 40, 3), np.uint8)).save(path)
    return ArrayView({"image": paths, "text": TEXTS})


def test_they_keep_the_contract(folder: str, view: ArrayView) -> None:
    scorer = Blip2Itm(model=folder, device="cpu", batch_size=2)
    check_scorer(scorer, view, tolerance=1e-5)
    scored = score_all(scorer, view)
    reasons = scored["blip2_itm_reason"].to_pylist()
    assert reasons[:5] == [None, None, None, "no text", "no text"]
    assert reasons[5].startswith("missing")
    assert len(set(scored["blip2_itm"].to_pylist()[:3])) == 3


def test_both_are_what_transformers_computes_one_by_one(folder: str, view: ArrayView) -> None:
    import torch
    import transformers

    scored = score_all(Blip2Itm(model=folder, device="cpu"), view)
    net = transformers.Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for row, text in enumerate(["a red car", "a green dog on the street, left of two", "blue"]):
        path = view.to_arrow(["image"])["image"][row].as_py()
        pixels = torch.from_numpy(prepare_picture(Image.open(path).convert("RGB"), 28))[None]
        inputs = dict(tokenizer(text, return_tensors="pt")) | {"pixel_values": pixels}
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            itm = net(**inputs, use_image_text_matching_head=True, return_dict=True).logits_per_image
            itc = net(**inputs, use_image_text_matching_head=False, return_dict=True).logits_per_image
        assert scored["blip2_itm"][row].as_py() == pytest.approx(float(itm.softmax(1)[0, 1]), abs=1e-5)
        assert scored["blip2_itc"][row].as_py() == pytest.approx(float(itc.max()), abs=1e-5)


def test_every_parameter_has_an_effect(folder: str, view: ArrayView) -> None:
    plain = score_all(Blip2Itm(model=folder, device="cpu"), view)["blip2_itm"].to_pylist()
    cut = score_all(Blip2Itm(model=folder, device="cpu", max_tokens=6), view)["blip2_itm"].to_pylist()
    assert (cut[0] == pytest.approx(plain[0], abs=1e-6)) and abs(cut[1] - plain[1]) > 1e-5
    half = score_all(Blip2Itm(model=folder, device="cpu", precision="bf16"), view)["blip2_itm"].to_pylist()
    assert 0 < abs(half[0] - plain[0]) < 0.1
    one = score_all(Blip2Itm(model=folder, device="cpu", batch_size=1), view)["blip2_itm"].to_pylist()
    assert one[:3] == pytest.approx(plain[:3], abs=1e-5)
    with pytest.raises(InputError, match="batch_size 0"):
        Blip2Itm(batch_size=0)
    with pytest.raises(InputError, match="max_tokens 2"):
        Blip2Itm(max_tokens=2)
    with pytest.raises(Exception, match=r"nowhere|device"):
        score_all(Blip2Itm(model=folder, device="nowhere"), view)


def test_a_text_of_ten_thousand_words_is_cut(folder: str, view: ArrayView) -> None:
    long = ArrayView({"image": view.to_arrow()["image"][:1], "text": ["a red car " * 10_000]})
    assert score_all(Blip2Itm(model=folder, device="cpu", max_tokens=500), long)["blip2_itm"].null_count == 0


def test_other_models_are_refused(
    folder: str,
    save_vision_language_model: Callable[..., str],
    view: ArrayView,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="type 'qwen2_vl', not 'blip-2'"):
        score_all(Blip2Itm(model=save_vision_language_model()), view)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingModelError, match="blip2-itm-vit-g-coco' is not on this machine"):
        score_all(Blip2Itm(), view)


def test_a_model_without_projections_is_refused(save_blip2: Callable[..., Path], view: ArrayView) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_blip2(seed=1)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if not name.startswith("text_projection")},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(InputError, match=r"2 weights are missing.*text_projection"):
        score_all(Blip2Itm(model=str(folder), device="cpu"), view)
