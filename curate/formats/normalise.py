"""Who an item is: the hash of its content, and an id where it has none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.formats.arrays import plain
from curate.formats.hashing import hash_rows, mix, sum_columns
from curate.formats.identity import DerivedIds, DuplicateIds
from curate.kinds import Kind

__all__ = ["DerivedIds", "DuplicateIds", "finish"]

_FACTS = ("sha256", "bytes", "width", "height", "seconds", "rate", "channels", "data")


def finish(table: pa.Table, kind: Kind, derived: DerivedIds | None = None) -> pa.Table:
    """Add `_hash` (uint64: the row's content) and fill in missing ids from the 128-bit hash of the kind's columns.

    A medium counts by `<column>_sha256` where that is known and by its address where not, so that moving a file changes
    neither. The hash depends on values only: not on the library that made the column, its width (int32 or int64), the
    order of columns, or whether a column without values is there. `derived` carries the ids given so far from batch to
    batch: the second row of equal content gets `~2`.
    """
    content = _content_columns(table, kind)
    wide = hash_rows(content, len(table))
    own = [
        (name, table.column(name))
        for name in table.column_names
        if not name.startswith("_") and name != "id" and name not in kind.content and not _is_fact(name, kind)
    ]
    mixed = wide[:, 0] ^ sum_columns(own, len(table))
    table = _put(table, "_hash", pa.array(mix(mixed), pa.uint64()))
    ids = plain(table.column("id"))
    if not ids.null_count:
        return table
    where = np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))
    made = (derived or DerivedIds()).give(wide[where])
    filled = pc.replace_with_mask(ids, pc.is_null(ids), made)
    return _put(table, "id", filled)


def _put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.append_column(name, values) if index < 0 else table.set_column(index, name, values)


def _is_fact(name: str, kind: Kind) -> bool:
    return any(name == f"{column}_{fact}" for column in kind.media for fact in _FACTS)


def _content_columns(table: pa.Table, kind: Kind) -> list[tuple[str, pa.Array]]:
    """(tag, values) of the kind's columns: media by digest, else by bytes, else by address."""
    found = []
    for name in kind.content:
        values = [
            (f"{name}_{how}" if how else name, plain(table.column(f"{name}_{how}" if how else name)))
            for how in (("sha256", "data", "") if name in kind.media else ("",))
            if (f"{name}_{how}" if how else name) in table.column_names
        ]
        known: pa.Array | None = None
        for tag, column in values:
            free = column if known is None else pc.if_else(known, pa.scalar(None, column.type), column)
            found.append((tag, free))
            known = pc.is_valid(column) if known is None else pc.or_(known, pc.is_valid(column))
    return found
