"""What the registered selectors of this folder share: read the items, choose, and point back at the view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curate.choosing import Constrained, Meter, Pool, draw_seed
from curate.contracts import Budget, Selection, View

__all__ = ["Embedded", "Unscored", "choose_items"]


@dataclass(frozen=True, kw_only=True)
class Embedded(Constrained):
    """The fields of selectors that read a vector column, beside those of every selector.

    `embedding` the vector column; items without a finite vector are never chosen, and counted in the reasons.
    """

    embedding: str = "pixel_embedding"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.embedding, *self.constraint_columns)


@dataclass(frozen=True, kw_only=True)
class Unscored(Embedded, ABC):
    """Selectors that read a vector column and nothing else: how they choose is all that sets them apart."""

    @abstractmethod
    def _choose(self, pool: Pool, rng: np.random.Generator) -> tuple[Selection, str]:
        """Rows of the pool, and the reason for them."""

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        return choose_items(self, view, (budget, rng), self._choose, embedding=self.embedding)


def choose_items(
    selector: Constrained,
    view: View,
    how: tuple[Budget | None, np.random.Generator],
    choose: Callable[[Pool, np.random.Generator], tuple[Selection, str]],
    *,
    embedding: str | None = None,
    values: Sequence[str] = (),
) -> Selection:
    """What `choose(pool, rng)` selects of a view's items, and why, as rows of the view with seed, time and memory."""
    (budget, rng), meter = how, Meter()
    seed = draw_seed(rng)
    pool = selector.pool(view, budget, embedding, values)
    chosen, reason = choose(pool, np.random.default_rng(seed))
    return pool.selection(chosen, f"{reason}, {len(chosen)} of {len(view)}", meter, seed)
