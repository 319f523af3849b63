"""Pairs of hashes: every one within the distance, none beyond; flat images told apart by colour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.duplicates.hamming import HammingNeighbours, Look, _bands, near_duplicate_images


def crowded(seed: int, n: int) -> np.ndarray:
    """Hashes with many near pairs: a few, with up to 12 random bits flipped."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, max(1, n // 8), dtype=np.uint64)[rng.integers(0, max(1, n // 8), n)]
    for _ in range(12):
        flip = np.uint64(1) << rng.integers(0, 64, n).astype(np.uint64)
        hashes = np.where(rng.random(n) < 0.5, hashes ^ flip, hashes)
    return hashes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(0, 16), st.data())
def test_all_pairs_within_the_distance_and_no_other(
    seed: int, n: int, distance: int, data: st.DataObject
) -> None:
    hashes = crowded(seed, n)
    near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= distance
    neighbours = HammingNeighbours(hashes, Look(None, np.arange(n), distance))
    expected = {(i, j) for i, j in zip(*np.nonzero(near), strict=True) if i < j}
    assert written(neighbours.pairs(np.arange(n))) == expected
    cut = data.draw(st.integers(0, n))
    expected = {(i, j) for i, j in zip(*np.nonzero(near), strict=True) if i < cut <= j}
    assert written(neighbours.pairs(np.arange(cut), np.arange(cut, n))) == expected


def written(pairs: object) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for i, j, _ in pairs for a, b in zip(i, j, strict=True)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("distance", range(17))
@pytest.mark.parametrize("n", [10, 10_000, 1_000_000])
def test_bands_cover_all_64_bits_and_leave_no_gap(n: int, distance: int) -> None:
    bands = _bands(n, distance)
    assert sum(radius + 1 for _, _, radius in bands) >= distance + 1
    covered = [bit for shift, width, _ in bands for bit in range(shift, shift + width)]
    assert len(covered) == len(set(covered))
    assert max(covered) < 64


def test_the_first_is_kept_and_similarity_counts_bits() -> None:
    hashes = np.array([0b0000, 0b0111, 0b0011, 2**63 - 1], np.uint64)
    found = near_duplicate_images(hashes, distance=2)
    assert found.leader.tolist() == [0, 1, 1, 3]  # the third is 2 bits from the first, 1 from the second
    assert np.allclose(found.similarity, [np.nan, np.nan, 1 - 1 / 64, np.nan], equal_nan=True) is True
    assert near_duplicate_images(hashes, distance=1).leader.tolist() == [0, 1, 1, 3]


def test_colours_part_images_of_one_layout() -> None:
    hashes = np.full(4, 1 << 63, np.uint64)
    colours = np.array([[200, 10], [202, 12], [10, 200], [232, 42]], np.uint8)
    assert near_duplicate_images(hashes, colours).leader.tolist() == [0, 0, 2, 0]
    assert near_duplicate_images(hashes, colours, tolerance=31.9).leader.tolist() == [0, 0, 2, 3]
    assert near_duplicate_images(hashes).leader.tolist() == [0, 0, 0, 0]


def test_very_many_copies_of_one_image_are_no_trouble() -> None:
    hashes = np.concatenate([np.full(200_000, 5, np.uint64), np.array([6, 2**60 - 1], np.uint64)])
    found = near_duplicate_images(hashes)
    assert found.kept.nonzero()[0].tolist() == [0, 200_001]
    assert found.similarity[1] == 1.0
    assert found.similarity[200_000] == np.float32(1 - 2 / 64)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="distance 17"):
        near_duplicate_images(np.zeros(2, np.uint64), distance=17)
    with pytest.raises(InputError, match="1 row of colours for 2 hashes"):
        near_duplicate_images(np.zeros(2, np.uint64), np.zeros((1, 3), np.uint8))
