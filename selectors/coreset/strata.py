"""Coverage-centric selection: the hardest left out, and the others evenly over all degrees of difficulty."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.choosing import Constraints, Meter, Rng, at_random, generator, highest
from curate.contracts import Budget, Selection
from curate.counting import counted
from curate.errors import InputError
from curate.vectors.rows import Ints

__all__ = ["ccs", "hardest"]


def ccs(
    score: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    drop: float = 0.3,
    bins: int = 50,
) -> Selection:
    """Choose rows evenly over the range of `score` (n,), **higher = easier** (as AUM), at random within each stretch.

    The share `drop` of the lowest scores is left out first: at high pruning rates the hardest are mostly mislabelled.
    The range of the others is cut into `bins` of equal width, and the budget given to them in equal parts, what a small
    bin cannot use going to the larger ones. The paper's `drop` at 90 % pruning of CIFAR-10 with AUM is 0.3; the less is
    pruned, the less should be dropped. It is lessened, too, where the budget needs more than is left.

    Returns a Selection: `gain` None; `random` the share of bins that hold an item, of those that are not empty, here and
    for a random choice. Mandatory, forbidden and costs of `within` hold; its groups must not be given, as the bins are
    them. Raises InputError as `Constraints.terms` does, for scores that are not finite, and options out of range.
    Source: Zheng et al. (2023), arXiv 2210.15809.
    """
    meter, rng, within = Meter(), generator(rng), within or Constraints()
    score = _scores(score)
    if not 0 <= drop < 1 or bins < 1:
        raise InputError(f"drop {drop}, bins {bins}: a share below 1, and at least one bin")
    if within.group is not None:
        raise InputError("ccs makes groups of its own, bins of difficulty: give no others")
    terms = within.terms(len(score), budget)
    easy = _easiest(score, terms.open, drop, int(terms.spend - terms.cost[terms.first].sum() + 0.999))
    codes = _bins(score, easy, bins)
    inside = terms.open & easy
    inside[terms.first] = True
    amount: Budget = (
        int(terms.spend) if within.cost is None else repr(float(min(terms.spend, terms.cost[inside].sum())))
    )
    own = dataclasses.replace(within, forbidden=np.flatnonzero(~inside), group=codes, balance="equal")
    index = at_random(own.terms(len(score), amount), rng)
    there = len(np.unique(codes[inside]))
    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        random={
            "objective": len(np.unique(codes[index])) / there,
            "random": len(np.unique(codes[_of(at_random(terms, rng), easy)])) / there,
        },
        **meter.read(),
    )


def hardest(
    score: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    easiest: bool = False,
) -> Selection:
    """Choose the rows of the highest `score` (n,), **higher = harder** (EL2N, GraNd, forgetting events), per cost where
    there are costs; with `easiest`, of the lowest.

    Infinite scores are the hardest: items never learned (`forgetting_events`). `gain` is the score, `random` its mean
    here and at random, infinite ones counting as the highest finite one. Equal ones go to the lower row. Raises
    InputError as `Constraints.terms` does, and for NaN.
    """
    meter, rng = Meter(), generator(rng)
    score = _scores(score, infinite=True)
    terms = (within or Constraints()).terms(len(score), budget)
    finite = np.isfinite(score)
    shown = np.where(finite, score, np.where(score > 0, *_ends(score[finite])))
    keys = -score if easiest else score
    with np.errstate(invalid="ignore"):
        keys = np.where(keys > 0, keys / terms.cost, keys * terms.cost)
    index, other = highest(terms, keys), at_random(terms, rng)
    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=shown[index].astype(np.float32),
        random={"objective": float(shown[index].mean()), "random": float(shown[other].mean())},
        **meter.read(),
    )


def _ends(finite: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The highest and the lowest finite score."""
    return (float(finite.max()), float(finite.min())) if len(finite) else (0.0, 0.0)


def _scores(score: npt.NDArray[Any], infinite: bool = False) -> npt.NDArray[np.float64]:
    score = as_floats(score, "score")
    if score.ndim != 1:
        raise InputError(f"score has shape {score.shape}: one for each row")
    bad = np.flatnonzero(np.isnan(score) if infinite else ~np.isfinite(score))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), 'score is', 'scores are')} {score[bad[0]]}, as that of row {bad[0]}: leave such rows "
            "out"
        )
    return score


def _easiest(
    score: npt.NDArray[np.float64], open_: npt.NDArray[np.bool_], drop: float, needed: int
) -> npt.NDArray[np.bool_]:
    """All but the lowest `drop` of the scores, or fewer where `needed` open ones must remain."""
    order = np.argsort(score, kind="stable")
    easy = np.ones(len(score), bool)
    spare = int(open_.sum()) - needed
    hard = order[: int(drop * len(score))]
    free = np.cumsum(open_[hard])
    easy[hard[free <= spare]] = False
    return easy


def _bins(score: npt.NDArray[np.float64], easy: npt.NDArray[np.bool_], bins: int) -> Ints:
    """Bins of equal width over the easy ones' range; what lies below it is in the first."""
    low, high = float(score[easy].min(initial=np.inf)), float(score[easy].max(initial=-np.inf))
    width = (high - low) / bins
    if not width > 0:
        return np.zeros(len(score), np.int64)
    return np.clip((score - low) / width, 0, bins - 1).astype(np.int64)


def _of(rows: Ints, kept: npt.NDArray[np.bool_]) -> Ints:
    return rows[kept[rows]]
