"""`embedding-health`: how many directions of an embedding are in use, and which vectors are no vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_numbers
from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import order_by_id, read_vectors

__all__ = ["EmbeddingHealth", "Rank", "rankme"]

_EPSILON = 1e-7


class Rank(NamedTuple):
    """`rankme`: the effective rank, 1 to min(n, d). `centred`: the same with the mean vector taken away. `values`
    (min(n, d),) float64: the singular values of the vectors as they are, falling."""

    rankme: float
    centred: float
    values: npt.NDArray[np.float64]


def rankme(vectors: npt.NDArray[Any]) -> Rank:
    """Effective rank of an embedding: exp of the entropy of its normalised singular values.

    `vectors` (n, d) finite numbers. 1 means that all lie on one line, min(n, d) that they fill the space evenly; between
    encoders of equal d the higher tends to serve a linear probe better. Needs more rows than dimensions to speak of the
    dimensions: 25,600 are suggested. Vectors that are all zero have rank 1 by convention.
    Raises InputError for no rows, or for values that are not finite (naming rows).
    Source: Garrido et al., "RankMe" (ICML 2023), equation 1, with epsilon 1e-7; the paper does not centre.
    """
    x = as_numbers(vectors, "vectors")
    if x.ndim != 2 or not x.size:
        raise InputError(f"vectors of shape {x.shape}: (n, d), both at least 1")
    bad = np.flatnonzero(~np.isfinite(x).all(1))
    if len(bad):
        raise InputError(
            f"{len(bad)} of {counted(len(x), 'vector')} are not finite, as row {bad[0]}: leave them out"
        )
    values = _singular_values(x.astype(np.float64))
    centred = _singular_values(x - x.mean(0, dtype=np.float64))
    return Rank(_effective(values, x.shape), _effective(centred, x.shape), values)


def _singular_values(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From the smaller Gram matrix: one pass of n d^2, where a decomposition of x would cost several."""
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    values = np.linalg.eigvalsh(gram)[::-1]
    floor = np.finfo(np.float64).eps * len(gram) * max(float(values[0]), 0.0)
    return np.sqrt(np.where(values > floor, values, 0.0))


def _effective(values: npt.NDArray[np.float64], shape: tuple[int, ...]) -> float:
    total = values.sum()
    if not total > 0:
        return 1.0
    p = values / total + _EPSILON
    return float(min(max(np.exp(-(p * np.log(p)).sum()), 1.0), min(shape)))


@dataclass(frozen=True)
class EmbeddingHealth:
    """Says how many dimensions of an embedding are in use, and which items have no usable vector.

    `embedding` is the vector column. RankMe is computed on `rows` items drawn by `seed` (all where there are fewer).
    `collapsed` is the share of the possible rank below which the embedding counts as collapsed.
    """

    embedding: str = "pixel_embedding"
    rows: int = 25_600
    collapsed: float = 0.05
    seed: int = 0

    name: ClassVar[str] = "embedding-health"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.rows < 2:
            raise InputError(f"embedding-health: rows={self.rows}: a rank needs at least two")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.embedding,)

    def analyse(self, view: View) -> Findings:
        """Raises InputError where no item has a usable vector."""
        order = order_by_id(view)
        width = view.vectors(self.embedding).shape[1]
        parts = {what: mask[order] for what, mask in _unusable_rows(view, self.embedding).items()}
        good = np.flatnonzero(~np.logical_or.reduce(list(parts.values())))
        if not len(good):
            told = ", ".join(f"{mask.sum()} {what}" for what, mask in parts.items())
            raise InputError(
                f"{self.embedding}: of {counted(len(order), 'item')} none has a usable vector ({told})"
            )
        drawn = good
        if len(good) > self.rows:
            drawn = np.sort(np.random.default_rng(self.seed).choice(good, self.rows, replace=False))
        x = read_vectors(view, self.embedding, order[drawn])
        rank, half = rankme(x), rankme(x[:: 2 if len(drawn) > 3 else 1])
        constant = int((np.ptp(x, axis=0) == 0).sum()) if len(drawn) > 1 else 0
        findings = (
            self._rank(rank, half, len(drawn), width),
            *_list_unusable(view, order, parts),
            *_constant(constant, width, len(drawn)),
        )
        summary = (
            f"{self.embedding} uses {rank.rankme:.1f} of {counted(min(width, len(drawn)), 'possible dimension')} "
            f"(RankMe, {len(drawn):,} of {counted(len(order), 'item')}); items without a usable vector: "
            f"{len(order) - len(good):,}"
        )
        return Findings(summary, tuple(sorted(findings, key=lambda finding: not finding.serious)))

    def _rank(self, rank: Rank, half: Rank, n: int, d: int) -> Finding:
        possible = min(n, d)
        text = (
            f"RankMe {rank.rankme:.1f} of {possible} possible ({rank.rankme / possible:.0%}), "
            f"{half.rankme:.1f} on half of the items; {rank.centred:.1f} with the mean vector taken away. The largest "
            f"singular value holds {rank.values[0] / rank.values.sum():.0%} of their sum. "
        )
        best = max(rank.rankme, rank.centred)  # a large mean vector hides the rank, it does not take it away
        low = possible > 1 and (best - 1) / (possible - 1) < self.collapsed
        if low:
            text += (
                "The vectors lie almost on a line: distances between items say little. Try another encoder. "
            )
        elif rank.centred > 2 * rank.rankme:
            text += "Most vectors share one direction: take the mean away before comparing them by cosine. "
        if n < 2 * d:
            text += f"{counted(n, 'item is', 'items are')} few for {counted(d, 'dimension')}: the rank would rise with more."
        elif half.rankme < 0.9 * rank.rankme:
            text += "Half of the items give a lower rank: it would still rise with more."
        top = rank.values[:64]
        table = pa.table({"direction": np.arange(1, len(top) + 1), "singular value": top})
        return Finding("Dimensions in use", text.strip(), table, "line", serious=low)


def _unusable_rows(view: View, column: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Which rows of a view hold no usable vector, by what they hold; piece by piece, never all vectors at once."""
    null = np.asarray(view.to_arrow([column]).column(0).is_null())
    finite, zero = np.ones(len(null), bool), np.zeros(len(null), bool)
    at = 0
    for piece in view.vectors(column).chunks():
        here = slice(at, at + len(piece))
        finite[here], zero[here] = np.isfinite(piece).all(1), (piece == 0).all(1)
        at += len(piece)
    return {"null": null, "NaN or infinite": ~finite & ~null, "zero throughout": zero & ~null}


def _list_unusable(
    view: View, order: npt.NDArray[np.int64], parts: dict[str, npt.NDArray[np.bool_]]
) -> tuple[Finding, ...]:
    rows = []
    for what, mask in parts.items():
        if mask.any():
            ids = view.take(order[np.flatnonzero(mask)[:5]], ["id"]).column("id").to_pylist()
            rows.append((what, int(mask.sum()), ", ".join(ids)))
    if not rows:
        return ()
    total = sum(row[1] for row in rows)
    table = pa.table(
        {"what": [r[0] for r in rows], "items": [r[1] for r in rows], "as": [r[2] for r in rows]}
    )
    told = "; ".join(f"{what} in {count:,}" for what, count, _ in rows)
    text = (
        f"{total:,} of {counted(len(order), 'item')} lack a usable vector ({told}). Whatever compares vectors leaves "
        "them out: score them again, or drop them knowingly."
    )
    return (Finding("Items without a usable vector", text, table, "bars", serious=total > len(order) / 100),)


def _constant(constant: int, d: int, n: int) -> tuple[Finding, ...]:
    if not constant:
        return ()
    text = f"{constant} of {counted(d, 'dimension')} have one value in all {counted(n, 'item')} looked at: they carry nothing."
    return (Finding("Dead dimensions", text),)
