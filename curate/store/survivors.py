"""Exact deduplication with a survivor that does not depend on chance, in memory that does not grow with the table.

Hashes go first: most rows share theirs with no other, and so are like no other. Of the rest the values are compared, in
bins if they are many. To group all rows in one query is slower and holds all that DuckDB may have from 2M rows on, save
where there are few values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.store.bins import BIN_ROWS, Bins
from curate.store.engine import give_back_memory
from curate.store.query import Query
from curate.store.relation import SEQ
from curate.store.rowset import RowSet, Seqs, distinct, int64_values

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_BATCH = 1 << 17
_LONG = 1 << 13
"""Rows read at once where values come along, which may be long texts."""
_PROBE = 1 << 15
"""Rows by which it is seen whether values repeat."""
_DIRECTIONS = {"asc": "ASC", "desc": "DESC"}


def survivors(query: Query, columns: Sequence[str], prefer: str | None) -> RowSet:
    """For each different value of `columns`, the row with the lowest id, or the best one by `prefer`."""
    if not columns:
        raise InputError("distinct needs the name of at least one column")
    best = _best(len(columns), prefer)
    names = [*columns, "id", *([prefer.split()[0]] if prefer else [])]
    found, rest, rows, groups = RowSet.spanning(query.parts, full=False), query, 0, 0
    if prefer or not _repeats(query, columns):
        found, alike, groups = _by_hash(query, columns)
        rest, rows = replace(query, rows=alike, predicates=()), len(alike)
    if (rows if prefer else groups) <= BIN_ROWS:  # what DuckDB has to hold of them is little
        with rest.open(names) as (cursor, sql):
            _mark(found, cursor, best.format(f"({sql})"))
    else:
        with Bins(query.engine.root / "tmp", rows) as bins:
            _deal(rest, names, len(columns), bins)
            for _, reader in bins:
                with query.engine.cursor() as cursor:
                    cursor.register("dealt", reader)
                    _mark(found, cursor, best.format("dealt"))
    give_back_memory()
    return found


def direction(prefer: str) -> str:
    """ASC or DESC, from "column", "column asc" or "column desc"; higher is better unless it is said otherwise."""
    words = prefer.split()
    if len(words) == 1:
        return "DESC"
    if len(words) == 2 and words[1].lower() in _DIRECTIONS:
        return _DIRECTIONS[words[1].lower()]
    raise InputError(f"prefer={prefer!r} is not a column, optionally followed by 'asc' or 'desc'")


def _repeats(query: Query, columns: Sequence[str]) -> bool:
    """Whether the first rows have few values: then to group all in one query is quick and takes little memory."""
    with replace(next(query.pieces()), limit=_PROBE).open(columns) as (cursor, sql):
        text = f"SELECT count(*), count(DISTINCT {_hash(len(columns))}) FROM ({sql})"
        rows, values = cursor.execute(text).fetchall()[0]
    return bool(values * 4 <= rows)


def _by_hash(query: Query, columns: Sequence[str]) -> tuple[RowSet, RowSet, int]:
    """Rows whose values have a hash that no other row's have, all others, and how many hashes these have."""
    alone, alike = (RowSet.spanning(query.parts, full=False) for _ in range(2))
    groups = 0
    with Bins(query.engine.root / "tmp", sum(p.rows for p in query.parts)) as bins:
        _deal(query, columns, len(columns), bins, values=False)
        for rows, reader in bins:
            if rows <= bins.usual * 4:
                table = reader.read_all()
                seqs, shared, count = _shared(int64_values(table.column(SEQ)), _hashes(table.column("hash")))
                alone.mark(seqs[~shared])
                alike.mark(seqs[shared])
            else:  # few values, each in many rows
                seen = np.empty(0, np.int64)
                for batch in reader:
                    alike.mark(int64_values(batch.column(SEQ)))
                    seen = distinct(np.append(seen, _hashes(batch.column("hash")).view(np.int64)))
                count = len(seen)
            groups += count
    return alone, alike, groups


def _shared(seqs: Seqs, hashes: npt.NDArray[np.uint64]) -> tuple[Seqs, npt.NDArray[np.bool_], int]:
    """The rows in the order of their hashes, which of them share theirs, and how many hashes are shared."""
    order = np.argsort(hashes)
    hashes = hashes[order]
    again = np.zeros(len(order) + 1, np.bool_)
    np.equal(hashes[1:], hashes[:-1], out=again[1:-1])
    before, after = again[:-1], again[1:]
    return seqs[order], before | after, int(np.count_nonzero(after & ~before))


def _mark(found: RowSet, cursor: DuckDBPyConnection, text: str) -> None:
    for batch in cursor.sql(text).to_arrow_reader(_BATCH):
        found.mark(int64_values(batch.column(0)))


def _deal(query: Query, names: Sequence[str], keys: int, bins: Bins, values: bool = True) -> None:
    """Put each row into the bin of the hash of its first `keys` columns: `seq`, the hash, and its values where asked for."""
    listed = ", ".join(
        [*(f"c{i}" for i in range(len(names) if values else 0)), SEQ, f"{_hash(keys)} AS hash"]
    )
    for piece in query.pieces():
        with piece.open(names) as (cursor, sql):
            reader = cursor.sql(f"SELECT {listed} FROM ({sql})").to_arrow_reader(_LONG if values else _BATCH)
            for batch in reader:
                bins.add(batch, _hashes(batch.column("hash")))
            del reader  # it holds the query, and what that holds of its files


def _hash(keys: int) -> str:
    return f"hash({', '.join(f'c{i}' for i in range(keys))})"


def _hashes(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.uint64]:
    return int64_values(column).view(np.uint64)


def _best(keys: int, prefer: str | None) -> str:
    """SQL for the `seq` of the best of each group of equal rows, among those of a relation to be put in."""
    grouped, by_id = ", ".join(f"c{i}" for i in range(keys)), f"c{keys}"
    if not prefer:
        return f"SELECT arg_min({SEQ}, {by_id}) AS {SEQ} FROM {{}} GROUP BY {grouped}"
    order = f"{_order(prefer, f'c{keys + 1}')}, {by_id}"
    return f"SELECT {SEQ} FROM {{}} QUALIFY row_number() OVER (PARTITION BY {grouped} ORDER BY {order}) = 1"


def _order(prefer: str, column: str) -> str:
    # NaN is the greatest number to DuckDB and would win where higher is better: it comes last, with the nulls.
    missing = f"({column} IS NULL OR CAST({column} AS VARCHAR) IN ('nan', '-nan'))"
    return f"{missing}, {column} {direction(prefer)}"
