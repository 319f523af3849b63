"""MinHash signatures: a short vector for a text, of which two agree in as large a part as the texts' shingles do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import vector
from curate.errors import InputError
from curate.scorers.duplicates.shingles import Unit, shingle_texts
from curate.scorers.duplicates.verdicts import answer, reasons

__all__ = ["MinHash", "minhash_signatures"]

_PIECE = 1 << 13  # shingles at a time: a few hundred kB, so that a pass stays in the cache


def minhash_signatures(
    offsets: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], permutations: int = 128
) -> npt.NDArray[np.uint32]:
    """(n, permutations) uint32: the least shingle of each text under each of many fixed orders.

    `offsets` and `hashes` as from `shingle_texts`. The part of places where two signatures agree estimates the Jaccard
    similarity of the two sets, with a standard deviation of sqrt(J (1 - J) / permutations). Order k is
    (hash >> 32 ^ b_k) * a_k modulo 2^32 with a_k odd: the same on every machine and in every version. A text without
    shingles gets zeros, which no other text does. Raises InputError unless permutations is 1 to 1024.
    """
    if not 1 <= permutations <= 1024:
        raise InputError(f"permutations {permutations}: 1 to 1024")
    factors, masks = _orders(permutations)
    signatures = np.zeros((len(offsets) - 1, permutations), np.uint32)
    short = (hashes >> np.uint64(32)).astype(np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    if not len(filled):
        return signatures
    cuts = np.searchsorted(offsets[filled], np.arange(0, len(short) + _PIECE, _PIECE))
    edges = np.unique(np.append(cuts, len(filled)))
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        texts = filled[low:high]
        begin = offsets[texts[0]]
        piece = short[begin : offsets[texts[-1] + 1]]
        starts = offsets[texts] - begin
        for k in range(permutations):
            signatures[texts, k] = np.minimum.reduceat((piece ^ masks[k]) * factors[k], starts)
    signatures[filled] = np.maximum(signatures[filled], 1)
    return signatures


@cache
def _orders(permutations: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Odd factors and masks: the first of a fixed sequence, so that longer signatures begin as shorter ones do."""
    drawn = np.random.Generator(np.random.PCG64(1)).integers(0, 1 << 32, (1024, 2), dtype=np.uint32)
    return drawn[:permutations, 0] | np.uint32(1), drawn[:permutations, 1]


@dataclass(frozen=True)
class MinHash:
    """Gives the MinHash signature of an item's text, `minhash`, by which `near-duplicate` finds candidates.

    `unit`, `size`  what a shingle is: 5 characters by default, which finds edits in one-line captions as well as in
                    documents; 5 words are usual for web documents alone.
    `normalise`     whether case, punctuation and spacing are ignored (Unicode NFKC).
    `permutations`  length of the signature.
    A text shorter than a shingle is one shingle. An item without text, or of punctuation alone, gets null and a reason.
    """

    unit: Unit = "char"
    size: int = 5
    normalise: bool = True
    permutations: int = 128

    name: ClassVar[str] = "minhash"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("minhash", self.permutations, pa.uint32()),)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column(batch.schema.get_field_index("text")).cast(pa.string())
        offsets, hashes = shingle_texts(texts, self.unit, self.size, self.normalise)
        signatures = minhash_signatures(offsets, hashes, self.permutations)
        missing = np.diff(offsets) == 0
        flat = pa.array(signatures.reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, self.permutations, mask=pa.array(missing))
        return answer(self.name, self.gives, [column, reasons(missing, "no letters or digits in the text")])
