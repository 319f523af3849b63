"""Exact deduplication with a survivor that does not depend on chance."""

from __future__ import annotations

from collections.abc import Sequence

from curate.errors import InputError
from curate.store.query import Query
from curate.store.relation import SEQ
from curate.store.rowset import RowSet, int64_values

_DIRECTIONS = {"asc": "ASC", "desc": "DESC"}


def survivors(query: Query, columns: Sequence[str], prefer: str | None) -> RowSet:
    """For each different value of `columns`, the row with the lowest id, or the best one by `prefer`."""
    if not columns:
        raise InputError("distinct needs the name of at least one column")
    names = [*columns, "id", *([prefer.split()[0]] if prefer else [])]
    keys = ", ".join(f"c{i}" for i in range(len(columns)))
    found = RowSet.spanning(query.parts, full=False)
    with query.open(names) as (cursor, sql):
        by_id = f"c{len(columns)}"
        text = f"SELECT arg_min({SEQ}, {by_id}) AS {SEQ} FROM ({sql}) GROUP BY {keys}"
        if prefer:
            order = f"{_order(prefer, f'c{len(columns) + 1}')}, {by_id}"
            ranked = f"row_number() OVER (PARTITION BY {keys} ORDER BY {order})"
            text = f"SELECT {SEQ} FROM ({sql}) QUALIFY {ranked} = 1"
        for batch in cursor.sql(text).to_arrow_reader(1 << 17):
            found.mark(int64_values(batch.column(0)))
    return found


def direction(prefer: str) -> str:
    """ASC or DESC, from "column", "column asc" or "column desc"; higher is better unless it is said otherwise."""
    words = prefer.split()
    if len(words) == 1:
        return "DESC"
    if len(words) == 2 and words[1].lower() in _DIRECTIONS:
        return _DIRECTIONS[words[1].lower()]
    raise InputError(f"prefer={prefer!r} is not a column, optionally followed by 'asc' or 'desc'")


def _order(prefer: str, column: str) -> str:
    # NaN is the greatest number to DuckDB and would win where higher is better: it comes last, with the nulls.
    missing = f"({column} IS NULL OR CAST({column} AS VARCHAR) = 'nan')"
    return f"{missing}, {column} {direction(prefer)}"
