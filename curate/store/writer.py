"""`PartWriter`: makes durable part files, in any process, without the catalog.

A file is written to tmp/, synced, opened again and checked, then renamed into place. Only a commit makes it part of
the store; it syncs the folders first, once for all parts, and so makes their names durable. A file's name comes from
its content and place: the same work done twice, or by two processes, gives the same file.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.contracts import digest, role_of
from curate.counting import counted
from curate.errors import CorruptionError, SchemaError
from curate.store import encoding, filesystem
from curate.store.parts import ColumnSet, NewPart, Part
from curate.store.rowset import distinct

SELECTION = pa.schema(
    [
        ("seq", pa.int64()),
        ("rank", pa.int32()),
        ("weight", pa.float32()),
        ("gain", pa.float32()),
        ("reason", pa.string()),
    ]
)
_numbers = itertools.count()


def scratch_name() -> str:
    """A file name for tmp/ that no other thread or process uses at the same time."""
    return f"{os.getpid()}-{threading.get_ident()}-{next(_numbers)}"


class PartWriter:
    """Writes parts for the store at `store_path`; `writer_id` names the folder under tmp/ (see `PartStore.writer`)."""

    def __init__(self, store_path: str | Path, writer_id: str) -> None:
        self.store_path = Path(store_path)
        self.writer_id = writer_id
        self.folder = self.store_path / "tmp" / writer_id

    def items(self, table: pa.Table, kind: str, stats: Mapping[str, Any] | None = None) -> NewPart:
        """Items of one kind. Raises SchemaError unless `id` is a string column, never null, never twice."""
        encoding.require_columns(table, ["id"], "a table of items")
        ids = table["id"]
        if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)):
            raise SchemaError(f"the column 'id' is {ids.type}: ids are strings")
        if ids.null_count or pc.count_distinct(ids).as_py() != len(ids):
            raise SchemaError(f"'id' must be there and different in every row: {_id_trouble(ids)}")
        return self._parquet("items", table, stats, kind=kind)

    def columns(
        self, table: pa.Table, base: Part, column_set: ColumnSet, stats: Mapping[str, Any] | None = None
    ) -> list[NewPart]:
        """Columns for the items of `base`, row i for row i: one `column` part for scalars, a `vector` part per
        column of vectors (by its role: a detail may be a list of any length). `stats` go with the first part. Raises SchemaError if rows or columns do not fit.
        """
        if table.num_rows != base.rows:
            raise SchemaError(
                f"{counted(table.num_rows, 'row')} for item part {base.part_id} of {counted(base.rows, 'row')}: "
                "columns are aligned row by row"
            )
        if not table.num_columns:
            raise SchemaError(f"no columns to store for {column_set.name!r}")
        place = {"base": base.part_id, "column_set": column_set.digest}
        details = {f.name for f in column_set.schema() if role_of(f) != "vector"}
        vectors = [f.name for f in table.schema if encoding.is_vector(f.type) and f.name not in details]
        parts, scalars = [], table.drop_columns(vectors) if vectors else table
        if scalars.num_columns:
            parts.append(self._parquet("column", scalars, stats, **place))
        for name in vectors:
            if parts and encoding.tells_no_length(table[name]):
                continue  # nothing was answered in this part: the reasons beside it say why, and no file is needed
            parts.append(self._vector(table, name, None if parts else stats, place))
        return parts

    def selection(self, table: pa.Table, digest: str, stats: Mapping[str, Any] | None = None) -> NewPart:
        """Rows of a selection: seq int64, rank int32, weight float32, gain float32, reason string."""
        encoding.require_columns(table, SELECTION.names, "a selection")
        return self._parquet("selection", table.select(SELECTION.names).cast(SELECTION), stats, owner=digest)

    def deleted(self, seqs: npt.NDArray[np.int64], stats: Mapping[str, Any] | None = None) -> NewPart:
        """Tombstones: the items with these seqs are gone. Stored ascending, each once."""
        unique = distinct(seqs)
        if not len(unique):
            raise SchemaError("no seqs to delete: a part of tombstones needs at least one")
        span = {"min": int(unique[0]), "max": int(unique[-1])}
        return self._parquet("deleted", pa.table({"seq": unique}), {**(stats or {}), **span})

    def rejected(self, table: pa.Table, stats: Mapping[str, Any] | None = None) -> NewPart:
        """Rows that an import refused, with the reason."""
        return self._parquet("rejected", table, stats)

    def answers(self, table: pa.Table, stats: Mapping[str, Any] | None = None) -> NewPart:
        """Answers of annotators; parts of them only ever add up."""
        return self._parquet("answers", table, stats)

    def _parquet(
        self, tbl: str, table: pa.Table, stats: Mapping[str, Any] | None, **place: str | None
    ) -> NewPart:
        return self._publish(tbl, encoding.parquet_bytes(table), table.schema, table.num_rows, stats, place)

    def _vector(
        self, table: pa.Table, name: str, stats: Mapping[str, Any] | None, place: Mapping[str, str | None]
    ) -> NewPart:
        array = encoding.fixed_vectors(table[name], name)
        field = table.schema.field(name).with_type(array.type)
        return self._publish(
            "vector", encoding.arrow_bytes(array, field), pa.schema([field]), len(array), stats, place
        )

    def _publish(
        self,
        tbl: str,
        data: pa.Buffer,
        schema: pa.Schema,
        rows: int,
        stats: Mapping[str, Any] | None,
        place: Mapping[str, str | None],
    ) -> NewPart:
        scratch = self.scratch(tbl)
        try:
            filesystem.write_file(scratch, data, "part")
        except OSError as error:
            raise filesystem.write_failure(scratch, error) from error
        content = blake3.blake3(data).hexdigest()
        return self.settle(scratch, tbl, schema, rows, (content, data.size), stats, place)

    def scratch(self, tbl: str) -> Path:
        """A new name for an unfinished file of the table `tbl`. Raises StoreError if tmp/ cannot be made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise filesystem.write_failure(self.folder, error) from error
        return self.folder / f"{scratch_name()}.{'arrow' if tbl == 'vector' else 'parquet'}"

    def settle(
        self,
        scratch: Path,
        tbl: str,
        schema: pa.Schema,
        rows: int,
        content: tuple[str, int],
        stats: Mapping[str, Any] | None,
        place: Mapping[str, str | None],
    ) -> NewPart:
        """Check a synced file in tmp/ and give it the name that its content (hash, bytes) and place make."""
        blake, size = content
        part_id = digest(tbl, dict(place), blake)
        path = f"parts/{tbl}/{part_id}{scratch.suffix}"
        try:
            check_file(scratch, rows, size)
            filesystem.move(scratch, self.store_path / path, "part")
        except OSError as error:
            raise filesystem.write_failure(self.store_path / path, error) from error
        arrow_schema = schema.serialize().to_pybytes()
        return NewPart(part_id, tbl, path, rows, size, blake, arrow_schema, stats=dict(stats or {}), **place)


def check_file(path: Path, rows: int, size: int) -> None:
    """Open a part and compare size, footer and row count. Raises CorruptionError. The content hash is `verify`'s."""
    found = path.stat().st_size
    if found != size:
        raise CorruptionError(
            f"{path} holds {counted(found, 'byte')}, {size} were written: the disk lost some; run again"
        )
    try:
        there = count_rows(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptionError(
            f"{path} cannot be read back ({error}): the disk lost some of it; run again"
        ) from error
    if there != rows:
        raise CorruptionError(
            f"{path} holds {counted(there, 'row')}, {rows} were written: the disk lost some; run again"
        )


def count_rows(path: Path) -> int:
    """Rows of a part by its footer (Parquet) or its only batch (Arrow)."""
    if path.suffix == ".arrow":
        with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
            return sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
    with pa.OSFile(str(path)) as source:
        return int(pq.read_metadata(source).num_rows)


def read_tables(root: Path, parts: Iterable[NewPart], empty: pa.Schema) -> pa.Table:
    """All rows of some small Parquet parts, in order; a table of the schema `empty` if there are none."""
    tables = []
    for part in parts:
        with pa.OSFile(str(root / part.path)) as source:
            tables.append(pq.read_table(source))
    return pa.concat_tables(tables, promote_options="permissive") if tables else empty.empty_table()


def _id_trouble(ids: pa.ChunkedArray) -> str:
    if ids.null_count:
        return f"{ids.null_count} are null"
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    shown = ", ".join(repr(v) for v in twice.slice(0, 3).to_pylist())
    return f"{shown} {'is' if len(twice) == 1 else 'are'} there more than once"
