"""Who is heard on what people say of an item: models, its label, and those who were asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.label_noise.evidence import Evidence, Pool
from curate.scorers.noise.label_noise.pooling import (
    LEAST,
    SAMPLE,
    fit_exponents,
    least_said,
    pool_slopes,
    smallest,
    spaced,
)

__all__ = ["ONE_EACH", "Jury", "Said", "hear", "people_counted"]

PRIOR = 10.0
"""As many answers say that people confirm a label as often as labels on the whole, until its own are counted."""
CELLS = 1 << 21
"""Numbers that how alike people's answers are is fitted to, at most."""
ALIKE = (1e-2, 1e3)
"""As how many people an expectation may count."""
ONE_EACH = 1.0
"""As how many it counts where nobody was asked what another was asked: how alike people's answers are cannot be told."""

Rows = slice | npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Said(NamedTuple):
    """Answers, one by one and sorted by row: the row each is about, (a,) int64, and its class, (a,) int64."""

    row: npt.NDArray[np.int64]
    value: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Witness:
    """What people say of items with the same label, beside the item itself: answers counted by item, (n, k), and by
    label, (k, k), both sparse; `confirmed`, the share of answers that say the label, and `other` (k,), the shares of the rest."""

    labels: npt.NDArray[np.int64]
    by_item: Any
    by_label: Any
    confirmed: float
    other: Floats

    def votes(self, rows: Rows) -> Floats:
        """Answers about these rows, (rows, k)."""
        return np.asarray(self.by_item[rows].toarray())

    def expect(self, rows: Rows) -> Floats:
        """Shares of the classes among those answers, (rows, k)."""
        given = self.labels[rows]
        counts = np.asarray(self.by_label[given].toarray()) - self.votes(rows)
        prior = np.repeat((1 - self.confirmed) * self.other[None], len(given), 0)
        prior[np.arange(len(given)), given] += self.confirmed
        return np.asarray((counts + PRIOR * prior) / (counts.sum(1, keepdims=True) + PRIOR))


@dataclass(frozen=True, eq=False)
class Jury:
    """`models` by themselves, and, to the `powers` (models, label), heard together with what people say of such labels."""

    models: Evidence
    witness: _Witness
    powers: tuple[float, float]

    def votes(self, rows: Rows) -> Floats:
        """How many people said each class of these rows, (rows, k)."""
        return self.witness.votes(rows)

    def expect(self, rows: Rows) -> Floats:
        """What people are expected to say of these rows, (rows, k), as far as answers about others tell."""
        model, label = self.powers
        log = model * _log(self.models.take(rows)) + label * _log(self.witness.expect(rows))
        log -= log.max(1, keepdims=True)
        np.exp(log, out=log)
        return np.asarray(log / log.sum(1, keepdims=True))


def hear(members: tuple[npt.NDArray[Any], ...], said: Said, labels: npt.NDArray[np.int64]) -> Jury:
    """Learn from the answers, at most 20,000 of them, how much each model counts, and how much all of them and the label."""
    some = spaced(len(said.row))
    rows, values = said.row[some], said.value[some]
    parts = tuple(np.asarray(member[rows], np.float32) for member in members)
    least = least_said([smallest(part) for part in parts])
    powers = fit_exponents(len(parts), lambda told: pool_slopes(parts, Pool(told, least), values))
    models = Evidence(members, Pool(powers, least))
    witness = _count(said, labels, models.shape)
    both = (models.take(rows), witness.expect(rows))
    model, label = fit_exponents(2, lambda told: pool_slopes(both, Pool(told, (LEAST,) * 2), values))
    return Jury(models, witness, (model, label))


def _count(said: Said, labels: npt.NDArray[np.int64], shape: tuple[int, int]) -> _Witness:
    from scipy.sparse import csr_array

    (n, k), given = shape, labels[said.row]
    ones, wrong = np.ones(len(said.row)), said.value != given
    other = np.bincount(said.value[wrong], minlength=k) + 1 / k
    return _Witness(
        labels,
        csr_array((ones, (said.row, said.value)), (n, k)),
        csr_array((ones, (given, said.value)), (k, k)),
        float(((~wrong).sum() + 1) / (len(wrong) + 2)),  # never quite all, nor none
        other / other.sum(),
    )


def people_counted(jury: Jury, said: Said) -> float:
    """As how many people the jury counts: the concentration of a Dirichlet distribution around what it expects under which
    the answers about the same items are likeliest (Minka: Estimating a Dirichlet distribution, 2000)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    items, times = np.unique(said.row, return_counts=True)
    several = items[times > 1]
    if not len(several):
        return ONE_EACH
    chosen = several[spaced(len(several), min(SAMPLE, max(1, CELLS // jury.models.shape[1])))]
    votes, shares = jury.votes(chosen), np.maximum(jury.expect(chosen), LEAST)
    total = votes.sum(1)

    def loss(log: float) -> float:
        sure = np.exp(log)
        own = gammaln(sure * shares + votes) - gammaln(sure * shares)
        return float((gammaln(sure + total) - gammaln(sure)).sum() - own.sum())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(ALIKE), method="bounded").x))


def _log(probs: npt.NDArray[Any]) -> Floats:
    return np.asarray(np.log(np.maximum(probs.astype(np.float64), LEAST)))
