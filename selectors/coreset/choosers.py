"""What the registered selectors of this folder share: read the items, choose, and point back at the view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curate.choosing import Constrained, Meter, Pool, draw_seed
from curate.contracts import Budget, Selection, View
from curate.vectors.sources import Column, Source, survey

__all__ = ["Embedded", "Unscored", "choose_items"]

Chosen = tuple[Selection, str]
"""Rows of a pool, and the reason for them."""


@dataclass(frozen=True, kw_only=True)
class Embedded(Constrained):
    """The fields of selectors that read a vector column, beside those of every selector.

    `embedding` the vector column; items without a finite vector are never chosen, and counted in the reasons.
    """

    embedding: str = "pixel_embedding"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.embedding, *self.constraint_columns)

    def _select(
        self,
        view: View,
        how: tuple[Budget | None, np.random.Generator],
        choose: Callable[[Source, Pool, np.random.Generator], Chosen],
        values: tuple[str, ...] = (),
    ) -> Selection:
        """What `choose(vectors, pool, rng)` selects of a view's items. Vectors are read where and when they are needed."""
        (budget, rng), meter = how, Meter()
        seed = draw_seed(rng)
        pool = self.pool(view, budget, self.embedding, values, usable=survey(view, self.embedding))
        rows = Column(view, self.embedding, pool.rows, cost=self.cost)
        return _pointed(choose(rows, pool, np.random.default_rng(seed)), pool, (view, meter, seed))


@dataclass(frozen=True, kw_only=True)
class Unscored(Embedded, ABC):
    """Selectors that read a vector column and nothing else: how they choose is all that sets them apart."""

    @abstractmethod
    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        """Rows of the pool, whose vectors are `rows`, and the reason for them."""

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        return self._select(view, (budget, rng), self._choose)


def choose_items(
    selector: Constrained,
    view: View,
    how: tuple[Budget | None, np.random.Generator],
    choose: Callable[[Pool, np.random.Generator], Chosen],
    values: tuple[str, ...],
) -> Selection:
    """What `choose(pool, rng)` selects of a view's items by `values` alone, and why, as rows of the view with seed, time and
    memory."""
    (budget, rng), meter = how, Meter()
    seed = draw_seed(rng)
    pool = selector.pool(view, budget, None, values)
    return _pointed(choose(pool, np.random.default_rng(seed)), pool, (view, meter, seed))


def _pointed(chosen: Chosen, pool: Pool, made: tuple[View, Meter, int]) -> Selection:
    selection, reason = chosen
    view, meter, seed = made
    return pool.selection(selection, f"{reason}, {len(selection)} of {len(view)}", meter, seed)
