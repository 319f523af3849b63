"""Answers in a compact form: who said what of which item, as codes sorted by item, and how a frame becomes that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.frames import check_key, mixed_types, read_frame, shown
from curate.counting import counted
from curate.errors import InputError, SchemaError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Answers", "encode", "numeric", "read_answers"]

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TIMES = ("time", "created_at")
"""Columns that say when an answer was given, the first that is there counts."""


@dataclass(frozen=True, eq=False)
class Answers:
    """n answers of W annotators about N items, K distinct values; sorted by item, then annotator.

    `item`, `annotator`, `value` (n,) int64 codes into `items`, `annotators`, `values` (each distinct and sorted).
    `start` (N + 1,) int64: the answers about item i are `start[i]:start[i + 1]`, at least one each.
    `seconds` (n,) float64 how long each answer took, `touched` (n,) float64 1 where a shown pre-annotation was
    changed, 0 where it was taken as it was; NaN where unknown, None where no such column was there.
    `unanswered` are items of which every row was skipped or null, `replaced` counts answers that a newer one of the
    same person replaces.
    """

    item: Codes
    annotator: Codes
    value: Codes
    start: Codes
    items: pl.Series
    annotators: pl.Series
    values: pl.Series
    unanswered: pl.Series
    seconds: Floats | None = None
    touched: Floats | None = None
    replaced: int = 0

    def __len__(self) -> int:
        return len(self.item)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, W, K): how many items, annotators and distinct values."""
        return len(self.items), len(self.annotators), len(self.values)

    @cached_property
    def per_item(self) -> Codes:
        """(N,) how many answers each item has."""
        return np.diff(self.start)

    @cached_property
    def numbers(self) -> Floats:
        """(K,) what each value is as a number. Raises InputError for values that are no numbers."""
        import polars as pl

        if not (self.values.dtype.is_numeric() or self.values.dtype == pl.Boolean):
            raise InputError(
                f"values are {self.values.dtype}, not numbers ({shown(self.values)}): numeric and interval "
                "methods need numbers; for labels in an order give `values`, lowest first"
            )
        return self.values.cast(pl.Float64).to_numpy()

    def rows(self, keep: npt.NDArray[np.bool_]) -> Answers:
        """Only these answers; items and annotators that are left without one are gone, the values stay."""
        items, item = np.unique(self.item[keep], return_inverse=True)
        people, annotator = np.unique(self.annotator[keep], return_inverse=True)
        return Answers(
            item.astype(np.int64),
            annotator.astype(np.int64),
            self.value[keep],
            offsets(item, len(items)),
            self.items.gather(items),
            self.annotators.gather(people),
            self.values,
            self.unanswered,
            None if self.seconds is None else self.seconds[keep],
            None if self.touched is None else self.touched[keep],
            self.replaced,
        )


def read_answers(answers: Any, *, values: Any = None, control: str | None = None) -> Answers:
    """Answers from a frame, checked: who said what of which item.

    `answers` is a pandas, Polars or Arrow frame (or a mapping of columns, or anything with `to_arrow`) with columns
    `item`, `annotator`, `value`; understood where there: `time` or `created_at`, `round`, `seconds`, `touched`,
    `skipped`, `control`. Others are ignored. An `Answers` is handed back as it is.
    `values` are the possible values in their order (lowest first), default: the distinct ones, sorted. `control`
    picks one question where the frame has several.
    A null (or NaN, or skipped) value is no answer. Of several answers by one person about one item the newest
    counts, by `time`, then `round`; without either, or at the same moment, only equal ones are taken for one.
    Raises SchemaError for a missing column or mixed types, InputError naming rows for a null item or annotator,
    conflicting duplicates, values not in `values`, several controls, or no answers at all.
    """
    if isinstance(answers, Answers):
        if values is not None or control is not None:
            raise InputError("`values` and `control` belong to read_answers: these answers are read already")
        return answers
    frame = _one_control(read_frame(answers), control)
    if not frame.height:
        raise InputError("there are no answers: the frame is empty")
    for name in ("item", "annotator"):
        check_key(frame, name)
    given = _given(frame)
    left_out = frame.filter(~given)["item"].unique().sort()
    frame = frame.filter(given)
    if not frame.height:
        raise InputError(
            f"there are no answers: all {counted(len(given), 'row is', 'rows are')} skipped or without a value"
        )
    items, item = encode(frame["item"])
    annotators, annotator = encode(frame["annotator"])
    known, value = _encode_values(frame, values)
    order = _newest(frame, item, annotator, value)
    return Answers(
        item[order],
        annotator[order],
        value[order],
        offsets(item[order], len(items)),
        items,
        annotators,
        known,
        left_out.filter(~left_out.is_in(items.implode())),
        _floats(frame, "seconds", order),
        _floats(frame, "touched", order),
        frame.height - len(order),
    )


def numeric(values: pl.Series) -> pl.Series | None:
    """Values as numbers, also where they came as text; None where one of them is none."""
    import polars as pl

    numbers = values.cast(pl.String).cast(pl.Float64, strict=False)
    return None if numbers.null_count() else numbers


def encode(column: pl.Series) -> tuple[pl.Series, Codes]:
    """The distinct values, sorted, and for each row the position of its value among them."""
    distinct = column.unique().sort()
    codes = distinct.search_sorted(column)
    return distinct, codes.to_numpy().astype(np.int64)


def offsets(sorted_codes: Codes, n: int) -> Codes:
    """(n + 1,) where each code's run begins, and the end."""
    return np.concatenate(([0], np.cumsum(np.bincount(sorted_codes, minlength=n)))).astype(np.int64)


def _one_control(frame: pl.DataFrame, control: str | None) -> pl.DataFrame:
    if "control" not in frame.columns:
        if control is not None:
            raise SchemaError(f"control {control!r} is asked for, but there is no column 'control'")
        return frame
    there = frame["control"].drop_nulls().unique().sort()
    if control is not None:
        if control not in there.to_list():
            raise InputError(f"no answers have control {control!r}; there are: {shown(there)}")
        return frame.filter(frame["control"] == control)
    if len(there) > 1:
        raise InputError(
            f"answers to {counted(len(there), 'question')} ({shown(there)}): say which by control=..."
        )
    return frame


def _given(frame: pl.DataFrame) -> pl.Series:
    value = frame["value"]
    given = value.is_not_null()
    if value.dtype.is_float():
        given &= value.is_not_nan().fill_null(False)
    if "skipped" in frame.columns:
        given &= ~frame["skipped"].fill_null(False)
    return given


def _encode_values(frame: pl.DataFrame, values: Any) -> tuple[pl.Series, Codes]:
    import polars as pl

    column = frame["value"]
    if column.dtype == pl.Categorical or column.dtype == pl.Enum:
        column = column.cast(pl.String)
    if values is None:
        return encode(column)
    try:
        known = pl.Series("value", list(values), strict=True)
    except TypeError:
        raise SchemaError(f"`values` mixes types: {mixed_types(list(values))}") from None
    if known.is_duplicated().any():
        raise InputError(f"`values` names {shown(known.filter(known.is_duplicated()).unique())} twice")
    if known.dtype != column.dtype and not (known.dtype.is_numeric() and column.dtype.is_numeric()):
        raise SchemaError(f"`values` are {known.dtype}, the answers' values {column.dtype}")
    distinct, codes = encode(column)
    place = {v: i for i, v in enumerate(known.to_list())}
    table = np.array([place.get(v, -1) for v in distinct.to_list()], np.int64)
    if (table < 0).any():
        strange = distinct.filter(pl.Series(table < 0))
        rows = np.flatnonzero(table[codes] < 0)[:5].tolist()
        raise InputError(f"answers {shown(strange)} (rows {rows}) are none of `values` ({shown(known)})")
    return known.cast(column.dtype), table[codes]


def _newest(frame: pl.DataFrame, item: Codes, annotator: Codes, value: Codes) -> Codes:
    """Rows in the order of item and annotator, one for each pair: the newest. Raises InputError for a conflict."""
    import polars as pl

    key = item * (int(annotator.max()) + 1) + annotator
    moments: list[Codes] = []
    for name in (*[t for t in TIMES if t in frame.columns][:1], "round"):
        if name in frame.columns:
            rank = frame[name].rank("dense").fill_null(0)
            moments.append(rank.cast(pl.Int64).to_numpy())
    order = np.lexsort((*reversed(moments), key)) if moments else np.argsort(key, kind="stable")
    ranked = key[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    if last.all():
        return order
    final: Codes = order[last]
    winner = np.repeat(final, np.diff(np.append(np.flatnonzero(np.append(True, last[:-1])), len(order))))
    clash: npt.NDArray[np.bool_] = value[order] != value[winner]
    for moment in moments:
        clash &= moment[order] == moment[winner]
    if clash.any():
        _refuse(frame, order[clash], winner[clash], bool(moments))
    return final


def _refuse(frame: pl.DataFrame, one: Codes, other: Codes, timed: bool) -> None:
    where = "; ".join(
        f"item {frame['item'][int(a)]!r} by {frame['annotator'][int(a)]!r}: "
        f"{frame['value'][int(a)]!r} and {frame['value'][int(b)]!r}"
        for a, b in list(zip(one, other, strict=True))[:3]
    )
    why = "at the same time" if timed else "and no column `time` says which is newest"
    raise InputError(
        f"{counted(len(one), 'answer contradicts', 'answers contradict')} another by the same person about the same "
        f"item {why} ({where}). Keep one of each, or add `time`."
    )


def _floats(frame: pl.DataFrame, name: str, order: Codes) -> Floats | None:
    import polars as pl

    if name not in frame.columns or frame[name].null_count() == frame.height:
        return None
    column = frame[name]
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Duration)):
        raise SchemaError(f"column {name!r} is {column.dtype}, numbers are meant")
    if column.dtype == pl.Duration:
        column = column.dt.total_milliseconds() / 1000
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()[order]
