"""The table of items: all of them, or a sample that says that it is one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from curate.contracts import role_of
from curate.report import words
from curate.report.cards import Layout
from curate.report.decision import Decision
from curate.report.galleries import spread
from curate.report.model import Table, TableColumn
from curate.report.scores import is_number, score_columns

MOST_COLUMNS = 16
TEXT = 240

Cell = str | int | float | None


def collect_table(decision: Decision, layout: Layout, most: int) -> Table:
    """At most `most` rows, evenly spaced in order of import, with texts, label, scores, verdicts and the reason."""
    total = len(decision.view)
    rows = spread(np.arange(total, dtype=np.int64), most)
    names = choose_columns(decision, layout)
    columns = [TableColumn(name, type_) for name, type_ in names]
    if decision.decided:  # the id comes first of all columns
        columns = [TableColumn("status", "status"), columns[0], TableColumn("reason", "text"), *columns[1:]]
    lines: list[tuple[Cell, ...]] = []
    if rows:
        taken = decision.view.take(np.asarray(rows, dtype=np.int64), [name for name, _ in names])
        cells = [make_cells(taken[name], type_) for name, type_ in names]
        for row, line in zip(rows, zip(*cells, strict=True), strict=True):
            lines.append(_complete(decision, row, line) if decision.decided else line)
    return Table(tuple(columns), tuple(lines), total, explain_sample(len(rows), total), decision.statuses)


def explain_sample(shown: int, total: int) -> str:
    """What the reader of the table must know of how its rows were chosen."""
    if shown == total:
        return f"All {words.items(total)}, in order of import." if total else "There are no items."
    return (
        f"A sample: {words.count(shown)} of {words.items(total)}, evenly spaced in order of import "
        f"(every {words.number(float(total / shown))}th), so shares are about those of the whole. Sorting and filtering "
        "work on the sample."
    )


def choose_columns(decision: Decision, layout: Layout) -> list[tuple[str, str]]:
    """(name, type) of the columns that a reader of the table is likely to want."""
    fields = {f.name: f for f in decision.view.schema}
    names = [
        "id",
        *([layout.label] if layout.label else []),
        *(name for name in (layout.sets, layout.suggested, *layout.changes) if name),
    ]
    names += [c for c in layout.texts if c not in names]
    names += score_columns(decision)
    names += [n for n, f in fields.items() if pa.types.is_boolean(f.type) and role_of(f) == "flag"]
    homes = decision.snapshot.column_home
    media = {*layout.images, *layout.sounds}
    own = [n for n in fields if homes.get(n, False) is None and n not in media and not _is_fact(n, media)]
    names += [n for n in own if _is_plain(fields[n].type)]
    chosen = [n for n in dict.fromkeys(names) if n in fields and not n.startswith("_")][:MOST_COLUMNS]
    return [(n, "number" if is_number(fields[n].type) else "text") for n in chosen]


def _is_fact(name: str, media: set[str]) -> bool:
    return any(name.startswith(f"{m}_") and name.rpartition("_")[2] in ("sha256", "bytes") for m in media)


def _is_plain(type_: pa.DataType) -> bool:
    value = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(is_number(value) or pa.types.is_string(value) or pa.types.is_boolean(value))


def make_cells(column: pa.ChunkedArray, type_: str) -> list[Cell]:
    """Values as the table holds them: numbers with six significant digits, texts cut."""
    values: list[Any] = column.to_pylist()
    if type_ == "number":
        return [round_number(v) for v in values]
    return [words.plain(v, TEXT) for v in values]


def round_number(value: Any) -> int | float | None:
    """A number as a browser reads it: whole numbers up to 2**53 stay exact, NaN and infinity are null."""
    if value is None or (isinstance(value, int) and abs(value) <= 2**53):
        return value
    return float(f"{float(value):.6g}") if math.isfinite(value) else None


def _complete(decision: Decision, row: int, line: tuple[Cell, ...]) -> tuple[Cell, ...]:
    condition = decision.dropped_by(row)
    return (decision.status(row), line[0], condition.text if condition else "", *line[1:])
