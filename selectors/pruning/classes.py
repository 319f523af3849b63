"""Whole classes chosen by their votes: what label and feature mapping share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array
from curate.arrays.labels import of_one_kind
from curate.choosing import Rng, generator
from curate.contracts import Budget, Selection, resolve_budget
from curate.counting import counted
from curate.errors import InputError

__all__ = ["ClassSelection", "encode", "keep_classes", "name_classes", "random_classes"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassSelection(Selection):
    """The rows of the classes that are kept, class by class, best first; within a class in the order of rows.

    `gain` is the vote of the row's class. `classes` (C,) names all classes, `votes` (C,) float64 what each got (higher
    = keep), `ranking` (C,) int64 positions in `classes`, best first, ties to the earlier class; classes without a row
    are not in it. `codes` (k,) int64 is each row's class; `kept` is how many of the ranking are kept. `random` holds the
    share of votes kept, and what as many classes at random would be expected to hold.
    """

    classes: tuple[Any, ...] = ()
    votes: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    ranking: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    kept: int = 0
    codes: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def kept_classes(self) -> tuple[Any, ...]:
        """Names of the classes kept, best first."""
        return tuple(self.classes[i] for i in self.ranking[: self.kept])

    @property
    def unvoted(self) -> tuple[Any, ...]:
        """Names of the classes that have rows and got no vote: pruning those is free."""
        return tuple(self.classes[i] for i in np.sort(self.ranking) if self.votes[i] == 0)

    @property
    def empty(self) -> tuple[Any, ...]:
        """Names of the classes that have no rows: there is nothing of them to keep."""
        return tuple(np.delete(np.array(self.classes, object), self.ranking))


def name_classes(labels: npt.NDArray[Any], classes: Sequence[Any] | None, columns: int | None) -> list[Any]:
    """The classes in the order of the `columns` of scores; without `classes` the distinct labels, sorted, or, for labels
    that are whole numbers, 0 ... columns - 1. Raises InputError where the numbers do not agree."""
    if classes is not None:
        names = list(classes)
        if len(set(names)) < len(names):
            raise InputError(f"a class is named twice: {_listed(names)}")
    elif columns is not None and np.issubdtype(labels.dtype, np.integer):
        names = list(range(columns))
    else:
        names = np.unique(labels).tolist()
    if columns is not None and len(names) != columns:
        what = "`classes` names" if classes is not None else "the source labels have"
        raise InputError(
            f"the target's predictions have {counted(columns, 'column')}, {what} "
            f"{counted(len(names), 'class', 'classes')}: {_listed(names)}. Name all of them in the order of the "
            "columns: classes=[...]"
        )
    if len(names) < 2:
        raise InputError(f"there is one class, {_listed(names)}: nothing to choose among")
    return names


def encode(labels: npt.NDArray[Any], names: Sequence[Any], what: str) -> Ints:
    """Labels as positions among `names`, (n,) int64. Raises InputError for one that is none of them."""
    values, inverse = np.unique(labels, return_inverse=True)
    position = {name: i for i, name in enumerate(names)}
    found = values.tolist()
    strange = [value for value in found if value not in position]
    if strange:
        raise InputError(
            f"{what} name classes that are not there: {_listed(strange)}; there are {_listed(names)}"
        )
    return np.array([position[value] for value in found], np.int64)[inverse.reshape(-1)]


def as_labels(labels: Any, what: str) -> npt.NDArray[Any]:
    """(n,) labels as an array that can be sorted. Raises InputError for another shape or none, and names a row that holds
    neither a whole number nor a text, or two of which one is a number and one a text."""
    array = as_array(labels, what)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{what} have shape {array.shape}: (n,) with at least one is meant")
    if array.dtype == object:
        array = of_one_kind(array, what)
    if array.dtype.kind == "f":
        odd = np.flatnonzero(~(np.isfinite(array) & (array == np.floor(array))))
        if len(odd):
            raise InputError(f"{what} are whole numbers or texts: row {odd[0]} has {array[odd[0]]}")
        array = array.astype(np.int64)
    if array.dtype.kind not in "iubUS":
        raise InputError(f"{what} are {array.dtype}: whole numbers or texts are meant")
    return array


def keep_classes(
    votes: npt.NDArray[np.float64],
    codes: Ints,
    budget: Budget | None,
    *,
    names: Sequence[Any],
    reverse: bool = False,
    unit: str = "votes",
) -> ClassSelection:
    """The rows (codes (n,), positions in `names`) of the `budget` classes with the most `votes` (C,).

    The budget counts classes that have rows; None keeps those with a vote above zero. `reverse` keeps the worst: a
    control. Raises InputError for a budget that is none, or if nothing is voted for that has rows.
    """
    sizes = np.bincount(codes, minlength=len(names))
    ranked = np.argsort(votes if reverse else -votes, kind="stable")
    ranking = ranked[sizes[ranked] > 0].astype(np.int64)
    voted = int((votes[ranking] > 0).sum())
    if unit == "votes" and not voted:
        raise InputError(
            f"no class that has rows got a vote: all went to {_listed([names[i] for i in np.flatnonzero(votes).tolist()])}. "
            "Do the target's predictions and the source labels mean the same classes?"
        )
    kept = resolve_budget(budget, len(ranking)) if budget is not None else (voted or len(ranking))
    place = np.full(len(names), len(names))
    place[ranking] = np.arange(len(ranking))
    rows = np.flatnonzero(place[codes] < kept)
    index = rows[np.argsort(place[codes[rows]], kind="stable")].astype(np.int64)
    told = np.array(
        [_reason(name, int(place[c]), float(votes[c]), unit) for c, name in enumerate(names)], object
    )
    total = votes[ranking].sum()
    share = {"objective": float(votes[ranking[:kept]].sum() / total), "random": kept / len(ranking)}
    return ClassSelection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=votes[codes[index]].astype(np.float32),
        reason=told[codes[index]].tolist(),
        random=share if unit == "votes" else {},
        classes=tuple(names),
        votes=votes,
        ranking=ranking,
        kept=kept,
        codes=codes[index],
    )


def random_classes(source_labels: Any, budget: Budget, *, rng: Rng) -> ClassSelection:
    """The rows of classes drawn at random: the baseline of every mapping. `source_labels` (n,); `budget` in classes."""
    labels = as_labels(source_labels, "source labels")
    names = name_classes(labels, None, None)
    votes = (1 + generator(rng).permutation(len(names))).astype(np.float64)
    return keep_classes(votes, encode(labels, names, "source labels"), budget, names=names, unit="lot")


def _reason(name: Any, place: int, votes: float, unit: str) -> str:
    return (
        f"class {name!r}, rank {place + 1}: {unit} {votes:g}"
        if unit != "votes"
        else (f"class {name!r}, rank {place + 1} with {votes:g} votes of the target")
    )


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
