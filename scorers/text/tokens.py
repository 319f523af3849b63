"""Has a model seen this text? Min-K%, Min-K%++, mean log-probability and the zlib ratio, from token log-probabilities.

Many texts lie one after the other in one flat array; `offsets` (n + 1,) says where each begins: text i has the tokens
offsets[i] ... offsets[i + 1] - 1. All logarithms are natural.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_numbers
from curate.counting import counted
from curate.errors import InputError

__all__ = ["mean_log_prob", "min_k", "min_k_plus_plus", "zlib_ratio"]

Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]
_CELLS = 1 << 22  # numbers sorted at a time
_SMALLEST = 1e-4


def min_k(log_probs: npt.NDArray[Any], offsets: Offsets, *, k: float = 0.2) -> Floats:
    """The mean of each text's least likely tokens: high where even these are likely, as in a text seen in training.

    `log_probs` (t,) log p(token | those before) <= 0; `offsets` (n + 1,) int64; `k` in (0, 1], the share of tokens,
    of which at least one is taken: max(int(k * T), 1) of T. Returns (n,) float64 <= 0, **high = likely memorised**;
    NaN for a text without tokens or with a NaN among them.
    Raises InputError for a `k` outside (0, 1] and for offsets that do not fit.
    Source: Shi et al. (2023), "Detecting Pretraining Data from Large Language Models" (Min-K% Prob), arXiv 2310.16789.
    """
    log_probs, offsets = as_numbers(log_probs, "log_probs"), as_numbers(offsets, "offsets")
    _check_offsets(offsets, len(log_probs))
    if not 0 < k <= 1:
        raise InputError(f"k={k}: the share of tokens lies in (0, 1]")
    lengths = np.diff(offsets)
    counts = np.maximum((k * lengths).astype(np.int64), 1)
    order = np.argsort(lengths, kind="stable")  # texts of like length side by side: little is padded
    order = order[np.searchsorted(lengths[order], 1) :]
    means = np.full(len(lengths), np.nan)
    low = 0
    while low < len(order):
        high = _block_end(lengths[order], low)
        rows = order[low:high]
        means[rows] = _lowest(log_probs, offsets[rows], lengths[rows], counts[rows])
        low = high
    return means


def min_k_plus_plus(
    log_probs: npt.NDArray[Any],
    means: npt.NDArray[Any],
    deviations: npt.NDArray[Any],
    offsets: Offsets,
    *,
    k: float = 0.2,
) -> Floats:
    """Min-K% of each token's log-probability standardised among all tokens that might have stood in its place.

    z_t = (log p(x_t) - mu_t) / sigma_t, where mu_t = sum_v p_v log p_v and sigma_t^2 = sum_v p_v (log p_v)^2 - mu_t^2
    over the vocabulary: `means` (t,) and `deviations` (t,) >= 0. The rest is as in `min_k`; **high = likely
    memorised**, without a bound. A sigma below 1e-4, of a distribution that is all on one token or even, counts as
    1e-4: there the difference is but rounding.
    Raises InputError as `min_k` does, for arrays of different lengths, and for a negative deviation.
    Source: Zhang et al. (2024), "Min-K%++: Improved Baseline for Detecting Pre-Training Data", arXiv 2404.02936.
    """
    log_probs, means = as_floats(log_probs, "log_probs"), as_numbers(means, "means")
    deviations = as_numbers(deviations, "deviations")
    if not len(log_probs) == len(means) == len(deviations):
        raise InputError(
            f"{counted(len(log_probs), 'log-probability', 'log-probabilities')}, {len(means)} means and "
            f"{counted(len(deviations), 'deviation')}: each token has one of each"
        )
    if len(deviations) and np.nanmin(np.append(deviations, 0)) < 0:
        raise InputError(f"deviation {np.nanmin(deviations)}: a standard deviation is not negative")
    standardised = (log_probs - means) / np.maximum(deviations, _SMALLEST)
    return min_k(standardised, offsets, k=k)


def mean_log_prob(log_probs: npt.NDArray[Any], offsets: Offsets) -> Floats:
    """The mean log-probability of each text's tokens: minus its loss; exp of minus it is its perplexity.

    Shapes and errors as in `min_k`. Returns (n,) float64 <= 0, high = likely memorised (Yeom et al. 2018, the
    baseline of every other); NaN for a text without tokens.
    """
    log_probs, offsets = as_floats(log_probs, "log_probs"), as_numbers(offsets, "offsets")
    _check_offsets(offsets, len(log_probs))
    lengths = np.diff(offsets)
    means = np.full(len(lengths), np.nan)
    there = lengths > 0
    if there.any():  # between the starts of texts that are there lie none of other texts
        sums = np.add.reduceat(log_probs, offsets[:-1][there])
        means[there] = sums / lengths[there]
    return means


def zlib_ratio(mean_log_probs: npt.NDArray[Any], texts: Sequence[str]) -> Floats:
    """A text's mean log-probability over the bytes zlib needs for it: what is likely only because it repeats itself
    stands out less.

    `mean_log_probs` (n,) from `mean_log_prob`. Returns (n,) float64 <= 0, high = likely memorised. It grows with the
    length of a text too: compare texts of like length.
    Source: Carlini et al. (2021), "Extracting Training Data from Large Language Models", arXiv 2012.07805.
    """
    mean_log_probs = as_floats(mean_log_probs, "mean_log_probs")
    if len(mean_log_probs) != len(texts):
        raise InputError(f"{len(mean_log_probs)} mean log-probabilities for {counted(len(texts), 'text')}")
    sizes = [len(zlib.compress(text.encode("utf-8", "surrogatepass"))) for text in texts]
    return mean_log_probs / np.array(sizes, np.float64)


def _check_offsets(offsets: Offsets, tokens: int) -> None:
    if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != tokens:
        said = f"{offsets[0]} to {offsets[-1]}" if offsets.ndim == 1 and len(offsets) else f"{offsets.shape}"
        raise InputError(f"offsets {said}: they begin with 0 and end with the count of tokens, {tokens}")
    if (np.diff(offsets) < 0).any():
        at = int(np.flatnonzero(np.diff(offsets) < 0)[0])
        raise InputError(f"offsets fall after text {at}: {offsets[at]}, then {offsets[at + 1]}")


def _block_end(lengths: npt.NDArray[np.int64], low: int) -> int:
    """So many texts, sorted by length, that a rectangle of them holds at most _CELLS numbers; at least one."""
    high = min(len(lengths), low + max(1, _CELLS // int(lengths[low])))
    while high - low > 1 and (high - low) * int(lengths[high - 1]) > _CELLS:
        high = low + max(1, _CELLS // int(lengths[high - 1]))
    return high


def _lowest(
    values: npt.NDArray[Any], starts: Offsets, lengths: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> Floats:
    """The mean of the `counts` lowest values of each text, by sorting a rectangle whose padding sorts last."""
    columns = np.arange(int(lengths.max()))
    at = starts[:, None] + columns
    real = columns < lengths[:, None]
    cells = np.where(real, values[np.minimum(at, len(values) - 1)], np.inf)
    broken = np.isnan(cells).any(1)
    cells.sort(axis=1)
    widest = int(counts.max())
    taken = np.where(columns[:widest] < counts[:, None], cells[:, :widest], 0)
    means: Floats = taken.sum(1, dtype=np.float64) / counts
    means[broken] = np.nan
    return means
