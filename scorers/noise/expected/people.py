"""What most people would say of an item, and which labels they would contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.errors import InputError
from curate.scorers.noise.expected.jury import ONE_EACH, Jury, Said, hear, people_counted
from curate.scorers.noise.label_noise.evidence import as_labels, as_members
from curate.scorers.noise.label_noise.pooling import spaced
from curate.scorers.noise.label_noise.rivals import blocks

__all__ = ["REASONS", "Expectation", "expect", "expected_answers"]

REASONS = (
    "most people are expected to give this label",
    "those who were asked say something else, and are too few to outweigh the models",
    "most people are expected to say something else",
    "those who were asked say something else",
)
"""What a code in `Expectation.code` says: 0 and 1 kept, 2 and 3 flagged."""


@dataclass(frozen=True, eq=False)
class Expectation:
    """What `expected_answers` found, row by row.

    `score` (n,) float64 in [0, 1], higher = keep: of the people who say the label or its strongest rival, the share
    expected to say the label, the label itself unheard. `flagged` (n,) bool: most are expected to say something else, the label heard.
    `suggested` (n,) int64: what they say; the given label exactly where not flagged. `shares` (n, k) float32: how many are expected to say
    each class, the label heard; rows sum to 1: a soft label. `code` (n,) uint8 into `REASONS`; `reason` spells it out.
    `exponents` say how much each model counts for the score, and together how sure they are; `powers`, where it is decided, how much the
    models so weighed and what people say of such labels; `people`, as how many people all this counts beside
    the answers to an item. `agreement` is the share of the answers that the models alone expected to be the commonest,
    `commonest` that of the answer given most often overall.
    """

    score: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    suggested: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    exponents: tuple[float, ...]
    powers: tuple[float, float]
    people: float
    agreement: float
    commonest: float

    def __len__(self) -> int:
        return len(self.score)

    @property
    def reason(self) -> npt.NDArray[np.object_]:
        """Why each row is flagged or not, (n,) strings, one of `REASONS`."""
        return np.array(REASONS, object)[self.code]

    def worst_first(self) -> npt.NDArray[np.int64]:
        """Rows by score, the most doubtful first; ties in the order of rows."""
        return np.argsort(self.score, kind="stable").astype(np.int64)


def expected_answers(
    pred_probs: Any, votes: Any, labels: Any, *, classes: Sequence[Any] | None = None
) -> Expectation:
    """Find labels that most people would contradict, where people were asked about a part of the items.

    `pred_probs` (n, k) rows that sum to 1, made by a model of what people say that has not seen the answers to the item;
    or several models' as a sequence of such arrays or (m, n, k), models of the given labels among them, if you like.
    `votes` (n, k): how many people said each class, whole numbers; zeros where nobody was asked. `labels` (n,) integers 0 ... k - 1, or
    names with `classes`, the name of each column.

    How: the models are multiplied, each to a power, the powers being those under which the votes are likeliest
    (`pooling.fit_exponents`, on at most 20,000 votes): they rank. To decide, the label is heard as well: what people say of
    other items with this label, and how much it counts beside the models is what makes the votes likeliest once more; where models know little,
    labels are believed. Of the result, q: the shares of all people who would say each class are thought
    drawn around q by a Dirichlet distribution of `people` q, with the `people` under which the votes of those asked about the same
    item are likeliest; so the votes v of an item move its shares to (people q + v) / (people + sum v). The label is
    wrong, in the eyes of most people, where another class has the larger share.

    Beside `label_errors`, which asks what the given labels themselves say of each other: here models and labels may agree
    and be contradicted, since people are the judges, and what they say was learnt from them.

    Raises InputError for probabilities, votes or labels that are none or of other shapes, naming rows, and where nobody
    was asked anything. No rows give an empty result. Ties go to the given label, then to the class that comes first.
    Sources: Minka, "Estimating a Dirichlet distribution", 2000 (the compound distribution of votes); Heskes 1998 (the product of models).
    """
    members = as_members(pred_probs)
    n, k = members[0].shape
    given = as_labels(labels, n, k, classes) if n else np.empty(0, np.int64)
    counts = _as_votes(votes, (n, k))
    row, value = np.nonzero(counts)
    times = counts[row, value]
    return expect(members, Said(np.repeat(row, times), np.repeat(value, times)), given)


def _as_votes(votes: Any, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    found = as_numbers(votes, "votes")
    if found.shape != shape:
        raise InputError(
            f"votes have shape {found.shape}, the probabilities {shape}: how many people said each class of each item"
        )
    odd = np.argwhere(~((found >= 0) & (found == np.floor(found)) & np.isfinite(found)))
    if len(odd):
        raise InputError(
            f"votes are whole numbers, 0 where nobody said it: row {odd[0][0]} has {found[tuple(odd[0])]} "
            f"in column {odd[0][1]}"
        )
    return found.astype(np.int64)


def expect(members: tuple[npt.NDArray[Any], ...], said: Said, labels: npt.NDArray[np.int64]) -> Expectation:
    """`expected_answers` of arrays that are what they should be, with the answers one by one."""
    n, k = members[0].shape
    if not n:
        return _empty(len(members), k)
    if not len(said.row):
        raise InputError(
            "nobody was asked about any of these items: what people say cannot be learnt; label_errors needs no answers"
        )
    jury = hear(members, said, labels)
    found = Expectation(
        np.empty(n),
        np.empty(n, bool),
        np.empty(n, np.int64),
        np.empty((n, k), np.float32),
        np.empty(n, np.uint8),
        jury.models.pool.weights,
        jury.powers,
        people_counted(jury, said),
        _agreement(jury, said),
        float(np.bincount(said.value).max() / len(said.value)),
    )
    for block in blocks(n, k):
        _judge(found, block, jury)
    return found


def _agreement(jury: Jury, said: Said) -> float:
    """The share of answers that the models alone would have expected to be the commonest."""
    some = spaced(len(said.row))
    rows, back = np.unique(said.row[some], return_inverse=True)
    right = 0
    for block in blocks(len(rows), jury.models.shape[1]):
        top = jury.models.take(rows[block]).argmax(1)
        within = (back >= block.start) & (back < block.stop)
        right += int((top[back[within] - block.start] == said.value[some][within]).sum())
    return right / len(some)


def _judge(found: Expectation, block: slice, jury: Jury) -> None:
    """Fill in the rows of a block."""
    given, votes = jury.witness.labels[block], jury.votes(block)
    ranked = found.people * jury.models.take(block).astype(np.float64) + votes
    own, _, strongest = _against(ranked, given)
    found.score[block] = own / (own + strongest)
    decided = found.people * jury.expect(block) + votes
    own, rival, strongest = _against(decided, given)
    found.flagged[block] = wrong = strongest > own
    found.suggested[block] = np.where(wrong, rival, given)
    found.shares[block] = decided / decided.sum(1, keepdims=True)
    mine, _, others = _against(votes, given)
    found.code[block] = 2 * wrong + (others > mine)


def _against(
    weight: npt.NDArray[np.float64], given: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The weight of the given label, its strongest rival, and the weight of that."""
    row, others = np.arange(len(given)), weight.copy()
    others[row, given] = -1
    rival = others.argmax(1)
    return weight[row, given], rival, others[row, rival]


def _empty(models: int, k: int) -> Expectation:
    return Expectation(
        np.empty(0),
        np.empty(0, bool),
        np.empty(0, np.int64),
        np.empty((0, k), np.float32),
        np.empty(0, np.uint8),
        (1 / models,) * models,
        (0.5, 0.5),
        ONE_EACH,
        float("nan"),
        float("nan"),
    )
