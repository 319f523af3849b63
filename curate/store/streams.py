"""Parts that are written piece by piece, so that none has to be held whole: what compaction makes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import blake3
import pyarrow as pa
import pyarrow.parquet as pq

from curate.store import encoding, filesystem
from curate.store.parts import NewPart
from curate.store.writer import PartWriter

MARK = "curate.of"
"""What a mark is called in a file's metadata."""
GROUP_ROWS = 65_536
GROUP_BYTES = 32 << 20
"""A row group is written once it has that many rows, or takes that much memory."""


class HashedFile:
    """What pyarrow writes to: bytes go to the disk and into the hash."""

    closed = False

    def __init__(self, fd: int) -> None:
        self._fd, self._hash, self.size = fd, blake3.blake3(), 0

    def write(self, data: Any) -> int:
        """Write the whole buffer."""
        view = memoryview(data).cast("B")
        filesystem.write_all(self._fd, view, "part")
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The descriptor belongs to `hashed_file`."""

    def hexdigest(self, length: int) -> str:
        """Hash of what was written, of that many bytes."""
        return str(self._hash.hexdigest(length=length))

    def content(self) -> tuple[str, int]:
        """Hash and size of what was written."""
        return self._hash.hexdigest(), self.size


@contextmanager
def hashed_file(path: Path) -> Iterator[HashedFile]:
    """A new file under tmp/; synced at the end, gone if the block fails. Raises StoreError if it cannot be written."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            file = HashedFile(fd)
            yield file
            filesystem.sync_file(fd, "part")
        finally:
            os.close(fd)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise filesystem.write_failure(path, error) from error
        raise


def write_rows(
    writer: PartWriter,
    tbl: str,
    tables: Iterator[pa.Table],
    stats: Mapping[str, Any],
    place: Mapping[str, str | None],
    mark: str | None = None,
) -> NewPart:
    """Tables of one schema, in order, as one Parquet part; at most about one row group of them is held. `mark` goes into the
    file, to tell it from another with the same rows."""
    scratch, rows, schema = writer.scratch(tbl), 0, pa.schema([])
    with hashed_file(scratch) as file, pa.PythonFile(file, mode="w") as sink:
        parquet: pq.ParquetWriter | None = None
        for group in _row_groups(tables):
            if parquet is None:
                schema = group.schema
                parquet = pq.ParquetWriter(sink, schema, **encoding.parquet_options(group))
            parquet.write_table(group, row_group_size=max(1, group.num_rows))
            rows += group.num_rows
        if parquet is not None:
            if mark is not None:
                parquet.add_key_value_metadata({MARK: mark})
            parquet.close()
    return writer.settle(scratch, tbl, schema, rows, file.content(), stats, place)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(t.num_rows for t in held) >= GROUP_ROWS or sum(t.nbytes for t in held) >= GROUP_BYTES:
            yield encoding.settle(pa.concat_tables(held))
            held = []
    if held:
        yield encoding.settle(pa.concat_tables(held))


def write_vectors(
    writer: PartWriter,
    vectors: pa.FixedSizeListArray,
    field: pa.Field,
    stats: Mapping[str, Any],
    place: Mapping[str, str | None],
) -> NewPart:
    """One vector column as one Arrow part of one batch."""
    scratch, schema = writer.scratch("vector"), pa.schema([field])
    with (
        hashed_file(scratch) as file,
        pa.PythonFile(file, mode="w") as sink,
        pa.ipc.new_file(sink, schema) as arrow,
    ):
        arrow.write_batch(pa.record_batch([vectors], schema=schema))
    return writer.settle(scratch, "vector", schema, len(vectors), file.content(), stats, place)
