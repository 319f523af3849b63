"""`balanced`: a draw in which every class of several axes is as frequent as every other, by an integer program."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Budget, Selection, View, resolve_budget
from curate.counting import counted
from curate.errors import InputError, UnknownNameError, check_installed, require
from curate.fitting import numbers
from curate.selectors.threshold.grouped import PIECE, GroupedPiece, Merged, SomeIds, drawn_groups, lowest_rows
from curate.selectors.threshold.stratified import stratified_rows
from curate.selectors.threshold.uniform import draw_seed

__all__ = ["Balanced", "BalancedQuotas", "Solver", "balanced_quotas"]

Solver = Literal["milp", "greedy"]
Ints = npt.NDArray[np.int64]


class BalancedQuotas(NamedTuple):
    """`quotas` (m,) int64: how many to take of each cell. `imbalance`: the sum over axes and classes of how far each
    class is from its even share, in items. `exact`: whether that is proved to be the least there is."""

    quotas: Ints
    imbalance: float
    exact: bool


def balanced_quotas(
    cells: npt.NDArray[Any],
    sizes: npt.NDArray[Any],
    count: int,
    *,
    solver: Solver = "milp",
    nodes: int = 1000,
) -> BalancedQuotas:
    """How many items to take of each cell so that on every axis the classes come out even.

    `cells` (m, a) integers: the class of each cell on each of a axes; `sizes` (m,) how many items each cell holds.
    Minimises, over whole numbers 0 <= x <= sizes that sum to `count`, the sum over axes and classes of
    |items of the class - count / classes of the axis|, made linear by one slack for each class (the balanced sampling
    of prompts in EvalMuse-40K, arXiv 2412.18150; its objective is unpublished, this one is ours). Items of one cell are
    alike to the program, so it has as many unknowns as cells, however many items there are.

    `solver` "milp": branch and bound (HiGHS) of at most `nodes` nodes; if it finds nothing by then, or "greedy": one
    item after the other from the cell whose classes lack most, of equal ones the fullest: fast, and not always the best.
    Raises InputError if `count` is more than there are.
    """
    cells, sizes = np.asarray(cells, np.int64), np.asarray(sizes, np.int64)
    if cells.ndim != 2 or sizes.shape != cells.shape[:1] or not cells.shape[1]:
        raise InputError(
            f"cells {cells.shape}, sizes {sizes.shape}: (cells, axes) with at least one axis, and (cells,)"
        )
    if solver not in ("milp", "greedy"):
        raise InputError(f"solver {solver!r}: milp or greedy")
    if count > sizes.sum() or count < 0:
        raise InputError(f"{counted(count, 'item')} asked for, there are {int(sizes.sum())}")
    member, target = _classes(cells, count)
    quotas, exact = None, False
    if solver == "milp" and count:
        quotas, exact = _solve(member, target, sizes, (count, nodes))
    if quotas is None:
        quotas = _grow(member, target, sizes, count)
    return BalancedQuotas(quotas, float(np.abs(member @ quotas - target).sum()), exact or not count)


def _classes(cells: Ints, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(classes, cells) 1 where a cell is of a class, over all axes; and how many items each class should have."""
    rows, targets = [], []
    for axis in cells.T:
        known = np.unique(axis)
        rows.append((axis == known[:, None]).astype(np.float64))
        targets.append(np.full(len(known), count / max(1, len(known))))
    return np.vstack(rows), np.concatenate(targets)


def _solve(
    member: npt.NDArray[np.float64], target: npt.NDArray[np.float64], sizes: Ints, limits: tuple[int, int]
) -> tuple[Ints | None, bool]:
    optimize: Any = require("scipy.optimize", "noise")
    sparse: Any = require("scipy.sparse", "noise")
    (k, m), (count, nodes) = member.shape, limits
    slack = sparse.eye(k)
    inside = sparse.csr_array(member)
    rows = sparse.vstack(
        [
            sparse.hstack([inside, -slack]),  # items - slack <= target
            sparse.hstack([inside, slack]),  # items + slack >= target
            sparse.hstack([sparse.csr_array(np.ones((1, m))), sparse.csr_array((1, k))]),
        ]
    )
    low = np.concatenate([np.full(k, -np.inf), target, [count]])
    high = np.concatenate([target, np.full(k, np.inf), [count]])
    found = optimize.milp(
        np.concatenate([np.zeros(m), np.ones(k)]),
        constraints=optimize.LinearConstraint(rows, low, high),
        integrality=np.concatenate([np.ones(m), np.zeros(k)]),
        bounds=optimize.Bounds(0, np.concatenate([sizes.astype(float), np.full(k, np.inf)])),
        options={"node_limit": nodes, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None, False
    quotas = np.round(found.x[:m]).astype(np.int64)
    sound = quotas.sum() == count and (quotas >= 0).all() and (quotas <= sizes).all()
    return (quotas if sound else None), bool(sound and found.status == 0)


def _grow(member: npt.NDArray[np.float64], target: npt.NDArray[np.float64], sizes: Ints, count: int) -> Ints:
    quotas, left = np.zeros(len(sizes), np.int64), sizes.copy()
    missing = target.copy()
    for _ in range(count):
        # by how much is missing, not whether: where all classes lack some, each would else be as good as any
        gain = np.where(left > 0, missing @ member, -np.inf)
        best = np.flatnonzero(gain >= gain.max() - 1e-9)
        cell = best[left[best].argmax()]
        quotas[cell] += 1
        left[cell] -= 1
        missing -= member[:, cell]
    return quotas


@dataclass(frozen=True)
class Balanced:
    """Chooses items so that on each of several axes every class is as frequent as every other, as far as can be.

    `by`      columns, each an axis: category, logic, style of a prompt. Text, truth values and whole numbers are
              classes, null is one of its own; other numbers are cut into `bins` equally full ones.
    `solver`  "milp": the best there is, by an integer program (extra `noise`) of at most `nodes` nodes; "greedy".
    Which items of a cell (a combination of classes) are taken is drawn at random.
    """

    by: tuple[str, ...]
    bins: int = 3
    solver: Solver = "milp"
    nodes: int = 1000

    name: ClassVar[str] = "balanced"
    version: ClassVar[int] = 1
    budgeted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.by or len(set(self.by)) < len(self.by):
            raise InputError(
                "balanced: `by` names the columns that are the axes, each once, such as (category, style)"
            )
        if self.bins < 2 or self.nodes < 1:
            raise InputError(f"balanced: bins={self.bins}, nodes={self.nodes}: at least 2 and 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", *self.by)

    def ready(self) -> None:
        """Raises MissingExtraError where the solver is not installed."""
        if self.solver == "milp":
            check_installed("scipy", "noise")

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError for a budget that is none, UnknownNameError for a column that is not there."""
        start, seed = time.perf_counter(), draw_seed(rng)
        count = resolve_budget(budget, len(view))
        with view.resident(partial(GroupedPiece, self.by, seed, None), PIECE) as held:
            held.tell("group", self._cuts(view))
            cells = np.zeros((0, len(self.by)), np.int64)

            def code(table: pa.Table) -> Ints:
                nonlocal cells
                axes = np.column_stack([_codes(table.column(name)) for name in self.by])
                cells, codes = np.unique(axes, axis=0, return_inverse=True)
                return codes.reshape(-1).astype(np.int64)

            merged = Merged.of(held.ask("groups"), code)
            found = balanced_quotas(cells, merged.sizes, count, solver=self.solver, nodes=self.nodes)
            some = lowest_rows(held, merged, found.quotas)
            drawn = np.bincount(drawn_groups(held, merged, count, view), minlength=len(cells))
        at = stratified_rows(some.groups, some.keys, SomeIds(view, some.rows), found.quotas)
        member, target = _classes(cells, count)
        scale = 2 * max(count, 1) * len(self.by)
        how = "the least imbalance there is" if found.exact else "not proved to be the best"
        return Selection(
            some.rows[at],
            reason=f"balanced over {', '.join(self.by)}: {found.imbalance:g} items from even, {how}",
            seed=seed,
            seconds=time.perf_counter() - start,
            random={
                "objective": 1 - found.imbalance / scale,
                "random": 1 - float(np.abs(member @ drawn - target).sum()) / scale,
            },
        )

    def _cuts(self, view: View) -> dict[str, npt.NDArray[np.float64]]:
        """Where the axes of numbers are cut, so that the bins are equally full."""
        cuts = {}
        for column in self.by:
            if column not in view.columns:
                raise UnknownNameError("column", column, view.columns)
            type_ = view.take(np.empty(0, np.int64), [column]).schema.field(column).type
            if pa.types.is_nested(type_):
                raise InputError(f"balanced: {column!r} is {type_}: an axis has one class for each item")
            if pa.types.is_floating(type_) or pa.types.is_decimal(type_):
                known = np.concatenate([np.empty(0), *view.spread(partial(_numbers, column))])
                share = np.arange(1, self.bins) / self.bins
                cuts[column] = np.unique(np.quantile(known, share)) if len(known) else np.empty(0)
        return cuts


def _numbers(column: str, piece: View, first: int) -> npt.NDArray[np.float64]:
    values = numbers(piece.to_arrow([column]).column(0), column).astype(np.float64)
    return values[~np.isnan(values)]


def _codes(values: pa.ChunkedArray) -> Ints:
    """Classes as whole numbers in the order of their values, 0 for null."""
    import polars as pl

    return pl.Series("values", values).rank("dense").fill_null(0).to_numpy().astype(np.int64)
