"""Forced alignment under a CTC model: where each token of a transcript is said, how surely, and how likely it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.counting import counted
from curate.errors import InputError

__all__ = ["MOST_CELLS", "CtcAlignment", "ctc_align"]

Floats = npt.NDArray[np.float64]
MOST_CELLS = 1 << 27
"""Frames times states of one alignment, a byte each."""
_SLACK = 0.01


class CtcAlignment(NamedTuple):
    """One transcript against one sound, in natural logarithms; -inf where the sound has too few frames for it.

    viterbi      log-probability of the likeliest path that spells the transcript.
    forward      log-probability of the transcript: of all such paths together; >= viterbi.
    greedy       log-probability of the likeliest path of all, whatever it spells; >= viterbi.
    spans        (L, 2) int64: token i is said in the frames from spans[i, 0] to before spans[i, 1]; -1 where impossible.
    confidences  (L,) float64, [0, 1], high = surely said: mean probability of the token over its frames; 0 where impossible.
    """

    viterbi: float
    forward: float
    greedy: float
    spans: npt.NDArray[np.int64]
    confidences: Floats

    @property
    def confidence(self) -> float:
        """Mean of `confidences`, higher = keep; NaN for an empty transcript."""
        return float(self.confidences.mean()) if len(self.confidences) else float("nan")

    @property
    def likelihood(self) -> float:
        """1 / (1 + d), (0, 1], higher = keep: d = max(0, greedy - forward) / L is by how many nats a token the transcript is
        less likely than what the model would rather hear. 0 where impossible; NaN for an empty transcript."""
        if not len(self.confidences):
            return float("nan")
        return 1.0 / (1.0 + max(0.0, self.greedy - self.forward) / len(self.confidences))


def ctc_align(log_probs: npt.ArrayLike, targets: npt.ArrayLike, blank: int = 0) -> CtcAlignment:
    """Align `targets` (L,) class numbers to `log_probs` (T, V), the log-softmax of a CTC model, frame by frame.

    A path spells a transcript if repeats are merged and blanks dropped; two equal tokens in a row need a blank between
    them, so that T >= L + repeats. Ties go to the path that stays longest in a token or blank. Time and memory T (2L + 1).

    Raises InputError for shapes, NaN, rows that are not log-probabilities (they sum to 1 within 1 %), targets that are
    the blank or no class, and more than 2^27 cells.
    Source: Graves et al., "Connectionist Temporal Classification" (ICML 2006), equations 5 to 8; Viterbi: the maximum in
    place of the sum.
    """
    emissions, tokens = _check(as_numbers(log_probs, "log_probs"), as_numbers(targets, "targets"), blank)
    greedy = float(emissions.max(1).sum()) if len(emissions) else 0.0
    if len(tokens) + int((tokens[1:] == tokens[:-1]).sum()) > len(emissions):
        nowhere = np.full((len(tokens), 2), -1, np.int64)
        return CtcAlignment(-np.inf, -np.inf, greedy, nowhere, np.zeros(len(tokens)))
    states = np.full(2 * len(tokens) + 1, blank, np.int64)
    states[1::2] = tokens
    may_skip = np.zeros(
        len(states), np.bool_
    )  # the blank before a token, unless the token before that is the same
    may_skip[3::2] = tokens[1:] != tokens[:-1]
    best, total, back = _run(emissions, states, may_skip)
    last = len(states) - 1
    ends = [last] if last == 0 or best[last] >= best[last - 1] else [last - 1]
    viterbi = float(best[ends[0]])
    forward = float(total[last] if last == 0 else np.logaddexp(total[last], total[last - 1]))
    spans = np.full((len(tokens), 2), -1, np.int64)
    confidences = np.zeros(len(tokens))
    if np.isfinite(viterbi) and len(tokens):
        path = _trace(back, ends[0])
        said = np.flatnonzero(path % 2 == 1)
        which = path[said] // 2
        spans[:, 0], spans[:, 1] = len(emissions), 0
        np.minimum.at(spans[:, 0], which, said)
        np.maximum.at(spans[:, 1], which, said + 1)
        probability = np.exp(emissions[said, tokens[which]])
        confidences = np.bincount(which, probability, len(tokens)) / np.bincount(which, minlength=len(tokens))
    return CtcAlignment(viterbi, forward, greedy, spans, confidences)


def _check(
    log_probs: npt.NDArray[Any], targets: npt.NDArray[Any], blank: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    if log_probs.ndim != 2 or targets.ndim != 1:
        raise InputError(f"log_probs {log_probs.shape}, targets {targets.shape}: (T, V) and (L,) are needed")
    classes = log_probs.shape[1]
    if len(targets) <= len(log_probs) and len(log_probs) * (2 * len(targets) + 1) > MOST_CELLS:
        raise InputError(
            f"{counted(len(log_probs), 'frame')} by {counted(len(targets), 'token')}: cut the sound and its text first"
        )
    tokens = targets.astype(np.int64)
    wrong = np.flatnonzero((tokens < 0) | (tokens >= classes) | (tokens == blank))
    if len(wrong) or not 0 <= blank < classes:
        which = f"target {tokens[wrong[0]]} at {wrong[0]}" if len(wrong) else f"blank {blank}"
        raise InputError(
            f"{which}: targets are classes from 0 to {classes - 1} other than the blank ({blank})"
        )
    emissions = log_probs.astype(np.float64)
    with np.errstate(over="ignore"):
        sums = np.exp(emissions).sum(1)
    odd = np.flatnonzero(~(np.abs(sums - 1) <= _SLACK))
    if len(odd):
        raise InputError(
            f"frame {odd[0]} of log_probs: the probabilities sum to {sums[odd[0]]:.3g}; give the log-softmax of the logits"
        )
    return emissions, tokens


def _run(
    emissions: Floats, states: npt.NDArray[np.int64], may_skip: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, npt.NDArray[np.int8]]:
    """Best and total log-probability of ending in each state after all frames, and how many states each best step advanced."""
    barred = np.where(may_skip, 0.0, -np.inf)
    back = np.zeros((len(emissions), len(states)), np.int8)
    best = np.full(len(states) + 2, -np.inf)  # two states before the first make the shifts plain slices
    if len(emissions):
        best[2:4] = emissions[0, states[:2]]  # a path begins in the first blank or the first token
    else:
        best[2] = 0.0
    total = best.copy()
    for frame in range(1, len(emissions)):
        said = emissions[frame, states]
        ways = np.stack([best[2:], best[1:-1], best[:-2] + barred])
        back[frame] = ways.argmax(0)
        best[2:] = ways.max(0) + said
        sums = np.stack([total[2:], total[1:-1], total[:-2] + barred])
        high = sums.max(0)
        high[~np.isfinite(high)] = 0.0
        with np.errstate(divide="ignore"):
            total[2:] = high + np.log(np.exp(sums - high).sum(0)) + said
    return best[2:], total[2:], back


def _trace(back: npt.NDArray[np.int8], state: int) -> npt.NDArray[np.int64]:
    """The state of each frame on the best path."""
    path = np.empty(len(back), np.int64)
    for frame in range(len(back) - 1, -1, -1):
        path[frame] = state
        state -= int(back[frame, state])
    return path
