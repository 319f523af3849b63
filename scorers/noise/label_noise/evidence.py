"""Probabilities and labels as they come from outside: checked, several models' averaged, read block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.noise.label_noise.rivals import blocks

__all__ = [
    "TEMPERATURES",
    "Evidence",
    "Models",
    "as_labels",
    "as_members",
    "check_enough",
    "log_loss_weights",
    "search_weights",
    "spaced",
]

TEMPERATURES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""How strongly a model's log-loss tells against it; 0 weighs all alike."""
SAMPLE = 20_000
"""Rows the weights are found on, evenly spread."""
_LEAST = np.float32(1e-7)
_SUM = 0.01
_OVER = 1e-3
_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Evidence:
    """Probabilities of one or more models, `members` of shape (n, k), pooled with `weights` that sum to 1.

    The pool is logarithmic: the weighted geometric mean, scaled to 1. What one model rules out, the others cannot
    outvote, and how sure the pool is does not depend on how alike the models are.
    """

    members: tuple[npt.NDArray[Any], ...]
    weights: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int]:
        n, k = self.members[0].shape
        return n, k

    def take(self, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The pooled probabilities of these rows, (rows, k) float32. Those of a single model are checked as they are read
        (the pool was when it was formed): InputError for rows that are no distribution."""
        if len(self.members) == 1:
            return np.asarray(_checked(self.members[0], rows, "predicted probabilities"), np.float32)
        total = np.zeros((len(self.members[0][rows]), self.shape[1]), np.float32)
        for member, weight in zip(self.members, self.weights, strict=True):
            if weight > 0:
                total += np.float32(weight) * np.log(np.maximum(np.asarray(member[rows], np.float32), _LEAST))
        total -= total.max(1, keepdims=True)
        np.exp(total, out=total)
        total /= total.sum(1, keepdims=True)
        return total

    def at(
        self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.floating[Any]]:
        """The pooled probabilities at these places."""
        if len(self.members) == 1:
            return np.asarray(self.members[0][rows, columns], np.float32)
        found = np.empty(len(rows), np.float32)
        for block in blocks(len(rows), self.shape[1]):
            part = self.take(rows[block])
            found[block] = part[np.arange(len(part)), columns[block]]
        return found


def as_members(pred_probs: Any) -> tuple[npt.NDArray[Any], ...]:
    """One array (n, k), a sequence of them, or (m, n, k), as a tuple of arrays of one shape.

    Raises InputError where shapes do not fit, and, of several, where a row is no distribution over the classes, naming
    rows; a single one is read once, and checked then (`Evidence.take`).
    """
    many = isinstance(pred_probs, (list, tuple)) and any(np.ndim(one) == 2 for one in pred_probs)
    whole = None if many else np.asanyarray(pred_probs)
    if whole is not None and whole.dtype.kind not in "fiub":
        raise InputError(
            f"predicted probabilities are {whole.dtype}: numbers of shape (items, classes) are meant"
        )
    members = tuple(map(np.asanyarray, pred_probs)) if whole is None else _split(whole)
    if not members:
        raise InputError("no predicted probabilities: give at least one array (items, classes)")
    for i, member in enumerate(members):
        name = "predicted probabilities" if len(members) == 1 else f"predicted probabilities of model {i}"
        if member.ndim != 2 or member.shape[1] < 2:
            raise InputError(f"{name} have shape {member.shape}: (items, classes >= 2) is meant")
        if member.shape != members[0].shape:
            raise InputError(f"{name} have shape {member.shape}, those of model 0 {members[0].shape}")
        for block in blocks(*member.shape) if len(members) > 1 else ():
            _checked(member, block, name)
    return members


def _split(whole: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    return tuple(whole) if whole.ndim == 3 else (whole,)


def _checked(
    probs: npt.NDArray[Any], rows: slice | npt.NDArray[np.int64], name: str
) -> npt.NDArray[np.floating[Any]]:
    """These rows in single or double precision; InputError where one is no distribution."""
    part = np.asarray(probs[rows])
    part = part.astype(np.float64 if part.dtype == np.float64 else np.float32, copy=False)
    fine = _are_distributions(part)
    if not fine.all():
        raise InputError(_blame(probs, name, np.arange(len(probs))[rows][~fine]))
    return part


def _are_distributions(part: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
    """Of each row, whether it is a distribution over the classes, rounding apart."""
    fine: npt.NDArray[np.bool_] = np.abs(part @ np.ones(part.shape[1], part.dtype) - 1) <= _SUM  # NaN is not
    if not part.size or (float(part.min()) >= -_OVER and float(part.max()) <= 1 + _OVER):
        return fine
    with np.errstate(invalid="ignore"):
        return np.asarray(fine & (part.min(1) >= -_OVER) & (part.max(1) <= 1 + _OVER))


def _blame(probs: npt.NDArray[Any], name: str, found: npt.NDArray[np.int64]) -> str:
    """What is wrong with the rows found and any others."""
    n, k = probs.shape
    parts = ((block.start, np.asarray(probs[block], np.float64)) for block in blocks(n, k))
    rows = np.unique(
        np.concatenate([found, *(at + np.flatnonzero(~_are_distributions(p)) for at, p in parts)])
    )
    first = int(rows[0])
    row = np.asarray(probs[first], np.float64)
    if np.isnan(row).any():
        what = "NaN among them"
    elif row.min() < -_OVER:
        what = f"{row.min():.4g} among them (logits? apply a softmax first)"
    elif row.max() > 1 + _OVER:
        what = f"{row.max():.4g} among them (percentages or counts? divide each row by its sum)"
    else:
        what = f"a sum of {row.sum():.4g} (one class against the rest? divide each row by its sum)"
    named = ", ".join(map(str, rows[:5])) + (" ..." if len(rows) > 5 else "")
    return (
        f"{name}: {len(rows)} of {n} rows are no distribution over the {k} classes: rows {named}; row {first} has {what}. "
        "Correct or leave out these rows."
    )


def as_labels(labels: Any, n: int, k: int, classes: Sequence[Any] | None = None) -> npt.NDArray[np.int64]:
    """Labels as positions among the columns, (n,) int64 in 0 ... k - 1.

    `labels` (n,) integers, or, with `classes` (k names in the order of the columns), names.
    Raises InputError naming rows for labels of another kind, of two kinds, or out of range; for a count that is not
    `n`, fewer items than classes, and labels that are all the same.
    """
    given = np.asanyarray(labels)
    if given.dtype.kind in "US" and not isinstance(labels, np.ndarray):
        given = np.array(list(labels), object)  # numpy would have made strings of the integers among them
    if given.shape != (n,):
        raise InputError(
            f"labels have shape {given.shape}: one for each of the {n} rows of probabilities is meant"
        )
    if given.dtype.kind in "OUS":
        given = _named(given, k, classes)
    if given.dtype.kind == "f":
        odd = np.flatnonzero(given != np.floor(given))  # NaN too
        if len(odd):
            raise InputError(f"labels are positions of columns: row {odd[0]} has {given[odd[0]]}")
    elif given.dtype.kind not in "iub":
        raise InputError(f"labels are {given.dtype}: integers 0 ... {k - 1} are meant")
    codes: npt.NDArray[np.int64] = given.astype(np.int64)
    out = np.flatnonzero((codes < 0) | (codes >= k))
    if len(out):
        named = ", ".join(f"row {i}: {codes[i]}" for i in out[:5])
        raise InputError(
            f"{len(out)} labels lie outside 0 ... {k - 1}, the columns of the probabilities ({named}"
            f"{' ...' if len(out) > 5 else ''})"
        )
    check_enough(np.bincount(codes, minlength=k))
    return codes


def _named(given: npt.NDArray[Any], k: int, classes: Sequence[Any] | None) -> npt.NDArray[Any]:
    kinds = np.array([isinstance(label, (str, bytes)) for label in given])
    whole = np.array([isinstance(label, (int, np.integer)) for label in given])
    odd = np.flatnonzero(~kinds & ~whole)
    if len(odd):
        raise InputError(f"labels are integers or names: row {odd[0]} has {given[odd[0]]!r}")
    if kinds.any() and not kinds.all():
        text, number = int(np.flatnonzero(kinds)[0]), int(np.flatnonzero(~kinds)[0])
        raise InputError(
            f"labels mix names and integers: row {text} has {given[text]!r}, row {number} {given[number]!r}; make all of "
            "them one kind"
        )
    if not kinds.any():
        return given.astype(np.int64)
    if classes is None or len(classes) != k:
        have = "no `classes`" if classes is None else f"{len(classes)} `classes`"
        raise InputError(f"labels are names and there are {have} to say which of the {k} columns each is")
    place = {name: i for i, name in enumerate(classes)}
    codes = np.array([place.get(label, -1) for label in given], np.int64)
    lost = np.flatnonzero(codes < 0)
    if len(lost):
        raise InputError(f"{len(lost)} labels are none of the classes, as row {lost[0]}: {given[lost[0]]!r}")
    return codes


def check_enough(counts: npt.NDArray[np.int64]) -> None:
    """Raises InputError where there are fewer labels than classes, or one label alone; `counts` (k,) of each class."""
    total, there = int(counts.sum()), np.flatnonzero(counts)
    if 0 < total < len(counts):
        raise InputError(
            f"{total} labelled items for {len(counts)} classes: give at least as many items as classes"
        )
    if len(there) == 1:
        raise InputError(f"all {total} labels are {there[0]}: with one class nothing can be confused")


@dataclass(frozen=True)
class Models:
    """Which of several models there are, and what each counts."""

    which: tuple[int, ...]
    weights: tuple[float, ...]

    def of(self, members: Sequence[npt.NDArray[Any]]) -> Evidence:
        """What they say together, from arrays of all."""
        return Evidence(tuple(members[i] for i in self.which), self.weights)


def spaced(rows: int) -> npt.NDArray[np.int64]:
    """At most 20,000 of so many rows, evenly spread: those that weights are found on."""
    return np.unique(np.linspace(0, rows - 1, min(rows, SAMPLE)).astype(np.int64))


def log_loss_weights(
    members: tuple[npt.NDArray[Any], ...], labels: npt.NDArray[np.int64]
) -> tuple[float, ...]:
    """Weights of several models, proportional to exp(-T * log-loss on the labels), with the T whose pool has the least
    log-loss. Sums to 1; ties go to the smaller T.

    `members` arrays (n, k), `labels` (n,) in 0 ... k - 1. At most 20,000 rows, evenly spread, are looked at.
    """
    if len(members) == 1:
        return (1.0,)
    rows = spaced(len(labels))
    parts, given = tuple(np.asarray(member[rows], np.float32) for member in members), labels[rows]
    every = np.arange(len(given))
    return search_weights(len(parts), lambda models: models.of(parts).at(every, given)).weights


def search_weights(count: int, own: Callable[[Models], npt.NDArray[np.floating[Any]]]) -> Models:
    """The same of so many models; `own` gives what some of them say together of the given labels, (n,)."""
    loss = np.array([_log_loss(own(Models((i,), (1.0,)))) for i in range(count)])
    every, best, weights = tuple(range(count)), np.inf, np.full(count, 1 / count)
    for temperature in TEMPERATURES:
        tried = np.exp(-temperature * (loss - loss.min()))
        tried /= tried.sum()
        pooled = _log_loss(own(Models(every, tuple(tried.tolist()))))
        if pooled < best - 1e-12:
            best, weights = pooled, tried
    return Models(every, tuple(weights.tolist()))


def _log_loss(own: npt.NDArray[np.floating[Any]]) -> float:
    return float(-np.log(np.maximum(own, _TINY)).mean(dtype=np.float64))
