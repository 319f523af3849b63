"""`ldr-loss`, `aldr-loss` and `aum`: scores from training a small head on an embedding with a loss that stands noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View, detail, flag, score
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.dynamics.head import Head, Loss, TrainsHead, train_head
from curate.scorers.noise.dynamics.items import Items, read_items, read_sets
from curate.scorers.noise.dynamics.measures import SetMargins, Trajectory
from curate.scorers.noise.dynamics.thresholds import aum_errors
from curate.scorers.noise.losses.ldr import Preparation

__all__ = ["AldrLoss", "AumScore", "LdrLoss", "LossMeasure"]

LossMeasure = Literal["margin", "mean_loss", "final_loss"]


@dataclass(frozen=True, kw_only=True)
class _LearnsSets(TrainsHead):
    """A head that learns sets of labels, too."""

    def resolve(self, columns: Sequence[str], kind: str) -> Self:
        """A copy that reads `labels` where items have sets of labels alone."""
        alone = self.label == "label" and "labels" in columns and "label" not in columns
        return replace(self, label="labels") if alone else self


@dataclass(frozen=True)
class LdrLoss(_LearnsSets):
    """Scores labels by training a small head on an embedding with LDR-KL; higher = keep.

    `by` is the score: the mean or final loss, negative, or the area under the margin. `lam` (0: the worst class alone,
    infinity: all alike) and `margin` are the loss's, `prepare` scales logits first (`ldr.prepare_logits`); the others are
    those of `head.Head`. Beside it `ldr_margin`, `ldr_mean_loss`, `ldr_final_loss`.
    """

    by: LossMeasure = "mean_loss"
    lam: float = 10.0
    margin: float = 0.1
    prepare: Preparation = "unit-mean"

    name: ClassVar[str] = "ldr-loss"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self._head()

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("ldr_loss"), *_loss_details("ldr"))

    def fit(self, view: View) -> FittedTable:
        """Train on a whole view. Raises InputError for a single class or a training that diverges."""
        items = read_sets(view, self.embedding, self.label)
        return items.table(self, _train(items, self._head(), self.by, "ldr", "ldr_loss"))

    def _head(self) -> Head:
        return self.train_with(loss="ldr", lam=self.lam, margin=self.margin, prepare=self.prepare)


@dataclass(frozen=True)
class AldrLoss(_LearnsSets):
    """Scores labels by training a small head on an embedding with ALDR-KL; higher = keep.

    `by` is the score: the mean or final loss, negative, or the area under the margin. `lam0`, `alpha`, `margin` and `prepare`
    are the loss's (`criteria.AldrKl`), the others those of `head.Head`. Beside it `aldr_margin`, `aldr_mean_loss`,
    `aldr_final_loss` and `aldr_ambiguity`, the item's temperature over `lam0`: high = the prediction is flat. It is
    poor at finding wrong labels, for it never looks at them.
    """

    by: LossMeasure = "mean_loss"
    lam0: float = 10.0
    alpha: float = 2.0
    margin: float = 0.1
    prepare: Preparation = "unit-mean"

    name: ClassVar[str] = "aldr-loss"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.alpha <= 1 or self.lam0 <= 0:
            raise InputError(
                f"aldr-loss: alpha={self.alpha}, lam0={self.lam0}: alpha > 1 and lam0 > 0 are meant"
            )
        self._head()

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("aldr_loss"), *_loss_details("aldr"), detail("aldr_ambiguity", pa.float32()))

    def fit(self, view: View) -> FittedTable:
        """Train on a whole view. Raises InputError for a single class or a training that diverges."""
        items = read_sets(view, self.embedding, self.label)
        return items.table(self, _train(items, self._head(), self.by, "aldr", "aldr_loss"))

    def _head(self) -> Head:
        return self.train_with(
            loss="aldr", lam0=self.lam0, alpha=self.alpha, margin=self.margin, prepare=self.prepare
        )


@dataclass(frozen=True)
class AumScore(TrainsHead):
    """Scores labels by the area under the margin, and flags those as low as labels known to be wrong; higher = keep.

    A small head is trained on an embedding `runs` times; each time other n / (K + 1) items get a class that does not exist,
    and the `percentile` of their margins is the cut (`thresholds.aum_errors`). `loss` and the others are those of `head.Head`;
    the paper trains by cross-entropy, but a small head then believes too many of the planted labels and the cut is too high.
    Gives `aum` and the flag `aum_issue`.
    """

    percentile: float = 99.0
    runs: int = 2
    loss: Loss = "elr"

    name: ClassVar[str] = "aum"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 <= self.percentile <= 100 or self.runs < 2:
            raise InputError(
                f"aum: percentile={self.percentile}, runs={self.runs}: 0 to 100, and two runs or more, are meant"
            )
        self.train_with(loss=self.loss)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("aum"), flag("aum_issue"))

    def fit(self, view: View) -> FittedTable:
        """Train on a whole view. Raises InputError for a single class or too few items for threshold samples."""
        items = read_items(view, self.embedding, self.label)
        if not len(items.usable):
            return items.table(self, {"aum": np.empty(0), "aum_issue": np.empty(0, bool)})
        head = self.train_with(loss=self.loss)
        found = aum_errors(
            items.x, items.codes, len(items.classes), head=head, percentile=self.percentile, runs=self.runs
        )
        return items.table(
            self, {"aum": found.margin, "aum_issue": found.issue}, _cut_notes(found.cuts, found.issue)
        )


def _cut_notes(cuts: tuple[float, ...], issue: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    if issue.mean() < 0.5:
        return ()
    shown = ", ".join(f"{cut:.3g}" for cut in cuts)
    return (
        f"{issue.mean():.1%} of the labels are flagged, at cuts of {shown}: the model believes labels known to be wrong as "
        "readily as others. Train for fewer epochs or lower `percentile` before dropping anything",
    )


def _loss_details(prefix: str) -> tuple[pa.Field, ...]:
    return tuple(detail(f"{prefix}_{name}", pa.float32()) for name in ("margin", "mean_loss", "final_loss"))


def _train(items: Items, head: Head, by: LossMeasure, prefix: str, main: str) -> dict[str, npt.NDArray[Any]]:
    found = {
        "margin": np.empty(0),
        "mean_loss": np.empty(0),
        "final_loss": np.empty(0),
        "ambiguity": np.empty(0),
    }
    if len(items.usable):
        trajectory: Trajectory | SetMargins = (
            SetMargins(items.codes) if items.codes.ndim == 2 else Trajectory(items.codes, len(items.classes))
        )
        run = train_head(
            items.x,
            items.codes,
            len(items.classes),
            head=head,
            on_epoch=lambda _, logits: trajectory.add(logits),
        )
        found |= {
            "margin": trajectory.margin if isinstance(trajectory, SetMargins) else trajectory.result().margin,
            "mean_loss": run.mean_loss,
            "final_loss": run.final_loss,
        }
        if run.lam is not None:
            found["ambiguity"] = run.lam / head.lam0
    sign = 1 if by == "margin" else -1
    return {main: sign * found[by], **{f"{prefix}_{name}": values for name, values in found.items()}}
