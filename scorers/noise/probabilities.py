"""What predicted probabilities say about themselves, and labels as the classes that their columns stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.labels import check_enough, check_strangers, name_classes
from curate.counting import counted

__all__ = [
    "Diagnosis",
    "calibration_notes",
    "diagnose",
    "diagnose_confidence",
    "diagnose_keys",
    "dictionary",
    "encode_labels",
    "exact_sum",
    "keys_of",
    "name_labels",
]

_ENOUGH = 100
_MARGIN = 0.02
"""How much more often than the commonest label the predictions should be right."""
_UNIT = 2.0**32


def exact_sum(values: npt.NDArray[Any]) -> int:
    """The sum of numbers (n,) of at most 1,024 in whole multiples of 2^-32, so that neither their order nor the pieces that
    they are summed in change it. Divide by 2^32."""
    total = 0
    for low in range(0, len(values), 1 << 18):  # of so many the sum is far below 2^63
        total += int(np.rint(values[low : low + (1 << 18)].astype(np.float64) * _UNIT).astype(np.int64).sum())
    return total


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
    names = name_labels(dict(zip(values, counts.tolist(), strict=True)), classes, columns)
    position = {name: i for i, name in enumerate(names)}
    codes = np.array([*(position.get(value, -2) for value in values), -1], np.int64)
    return codes[indices], names


def name_labels(labels: dict[str, int], classes: Sequence[str], columns: int | None) -> tuple[str, ...]:
    """The classes by the order of their columns, as `encode_labels` has them, from how often each label is there."""
    names = name_classes(list(labels), classes, columns if labels else None)
    check_enough(labels, len(names))
    check_strangers(labels, names)
    return names


def dictionary(labels: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_]]:
    """Positions among the distinct values, -1 for null, and those values in the order of their first appearance."""
    encoded = labels.dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices, np.array(encoded.dictionary.to_pylist(), object)


@dataclass(frozen=True)
class Diagnosis:
    """What probabilities say about themselves, measured on given labels.

    `agreement`: share of items whose most probable class is the given label; `confidence`: mean probability of the
    most probable class; `given`: mean probability of the given label; `calibration_error`: expected calibration error,
    the mean gap between confidence and agreement over 15 groups of equal size by confidence; all in [0, 1].
    `in_sample`: they look made by a model that has seen these labels. `calibration`: "overconfident",
    "underconfident", "off" (right on average, wrong at most levels), or "" where nothing is wrong or too few items
    (< 100) tell. `absent`: classes without a label. `items`: how many rows this was measured on. `commonest`: the share of
    the commonest label, which whoever always guessed it would agree with.
    """

    agreement: float
    confidence: float
    given: float
    calibration_error: float
    in_sample: bool
    calibration: str
    absent: tuple[int, ...]
    items: int
    commonest: float = 0.0

    def notes(self) -> tuple[str, ...]:
        """Sentences for a person; () if nothing is doubtful."""
        notes = []
        if self.absent:
            notes.append(
                f"{counted(len(self.absent), 'class has', 'classes have')} a column of probabilities and no item"
            )
        if self.items >= _ENOUGH and self.agreement < self.commonest + _MARGIN:
            notes.append(
                f"the predictions agree with {self.agreement:.1%} of the labels, and the commonest label alone is "
                f"{self.commonest:.1%} of them: they tell hardly anything about these labels, and what is concluded from them "
                "is to be doubted; are the columns in the order of the classes?"
            )
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
    return diagnose_keys(keys_of(top, right), exact_sum(own), counts)


def keys_of(top: npt.NDArray[Any], right: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """(n,) keys that sort by the highest probability, and with equal ones by whether it is the given label's: the bits of
    the former in float32, then one for the latter."""
    bits = np.maximum(top, 0).astype(np.float32).view(np.uint32)
    keys: npt.NDArray[np.uint32] = (bits << np.uint32(1)) | right
    return keys


def diagnose_keys(keys: npt.NDArray[np.uint32], own: int, counts: npt.NDArray[np.int64]) -> Diagnosis:
    """`diagnose_confidence` from the keys of all items, in whatever order, and the `exact_sum` of what `own` is there."""
    n = len(keys)
    absent = tuple(int(one) for one in np.flatnonzero(counts == 0))
    if not n:
        return Diagnosis(0.0, 0.0, 0.0, 0.0, False, "", absent, 0)
    keys = np.sort(keys)
    top, right = (keys >> np.uint32(1)).view(np.float32), (keys & np.uint32(1)).astype(np.bool_)
    agreement, confidence = float(right.mean()), float(top.mean(dtype=np.float64))
    given = own / _UNIT / n
    parts = zip(np.array_split(top, 15), np.array_split(right, 15), strict=True)
    error = sum(abs(float(mine.sum(dtype=np.float64)) - int(hits.sum())) for mine, hits in parts) / n
    in_sample = n >= _ENOUGH and agreement >= 0.995 and given >= 0.99
    calibration = ""
    if n >= _ENOUGH and abs(confidence - agreement) > 0.1:
        calibration = "overconfident" if confidence > agreement else "underconfident"
    elif n >= 15 * _ENOUGH and error > 0.1:
        calibration = "off"
    commonest = float(counts.max() / counts.sum())
    return Diagnosis(agreement, confidence, given, error, in_sample, calibration, absent, n, commonest)


def calibration_notes(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """What makes these probabilities doubtful evidence about these labels, as sentences; () if nothing does.

    `diagnose` in words. Fewer than 100 items tell nothing but which classes have none.
    """
    return diagnose(pred_probs, labels).notes()
