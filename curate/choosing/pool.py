"""The items of a view that a selector may choose from, in the order of their ids, and what it is told of them."""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_rows
from curate.choosing.budgets import Balance, capacity
from curate.choosing.constraints import Constraints
from curate.contracts import Budget, Selection, View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import columns_of, numbers, order_by_id, read_labels, read_vectors, true_rows

__all__ = ["Constrained", "Meter", "Pool", "as_matrix", "draw_seed", "finite_rows", "peak_memory", "strata"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Constrained:
    """The fields that selectors share: the base of their dataclasses.

    `mandatory` an expression: items for which it is true are chosen before all others, in the order of their ids; if it
                is a number, wherever it is not null and in ascending order: the ranks of an earlier selection continue it.
    `forbidden` an expression: items for which it is true are never chosen.
    `cost`      an expression, positive: the budget is in its units (a fraction or a percentage: of the whole cost).
    `group`     a column or several: items that agree in all are a group and get a share of the budget of their own,
                by `balance`: "proportional" to what the group holds, or "equal".
    """

    mandatory: str | None = None
    forbidden: str | None = None
    cost: str | None = None
    group: str | tuple[str, ...] | None = None
    balance: Balance = "proportional"

    budgeted: ClassVar[bool] = True

    @property
    def constraint_columns(self) -> tuple[str, ...]:
        """What the constraints read, for `needs`."""
        texts = [text for text in (self.mandatory, self.forbidden, self.cost) if text]
        return (*(column for text in texts for column in columns_of(text)), *self._groups)

    @property
    def _groups(self) -> tuple[str, ...]:
        return (self.group,) if isinstance(self.group, str) else tuple(self.group or ())

    def pool(
        self,
        view: View,
        budget: Budget | None,
        embedding: str | None = None,
        values: Sequence[str] = (),
        *,
        usable: npt.NDArray[np.bool_] | None = None,
    ) -> Pool:
        """What there is to choose from: the items with a finite vector, number and cost, in the order of ids.

        `embedding` is a vector column, `values` expressions that give numbers. The budget is one of all items. Vectors are
        not read where `usable` (n,) tells already whose are finite.
        Raises InputError if nothing is left, or a mandatory item has not what is needed.
        """
        order = order_by_id(view)
        known = np.ones(len(order), bool)
        x = None
        if usable is not None:
            known &= usable[order]
        elif embedding:
            x = read_vectors(view, embedding, order)
            known &= finite_rows(x)
        columns = [
            numbers(view.compute(text), text)[order]
            for text in (*values, *([self.cost] if self.cost else []))
        ]
        for column in columns:
            known &= np.isfinite(column)
        what = " and ".join(
            [
                *([f"a finite {embedding!r}"] if embedding else []),
                *map(repr, [*values, *([self.cost] if self.cost else [])]),
            ]
        )
        if not known.any():
            raise InputError(
                f"none of {counted(len(order), 'item')} has {what}: there is nothing to choose from"
            )
        within = self._constraints(view, order, known, columns[-1] if self.cost else None)
        rows = order
        if not known.all():
            rows, x = order[known], None if x is None else x[known]
            columns = [column[known] for column in columns]
        if budget is None or self.cost is None:
            barred = 0 if within.forbidden is None else len(within.forbidden)
            budget = capacity(budget, len(view), len(rows) - barred, what or "leave to be chosen")
        return Pool(rows, x, tuple(columns[: len(values)]), budget, within, len(order) - len(rows), what)

    def _constraints(
        self, view: View, order: Ints, known: npt.NDArray[np.bool_], cost: npt.NDArray[Any] | None
    ) -> Constraints:
        place = np.cumsum(known) - 1
        first = banned = group = None
        if self.mandatory:
            first = _ranked(view.compute(self.mandatory), self.mandatory, order)
            lost = first[~known[first]]
            if len(lost):
                raise InputError(
                    f"{counted(len(lost), 'mandatory item')} cannot be chosen, as {_id(view, order[lost])!r}: what "
                    "the selector reads is missing there"
                )
        if self.forbidden:
            barred = true_rows(view, self.forbidden)[order] & known
            both = first[barred[first]] if first is not None else ()
            if len(both):
                raise InputError(
                    f"{counted(len(both), 'item is', 'items are')} both mandatory and forbidden, as "
                    f"{_id(view, order[both])!r}: each can be only one of the two"
                )
            banned = place[np.flatnonzero(barred)]
        first = None if first is None else place[first]
        if self._groups:
            group = strata(view.to_arrow(list(self._groups)), self._groups)[0][order][known]
        return Constraints(first, banned, None if cost is None else cost[known], group, self.balance)


def _id(view: View, rows: Ints) -> str:
    """The id of the first of these rows."""
    return str(view.take(rows[:1], ["id"]).column("id")[0].as_py())


def _ranked(values: pa.ChunkedArray, expression: str, order: Ints) -> Ints:
    """Places in `order` that are mandatory, in the order in which they are to be chosen."""
    told = numbers(values, expression)[order]
    if pa.types.is_boolean(values.type):
        return np.flatnonzero(told == 1)
    places = np.flatnonzero(~np.isnan(told))
    return places[np.argsort(told[places], kind="stable")]


@dataclass(frozen=True, eq=False)
class Pool:
    """Items to choose from. Row i of everything here is row `rows[i]` of the view; the order is that of the ids.

    `x` (m, d) their vectors, None where none were asked for; `values` one (m,) array for each expression; `budget` a
    count (or, where items have costs, what it was); `within` the constraints; `unusable` how many items of the view
    have not `what` it takes.
    """

    rows: Ints
    x: npt.NDArray[np.floating] | None
    values: tuple[npt.NDArray[np.floating], ...]
    budget: Budget | None
    within: Constraints
    unusable: int = 0
    what: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def vectors(self) -> npt.NDArray[np.floating]:
        """The vectors, where an embedding was asked for."""
        assert self.x is not None, "the pool was read without an embedding"
        return self.x

    @property
    def amount(self) -> Budget:
        """The budget of what is to be chosen, which `Constrained.pool` has seen to."""
        assert self.budget is not None, "a pool without costs has a count"
        return self.budget

    def labels(self, view: View, column: str) -> pa.Array:
        """Labels of the items as strings, in their order."""
        return read_labels(view, column, self.rows)

    def selection(self, chosen: Selection, reason: str, meter: Meter, seed: int | None = None) -> Selection:
        """What was chosen of the pool, as rows of the view. Mandatory items say that they are."""
        note = (
            f"; {counted(self.unusable, 'item')} without {self.what} could not be chosen"
            if self.unusable
            else ""
        )
        reasons: str | list[str] = reason + note
        must = 0 if self.within.mandatory is None else len(self.within.mandatory)
        if must:
            reasons = ["mandatory"] * must + [reason + note] * (len(chosen) - must)
        return dataclasses.replace(
            chosen, index=self.rows[chosen.index], reason=reasons, seed=seed, **meter.read()
        )


class Meter:
    """Seconds and memory since it was made, as `Selection` takes them: `Selection(..., **meter.read())`."""

    def __init__(self) -> None:
        self._start, self._peak = time.perf_counter(), peak_memory()

    def read(self) -> dict[str, Any]:
        """`seconds`, and `memory`: by how many bytes the most that the process ever held has grown."""
        return {"seconds": time.perf_counter() - self._start, "memory": peak_memory() - self._peak}


def peak_memory() -> int:
    """Bytes that this process has held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def draw_seed(rng: np.random.Generator) -> int:
    """The one number a selector draws from the run's generator, and records."""
    return int(rng.integers(2**63))


def finite_rows(x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which rows of `x` (n, d) hold finite numbers alone: (n,) bool. One pass, no copy."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(x @ np.zeros(x.shape[1], x.dtype)))


def as_matrix(x: Any, rows: int | None = None, what: str = "features") -> npt.NDArray[Any]:
    """(n, d) finite numbers. Raises InputError for another shape or number of rows, or naming rows that are not finite."""
    array = as_rows(x, what)
    if not array.size:
        raise InputError(f"{what} have shape {array.shape}: (n, d) numbers, at least one, are meant")
    if rows is not None and len(array) != rows:
        raise InputError(f"{what} of {counted(len(array), 'row')} for {counted(rows, 'label')}")
    bad = np.flatnonzero(~finite_rows(array))
    if len(bad):
        raise InputError(
            f"{what} are not finite in {counted(len(bad), 'row')}, as {bad[:5].tolist()}: leave those out"
        )
    return array


def strata(table: pa.Table, by: Sequence[str]) -> tuple[Ints, list[str]]:
    """A code for each row, in the sorted order of the strata's values, and the strata's names.

    Rows that agree in all columns `by` are one stratum; null is a value of its own.
    """
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(table.select(list(by))))
    groups = frame.unique().sort(by, nulls_last=True).with_row_index("code")
    coded = frame.join(groups, on=list(by), how="left", nulls_equal=True, maintain_order="left")
    names = [
        ", ".join(f"{b}={'null' if v is None else v}" for b, v in zip(by, row[1:], strict=True))
        for row in groups.rows()
    ]
    return coded["code"].to_numpy().astype(np.int64), names
