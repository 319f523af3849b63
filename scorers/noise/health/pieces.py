"""What a data set's labels come to, counted where the pieces of a view are."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import FAULTS
from curate.contracts import View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import read_labels
from curate.scorers.noise.confident.choice import sum_thresholds
from curate.scorers.noise.confident.joint import Thresholds, count_pairs, guess_labels
from curate.scorers.noise.health.counts import predicted_counts, scale_counts
from curate.scorers.noise.pieces import LabelledPiece, settle
from curate.scorers.noise.probabilities import diagnose_keys, keys_of

__all__ = ["Checked", "Counted", "count_labels"]

Ints = npt.NDArray[np.int64]


class Checked(NamedTuple):
    """Items that can be judged: their given label, whether the model contradicts it, and the right label, -1 unchecked, one
    past the classes for one that is none of them."""

    labels: npt.NDArray[np.int32]
    flagged: npt.NDArray[np.bool_]
    truth: npt.NDArray[np.int32]


class Counted(NamedTuple):
    """`joint` (k, k) float64 and `counted` (k,) as of `confident_counts`, `predicted` (k, k), `sizes` (k,) of each label among
    the items that can be judged; `notes` on the probabilities; `classes`; what was left out and why; what people checked."""

    joint: npt.NDArray[np.float64]
    counted: Ints
    predicted: Ints
    sizes: Ints
    notes: tuple[str, ...]
    classes: tuple[str, ...]
    left_out: dict[str, int]
    checked: Checked | None


class _Part(NamedTuple):
    pairs: Ints
    predicted: Ints
    keys: npt.NDArray[np.uint32]
    checked: Checked | None


class HealthPiece(LabelledPiece):
    """A piece of a view, of which the column `truth` has the right label of items that people checked."""

    def __init__(self, columns: tuple[str, ...], label: str, truth: str, piece: View, first: int) -> None:
        super().__init__(columns, piece, first, label=label)
        self.truth = (
            read_labels(piece, truth, np.arange(len(piece), dtype=np.int64)).to_pylist() if truth else None
        )

    def left_out(self) -> dict[str, int]:
        """How many cannot be judged, by the reason."""
        reasons: npt.NDArray[np.object_] = np.array(FAULTS, object)[self.faults]
        reasons[self.codes == -1] = f"no {self.label}"
        reasons[self.codes == -2] = "a label that is none of the classes"
        return Counter(reason for reason in reasons if reason is not None)

    def sums(self) -> Thresholds:
        """Sums of the probabilities of given labels."""
        thresholds = Thresholds(len(self.classes))
        for (probs,), labels in self.blocks():
            thresholds.add(probs, labels)
        return thresholds

    def count(self, thresholds: npt.NDArray[np.float64]) -> _Part:
        """Counts of given labels and of what is guessed by the thresholds of all, and of what is predicted."""
        k = len(self.classes)
        pairs, predicted = np.zeros((k, k), np.int64), np.zeros((k, k), np.int64)
        keys, flagged = [np.empty(0, np.uint32)], [np.empty(0, np.bool_)]
        for (probs,), labels in self.blocks():
            pairs += count_pairs(labels, guess_labels(probs, thresholds), k)
            predicted += predicted_counts(probs, labels)
            wrong = probs.argmax(1) != labels
            keys.append(keys_of(probs.max(1), ~wrong))
            flagged.append(wrong)
        checked = None if self.truth is None else self._checked(np.concatenate(flagged))
        return _Part(pairs, predicted, np.concatenate(keys), checked)

    def _checked(self, flagged: npt.NDArray[np.bool_]) -> Checked:
        position = {name: i for i, name in enumerate(self.classes)}
        truth = [-1 if name is None else position.get(name, len(position)) for name in self.truth or ()]
        return Checked(self.codes[self.usable], flagged, np.array(truth, np.int32)[self.usable])


def count_labels(view: View, columns: tuple[str, str, str], classes: tuple[str, ...]) -> Counted:
    """Count a view's labels; `columns` are the probabilities, the label, and the right label (or empty).

    Raises InputError where nothing can be judged.
    """
    probs, label, truth = columns
    if not len(view):
        raise InputError("label-health: no items")
    with view.resident(partial(HealthPiece, (probs,), label, truth)) as held:
        names, sizes = settle(held, view, (probs,), classes, label=label)
        left_out: Counter[str] = Counter()
        for part in held.ask("left_out"):
            left_out.update(part)
        reasons = dict(sorted(left_out.items()))
        if not sizes.sum():
            told = "; ".join(f"{kind} ({count})" for kind, count in reasons.items())
            raise InputError(f"label-health: none of {counted(len(view), 'item')} can be judged: {told}")
        thresholds = sum_thresholds(held.ask("sums"))
        assert thresholds is not None  # there are pieces
        parts: list[_Part] = held.ask("count", thresholds.values())
    joint, each = scale_counts(np.sum([part.pairs for part in parts], axis=0), sizes)
    keys = np.concatenate([part.keys for part in parts])
    notes = diagnose_keys(keys, int(thresholds.sums.sum()), sizes).notes()
    some: list[Any] = [part.checked for part in parts if part.checked is not None]
    checked = Checked(*(np.concatenate(column) for column in zip(*some, strict=True))) if some else None
    predicted = np.sum([part.predicted for part in parts], axis=0)
    return Counted(joint, each, predicted, sizes, notes, names, reasons, checked)
