"""CW-ERM: weights learnt on a coreset and handed on to everything, at a fraction of what learning them all takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.choosing import as_matrix
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.reweighting.meta import MetaRun, MetaTraining, meta_weights
from curate.selectors.reweighting.moderate import middle_rows, spread_weights
from curate.selectors.reweighting.weighted import Draw, Weighted, as_codes, weigh

Spread = Literal["neighbours", "network"]

__all__ = ["CoreWeighted", "cw_erm"]

Ints = npt.NDArray[np.int64]

_GIVEN_UP = 0.01
"""A class whose mean weight is this part of the mean over classes, or less, is given up."""


@dataclass(frozen=True, eq=False)
class CoreWeighted(Weighted):
    """Weights from a coreset. `core` (m,) its rows; `core_weight` (m,) float64 in (0, 1) what the network gave them."""

    core: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    core_weight: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def cw_erm(
    x: Any,
    labels: Any,
    coreset: float | Literal["all"] = 0.05,
    *,
    spread: Spread = "neighbours",
    neighbours: int = 5,
    even: bool = True,
    trusted: Any = None,
    inputs: Any = None,
    training: MetaTraining | None = None,
    model: Callable[[], Any] | None = None,
    draw: Draw | None = None,
) -> CoreWeighted:
    """Training weights for all items, learnt on a moderate `coreset` of them.

    `x` (n, d) finite features, `labels` (n,). (1) The coreset: of each class the share `coreset` at middling distance
    from its median ("all": full reweighting, for comparison). (2) Meta-Weight-Net on the coreset (`meta_weights`; with
    `model` and `inputs` (n, ...) on those in place of the features). (3) Every item gets the mean weight of its
    `neighbours` nearest core items of the same class; with `spread` "network", what the coreset's own networks say of its
    loss, one forward pass: better at telling right labels from wrong, worse to train with, for what is right and hard
    loses its weight, too. (4) The weights are scaled to sum n; where `even`, in each class to its number of items, for
    that a class is hard does not tell how much of it is wanted; a class whose mean weight is below a hundredth of the
    others' was given up, not weighed: its items weigh 1, and the reason names it. `trusted`: rows whose labels are known
    to be right; they are held out in place of a part of the coreset and have the largest weight (where `even`, of
    their class).

    Cost: |coreset| meta-steps of about three passes each, and one product of matrices for each class. With a `draw` as
    many items are drawn in proportion. Source: "The Power of Few" (Jafari et al., ICASSP 2024, arXiv 2403.12166); unlike
    its released code the held-out split is a true one, neighbours are of the same class, their mean is taken, and classes keep
    their shares.
    Raises InputError for one class, features not finite, or a coreset of fewer than four rows; MissingExtraError
    without `train`.
    """
    codes, names = as_codes(labels)
    features = as_matrix(x, len(codes))
    if len(names) < 2:
        raise InputError(
            f"all {counted(len(codes), 'label is', 'labels are')} {names[0]!r}: there is nothing to tell apart"
        )
    if model is not None and inputs is None:
        raise InputError("a model of your own needs its inputs: inputs=(n, ...)")
    known = _known(trusted, len(codes))
    every = np.arange(len(codes))
    core = every if coreset == "all" else middle_rows(features, codes, float(coreset))
    core = core[~np.isin(core, known)]
    fed = features if inputs is None else as_numbers(inputs, "inputs")
    if len(fed) != len(codes):
        raise InputError(f"{counted(len(fed), 'input')} for {counted(len(codes), 'label')}")
    run = meta_weights(
        fed[core],
        codes[core],
        len(names),
        trusted=(fed[known], codes[known]) if len(known) else None,
        training=training,
        model=model,
    )
    weights = _spread(features, codes, (core, known), (run, fed), spread, neighbours)
    told = f"weights learnt on {len(core)} of {counted(len(codes), 'item')}, {_direction(run)}"
    if even:
        weights, lost = _even(weights, codes)
        told += (
            f"; classes given up, whose items weigh alike: {[names[i] for i in lost]}" if len(lost) else ""
        )
    found = weigh(weights, told, draw)
    return CoreWeighted(**{**_fields(found), "core": core, "core_weight": run.weight})


def _direction(run: MetaRun) -> str:
    """Whether the weighting trusts what is easy, as wrong labels ask for, or turns to what is hard: for a person to read."""
    loss, weight = (np.argsort(np.argsort(values, kind="stable")) for values in (run.loss, run.weight))
    together = float(np.corrcoef(loss, weight)[0, 1])
    return f"what is hard weighs {'more' if together > 0 else 'less'} (rank correlation {together:+.2f})"


def _spread(
    x: npt.NDArray[Any],
    codes: Ints,
    rows: tuple[Ints, Ints],
    learnt: tuple[MetaRun, npt.NDArray[Any]],
    spread: Spread,
    neighbours: int,
) -> npt.NDArray[np.float64]:
    """The weight of every item: the core's own, the largest for those known to be right, and handed on to the others."""
    (core, known), (run, fed), every = rows, learnt, np.empty(len(codes))
    if spread not in ("neighbours", "network"):
        raise InputError(f"spread={spread!r}: neighbours or network")
    top = np.full(len(known), run.weight.max())
    if len(core) + len(known) < len(codes):
        if spread == "network":
            every = run.judge(fed, codes)
        else:
            ends = np.append(core, known), np.append(run.weight, top)
            every = spread_weights(x, codes, *ends, neighbours=neighbours)
    else:
        every[core] = run.weight
    every[known] = top
    return every


def _even(weights: npt.NDArray[np.float64], codes: Ints) -> tuple[npt.NDArray[np.float64], Ints]:
    """Weights of mean 1 in each class, and the classes that were given up. What the classifier never came to learn has high
    losses, and with next to no weight it never will: then no weight tells its items apart, and all of them are 1."""
    mean = np.bincount(codes, weights) / np.bincount(codes)
    lost = mean <= _GIVEN_UP * mean.mean()
    return np.where(lost[codes], 1.0, weights / np.where(lost, 1, mean)[codes]), np.flatnonzero(lost)


def _fields(found: Weighted) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Weighted.__dataclass_fields__}


def _known(trusted: Any, n: int) -> Ints:
    if trusted is None:
        return np.empty(0, np.int64)
    rows = as_numbers(trusted, "trusted")
    rows = np.flatnonzero(rows) if rows.dtype == bool and rows.shape == (n,) else rows
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or (len(rows) and (rows.min() < 0 or rows.max() >= n)):
        raise InputError(
            f"trusted: row numbers among {counted(n, 'row')}, or a truth value for each, are meant"
        )
    return np.unique(rows).astype(np.int64)
