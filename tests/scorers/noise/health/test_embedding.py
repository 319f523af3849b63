"""RankMe by hand and on planted ranks; vectors that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.noise.health.embedding import EmbeddingHealth, rankme
from curate.testing import check_analysis


def test_by_hand() -> None:
    # singular values 3 and 1: p = .75, .25; entropy .5623 nats; e^.5623 = 1.7548
    assert rankme(np.diag([3.0, 1.0])).rankme == pytest.approx(1.7548, abs=1e-4)
    assert rankme(np.eye(4)).rankme == pytest.approx(4, abs=1e-4)
    assert rankme(np.ones((5, 3))).rankme == pytest.approx(1, abs=1e-5)
    assert rankme(np.zeros((5, 3))).rankme == 1.0


def test_the_singular_values_are_those_of_a_decomposition() -> None:
    x = np.random.default_rng(0).normal(size=(40, 7))
    for matrix in (x, x.T, np.hstack([x, x])):  # the last of deficient rank
        expected = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(rankme(matrix).values, expected[: min(matrix.shape)], atol=1e-6)


@given(st.integers(2, 8), st.floats(0.1, 100))
def test_neither_scale_nor_rotation_matters(rank: int, scale: float) -> None:
    rng = np.random.default_rng(rank)
    x = rng.normal(size=(50, rank)) @ rng.normal(size=(rank, 10))
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    assert rankme(x @ turn * scale).rankme == pytest.approx(rankme(x).rankme, rel=1e-5)
    assert 1 <= rankme(x).rankme <= rank + 1e-3


def test_what_is_no_vector_is_refused() -> None:
    with pytest.raises(InputError, match=r"1 of 3 .* row 1"):
        rankme(np.array([[1.0], [np.nan], [2.0]]))
    for shape in ((0, 3), (3, 0), (3,)):
        with pytest.raises(InputError, match="shape"):
            rankme(np.zeros(shape))


def spoilt(n: int = 200) -> ArrayView:
    x = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    x[3], x[5, 2], x[7] = np.nan, np.inf, 0
    x[:, 4] = np.where(np.isfinite(x[:, 4]) & (x[:, 4] != 0), 2, x[:, 4])
    return ArrayView({"id": [f"i{i:03d}" for i in range(n)]}, {"v": x})


def test_every_kind_of_missing_vector_is_told() -> None:
    found = check_analysis(EmbeddingHealth("v"), spoilt())
    assert found.summary.endswith("items without a usable vector: 3")
    missing = next(f for f in found.findings if f.title == "Items without a usable vector")
    assert missing.table.to_pydict() == {
        "what": ["null", "NaN or infinite", "zero throughout"],
        "items": [1, 1, 1],
        "as": ["i003", "i005", "i007"],
    }
    assert missing.serious  # more than one in a hundred
    assert any(f.title == "Dead dimensions" and "1 of 8" in f.text for f in found.findings)


def test_a_collapse_is_serious_and_where_it_begins_is_a_parameter() -> None:
    rng = np.random.default_rng(0)
    line = np.outer(rng.normal(size=300), rng.normal(size=16)) + rng.normal(size=(300, 16)) * 1e-4
    view = ArrayView({"id": [str(i) for i in range(300)]}, {"v": line, "w": rng.normal(size=(300, 16))})
    found = EmbeddingHealth("v").analyse(view).findings[0]
    assert found.serious and "almost on a line" in found.text
    assert not EmbeddingHealth("v", collapsed=0.0).analyse(view).findings[0].serious
    assert not EmbeddingHealth("w").analyse(view).findings[0].serious


def test_rows_are_drawn_by_seed() -> None:
    rng = np.random.default_rng(0)
    view = ArrayView({"id": [str(i) for i in range(500)]}, {"v": rng.normal(size=(500, 16))})
    texts = [EmbeddingHealth("v", rows=20, seed=seed).analyse(view).findings[0].text for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert "20 items are few for 16 dimensions" in texts[0]
    assert "20 of 500" in EmbeddingHealth("v", rows=20).analyse(view).summary


def test_a_common_direction_is_told() -> None:
    x = np.random.default_rng(0).normal(size=(300, 16)) + 50
    found = EmbeddingHealth("v").analyse(ArrayView({"id": [str(i) for i in range(300)]}, {"v": x}))
    assert "share one direction" in found.findings[0].text


def test_nothing_to_look_at_is_an_error() -> None:
    view = ArrayView({"id": ["a", "b"]}, {"v": np.full((2, 3), np.nan)})
    with pytest.raises(InputError, match=r"of 2 items none has a usable vector \(2 null"):
        EmbeddingHealth("v").analyse(view)
    with pytest.raises(InputError, match="rows=1"):
        EmbeddingHealth("v", rows=1)
    one = EmbeddingHealth("v").analyse(ArrayView({"id": ["a"]}, {"v": np.ones((1, 3))}))
    assert "uses 1.0 of 1" in one.summary
