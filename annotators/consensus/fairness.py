"""Whom cleaning costs what: error rates by group, and what dropping flagged items does to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.aggregation import Method, consensus
from curate.annotators.consensus.answers import encode, read_answers
from curate.annotators.consensus.frames import read_frame
from curate.annotators.consensus.intervals import wilson
from curate.annotators.consensus.quality import gold_codes
from curate.counting import counted
from curate.errors import InputError, SchemaError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["drop_effect", "group_errors"]

Floats = npt.NDArray[np.float64]


def group_errors(
    answers: Any,
    groups: Any,
    *,
    gold: Any = None,
    method: Method = "auto",
    confidence: float = 0.95,
    values: Any = None,
    control: str | None = None,
) -> pl.DataFrame:
    """How often answers about each group's items are wrong: a row for each group, the worst first.

    `groups` is a frame `item`, `group` (an item may stand in several; null: none). `group`, `items`, `answers`;
    `error`, the share of answers that differ from `gold` (a frame `item`, `value`; items without are left out) or, without
    gold, from the consensus by `method`; `low`, `high`, the interval at `confidence`; `difference` from the answers
    about all other items, and `unequal` where that is further from zero than chance explains.
    Answers about one item err together, so intervals count items, not answers.
    Without gold, a group whose items people agree to get wrong looks good: gold sees more.
    Raises what `read_answers` raises; InputError where no item with answers has a group.
    """
    import polars as pl

    read = read_answers(answers, values=values, control=control)
    truth = consensus(read, method).value if gold is None else gold_codes(read, gold)
    known = truth != -1
    wrong = np.bincount(read.item, read.value != truth[read.item], minlength=len(truth)) / read.per_item
    place = pl.DataFrame({"item": read.items, "row": np.arange(len(truth))}).filter(pl.Series(known))
    frame = read_frame(groups, ("item", "group"), ("item", "group")).drop_nulls().unique()
    if frame["item"].dtype != read.items.dtype:
        raise SchemaError(f"groups' items are {frame['item'].dtype}, the answers' {read.items.dtype}")
    joined = frame.join(place, "item", "inner").sort("group", "row")
    if not joined.height:
        raise InputError("no item with answers (and gold) has a group")
    names, group = encode(joined["group"])
    row = joined["row"].to_numpy()
    items = np.bincount(group)
    counts = np.bincount(group, read.per_item[row]).astype(np.int64)
    weight = read.per_item.astype(np.float64)
    bad, total = np.bincount(group, wrong[row] * weight[row]), np.bincount(group, weight[row])
    error = bad / total
    effective = total**2 / np.bincount(group, weight[row] ** 2)
    low, high = wilson(error * effective, effective, confidence)
    rest_bad, rest = float((wrong * weight)[known].sum()) - bad, float(weight[known].sum()) - total
    others = np.where(rest > 0, rest_bad / np.maximum(rest, 1e-12), np.nan)
    rest_items = np.maximum(int(known.sum()) - items, 1)
    half = np.abs(_half(others, rest_items, confidence))
    margin = np.hypot(np.where(error > others, error - low, high - error), half)
    frame = pl.DataFrame(
        {
            "group": names,
            "items": items,
            "answers": counts,
            "error": error,
            "low": low,
            "high": high,
            "difference": pl.Series(error - others, nan_to_null=True),
            "unequal": np.where(np.isnan(others), False, np.abs(error - others) > margin),
        }
    )
    return frame.sort("error", "group", descending=[True, False])


def _half(share: Floats, total: Any, confidence: float) -> Floats:
    low, high = wilson(np.nan_to_num(share) * total, total, confidence)
    return (high - low) / 2


def drop_effect(groups: Any, dropped: Any, *, labels: Any = None, confidence: float = 0.95) -> pl.DataFrame:
    """What dropping flagged items does to each group: a row for each, the hardest hit first.

    `groups` (n,) the group of each item (null: none), `dropped` (n,) bool, `labels` (n,) where given.
    `group`, `items`, `dropped`; `drop_rate` with `low`, `high` at `confidence`; `ratio` to the drop rate of all other
    items (null where that is 0); `share_before`, `share_after` among all items, kept items; `label_shift`, how far the
    group's mix of labels moves (total variation, 0 to 1; null without labels or if nothing is left); `unequal` where
    the interval excludes the rate of the others.
    Raises InputError for lengths that differ, or null among `dropped`.
    """
    import polars as pl

    group, flag = pl.Series("group", groups), pl.Series("dropped", dropped)
    if len(group) != len(flag) or (labels is not None and len(labels) != len(flag)):
        raise InputError(
            f"{counted(len(group), 'group')}, {counted(len(flag), 'flag')}: one of each for every item"
        )
    if flag.dtype != pl.Boolean or flag.null_count():
        raise InputError("`dropped` is true or false for every item")
    gone = flag.to_numpy().astype(np.float64)
    known = group.is_not_null().to_numpy()
    if not known.any():
        raise InputError("no item has a group")
    names, code = encode(group.drop_nulls())
    mine = gone[known]
    items, lost = np.bincount(code), np.bincount(code, mine)
    low, high = wilson(lost, items, confidence)
    others = (gone.sum() - lost) / np.maximum(len(gone) - items, 1)
    alone = items == len(gone)
    kept = items - lost
    rate = lost / items
    ratio = np.where((others > 0) & ~alone, rate / np.where(others > 0, others, 1), np.nan)
    shift = np.full(len(names), np.nan)
    if labels is not None:
        shift = _shift(pl.Series("label", labels).filter(pl.Series(known)), code, mine, len(names))
    frame = pl.DataFrame(
        {
            "group": names,
            "items": items,
            "dropped": lost.astype(np.int64),
            "drop_rate": rate,
            "low": low,
            "high": high,
            "ratio": pl.Series(ratio, nan_to_null=True),
            "share_before": items / len(gone),
            "share_after": kept / max(len(gone) - gone.sum(), 1),
            "label_shift": pl.Series(shift, nan_to_null=True),
            "unequal": ~alone & ((others < low) | (others > high)),
        }
    )
    return frame.sort("drop_rate", "group", descending=[True, False])


def _shift(labels: pl.Series, code: npt.NDArray[np.int64], gone: Floats, n: int) -> Floats:
    known = labels.is_not_null().to_numpy()
    names, label = encode(labels.drop_nulls())
    k = len(names)
    cell = code[known] * k + label
    before = np.bincount(cell, minlength=n * k).reshape(n, k).astype(np.float64)
    after = before - np.bincount(cell, gone[known], minlength=n * k).reshape(n, k)
    left = after.sum(1)
    moved = (
        np.abs(after / np.maximum(left, 1)[:, None] - before / np.maximum(before.sum(1), 1)[:, None]).sum(1)
        / 2
    )
    return np.where(left > 0, moved, np.nan)
