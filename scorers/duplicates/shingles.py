"""Texts as sets of overlapping pieces (shingles), hashed: how much two sets share is how alike the texts are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError

__all__ = ["Unit", "normalise_texts", "shingle_texts"]

Unit = Literal["char", "word"]
Hashes = npt.NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)


def normalise_texts(texts: pa.StringArray) -> pa.StringArray:
    """Texts in NFKC and lower case, every run of anything but letters, marks and digits one space, ends trimmed."""
    plain = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    spaced = pc.replace_substring_regex(plain, pattern=r"[^\p{L}\p{M}\p{N}]+", replacement=" ")
    return pc.utf8_trim_whitespace(spaced)


def shingle_texts(
    texts: pa.StringArray, unit: Unit, size: int, normalise: bool = True
) -> tuple[npt.NDArray[np.int64], Hashes]:
    """The shingles of each text: `size` characters or words in a row, hashed to 64 bits.

    A text shorter than `size` has one shingle, the whole of it; a null text, or one that normalises to nothing, none.
    Returns offsets (n + 1,) and hashes (offsets[-1],): text i has hashes[offsets[i]:offsets[i + 1]], with repeats, in
    the order of the text. Raises InputError for a size below 1.
    """
    if size < 1:
        raise InputError(f"shingles of {size} {unit}s: the size is at least 1")
    filled = pc.fill_null(texts, "")
    if normalise:
        filled = normalise_texts(filled)
    lengths, atoms = _words(filled) if unit == "word" else _characters(filled)
    counts = np.where(lengths > 0, np.maximum(lengths - size + 1, 1), 0)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    begins = np.cumsum(lengths) - lengths
    hashes = _roll(atoms, size)[np.arange(offsets[-1]) - np.repeat(offsets[:-1] - begins, counts)]
    short = np.flatnonzero((lengths > 0) & (lengths < size))
    hashes[offsets[short]] = _fold(atoms, begins[short], lengths[short])
    return offsets, _mix(hashes)


def _roll(atoms: Hashes, size: int) -> Hashes:
    """The hash of `size` atoms from each on, of fewer at the end, whichever texts they belong to."""
    rolled = atoms.copy()
    for k in range(1, min(size, len(atoms))):
        rolled[:-k] *= _BASE
        rolled[:-k] += atoms[k:]
    return rolled


def _fold(atoms: Hashes, begins: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Hashes:
    """The hash of so many atoms from each begin on: of texts shorter than a shingle."""
    hashes = np.zeros(len(begins), np.uint64)
    for k in range(int(lengths.max(initial=0))):
        longer = lengths > k
        hashes[longer] = hashes[longer] * _BASE + atoms[begins[longer] + k]
    return hashes


def _words(texts: pa.StringArray) -> tuple[npt.NDArray[np.int64], Hashes]:
    """Words per text, and the hash of each word of all texts in a row."""
    import xxhash

    split = pc.utf8_split_whitespace(texts)
    words = split.flatten()
    real = pc.not_equal(words, "")  # an empty text, or blank ends, split into empty words
    counts = np.diff(split.offsets.to_numpy()).astype(np.int64)
    kept = real.to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(counts)), counts)[kept]
    coded = words.filter(real).dictionary_encode()
    distinct = [xxhash.xxh3_64_intdigest(word) for word in coded.dictionary.cast(pa.binary()).to_pylist()]
    hashes = np.array(distinct, np.uint64)[coded.indices.to_numpy()]
    return np.bincount(owner, minlength=len(counts)).astype(np.int64), hashes


def _characters(texts: pa.StringArray) -> tuple[npt.NDArray[np.int64], Hashes]:
    """Characters per text, and a hash of each character of all texts in a row."""
    joined = "".join(texts.to_pylist()).encode("utf-32-le", "surrogatepass")
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths, _mix(np.frombuffer(joined, "<u4").astype(np.uint64) + np.uint64(1))


def _mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64: spreads every bit over all 64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), np.uint64)
