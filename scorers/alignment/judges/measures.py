"""From what judges say to scores: pure functions on arrays."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError

__all__ = ["Pairwise", "Verdict", "expected_rating", "hard_negatives", "pairwise_verdict"]

Floats = npt.NDArray[np.float64]
Verdict = Literal["soft", "conservative", "lenient"]


def expected_rating(log_probs: npt.ArrayLike, ratings: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The rating that a judge gives on average, and how far it wavers, from the log-probabilities of the rating tokens.

    `log_probs` (n, r) or (r,): of each rating's token, at the place where the rating stands, under the whole vocabulary;
    at most 0, -inf where it was not among those told, a row without any gives NaN. `ratings` (r,): what the tokens mean.
    The probabilities are shared out among the rating tokens; returned are sum(p r) and the standard deviation
    sqrt(sum(p r^2) - mean^2), float64, shape (n,), in the unit of the ratings.

    A judge that says "4" where 3 was nearly as likely is told from one that is sure. Raises InputError for shapes that
    differ, fewer than two ratings, ratings that are not finite, and log-probabilities above 0 or NaN.
    Source: expected-value scoring, as in G-Eval (2023), arXiv 2303.16634, equation 1; with the ratings ("no", "yes") as
    0 and 1 it is the soft score of UniME-V2 (2025), e^yes / (e^yes + e^no).
    """
    logs, values = as_floats(log_probs, "log_probs"), as_floats(ratings, "ratings")
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(f"ratings {values.tolist()}: two or more finite numbers")
    if logs.ndim not in (1, 2) or logs.shape[-1] != len(values):
        raise InputError(f"log_probs has shape {logs.shape} for {counted(len(values), 'rating')}")
    wrong = np.isnan(logs) | (logs > 1e-6)
    if wrong.any():
        raise InputError(f"log_probs holds {logs[wrong].ravel()[0]}: a log-probability is at most 0")
    top = logs.max(-1, keepdims=True)
    weights = np.exp(logs - np.where(np.isfinite(top), top, 0.0))
    with np.errstate(invalid="ignore"):
        shares = weights / weights.sum(-1, keepdims=True)
    mean = shares @ values
    spread = np.sqrt(np.maximum((shares * (values - mean[..., None]) ** 2).sum(-1), 0.0))
    return mean, spread


class Pairwise(NamedTuple):
    """`score` (n,) in [0, 1]: how surely the first is the better; `consistent` (n,) bool: both orders agree on one;
    `bias` (n,) in [-1, 1]: the liking for what stands first, above 0, or second, below 0. NaN (and False) where an
    answer is missing."""

    score: Floats
    consistent: npt.NDArray[np.bool_]
    bias: Floats


def pairwise_verdict(
    p_forward: npt.ArrayLike, p_swapped: npt.ArrayLike, verdict: Verdict = "soft"
) -> Pairwise:
    """Which of two is better, from a judge asked in both orders.

    `p_forward` (n,) in [0, 1]: how surely the judge took the one shown first, where they stood as (x, y); `p_swapped`
    the same where they stood as (y, x). 1, 0 and 0.5 (a tie) where it gives words alone; NaN where it gave none.
    A judge that answers by place gives the same in both orders: it is inconsistent, as is one that sees a tie.

    `verdict` says what the score is: `soft` (p_forward + 1 - p_swapped) / 2; `conservative` 1 or 0 where both orders
    agree and 0.5 elsewhere; `lenient` the same, but where one order is a tie and the other is not, that one decides.
    Raises InputError for shapes that differ and values outside [0, 1].
    Source: the idea of asking twice and settling flips is Label Critic's (2024); formulas and code are our own.
    """
    forward, swapped = as_floats(p_forward, "p_forward"), as_floats(p_swapped, "p_swapped")
    if forward.shape != swapped.shape:
        raise InputError(f"p_forward has shape {forward.shape}, p_swapped {swapped.shape}")
    for name, values in (("p_forward", forward), ("p_swapped", swapped)):
        wrong = (values < 0) | (values > 1)
        if wrong.any():
            raise InputError(f"{name} holds {values[wrong].ravel()[0]}: it lies in [0, 1]")
    if verdict not in ("soft", "conservative", "lenient"):
        raise InputError(f"verdict {verdict!r}: 'soft', 'conservative' or 'lenient'")
    missing = np.isnan(forward) | np.isnan(swapped)
    first, second = np.sign(forward - 0.5), np.sign(0.5 - swapped)  # 1: x is better, by each order
    consistent = (first == second) & (first != 0) & ~missing
    if verdict == "soft":
        score = (forward + 1 - swapped) / 2
    else:
        decided = consistent if verdict == "conservative" else consistent | ((first == 0) != (second == 0))
        score = np.where(decided, (np.sign(first + second) + 1) / 2, 0.5)
    score = np.where(missing, np.nan, score)
    return Pairwise(score, consistent, forward + swapped - 1)


def hard_negatives(
    similarity: npt.ArrayLike,
    soft: npt.ArrayLike,
    positive: npt.ArrayLike,
    *,
    count: int = 10,
    top: int = 50,
    ceiling: float | None = None,
    margin: float = 0.01,
    step: int = 5,
) -> npt.NDArray[np.int64]:
    """The candidates that look right and are wrong, for each query: those a judge says do not fit.

    `similarity` (q, c): of query and candidate under the embedder, any range, higher = nearer; NaN for one that is not to
    be taken (the positive itself). `soft` (q, c) in [0, 1]: how surely the judge says that the candidate fits the query;
    NaN where it was not asked. `positive` (q,): what it says of the query's own positive.

    Of each query's candidates below `ceiling` (None: all) the `top` nearest are looked at. One whose soft score is above
    positive - `margin` is as good as the positive, a false negative, and goes; so does one that was not judged. From the
    rest, nearest first, every `step`-th is taken, then the next of each, round and round, until there are `count`.
    Returns (q, count) int64, -1 where there are no more. Equal similarities go by position.

    Raises InputError for shapes that differ, numbers outside their range. Source: UniME-V2 (2025), section on hard
    negatives: 50, 0.01, 5 and 10 are its numbers. How its cyclic sampling goes round is our reading; where none are left
    it takes random ones, which we leave to the caller.
    """
    near, said, own = (as_floats(values, "values") for values in (similarity, soft, positive))
    if near.ndim != 2 or said.shape != near.shape or own.shape != near.shape[:1]:
        raise InputError(
            f"similarity {near.shape} and soft {said.shape} are (queries, candidates), positive {own.shape} (queries,)"
        )
    if ((said < 0) | (said > 1)).any() or ((own < 0) | (own > 1)).any():
        raise InputError("soft and positive hold values outside [0, 1]")
    if min(count, top, step) < 1 or margin < 0:
        raise InputError(
            f"count {count}, top {top} and step {step} are at least 1, margin {margin} at least 0"
        )
    usable = ~np.isnan(near) & (near < (np.inf if ceiling is None else ceiling))
    order = np.argsort(np.where(usable, -near, np.inf), axis=1, kind="stable")[:, :top]
    kept = np.take_along_axis(usable & (said <= own[:, None] - margin), order, 1)
    chosen = np.full((len(near), count), -1, np.int64)
    for row in range(len(near)):
        rest = order[row, kept[row]]
        turns = np.argsort(np.arange(len(rest)) % step, kind="stable")[:count]
        chosen[row, : len(turns)] = rest[turns]
    return chosen
