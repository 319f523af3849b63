"""`elements` as a scorer, and the way from captions to DSG through a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from curate.errors import InputError
from curate.scorers.alignment.elements.scorer import Elements
from curate.testing import ArrayView, check_scorer, score_all


def test_it_keeps_the_contract() -> None:
    view = ArrayView({"text": ["Two red dogs run.", "a cat", "the", " ", None]})
    check_scorer(Elements(), view, planted=("0", "1"))
    scored = score_all(Elements(), view)
    assert scored["elements"].to_pylist() == [4, 1, None, None, None]
    assert scored["elements_reason"].to_pylist() == [
        None,
        None,
        "the text names nothing",
        "no text",
        "no text",
    ]
    assert scored["elements_questions"][1].as_py() == [
        {
            "question": "Is there a cat?",
            "answer": "yes",
            "type": "animal/human",
            "depends": [],
            "element": "cat",
        }
    ]
    assert score_all(Elements(limit=2), view)["elements"].to_pylist()[:2] == [2, 1]
    with pytest.raises(InputError, match="limit 0"):
        Elements(limit=0)


def test_from_captions_to_dsg_in_a_store(
    tmp_path: Path, save_vision_language_model: Callable[..., str]
) -> None:
    """Questions are stored by one step and read by the next; a file that is no image is null all the way, with a reason."""
    model = save_vision_language_model()
    rng = np.random.default_rng(0)
    rows = []
    for i, caption in enumerate(["two red dogs", "a cat on a mat", "a blue car", "a man"]):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(path)
        rows.append({"id": str(i), "image": str(path), "caption": caption})
    store = curate.open(tmp_path / "store.curate", create=True)
    store.add(rows, kind="image-text", id="id")
    (tmp_path / "3.png").write_bytes(b"no image")
    store.score("elements")
    store.score("pn-vqa", model=model, device="cpu", questions="elements_questions")
    store.score("dsg", questions="elements_questions")
    store.score("tifa", questions="elements_questions", threshold=None)
    found = store.items.to_polars().sort("id")
    assert found["elements"].to_list() == [3, 3, 2, 1]
    assert found["pn_vqa"].is_null().to_list() == [False, False, False, True]
    assert found["tifa"].to_list()[:3] == pytest.approx(found["pn_vqa"].to_list()[:3])
    cat, mat, on = (one["answer"] >= 0.5 for one in found["pn_vqa_answers"].to_list()[1])
    assert found["dsg"].to_list()[1] == pytest.approx((cat + mat + (on and cat and mat)) / 3)
    assert found["dsg"].is_null().to_list() == [False, False, False, True]
