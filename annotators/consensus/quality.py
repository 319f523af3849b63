"""How good each annotator is: accuracy with intervals, bias, information, pace; and who confuses what with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.aggregation import Method, average, consensus
from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.confusions import dawid_skene
from curate.annotators.consensus.frames import read_frame
from curate.annotators.consensus.intervals import wilson
from curate.annotators.consensus.result import Consensus
from curate.annotators.consensus.stamping import rubber_stamps
from curate.annotators.consensus.votes import agreement_with_others, candidates
from curate.counting import counted
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["annotator_table", "confusion_table"]

Floats = npt.NDArray[np.float64]


def annotator_table(
    answers: Any,
    *,
    gold: Any = None,
    method: Method = "auto",
    confidence: float = 0.95,
    values: Any = None,
    control: str | None = None,
) -> pl.DataFrame:
    """A row for each annotator, the best first: how good, how sure we are of it, how fast, and what is suspicious.

    `answers`        how many
    `accuracy`, `accuracy_low`, `accuracy_high`   how often right in the eyes of the others: the likeliest, given what
                     the consensus (`method`) would be without each answer, with one imagined answer of the crowd's
                     quality; Wilson's interval at `confidence`, of as many answers as these tell about
    `agreement`      how often another gives the same answer to the same item (shrunk to the mean; null: met nobody)
    `gold_answers`, `gold_accuracy`, `gold_low`, `gold_high`   on items of `gold`, a frame `item`, `value`; null: none
    `information`    0 to 1: the share of what there is to know about an item that one answer tells (mutual
                     information over entropy, by the annotator's confusion matrix); 0 for who answers at random or always
                     the same, high also for who is always wrong in a way that can be undone
    `bias`, `bias_excess`   the value given more often than the consensus has it, and by how much (share of answers);
                     `bias` is null where that is less than two standard errors
    `pace`           median seconds an answer, null without `seconds`
    `suspicious`     why, in words; null where nothing is (see `rubber_stamps`)

    Raises what `read_answers` raises; InputError for a gold value nobody could give.
    """
    import polars as pl

    read = read_answers(answers, values=values, control=control)
    found = average(read, posterior=True) if method == "auto" else consensus(read, method, posterior=True)
    w = len(read.annotators)
    asked = np.bincount(read.annotator, minlength=w).astype(np.float64)
    accuracy, effective = _accuracy(found)
    low, high = wilson(accuracy * effective, effective, confidence)
    chosen = candidates(read)
    alike = agreement_with_others(read, chosen, np.bincount(chosen.code).astype(np.float64))
    met = np.bincount(read.annotator, read.per_item[read.item] > 1, minlength=w) > 0
    bias, excess = _bias(found)
    stamps = rubber_stamps(read)
    table = pl.DataFrame(
        {
            "annotator": read.annotators,
            "answers": asked.astype(np.int64),
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "agreement": pl.Series(alike).set(pl.Series(~met), None),
            **_gold(read, gold, confidence),
            "information": _information(found),
            "bias": read.values.gather(bias).set(pl.Series(excess * np.sqrt(asked) < 1), None),
            "bias_excess": excess,
            "pace": stamps["pace"],
            "suspicious": stamps["why"],
        }
    )
    return table.sort("accuracy", "answers", "annotator", descending=[True, True, False])


def without_own(found: Consensus) -> Floats:
    """(n,) how probable the consensus would find each answer without it.

    The answer's own weight, log(a (K - 1) / (1 - a)) for an annotator of quality a, is taken back from the odds.
    """
    read = found.answers
    k = len(read.values)
    assert found.posterior is not None
    if k < 2:
        return np.ones(len(read))
    q = np.clip(found.posterior[read.item, read.value].astype(np.float64), 1e-6, 1 - 1e-6)
    a = np.clip(found.quality[read.annotator], 1e-2, 1 - 1e-2)
    odds = q / (1 - q) * (1 - a) / (a * (k - 1))
    result: Floats = odds / (1 + odds)
    return result


def _accuracy(found: Consensus) -> tuple[Floats, Floats]:
    """The accuracy that makes each annotator's answers likeliest, given what others believe, and how many certain
    answers it is as sure as (Fisher's information)."""
    read = found.answers
    who, w, k = read.annotator, len(read.annotators), len(read.values)
    if k < 2:
        return np.ones(w), np.bincount(who, minlength=w).astype(np.float64)
    belief = without_own(found)
    other = (1 - belief) / (k - 1)
    asked = np.bincount(who, minlength=w).astype(np.float64)
    usual = float((found.quality * asked).sum() / asked.sum())
    a = found.quality.copy()
    for _ in range(100):
        likely = a[who] * belief
        new = (np.bincount(who, likely / (likely + (1 - a[who]) * other), minlength=w) + usual) / (asked + 1)
        moved, a = float(np.abs(new - a).max()), new
        if moved < 1e-6:
            break
    chance = a[who] * belief + (1 - a[who]) * other
    information = np.bincount(who, ((belief - other) / chance) ** 2, minlength=w)
    return a, np.minimum(information * a * (1 - a), asked)


def _bias(found: Consensus) -> tuple[npt.NDArray[np.int64], Floats]:
    """For each annotator the value given most beyond what the consensus says of the same items, and the excess."""
    read = found.answers
    _, w, k = read.shape
    assert found.posterior is not None
    best, excess = np.zeros(w, np.int64), np.full(w, -np.inf)
    asked = np.bincount(read.annotator, minlength=w)
    for value in range(k):
        given = np.bincount(read.annotator, read.value == value, minlength=w)
        meant = np.bincount(read.annotator, found.posterior[read.item, value], minlength=w)
        more = (given - meant) / asked
        better = more > excess + 1e-9
        best[better], excess[better] = value, more[better]
    return best, excess


def _information(found: Consensus) -> Floats | list[None]:
    """Mutual information of truth and answer over the entropy of the truth, by hierarchical confusion matrices."""
    read = found.answers
    matrix = found.confusion if found.confusion is not None else dawid_skene(read).confusion
    if matrix is None:
        return [None] * len(read.annotators)
    assert found.posterior is not None
    pi = found.posterior.mean(0, dtype=np.float64) + 1e-12
    entropy = -float((pi * np.log(pi)).sum())
    if entropy < 1e-6:
        return np.zeros(len(read.annotators))
    joint = pi[None, :, None] * matrix
    given = joint.sum(1, keepdims=True)
    told = (joint * np.log(np.maximum(matrix, 1e-300) / np.maximum(given, 1e-300))).sum((1, 2))
    told /= entropy
    result: Floats = np.clip(told, 0, 1)
    return result


def _gold(read: Answers, gold: Any, confidence: float) -> dict[str, Any]:
    import polars as pl

    w = len(read.annotators)
    if gold is None:
        empty = [None] * w
        return {
            "gold_answers": pl.Series(empty, dtype=pl.Int64),
            **{
                name: pl.Series(empty, dtype=pl.Float64)
                for name in ("gold_accuracy", "gold_low", "gold_high")
            },
        }
    truth = gold_codes(read, gold)
    known = truth[read.item] != -1
    asked = np.bincount(read.annotator[known], minlength=w).astype(np.float64)
    right = np.bincount(read.annotator[known], read.value[known] == truth[read.item[known]], minlength=w)
    low, high = wilson(right, asked, confidence)
    none = pl.Series(asked == 0)
    share = pl.Series(right / np.maximum(asked, 1)).set(none, None)
    return {
        "gold_answers": asked.astype(np.int64),
        "gold_accuracy": share,
        "gold_low": pl.Series(low).set(none, None),
        "gold_high": pl.Series(high).set(none, None),
    }


def gold_codes(read: Answers, gold: Any) -> npt.NDArray[np.int64]:
    """(N,) the code of each item's known value, -1 where there is none, -2 where nobody gave that value.

    `gold` is a frame `item`, `value`. Raises InputError where an item has two values.
    """
    import polars as pl

    frame = read_frame(gold, ("item", "value"), ("item", "value")).drop_nulls().unique()
    if frame["item"].is_duplicated().any():
        twice = frame.filter(frame["item"].is_duplicated())["item"].unique().sort().head(5).to_list()
        raise InputError(f"gold has two values for items {twice}")
    if frame["item"].dtype != read.items.dtype:
        raise InputError(f"gold's items are {frame['item'].dtype}, the answers' {read.items.dtype}")
    table = {value: code for code, value in enumerate(read.values.to_list())}
    codes = np.array([table.get(value, -2) for value in frame["value"].to_list()], np.int64)
    place = pl.DataFrame({"item": frame["item"], "code": codes})
    joined = read.items.to_frame("item").join(place, "item", "left", maintain_order="left")
    return joined["code"].fill_null(-1).to_numpy()


def confusion_table(
    answers: Any, annotator: Any = None, *, values: Any = None, control: str | None = None
) -> pl.DataFrame:
    """What is answered where what is true: a frame `true`, `given`, `share`; shares of one `true` sum to 1.

    Of one annotator by hierarchical Dawid-Skene, or of the whole crowd together where none is named.
    Raises InputError for an annotator who is not there.
    """
    import polars as pl

    read = read_answers(answers, values=values, control=control)
    k = len(read.values)
    if annotator is None:
        found = average(read, posterior=True)
        assert found.posterior is not None
        full = np.stack(
            [np.bincount(read.value, found.posterior[read.item, true], minlength=k) for true in range(k)]
        )
        matrix = (full + 1e-9) / (full + 1e-9).sum(1, keepdims=True)
    else:
        if annotator not in read.annotators.to_list():
            raise InputError(f"no annotator {annotator!r} among {len(read.annotators)}")
        one = read.annotators.to_list().index(annotator)
        matrices = dawid_skene(read).confusion
        if matrices is None:
            raise InputError(
                f"{counted(len(read.annotators), 'annotator')} and {counted(k, 'value')}: too many confusions to hold"
            )
        matrix = matrices[one]
    true, given = np.divmod(np.arange(k * k), k)
    return pl.DataFrame(
        {"true": read.values.gather(true), "given": read.values.gather(given), "share": matrix.ravel()}
    )
