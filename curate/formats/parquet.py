"""Parquet: one file or many, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.formats.arrays import cast_column, plain, plain_type, unify_types
from curate.formats.locate import file_system, fingerprint_files, folder_of, is_url
from curate.formats.rows import Chunk, Hints, lost_file

__all__ = ["ParquetReader"]

_BATCH_BYTES = 128 << 20


class ParquetReader:
    """Rows of Parquet files, in the order given. Columns that differ in type between files get one that holds both.

    A file that cannot be read is listed as one rejection; if there is no other, it raises InputError.
    """

    implied: Mapping[str, str] = {}

    def __init__(self, files: Sequence[str]) -> None:
        self.files = list(files)

    @cached_property
    def _footers(self) -> dict[str, pa.Schema | str]:
        """Each file's schema, or what is wrong with it."""
        found: dict[str, pa.Schema | str] = {}
        for file in self.files:
            try:
                with _open(file) as parquet:
                    found[file] = parquet.schema_arrow
            except (pa.ArrowException, OSError) as error:
                found[file] = f"{type(error).__name__}: {error}"
        if all(isinstance(schema, str) for schema in found.values()):
            file, problem = next(iter(found.items()))
            raise InputError(f"{file} cannot be read as Parquet: {problem}")
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of all files, in order of first appearance."""
        types: dict[str, pa.DataType] = {}
        for schema in self._footers.values():
            for field in schema if isinstance(schema, pa.Schema) else ():
                known = types.get(field.name, pa.null())
                types[field.name] = unify_types(known, plain_type(field.type))
        return pa.schema(list(types.items()))

    @property
    def names(self) -> list[str]:
        """Columns of all files."""
        return list(self.schema.names)

    def describe(self) -> str:
        """One line for logs."""
        return (
            f"{self.files[0]}"
            if len(self.files) == 1
            else f"{len(self.files)} Parquet files, {self.files[0]} ..."
        )

    def fingerprint(self) -> str | None:
        """Changes when a file does."""
        return fingerprint_files(self.files)

    def chunks(self, rows: int, hints: Hints) -> Iterator[Chunk]:
        """Batches of at most `rows` rows and roughly 128 MB."""
        for file, schema in self._footers.items():
            if isinstance(schema, str):
                yield lost_file(file, None, f"cannot be read as Parquet: {schema}", self.schema)
                continue
            at = 0
            try:
                with _open(file) as parquet:
                    facts = parquet.metadata
                    width = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
                    size = max(1, min(rows, _BATCH_BYTES * max(facts.num_rows, 1) // max(width, 1)))
                    for batch in parquet.iter_batches(batch_size=size, use_threads=False):
                        numbers = np.arange(at, at + len(batch), dtype=np.int64)
                        at += len(batch)
                        yield Chunk(self._fit(batch), numbers, file, folder_of(file))
            except (pa.ArrowException, OSError) as error:
                reason = f"rows from {at} on cannot be read: {type(error).__name__}: {error}"
                yield lost_file(file, at, reason, self.schema)

    def _fit(self, batch: pa.RecordBatch) -> pa.Table:
        columns = {}
        for field in self.schema:
            index = batch.schema.get_field_index(field.name)
            if index < 0:
                columns[field.name] = pa.nulls(len(batch), field.type)
            else:
                columns[field.name] = cast_column(plain(batch.column(index)), field.type)
        return pa.table(columns)


def _open(file: str) -> Any:
    # Neither page index nor buffers of the whole file: a column chunk at a time.
    if not is_url(file):
        return pq.ParquetFile(file, memory_map=False, pre_buffer=False, page_checksum_verification=True)
    files, path = file_system(file)
    opened = pq.ParquetFile(files.open(path, "rb"), pre_buffer=True, page_checksum_verification=True)
    opened.file_system = files  # an archive closes when nobody holds it
    return opened
