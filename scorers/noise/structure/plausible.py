"""Which classes an annotator might also have chosen: calibrated probabilities, soft labels, labels that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.arrays.distributions import check_distributions, each_model
from curate.arrays.labels import listed
from curate.errors import InputError
from curate.scorers.noise.structure.sets import validate_label_probs

__all__ = ["MissingFound", "calibrate", "missing_labels", "weigh_models"]

_FLOOR = 1e-7
"""Probabilities below are taken for this much: a model's 0 is not the log of nothing."""
_SAMPLE = 100_000
"""Items that two numbers are fitted to, at most."""
_STEPS = 30
_STEEPEST = 20.0
_ROUNDS = 200
_BLOCK = 1 << 20
"""Numbers calibrated at a time."""


class MissingFound(NamedTuple):
    """`score` (n,) float32 in [0, 1], higher = keep: nothing is missing; `flagged` (n,) bool; `missing` (n, k) bool, a
    class that the item does not have and should; `soft` (n, k) float32 soft labels; `plausible` (n, k) float32, the
    calibrated mean of the models; `weights` (m,) float64 of the models in it."""

    score: npt.NDArray[np.float32]
    flagged: npt.NDArray[np.bool_]
    missing: npt.NDArray[np.bool_]
    soft: npt.NDArray[np.float32]
    plausible: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float64]


def missing_labels(
    pred_probs: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
    given: npt.NDArray[np.bool_],
    *,
    threshold: float = 0.2,
    trust: float = 0.5,
    exclusive: bool = True,
    calibrated: bool = False,
) -> MissingFound:
    """Which classes an item should have beside those it has, and how its label reads as shares of several classes.

    `pred_probs` (n, k), out of sample, or a list of such by several models; `given` (n, k) bool, the classes each item
    has: one, several or none. `exclusive` says that a row is one distribution over the classes; otherwise each number
    stands by itself. Each model is calibrated on the given labels (`calibrate`; not if `calibrated`) and the models are
    averaged (`weigh_models`): q_k, the probability that the item would be given class k. Soft label = (1 - `trust`) q + `trust` * given
    (a distribution over the given classes if `exclusive`; q alone for an item that has none): with the default, the
    label and the models have a vote each. A class is missing where the item does not have it and its share of the soft
    label is at least `threshold`. Score = 1 - the highest share of a class that the item does not have.
    Raises InputError for shapes that differ, rows that are no probabilities, or parameters outside [0, 1].
    After REVEAL (arXiv 2505.16149) in aim, not in its steps: there models vote in words and people check.
    """
    models = each_model(pred_probs)
    given = as_numbers(given, "labels")
    _check(models, given, threshold, trust, exclusive)
    given, members = given.astype(bool, copy=False), [member for _, member in models]
    target = _shares(given) if exclusive else given.astype(np.float32)
    if not calibrated:
        members = [calibrate(member, given, exclusive=exclusive) for member in members]
    weights = weigh_models(members, given, exclusive=exclusive)
    plausible = np.zeros(given.shape, np.float32)
    for weight, member in zip(weights, members, strict=True):
        plausible += np.asarray(np.float32(weight) * member, np.float32)
    soft = (1 - trust) * plausible + trust * target
    if exclusive:
        bare = ~given.any(1)
        soft[bare] = plausible[bare]
    other = np.where(given, 0.0, soft)
    missing = np.asarray(other >= threshold) & ~given
    highest = other.max(1, initial=0.0)
    score, flagged = (1 - highest).astype(np.float32), np.asarray(missing.any(1))
    return MissingFound(score, flagged, missing, soft.astype(np.float32), plausible, weights)


def _check(
    models: list[tuple[str, npt.NDArray[Any]]],
    given: npt.NDArray[Any],
    threshold: float,
    trust: float,
    exclusive: bool,
) -> None:
    if given.dtype != np.bool_ and not np.isin(given, (0, 1)).all():
        raise InputError("the given classes are a matrix of 0 and 1, one column per class")
    if not 0 < threshold <= 1 or not 0 <= trust <= 1:
        raise InputError(f"threshold={threshold}, trust={trust}: shares between 0 and 1 are meant")
    for name, member in models:
        if member.shape != given.shape:
            raise InputError(
                f"{name} have shape {member.shape}, labels {given.shape}: both are (items, classes)"
            )
        if not len(member):
            continue
        if exclusive:
            check_distributions(member, name)
            continue
        faults = validate_label_probs(member)
        bad = np.flatnonzero(faults != None)  # noqa: E711 - element by element
        if len(bad):
            raise InputError(f"{name}, rows {listed(bad.tolist(), 5)}: {faults[bad[0]]}")


def _shares(given: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Each row as a distribution over the classes it has; zero for a row without any."""
    return np.asarray(given / np.maximum(given.sum(1, keepdims=True), 1), np.float32)


def calibrate(
    pred_probs: npt.NDArray[Any], given: npt.NDArray[np.bool_], *, exclusive: bool = True
) -> npt.NDArray[np.float32]:
    """Probabilities made as sure as the given labels bear out: (n, k), the order within a row unchanged.

    `exclusive`: softmax(b log p), the one b (an inverse temperature, 0 to 20) that makes the given labels likeliest;
    rows without a label do not count. Otherwise sigmoid(b logit p + a), two numbers for all classes. Fitted by Newton
    steps to at most 100,000 items, evenly spaced. Where labels are noisy the result says how often a label is *given*,
    which is less sure than how often it is right.
    Guo, Pleiss, Sun and Weinberger 2017 (temperature); Platt 1999 (sigmoid).
    """
    rows = _spaced(np.flatnonzero(given.any(1)) if exclusive else np.arange(len(given)))
    if exclusive:
        steepness, shift = _fit_temperature(_log(pred_probs[rows]), _shares(given[rows])), 0.0
    else:
        steepness, shift = _fit_sigmoid(_logit(pred_probs[rows]).ravel(), given[rows].ravel())
    result = np.empty(pred_probs.shape, np.float32)
    step = max(1, _BLOCK // max(1, pred_probs.shape[1]))
    for start in range(0, len(result), step):
        some = pred_probs[start : start + step]
        if exclusive:
            result[start : start + step] = _softmax(steepness * _log(some))
        else:
            result[start : start + step] = 1 / (1 + np.exp(-(steepness * _logit(some) + shift)))
    return result


def _log(p: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.log(np.clip(p.astype(np.float64), _FLOOR, 1.0)))


def _logit(p: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return _log(p) - _log(1.0 - p)


def weigh_models(
    members: Sequence[npt.NDArray[Any]], given: npt.NDArray[np.bool_], *, exclusive: bool = True
) -> npt.NDArray[np.float64]:
    """How much each model should count: (m,) weights that sum to 1 and make the given labels likeliest under the mean.

    `members` are m arrays (n, k) of calibrated probabilities out of sample. The likelihood of a mixture has one maximum,
    found by expectation-maximisation on at most 100,000 items; equal weights where nothing is given.
    """
    rows = _spaced(np.flatnonzero(given.any(1)) if exclusive else np.arange(len(given)))
    if len(members) == 1 or not len(rows):
        return np.full(len(members), 1 / len(members))
    target = given[rows]
    if exclusive:
        shares = _shares(target)
        own = np.stack([(member[rows] * shares).sum(1) for member in members], axis=1)
    else:
        own = np.stack([np.where(target, m[rows], 1 - m[rows]).ravel() for m in members], axis=1)
    own = np.maximum(own, _FLOOR)
    weights = np.full(len(members), 1 / len(members))
    for _ in range(_ROUNDS):
        part = own * weights
        new = (part / part.sum(1, keepdims=True)).mean(0)
        moved, weights = float(np.abs(new - weights).max()), new
        if moved < 1e-5:
            break
    return weights


def _spaced(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if len(rows) <= _SAMPLE:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64)]


def _softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values = values - values.max(1, keepdims=True, initial=-np.inf)
    np.exp(values, out=values)
    return np.asarray(values / values.sum(1, keepdims=True))


def _fit_temperature(log: npt.NDArray[np.float64], target: npt.NDArray[np.float32]) -> float:
    """The b that minimises the cross-entropy of softmax(b log) against the targets: convex, one dimension."""
    if not len(log):
        return 1.0
    low, high, b = 0.0, _STEEPEST, 1.0
    wanted = float((target * log).sum())
    for _ in range(_STEPS):
        p = _softmax(b * log)
        mean = (p * log).sum(1)
        slope = float(mean.sum()) - wanted
        curve = float(((p * log**2).sum(1) - mean**2).sum())
        low, high = (low, b) if slope > 0 else (b, high)
        new = b - slope / curve if curve > 0 else b
        if not low < new < high:
            new = (low + high) / 2
        if abs(new - b) < 1e-6:
            break
        b = new
    return b


def _fit_sigmoid(logit: npt.NDArray[np.float64], given: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift of the logits that make the given labels likeliest, with Platt's smoothed targets."""
    yes = int(given.sum())
    no = len(given) - yes
    target = np.where(given, (yes + 1) / (yes + 2), 1 / (no + 2))
    weights = np.array([1.0, 0.0])
    design = np.stack([logit, np.ones_like(logit)], axis=1)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(design @ weights)))
        gradient = design.T @ (p - target)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))  # a long step may overshoot the sigmoid
        weights = weights - step
        if np.abs(step).max() < 1e-6:
            break
    return float(weights[0]), float(weights[1])
