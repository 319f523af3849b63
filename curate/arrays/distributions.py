"""Rows that should be probabilities of classes: which are not, and what they are instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array, as_numbers
from curate.arrays.labels import as_codes
from curate.counting import counted
from curate.errors import InputError

__all__ = [
    "FAULTS",
    "as_pred_probs",
    "check_distributions",
    "check_given",
    "each_model",
    "faults_of",
    "in_floats",
    "validate_pred_probs",
]

SUM = 0.01
"""How far a row may be from summing to one: half-precision probabilities of a thousand classes are."""
OVER = 1e-3
"""How far a number may lie outside [0, 1], by rounding."""
CELLS = 1 << 17
"""Numbers looked at together: 0.5 MB of float32, which the cache of a core holds through three passes."""
SHOWN = 1000
"""Rows at fault that are looked at to tell what they are."""
FAULTS = (
    None,
    "no predicted probabilities",
    "NaN among the predicted probabilities",
    "predicted probabilities outside [0, 1]",
    "predicted probabilities do not sum to 1",
)
"""What a code of `faults_of` says of a row; 0 is fine, 1 has no probabilities to be at fault."""
_TOLD = ("", "without a number", "with NaN", "outside [0, 1]", "that do not sum to 1")

Values = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]


def as_pred_probs(values: Any, what: str = "predicted probabilities") -> Values:
    """Probabilities (n, k >= 2) as an array (`as_array`); it may be mapped from disk, and is not read.

    Raises InputError for what holds no numbers, and for another shape.
    """
    probs = as_numbers(values, what)
    if probs.ndim != 2 or probs.shape[1] < 2:
        raise InputError(f"{what} have shape {probs.shape}: (items, classes >= 2) is meant")
    return probs


def each_model(pred_probs: Any, what: str = "predicted probabilities") -> list[tuple[str, Values]]:
    """The numbers (n, k) of one or more models, each with what it is called: from one array, a sequence of them, or (m, n, k).

    Raises InputError for what holds no numbers, no model, and arrays that differ in shape.
    """
    listed = isinstance(pred_probs, (list, tuple))
    first = pred_probs[0] if listed and pred_probs else 0.0
    if listed and (not pred_probs or (not np.isscalar(first) and as_array(first, what).ndim == 2)):
        many = list(pred_probs)
    else:
        whole = as_numbers(pred_probs, what)
        many = list(whole) if whole.ndim == 3 else [whole]
    if not many:
        raise InputError(f"no {what}: give at least one array (items, classes)")
    names = [what] if len(many) == 1 else [f"{what} of model {i}" for i in range(len(many))]
    models = list(zip(names, map(as_numbers, many, names), strict=True))
    for name, one in models:
        if one.shape != models[0][1].shape:
            raise InputError(f"{name} have shape {one.shape}, those of model 0 {models[0][1].shape}")
    return models


def check_given(pred_probs: Any, labels: Any) -> tuple[Values, npt.NDArray[np.int64]]:
    """Probabilities (n, k) and labels (n,) in 0 ... k - 1 as arrays; the former may be mapped from disk, and are not read.

    Raises InputError as `as_pred_probs` and `as_codes`.
    """
    probs = as_pred_probs(pred_probs)
    return probs, as_codes(labels, len(probs), probs.shape[1], of="rows of probabilities")


def faults_of(pred_probs: Values) -> Codes:
    """Codes into `FAULTS` (n,): why each row of (n, k) is no distribution over the classes.

    A row says the same whatever it stands among: sums that are close to the edge are taken again, by themselves. Memory is
    bounded beyond the answer.
    """
    codes = np.zeros(len(pred_probs), np.uint8)
    for low, part in _blocks(pred_probs):
        rows = _doubtful(part)
        if len(rows):
            codes[low + rows] = _judge(part[rows])
    return codes


def check_distributions(
    pred_probs: Values,
    what: str = "predicted probabilities",
    *,
    ids: Callable[[], Sequence[str]] | None = None,
    missing: bool = False,
) -> None:
    """Raises InputError, which calls them `what`, unless all rows (n, k) are distributions over the classes.

    It tells how many are not, names some (`ids` gives (n,) what is named instead of row numbers), shows one, says what they look like and what to do. With `missing` rows that are not finite are let through.
    """
    codes = faults_of(pred_probs)
    bad = np.flatnonzero(codes)
    if missing and len(bad):
        bad = bad[np.isfinite(np.asarray(pred_probs[bad], np.float64)).all(1)]
    if len(bad):
        raise InputError(_describe(pred_probs, codes, bad, what, ids))


def validate_pred_probs(
    pred_probs: Values, ids: Callable[[], Sequence[str]] | None = None
) -> npt.NDArray[np.object_]:
    """Why each row is no distribution over the classes: (n,) strings, None where it is one.

    `pred_probs` (n, k) numbers, k >= 2; `ids` gives (n,) what is named in the error instead of row numbers.
    A row of NaN throughout has no probabilities. Raises InputError if the shape is wrong, or if more than half of
    the rows that have any are at fault: then it is the whole array that is something else (logits, percentages ...).
    """
    pred_probs = as_pred_probs(pred_probs)
    codes = faults_of(pred_probs)
    bad, present = np.flatnonzero(codes > 1), int((codes != 1).sum())
    if 2 * len(bad) > present:
        raise InputError(_describe(pred_probs, codes, bad, "predicted probabilities", ids))
    return np.array(FAULTS, object)[codes]


def in_floats(values: Values) -> Values:
    """Numbers in single or double precision, without a copy where they are that already."""
    return np.asarray(values, values.dtype if values.dtype in (np.float32, np.float64) else np.float32)


# --- Judging ------------------------------------------------------------------------------------------------------


def _blocks(values: Values) -> Iterator[tuple[int, Values]]:
    step = max(1, CELLS // max(1, values.shape[1]))
    for low in range(0, len(values), step):
        yield low, in_floats(values[low : low + step])


def _doubtful(part: Values) -> npt.NDArray[np.int64]:
    """Rows that must be looked at one by one. A product and two passes over all find next to none of those that are fine."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = part @ np.ones(part.shape[1], part.dtype)
        fine = np.abs(total - 1) <= SUM - 1e-4  # NaN is not; the product rounds by less
        if not (part.min(initial=0) >= -OVER and part.max(initial=0) <= 1 + OVER):
            fine &= (part.min(1) >= -OVER) & (part.max(1) <= 1 + OVER)
    return np.flatnonzero(~fine)


def _judge(rows: Values) -> Codes:
    rows = np.ascontiguousarray(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        total, low, high = rows.sum(1, dtype=np.float64), rows.min(1, initial=0), rows.max(1, initial=0)
        codes = np.where(np.abs(total - 1) > SUM, 4, 0).astype(np.uint8)
        codes[(low < -OVER) | (high > 1 + OVER)] = 3
    some = np.flatnonzero(np.isnan(low))  # the least of a row is NaN where any number is
    codes[some] = np.where(np.isnan(rows[some]).all(1), 1, 2)
    return codes


# --- Telling ------------------------------------------------------------------------------------------------------


def _describe(
    probs: Values,
    codes: Codes,
    bad: npt.NDArray[np.int64],
    what: str,
    ids: Callable[[], Sequence[str]] | None,
) -> str:
    n, k = probs.shape
    counts = np.bincount(codes[bad], minlength=len(FAULTS)).tolist()
    told = ", ".join(f"{count} {_TOLD[code]}" for code, count in enumerate(counts) if count)
    names, one = (ids(), "item") if ids else (None, "row")
    named = [str(i) if names is None else names[i] for i in bad[:5].tolist()]
    rows = np.asarray(probs[bad[:SHOWN]], np.float64)
    numbers = ", ".join(f"{value:.4g}" for value in rows[0, :4]) + (", ..." if k > 4 else "")
    return (
        f"{what}: {len(bad)} of {counted(n, 'row')} are no distribution over the {counted(k, 'class', 'classes')} "
        f"({told}): {one}s {', '.join(named)}{' ...' if len(bad) > 5 else ''}; {one} {named[0]} is [{numbers}] with "
        f"sum {rows[0].sum():.4g}. {_guess(rows)}{'.' if 2 * len(bad) > n else ', or leave these rows out.'}"
    )


def _guess(rows: Values) -> str:
    """What rows that are no distributions are likely to be, and what makes distributions of them."""
    rows = rows[np.isfinite(rows).all(1)]
    if not len(rows):
        return "Put numbers there"
    if rows.min() < 0:
        return "They look like logits or log-probabilities: apply a softmax first"
    if abs(np.median(rows.sum(1)) - 100) < 1:
        return "They look like percentages: divide by 100"
    if rows.max() <= 1 + OVER:
        return (
            "They look like independent probabilities, one class against the rest: divide each row by its sum"
        )
    return "They look like scores or counts: divide each row by its sum, or apply a softmax"
