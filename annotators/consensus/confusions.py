"""Dawid-Skene: how each annotator confuses each pair of values, and what is true given all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.result import Consensus, settle, softmax, strength_of, sum_runs
from curate.errors import InputError

__all__ = ["Prior", "dawid_skene"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Prior = Literal["crowd", "flat", "ordinal"]

DIFFER = 0.1
"""Annotators are taken to differ by at least this share of the variance, so that a row of a confusion matrix is worth nine
imagined answers at most: a stronger pull towards the crowd lets all of them end alike, knowing nothing."""
CELLS = 1 << 21
"""How many numbers a block of the posterior, or of what is gathered for it, may hold."""


def dawid_skene(
    answers: Any,
    *,
    prior: Prior = "crowd",
    smoothing: float = 0.01,
    iterations: int = 100,
    tolerance: float = 1e-5,
    posterior: bool = False,
) -> Consensus:
    """The true values and every annotator's confusion matrix, by expectation-maximisation.

    A true value k is drawn with chance pi_k, and annotator w then answers l with chance theta^w_kl:
    T_ik is proportional to pi_k times the product of theta^w_kl over the answers (w, l) about item i, and theta is
    re-estimated from T; the start is each item's vote shares. `prior` is what a row of theta is drawn towards:
    "flat" adds `smoothing` to every count (the classical method), "crowd" draws it towards the confusion matrix of all
    annotators together, the more the fewer answers there are and the less annotators differ (a hierarchical model,
    the strength from moments of the Dirichlet-multinomial), "ordinal" towards one in which an answer gets rarer
    with its distance from the truth, so that the order of the values matters.
    Stops after `iterations` rounds, or when no probability moves by more than `tolerance`. `posterior` keeps the
    whole (N, K) float32. Time O(n K) a round; memory O((W K + annotators' distinct answers) K).

    Raises what `read_answers` raises; InputError for a negative `smoothing` or no iterations.
    Source: Dawid and Skene, Applied Statistics 28 (1979); the hierarchical form after Paun et al., TACL 6 (2018).
    """
    if smoothing < 0 or iterations < 1:
        raise InputError(f"smoothing={smoothing}, iterations={iterations}: at least 0 and 1 are meant")
    read = read_answers(answers)
    pairs = _Pairs.of(read)
    t, counts, pi = _first_counts(read, pairs)
    moved, used, evidence = np.inf, 0, float("nan")
    table = _table(counts, pairs, prior, smoothing)
    value, best = settle(t)
    while used < iterations and moved > tolerance:
        counts, pi, moved, evidence = _round(read, pairs, table, pi, t)
        used += 1
        table = _table(counts, pairs, prior, smoothing)
    value, best = settle(t)
    confusion, quality = _matrices(read, pairs, counts, prior, smoothing)
    full = np.ascontiguousarray(t.T, np.float32) if posterior else None
    return Consensus(read, value, best, quality, "dawid-skene", confusion, full, evidence, used)


class _Pairs(NamedTuple):
    """The distinct (annotator, answer) pairs, P of them, sorted; and for every answer which it is.

    `code` (n,), `annotator` (P,), `value` (P,); `first` (W + 1,) where each annotator's pairs begin;
    `blocks`: what one pass over a slice of the items needs.
    """

    code: Codes
    annotator: Codes
    value: Codes
    first: Codes
    blocks: tuple[_Block, ...]

    @staticmethod
    def of(answers: Answers) -> _Pairs:
        _, w, k = answers.shape
        distinct, code = np.unique(answers.annotator * k + answers.value, return_inverse=True)
        people, values = np.divmod(distinct, k)
        first = np.searchsorted(people, np.arange(w + 1))
        return _Pairs(code, people, values, first, tuple(_blocks(answers, code, k)))


@dataclass(frozen=True, eq=False)
class _Block:
    """A slice of the items, and its answers in two orders: as they are, and sorted by pair."""

    items: slice
    pairs: Codes
    start: Codes
    item_by_pair: Codes
    pair_start: Codes
    distinct: Codes


def _blocks(answers: Answers, code: Codes, k: int) -> list[_Block]:
    n = len(answers.items)
    most = max(CELLS // k, int(answers.per_item.max()))
    blocks, low = [], 0
    while low < n:
        high = int(np.searchsorted(answers.start, answers.start[low] + most, "right")) - 1
        high = min(max(high, low + 1), n)
        a, b = answers.start[low], answers.start[high]
        order = np.argsort(code[a:b], kind="stable")
        ranked = code[a:b][order]
        first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        start = answers.start[low : high + 1] - a
        item = answers.item[a:b][order] - low
        runs = np.append(first, len(ranked))
        blocks.append(_Block(slice(low, high), code[a:b], start, item, runs, ranked[first]))
        low = high
    return blocks


def _first_counts(answers: Answers, pairs: _Pairs) -> tuple[Floats, Floats, Floats]:
    """Vote shares (K, N), the soft counts (K, P) they give, and the shares of the values (K,)."""
    n, _, k = answers.shape
    votes = np.bincount(answers.value * n + answers.item, minlength=k * n).reshape(k, n)
    t = votes / answers.per_item
    counts = np.zeros((k, len(pairs.value)))
    for block in pairs.blocks:
        _count(counts, block, t[:, block.items])
    return t, counts, _shares(t.sum(1), n)


def _count(counts: Floats, block: _Block, t: Floats) -> None:
    counts[:, block.distinct] += sum_runs(t.take(block.item_by_pair, axis=1), block.pair_start)


def _shares(total: Floats, n: int) -> Floats:
    return (total + 1) / (n + len(total))


def _round(
    answers: Answers, pairs: _Pairs, table: Floats, pi: Floats, t: Floats
) -> tuple[Floats, Floats, float, float]:
    """One pass over the items: `t` anew, in place; soft counts, shares, the largest change, log-likelihood."""
    counts = np.zeros_like(table)
    moved = evidence = 0.0
    for block in pairs.blocks:
        logits = sum_runs(table.take(block.pairs, axis=1), block.start)
        logits += np.log(pi)[:, None]
        new, log_total = softmax(logits)
        old = t[:, block.items]
        moved = max(moved, float(np.abs(new - old).max()))
        evidence += float(log_total.sum())
        old[...] = new
        _count(counts, block, new)
    return counts, _shares(t.sum(1), t.shape[1]), moved, evidence


def _table(counts: Floats, pairs: _Pairs, prior: Prior, smoothing: float) -> Floats:
    """log theta (K, P) of the pairs that occur."""
    k = len(counts)
    total = sum_runs(counts, pairs.first)  # (K, W)
    if prior == "flat":
        rate = np.log(np.maximum(counts + smoothing, 1e-300))
        return rate - np.log(np.maximum(total + k * smoothing, 1e-300))[:, pairs.annotator]
    centre, strength = _centre(counts, pairs, total, prior)
    rate = counts + strength * centre[:, pairs.value]
    np.log(rate, out=rate)
    rate -= np.log(total + strength)[:, pairs.annotator]
    return rate


def _centre(counts: Floats, pairs: _Pairs, total: Floats, prior: Prior) -> tuple[Floats, float]:
    """The crowd's confusion (K, K), rows sum to 1, and how many imagined answers it is worth in each row."""
    k = len(counts)
    pooled = np.stack([np.bincount(pairs.value, row, minlength=k) for row in counts]) + 0.5 / k
    pooled = pooled / pooled.sum(1, keepdims=True)
    # Moments of the Dirichlet-multinomial: variance between annotators beyond what their number of answers explains.
    squares = (pooled**2).sum(1)[:, None]
    safe = np.maximum(total, 1e-12)
    own = sum_runs(counts * (counts / safe[:, pairs.annotator] - 2 * pooled[:, pairs.value]), pairs.first)
    seen = float((own + total * squares - np.minimum(total, 1) * (1 - squares)).sum())
    room = float(((1 - squares) * np.maximum(total - 1, 0)).sum())
    strength = strength_of(seen, room, DIFFER)
    return (_ordered(pooled, total.sum(1)) if prior == "ordinal" else pooled), strength


def _ordered(pooled: Floats, weight: Floats) -> Floats:
    """The matrix with entries falling as exp(-rate |k - l|) whose mean distance is that of `pooled`."""
    k = len(pooled)
    distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    wanted = float((weight[:, None] * pooled * distance).sum() / weight.sum())
    low, high = 1e-3, 30.0
    for _ in range(60):
        rate = (low + high) / 2
        kernel = np.exp(-rate * distance)
        kernel /= kernel.sum(1, keepdims=True)
        if float((weight[:, None] * kernel * distance).sum() / weight.sum()) > wanted:
            low = rate
        else:
            high = rate
    kernel += 1e-6
    centre: Floats = kernel / kernel.sum(1, keepdims=True)
    return centre


def _matrices(
    answers: Answers, pairs: _Pairs, counts: Floats, prior: Prior, smoothing: float
) -> tuple[Floats | None, Floats]:
    """Confusion (W, K, K) where it is not too large to hold, and the chance that each annotator is right (W,)."""
    _, w, k = answers.shape
    total = sum_runs(counts, pairs.first)
    if prior == "flat":
        centre, strength = np.full((k, k), 1 / k), k * max(smoothing, 1e-12)
    else:
        centre, strength = _centre(counts, pairs, total, prior)
    expected = (total + strength) / (total + strength).sum(0)
    own = np.zeros((k, w))
    own[pairs.value, pairs.annotator] = counts[pairs.value, np.arange(len(pairs.value))]
    diagonal = (own + strength * np.diag(centre)[:, None]) / (total + strength)
    quality = (expected * diagonal).sum(0)
    if w * k * k > 8 * CELLS:
        return None, quality
    matrix = np.zeros((k, k, w))
    matrix[:, pairs.value, pairs.annotator] = counts
    matrix += strength * centre[:, :, None]
    matrix /= (total + strength)[:, None, :]
    return np.ascontiguousarray(matrix.transpose(2, 0, 1)), quality
