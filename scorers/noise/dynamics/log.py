"""A log of the logits of every epoch on disk: memory-mapped, one file per epoch, whole or not there.

    folder/items.arrow        id and label of every item; classes and number type in the schema's metadata
    folder/epoch-000000.npy   (items, classes) float16 or float32, NaN where an item was not seen in that epoch

An epoch is written to a file of another name, synced and then renamed, so a crash loses the epoch under way and nothing
else; the same call that began the log goes on with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_array, as_numbers
from curate.arrays.labels import as_codes
from curate.counting import counted
from curate.durable import publish
from curate.errors import CorruptionError, InputError

__all__ = ["EpochWriter", "LogitLog", "NumberType"]

NumberType = Literal["float16", "float32"]
_ITEMS = "items.arrow"
_VERSION = b"1"


@dataclass(frozen=True, eq=False)
class LogitLog:
    """The logits of every epoch: `log[e]` is (items, classes), memory-mapped; `len(log)` epochs; iterates over them.

    `ids` (n,) strings and `labels` (n,) int64 in 0 ... K - 1 are those the model was trained on, row by row; `classes` K names.
    """

    folder: Path
    ids: pa.Array
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    dtype: NumberType

    @staticmethod
    def create(
        folder: str | os.PathLike[str],
        ids: Sequence[str] | pa.Array,
        labels: npt.NDArray[Any] | Sequence[int],
        classes: Sequence[str] | int,
        *,
        dtype: NumberType = "float16",
    ) -> LogitLog:
        """Begin a log, or go on with the one that is there if it is of the same items, labels and classes.

        `ids` (n,) unique strings, `labels` (n,) integers, `classes` K names or their number. float16 keeps three
        digits in half the space; what it cannot hold is cut to +-65504.
        Raises InputError for labels out of range, ids twice, or a log of something else in that folder.
        """
        names = tuple(str(k) for k in range(classes)) if isinstance(classes, int) else tuple(classes)
        keys = pa.array(ids, pa.string()) if not isinstance(ids, pa.Array) else ids.cast(pa.string())
        log = LogitLog(Path(folder), keys, _check_items(keys, labels, names, dtype), names, dtype)
        if (log.folder / _ITEMS).exists():
            _check_same(LogitLog.open(folder), log)
        else:
            log.folder.mkdir(parents=True, exist_ok=True)
            _write_items(log)
        for left in log.folder.glob(".epoch-*.tmp"):  # of a writer that crashed
            left.unlink(missing_ok=True)
        return log

    @staticmethod
    def open(folder: str | os.PathLike[str]) -> LogitLog:
        """Read a log. Raises InputError where there is none, CorruptionError where its list of items is torn."""
        path = Path(folder)
        if not (path / _ITEMS).exists():
            raise InputError(
                f"there is no log of logits in {path}: {_ITEMS} is missing. LogitLog.create begins one"
            )
        try:
            with pa.OSFile(str(path / _ITEMS)) as file:
                table = pa.ipc.open_file(file).read_all().combine_chunks()
            meta = table.schema.metadata
            if meta[b"curate.logits"] != _VERSION:
                raise InputError(
                    f"{path}: a log of version {meta[b'curate.logits']!r}, {_VERSION!r} can be read"
                )
            classes = tuple(pa.ipc.open_stream(meta[b"classes"]).read_all().column(0).to_pylist())
            ids, labels = (table.column(name).combine_chunks() for name in ("id", "label"))
        except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
            raise CorruptionError(
                f"{path / _ITEMS} is torn or no list of items ({error}): the log cannot be read; log again"
            ) from error
        dtype: NumberType = "float32" if meta[b"dtype"] == b"float32" else "float16"
        return LogitLog(path, ids, labels.to_numpy().astype(np.int64), classes, dtype)

    def __len__(self) -> int:
        return len(self._files())

    def __getitem__(self, epoch: int) -> npt.NDArray[np.floating[Any]]:
        """One epoch. Raises IndexError beyond the last, CorruptionError for a file that is not whole."""
        files = self._files()
        path = files[epoch]
        try:
            logits: npt.NDArray[np.floating[Any]] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise CorruptionError(self._torn(path, str(error))) from error
        if logits.shape != (len(self.labels), len(self.classes)) or logits.dtype != np.dtype(self.dtype):
            raise CorruptionError(self._torn(path, f"it holds {logits.shape} {logits.dtype}"))
        return logits

    def __iter__(self) -> Iterator[npt.NDArray[np.floating[Any]]]:
        for epoch in range(len(self)):
            yield self[epoch]

    def epoch(self, number: int | None = None) -> EpochWriter:
        """A writer of epoch `number` (from 0; None: the next), for a `with` block: whole at its end, or not there.

        An epoch that is there is replaced: a run resumed from a checkpoint repeats what came after it.
        Raises InputError for a number that would leave a gap.
        """
        count = len(self)
        wanted = count if number is None else number
        if not 0 <= wanted <= count:
            raise InputError(
                f"epoch {number}: the log has {counted(count, 'epoch')}, so 0 to {count} can be written"
            )
        return EpochWriter(self, wanted)

    def path_of(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:06d}.npy"

    def _files(self) -> list[Path]:
        files = sorted(self.folder.glob("epoch-*.npy"))
        for epoch, path in enumerate(files):
            if path != self.path_of(epoch):
                raise CorruptionError(f"{self.folder}: epoch {epoch} is missing, {path.name} is there")
        return files

    def _torn(self, path: Path, what: str) -> str:
        return (
            f"{path} is not whole ({what}); {len(self.labels)} x {len(self.classes)} {self.dtype} are meant. Epochs "
            "before it can be used: move it and those after it away"
        )


class EpochWriter:
    """Takes the logits of one epoch batch by batch: `with log.epoch() as epoch: epoch.record(index, logits)`."""

    def __init__(self, log: LogitLog, number: int) -> None:
        self.log, self.number = log, number
        self._temporary = log.folder / f".epoch-{number:06d}-{os.getpid()}.tmp"
        self._values: npt.NDArray[Any] | None = None
        self._recorded = 0

    def __enter__(self) -> EpochWriter:
        shape = (len(self.log.labels), len(self.log.classes))
        self._values = np.lib.format.open_memmap(self._temporary, "w+", np.dtype(self.log.dtype), shape)
        self._values[:] = np.nan
        return self

    def record(self, index: Any, logits: Any) -> None:
        """The logits (b, K) of the items in rows `index` (b,): arrays or tensors on any device.

        What is recorded twice counts as it was last. Raises InputError for another shape or a row that is not there.
        """
        if self._values is None:
            raise InputError("record within the `with` block of the epoch")
        rows, values = as_array(index, "index"), as_numbers(logits, "logits")
        n, k = self._values.shape
        if values.ndim != 2 or values.shape != (rows.size, k) or rows.ndim != 1:
            raise InputError(
                f"logits of shape {values.shape} for {counted(rows.size, 'row')}: ({rows.size}, {k}) are meant"
            )
        if rows.dtype.kind not in "iu" or (rows.size and not (rows.min() >= 0 and rows.max() < n)):
            raise InputError(f"rows {rows[:5]}...: integers from 0 to {n - 1} are meant, as in the log's ids")
        most = np.finfo(self._values.dtype).max
        self._values[rows] = np.clip(values, -most, most)
        self._recorded += rows.size

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self._recorded:
            self.discard()
            if kind is None:
                raise InputError(f"epoch {self.number}: nothing was recorded")
            return
        self._values.flush()  # type: ignore[union-attr]
        self._values = None
        publish(self._temporary, self.log.path_of(self.number))

    def discard(self) -> None:
        """Forget what was recorded."""
        self._values = None
        self._temporary.unlink(missing_ok=True)


def _check_items(ids: pa.Array, labels: Any, classes: tuple[str, ...], dtype: str) -> npt.NDArray[np.int64]:
    """The labels as numbers of classes."""
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise InputError(f"classes {classes[:5]}: at least two, each named once")
    if not len(ids):
        raise InputError("no items: there is nothing to log")
    if ids.null_count or len(ids.unique()) < len(ids):
        raise InputError(
            f"{counted(len(ids), 'id')}, {len(ids.unique())} of them distinct: each item has one of its own"
        )
    if dtype not in ("float16", "float32"):
        raise InputError(f"dtype={dtype!r}: float16 or float32")
    return as_codes(labels, len(ids), len(classes), of="ids")


def _check_same(there: LogitLog, new: LogitLog) -> None:
    for what in ("classes", "dtype"):
        if getattr(there, what) != getattr(new, what):
            raise InputError(
                f"{new.folder} holds a log with {what} {getattr(there, what)!r}, not {getattr(new, what)!r}"
            )
    if len(there.ids) != len(new.ids):
        raise InputError(f"{new.folder} holds a log of {counted(len(there.ids), 'item')}, not {len(new.ids)}")
    other = np.flatnonzero(np.asarray(there.ids) != np.asarray(new.ids))
    if len(other):
        row = int(other[0])
        raise InputError(f"{new.folder}: row {row} is {there.ids[row]} in the log, {new.ids[row]} was given")
    changed = np.flatnonzero(there.labels != new.labels)
    if len(changed):
        raise InputError(
            f"{new.folder}: {counted(len(changed), 'label is', 'labels are')} not those of the log, as "
            f"{new.ids[int(changed[0])]}"
        )


def _write_items(log: LogitLog) -> None:
    names = pa.BufferOutputStream()
    table = pa.table({"class": pa.array(log.classes, pa.string())})
    with pa.ipc.new_stream(names, table.schema) as stream:
        stream.write_table(table)
    meta = {
        b"curate.logits": _VERSION,
        b"dtype": log.dtype.encode(),
        b"classes": names.getvalue().to_pybytes(),
    }
    items = pa.table({"id": log.ids, "label": pa.array(log.labels, pa.int64())}).replace_schema_metadata(meta)
    temporary = log.folder / f".items-{os.getpid()}.tmp"
    with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, items.schema) as out:
        out.write_table(items)
    publish(temporary, log.folder / _ITEMS)
