"""The registered selectors of this folder: pursuit of a target, information projection, and soft-cap sampling."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from curate.choosing import Constrained, Constraints, Meter, Pool, capacity, draw_seed, effort
from curate.contracts import Budget, Held, Selection, View
from curate.counting import counted
from curate.errors import InputError, check_installed
from curate.fitting import columns_of, true_rows
from curate.selectors.pursuit.gradients import Aims, hold_column, read_aims
from curate.selectors.pursuit.projection import information_projection
from curate.selectors.pursuit.pursuing import Pursued, pursue
from curate.selectors.pursuit.softcap import soft_cap
from curate.selectors.pursuit.sources import Shards
from curate.selectors.pursuit.trajectory import Trajectory, target_subspaces

__all__ = ["InformationProjection", "Pursuit", "SoftCap"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Aimed(Constrained):
    """Selectors that read a vector column and may have a `target`: an expression, true for the items that stand for what is
    to be learnt. Those are not chosen themselves. Without it the whole pool is the target."""

    target: str | None = None

    def _columns(self, *names: str) -> tuple[str, ...]:
        aim = columns_of(self.target) if self.target else ()
        return tuple(dict.fromkeys(("id", *names, *aim, *self.constraint_columns)))

    def _aims(self, view: View) -> npt.NDArray[np.bool_]:
        return true_rows(view, self.target) if self.target else np.zeros(len(view), bool)


@dataclass(frozen=True)
class Pursuit(_Aimed):
    """Chooses the few items whose weighted gradients add up to those of a target (gradient trajectory pursuit).

    `gradients`   a vector column: gradients at `checkpoints` checkpoints, one after the other, or embeddings.
    `target`      an expression, true for the items that stand for what is to be learnt; without it the mean of all.
    `tasks`       a column: target items that agree in it are a target of their own, with an equal share of the budget.
    `rates`       the learning rate of each checkpoint; all alike if empty.
    `rank`        at each checkpoint, see gradients in the `rank` strongest directions of the target's (of a sample of all
                  items', without a target); 0 for as they are.
    `typical`   a share: items may come in that are more like the target than such a share of its own items is, by the product
                with its mean (`usual_product`; for each task), as long as there are enough. Without it all may. With
                `target_gradients` its items need `gradients`, too: compared is what they would be in the pool.
    `ridge`, `passes` and `swaps` as in `pursue`.
    `target_gradients` a column in which the target's items have gradients of another kind than the pool's (LESS: plain, while
                the pool's are Adam-preconditioned); the target is then the mean of these. Without it of `gradients`.
    """

    gradients: str = "gradients"
    tasks: str | None = None
    checkpoints: int = 1
    rates: tuple[float, ...] = ()
    rank: int = 0
    ridge: float = 0.0
    typical: float | None = None
    passes: int = 128
    swaps: int = 4
    target_gradients: str | None = None

    name: ClassVar[str] = "pursuit"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.cost:
            raise InputError("a pursuit has no costs, its budget is a count: `cost` must stay empty")
        if self.tasks and not self.target:
            raise InputError(
                f"tasks {self.tasks!r} are those of target items: say which these are by `target`"
            )
        if self.target_gradients and not self.target:
            raise InputError(
                f"target_gradients {self.target_gradients!r} are those of target items: say which these are by `target`"
            )
        if self.typical is not None and not (self.target and 0 <= self.typical <= 1):
            raise InputError(
                f"typical {self.typical} is a share from 0 to 1 of target items: say also which these are by `target`"
            )
        if self.checkpoints < 1:
            raise InputError(f"checkpoints {self.checkpoints}: at least 1 is meant")
        if self.rates and len(self.rates) != self.checkpoints:
            raise InputError(
                f"{counted(len(self.rates), 'rate')} for {counted(self.checkpoints, 'checkpoint')}: one each is meant"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return self._columns(self.gradients, *(c for c in (self.target_gradients, self.tasks) if c))

    def ready(self) -> None:
        """Raises MissingExtraError where numba is not installed."""
        check_installed("numba", "select")

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        meter, seed = Meter(), draw_seed(rng)
        pool = self.pool(
            view, budget if budget is not None else 1.0
        )  # refuses a budget before anything is read
        with hold_column(view, self.gradients) as (held, hidden):
            chosen, must, names = self._pursue(view, pool, (budget, seed), held, hidden)
        reasons = self._reasons(chosen, must, names)
        return dataclasses.replace(chosen, reason=reasons, seed=seed, **meter.read())

    def _pursue(
        self,
        view: View,
        pool: Pool,
        how: tuple[Budget | None, int],
        held: Held,
        hidden: npt.NDArray[np.bool_],
    ) -> tuple[Pursued, int, tuple[str, ...]]:
        """What is chosen, in rows of the view, how many of it are mandatory, and the names of the tasks."""
        (budget, seed), aims = how, self._aims(view)
        within, barred = _in_rows_of_the_view(pool, hidden | aims)
        count = capacity(budget, len(view), len(view) - int(barred.sum()), f"finite {self.gradients!r}")
        given = np.random.default_rng(seed)
        place = np.empty(len(view), np.int64)
        place[pool.rows] = np.arange(len(view))
        plain = Shards(held, place)
        known, sample = None, None
        if self.target:
            known = self._read(view, plain, pool.rows[aims[pool.rows]], hidden)
            sample = known.gradients
        elif self.rank:
            sample = plain.take(_sample(pool.rows[~barred[pool.rows]], given))
        path = self._path(plain.width, sample)
        if not path.plain:
            held.tell("bring", path)
        chosen = pursue(
            plain if path.plain else Shards(held, place),
            None if known is None else path.bring(known.means()),
            count,
            rng=given,
            within=within,
            ridge=self.ridge,
            least=None if known is None or self.typical is None else known.least(path, self.typical),
            passes=self.passes,
            swaps=self.swaps,
        )
        must = 0 if within.mandatory is None else len(within.mandatory)
        return chosen, must, ("",) if known is None else known.names

    def _read(self, view: View, held: Shards, rows: Ints, hidden: npt.NDArray[np.bool_]) -> Aims:
        """The target's items among `rows`; those without a gradient that is needed are left out."""
        if self.typical is not None or not self.target_gradients:
            rows = rows[~hidden[rows]]
        return read_aims(view, rows, held.take(rows), (self.target_gradients, self.tasks))

    def _path(self, width: int, sample: npt.NDArray[np.float64] | None) -> Trajectory:
        rates = self.rates or ([1.0] * self.checkpoints if self.checkpoints > 1 else None)
        if sample is None or not self.rank:
            return Trajectory(width, rates, None)
        return Trajectory(width, rates, target_subspaces(sample, self.rank, self.checkpoints))

    def _reasons(self, chosen: Pursued, must: int, names: tuple[str, ...]) -> list[str]:
        assert chosen.round is not None and chosen.gain is not None
        towards = f"{self.target}" if self.target else f"the mean of {self.gradients}"
        towards += f" ({counted(len(names), 'task')} by {self.tasks})" if self.tasks else ""
        told = []
        for i, (turn, gain) in enumerate(zip(chosen.round.tolist(), chosen.gain.tolist(), strict=True)):
            if i < must:
                told.append("mandatory")
            elif turn < 0:
                told.append(f"fills the budget: of those that lead away from {towards} it does least")
            else:
                again = f", in round {turn + 1}" if turn else ""
                told.append(f"explains {gain:.2%} of {towards} beside those before it{again}")
        return told

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        width = self.rank * self.checkpoints or d
        most = min(budget, width)
        turns = -(-budget // max(1, most))
        touched = turns * min(self.passes * 1.5, 2 * budget) * n * width
        return effort(
            products=turns * 60.0 * most * most * width,
            touched=0.25 * touched,
            held=16.0 * most * width + 24.0 * most * most + (4.0 * n * width if self.rank else 0),
        )


@dataclass(frozen=True)
class InformationProjection(_Aimed):
    """Chooses items in whose span the target's embeddings lie as far as can be (greedy information projection).

    `embedding` a vector column; `quality` an expression, at least 0, by which an item's worth is multiplied.
    """

    embedding: str = "pixel_embedding"
    quality: str | None = None

    name: ClassVar[str] = "information-projection"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return self._columns(self.embedding, *(columns_of(self.quality) if self.quality else ()))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        meter, seed = Meter(), draw_seed(rng)
        pool = self.pool(view, budget, self.embedding, [self.quality] if self.quality else [])
        aims = self._aims(view)[pool.rows]
        if self.target and not aims.any():
            raise InputError(f"no item for which {self.target!r} is true has a finite {self.embedding!r}")
        banned = pool.within.forbidden if pool.within.forbidden is not None else np.empty(0, np.int64)
        within = dataclasses.replace(pool.within, forbidden=np.union1d(banned, np.flatnonzero(aims)))
        chosen = information_projection(
            pool.vectors,
            pool.vectors[aims] if self.target else None,
            pool.amount,
            rng=np.random.default_rng(seed),
            within=within,
            quality=pool.values[0] if self.quality else None,
        )
        what = f"{self.embedding} of {self.target}" if self.target else f"all {self.embedding}"
        return pool.selection(chosen, f"spans {what}, {len(chosen)} of {len(view)}", meter, seed)

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return effort(touched=3.0 * n * budget * d, held=24.0 * n * d)


@dataclass(frozen=True)
class SoftCap(Constrained):
    """Draws items by score with repetition, ever less likely: several copies of good ones, but few of many.

    `by` an expression, higher = likelier. `temperature`, `penalty`, `cap` and `batch` as in `soft_cap`. The budget counts
    draws; the weight of an item is how often it was drawn.
    """

    by: str
    temperature: float = 1.0
    penalty: float = 1.0
    cap: int | None = None
    batch: int | None = None

    name: ClassVar[str] = "soft-cap"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.cost:
            raise InputError("the budget of soft-cap counts draws: `cost` must stay empty")

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(("id", *columns_of(self.by), *self.constraint_columns)))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        meter, seed = Meter(), draw_seed(rng)
        pool = self.pool(view, budget, values=(self.by,))
        chosen = soft_cap(
            pool.values[0],
            pool.amount,
            rng=np.random.default_rng(seed),
            within=pool.within,
            temperature=self.temperature,
            penalty=self.penalty,
            cap=self.cap,
            batch=self.batch,
        )
        return pool.selection(chosen, f"drawn by {self.by}, as often as it weighs", meter, seed)

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        rounds = -(-budget // self.batch) if self.batch else 100
        return effort(touched=20.0 * n * rounds, held=40.0 * n)


def _sample(rows: Ints, rng: np.random.Generator, most: int = 2048) -> Ints:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


def _in_rows_of_the_view(
    pool: Pool, hidden: npt.NDArray[np.bool_]
) -> tuple[Constraints, npt.NDArray[np.bool_]]:
    """The constraints of a pool of all items, as rows of the view, the `hidden` ones forbidden; and who is."""
    own = pool.within
    barred = hidden.copy()
    if own.forbidden is not None:
        barred[pool.rows[own.forbidden]] = True
    must = None if own.mandatory is None else pool.rows[own.mandatory]
    if must is not None and hidden[must].any():
        raise InputError(
            f"{counted(int(hidden[must].sum()), 'mandatory item')} cannot be chosen, as row {must[hidden[must]][0]}: "
            "of the target, or without what the selector reads"
        )
    group = None
    if own.group is not None:
        group = np.empty(len(pool), np.int64)
        group[pool.rows] = own.group
    return Constraints(must, np.flatnonzero(barred), None, group, own.balance), barred
