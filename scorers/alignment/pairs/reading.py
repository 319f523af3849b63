"""What the scorers of this folder share: pairs read in the order of ids, answers handed back by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.contracts import View
from curate.fitting import FittedTable, answered, order_by_id, read_vectors

__all__ = ["Pairs", "read_pairs"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of a view that have both vectors, in the order of their ids; `reasons` (rows of the view,), None for
    those in `rows`. `groups` are codes, a pair without a group being its own."""

    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.floating]
    texts: npt.NDArray[np.floating]
    groups: npt.NDArray[np.int64]
    reasons: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.rows)

    def answer(
        self, scorer: Any, values: Mapping[str, npt.NDArray[Any]], notes: Sequence[str] = ()
    ) -> FittedTable:
        """A fitted scorer that gives each pair its values, by column of `scorer.gives`, and the others their reason."""
        return answered(scorer, self.rows, values, self.reasons, notes=notes)


def read_pairs(view: View, image: str, text: str, groups: str) -> Pairs:
    """Vectors of two columns and the group of each pair. Raises SchemaError where a column holds no vectors."""
    order = order_by_id(view)
    why = np.full(len(order), None, object)
    sides = []
    for name in (text, image):
        vectors = read_vectors(view, name, order)
        why[~np.isfinite(vectors).all(1)] = f"{name} is not finite"
        why[np.isnan(vectors).all(1)] = f"no {name}"
        sides.append(vectors)
    kept = np.flatnonzero(why == None)  # noqa: E711 - element by element
    reasons = np.empty(len(order), object)
    reasons[order] = why
    codes = _codes(view, groups, order) if groups else np.arange(len(order))
    return Pairs(order[kept], sides[1][kept], sides[0][kept], codes[kept], reasons)


def _codes(view: View, column: str, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    import polars as pl

    ranks = pl.Series("group", view.to_arrow([column]).column(0)).rank("dense")
    codes = ranks.cast(pl.Float64).to_numpy()[order]
    alone = np.isnan(codes)
    codes = np.where(alone, 0, codes)
    codes[alone] = codes.max(initial=0) + 1 + np.arange(alone.sum())
    return codes.astype(np.int64)
