"""Memorisation and influence from models trained on random subsets (Feldman and Zhang, NeurIPS 2020)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_numbers, as_rows
from curate.arrays.labels import as_codes, check_several
from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.noise.dynamics.head import Head, standardise, train_head

__all__ = ["Memorisation", "SubsetModel", "SubsetRuns", "influence", "memorisation", "subset_runs"]

Floats = npt.NDArray[np.float64]
SubsetModel = Literal["nearest", "logistic-regression", "mlp"]
_BLOCK = 1 << 24


class Memorisation(NamedTuple):
    """Row by row, NaN where the item was in all runs or in none:

    `memorised`  (n,) in [-1, 1]: right when trained on it less right when not; high = learnt by heart
    `included`   (n,) share of runs with the item in which it was right
    `excluded`   (n,) share of runs without it: low = what is learnt from others contradicts the label
    `error`      (n,) standard error of `memorised` over the draw of the subsets
    """

    memorised: Floats
    included: Floats
    excluded: Floats
    error: Floats


def memorisation(correct: npt.NDArray[Any], included: npt.NDArray[Any]) -> Memorisation:
    """How much each item's own label is needed to predict it: mean of `correct` where included less where not.

    `correct` (T, n) 0/1 or probabilities in [0, 1] of the given label, run by run; `included` (T, n) bool. High means a wrong
    label or a rare item: look beside it at whether its neighbours agree. Raises InputError for shapes that differ.
    """
    right, inside = _checked(correct, included)
    times_in = inside.sum(0)
    times_out = len(inside) - times_in
    with np.errstate(invalid="ignore", divide="ignore"):
        with_it = (right * inside).sum(0) / times_in
        without = (right * ~inside).sum(0) / times_out
        squares = (
            ((right - with_it) ** 2 * inside).sum(0) / times_in**2
            + ((right - without) ** 2 * ~inside).sum(0) / times_out**2
        )  # fmt: skip
    return Memorisation(with_it - without, with_it, without, np.sqrt(squares))


def _checked(correct: npt.NDArray[Any], included: npt.NDArray[Any]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    right, inside = as_floats(correct, "correct"), as_numbers(included, "included")
    if right.ndim != 2 or right.shape != inside.shape or not right.size:
        raise InputError(f"correct {right.shape} and included {inside.shape}: both (runs, items) are meant")
    if not np.isin(inside, (0, 1)).all() or not ((right >= 0) & (right <= 1)).all():
        raise InputError("included must be 0 or 1, correct from 0 to 1, without NaN")
    return right, inside.astype(bool)


def influence(test_correct: npt.NDArray[Any], included: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """How much each training item helps each test item: (n, m) float32 in [-1, 1], mean of `test_correct` over runs with the
    item less over runs without; high = helps. NaN rows for items in all runs or in none.

    `test_correct` (T, m) numbers, `included` (T, n) bool. Two matrix products; n x m numbers are held.
    Raises InputError for another number of runs.
    """
    tested, inside = (
        np.asarray(as_numbers(test_correct, "test_correct"), np.float32),
        as_numbers(included, "included") != 0,
    )
    if tested.ndim != 2 or inside.ndim != 2 or len(tested) != len(inside) or not len(tested):
        raise InputError(
            f"test_correct {tested.shape} and included {inside.shape}: (T, m) and (T, n) are meant"
        )
    times_in = inside.sum(0)[:, None].astype(np.float32)
    total = tested.sum(0)
    out = np.empty((inside.shape[1], tested.shape[1]), np.float32)
    rows = max(1, _BLOCK // max(1, len(inside)))
    with np.errstate(invalid="ignore", divide="ignore"):
        for low in range(0, len(out), rows):
            at = slice(low, low + rows)
            with_it = inside[:, at].T.astype(np.float32) @ tested
            out[at] = with_it / times_in[at] - (total - with_it) / (len(inside) - times_in[at])
    return out


class SubsetRuns(NamedTuple):
    """`correct` (T, n) bool, `included` (T, n) bool, `test_correct` (T, m) bool (m = 0 without test items)."""

    correct: npt.NDArray[np.bool_]
    included: npt.NDArray[np.bool_]
    test_correct: npt.NDArray[np.bool_]


def subset_runs(
    x: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    classes: int,
    *,
    runs: int = 100,
    share: float = 0.7,
    model: SubsetModel = "nearest",
    head: Head | None = None,
    test: tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None = None,
    seed: int = 0,
) -> SubsetRuns:
    """Train `runs` models, each on a random `share` of the items, and see what each gets right.

    `x` (n, d) finite embeddings, `labels` (n,) in 0 ... classes - 1, `test` (x, labels) of other items. `model`: the nearest
    neighbour in the subset (memorises perfectly and costs nothing to train), logistic regression (memorises little), or
    `mlp`, a `head`. The paper trains 2,000 networks on 70 %. Raises InputError for less than two runs, a share outside
    (0, 1), one class; MissingExtraError without `noise` (logistic regression) or `train` (mlp).
    """
    x = as_rows(x)
    labels = as_codes(labels, len(x), classes, of="items")
    n = len(labels)
    size = round(share * n)
    if runs < 2 or not 0 < share < 1 or not 0 < size < n:
        raise InputError(
            f"runs={runs}, share={share} of {counted(n, 'item')}: two runs or more, a share between 0 and 1"
        )
    check_several(labels)
    rng = np.random.default_rng(seed)
    included = np.zeros((runs, n), bool)
    for run in range(runs):
        included[run, rng.choice(n, size, replace=False)] = True
    mean, scale = standardise(x)
    known = ((x - mean) / scale).astype(np.float32)
    asked = known if test is None else np.vstack([known, ((test[0] - mean) / scale).astype(np.float32)])
    truth = labels if test is None else np.concatenate([labels, test[1]])
    if model == "nearest":
        right = _nearest(known, labels, asked, truth, included)
    else:
        right = np.empty((runs, len(asked)), bool)
        for run in range(runs):
            right[run] = _predict(model, known, labels, included[run], asked, classes, head, run) == truth
    return SubsetRuns(right[:, :n], included, right[:, n:])


def _predict(
    model: SubsetModel,
    x: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    inside: npt.NDArray[np.bool_],
    asked: npt.NDArray[np.float32],
    classes: int,
    head: Head | None,
    run: int,
) -> npt.NDArray[np.int64]:
    if len(np.unique(labels[inside])) < 2:
        return np.full(len(asked), labels[inside][0])
    if model == "mlp":
        base = head or Head()
        trained = train_head(
            x[inside], labels[inside], classes, head=replace(base, seed=base.seed * 1_000_003 + run)
        )
        return np.asarray(trained.predict(asked).argmax(1), np.int64)
    if model != "logistic-regression":
        raise InputError(f"model={model!r}: one of 'nearest', 'logistic-regression', 'mlp'")
    linear: Any = require("sklearn.linear_model", "noise")
    threads: Any = require("threadpoolctl", "noise")
    with threads.threadpool_limits(1):
        fitted = linear.LogisticRegression(C=1.0, max_iter=200, tol=1e-3).fit(x[inside], labels[inside])
        return np.asarray(fitted.predict(asked), np.int64)


def _nearest(
    x: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    asked: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
    included: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Whether the nearest item of the subset has the asked item's label, run by run; an item is nearest to itself.

    The neighbours of an item are ordered once; in each run the first that is in the subset counts. Of items equally near
    the first by row counts.
    """
    out = np.empty((len(included), len(asked)), bool)
    norms = (x * x).sum(1)
    depth = min(len(x), 40)  # at a share of 0.3 the chance that none of 40 is in is 6e-7
    rows = max(1, _BLOCK // len(x))
    for low in range(0, len(asked), rows):
        at = slice(low, min(low + rows, len(asked)))
        distance = norms - 2 * asked[at] @ x.T
        own = np.arange(at.start, at.stop)
        mine = own < len(x)
        distance[np.flatnonzero(mine), own[mine]] = -np.inf
        near = (
            np.argpartition(distance, depth - 1, axis=1)[:, :depth]
            if depth < len(x)
            else np.argsort(distance)
        )
        ranked = np.lexsort((near, np.take_along_axis(distance, near, 1)), axis=1)
        near = np.take_along_axis(near, ranked, 1)
        for run, inside in enumerate(included):
            hits = inside[near]
            nearest = near[np.arange(len(near)), hits.argmax(1)]
            for row in np.flatnonzero(~hits.any(1)):
                nearest[row] = np.where(inside, distance[row], np.inf).argmin()
            out[run, at] = labels[nearest] == truth[at]
    return out
