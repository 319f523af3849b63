"""`knn-agreement`: does an item's label agree with those of its neighbours (Zhu, Dong and Liu 2022: SimiFeat)?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_rows
from curate.arrays.labels import as_codes, check_several
from curate.contracts import View, detail, flag, score
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.neighbours.candidates import Backend, Floats, Rows
from curate.scorers.noise.neighbours.items import read_items
from curate.scorers.noise.neighbours.noise_rates import NoiseRates, estimate_noise_rates
from curate.scorers.noise.neighbours.search import Metric, nearest_blocks

__all__ = ["Agreement", "KnnAgreement", "Rule", "knn_agreement", "soft_votes"]

Rule = Literal["vote", "rank"]
_CLIP = (0.05, 0.95)
"""No class is thought cleaner or noisier than this."""


@dataclass(frozen=True)
class KnnAgreement:
    """Scores how well an item's label agrees with those of its nearest neighbours; no model is trained.

    The score is the share of the own label in the neighbours' soft vote, in [0, 1], higher = keep. Reads the vector
    column `embedding`, compared by `metric`; `k` neighbours vote, the item among them; `rule` says what is flagged:
    "vote" (another class wins) or "rank" (as many of each class as the estimated noise rates say). `label` is
    the column judged.
    Beside the score: `knn_label_issue`; `knn_suggested_label`, the class with most votes, where it is another than the
    given; `knn_isolation`, in [0, 1), high where the neighbours are far and their vote says little.
    """

    embedding: str = "pixel_embedding"
    k: int = 10
    rule: Rule = "vote"
    metric: Metric = "cosine"
    label: str = "label"

    name: ClassVar[str] = "knn-agreement"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.k < 3:
            raise InputError(f"knn-agreement: k={self.k}: 3 at least, the item itself and two others")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.embedding)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("knn_agreement"),
            flag("knn_label_issue"),
            detail("knn_suggested_label", pa.string()),
            detail("knn_isolation", pa.float32()),
        )

    def fit(self, view: View) -> FittedTable:
        """Score a view. Raises InputError for fewer items than `k`, or where all have one label."""
        items = read_items(view, (self.embedding,), self.label, self.metric)
        if not len(items):
            return items.answer(self, {})
        x = items.x[self.embedding]
        found = knn_agreement(x, items.labels, self.k, rule=self.rule, metric=self.metric)
        other = found.suggested != items.labels
        values = {
            "knn_agreement": found.score,
            "knn_label_issue": found.flagged,
            "knn_suggested_label": items.named(found.suggested, other),
            "knn_isolation": found.isolation,
        }
        return items.answer(self, values, _notes(found, items.classes))


def _notes(found: Agreement, classes: tuple[str, ...]) -> tuple[str, ...]:
    if found.rates is None:
        return ()
    kept = np.diag(found.rates.transition)
    least = int(kept.argmin())
    share = float(found.rates.prior @ (1 - kept))
    return (
        f"estimated from neighbours: {share:.1%} of the labels are wrong; of the items of class {classes[least]!r} "
        f"{kept[least]:.0%} bear its label",
    )


class Agreement(NamedTuple):
    """What the neighbours say, row by row.

    `score`      (n,) float32 in [0, 1]: the share of the row's own label in the soft vote; higher = keep.
    `flagged`    (n,) bool: labels to look at.
    `suggested`  (n,) int64: the class with most votes; the row's own where it ties.
    `isolation`  (n,) float32 in [0, 1): how far away the neighbours are; high = the vote is of strangers.
    `rates`      what the rule "rank" assumed of the noise, else None.
    """

    score: Floats
    flagged: npt.NDArray[np.bool_]
    suggested: Rows
    isolation: Floats
    rates: NoiseRates | None = None


def knn_agreement(
    x: npt.NDArray[Any],
    labels: npt.NDArray[np.integer],
    k: int = 10,
    *,
    rule: Rule = "vote",
    metric: Metric = "cosine",
    backend: Backend = "auto",
) -> Agreement:
    """How well each label agrees with the labels around it, without a model and without training.

    `x` (n, d) numbers, `labels` (n,) in 0 ... K - 1; `k` neighbours **including the row itself**, 3 at least.
    With distances d_j and labels y_j of the neighbours, class c gets V_c = sum over j of (1 - d_j) 1[y_j = c], and V is
    brought to length 1; the score is V of the row's own label. The row votes too, at the distance 2 d_1 - d_2 at which
    the next nearer neighbour would lie (`soft_votes`).

    `rule`: "vote" flags where another class has more votes; "rank" flags of each class c the lowest
    1 - P(true = c | given = c) of its rows, that share estimated by `estimate_noise_rates` and held within 5 and 95 %.
    Of rows that tie at the cut the lower goes first.

    Raises InputError for labels that are not of `x`, a single class, fewer rows than `k`, rows that are not finite.
    Source: Zhu, Dong and Liu, "Detecting Corrupted Labels Without Training a Model to Predict", ICML 2022, eqs. 5, 8;
    the paper's score is -log of ours. Its rounds on random subsets are not taken over.
    """
    x = as_rows(x)
    labels = _check(x, labels, k, rule)
    classes = int(labels.max()) + 1
    score, isolation = np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    suggested, pairs = np.empty(len(x), np.int64), np.empty((len(x), 2), np.int64)
    options: dict[str, Any] = {"metric": metric, "include_self": True, "backend": backend}
    for low, rows, distance in nearest_blocks(x, k, **options):
        part = slice(low, low + len(rows))
        votes = soft_votes(labels[rows], distance, classes)
        own = votes[np.arange(len(rows)), labels[part]]
        best = votes.argmax(1)
        score[part] = own
        suggested[part] = np.where(own >= votes.max(1), labels[part], best)
        isolation[part] = np.tanh(distance[:, 1:].mean(1) / 2)  # = 2 sigmoid(mean) - 1
        pairs[part] = labels[rows[:, 1:3]]
    if rule == "vote":
        return Agreement(score, suggested != labels, suggested, isolation)
    rates = estimate_noise_rates(np.column_stack([labels, pairs]), classes)
    return Agreement(score, _lowest(score, labels, rates), suggested, isolation, rates)


def soft_votes(labels: npt.NDArray[np.integer], distance: npt.NDArray[np.floating], classes: int) -> Floats:
    """The votes of neighbours for each class, of length 1: (n, classes) float32.

    `labels` (n, k) and `distance` (n, k) of the neighbours, nearest first, the row itself in front. A vote counts
    1 - distance, never less than 0; where none counts, all are 0.
    """
    distance = np.asarray(distance, np.float32).copy()
    if distance.shape[1] > 2:
        distance[:, 0] = np.maximum(2 * distance[:, 1] - distance[:, 2], 0)
    n = len(labels)
    cells = (np.arange(n)[:, None] * classes + labels).ravel()
    weight = np.maximum(1 - distance, 0).ravel()
    votes = np.bincount(cells, weight, n * classes).reshape(n, classes)
    length = np.linalg.norm(votes, axis=1, keepdims=True)
    return np.asarray(np.divide(votes, length, out=np.zeros_like(votes), where=length > 0), np.float32)


def _lowest(score: Floats, labels: Rows, rates: NoiseRates) -> npt.NDArray[np.bool_]:
    """Of each class the rows of lowest score, as many as its noise rate says."""
    flagged = np.zeros(len(score), bool)
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        share = 1 - np.clip(rates.trust[c], *_CLIP)
        worst = np.argsort(score[members], kind="stable")[: round(float(share) * len(members))]
        flagged[members[worst]] = True
    return flagged


def _check(x: npt.NDArray[Any], labels: npt.NDArray[np.integer], k: int, rule: str) -> Rows:
    codes = as_codes(labels, len(x), of="items")
    if rule not in ("vote", "rank"):
        raise InputError(f"rule {rule!r}: 'vote' or 'rank'")
    if k < 3:
        raise InputError(f"k={k}: 3 at least, the row itself and two others")
    check_several(codes)
    return codes
