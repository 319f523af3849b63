"""SemDeDup: by hand, against comparing all pairs, and planted duplicates found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.duplicates.cosines import Alone, CosineNeighbours
from curate.scorers.duplicates.leaders import choose_leaders
from curate.scorers.duplicates.semdedup import semdedup, usable_rows
from curate.testing import ArrayVectors


def directions(degrees: list[float]) -> npt.NDArray[np.float32]:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def planted(n: int, dim: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Rows in random directions, a tenth of them planted at a cosine of 0.955 to 0.999 to another; and which."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    source, copy = np.split(rng.permutation(n)[: 2 * (n // 10)], 2)
    other = rng.standard_normal((len(copy), dim)).astype(np.float32)
    other -= (other * rows[source]).sum(axis=1, keepdims=True) * rows[source]
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    cosine = rng.uniform(0.955, 0.999, (len(copy), 1)).astype(np.float32)
    rows[copy] = cosine * rows[source] + np.sqrt(1 - cosine**2) * other
    return rows, np.maximum(source, copy)


class Chunked(ArrayVectors):
    """The same rows in pieces."""

    def chunks(self) -> Iterator[npt.NDArray[np.float32]]:
        yield from np.array_split(self.array, 3)


def test_dropped_for_a_kept_row_only() -> None:
    """10 degrees is a cosine of 0.985: each is like the next, but the third is not like the first."""
    found = semdedup(directions([0, 10, 20, 90]), threshold=0.98)
    assert found.leader.tolist() == [0, 0, 2, 3]
    assert found.similarity[1] == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert np.isnan(found.similarity[[0, 2, 3]]).all()


def test_order_says_who_is_kept_and_what_is_left_out_stays() -> None:
    rows = directions([0, 10, 20, 90])
    assert semdedup(rows, 0.98, order=np.array([1, 0, 2, 3])).leader.tolist() == [1, 1, 1, 3]
    assert semdedup(rows, 0.98, order=np.array([0, 2, 3])).leader.tolist() == [0, 1, 2, 3]


def test_hard_keeps_the_far_row_and_easy_the_near_one() -> None:
    """Three rows: the centre of the one cluster lies nearest to the middle one."""
    rows = np.concatenate([directions([0, 8, 20]), directions([80.0])]).astype(np.float32)
    assert semdedup(rows, 0.97, clusters=2, keep="hard").kept.sum() == 3
    assert semdedup(rows, 0.97, clusters=2, keep="easy").kept.tolist() == [False, True, False, True]


def test_length_does_not_matter_and_rows_without_direction_are_like_nothing() -> None:
    rows = np.array([[1, 0], [5, 0], [0, 0], [0, 0], [np.nan, 1], [np.inf, 0], [-1, 0]], np.float32)
    found = semdedup(rows, 0.9)
    assert found.leader.tolist() == [0, 0, 2, 3, 4, 5, 6]
    usable, lengths = usable_rows(rows)
    assert usable.tolist() == [True, True, False, False, False, False, True]
    assert lengths[:2].tolist() == [1.0, 5.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([0.5, 0.9, 0.99]))
def test_one_cluster_is_comparing_all_pairs(seed: int, n: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 3)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = unit @ unit.T >= threshold
    kept: list[int] = []
    for i in range(n):
        if not any(near[i, k] for k in kept):
            kept.append(i)
    assert np.flatnonzero(semdedup(rows, threshold).kept).tolist() == kept


def test_the_order_of_rows_plays_no_part() -> None:
    rows, _ = planted(12_000, 32)
    shuffled = np.random.default_rng(1).permutation(len(rows))
    whole = semdedup(rows)
    moved = semdedup(rows[shuffled], order=np.argsort(shuffled))
    assert np.array_equal(shuffled[moved.leader[np.argsort(shuffled)]], whole.leader)


def test_clusters_miss_next_to_none_of_the_planted_and_drop_nothing_else() -> None:
    rows, later = planted(20_000, 128)
    found = semdedup(rows)
    assert (~found.kept[later]).mean() >= 0.998
    assert np.isin(np.flatnonzero(~found.kept), later).all()
    one_cluster_each = semdedup(rows, probes=1)  # as in the paper
    assert (~one_cluster_each.kept[later]).mean() < 0.95


def test_leaving_far_clusters_out_loses_nothing() -> None:
    """With as many probes as clusters, all pairs are compared; those left out could not reach the threshold."""
    rng = np.random.default_rng(0)
    rows = (
        rng.standard_normal((40, 16))[rng.integers(0, 40, 3000)] + 0.2 * rng.standard_normal((3000, 16))
    ).astype("f4")
    exact = semdedup(rows, 0.97, clusters=1)
    assert 100 < exact.kept.sum() < 2900
    assert np.array_equal(semdedup(rows, 0.97, clusters=30, probes=30).leader, exact.leader)


def test_any_float_type_and_pieces_give_the_same() -> None:
    rows, _ = planted(9_000, 16)
    whole = semdedup(rows, clusters=20)
    assert np.array_equal(semdedup(Chunked(rows), clusters=20).leader, whole.leader)
    assert np.array_equal(semdedup(rows.astype(np.float64), clusters=20).leader, whole.leader)
    halves = semdedup(rows.astype(np.float16), clusters=20)
    assert (halves.kept == whole.kept).mean() > 0.99


def test_the_limit_on_pairs_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = (
        rng.standard_normal((5, 8))[rng.integers(0, 5, 4000)] + 0.1 * rng.standard_normal((4000, 8))
    ).astype("f4")
    nearest = np.stack([np.arange(4000) % 3, (np.arange(4000) + 1) % 3], axis=1).astype(np.int32)
    neighbours = CosineNeighbours(Alone(rows), np.arange(4000), nearest, 0.98)
    whole, halves = choose_leaders(neighbours), choose_leaders(neighbours, limit=1000)
    assert np.array_equal(whole.leader, halves.leader)
    assert 5 <= whole.kept.sum() < 2000


def test_none_and_one_row() -> None:
    assert len(semdedup(np.zeros((0, 4), np.float32)).leader) == 0
    assert semdedup(np.ones((1, 4), np.float32)).leader.tolist() == [0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threshold": 0.0}, r"threshold 0\.0"),
        ({"threshold": 1.1}, r"threshold 1\.1"),
        ({"clusters": 0}, "clusters 0"),
        ({"probes": 0}, "probes 0"),
        ({"keep": "last"}, "keep 'last'"),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        semdedup(np.ones((3, 2), np.float32), **wrong)  # type: ignore[arg-type]
