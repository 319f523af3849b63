"""How much likelier an item is in a target than in its pool, from features; and items drawn by that."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.choosing import Rng, as_matrix, generator
from curate.contracts import Budget
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.reweighting.weighted import Draw, Weighted, cap_weights, weigh

__all__ = ["Ratio", "importance_resample", "log_density_ratio"]

Ratio = Literal["logistic", "ulsif"]
Floats = npt.NDArray[np.float64]


def log_density_ratio(
    pool: Any,
    target: Any,
    *,
    method: Ratio = "logistic",
    strength: float = 1.0,
    folds: int = 5,
    centres: int = 100,
    rng: Rng = None,
) -> npt.NDArray[np.float64]:
    """log p(x | target) / p(x | pool) of each row of the pool, (n,) float64; higher = more like the target.

    `pool` (n, d), `target` (m, d) finite features. "logistic": a classifier tells target from pool on standardised
    features, ridge penalty `strength` / 2 |w|^2, its log-odds less log(m / n); each row of the pool is judged by one of
    `folds` classifiers that has not seen it (1: one that has seen all). "ulsif": the ratio is fitted itself, as a sum of
    Gaussians at `centres` target rows, in closed form with penalty `strength` / (10 centres), the width being the median
    distance to the centres (Kanamori et al., JMLR 2009); where the fit is not positive, the ratio is its smallest positive.

    Raises InputError for features of different widths, not finite, or fewer rows than folds.
    """
    theirs, own = as_matrix(target, what="target features"), as_matrix(pool, what="pool features")
    if theirs.shape[1] != own.shape[1]:
        raise InputError(
            f"target features have {counted(theirs.shape[1], 'number')}, the pool's {own.shape[1]}"
        )
    if method not in ("logistic", "ulsif"):
        raise InputError(f"method={method!r}: logistic or ulsif")
    if not strength > 0 or folds < 1 or centres < 1:
        raise InputError(f"strength={strength}, folds={folds}, centres={centres}: above 0, at least 1 and 1")
    rng = generator(rng)
    both = np.concatenate([own, theirs]).astype(np.float64)
    both -= both.mean(0)
    both /= np.maximum(both.std(0), 1e-12)
    own, theirs = both[: len(own)], both[len(own) :]
    if method == "ulsif":
        return _ulsif(own, theirs, strength / 10 / centres, centres, rng)
    if len(own) < folds or len(theirs) < folds:
        raise InputError(
            f"{counted(len(own), 'row')} in the pool and {len(theirs)} in the target cannot be dealt to "
            f"{counted(folds, 'fold')}"
        )
    deal = [rng.permutation(np.arange(len(side)) % folds) for side in (own, theirs)]
    odds = np.empty(len(own))
    for fold in range(folds):
        held = deal[0] == fold
        ours = own[~held] if folds > 1 else own
        given = theirs[deal[1] != fold] if folds > 1 else theirs
        weights = _logistic(ours, given, strength)
        odds[held] = own[held] @ weights[:-1] + weights[-1] - np.log(len(given) / len(ours))
    return odds


def _logistic(pool: Floats, target: Floats, strength: float) -> Floats:
    """Weights and, last, the intercept of target against pool, by Newton's method."""
    x = np.concatenate([pool, target])
    x = np.column_stack([x, np.ones(len(x))])
    y = np.concatenate([np.zeros(len(pool)), np.ones(len(target))])
    penalty = np.full(x.shape[1], strength)
    penalty[-1] = 1e-9
    w = np.zeros(x.shape[1])
    w[-1] = np.log(len(target) / len(pool))
    value = _objective(x, y, w, penalty)
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -500, 500)))
        slope = x.T @ (p - y) + penalty * w
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + np.diag(penalty), slope)
        rate = 1.0
        while rate > 1e-6 and _objective(x, y, w - rate * step, penalty) > value:
            rate /= 2
        w = w - rate * step
        value = _objective(x, y, w, penalty)
        if np.abs(rate * step).max() < 1e-8:
            break
    return w


def _objective(x: Floats, y: Floats, w: Floats, penalty: Floats) -> float:
    score = x @ w
    return float((np.logaddexp(0, score) - y * score).sum() + 0.5 * (penalty * np.square(w)).sum())


def _ulsif(pool: Floats, target: Floats, penalty: float, centres: int, rng: np.random.Generator) -> Floats:
    chosen = target[np.sort(rng.permutation(len(target))[:centres])]
    far = _squares(target, chosen)
    width = np.median(far) or 1.0
    near, seen = np.exp(-far / (2 * width)), np.exp(-_squares(pool, chosen) / (2 * width))
    gram = seen.T @ seen / len(pool) + penalty * np.eye(len(chosen))
    ratio = seen @ np.linalg.solve(gram, near.mean(0))
    positive = ratio > 0
    if not positive.any():
        raise InputError("no item of the pool lies near the target: the density ratio is 0 everywhere")
    return np.asarray(np.log(np.maximum(ratio, ratio[positive].min())))


def _squares(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.maximum(np.square(a).sum(1)[:, None] - 2 * a @ b.T + np.square(b).sum(1), 0))


def importance_resample(
    log_ratio: Any,
    budget: Budget | None = None,
    *,
    temperature: float = 1.0,
    cap: float | None = None,
    rng: Rng = None,
) -> Weighted:
    """Items drawn without replacement in proportion to their importance; without a budget all of them, weighted.

    `log_ratio` (n,) finite, as of `log_density_ratio` or `ngram_log_ratio`; divided by `temperature` first (1: as it is;
    large: towards uniform). `cap`: no weight above so many times the mean, which trades bias for a larger effective
    size. The draw is by Gumbel keys, as in DSIR (Xie et al., NeurIPS 2023). Raises InputError for a budget that is none,
    values not finite, a temperature that is not above 0, or a cap below 1.
    """
    values = as_floats(log_ratio, "log_ratio")
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(f"log ratios of shape {values.shape}: (n,) finite numbers are meant")
    if not temperature > 0:
        raise InputError(f"temperature={temperature}: above 0 is meant")
    logs = (values - values.max()) / temperature
    weights = np.exp(logs)
    if cap is not None:
        weights = cap_weights(weights, cap)
        logs = np.where(weights > 0, np.log(np.maximum(weights, 1e-300)), logs)
    draw = None if budget is None else Draw(budget, generator(rng))
    return weigh(weights, "by importance for the target", draw, logs=logs)
