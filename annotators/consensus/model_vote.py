"""CROWDLAB: answers and a model's probabilities weighed against each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.frames import shown
from curate.annotators.consensus.result import Consensus
from curate.annotators.consensus.votes import Candidates, candidates
from curate.arrays.conversion import as_numbers
from curate.arrays.distributions import check_distributions
from curate.counting import counted
from curate.errors import InputError

__all__ = ["crowdlab"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
LEAST = 1e-6


def crowdlab(answers: Any, model: Any, *, items: Any = None, posterior: bool = False) -> Consensus:
    """The answers and a model's out-of-sample probabilities as one weighted vote.

    Each answer votes with a vector that has A at its value and (1 - A) / (K - 1) elsewhere, A being how often an
    answer agrees with the consensus; it weighs as much as its annotator agrees with others beyond always naming the
    most frequent consensus, the model as much as it agrees with the consensus beyond that, times the root of the mean
    number of answers. The consensus starts as the majority and is settled once more from the result, as in cleanlab,
    whose numbers these are; without its dense items x annotators matrix: time O(n + N K).
    `model` (m, K) rows that sum to 1, its columns in the order of `answers.values` (give `values` to `read_answers`
    where the model knows more); `items` (m,) says what each row is about, default: the items in sorted order.
    `quality` is each annotator's agreement with the others. `posterior` keeps (N, K).

    Raises InputError for probabilities that do not fit, or if no item has two answers.
    Source: Goh, Tkachenko and Mueller, "CROWDLAB", 2022 (arXiv:2210.06812).
    """
    read = read_answers(answers)
    probs = _fit_model(model, read, items)
    if int(read.per_item.max()) < 2:
        raise InputError("CROWDLAB learns whom to trust where people overlap: no item has two answers")
    chosen = candidates(read)
    agreement = _agreement(read, chosen)
    label = _majority(read, chosen, probs)
    post = _posterior(read, probs, _weigh(read, probs, label, agreement))
    best = post.max(1)
    tied = (post == best[:, None]).sum(1) > 1
    label = np.where(tied, label, post.argmax(1))
    post = _posterior(read, probs, _weigh(read, probs, label, agreement))
    sure = post[np.arange(len(label)), label]
    return Consensus(
        read, label, sure, agreement, "crowdlab", posterior=post.astype(np.float32) if posterior else None
    )


def _fit_model(model: Any, answers: Answers, items: Any = None) -> Floats:
    """A model's probabilities as (N, K) float64, in the order of `answers.items` and `answers.values`.

    `model` (m, K) rows that sum to 1; `items` (m,) says which item each row is about, default: those of `answers`
    in their sorted order. Raises InputError for another shape, an item without a row, or rows that are no
    probabilities.
    """
    import polars as pl

    n, _, k = answers.shape
    rows = np.asarray(as_numbers(model, "the model's probabilities"), np.float64)
    if rows.ndim != 2 or rows.shape[1] != k:
        raise InputError(
            f"the model's probabilities have shape {rows.shape}, the answers have {counted(k, 'value')} "
            f"({shown(answers.values)}): give `values` where the model knows more"
        )
    if items is not None:
        place = pl.DataFrame(
            {"item": pl.Series(items, dtype=answers.items.dtype), "row": np.arange(len(rows))}
        )
        joined = answers.items.to_frame("item").join(place.unique("item", keep="first"), "item", "left")
        missing = joined.filter(joined["row"].is_null())["item"]
        if len(missing):
            raise InputError(
                f"the model has no probabilities for {counted(len(missing), 'item')}: {shown(missing)}"
            )
        ordered = answers.items.to_frame("item").join(joined, "item", "left", maintain_order="left")
        rows = rows[ordered["row"].to_numpy()]
    if len(rows) != n:
        raise InputError(
            f"the model has {counted(len(rows), 'row')} for {counted(n, 'item')}: give `items`, one for each row"
        )
    check_distributions(
        rows, "the model's probabilities", ids=lambda: [repr(one) for one in answers.items.to_list()]
    )
    return rows


class _Weights(NamedTuple):
    """How much the model counts, and each annotator (W,); how likely an answer is the consensus."""

    model: float
    annotators: Floats
    likelihood: float


def _agreement(answers: Answers, chosen: Candidates) -> Floats:
    """(W,) agreement with the other answers to the same items; the mean for those who met nobody."""
    w = len(answers.annotators)
    votes = np.bincount(chosen.code).astype(np.float64)
    same = np.bincount(answers.annotator, votes[chosen.code] - 1, minlength=w)
    others = np.bincount(answers.annotator, (answers.per_item - 1)[answers.item].astype(float), minlength=w)
    rate = same / np.where(others > 0, others, 1)
    rate[others == 0] = rate[others > 0].mean()
    return rate


def _majority(answers: Answers, chosen: Candidates, probs: Floats) -> Codes:
    """The majority; a tie goes to what the model finds likelier, the rarer value, the better voters, the lowest."""
    w, k = len(answers.annotators), len(answers.values)
    votes = np.bincount(chosen.code)
    likely = probs[chosen.item, chosen.value]
    frequency = np.bincount(answers.value, minlength=k)[chosen.value]
    top = np.maximum.reduceat(votes, chosen.start[:-1])
    leading = votes == top[chosen.item]
    alone = np.bincount(chosen.item, leading) == 1
    clear = alone[answers.item]
    right = np.bincount(answers.annotator, leading[chosen.code] & clear, minlength=w)
    asked = np.bincount(answers.annotator, clear, minlength=w)
    quality = right / np.maximum(asked, 1)
    quality[asked == 0] = quality[asked > 0].mean() if asked.any() else 0.0
    voters = np.bincount(chosen.code, quality[answers.annotator]) / votes
    order = np.lexsort((chosen.value, -voters, frequency, -likely, -votes, chosen.item))
    return chosen.value[order[chosen.start[:-1]]]


def _weigh(answers: Answers, probs: Floats, label: Codes, agreement: Floats) -> _Weights:
    several = answers.per_item > 1
    agreed = np.bincount(answers.item, answers.value == label[answers.item]) / answers.per_item
    label = label[several]
    modal = np.bincount(label).argmax()
    error = max(float((label != modal).mean()), LEAST)
    trust = np.maximum(1 - (1 - agreement) / error, LEAST)
    wrong = float((probs[several].argmax(1) != label).mean())
    weight = max(1 - wrong / error, LEAST) * float(np.sqrt(answers.per_item.mean()))
    return _Weights(weight, trust, float(agreed[several].mean()))


def _posterior(answers: Answers, probs: Floats, weights: _Weights) -> Floats:
    n, _, k = answers.shape
    trust = weights.annotators[answers.annotator]
    total = np.bincount(answers.item, trust)
    miss = (1 - weights.likelihood) / max(k - 1, 1)
    post = weights.model * probs + (total * miss)[:, None]
    hits = np.bincount(answers.item * k + answers.value, trust * (weights.likelihood - miss), minlength=n * k)
    post += hits.reshape(n, k)
    post /= (weights.model + total)[:, None]
    return post
