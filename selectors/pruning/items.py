"""`label-mapping` and `feature-mapping`: source items for a target, both in one view."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.choosing import Meter, capacity, draw_seed, finite_rows
from curate.contracts import Budget, Selection, View
from curate.counting import counted
from curate.errors import InputError, UnknownNameError
from curate.fitting import columns_of, order_by_id, read_labels, read_vectors, true_rows
from curate.selectors.pruning.centroids import Centre
from curate.selectors.pruning.classes import ClassSelection
from curate.selectors.pruning.features import Measure, feature_mapping
from curate.selectors.pruning.labels import label_mapping

__all__ = ["FeatureMapping", "LabelMapping"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelMapping:
    """Chooses the classes of a source set that a source model takes a target's items for most often.

    `target`      an expression that is true for the target's items; all others are the source, of which is chosen.
    `predictions` what the source model says of the target's items: vectors of logits or probabilities, or a column
                  with the predicted class.
    `label`       the class of the source's items; those without one are never chosen.
    `classes`     the order of the vectors' columns, where it is not that of the sorted labels.
    `keep`        how many classes: a count, a fraction or "40%"; by default all that got a vote, or as many
                  as the budget takes.
    `soft`        count probabilities in place of votes. `reverse` keeps the classes with the fewest: a control.
    A budget is one of items: classes are taken in their order until it is full, the last one in part, at random.
    """

    target: str
    predictions: str = "pred_probs"
    label: str = "label"
    classes: tuple[str, ...] = ()
    keep: int | float | str | None = None
    soft: bool = False
    reverse: bool = False

    name: ClassVar[str] = "label-mapping"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.label, self.predictions, *columns_of(self.target))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError where either side is empty, nothing is predicted, or classes do not match."""
        meter, seed = Meter(), draw_seed(rng)
        target, source, labels = _sides(view, self.target, self.label)
        capacity(budget if budget is not None else 1, len(view), len(source), _SOURCE)
        if self.predictions not in view.columns:
            raise UnknownNameError("column", self.predictions, view.columns)
        kind = view.take(target[:1], [self.predictions]).schema.field(self.predictions).type
        if pa.types.is_nested(kind):
            scores: npt.NDArray[Any] = read_vectors(view, self.predictions, target)
            scores = scores[finite_rows(scores)]
        else:
            scores = _texts(read_labels(view, self.predictions, target).drop_null())
        if not len(scores):
            raise InputError(
                f"none of {counted(len(target), 'target item')} has {self.predictions!r}: nothing votes"
            )
        chosen = label_mapping(
            scores,
            labels,
            _classes_kept(self.keep, budget),
            classes=self.classes or None,
            soft=self.soft,
            reverse=self.reverse,
        )
        return _filled(chosen, source, (budget, len(view)), seed, meter)


@dataclass(frozen=True)
class FeatureMapping:
    """Chooses the classes (or clusters) of a source set that lie nearest to a target's items.

    `target`       an expression that is true for the target's items; all others are the source, of which is chosen.
    `embedding`    vectors of both. `label` the class of the source's items; those without one are never chosen.
    `clusters`     so many k-means clusters (extra `select`) stand for classes, and no label is read.
    `keep`         how many classes: a count, a fraction or "40%"; by default all that got a vote, or as many
                   as the budget takes.
    `centre`       mean, median, or trimmed: the mean of the middle `band` of a class around its median.
    `by`           votes of the target's items, or cmt / cmt_median: nearness to the target's own classes, which
                   `target_label` names (then `keep` is needed). `reverse` keeps the farthest: a control.
    A budget is one of items: classes are taken in their order until it is full, the last one in part, at random.
    """

    target: str
    embedding: str = "pixel_embedding"
    label: str = "label"
    clusters: int | None = None
    keep: int | float | str | None = None
    centre: Centre = "mean"
    band: float = 0.5
    by: Measure = "votes"
    target_label: str = "label"
    reverse: bool = False

    name: ClassVar[str] = "feature-mapping"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.by != "votes" and self.keep is None:
            raise InputError(
                f"feature-mapping: by={self.by!r} needs keep=..., the number or share of classes"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        labels = () if self.clusters else (self.label,)
        own = (self.target_label,) if self.by != "votes" else ()
        return tuple(dict.fromkeys(("id", self.embedding, *labels, *own, *columns_of(self.target))))

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take: reading, centres, and one product with some hundred of them (with
        `clusters`, twenty with those)."""
        products = 2.0 * n * d * (21 * self.clusters if self.clusters else 200)
        return {"seconds": 0.2 + products / 2e10 + n * d / 2e8, "bytes": 12.0 * n * d + 1e8}

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError where either side has no vectors, or there is one class."""
        meter, seed = Meter(), draw_seed(rng)
        target, source, labels = _sides(view, self.target, None if self.clusters else self.label)
        theirs, own = (read_vectors(view, self.embedding, rows) for rows in (target, source))
        sides = []
        for name, x in (("target", theirs), ("source", own)):
            usable = finite_rows(x)
            if not usable.any():
                raise InputError(f"none of {len(x)} {name} items has a finite {self.embedding!r}")
            sides.append(usable)
        source = source[sides[1]]
        capacity(budget if budget is not None else 1, len(view), len(source), _SOURCE)
        answers = None
        if self.by != "votes":
            known = read_labels(view, self.target_label, target)
            sides[0] &= np.asarray(known.is_valid())
            answers = _texts(known.filter(pa.array(sides[0])))
        chosen = feature_mapping(
            theirs[sides[0]],
            own[sides[1]],
            None if labels is None else labels[sides[1]],
            _classes_kept(self.keep, budget),
            clusters=self.clusters,
            centre=self.centre,
            band=self.band,
            by=self.by,
            target_labels=answers,
            reverse=self.reverse,
            rng=np.random.default_rng(seed),
        )
        return _filled(chosen, source, (budget, len(view)), seed, meter)


_SOURCE = "a class and are not the target's"


def _sides(view: View, target: str, label: str | None) -> tuple[Ints, Ints, npt.NDArray[Any] | None]:
    """Rows of the target and of the source (those with a label), in the order of ids, and the source's labels."""
    order = order_by_id(view)
    theirs = true_rows(view, target)[order]
    ours, found = ~theirs, None
    if label is not None:
        if label not in view.columns:
            raise UnknownNameError("column", label, view.columns)
        labels = read_labels(view, label, order)
        ours &= np.asarray(labels.is_valid())
        found = _texts(labels.filter(pa.array(ours)))
    if not theirs.any() or not ours.any():
        raise InputError(
            f"{target!r} holds for {int(theirs.sum())} of {counted(len(order), 'item')}, and "
            f"{counted(int(ours.sum()), 'other has', 'others have')} what the source needs: a target and a source to "
            "choose from are meant, both in the view"
        )
    return order[theirs], order[ours], found


def _texts(values: pa.Array) -> npt.NDArray[Any]:
    return np.array(values.to_pylist(), str)


def _filled(
    chosen: ClassSelection, source: Ints, budget: tuple[Budget | None, int], seed: int, meter: Meter
) -> ClassSelection:
    """The choice as rows of the view, cut to the budget: of the last class a random part."""
    count, codes = len(chosen), chosen.codes
    if budget[0] is not None:
        count = min(count, capacity(budget[0], budget[1], len(source), _SOURCE))
    rows = np.arange(count)
    if count < len(chosen) and codes[count - 1] == codes[count]:
        last = np.flatnonzero(codes == codes[count])
        drawn = np.random.default_rng([seed, 1]).permutation(last)[: count - last[0]]
        rows = np.concatenate([np.arange(last[0]), np.sort(drawn)])
    kept = len(np.unique(codes[rows]))
    votes = np.append(0.0, np.cumsum(chosen.votes[chosen.ranking]))
    share = {"objective": float(votes[kept] / votes[-1]), "random": kept / len(chosen.ranking)}
    assert chosen.weight is not None and chosen.gain is not None
    return dataclasses.replace(
        chosen,
        index=source[chosen.index[rows]],
        weight=chosen.weight[rows],
        gain=chosen.gain[rows],
        reason=[chosen.reason[i] for i in rows.tolist()],
        codes=codes[rows],
        kept=kept,
        random=share if chosen.random else {},
        seed=seed,
        **meter.read(),
    )


def _classes_kept(keep: Budget | None, budget: Budget | None) -> Budget | None:
    """With a budget of items alone all classes are ranked, and the budget says where to stop."""
    return 1.0 if keep is None and budget is not None else keep
