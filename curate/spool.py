"""Arrays that are longer than what should be held: set aside in a file without a name, and read as if they were in memory.

However the process ends, nothing of such a file stays on the disk.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from curate.errors import StoreError

__all__ = ["MANY", "Spool", "blocks", "forget"]

HELD = 1 << 17
"""Bytes that a spool has in memory before it goes to a file."""
MANY = 1 << 23
"""The same for what is handed on: a million rows."""
_BLOCK = 1 << 18

Array = TypeVar("Array", bound="npt.NDArray[Any]")


class Spool:
    """A 1-d array that grows at its end (`append`), to be read (`array`) when all of it is there.

    With `folder` None it stays in memory, however long it gets; else what is longer than `held` bytes goes to a file in that
    folder.
    """

    def __init__(self, dtype: npt.DTypeLike, folder: Path | None, held: int | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self.folder = folder
        self._held = HELD if held is None else held
        self._parts: list[npt.NDArray[Any]] = []
        self._length = 0
        self._file: Any = None

    def __len__(self) -> int:
        return self._length

    def append(self, values: npt.NDArray[Any]) -> None:
        """Put these at the end. Raises StoreError where the disk takes no more."""
        self._parts.append(np.array(values, self.dtype, order="C"))
        self._length += len(values)
        if self.folder is not None and (self._file or self._length * self.dtype.itemsize > self._held):
            try:
                self._write(self.folder)
            except OSError as error:
                raise StoreError(
                    f"cannot set numbers aside in {self.folder}: {error.strerror or error}. Nothing was changed; free space "
                    "or mend the disk, and run again"
                ) from error

    def array(self) -> npt.NDArray[Any]:
        """All of it, not to be written to: in memory, or mapped. The spool is empty after that."""
        parts, self._parts, self._length = self._parts, [], 0
        if self._file is None:
            found = np.concatenate([np.empty(0, self.dtype), *parts])
            found.flags.writeable = False
            return found
        with self._file as file:  # what is mapped stays
            self._file = None
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), self.dtype)

    def _write(self, folder: Path) -> None:
        self._file = self._file or TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  (closed in `array`)
        for part in self._parts:
            left = part.view(np.uint8).data
            while left:
                left = left[self._file.write(left) :]
        self._parts = []


def blocks(values: Array) -> Iterator[Array]:
    """A long array in pieces, so that what is worked out on the way stays small beside it; of one that is mapped no more than
    a piece is in memory."""
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK]  # type: ignore[misc]
        forget(values)


def forget(values: npt.NDArray[Any]) -> None:
    """Let go of the memory in which a mapped array was read: it is read again where it is needed. Others stay as they are."""
    base: Any = values
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.obj if isinstance(base, memoryview) else base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
