"""Histograms of scores and counts of verdicts, read once, column by column, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import role_of
from curate.counting import counted
from curate.report.bins import Spread, choose_edges, count_into
from curate.report.decision import Decision
from curate.report.model import Flag, Histogram, Reason
from curate.store import StoreView

NOT_ASKED = "not asked"
"""The reason column of a row that a scorer was never shown, because it had been dropped before. Not a failure."""

Floats = npt.NDArray[np.float64]


def quote(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def is_number(type_: pa.DataType) -> bool:
    """Whether a histogram of it makes sense."""
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def score_columns(decision: Decision) -> list[str]:
    """Numeric columns worth a histogram: those with a threshold first, then every score, in the view's order."""
    numeric = [f for f in decision.view.schema if is_number(f.type) and not f.name.startswith("_")]
    names = {f.name for f in numeric}
    cut = [name for name in decision.thresholds if name in names]
    return list(dict.fromkeys([*cut, *(f.name for f in numeric if role_of(f) == "score")]))


def flag_columns(view: StoreView) -> list[str]:
    """Verdict columns: booleans that a scorer gave."""
    return [f.name for f in view.schema if pa.types.is_boolean(f.type) and role_of(f) == "flag"]


def reason_columns(decision: Decision) -> dict[str, str]:
    """Column set name -> its reason column, for those that have one."""
    sets = decision.snapshot.sets
    return {name: f"{name}_reason" for name in sets if f"{name}_reason" in sets[name].schema().names}


def measure(view: StoreView, columns: Sequence[str]) -> dict[str, Spread]:
    """Range, quantiles and null counts of numeric columns, in one pass."""
    if not columns:
        return {}
    parts = []
    for i, name in enumerate(columns):
        c = f"cast({quote(name)} as double)"
        only = f"filter (where isfinite({c}))"
        parts.append(
            f"count(*) {only} as n{i}, min({c}) {only} as a{i}, max({c}) {only} as b{i}, "
            f"quantile_disc({c}, [0.001, 0.5, 0.999]) {only} as q{i}"
        )
    found = view.sql(f"select {', '.join(parts)} from view", list(columns)).to_pylist()[0]
    spreads = {}
    for i, name in enumerate(columns):
        n, q = found[f"n{i}"], found[f"q{i}"]
        if n:
            whole = bool(pa.types.is_integer(view.schema.field(name).type))
            spreads[name] = Spread(n, len(view) - n, found[f"a{i}"], q[0], q[1], q[2], found[f"b{i}"], whole)
        else:
            spreads[name] = Spread(0, len(view), 0.0, 0.0, 0.0, 0.0, 0.0)
    return spreads


def collect_histograms(decision: Decision, columns: Sequence[str]) -> tuple[Histogram, ...]:
    """A histogram of each column, kept and dropped apart, with its thresholds and why values are missing."""
    view = decision.view
    spreads = measure(view, columns)
    drawn = {name: spread for name, spread in spreads.items() if spread.values}
    edges = {
        name: choose_edges(spread, [t.value for t in decision.thresholds.get(name, ())])
        for name, spread in drawn.items()
    }
    counts = {name: np.zeros((3, len(edges[name]) - 1), dtype=np.int64) for name in drawn}
    outside = {name: [0, 0] for name in drawn}
    start = 0
    for batch in view.batches(list(drawn), rows=262_144) if drawn else ():
        verdict = decision.verdict[start : start + batch.num_rows]
        groups = (
            verdict == 0,
            verdict == decision.unselected,
            (verdict > 0) & (verdict != decision.unselected),
        )
        start += batch.num_rows
        for name in drawn:
            values = as_floats(batch.column(name))
            for i, group in enumerate(groups):
                counts[name][i] += count_into(values[group], edges[name])
            finite = values[np.isfinite(values)]
            outside[name][0] += int(np.count_nonzero(finite < edges[name][0]))
            outside[name][1] += int(np.count_nonzero(finite > edges[name][-1]))
    return tuple(
        Histogram(
            column=name,
            edges=tuple(edges[name].tolist()) if name in drawn else (0.0, 1.0),
            kept=tuple(counts[name][0].tolist()) if name in drawn else (0,),
            passed=tuple(counts[name][1].tolist()) if name in drawn and decision.chosen else (),
            dropped=tuple(counts[name][2].tolist()) if name in drawn else (0,),
            nulls=spread.nulls,
            why=count_missing(decision, name),
            below=outside[name][0] if name in drawn else 0,
            above=outside[name][1] if name in drawn else 0,
            thresholds=decision.thresholds.get(name, ()),
            decided=decision.decided,
            source=_source(decision, name),
            median=spread.median if spread.values else None,
        )
        for name, spread in spreads.items()
    )


def as_floats(column: pa.Array) -> Floats:
    """Float64 values; null is NaN."""
    if pa.types.is_decimal(column.type) or column.null_count or not pa.types.is_floating(column.type):
        column = pc.fill_null(column.cast(pa.float64(), safe=False), float("nan"))
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _source(decision: Decision, column: str) -> str:
    home = decision.snapshot.column_home.get(column)
    return home.scorer if home else ""


def count_missing(decision: Decision, column: str, most: int = 4) -> tuple[Reason, ...]:
    """Why values of a scorer's column are missing, most frequent first; the last counts the rows of all other reasons."""
    home = decision.snapshot.column_home.get(column)
    name = f"{home.name}_reason" if home else ""
    if not home or name not in home.schema().names:
        return ()
    query = (
        f"select {quote(name)} as why, count(*) as n, count(*) over () as kinds, sum(count(*)) over () as total "
        f"from view where {quote(name)} is not null group by 1 order by 2 desc, 1 limit {most}"
    )
    found = decision.view.sql(query, [name]).to_pylist()
    told = [Reason(explain_missing(row["why"]), row["n"]) for row in found]
    if found and found[0]["kinds"] > most:
        others = counted(found[0]["kinds"] - most, "other reason")
        told.append(Reason(others, int(found[0]["total"]) - sum(reason.count for reason in told)))
    return tuple(told)


def explain_missing(reason: str) -> str:
    """A reason as a reader understands it; digits in long reasons stay, they are the point."""
    return "not scored: dropped before" if reason == NOT_ASKED else re.sub(r"\s+", " ", reason)


def collect_flags(decision: Decision) -> tuple[Flag, ...]:
    """How often each verdict holds."""
    names = flag_columns(decision.view)
    if not names:
        return ()
    parts = [
        f"count(*) filter (where {quote(c)}) as t{i}, count(*) filter (where not {quote(c)}) as f{i}"
        for i, c in enumerate(names)
    ]
    found = decision.view.sql(f"select {', '.join(parts)} from view", names).to_pylist()[0]
    total = len(decision.view)
    return tuple(
        Flag(c, found[f"t{i}"], found[f"f{i}"], total - found[f"t{i}"] - found[f"f{i}"], _source(decision, c))
        for i, c in enumerate(names)
    )
