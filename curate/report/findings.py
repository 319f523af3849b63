"""What analyses found, ready to be drawn: charts worked out, tables as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from curate.contracts import Finding, Findings
from curate.errors import InputError
from curate.report import words
from curate.report.curves import draw_curve_alone
from curate.report.evidence import Bar, Curve, Ends, Evidence, FindingSet, Heat, Interval
from curate.run.ledger import RunRecord
from curate.run.steps.analysing import recall_findings
from curate.store import PartStore

MOST_ROWS = 60
MOST_BARS = 12
MOST_INTERVALS = 40
MOST_CELLS = 24
"""Rows of a table, bars, intervals, and rows or columns of a matrix that are shown."""


def collect_findings(store: PartStore, run: RunRecord | None) -> tuple[FindingSet, ...]:
    """What the analyses of a run found, in the order of its steps; one made twice is told once."""
    sets: dict[str, FindingSet] = {}
    for step in run.steps if run else ():
        if step.kind == "analyse" and not step.error:
            found = recall_findings(store, step.digest)
            if found is not None:
                sets[step.digest] = make_set(step.title.removeprefix("analyse "), found)
    return tuple(sets.values())


def make_set(name: str, found: Findings) -> FindingSet:
    """The findings of one analysis as the page shows them."""
    return FindingSet(name, found.summary, tuple(_make(f) for f in found.findings))


def findings_svg(found: Findings) -> str:
    """The first curve of these findings as an SVG file of its own. Raises InputError where nothing is drawn as a curve."""
    curves = [e.curve for e in make_set("", found).findings if e.curve is not None]
    if not curves:
        raise InputError("there is no curve in these findings to draw")
    return str(draw_curve_alone(curves[0]))


def _make(finding: Finding) -> Evidence:
    table = finding.table
    if table is None or not table.num_columns:
        return Evidence(finding.title, finding.text, finding.serious)
    head = tuple(table.column_names)
    numeric = tuple(_is_number(f.type) for f in table.schema)
    rows = tuple(tuple(_text(v) for v in row.values()) for row in table.slice(0, MOST_ROWS).to_pylist())
    intervals = _intervals(table) if finding.chart == "bars" else ()
    bars = _bars(table) if finding.chart == "bars" and not intervals else ()
    heat = _heat(table) if finding.chart == "matrix" else None
    curve = _curve(table, finding.title) if finding.chart == "line" else None
    left_out = max(0, len(table) - MOST_ROWS)
    return Evidence(
        finding.title,
        finding.text,
        finding.serious,
        head,
        rows,
        numeric,
        left_out,
        bars,
        intervals,
        heat,
        curve,
    )


def _bars(table: pa.Table) -> tuple[Bar, ...]:
    names, values = (table.column(i).slice(0, MOST_BARS).to_pylist() for i in (0, 1))
    peak = max((abs(v) for v in values if v is not None), default=0) or 1
    return tuple(
        Bar(_text(n), _text(v), 100 * abs(v or 0) / peak) for n, v in zip(names, values, strict=True)
    )


def _intervals(table: pa.Table) -> tuple[Interval, ...]:
    """Values with their intervals; none where a table has no columns `low` and `high`. A missing end is the value."""
    if not {"low", "high"} <= set(table.column_names[2:]):
        return ()
    table = table.slice(0, MOST_INTERVALS)
    names = [_text(v) for v in table.column(0).to_pylist()]
    values, lows, highs = (_floats(table.column(c)) for c in (1, "low", "high"))
    return tuple(
        Interval(name, words.number(v), v, v if low is None else low, v if high is None else high)
        for name, v, low, high in zip(names, values, lows, highs, strict=True)
        if v is not None
    )


def _heat(table: pa.Table) -> Heat:
    names = [_text(v) for v in table.column(0).slice(0, MOST_CELLS).to_pylist()]
    columns = table.column_names[1 : MOST_CELLS + 1]
    values = [table.column(c).slice(0, MOST_CELLS).to_pylist() for c in columns]
    heads = [column.removeprefix("→").strip() for column in columns]
    off = [v for i, c in enumerate(values) for j, v in enumerate(c) if v and names[j] != heads[i]]
    peak = max(off, default=0)
    cells = tuple(
        tuple((_short(column[j]), _share(column[j], peak)) for column in values) for j in range(len(names))
    )
    more = max(0, len(table) - MOST_CELLS, table.num_columns - 1 - MOST_CELLS)
    return Heat(tuple(names), tuple(columns), cells, more)


def _short(value: float | None) -> str:
    """A cell is narrow: two digits of a share; nothing where there is nothing."""
    if not value:
        return ""
    return f"{value:.2g}" if isinstance(value, float) and abs(value) < 10 else words.number(value)


def _share(value: float | None, peak: float) -> float:
    """Colour is for what lies off the diagonal: there the largest is the strongest, whatever the diagonal holds."""
    return min(100.0, 100 * value / peak) if value and value > 0 and peak else 0.0


def _curve(table: pa.Table, title: str) -> Curve | None:
    x = _floats(table.column(0))
    known = [i for i, v in enumerate(x) if v is not None]
    if not known:
        return None
    present = table.column_names[1:]
    ends = {"low", "high", *(f"{n} {end}" for n in present for end in ("low", "high"))}
    names = [n for n in present if n not in ends]
    lines = tuple((n, tuple(_floats(table.column(n))[i] for i in known)) for n in names)

    def between(before: str) -> Ends:
        if not {f"{before}low", f"{before}high"} <= set(present):
            return ()
        low, high = (_floats(table.column(f"{before}{end}")) for end in ("low", "high"))
        return tuple((low[i], high[i]) for i in known)

    own = tuple((n, between(f"{n} ")) for n in names if between(f"{n} "))
    return Curve(title, table.column_names[0], tuple(x[i] or 0.0 for i in known), lines, between(""), own)


def _floats(column: pa.ChunkedArray) -> list[float | None]:
    return [None if v is None or not math.isfinite(v) else float(v) for v in column.to_pylist()]


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return words.number(value)
    return words.shorten(str(value), 200)


def serious(sets: Sequence[FindingSet]) -> tuple[str, ...]:
    """What a reader must know before believing the numbers."""
    return tuple(f"{s.name}: {e.title}. {e.text}" for s in sets for e in s.findings if e.serious)
