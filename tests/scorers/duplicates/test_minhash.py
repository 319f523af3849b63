"""Shingles, signatures and the join over them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.duplicates.jaccard import (
    Alike,
    AtHand,
    JaccardNeighbours,
    band_rows,
    jaccard,
    near_duplicate_texts,
)
from curate.scorers.duplicates.minhash import MinHash, minhash_signatures
from curate.scorers.duplicates.shingles import Unit, normalise_texts, shingle_texts
from curate.testing import ArrayView, check_scorer, score_all


def sets_of(texts: list[str | None], unit: Unit, size: int, normalise: bool = True) -> list[set[int]]:
    offsets, hashes = shingle_texts(pa.array(texts, pa.string()), unit, size, normalise)
    return [set(hashes[a:b].tolist()) for a, b in pairwise(offsets)]


def by_hand(text: str, unit: Unit, size: int) -> set[tuple[str, ...]]:
    atoms = text.split() if unit == "word" else list(text)
    return {tuple(atoms[i : i + size]) for i in range(max(1, len(atoms) - size + 1))} if atoms else set()


def test_normalising_by_hand() -> None:
    texts = pa.array(["  Hello,   WORLD!! ", "ﬁne\u00a0１２", "नमस्ते दुनिया।", "?!", "", None])
    assert normalise_texts(texts).to_pylist() == ["hello world", "fine 12", "नमस्ते दुनिया", "", "", None]


def test_a_text_shorter_than_a_shingle_is_one_and_nothing_is_none() -> None:
    sets = sets_of(["a b", "A  b!", "a", "a b c", "?", "", None], "word", 3)
    assert [len(s) for s in sets] == [1, 1, 1, 1, 0, 0, 0]
    assert sets[0] == sets[1]
    assert len({frozenset(s) for s in sets[:4]}) == 3


def test_normalise_false_compares_as_written() -> None:
    a, b = sets_of(["Hello there", "hello there"], "char", 5, normalise=False)
    assert len(a & b) == 6  # all but the shingle with the capital
    c, d = sets_of(["Hello there", "hello there"], "char", 5)
    assert c == d


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.text("ab é漢\n", max_size=12), min_size=1, max_size=6),
    st.sampled_from(["char", "word"]),
    st.integers(1, 4),
)
def test_shingles_are_equal_where_the_pieces_are(texts: list[str], unit: Unit, size: int) -> None:
    expected = [by_hand(text, unit, size) for text in texts]
    got = sets_of(texts, unit, size, normalise=False)
    for a in range(len(texts)):
        assert len(got[a]) == len(expected[a])
        for b in range(a):
            assert len(got[a] & got[b]) == len(expected[a] & expected[b])


def test_signatures_estimate_the_jaccard_similarity_without_bias() -> None:
    rng = np.random.default_rng(0)
    for shared, true in ((20, 0.2), (40, 0.5), (54, 54 / 66)):
        a = rng.integers(0, 2**64, (300, 60), dtype=np.uint64)
        b = rng.integers(0, 2**64, (300, 60), dtype=np.uint64)
        b[:, :shared] = a[:, :shared]
        hashes = np.concatenate([a, b], axis=1).reshape(-1)
        pairs = minhash_signatures(np.arange(601) * 60, hashes).reshape(300, 2, 128)
        estimates = (pairs[:, 0] == pairs[:, 1]).mean(axis=1)
        deviation = (true * (1 - true) / 128) ** 0.5
        assert abs(estimates.mean() - true) < 4 * deviation / 300**0.5
        assert estimates.std() < 1.2 * deviation


def test_signatures_are_the_same_for_ever() -> None:
    """A stored signature stays comparable: these numbers must not change without a new `version`."""
    offsets, hashes = shingle_texts(pa.array(["a dog runs", "x", None]), "char", 5)
    signatures = minhash_signatures(offsets, hashes, 4)
    assert signatures.tolist() == FROZEN
    assert np.array_equal(minhash_signatures(offsets, hashes, 128)[:, :4], signatures)


FROZEN = [
    [646004840, 104505326, 582733626, 642147094],
    [909608821, 546308725, 2330271670, 3638452322],
    [0, 0, 0, 0],
]


def test_signatures_do_not_depend_on_the_batch(captions: list[str]) -> None:
    offsets, hashes = shingle_texts(pa.array(captions[:3000]), "char", 5)
    whole = minhash_signatures(offsets, hashes)
    for row in (0, 1, 1499, 2999):
        alone = minhash_signatures(*shingle_texts(pa.array([captions[row]]), "char", 5))
        assert np.array_equal(whole[row], alone[0])


def test_scorer_keeps_the_contract() -> None:
    view = ArrayView({"text": ["a dog runs on the beach", "a cat sleeps", "?!", None, "two men talk"]})
    for scorer in (MinHash(), MinHash(unit="word", size=2, normalise=False, permutations=16)):
        check_scorer(scorer, view)
    scored = score_all(MinHash(permutations=16), view)
    assert scored["minhash"].is_null().to_pylist() == [False, False, True, True, False]
    assert scored["minhash_reason"].to_pylist()[2] == "no letters or digits in the text"


def test_exact_jaccard_by_hand() -> None:
    hashes = np.array([1, 2, 3, 3, 2, 3, 4, 9], np.uint64)
    offsets = np.array([0, 4, 7, 8, 8])
    got = jaccard(offsets, hashes, np.array([0, 0, 1, 3, 2]), np.array([1, 2, 1, 3, 2]))
    assert got.tolist() == [0.5, 0.0, 1.0, 0.0, 1.0]


def test_bands_keep_99_percent_at_the_threshold() -> None:
    for similarity in (0.3, 0.5, 0.7, 0.9, 1.0):
        rows = band_rows(similarity, 128)
        assert 1 - (1 - similarity**rows) ** (128 // rows) >= 0.99
        if rows < 128:
            assert 1 - (1 - similarity ** (rows + 1)) ** (128 // (rows + 1)) < 0.99


@pytest.fixture(scope="module")
def compared(captions: list[str]) -> tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Captions and slight edits, their signatures, and the exact similarity of all pairs that share a shingle."""
    from scipy.sparse import csr_array

    texts = pa.array(captions[::6] + [c.replace(" a ", " the ") for c in captions[::24]])
    offsets, hashes = shingle_texts(texts, "char", 5)
    sets = [np.unique(hashes[a:b]) for a, b in pairwise(offsets)]
    sizes = np.array([len(s) for s in sets])
    _, codes = np.unique(np.concatenate(sets), return_inverse=True)
    table = csr_array((np.ones(len(codes), np.int32), codes, np.concatenate([[0], np.cumsum(sizes)])))
    shared = (table @ table.T).tocoo()
    upper = shared.row < shared.col
    i, j, both = shared.row[upper], shared.col[upper], shared.data[upper]
    return texts, minhash_signatures(offsets, hashes), i, j, both / (sizes[i] + sizes[j] - both)


@pytest.mark.data
@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.9])
def test_pairs_of_real_captions_are_those_of_comparing_all(
    compared: tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray, np.ndarray], similarity: float
) -> None:
    texts, signatures, i, j, shared = compared
    alike = shared.astype(np.float32) >= np.float32(similarity)
    expected = set(zip(i[alike].tolist(), j[alike].tolist(), strict=True))
    neighbours = JaccardNeighbours(AtHand(signatures, texts), np.arange(len(texts)), Alike(similarity))
    found = [pair for x, y, _ in neighbours.pairs(np.arange(len(texts))) for pair in zip(x, y, strict=True)]
    got = {(int(a), int(b)) for a, b in found}
    assert len(found) == len(got)  # each pair once
    assert got <= expected
    assert len(got) >= 0.99 * len(expected) > 100
    left, right = np.arange(1000), np.arange(1000, len(texts))
    between = {
        (int(a), int(b)) for x, y, _ in neighbours.pairs(left, right) for a, b in zip(x, y, strict=True)
    }
    assert between == {pair for pair in got if pair[0] < 1000 <= pair[1]}


@pytest.mark.parametrize(
    ("name", "size"),
    [("_PIECE", 50), ("_POOL", 40), ("_TEXTS", 9), ("_BYTES", 200), ("_CHUNK", 7), ("_BANDS", 1)],
)
def test_pairs_are_the_same_however_the_work_is_cut(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    words = np.array(["a", "cat", "dog", "runs", "over", "hills", "far", "away", "from", "home", "today"])
    texts = pa.array([" ".join(words[rng.random(len(words)) < 0.8]) for _ in range(50)])
    signatures = minhash_signatures(*shingle_texts(texts, "char", 5))
    neighbours = JaccardNeighbours(AtHand(signatures, texts), np.arange(len(texts)), Alike(0.6))

    def found() -> list[tuple[int, int, float]]:
        triples = (zip(*(c.tolist() for c in p), strict=True) for p in neighbours.pairs(np.arange(50)))
        return sorted(triple for some in triples for triple in some)

    whole = found()
    assert len(whole) == len({pair[:2] for pair in whole}) > 50
    monkeypatch.setattr(f"curate.scorers.duplicates.jaccard.{name}", size)
    assert found() == whole


def test_very_many_copies_of_one_text_are_no_trouble() -> None:
    texts = pa.array(
        ["the same old boiler plate"] * 50_000 + ["The same OLD boiler plate!", "something else"]
    )
    signatures = minhash_signatures(*shingle_texts(texts, "char", 5))
    found = near_duplicate_texts(texts, signatures)
    assert found.kept.nonzero()[0].tolist() == [0, 50_001]
    assert np.nanmin(found.similarity) == 1.0


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="permutations 0"):
        minhash_signatures(np.array([0, 0]), np.zeros(0, np.uint64), 0)
    with pytest.raises(InputError, match="size is at least 1"):
        shingle_texts(pa.array(["a"]), "char", 0)
    with pytest.raises(InputError, match=r"similarity 0\.0"):
        near_duplicate_texts(pa.array(["a"]), np.zeros((1, 8), np.uint32), 0.0)
    with pytest.raises(InputError, match="1 text for 2 signatures"):
        near_duplicate_texts(pa.array(["a"]), np.zeros((2, 8), np.uint32))
