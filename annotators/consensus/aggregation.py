"""One answer from many: `aggregate` and its default, and soft labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from curate.annotators.consensus.ability import glad
from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.coins import mace, one_coin
from curate.annotators.consensus.confusions import dawid_skene
from curate.annotators.consensus.model_vote import crowdlab
from curate.annotators.consensus.numeric import aggregate_numbers
from curate.annotators.consensus.ordinal import ordinal_dawid_skene, ordinal_median
from curate.annotators.consensus.result import Consensus, settle
from curate.annotators.consensus.votes import majority
from curate.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Method", "aggregate", "consensus", "soft_labels"]

Method = Literal[
    "auto",
    "majority",
    "dawid-skene",
    "dawid-skene-flat",
    "one-coin",
    "glad",
    "mace",
    "crowdlab",
    "ordinal-median",
    "ordinal-dawid-skene",
    "mean",
    "median",
    "weighted-mean",
]
NUMERIC = ("mean", "median", "weighted-mean")
TABLE = 1 << 28
"""More cells than this (items + distinct answers, times values) and the default leaves Dawid-Skene out."""


def aggregate(
    answers: Any,
    method: Method = "auto",
    *,
    values: Any = None,
    control: str | None = None,
    model: Any = None,
    items: Any = None,
    seed: int = 0,
) -> pl.DataFrame:
    """What the annotators say together: a frame `item`, `value`, `probability`, a row for each item, sorted.

    `answers` is a pandas, Polars or Arrow frame with `item`, `annotator`, `value`; see `read_answers` for what else
    is understood, for `values` and `control`, and for bad input. Items, annotators and values may be strings,
    integers, floats, booleans; values keep their type. `probability` in [0, 1] that the value is right in the eyes of the
    method (for a majority: its share of the votes); null for numeric methods. An item of which every row is skipped
    or null has nulls, at the end.

    `method` "auto" is the mean of what three models believe of each item: one-coin, MACE and hierarchical
    Dawid-Skene (the last left out where its tables would not fit in memory); numbers that are not whole are
    aggregated by "weighted-mean". Each of the three is best on some crowds and bad on others, for reasons that the
    answers do not betray; their mean was within .005 of the best of crowd-kit's methods on all five sets tried.
    "ordinal-..." and numeric methods use the order, or the size, of the values. "crowdlab" needs `model`, (m, K)
    probabilities, and `items` (m,) which say what each row is about. `seed` starts MACE's restarts (method "mace";
    the default starts it from vote shares and draws nothing).

    Raises what `read_answers` raises; UnknownNameError for another method; InputError where a method lacks what it
    needs.
    """
    _check(method)
    read = read_answers(answers, values=values, control=control)
    if method in NUMERIC or (method == "auto" and _fractional(read)):
        return aggregate_numbers(read, "weighted-mean" if method == "auto" else method).to_polars()  # type: ignore[arg-type]
    ordered = values is not None or isinstance(answers, Answers)
    named = len(read.values) > 1 and not read.values.dtype.is_numeric()
    if method.startswith("ordinal") and named and not ordered:
        raise InputError(
            f"{method}: say the order of the values by `values`, lowest first: {read.values.to_list()}"
        )
    return consensus(read, method, model=model, items=items, seed=seed).to_polars()


def consensus(
    answers: Any,
    method: Method = "auto",
    *,
    model: Any = None,
    items: Any = None,
    seed: int = 0,
    posterior: bool = False,
) -> Consensus:
    """The same as arrays: values, probabilities, annotators' quality, and on request the whole posterior."""
    _check(method)
    read = read_answers(answers)
    if method == "crowdlab":
        if model is None:
            raise InputError("crowdlab needs `model`: out-of-sample probabilities, a row for each item")
        return crowdlab(read, model, items=items, posterior=posterior)
    if model is not None:
        raise InputError(f"method {method!r} does not use a model's probabilities; 'crowdlab' does")
    if method == "mace":
        return mace(read, seed=seed, posterior=posterior)
    if method in NUMERIC:
        raise InputError(f"method {method!r} gives numbers, not one of the values: use `aggregate`")
    return _WAYS[method](read, posterior=posterior)


def average(answers: Any, *, posterior: bool = False) -> Consensus:
    """The default: the mean of what one-coin, MACE and hierarchical Dawid-Skene believe of each item.

    `quality` and `log_likelihood` are likewise means; `confusion` is Dawid-Skene's.
    """
    read = read_answers(answers)
    n, _, k = read.shape
    parts = [one_coin(read, posterior=True), mace(read, restarts=1, posterior=True)]
    confusion = None
    if (n + len(read)) * k <= TABLE:
        parts.append(dawid_skene(read, tolerance=1e-4, posterior=True))
        confusion = parts[-1].confusion
    total = np.zeros((n, k), np.float32)
    for part in parts:
        assert part.posterior is not None
        total += part.posterior
    total /= len(parts)
    value, sure = settle(total.T.astype(np.float64) if n * k < 1 << 24 else total.T)
    return Consensus(
        *(
            read,
            value,
            np.asarray(sure, np.float64),
            np.mean([p.quality for p in parts], axis=0),
            "auto",
            confusion,
        ),
        posterior=total if posterior else None,
        log_likelihood=float(np.mean([p.log_likelihood for p in parts])),
        iterations=sum(p.iterations for p in parts),
    )


def soft_labels(
    answers: Any,
    method: Method = "majority",
    *,
    least: float = 1e-4,
    values: Any = None,
    control: str | None = None,
) -> pl.DataFrame:
    """How probable each value is for each item: a frame `item`, `value`, `probability`, sorted by item and value.

    By "majority" the shares of the votes, which keep a disagreement as it is and are the safe choice to train on;
    by a model what it believes, which is far surer. Rows below `least` are left out, and the others made to sum to 1.
    """
    import polars as pl

    read = read_answers(answers, values=values, control=control)
    full = consensus(read, method, posterior=True).posterior
    assert full is not None
    item, value = np.nonzero(full >= least)
    chance = full[item, value].astype(np.float64)
    chance /= np.bincount(item, chance)[item]
    return pl.DataFrame(
        {"item": read.items.gather(item), "value": read.values.gather(value), "probability": chance}
    )


def _fractional(answers: Answers) -> bool:
    if not answers.values.dtype.is_float():
        return False
    numbers = answers.numbers
    return bool((numbers != np.round(numbers)).any())


def _check(method: str) -> None:
    if method not in get_args(Method):
        raise UnknownNameError("method", method, get_args(Method))


_WAYS: Mapping[str, Callable[..., Consensus]] = {
    "auto": average,
    "majority": majority,
    "dawid-skene": dawid_skene,
    "dawid-skene-flat": partial(dawid_skene, prior="flat"),
    "one-coin": one_coin,
    "glad": glad,
    "ordinal-median": ordinal_median,
    "ordinal-dawid-skene": ordinal_dawid_skene,
}
"""The methods that need nothing beside the answers."""
