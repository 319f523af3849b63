"""Items whose elements a scorer judged one by one: the text shaded, each element listed, the picture beside it.

No scorer is known by name: any detail that tells of the parts of an item (`contracts.detail`) is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import parallel_to, role_of
from curate.report import words
from curate.report.cards import CardMaker
from curate.report.decision import Decision
from curate.report.model import Card, Element, ElementSet, Gallery
from curate.report.shading import shade, strip_type
from curate.store import StoreView

__all__ = ["ElementColumn", "collect_elements", "element_columns", "read_elements", "with_elements"]

MOST_COLUMNS = 4
MOST_ELEMENTS = 40
Floats = npt.NDArray[np.float64]
_NUMBERS = ("score", "answer")
_TYPE = re.compile(r"\(([^()]*)\)\s*$")


@dataclass(frozen=True)
class ElementColumn:
    """A column of element scores: the `number` in its structs, the column its lists run parallel to, and of the same
    scorer the main score and what it notes; empty where there is none. Shades go from `low` to `high`."""

    name: str
    number: str
    of: str
    score: str
    notes: str
    low: float = 0.0
    high: float = 1.0

    @property
    def columns(self) -> list[str]:
        """What must be read of a row to tell of its elements."""
        return [name for name in (self.name, self.of, self.notes) if name]

    def tone(self, value: float) -> float:
        """-1 for the lowest, 1 for the highest."""
        return max(-1.0, min(1.0, 2 * (value - self.low) / (self.high - self.low) - 1))


def element_columns(decision: Decision) -> list[ElementColumn]:
    """The columns that hold element scores, in the view's order."""
    homes, names = decision.snapshot.column_home, set(decision.view.columns)
    found = []
    for field in decision.view.schema:
        number = _number(field.type)
        if not number or role_of(field) != "detail":
            continue
        of, home = parallel_to(field), homes.get(field.name)
        told = any(field.type.value_type.get_field_index(name) >= 0 for name in ("element", "question"))
        if not told and of not in names:
            continue
        fields = list(home.schema()) if home else []
        score = next((f.name for f in fields if role_of(f) == "score"), "")
        notes = next((f.name for f in fields if f.name == f"{home.name}_notes"), "") if home else ""
        found.append(
            ElementColumn(
                field.name, number, of if of in names else "", score, notes if notes in names else ""
            )
        )
    return found


def _number(type_: pa.DataType) -> str:
    """The field of the structs that is the score; empty where this is no list of such structs."""
    if not (pa.types.is_list(type_) or pa.types.is_large_list(type_)):
        return ""
    inner = type_.value_type
    if not pa.types.is_struct(inner):
        return ""
    for name in _NUMBERS:
        at = inner.get_field_index(name)
        if at >= 0 and pa.types.is_floating(inner.field(at).type):
            return name
    return ""


def collect_elements(maker: CardMaker, most: int) -> tuple[ElementSet, ...]:
    """For each such column the items whose weakest element is the worst, and those whose weakest is the best."""
    if most < 1 or not len(maker.decision.view):
        return ()
    columns = element_columns(maker.decision)[:MOST_COLUMNS]
    return tuple(made for column in columns if (made := _collect(maker, column, most)) is not None)


def _collect(maker: CardMaker, column: ElementColumn, most: int) -> ElementSet | None:
    weakest, strongest = extremes(maker.decision.view, column)
    column = scaled(column, weakest, strongest)
    items = int(np.count_nonzero(~np.isnan(weakest)))
    if not items:
        return None
    half = max(1, most // 2)
    galleries = []
    for title, which, sign in (("Weakest elements", "lowest", 1), ("Best throughout", "highest", -1)):
        rows = lowest_rows(maker.decision.view, sign * weakest, half)
        note = f"Items by the lowest score of their elements, the {which} first."
        galleries.append(Gallery(title, note, with_elements(maker, column, rows)))
        if items <= half:
            break
    note = (
        f"{words.items(items)} with scores of elements. A word that several elements cover has the mean of theirs; "
        "words of elements that have no score are underlined, not shaded."
    )
    return ElementSet(
        column.name, note, words.number(column.low), words.number(column.high), tuple(galleries)
    )


def extremes(view: StoreView, column: ElementColumn) -> tuple[Floats, Floats]:
    """The lowest and the highest score of each item's elements, (n,) float64, NaN where it has none. Reads in batches."""
    weakest, strongest = np.full((2, len(view)), np.nan)
    start = 0
    for batch in view.batches([column.name], rows=65_536):
        lists = batch.column(0)
        flat = lists.flatten()
        values = pc.struct_field(flat, column.number).cast(pa.float64())
        scores = np.asarray(values.fill_null(np.nan).to_numpy(zero_copy_only=False), np.float64)
        of = start + pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        known = np.isfinite(scores)
        np.fmin.at(weakest, of[known], scores[known])
        np.fmax.at(strongest, of[known], scores[known])
        start += len(batch)
    return weakest, strongest


def scaled(column: ElementColumn, weakest: Floats, strongest: Floats) -> ElementColumn:
    """The column with the range of its shades: 0 to 1, unless a score lies outside."""
    known = ~np.isnan(weakest)
    low, high = (float(weakest[known].min()), float(strongest[known].max())) if known.any() else (0.0, 1.0)
    if low >= 0 and high <= 1:
        return column
    return replace(column, low=low, high=high if high > low else low + 1)


def lowest_rows(view: StoreView, values: Floats, most: int) -> list[int]:
    """The rows with the lowest values, NaN left out, ties by id."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) > most:
        edge = np.partition(values[known], most - 1)[most - 1]
        known = known[values[known] <= edge]
    ids = view.take(known, ["id"])["id"].to_pylist() if len(known) else []
    order = sorted(range(len(known)), key=lambda i: (values[known[i]], ids[i]))
    return [int(known[i]) for i in order[:most]]


def with_elements(maker: CardMaker, column: ElementColumn, rows: Sequence[int]) -> tuple[Card, ...]:
    """Cards of these rows that show their elements."""
    if not len(rows):
        return ()
    cards = maker.make(rows, [column.score] if column.score else [])
    table = maker.decision.view.take(np.asarray(rows, dtype=np.int64), column.columns)
    return tuple(_tell(card, column, record) for card, record in zip(cards, table.to_pylist(), strict=True))


def _tell(card: Card, column: ElementColumn, record: Mapping[str, Any]) -> Card:
    elements = tuple(read_elements(column, record))
    note = words.plain(record[column.notes], 400) if column.notes else ""
    return replace(
        card,
        elements=elements,
        shaded=tuple((name, shade(text, elements)) for name, text in card.texts),
        note=note,
    )


def read_elements(column: ElementColumn, record: Mapping[str, Any]) -> Iterator[Element]:
    """The elements of a row, at most 40; `record` holds the row's values of `column.columns`."""
    own = record.get(column.name) or []
    asked = (record.get(column.of) or []) if column.of else []
    if len(asked) != len(own):
        asked = [None] * len(own)  # asked anew since: what these scores are about is no longer there
    for i, (judged, about) in enumerate(list(zip(own, asked, strict=True))[:MOST_ELEMENTS]):
        if judged is not None:
            yield _read(column, judged, {"question": about} if isinstance(about, str) else about or {}, i)


def _read(column: ElementColumn, judged: Mapping[str, Any], about: Mapping[str, Any], i: int) -> Element:
    def said(name: str) -> str:
        return words.plain(judged.get(name) or about.get(name), 300)

    phrase, expected = said("element"), words.plain(about.get("answer"), 60)
    name = said("question") or strip_type(phrase) or f"element {i + 1}"
    if about.get("question") and expected.lower() not in ("", "yes"):
        name = f"{name} → {expected}"
    value: float = judged.get(column.number, math.nan)
    known = value is not None and math.isfinite(value)
    kind = _TYPE.search(phrase)
    return Element(
        name=name,
        phrase=strip_type(phrase),
        score=_short(column, value) if known else "",
        tone=column.tone(value) if known else None,
        type=said("type") or (kind.group(1) if kind else ""),
        note=said("evidence") or ("" if known else "no score"),
        box=_box(judged.get("box")),
    )


def _short(column: ElementColumn, value: float) -> str:
    """Two digits of a share; three of anything else."""
    if (column.low, column.high) == (0.0, 1.0):
        return f"{value:.2f}"
    return words.number(float(f"{value:.3g}"))


def _box(value: Any) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom in per cent; None where they make no box."""
    if not isinstance(value, (list, tuple)) or len(value) != 4 or any(v is None for v in value):
        return None
    left, top, right, bottom = (100 * float(v) for v in value)
    return (left, top, right, bottom) if 0 <= left < right <= 100 and 0 <= top < bottom <= 100 else None
