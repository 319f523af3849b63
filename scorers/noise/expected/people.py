"""What most people would say of an item, and which labels they would contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.errors import InputError
from curate.scorers.noise.label_noise.evidence import Evidence, Pool, as_labels, as_members
from curate.scorers.noise.label_noise.pooling import (
    LEAST,
    fit_exponents,
    least_said,
    pool_slopes,
    smallest,
    spaced,
)
from curate.scorers.noise.label_noise.rivals import blocks

__all__ = ["REASONS", "Expectation", "Said", "expect", "expected_answers"]

CELLS = 1 << 21
"""Numbers that how alike people's answers are is fitted to, at most."""
ALIKE = (1e-2, 1e3)
"""As how many people a model may count."""
ONE_EACH = 1.0
"""As how many it counts where nobody was asked what another was asked: what people think of one item cannot be told."""

REASONS = (
    "most people are expected to give this label",
    "those who were asked say something else, and are too few to outweigh the models",
    "most people are expected to say something else",
    "those who were asked say something else",
)
"""What a code in `Expectation.code` says: 0 and 1 kept, 2 and 3 flagged."""


class Said(NamedTuple):
    """Answers, one by one and sorted by row: the row each is about, (a,) int64, and its class, (a,) int64."""

    row: npt.NDArray[np.int64]
    value: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Expectation:
    """What `expected_answers` found, row by row.

    `score` (n,) float64 in [0, 1], higher = keep: of the people who say the label or its strongest rival, the share
    expected to say the label. `flagged` (n,) bool: below a half. `suggested` (n,) int64: what most are expected to say;
    the given label exactly where not flagged. `shares` (n, k) float32: how many are expected to say each class; rows
    sum to 1: a soft label. `code` (n,) uint8 into `REASONS`; `reason` spells it out.
    `exponents` say how much each model counts, and together how sure they are; `label`, by what the log-odds of a class
    rise for being the given label; `people`, as how many people both count beside the answers to an item. `agreement` is the share of the answers that the models alone expected to be the
    commonest, `commonest` that of the answer given most often overall.
    """

    score: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    suggested: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    exponents: tuple[float, ...]
    label: float
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
    (`pooling.fit_exponents`, on at most 20,000 votes). So is the given label, as a witness that favours its class by the same odds
    whatever the class is: where the models know little it is believed. That leaves the order of items that nobody was asked
    about as the models have it, and moves the cut. The result is q. The shares of all people who would say each class are thought
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
    odd = np.argwhere(~((found >= 0) & (found == np.floor(found))))
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
    models = Evidence(members, _learn(members, said))
    judge = _hear_labels(models, said, labels)
    people = _alike(judge, said, k)
    found = Expectation(
        np.empty(n),
        np.empty(n, bool),
        np.empty(n, np.int64),
        np.empty((n, k), np.float32),
        np.empty(n, np.uint8),
        tuple(judge.power * weight for weight in models.pool.weights),
        judge.favour,
        people,
        _agreement(models, said),
        float(np.bincount(said.value).max() / len(said.value)),
    )
    for block in blocks(n, k):
        _judge(found, block, judge, said)
    return found


@dataclass(frozen=True, eq=False)
class _Judge:
    """The models to a `power`, and the labels given, (n,), each in favour of its class by so many log-odds."""

    models: Evidence
    labels: npt.NDArray[np.int64]
    power: float
    favour: float

    def expect(self, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """What people are expected to say of these rows, (rows, k), as far as others' answers tell."""
        log = self.power * np.log(np.maximum(self.models.take(rows).astype(np.float64), LEAST))
        log[np.arange(len(log)), self.labels[rows]] += self.favour
        log -= log.max(1, keepdims=True)
        np.exp(log, out=log)
        return np.asarray(log / log.sum(1, keepdims=True))


def _hear_labels(models: Evidence, said: Said, labels: npt.NDArray[np.int64]) -> _Judge:
    """How far the labels themselves are believed: a pool of two, of which one knows the label alone, with log-odds of 1."""
    some = spaced(len(said.row))
    rows, values = said.row[some], said.value[some]
    k = models.shape[1]
    witness = np.full((len(rows), k), 1 / (np.e + k - 1))
    witness[np.arange(len(rows)), labels[rows]] *= np.e
    parts = (models.take(rows), witness)
    return _Judge(
        models, labels, *fit_exponents(2, lambda told: pool_slopes(parts, Pool(told, (LEAST,) * 2), values))
    )


def _learn(members: tuple[npt.NDArray[Any], ...], said: Said) -> Pool:
    """How much each model counts for what people say."""
    some = spaced(len(said.row))
    rows, values = said.row[some], said.value[some]
    parts = tuple(np.asarray(member[rows], np.float32) for member in members)
    least = least_said([smallest(part) for part in parts])
    return Pool(fit_exponents(len(parts), lambda told: pool_slopes(parts, Pool(told, least), values)), least)


def _alike(judge: _Judge, said: Said, k: int) -> float:
    """As how many people the expectation counts: the concentration under which votes on the same items are likeliest."""
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    items, times = np.unique(said.row, return_counts=True)
    several = np.flatnonzero(times > 1)
    if not len(several):
        return ONE_EACH
    several = several[spaced(len(several))]
    several = several[
        np.linspace(0, len(several) - 1, min(len(several), max(1, CELLS // k))).astype(np.int64)
    ]
    chosen = items[several]
    place = np.minimum(np.searchsorted(chosen, said.row), len(chosen) - 1)
    mine = chosen[place] == said.row
    votes = np.zeros((len(chosen), k))
    np.add.at(votes, (place[mine], said.value[mine]), 1)
    shares = np.maximum(judge.expect(chosen), LEAST)
    total = votes.sum(1)

    def loss(log: float) -> float:
        sure = np.exp(log)
        own = gammaln(sure * shares + votes) - gammaln(sure * shares)
        return float((gammaln(sure + total) - gammaln(sure)).sum() - own.sum())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(ALIKE), method="bounded").x))


def _agreement(evidence: Evidence, said: Said) -> float:
    """The share of answers that the models alone would have expected to be the commonest."""
    some = spaced(len(said.row))
    rows, back = np.unique(said.row[some], return_inverse=True)
    right = 0
    for block in blocks(len(rows), evidence.shape[1]):
        top = evidence.take(rows[block]).argmax(1)
        within = (back >= block.start) & (back < block.stop)
        right += int((top[back[within] - block.start] == said.value[some][within]).sum())
    return right / len(some)


def _judge(found: Expectation, block: slice, judge: _Judge, said: Said) -> None:
    """Fill in the rows of a block."""
    given, row = judge.labels[block], np.arange(block.stop - block.start)
    low, high = np.searchsorted(said.row, (block.start, block.stop))
    weight = found.people * judge.expect(block)
    votes = np.zeros_like(weight)
    np.add.at(votes, (said.row[low:high] - block.start, said.value[low:high]), 1)
    weight += votes
    own = weight[row, given]
    others = weight.copy()
    others[row, given] = -1
    rival = others.argmax(1)
    strongest = others[row, rival]
    found.score[block] = own / (own + strongest)
    found.flagged[block] = wrong = strongest > own
    found.suggested[block] = np.where(wrong, rival, given)
    found.shares[block] = weight / weight.sum(1, keepdims=True)
    mine = votes[row, given]
    votes[row, given] = 0
    found.code[block] = 2 * wrong + (votes.max(1) > mine)


def _empty(models: int, k: int) -> Expectation:
    return Expectation(
        np.empty(0),
        np.empty(0, bool),
        np.empty(0, np.int64),
        np.empty((0, k), np.float32),
        np.empty(0, np.uint8),
        (1 / models,) * models,
        0.0,
        ONE_EACH,
        float("nan"),
        float("nan"),
    )
