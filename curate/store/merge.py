"""Several parts written as one: rows in order, those of deleted items emptied, and where it all came from.

A deleted item keeps its row, with null in every column, so that every seq stays what it was: selections, tombstones
and what other processes are working out stay right. Its content is gone with the files that held it. Every source is
hashed before it is read: damage must not get a valid hash of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.contracts import digest
from curate.errors import CorruptionError
from curate.store import streams
from curate.store.parts import NewPart, Part
from curate.store.rowset import int64_array
from curate.store.vectors import map_column
from curate.store.writer import PartWriter

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Adjacent item parts to be written as one. `slots`: for each column or vector file of them, one part per item
    part. `dead`: for each item part, the rows (ascending, from 0) whose items are deleted."""

    items: tuple[Part, ...]
    slots: tuple[tuple[Part, ...], ...]
    dead: tuple[Rows, ...]

    @property
    def sources(self) -> list[Part]:
        """Every part that the result replaces, columns before the items they belong to."""
        return [*(p for slot in self.slots for p in slot), *self.items]


def merge_group(writer: PartWriter, group: Group) -> list[NewPart]:
    """The item part, then the parts aligned to it, durable on disk. Raises CorruptionError if a source is damaged."""
    for part in group.sources:
        check_source(writer.store_path, part)
    erased = sum(map(len, group.dead))
    seen: set[str] = set()  # packs that items still point into
    tables = _rows(writer.store_path, group.items, group.dead)
    stats = merged_stats(group.items) | ({"erased": erased} if erased else {})
    named = stats.get("packs", [])
    place: dict[str, str | None] = {"kind": group.items[0].kind}
    # of deleted items alone nothing is left, and parts of as many would be one and the same
    mark = digest("of", stats["of"]) if erased and erased == sum(p.rows for p in group.items) else None
    made = streams.write_rows(writer, "items", _watched(tables, named, seen), stats, place, mark)
    if named:  # `stats` are not part of a part's identity: they may be completed once the rows have been seen
        kept = {**stats, "packs": [name for name in named if name in seen]}
        made = replace(made, stats=kept if kept["packs"] else without(kept, "packs"))
    return [made, *(_merge_slot(writer, slot, group.dead, made.part_id) for slot in group.slots)]


def merge_plain(writer: PartWriter, parts: Sequence[Part]) -> NewPart:
    """Parts of a table that is aligned to nothing (`rejected`, `answers`), as one."""
    for part in parts:
        check_source(writer.store_path, part)
    none = np.empty(0, np.int64)
    tables = _rows(writer.store_path, parts, [none] * len(parts))
    return streams.write_rows(writer, parts[0].table, tables, merged_stats(parts), {})


def merged_stats(parts: Sequence[Part]) -> dict[str, Any]:
    """Where a merged part came from, how many bytes that was, and what the `stats` of its sources come to."""
    stats: dict[str, Any] = {
        "of": [i for p in parts for i in p.originals],
        "was": sum(map(size_before, parts)),
    }
    packs = sorted({name for p in parts for name in p.stats.get("packs", ())})
    if packs:
        stats["packs"] = packs
    if parts[0].column_set is not None:  # how old the answers are: gc asks whether they were ever bound
        stats["since"] = min(int(p.stats.get("since", p.added)) for p in parts)
    if all("asked" in p.stats for p in parts):
        stats["asked"] = sum(int(p.stats["asked"]) for p in parts)
    return stats


def size_before(part: Part) -> int:
    """Bytes of the parts that this one stands for: how parts are grouped must not depend on what was merged before."""
    return int(part.stats.get("was", part.bytes))


def without(stats: Mapping[Any, Any], key: Any) -> dict[Any, Any]:
    """A copy that lacks one key."""
    return {k: v for k, v in stats.items() if k != key}


def check_source(root: Path, part: Part) -> None:
    """Raise CorruptionError unless a part's file holds what was committed."""
    path = root / part.path
    if path.stat().st_size == part.bytes:
        found = blake3.blake3(max_threads=blake3.blake3.AUTO)
        if (found.update_mmap(path) if part.bytes else found).hexdigest() == part.blake3:
            return
    raise CorruptionError(
        f"{part.path} is not what was committed, so nothing was merged. Run `curate verify` to list what is damaged"
    )


def _rows(root: Path, parts: Sequence[Part], dead: Sequence[Rows]) -> Iterator[pa.Table]:
    emptied = any(len(rows) for rows in dead)
    for part, gone in zip(parts, dead, strict=True):
        with pa.OSFile(str(root / part.path)) as source:
            table = pq.read_table(source)
        if streams.MARK.encode() in (table.schema.metadata or {}):
            table = table.replace_schema_metadata(without(table.schema.metadata, streams.MARK.encode()))
        if emptied:
            table = table.cast(
                pa.schema([f.with_nullable(True) for f in table.schema], table.schema.metadata)
            )
        yield emptied_rows(table, gone) if len(gone) else table


def emptied_rows(table: pa.Table, gone: Rows) -> pa.Table:
    """The table with null in every column of the rows `gone`."""
    mask = np.zeros(table.num_rows, np.bool_)
    mask[gone] = True
    index = pc.if_else(pa.array(mask), pa.scalar(None, pa.int64()), int64_array(np.arange(table.num_rows)))
    return table.take(index)


def _watched(tables: Iterator[pa.Table], packs: Sequence[str], seen: set[str]) -> Iterator[pa.Table]:
    for table in tables:
        for name in (n for n in packs if n not in seen):
            if any(_mentions(column, f"store:blobs/{name}.pack") for column in table.columns):
                seen.add(name)
        yield table


def _mentions(column: pa.ChunkedArray, text: str) -> bool:
    type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(type_) or pa.types.is_large_string(type_)):
        return False
    return bool(pc.any(pc.starts_with(column.cast(type_), text)).as_py())


def _merge_slot(writer: PartWriter, slot: Sequence[Part], dead: Sequence[Rows], base: str) -> NewPart:
    place = {"base": base, "column_set": slot[0].column_set}
    if slot[0].table == "column":
        tables = _rows(writer.store_path, slot, dead)
        return streams.write_rows(writer, "column", tables, merged_stats(slot), place)
    (field,) = slot[0].arrow_schema()
    vectors = _vectors(writer.store_path, slot, dead, field)
    return streams.write_vectors(writer, vectors, field, merged_stats(slot), place)


def _vectors(
    root: Path, slot: Sequence[Part], dead: Sequence[Rows], field: pa.Field
) -> pa.FixedSizeListArray:
    """Vectors of all parts as one array; rows without a vector, and emptied ones, are null and hold zeros."""
    total, dim = sum(p.rows for p in slot), field.type.list_size
    valid, at = np.zeros(total, np.bool_), 0
    dense: npt.NDArray[Any] | None = None
    for part, gone in zip(slot, dead, strict=True):
        array = map_column(root / part.path, field.name)
        values = array.values.to_numpy(zero_copy_only=True).reshape(part.rows, dim)
        if dense is None:
            dense = np.zeros((total, dim), values.dtype)
        present = np.asarray(pc.is_valid(array))
        present[gone] = False
        block = slice(at, at + part.rows)
        valid[block] = present
        np.copyto(dense[block], values, where=present[:, None])
        at += part.rows
    assert dense is not None
    flat = pa.array(dense.reshape(-1), type=field.type.value_type)
    mask = None if valid.all() else pa.array(~valid)
    return pa.FixedSizeListArray.from_arrays(flat, type=field.type, mask=mask)
