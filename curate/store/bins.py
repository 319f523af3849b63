"""Rows dealt out by a hash of theirs, so that rows that may be equal lie in one bin and every bin is small.

A bin lies in memory while there is little in all of them, then in a file without a name: however the process ends, nothing
of it stays on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import StoreError
from curate.store.rowset import int64_array

BIN_ROWS = 1 << 18
"""Rows, about, of one bin."""
_MOST = 256
"""Bins at most: each may be an open file."""
_HELD = 1 << 24
"""Bytes that all bins together may have in memory."""


class Bins:
    """Rows go in batch by batch (`add`) and come out bin by bin (`for`), once. To be used in a `with` block."""

    def __init__(self, folder: Path, rows: int) -> None:
        """For `rows` rows at most, `usual` of them in a bin; the files lie in `folder`."""
        self.folder = folder
        self.count = min(max(1, -(-rows // BIN_ROWS)), _MOST)
        self.usual = max(BIN_ROWS, rows // self.count)
        self._open = ExitStack()
        self._bins: dict[int, tuple[Any, Any]] = {}
        self._rows = np.zeros(self.count, np.int64)

    def __enter__(self) -> Bins:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def add(self, batch: pa.RecordBatch, hashes: npt.NDArray[np.uint64]) -> None:
        """Put each row into the bin of its hash. Raises StoreError where the disk takes no more."""
        try:
            for number, rows in self._dealt(batch, hashes):
                self._writer(number, batch.schema).write_batch(rows)
                self._rows[number] += len(rows)
        except OSError as error:
            raise StoreError(
                f"cannot set rows aside in {self.folder}: {error.strerror or error}. Nothing was changed; free space or "
                "mend the disk, and run again"
            ) from error

    def __iter__(self) -> Iterator[tuple[int, pa.RecordBatchReader]]:
        """How many rows are in each bin that is not empty, and they; a bin is gone when the next one is asked for."""
        for _, writer in self._bins.values():
            writer.close()
        while self._bins:
            number, (file, _) = self._bins.popitem()
            file.seek(0)
            with file, pa.ipc.open_stream(pa.PythonFile(file, "r")) as reader:
                yield int(self._rows[number]), reader

    def _dealt(
        self, batch: pa.RecordBatch, hashes: npt.NDArray[np.uint64]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        if self.count == 1:
            yield 0, batch
            return
        # By the middle of a hash: its ends say where in a hash table of DuckDB's a row goes, and there a bin's should spread.
        middle = hashes >> np.uint64(24) & np.uint64(0xFFFF)
        numbers = (middle * np.uint64(self.count) >> np.uint64(16)).astype(np.uint8)
        batch = batch.take(int64_array(np.argsort(numbers, kind="stable")))
        start = 0
        for number, rows in enumerate(np.bincount(numbers).tolist()):
            if rows:
                yield number, batch.slice(start, rows)
            start += rows

    def _writer(self, number: int, schema: pa.Schema) -> Any:
        if number not in self._bins:
            file = SpooledTemporaryFile(_HELD // self.count, "w+b", dir=str(self.folder))  # noqa: SIM115  (closed in __exit__)
            self._open.callback(file.close)
            self._bins[number] = file, pa.ipc.new_stream(pa.PythonFile(file, "w"), schema)
        return self._bins[number][1]
