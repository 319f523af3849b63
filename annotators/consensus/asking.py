"""Which items to ask again, and how many more answers each needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.aggregation import Method, average, consensus
from curate.annotators.consensus.answers import Answers, read_answers
from curate.counting import counted
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ask_again", "gain_of_asking"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def ask_again(
    answers: Any,
    *,
    target: float = 0.95,
    limit: int = 5,
    budget: float | None = None,
    accuracy: float | None = None,
    cost: float | Mapping[Any, float] = 1.0,
    method: Method = "auto",
    values: Any = None,
    control: str | None = None,
) -> pl.DataFrame:
    """The items whose consensus is not sure enough, where another answer buys most first.

    Listed is every item whose probability is below `target`, and every one that nobody answered:
    `item`, `value`, `probability`, `answers` (so far); `more`, how many further answers (1 to `limit`) make it expected
    to reach `target`, or `limit`; `gain`, how much the chance that the consensus is right is expected to rise by these;
    `cost` of these; `reachable`, whether `limit` answers are expected to be enough. Sorted by gain per cost, then item.
    `accuracy` of the next annotator, default: the mean quality of those there are. `cost` of one answer, a number or
    by item. `budget`, where given, is what may be spent now: `more` is then as many as gain most for their cost (often
    one: ask, look, and ask again), and items are taken from the top while they fit into it.
    Raises what `read_answers` raises; InputError for a target outside (0, 1), a limit below 1, an accuracy no better
    than guessing, costs that are not positive, or an item without one.
    """
    import polars as pl

    if not 0 < target < 1 or limit < 1:
        raise InputError(f"target={target}, limit={limit}: a chance between 0 and 1, and at least 1 answer")
    read = read_answers(answers, values=values, control=control)
    found = average(read, posterior=True) if method == "auto" else consensus(read, method, posterior=True)
    assert found.posterior is not None
    skill = _skill(read, found.quality, accuracy)
    open_ = np.flatnonzero(found.probability < target)
    prior = found.posterior.mean(0, dtype=np.float64)[None, :]
    nobody = len(read.unanswered)
    belief = np.concatenate([found.posterior[open_].astype(np.float64), np.repeat(prior, nobody, 0)])
    gains, sure = gain_of_asking(belief, skill, limit)
    reach = sure >= target
    more = _how_many(gains, reach, per_cost=budget is not None)
    items = pl.concat([read.items.gather(open_), read.unanswered])
    unknown = [None] * nobody
    frame = pl.DataFrame(
        {
            "item": items,
            "value": pl.concat(
                [read.values.gather(found.value[open_]), pl.Series(unknown, dtype=read.values.dtype)]
            ),
            "probability": pl.Series([*found.probability[open_], *unknown], dtype=pl.Float64),
            "answers": np.concatenate([read.per_item[open_], np.zeros(nobody, np.int64)]),
            "more": more,
            "gain": gains[np.arange(len(more)), more - 1],
            "cost": _prices(items, cost) * more,
            "reachable": reach.any(1),
        }
    )
    frame = frame.with_columns(rate=(pl.col("gain") / pl.col("cost")).round(12)).sort(
        "rate", "item", descending=[True, False]
    )
    if budget is not None:
        frame = frame.filter(_affordable(frame["cost"].to_numpy(), float(budget)))
    return frame.drop("rate")


def _how_many(gains: Floats, reach: npt.NDArray[np.bool_], *, per_cost: bool) -> Codes:
    """How many more answers to ask for: as few as are expected to be enough, else all; or what gains most for its cost."""
    limit = gains.shape[1]
    most = (gains / np.arange(1, limit + 1)).round(12).argmax(1) + 1
    more: Codes = most if per_cost else np.where(reach.any(1), reach.argmax(1) + 1, limit)
    return more


def gain_of_asking(belief: Floats, accuracy: float, limit: int) -> tuple[Floats, Floats]:
    """What 1, 2 ... `limit` more answers are expected to do, by an annotator right with chance `accuracy`.

    `belief` (m, K) probabilities of each value. Returns (m, limit) how much the chance that the most probable value
    is right rises on average (exact over all outcomes, between the two most probable values: an answer for a third
    is taken to say nothing), and that chance itself.
    """
    two = -np.sort(-belief, axis=1)[:, :2]
    if belief.shape[1] < 2:
        return np.zeros((len(belief), limit)), np.ones((len(belief), limit))
    pair = two.sum(1)
    p = two[:, 0] / np.maximum(pair, 1e-12)  # of the first, given it is one of the two
    wrong = (1 - accuracy) / (belief.shape[1] - 1)
    step = np.log(accuracy / wrong)
    share = accuracy / (accuracy + wrong)  # an answer for one of the two is right
    counted = accuracy + wrong
    odds = np.log(np.maximum(p, 1e-12) / np.maximum(1 - p, 1e-12))
    sure = np.empty((len(belief), limit))
    exact = np.empty((len(belief), limit + 1))
    exact[:, 0] = p
    for m in range(1, limit + 1):  # m answers for one of the two
        total = np.zeros(len(belief))
        for hits in range(m + 1):
            ways = _choose(m, hits)
            if_first = ways * share**hits * (1 - share) ** (m - hits)
            if_second = ways * (1 - share) ** hits * share ** (m - hits)
            first = odds + (2 * hits - m) * step > 0
            total += np.where(first, p * if_first, (1 - p) * if_second)
        exact[:, m] = np.maximum(total, exact[:, m - 1])
    for m in range(1, limit + 1):
        chance = [_choose(m, j) * counted**j * (1 - counted) ** (m - j) for j in range(m + 1)]
        sure[:, m - 1] = exact[:, : m + 1] @ np.array(chance)
    sure = sure * pair[:, None] + 0.0
    return np.maximum(sure - two[:, :1], 0), np.maximum(sure, two[:, :1])


def _choose(n: int, k: int) -> int:
    from math import comb

    return comb(n, k)


def _skill(read: Answers, quality: Floats, accuracy: float | None) -> float:
    k = max(len(read.values), 2)
    if accuracy is not None:
        if not 1 / k < accuracy < 1:
            raise InputError(
                f"accuracy={accuracy}: with {counted(k, 'value')} it lies above {1 / k:.3g} and below 1"
            )
        return accuracy
    counts = np.bincount(read.annotator, minlength=len(quality))
    mean = float((quality * counts).sum() / counts.sum())
    return min(max(mean, 1 / k + 0.05), 0.99)


def _prices(items: pl.Series, cost: float | Mapping[Any, float]) -> Floats:
    if isinstance(cost, Mapping):
        missing = [item for item in items.to_list() if item not in cost]
        if missing:
            raise InputError(f"no cost for {counted(len(missing), 'item')}, such as {missing[:3]}")
        prices = np.array([cost[item] for item in items.to_list()], np.float64)
    else:
        prices = np.full(len(items), float(cost))
    if not (np.isfinite(prices) & (prices > 0)).all():
        raise InputError("the cost of an answer is a positive number")
    return prices


def _affordable(cost: Floats, budget: float) -> Any:
    import polars as pl

    kept, spent = np.zeros(len(cost), bool), 0.0
    for i, price in enumerate(cost.tolist()):
        if spent + price <= budget + 1e-9:
            kept[i], spent = True, spent + price
    return pl.Series(kept)
