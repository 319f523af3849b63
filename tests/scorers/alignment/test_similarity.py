"""CLIPScore and RefCLIPScore by hand, and as a scorer over columns of vectors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.errors import InputError, SchemaError
from curate.scorers.alignment import clip_score, ref_clip_score
from curate.scorers.alignment.similarity import RefClipScore
from curate.testing import ArrayView, check_scorer, score_all

IMAGES = np.array([[1, 0], [3, 4], [1, 0], [0, 2]], np.float32)
TEXTS = np.array([[0.6, 0.8], [3, 4], [-1, 0], [1, 1]], np.float32)
NAN = [np.nan, np.nan]
REFERENCES = np.array([[[0.6, 0.8], [1, 0]], [[4, -3], NAN], [[-1, 0], [1, 0]], [NAN, [0, 1]]])


def test_by_hand() -> None:
    root = np.sqrt(0.5)
    assert np.allclose(clip_score(IMAGES, TEXTS), [1.5, 2.5, 0, 2.5 * root])
    assert np.allclose(clip_score(IMAGES, TEXTS, weight=1), [0.6, 1, 0, root])
    expected = [2 * 1.5 * 1 / 2.5, 0, 0, 2 * 2.5 * root * root / (3.5 * root)]
    assert np.allclose(ref_clip_score(IMAGES, TEXTS, REFERENCES), expected)
    assert np.allclose(ref_clip_score(IMAGES[:1], TEXTS[:1], REFERENCES[:1], weight=1), [2 * 0.6 / 1.6])


def test_what_is_not_known_is_nan() -> None:
    assert np.isnan(clip_score([[0, 0], [np.inf, 1]], [[1, 0], [1, 0]])).all()
    assert np.isnan(ref_clip_score([[1, 0]], [[1, 0]], [[NAN]])).all()
    assert np.isnan(ref_clip_score([[1, 0]], [[1, 0]], np.empty((1, 0, 2)))).all()
    assert clip_score(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)


numbers = st.floats(-10, 10).map(lambda x: x + 0.001)


@settings(deadline=None)
@given(arrays(np.float64, (3, 4), elements=numbers), arrays(np.float64, (3, 2, 4), elements=numbers))
def test_it_lies_between_its_parts_and_lengths_do_not_matter(
    texts: np.ndarray, references: np.ndarray
) -> None:
    images = references[:, 0] + 1
    plain, both = clip_score(images, texts), ref_clip_score(images, texts, references)
    near = np.maximum(clip_score(references[:, 0], texts, 1), clip_score(references[:, 1], texts, 1))
    known = ~np.isnan(both)
    assert (both[known] <= np.maximum(plain, near)[known] + 1e-9).all()
    assert (both[known] >= np.minimum(plain, near)[known] - 1e-9).all()
    assert np.allclose(ref_clip_score(images * 7, texts * 3, references * 2), both, equal_nan=True)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"images are \(4, 2\), texts \(3, 2\)"):
        clip_score(IMAGES, TEXTS[:3])
    with pytest.raises(InputError, match=r"images are \(2,\)"):
        clip_score(IMAGES[0], TEXTS)
    with pytest.raises(InputError, match=r"references are \(4, 2\)"):
        ref_clip_score(IMAGES, TEXTS, TEXTS)
    with pytest.raises(InputError, match="weight 0"):
        clip_score(IMAGES, TEXTS, weight=0)


def view() -> ArrayView:
    vectors = {"clip_image": IMAGES.copy(), "clip_text": TEXTS.copy(), "clip_reference": REFERENCES[:, 0]}
    return ArrayView({"id": list("abcd")}, vectors | {"second": REFERENCES[:, 1]})


def test_scorer_by_hand() -> None:
    check_scorer(RefClipScore(), view(), planted=("a", "b"))
    check_scorer(RefClipScore(references=("clip_reference", "second")), view(), planted=("a", "b"))
    scored = score_all(RefClipScore(), view())
    assert scored["ref_clip_score_reason"].to_pylist() == [None, None, None, "no reference"]
    assert np.allclose(scored["ref_clip_score"].to_pylist()[:3], [1.2, 0, 0])
    assert np.allclose(scored["ref_clip_score_image"].to_pylist()[:3], [1.5, 2.5, 0])
    both = score_all(RefClipScore(references=("clip_reference", "second"), weight=1), view())
    expected = ref_clip_score(IMAGES, TEXTS, REFERENCES, weight=1)
    assert np.allclose(both["ref_clip_score"].to_numpy(), expected)


def test_scorer_over_other_columns_and_with_nulls() -> None:
    table = {
        "i": [[1.0, 0.0], None, [1.0, 0.0]],
        "t": [[1.0, 0.0], [1.0, 0.0], None],
        "r": pa.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], pa.list_(pa.float32(), 2)),
    }
    scored = score_all(RefClipScore(image="i", text="t", references=("r",)), ArrayView(table))
    assert scored["ref_clip_score_reason"].to_pylist() == [None, "no vector in 'i'", "no vector in 't'"]
    assert scored["ref_clip_score"][0].as_py() == pytest.approx(2 * 2.5 / 3.5)


def test_scorer_refuses() -> None:
    with pytest.raises(InputError, match="references are needed"):
        RefClipScore(references=())
    with pytest.raises(InputError, match="weight -1"):
        RefClipScore(weight=-1)
    good = [[1.0, 0.0]]
    for reference, error, message in (
        ([[1.0, 0.0, 0.0]], InputError, "3 dimensions, others 2: not of one model"),
        (["a"], SchemaError, "'clip_reference' is string"),
    ):
        table = {"clip_image": good, "clip_text": good, "clip_reference": reference}
        with pytest.raises(error, match=message):
            score_all(RefClipScore(), ArrayView(table))
    ragged = {"clip_image": [[1.0], [1.0, 0.0]], "clip_text": good * 2, "clip_reference": good * 2}
    with pytest.raises(InputError, match="of 1 and of 2 dimensions"):
        score_all(RefClipScore(), ArrayView(ragged))
