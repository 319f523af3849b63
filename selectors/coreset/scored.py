"""The registered selectors that read scores, alone or beside vectors: difficulty, D2 and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curate.choosing import Constrained, Pool, effort
from curate.contracts import Budget, Selection, View
from curate.errors import InputError, check_installed
from curate.fitting import columns_of, numbers, true_rows
from curate.selectors.coreset.asking import query
from curate.selectors.coreset.choosers import Chosen, Embedded, choose_items
from curate.selectors.coreset.message import Together, d2
from curate.selectors.coreset.strata import ccs, hardest
from curate.vectors.sources import Source

__all__ = ["D2", "Ccs", "Hardest", "Query"]


@dataclass(frozen=True)
class Ccs(Constrained):
    """Chooses items evenly over all degrees of difficulty, without the hardest (coverage-centric selection).

    `by` is an expression, **higher = easier**, such as the score of `aum`. `drop` and `bins` as in `ccs`.
    """

    by: str = "aum"
    drop: float = 0.3
    bins: int = 50

    name: ClassVar[str] = "ccs"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.group:
            raise InputError("ccs makes groups of its own, bins of difficulty: `group` must stay empty")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", *columns_of(self.by), *self.constraint_columns)

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        def choose(pool: Pool, rng: np.random.Generator) -> Chosen:
            within, score = pool.within, pool.values[0]
            chosen = ccs(score, pool.amount, rng=rng, within=within, drop=self.drop, bins=self.bins)
            return chosen, f"of its degree of difficulty by {self.by}"

        return choose_items(self, view, (budget, rng), choose, (self.by,))

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return effort(touched=500.0 * n, held=100.0 * n)


@dataclass(frozen=True)
class Hardest(Constrained):
    """Chooses the hardest items, or the easiest, by a score; those never learned count as the hardest.

    `by` is an expression, **higher = harder**, such as `dynamics_forgetting` or `0 - aum`. Where `never_learned`, an
    expression, is true, the score is infinite, whatever `by` says, null included. `easiest` turns the order.
    """

    by: str = "dynamics_forgetting"
    never_learned: str | None = None
    easiest: bool = False

    name: ClassVar[str] = "hardest"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        more = columns_of(self.never_learned) if self.never_learned else ()
        return ("id", *columns_of(self.by), *more, *self.constraint_columns)

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        by = self.by
        if self.never_learned:
            # above every score there is, and finite: an item without a number could not be chosen
            told = numbers(view.compute(self.by), self.by)
            above = 1 + 2 * float(np.nanmax(np.abs(told), initial=0.0))
            by = f"case when ({self.never_learned}) then {above!r}::double else ({self.by}) end"

        def choose(pool: Pool, rng: np.random.Generator) -> Chosen:
            score = pool.values[0].astype(np.float64)
            if self.never_learned:
                score = np.where(score == above, np.inf, score)
            chosen = hardest(score, pool.amount, rng=rng, within=pool.within, easiest=self.easiest)
            return chosen, f"among the {'easiest' if self.easiest else 'hardest'} by {self.by}"

        return choose_items(self, view, (budget, rng), choose, (by,))

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return effort(touched=500.0 * n, held=100.0 * n)


@dataclass(frozen=True)
class D2(Embedded):
    """Chooses items that are hard, in dense places, and apart: difficulty passed on among neighbours (D2 pruning).

    `by` is an expression from 0 on, **higher = harder**. `neighbours`, `forward`, `reverse` and `together` as in `d2`.
    """

    by: str = "dynamics_variability"
    neighbours: int = 10
    forward: float = 1.0
    reverse: float = 1.0
    together: Together = "sum"

    name: ClassVar[str] = "d2"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.embedding, *columns_of(self.by), *self.constraint_columns)

    def ready(self) -> None:
        """Raises MissingExtraError where numba is not installed."""
        check_installed("numba", "select")

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        def choose(rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
            chosen = d2(
                rows,
                pool.values[0],
                pool.amount,
                rng=rng,
                within=pool.within,
                neighbours=self.neighbours,
                forward=self.forward,
                reverse=self.reverse,
                together=self.together,
            )
            return chosen, f"by D2 of {self.by} over {self.embedding}"

        return self._select(view, (budget, rng), choose, (self.by,))

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take where vectors form clusters."""
        looked = min(n, 2000) * float(n)
        return effort(
            products=looked * d,
            touched=looked + 500.0 * n * self.neighbours,
            held=n * (64.0 + 120 * self.neighbours) + 2e8,
        )


@dataclass(frozen=True)
class Query(Embedded):
    """Chooses items to ask people about: uncertain ones that stand for many, none like what is known already.

    `by` is an expression from 0 on, **higher = more uncertain**. Where `known`, an expression, is true, the item is
    labelled: it is not chosen, nor is what is like it. `neighbours` as in `query`.
    """

    by: str = "uncertainty"
    known: str | None = None
    neighbours: int = 64

    name: ClassVar[str] = "query"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        more = columns_of(self.known) if self.known else ()
        return ("id", self.embedding, *columns_of(self.by), *more, *self.constraint_columns)

    def ready(self) -> None:
        """Raises MissingExtraError where numba is not installed."""
        check_installed("numba", "select")

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        known = true_rows(view, self.known) if self.known else np.zeros(len(view), bool)

        def choose(rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
            chosen = query(
                rows,
                pool.values[0],
                pool.amount,
                rng=rng,
                within=pool.within,
                known=np.flatnonzero(known[pool.rows]),
                neighbours=self.neighbours,
            )
            return chosen, f"uncertain by {self.by}, and stands for others in {self.embedding}"

        return self._select(view, (budget, rng), choose, (self.by,))

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take where vectors form clusters."""
        looked = min(n, 2000) * float(n)
        return effort(
            products=looked * d + 2.0 * n * budget * d,
            touched=looked,
            held=n * (64.0 + 32 * self.neighbours) + 2e8,
        )
