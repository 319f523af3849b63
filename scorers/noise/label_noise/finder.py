"""`label_errors`, our default: which labels are wrong, how sure, and what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import generator
from curate.scorers.noise.label_noise.evidence import Evidence, as_labels, as_members
from curate.scorers.noise.label_noise.pooling import learn_pool
from curate.scorers.noise.label_noise.rivals import WIDTH, find_rivals
from curate.scorers.noise.label_noise.transition import ROWS, Transition, fit_rivals
from curate.scorers.noise.label_noise.verdict import Verdicts, collect_rivals, judge
from curate.scorers.noise.probabilities import Diagnosis, diagnose_confidence

__all__ = ["REASONS", "LabelIssues", "label_errors"]

REASONS = (
    "the model predicts the given label",
    "another class is more probable, but not by enough for the noise found here",
    "another class is so much more probable that the given label is likely wrong",
    "given how labels go wrong here, another class is likelier than the predicted and given one",
)
"""What a code in `LabelIssues.code` says: 0 and 1 kept, 2 and 3 flagged."""


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """What `label_errors` found, row by row.

    `score` (n,) float64 in [0, 1], higher = keep: the share of the given label against its strongest rival, corrected
    for biases of model and labels. `flagged` (n,) bool: likely wrong. `suggested` (n,) int64: the likeliest class;
    the given one exactly where not flagged. `right` (n,) float32: the noise model's probability that the given label
    is right. `code` (n,) uint8 into `REASONS`; `reason` spells it out.
    `noise` is the fitted noise model and `weights` those of the models in an ensemble; `diagnosis` says in numbers and
    `notes` in sentences what makes the probabilities doubtful evidence.
    """

    score: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    suggested: npt.NDArray[np.int64]
    right: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    noise: Transition | None
    weights: tuple[float, ...]
    diagnosis: Diagnosis
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def reason(self) -> npt.NDArray[np.object_]:
        """Why each row is flagged or not, (n,) strings, one of `REASONS`."""
        return np.array(REASONS, object)[self.code]

    def worst_first(self) -> npt.NDArray[np.int64]:
        """Rows by score, the most doubtful first; ties in the order of rows."""
        return np.argsort(self.score, kind="stable").astype(np.int64)


def label_errors(
    pred_probs: Any, labels: Any, *, classes: Sequence[Any] | None = None, seed: int = 0
) -> LabelIssues:
    """Find wrong labels from out-of-sample predicted probabilities. One configuration for all data; nothing to tune.

    `pred_probs` (n, k) rows that sum to 1, made by a model that has not seen the label it judges (memory-mapped arrays
    are read block by block); or several models' as a sequence of such arrays or (m, n, k): their geometric mean
    with the weights under which the given labels are likeliest (`pooling.fit_weights`), where a zero counts as half of the
    least that the model says of any class. `labels` (n,) integers 0 ... k - 1, or names with `classes`, the name of each
    column.
    `seed` draws the rows (at most 20,000) that the noise model is fitted on.

    How: a true class t is thought drawn from a sharpened, bias-corrected version q_t of the probabilities and the label
    given with probability T[t, label] (`fit_transition`). A row is flagged where q_t T[t, label] of another class
    exceeds that of the label. Under noise that depends on the class alone this works out as a noise rate for each pair of
    classes; under noise as people make it, close to "the model predicts another class". The score compares the
    same terms on the scale of the probabilities; where noise depends on the item, T counts half, for it holds on
    average but not for the item. With T and bias left out and q = p / (mean p of the class) it would be the ratio to
    confident learning's thresholds.

    Rows must be probabilities and labels integers in range: InputError names those that are not. It is also raised for
    fewer items than classes and for labels that are all the same. No rows give an empty result. Ties go to the class
    that comes first; a class without labels is never suggested.
    """
    members = as_members(pred_probs)
    n, k = members[0].shape
    codes = as_labels(labels, n, k, classes)
    if not n:
        return _empty(len(members), k)
    evidence = Evidence(members, learn_pool(members, codes))
    rng = generator(seed, "seed")
    drawn = np.sort(rng.choice(n, ROWS, replace=False)) if n > ROWS else np.arange(n)
    rivals = None if k <= WIDTH else collect_rivals(evidence, codes)
    sample = find_rivals(evidence.take(drawn), codes[drawn]) if rivals is None else rivals.take(drawn)
    count = np.bincount(codes, minlength=k)
    noise = fit_rivals(sample, count / n, lambda rows, columns: evidence.at(drawn[rows], columns), rng)
    top = np.exp(sample.log.max(0))
    right = sample.log[0] > sample.log[1:].max(0)  # where classes are tied, nothing is predicted
    diagnosis = diagnose_confidence(top, right, np.exp(sample.log[0]), count)
    found = judge(evidence, rivals, codes, noise)
    return LabelIssues(*found, noise, evidence.pool.weights, diagnosis, diagnosis.notes())


def _empty(models: int, k: int) -> LabelIssues:
    nothing = np.empty(0)
    diagnosis = diagnose_confidence(nothing, np.empty(0, bool), nothing, np.ones(k, np.int64))
    found = Verdicts(*(np.empty(0, dtype) for dtype in (float, bool, np.int64, np.float32, np.uint8)))
    return LabelIssues(*found, None, (1 / models,) * models, diagnosis, ())
