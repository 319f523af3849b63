"""`confident-learning`: labels that the predicted probabilities contradict (Northcutt, Jiang and Chuang 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import Held, View, detail, flag, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, by_piece
from curate.scorers.noise.confident.choice import choose, sum_thresholds
from curate.scorers.noise.confident.filters import Filter
from curate.scorers.noise.confident.joint import Thresholds
from curate.scorers.noise.confident.portion import Options, Portion
from curate.scorers.noise.confident.quality import (
    Method,
    ModelSums,
    Weighting,
    mix_quality,
    sum_mixed,
    sum_models,
    weigh_models,
)
from curate.scorers.noise.pieces import LabelledPiece, answer_pieces, settle
from curate.scorers.noise.probabilities import diagnose_keys

__all__ = ["ConfidentLearning"]


@dataclass(frozen=True)
class ConfidentLearning:
    """Scores how well each label agrees with out-of-sample probabilities, and flags the likely errors.

    The score is the quality of the label in [0, 1], higher = keep.
    `pred_probs` is the vector column, or several, one of each model; `classes` the order of their columns (default: the
    distinct labels, sorted by code point, which is the order that `out-of-fold` writes). `filter_by` decides which
    labels are flagged, `method` how they are ranked, `adjusted` after class thresholds were subtracted; all as in
    cleanlab 2.9. `weighting` says what each of several models counts: their scores are averaged, and labels flagged by
    the average of their probabilities. `label` is the column judged.
    Beside the score: `label_issue`, and `suggested_label`, the most probable class where there is an issue.
    Notes of the fitted scorer say if the probabilities look in-sample or uncalibrated.
    """

    pred_probs: str | tuple[str, ...] = "pred_probs"
    filter_by: Filter = "prune_by_noise_rate"
    method: Method = "self_confidence"
    classes: tuple[str, ...] = ()
    adjusted: bool = False
    weighting: Weighting = "log_loss_search"
    label: str = "label"

    name: ClassVar[str] = "confident-learning"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not self.columns:
            raise InputError("confident-learning: pred_probs names no column")
        if self.adjusted and self.method == "confidence_weighted_entropy":
            raise InputError("confident-learning: confidence_weighted_entropy has no adjusted variant")

    @property
    def columns(self) -> tuple[str, ...]:
        """The vector columns read."""
        return (self.pred_probs,) if isinstance(self.pred_probs, str) else tuple(self.pred_probs)

    @property
    def options(self) -> Options:
        """What is asked of the probabilities."""
        return Options(self.filter_by, self.method, self.adjusted)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, *self.columns)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("confident_learning"), flag("label_issue"), detail("suggested_label", pa.string()))

    def fit(self, view: View) -> FittedTable:
        """Find the label errors of a view. Raises InputError where the whole input is wrong, not a few rows."""
        with view.resident(partial(ConfidentPiece, self)) as held:
            names, counts = settle(held, view, self.columns, self.classes, label=self.label)
            if not counts.sum():
                return answer_pieces(self, held.ask("answer_nothing"), (), names)
            self._weigh(held)
            portions = _Portions(held, view)
            thresholds = sum_thresholds(portions.ask("sums"))
            assert thresholds is not None  # there are rows
            chosen = choose(portions, thresholds, self.options, portions.rank)
            keys = np.concatenate(portions.ask("keys"))
            notes = diagnose_keys(keys, int(thresholds.sums.sum()), thresholds.counts).notes()
            lonely = [names[one] for one in np.flatnonzero(thresholds.counts == 1)]
            tables = held.ask_some("answer_rows", {i: (rows,) for i, rows in enumerate(chosen.rows)})
        return answer_pieces(self, list(tables.values()), (*notes, *self._lonely(lonely)), names)

    def _weigh(self, held: Held) -> None:
        """Of several models, settle what each counts."""
        if len(self.columns) == 1:
            return
        sums = held.ask("models")
        weights = weigh_models(sums, lambda tried: held.ask("mixed", tried), self.weighting)
        subtract = None
        if self.adjusted:
            by_model = zip(*held.ask("sums_by_model"), strict=True)
            subtract = [one.values() for model in by_model if (one := sum_thresholds(model)) is not None]
        held.tell("weigh", weights, subtract)

    def _lonely(self, lonely: Sequence[str]) -> tuple[str, ...]:
        if not lonely or self.filter_by not in ("prune_by_noise_rate", "prune_by_class", "both"):
            return ()
        named = ", ".join(map(repr, lonely[:5]))
        return (
            f"{counted(len(lonely), 'class has', 'classes have')} too few examples, one each, to flag any of them: "
            f"{named}",
        )


class ConfidentPiece(LabelledPiece):
    """A piece of a view as confident learning sees it: a `Portion`, and the models whose average its batches are."""

    def __init__(self, scorer: ConfidentLearning, piece: View, first: int) -> None:
        super().__init__(scorer.columns, piece, first, label=scorer.label)
        self.scorer, self.portion = scorer, Portion(self._batches, scorer.options)
        self.weights: npt.NDArray[np.float64] | None = None
        self.subtract: Sequence[npt.NDArray[np.float64]] | None = None

    def _batches(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
        for members, labels in self.blocks():
            yield members[0] if self.weights is None else _average(members, self.weights), labels

    def portioned(self, method: str, *args: Any) -> Any:
        """What its portion answers."""
        return getattr(self.portion, method)(*args)

    def models(self) -> ModelSums:
        """Sums that say what each of several models is worth."""
        nothing = (0,) * len(self.scorer.columns)
        found = [ModelSums(0, nothing, nothing), *(sum_models(*block) for block in self.blocks())]
        rows, right, losses = zip(*found, strict=True)
        return ModelSums(sum(rows), _summed(right), _summed(losses))

    def mixed(self, tried: npt.NDArray[np.float64]) -> tuple[int, ...]:
        """The same of their averages by weights that are tried."""
        return _summed([(0,) * len(tried), *(sum_mixed(*block, tried) for block in self.blocks())])

    def sums_by_model(self) -> list[Thresholds]:
        """Sums of the probabilities of given labels, by each model."""
        sums = [Thresholds(len(self.classes)) for _ in self.scorer.columns]
        for members, labels in self.blocks():
            for member, one in zip(members, sums, strict=True):
                one.add(member, labels)
        return sums

    def weigh(
        self, weights: npt.NDArray[np.float64], subtract: Sequence[npt.NDArray[np.float64]] | None
    ) -> None:
        """From here on the probabilities are the models' average by these weights."""
        self.weights, self.subtract = weights, subtract

    def answer_nothing(self) -> pa.Table:
        """Where no row can be scored."""
        return self.answer(self.scorer, {})

    def answer_rows(self, chosen: npt.NDArray[np.int32] | None) -> pa.Table:
        """Its rows, of which these are flagged (`Portion.issues`)."""
        found, issue = self.portion.found, self.portion.issues(chosen)
        suggested = np.full(len(issue), None, object)
        suggested[issue] = np.array(self.classes, object)[found.predicted[issue]]
        values = {
            "confident_learning": self._quality().astype(np.float32),
            "label_issue": issue,
            "suggested_label": suggested,
        }
        return self.answer(self.scorer, values)

    def _quality(self) -> npt.NDArray[np.floating[Any]]:
        if self.weights is None:
            return self.portion.found.quality
        how = self.scorer.method, (self.weights, self.subtract)
        return np.concatenate([np.empty(0), *(mix_quality(*block, *how) for block in self.blocks())])


def _average(members: Sequence[npt.NDArray[Any]], weights: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    total: npt.NDArray[Any] = sum(weight * member for weight, member in zip(weights, members, strict=True))
    return total


def _summed(columns: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*columns, strict=True)))


@dataclass(frozen=True, eq=False)
class _Portions:
    """The portions of all pieces, wherever these are."""

    held: Held
    view: View

    def ask(self, method: str, *args: Any) -> list[Any]:
        return self.held.ask("portioned", method, *args)

    def tell(self, method: str, *args: Any) -> list[Any]:
        return self.held.tell("portioned", method, *args)

    def rank(self, portion: npt.NDArray[np.int64], place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The order of these rows by their ids."""
        asked = by_piece(range(len(self.held.firsts)), portion)
        found = self.held.ask_some("rows_at", {one: (place[at],) for one, at in asked.items()})
        rows = np.empty(len(place), np.int64)
        for one, at in asked.items():
            rows[at] = found[one]
        order = pc.sort_indices(self.view.take(rows, ["id"]).column("id"))
        rank = np.empty(len(rows), np.int64)
        rank[order.to_numpy()] = np.arange(len(rows))
        return rank
