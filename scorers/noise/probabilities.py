"""Predicted probabilities and labels, checked before anything is concluded from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError

__all__ = [
    "Diagnosis",
    "calibration_notes",
    "diagnose",
    "diagnose_confidence",
    "dictionary",
    "encode_labels",
    "validate_pred_probs",
]

_SUM = 0.01
"""How far a row may be from summing to one: half-precision probabilities of a thousand classes are."""
_ENOUGH = 100


def validate_pred_probs(
    pred_probs: npt.NDArray[Any], ids: Sequence[str] | None = None
) -> npt.NDArray[np.object_]:
    """Why each row is no distribution over the classes: (n,) strings, None where it is one.

    `pred_probs` (n, k) numbers, k >= 2; `ids` (n,) are named in the error instead of row numbers.
    A row of NaN throughout has no probabilities. Raises InputError if the shape is wrong, or if more than half of
    the rows that have any are at fault: then it is the whole array that is something else (logits, percentages ...).
    """
    if pred_probs.ndim != 2 or pred_probs.shape[1] < 2:
        raise InputError(
            f"predicted probabilities have shape {pred_probs.shape}: (items, classes >= 2) is meant"
        )
    reasons = np.full(len(pred_probs), None, object)
    nan = np.isnan(pred_probs)
    total = pred_probs.sum(1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        low, high = pred_probs.min(1), pred_probs.max(1)
        tests = (
            (nan.all(1), "no predicted probabilities"),
            (nan.any(1), "NaN among the predicted probabilities"),
            ((low < -1e-6) | (high > 1 + 1e-6), "predicted probabilities outside [0, 1]"),
            (np.abs(total - 1) > _SUM, "predicted probabilities do not sum to 1"),
        )
    for at_fault, reason in reversed(tests):
        reasons[at_fault] = reason
    present = ~nan.all(1)
    bad = np.flatnonzero(present & (reasons != None))  # noqa: E711 - element by element
    if 2 * len(bad) > present.sum():
        raise InputError(_whole_array(pred_probs, reasons, bad, int(present.sum()), ids))
    return reasons


def _whole_array(
    pred_probs: npt.NDArray[Any],
    reasons: npt.NDArray[np.object_],
    bad: npt.NDArray[np.int64],
    present: int,
    ids: Sequence[str] | None,
) -> str:
    kinds, counts = np.unique(reasons[bad].astype(str), return_counts=True)
    told = "; ".join(f"{kind} in {count} rows" for kind, count in zip(kinds, counts, strict=True))
    named = ", ".join(str(ids[i]) if ids is not None else f"row {i}" for i in bad[:3])
    values = pred_probs[bad]
    total = np.nanmedian(values.sum(1, dtype=np.float64))
    if np.nanmin(values) < 0:
        guess = "They look like logits or log-probabilities: apply a softmax first."
    elif abs(total - 100) < 1:
        guess = "They look like percentages: divide by 100."
    elif np.nanmax(values) <= 1:
        guess = "They look like independent probabilities, one class against the rest: divide each row by its sum."
    else:
        guess = "They look like scores or counts: divide each row by its sum, or apply a softmax."
    first = np.array2string(pred_probs[bad[0]][:4], precision=4)
    return f"{len(bad)} of {present} rows are no probabilities ({told}), as {named}: {first}... {guess}"


def encode_labels(
    labels: pa.Array, classes: Sequence[str], columns: int | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels as positions among the classes: (n,) int64, -1 for null and -2 for a label that is none of them.

    `labels` (n,) strings. `classes` is the order of the probabilities' `columns`; empty means the distinct
    labels in the order of their code points, and `columns` None as many as there are.
    Raises InputError if the counts differ, a class is named twice, fewer than two are in use, there are fewer labels
    than classes, or most labels are none of the classes.
    """
    indices, values = dictionary(labels)
    counts = np.bincount(indices[indices >= 0], minlength=len(values))
    names = list(classes) if classes else sorted(values)
    if len(set(names)) < len(names):
        raise InputError(f"a class is named twice: {_listed(names)}")
    if len(values):
        _check_classes(dict(zip(values, counts, strict=True)), names, bool(classes), columns)
    position = {name: i for i, name in enumerate(names)}
    codes = np.array([*(position.get(value, -2) for value in values), -1], np.int64)
    return codes[indices], tuple(names)


def _check_classes(labels: dict[str, int], names: Sequence[str], given: bool, columns: int | None) -> None:
    total = sum(labels.values())
    if columns is not None and len(names) != columns:
        what = "`classes` names" if given else "the labels have"
        hint = "" if given else " Name all of them, in the order of the columns: classes: [...]."
        raise InputError(
            f"the probabilities have {columns} columns, {what} {len(names)} classes: {_listed(names)}.{hint}"
        )
    if len(labels) < 2:
        raise InputError(
            f"all {total} labels are {next(iter(labels))!r}: with one class nothing can be confused"
        )
    if total < len(names):
        raise InputError(f"{total} labelled items for {len(names)} classes: give at least one of each")
    strangers = sorted(set(labels) - set(names))
    strange = sum(labels[name] for name in strangers)
    if 2 * strange > total:
        raise InputError(
            f"{strange} of {total} labels are none of the classes: {_listed(strangers)}; "
            f"the classes are {_listed(names)}"
        )


def dictionary(labels: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    """Positions among the distinct values, -1 for null, and those values in the order of their first appearance."""
    encoded = labels.dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices, np.array(encoded.dictionary.to_pylist(), object)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")


@dataclass(frozen=True)
class Diagnosis:
    """What probabilities say about themselves, measured on given labels.

    `agreement`: share of items whose most probable class is the given label; `confidence`: mean probability of the
    most probable class; `given`: mean probability of the given label; `calibration_error`: expected calibration error,
    the mean gap between confidence and agreement over 15 groups of equal size by confidence; all in [0, 1].
    `in_sample`: they look made by a model that has seen these labels. `calibration`: "overconfident",
    "underconfident", "off" (right on average, wrong at most levels), or "" where nothing is wrong or too few items
    (< 100) tell. `absent`: classes without a label. `items`: how many rows this was measured on.
    """

    agreement: float
    confidence: float
    given: float
    calibration_error: float
    in_sample: bool
    calibration: str
    absent: tuple[int, ...]
    items: int

    def notes(self) -> tuple[str, ...]:
        """Sentences for a person; () if nothing is doubtful."""
        notes = []
        if self.absent:
            notes.append(f"{len(self.absent)} classes have a column of probabilities and no item")
        if self.in_sample:
            notes.append(
                f"the predictions agree with {self.agreement:.1%} of the labels at a mean probability of {self.given:.3f}: "
                "they look in-sample, made by a model that was trained on these labels, and would then hide its errors; "
                "the scorer 'out-of-fold' makes honest ones"
            )
        elif self.calibration:
            notes.append(
                f"the probabilities are {self.calibration}: their mean confidence is {self.confidence:.2f}, they agree "
                f"with {self.agreement:.2f} of the labels, and are {self.calibration_error:.2f} off on average; "
                "calibrate them, or use their order alone (filter_by: predicted_neq_given); label-errors calibrates "
                "them itself"
            )
        return tuple(notes)


def diagnose(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> Diagnosis:
    """What makes these probabilities doubtful evidence about these labels, in numbers.

    `pred_probs` (n, k) distributions, `labels` (n,) in 0 ... k - 1. They look in-sample at an agreement of at least
    99.5 % and a mean probability of the given label of at least 0.99; uncalibrated where confidence and agreement are
    more than 0.1 apart, on the whole or (from 1,500 items on) on average over levels of confidence.
    """
    given = pred_probs[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=pred_probs.shape[1])
    return diagnose_confidence(pred_probs.max(1), pred_probs.argmax(1) == labels, given, counts)


def diagnose_confidence(
    top: npt.NDArray[Any], right: npt.NDArray[np.bool_], own: npt.NDArray[Any], counts: npt.NDArray[np.int64]
) -> Diagnosis:
    """`diagnose` from what it needs: the highest probability of each item, whether it is the given label's, that of the
    given label, and how many labels of each class there are (of which these items may be a sample)."""
    n = len(top)
    absent = tuple(int(one) for one in np.flatnonzero(counts == 0))
    if not n:
        return Diagnosis(0.0, 0.0, 0.0, 0.0, False, "", absent, 0)
    agreement, confidence = float(right.mean()), float(top.mean(dtype=np.float64))
    given = float(own.mean(dtype=np.float64))
    order = np.argsort(top, kind="stable")
    parts = np.array_split(order, 15)
    error = sum(abs(float(top[part].sum(dtype=np.float64)) - int(right[part].sum())) for part in parts) / n
    in_sample = n >= _ENOUGH and agreement >= 0.995 and given >= 0.99
    calibration = ""
    if n >= _ENOUGH and abs(confidence - agreement) > 0.1:
        calibration = "overconfident" if confidence > agreement else "underconfident"
    elif n >= 15 * _ENOUGH and error > 0.1:
        calibration = "off"
    return Diagnosis(agreement, confidence, given, error, in_sample, calibration, absent, n)


def calibration_notes(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """What makes these probabilities doubtful evidence about these labels, as sentences; () if nothing does.

    `diagnose` in words. Fewer than 100 items tell nothing but which classes have none.
    """
    return diagnose(pred_probs, labels).notes()
