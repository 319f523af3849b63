"""Items whose content is the same, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import ROW, Scorer, View, detail, flag
from curate.errors import SchemaError
from curate.kinds import KINDS
from curate.scorers.duplicates.verdicts import answer, find, reasons, rows_of

__all__ = ["ExactDuplicate", "exact_duplicates"]

Hashes = npt.NDArray[np.uint64]

_PIECE = 1 << 18
"""Rows, about, whose contents are hashed at once."""
_RANGE = 22
"""Two to this is how many rows are compared at once."""
_BITS = 22
_LAST = (1 << 64) - 1
_FOUND = pa.schema([(ROW, pa.int64()), ("first", pa.int64()), ("first_id", pa.string())])
_HASH = "_sha256"
_MEDIA = frozenset(media for kind in KINDS.values() for media in kind.media)


def exact_duplicates(
    table: pa.Table, columns: Sequence[str], prefer: str | None = None
) -> npt.NDArray[np.int64]:
    """Which row each row repeats, all `columns` compared exactly; null equals null.

    `table` has `id` (string) and the columns. The representative of equal rows is the one of the lowest id, or, with
    `prefer`, of the highest value there (nulls last), ties by id. Rows in any order give the same answer.

    Returns (n,) int64: the representative's row (a row's own if it is unique or the representative), -1 where all
    columns are null. Raises SchemaError if a column is missing.
    """
    missing = [
        name for name in ("id", *columns, *([prefer] if prefer else [])) if name not in table.column_names
    ]
    if missing:
        raise SchemaError(f"no column {missing[0]!r} in the table. It has: {', '.join(table.column_names)}")
    rows = np.arange(len(table), dtype=np.int64)
    numbered = table.append_column(ROW, pa.array(rows))
    repeats = _query(numbered, _repeats_query(columns, prefer, _crowded(columns, prefer)))
    empty = _query(numbered, f"select _row from view where {_all_null(columns)}")
    rows[repeats.column("_row").to_numpy()] = repeats.column("first").to_numpy()
    rows[empty.column("_row").to_numpy()] = -1
    return rows


@dataclass(frozen=True)
class ExactDuplicate:
    """Flags items whose content another item already has.

    Compared exactly: the SHA-256 of the media file and the text itself, never a short hash of it. One item of each
    set of equals, the representative, stays unflagged: that of the lowest id, or, with `prefer`, of the highest value
    in that column, ties by id.

    `columns`  what makes two items equal, all of them together; null equals null. By default the content of the
               kind: `image_sha256`/`audio_sha256` and the text columns, not the label. Where a file was not hashed at
               import its address stands for it.
    `prefer`   a numeric column; higher is better.
    """

    columns: tuple[str, ...] = ()
    prefer: str | None = None

    name: ClassVar[str] = "exact-duplicate"
    version: ClassVar[int] = 1

    def resolve(self, columns: Sequence[str], kind: str) -> ExactDuplicate:
        """A copy with the default `columns` written out for a kind of item and the columns there are.

        Raises SchemaError if none of the kind's content is there.
        """
        if self.columns or kind not in KINDS:
            return self
        found = [media + _HASH if media + _HASH in columns else media for media in KINDS[kind].media]
        found = [name for name in (*found, *KINDS[kind].roles.get("text", ())) if name in columns]
        if not found:
            raise SchemaError(
                f"exact-duplicate: none of the content of kind {kind!r} is there. Name what makes two items equal: "
                f"columns=[...]. Columns: {', '.join(columns)}"
            )
        return replace(self, columns=tuple(found))

    @property
    def needs(self) -> tuple[str, ...]:
        prefer = (self.prefer,) if self.prefer else ()
        return tuple(dict.fromkeys((*_with_addresses(self.columns or ("text",)), *prefer)))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            flag("exact_duplicate"),
            detail("exact_duplicate_score", pa.float32()),
            detail("exact_duplicate_of", pa.string()),
        )

    def fit(self, view: View) -> Scorer:
        content = _with_addresses(self.columns or ("text",))
        read = tuple(dict.fromkeys(("id", *content, *((self.prefer,) if self.prefer else ()))))
        with view.resident(partial(_Contents, content, read), _PIECE) as held:
            empty = np.concatenate([np.empty(0, np.int64), *held.ask("empty")])
            ranges = _hash_ranges(len(view))
            crowded = [_repeated(held.ask("hashes", *ends)) for ends in ranges]
            held.tell("keep", np.concatenate([np.empty(0, np.uint64), *crowded]))
            query = _repeats_query(content, self.prefer, "view") + " order by _row"
            tables = [_query(held.ask("kept", *ends), query) for ends in ranges]
        found = pa.concat_tables(tables) if tables else _FOUND.empty_table()
        found = found.sort_by(ROW) if len(ranges) > 1 else found
        first = found.column("first_id").combine_chunks().cast(pa.string())
        return _Fitted(len(view), found.column(ROW).to_numpy(), first, empty, self.gives)


class _Contents:
    """The contents of a piece as 64-bit hashes, in row order, until it is known which of them need to be compared."""

    def __init__(self, content: Sequence[str], read: Sequence[str], piece: View, first: int) -> None:
        nothing = f"({_all_null(content)})::utinyint"
        found = piece.sql(f"select hash({', '.join(_keys(content))}) as h, {nothing} as e from view", content)
        self.piece, self.read, self.first = piece, read, first
        empty = _plain(found.column("e"), np.uint8)
        self.full = np.flatnonzero(empty == 0).astype(np.uint32)
        self.hashed = _plain(found.column("h"), np.uint64)
        if len(self.full) < len(empty):
            self.hashed = self.hashed[self.full]
        self.nothing = np.flatnonzero(empty) + first

    def empty(self) -> npt.NDArray[np.int64]:
        """The rows without content."""
        return self.nothing

    def hashes(self, low: int, high: int) -> Hashes:
        """The hashes in this range, ends included."""
        found: Hashes = self.hashed[self._within(low, high)]
        return found

    def keep(self, crowded: Hashes) -> None:
        """Read the rows with these hashes (ascending); let go of all others."""
        mine = _among(self.hashed, crowded)
        rows, self.hashed = self.full[mine].astype(np.int64), self.hashed[mine]
        self.table = self.piece.take(rows, self.read).append_column(ROW, _arrow(rows + self.first))
        del self.full

    def kept(self, low: int, high: int) -> pa.Table:
        """Of those, the rows with a hash in this range."""
        within = self._within(low, high)
        return self.table if isinstance(within, slice) else self.table.take(_arrow(np.flatnonzero(within)))

    def _within(self, low: int, high: int) -> slice | npt.NDArray[np.bool_]:
        if low == 0 and high == _LAST:
            return slice(None)
        within: npt.NDArray[np.bool_] = (self.hashed >= np.uint64(low)) & (self.hashed <= np.uint64(high))
        return within


def _among(hashes: Hashes, crowded: Hashes) -> npt.NDArray[np.int64]:
    """Which of the hashes are among `crowded` (ascending): a table of first bits leaves few to be looked up, and those in order."""
    bits = np.zeros(1 << _BITS, np.bool_)
    bits[crowded >> np.uint64(64 - _BITS)] = True
    maybe = np.flatnonzero(bits[hashes >> np.uint64(64 - _BITS)])
    maybe = maybe[np.argsort(hashes[maybe])]
    at = np.searchsorted(crowded, hashes[maybe])
    return np.sort(maybe[crowded[np.minimum(at, len(crowded) - 1)] == hashes[maybe]])


# Between Arrow and NumPy by buffers: pyarrow's own ways import pandas where they can, in every worker.


def _plain(column: pa.ChunkedArray, dtype: Any) -> npt.NDArray[Any]:
    size = np.dtype(dtype).itemsize
    parts = [np.frombuffer(one.buffers()[1], dtype, len(one), one.offset * size) for one in column.chunks]
    return np.concatenate([np.empty(0, dtype), *parts])


def _arrow(rows: npt.NDArray[np.int64]) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])


def _hash_ranges(rows: int) -> list[tuple[int, int]]:
    """Ranges of 64-bit hashes, ends included, each of which a few million rows have."""
    count = -(-rows >> _RANGE)  # none for none
    return [((i << 64) // count, ((i + 1 << 64) // count) - 1) for i in range(count)]


def _repeated(pieces: Sequence[Hashes]) -> Hashes:
    """The hashes that are there more than once, ascending."""
    hashes = np.concatenate([np.empty(0, np.uint64), *pieces])
    hashes.sort()
    again = hashes[1:][hashes[1:] == hashes[:-1]]
    new = np.append(True, again[1:] != again[:-1])[: len(again)]  # `np.unique` hashes, and is slower
    once: Hashes = again[new]
    return once


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What `fit` found: the rows that repeat another (ascending) and whom, and the rows without content."""

    size: int
    repeats: npt.NDArray[np.int64]
    first: pa.StringArray
    empty: npt.NDArray[np.int64]
    gives: tuple[pa.Field, ...]

    name: ClassVar[str] = ExactDuplicate.name
    version: ClassVar[int] = ExactDuplicate.version
    processes: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = rows_of(batch)
        at, repeated = find(self.repeats, rows)
        _, empty = find(self.empty, rows)
        columns = [
            pa.array(repeated, mask=empty),
            pa.array(np.where(repeated, np.float32(0), np.float32(1)), mask=empty),
            self.first.take(pa.array(at, mask=~repeated)),
            reasons(empty, "no content to compare"),
        ]
        return answer(self.name, self.gives, columns)


# --- SQL ------------------------------------------------------------------------------------------------------------


def _with_addresses(columns: Sequence[str]) -> tuple[str, ...]:
    """`image_sha256` brings `image` along: the address stands for a file that was not hashed."""
    found: list[str] = []
    for name in columns:
        media = name.removesuffix(_HASH)
        found += [name, media] if name.endswith(_HASH) and media in _MEDIA else [name]
    return tuple(dict.fromkeys(found))


def _keys(content: Sequence[str]) -> list[str]:
    """The SQL expressions that must all agree."""
    keys = []
    for name in content:
        quoted, hashed = _quote(name), _quote(name + _HASH)
        keys.append(f"case when {hashed} is null then {quoted} end" if name + _HASH in content else quoted)
    return keys


def _query(table: pa.Table | Sequence[pa.Table], query: str) -> pa.Table:
    """What DuckDB says of `view`: a table, or several of the same columns one after another."""
    import duckdb

    with duckdb.connect(config={"enable_external_access": False}) as connection:
        connection.register("view", table if isinstance(table, pa.Table) else pa.concat_tables(table))
        return connection.sql(query).to_arrow_table()


def _repeats_query(columns: Sequence[str], prefer: str | None, among: str) -> str:
    """Rows that repeat another: (_row, first: its row, first_id). `among` has every row whose content another has, too."""
    keys = ", ".join(_keys(_with_addresses(columns)))
    best = f"{_quote(prefer)} desc nulls last, " if prefer else ""
    return (
        f"with ranked as (select _row, id, first_value(_row) over best as first, first_value(id) over best as first_id "
        f"from {among} where not ({_all_null(columns)}) window best as (partition by {keys} order by {best}id)) "
        "select _row, first, first_id from ranked where _row <> first"
    )


def _crowded(columns: Sequence[str], prefer: str | None) -> str:
    """The few rows that may have an equal, found by a group-by over 64-bit hashes: only their content is compared, so the
    hash decides nothing, and ids are read for those rows alone."""
    keys = ", ".join(_keys(_with_addresses(columns)))
    names = dict.fromkeys(("id", *_with_addresses(columns), *([prefer] if prefer else [])))
    many = f"select hash({keys}) from view group by 1 having count(*) > 1"
    return f"(select _row, {', '.join(map(_quote, names))} from view where hash({keys}) in ({many}))"


def _all_null(columns: Sequence[str]) -> str:
    return " and ".join(f"{_quote(name)} is null" for name in columns)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
