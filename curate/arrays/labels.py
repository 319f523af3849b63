"""Which class each label means: whole numbers or names, and the classes that columns stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array
from curate.counting import counted
from curate.errors import InputError

__all__ = [
    "as_codes",
    "check_enough",
    "check_several",
    "check_strangers",
    "listed",
    "name_classes",
    "of_one_kind",
]

Codes = npt.NDArray[np.int64]


def as_codes(
    labels: Any,
    n: int,
    k: int | None = None,
    *,
    classes: Sequence[Any] | None = None,
    what: str = "labels",
    of: str = "rows",
    hint: str = "",
) -> Codes:
    """Labels as numbers of classes, (n,) int64 in 0 ... k - 1; `k` None: from 0 on.

    `labels` (n,) whole numbers, or, with `classes` (k names in the order of the columns), names; whatever `as_array` takes.
    In a message they are called `what`, one for each of the n `of`; `hint` says what to do about names without `classes`.
    Raises InputError naming rows for labels of another kind, of two kinds, missing or out of range, and for another count.
    """
    given = as_array(labels, what)
    if given.shape != (n,):
        raise InputError(f"{what} have shape {given.shape}: one for each of the {n} {of} is meant")
    reach = "0 ... K - 1" if k is None else f"0 ... {k - 1}"
    if given.dtype == object:
        given = of_one_kind(given, what)
    if given.dtype.kind in "US":
        if classes is None:
            told = hint or "np.unique(labels, return_inverse=True)[1] makes them of names"
            raise InputError(f"{what} are names, and whole numbers {reach} are meant: {told}")
        return _places(given, name_classes((), classes, k), what)
    if given.dtype.kind == "f":
        odd = np.flatnonzero(~(np.isfinite(given) & (given == np.floor(given))))
        if len(odd):
            raise InputError(f"{what} are whole numbers {reach}: row {odd[0]} has {given[odd[0]]}")
    elif given.dtype.kind not in "iub":
        raise InputError(f"{what} are {given.dtype}: whole numbers {reach} are meant")
    codes: Codes = given.astype(np.int64, copy=False)
    if n and (codes.min() < 0 or (k is not None and codes.max() >= k)):
        out = np.flatnonzero((codes < 0) | (codes >= (np.inf if k is None else k)))
        named = ", ".join(f"row {i}: {codes[i]}" for i in out[:5]) + (" ..." if len(out) > 5 else "")
        raise InputError(f"{len(out)} of {n} {what} lie outside {reach} ({named})")
    return codes


def of_one_kind(given: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """Objects (n,) that are all names, or all numbers, as such. Raises InputError naming a row that is neither, or one of each."""
    names = np.array([isinstance(label, (str, bytes)) for label in given], bool)
    whole = np.array([isinstance(label, (int, float, np.number, np.bool_)) for label in given], bool)
    odd = np.flatnonzero(~names & ~whole)
    if len(odd):
        raise InputError(f"{what} are whole numbers or names: row {odd[0]} has {given[odd[0]]!r}")
    if names.any() and not names.all():
        text, number = int(names.argmax()), int(names.argmin())
        raise InputError(
            f"{what} mix names and numbers: row {text} has {given[text]!r}, row {number} {given[number]!r}; make all of "
            "them one kind"
        )
    return np.array(given.tolist())


def _places(given: npt.NDArray[Any], classes: Sequence[Any], what: str) -> Codes:
    """Names as places among the classes."""
    values, inverse = np.unique(given, return_inverse=True)
    place = {name: i for i, name in enumerate(classes)}
    codes = np.array([place.get(value, -1) for value in values.tolist()], np.int64)[inverse.reshape(-1)]
    lost = np.flatnonzero(codes < 0)
    if len(lost):
        raise InputError(
            f"{len(lost)} of {len(given)} {what} are none of the classes, as row {lost[0]}: {str(given[lost[0]])!r}; the "
            f"classes are {listed(classes)}"
        )
    return codes


def check_enough(labels: Mapping[Any, int], classes: int) -> None:
    """Raises InputError where there are fewer labels than classes, or all are the same; `labels` says how often each is there."""
    total = sum(labels.values())
    if 0 < total < classes:
        raise InputError(
            f"{counted(total, 'labelled item')} for {counted(classes, 'class', 'classes')}: give at least as many "
            "items as classes"
        )
    if len(labels) == 1:
        raise InputError(_alike(next(iter(labels)), total, "labels"))


def check_several(codes: Codes, what: str = "labels") -> None:
    """Raises InputError where all labels (n,) are the same."""
    if len(codes) and (codes == codes[0]).all():
        raise InputError(_alike(int(codes[0]), len(codes), what))


def _alike(label: Any, total: int, what: str) -> str:
    return f"all {total} {what} are {label!r}: with one class nothing can be told apart"


def name_classes(
    found: Sequence[Any], classes: Sequence[Any], columns: int | None, what: str = "the probabilities"
) -> tuple[Any, ...]:
    """The classes in the order of the `columns` of `what`: those named, or else those `found`, the distinct labels, sorted.

    Raises InputError where a class is named twice, or there are not as many as columns (None: any number).
    """
    names = list(classes) if classes else sorted(found)
    if len(set(names)) < len(names):
        raise InputError(f"a class is named twice: {listed(names)}")
    if columns is not None and len(names) != columns:
        told = "`classes` names" if classes else "the labels have"
        hint = "" if classes else " Name all of them, in the order of the columns: classes: [...]."
        raise InputError(
            f"{what} have {counted(columns, 'column')}, {told} {counted(len(names), 'class', 'classes')}: "
            f"{listed(names)}.{hint}"
        )
    return tuple(names)


def check_strangers(labels: Mapping[Any, int], names: Sequence[Any]) -> None:
    """Raises InputError where more than half of the labels are none of the classes `names`; `labels` says how often each is
    there. Fewer are for each row to say."""
    strangers = sorted(set(labels) - set(names))
    strange, total = sum(labels[name] for name in strangers), sum(labels.values())
    if 2 * strange > total:
        raise InputError(
            f"{strange} of {counted(total, 'label')} are none of the classes: {listed(strangers)}; the classes are "
            f"{listed(names)}"
        )


def listed(names: Sequence[Any], most: int = 12) -> str:
    """The first of them, and how many more, for a message."""
    shown = ", ".join(map(str, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
