"""Gradients on disk: a folder of memory-mapped rows that is filled row by row, survives a kill, and reads as `Vectors`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.durable import write_whole
from curate.errors import CorruptionError, InputError, StoreFormatError, StoreNotFoundError
from curate.scorers.influence.header import Header
from curate.scorers.influence.precision import code_shape, decode, encode

__all__ = ["GradientStore"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
_TO_DO, _DONE, _ZERO, _NOT_FINITE = range(4)
_PIECE = 1 << 24
"""Numbers decoded at a time: 64 MB of float32."""


@dataclass(eq=False)
class GradientStore:
    """Projected gradients of n items at T checkpoints; row i is T x d numbers, checkpoint after checkpoint.

    It is `contracts.Vectors` of shape (n, T x d): float16 and zero-copy where it holds normalised rows in fp16, else
    float32, decoded some 64 MB at a time. A row whose gradient was not finite at some checkpoint is NaN there (see `usable`); one
    of zeros stays zeros.

    On disk: `header.json`, `rows.bin` (n, T, codes), `scales.bin` and `norms.bin` (n, T) float32, `done.bin` (n, T) one byte
    each, `ids.json` if ids were given. Data reach the disk before the flag that says so: what is flagged is whole,
    whenever the process was killed.
    """

    path: Path
    header: Header
    writable: bool = False
    _files: dict[str, npt.NDArray[Any]] = field(init=False, default_factory=dict)
    _pending: list[tuple[Rows, int, npt.NDArray[np.uint8]]] = field(init=False, default_factory=list)

    # --- Making and opening ---------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | Path, header: Header, *, ids: Sequence[str] | None = None) -> GradientStore:
        """A store at `path` to write to: a new one, or one that is there already, of the same configuration, to go on with.

        `ids` (n,) name the rows, for joining to items. Raises InputError where the folder holds other gradients (another
        model, other checkpoints, other items ...), CorruptionError where it is damaged.
        """
        path = Path(path)
        if ids is not None and len(ids) != header.rows:
            raise InputError(f"{counted(len(ids), 'id')} for {counted(header.rows, 'row')}")
        if (path / "header.json").exists():
            store = cls.open(path, writable=True)
            store.header.check_same(header, str(path))
            return store
        path.mkdir(parents=True, exist_ok=True)
        for name, (_, _, size) in _layout(header).items():
            with (path / name).open("wb") as file:
                file.truncate(size)
                os.fsync(file.fileno())
        if ids is not None:
            write_whole(path / "ids.json", json.dumps(list(ids), ensure_ascii=False))
        write_whole(path / "header.json", header.dump())  # last: a folder without it is no store yet
        return cls.open(path, writable=True)

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False) -> GradientStore:
        """The store at `path`. Raises StoreNotFoundError, StoreFormatError, or CorruptionError for files cut off."""
        path = Path(path)
        file = path / "header.json"
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise StoreNotFoundError(f"there are no gradients at {path}: {file.name} is missing") from None
        store = cls(path, Header.load(text, str(file)), writable)
        for name, (shape, dtype, size) in _layout(store.header).items():
            found = (path / name).stat().st_size if (path / name).exists() else -1
            if found != size:
                told = (
                    "is missing" if found < 0 else f"has {counted(found, 'byte')} of {size:,}: it was cut off"
                )
                raise CorruptionError(f"{path / name} {told}. Delete the folder and make the gradients again")
            store._files[name] = np.memmap(path / name, dtype, "r+" if writable else "r", shape=shape)
        return store

    # --- Writing --------------------------------------------------------------------------------------------------

    def todo(self, checkpoint: int) -> Rows:
        """Rows that have no gradient at this checkpoint yet."""
        return np.flatnonzero(self._files["done.bin"][:, checkpoint] == _TO_DO).astype(np.int64)

    def write(self, rows: Rows, checkpoint: int, gradients: Floats) -> None:
        """Put the gradients (m, d) of these rows (m,) at a checkpoint; `commit` makes them count.

        Rows are normalised if the header says so; their lengths before are kept in `norms`. What is not finite becomes
        NaN and what is all zero stays so, both flagged. Raises InputError for shapes, rows or a checkpoint that do not fit.
        """
        rows = np.asarray(rows, np.int64)
        expected = (len(rows), self.header.dim)
        if gradients.shape != expected:
            raise InputError(
                f"gradients of shape {gradients.shape} for {counted(len(rows), 'row')}: {expected} is meant"
            )
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.header.rows):
            raise InputError(f"rows {rows.min()} to {rows.max()} of a store of {self.header.rows}")
        if not 0 <= checkpoint < len(self.header.checkpoints):
            raise InputError(f"checkpoint {checkpoint}: the store has {len(self.header.checkpoints)}, from 0")
        if not self.writable:
            raise InputError(f"{self.path} is open for reading: open it with writable=True")
        values = np.asarray(gradients, np.float32)
        norms = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
        state = np.where(np.isfinite(norms), np.where(norms > 0, _DONE, _ZERO), _NOT_FINITE)
        if self.header.normalised:
            with np.errstate(invalid="ignore", over="ignore"):
                values = (values / np.where(norms > 0, norms, 1)[:, None]).astype(np.float32)
        coded = encode(values, self.header.precision, unit=self.header.normalised)
        self._files["rows.bin"][rows, checkpoint] = coded.codes
        self._files["scales.bin"][rows, checkpoint] = coded.scales
        self._files["norms.bin"][rows, checkpoint] = norms
        self._pending.append((rows, checkpoint, state.astype(np.uint8)))

    def commit(self) -> None:
        """Bring what was written to the disk, then flag it as done."""
        if not self._pending:
            return
        for name in ("rows.bin", "scales.bin", "norms.bin"):
            self._flush(name)
        for rows, checkpoint, state in self._pending:
            self._files["done.bin"][rows, checkpoint] = state
        self._flush("done.bin")
        self._pending.clear()

    def _flush(self, name: str) -> None:
        mapped = self._files[name]
        assert isinstance(mapped, np.memmap)
        mapped.flush()

    # --- What it holds --------------------------------------------------------------------------------------------

    @property
    def ids(self) -> list[str] | None:
        """The ids of the rows, None if none were given."""
        file = self.path / "ids.json"
        if not file.exists():
            return None
        try:
            ids: list[str] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreFormatError(f"{file} cannot be read: {error}. Is it cut off?") from error
        if len(ids) != len(self):
            raise CorruptionError(f"{file} names {counted(len(ids), 'row')} of {len(self)}")
        return ids

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """(n, T) whether a row has its gradient at a checkpoint."""
        return np.asarray(self._files["done.bin"] != _TO_DO)

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a row's gradients are finite at every checkpoint."""
        return np.asarray((self._files["done.bin"] != _NOT_FINITE).all(axis=1))

    @property
    def zero(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a row's gradients are all zero at every checkpoint: it teaches nothing."""
        return np.asarray((self._files["done.bin"] == _ZERO).all(axis=1))

    @property
    def norms(self) -> Floats:
        """(n, T) float32, the length of each projected gradient before it was normalised."""
        return np.asarray(self._files["norms.bin"])

    @property
    def scales(self) -> Floats:
        """(n, T) float32, by which codes are multiplied."""
        return np.asarray(self._files["scales.bin"])

    @property
    def codes(self) -> npt.NDArray[Any]:
        """(n, T, width) as they lie on disk, memory-mapped: float16, int8, or uint8 of eight signs (see `precision`)."""
        self._whole()
        return self._files["rows.bin"]

    def read_ahead(self, low: int, high: int) -> None:
        """Tell the system that these rows are wanted soon: it reads them from the disk while others are worked on."""
        codes = self._files["rows.bin"]
        width = codes[0].nbytes
        if hasattr(os, "posix_fadvise") and low < len(self):
            with (self.path / "rows.bin").open("rb") as file:
                os.posix_fadvise(file.fileno(), low * width, (high - low) * width, os.POSIX_FADV_WILLNEED)

    def __repr__(self) -> str:
        head = self.header
        share = self.done.mean()
        return (
            f"GradientStore({str(self.path)!r}, {counted(head.rows, 'row')} x "
            f"{counted(len(head.checkpoints), 'checkpoint')} x {head.dim:,}, {head.precision}, {share:.0%} done)"
        )

    # --- Vectors --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        return self.header.rows, len(self.header.checkpoints) * self.header.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float16 if self._plain else np.float32)

    def __len__(self) -> int:
        return self.header.rows

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        """The rows in order, in pieces (m, T x d). Raises InputError while rows are missing."""
        self._whole()
        step = max(1, _PIECE // self.shape[1])
        for low in range(0, len(self), step):
            yield self._decoded(slice(low, low + step))

    def take(self, rows: Rows) -> npt.NDArray[Any]:
        """A copy of these rows, in the order asked for. Raises InputError while rows are missing."""
        self._whole()
        return np.array(self._decoded(np.asarray(rows, np.int64)))

    def to_numpy(self) -> npt.NDArray[Any]:
        """All rows as one array: zero-copy for normalised fp16. Raises InputError while rows are missing."""
        self._whole()
        return self._decoded(slice(None))

    @property
    def _plain(self) -> bool:
        return self.header.normalised and self.header.precision == "fp16"

    def _decoded(self, rows: Any) -> npt.NDArray[Any]:
        codes, width = self._files["rows.bin"][rows], self.shape[1]
        if self._plain:
            plain: npt.NDArray[Any] = codes.reshape(len(codes), width)
            return plain
        scales = self._files["scales.bin"][rows]
        values = decode(codes.reshape(scales.size, codes.shape[-1]), scales.reshape(-1), self.header.dim)
        return np.asarray(values.reshape(len(codes), width))

    def _whole(self) -> None:
        missing = int((self._files["done.bin"] == _TO_DO).sum())
        if missing:
            raise InputError(
                f"{self.path}: {missing:,} of {counted(self.header.rows * len(self.header.checkpoints), 'gradient')} "
                "are still to be computed; call collect_gradients on it again to go on"
            )


def _layout(header: Header) -> dict[str, tuple[tuple[int, ...], np.dtype[Any], int]]:
    """The files with their shape, dtype and size in bytes."""
    width, dtype = code_shape(header.dim, header.precision)
    n, t = header.rows, len(header.checkpoints)
    shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
        "rows.bin": ((n, t, width), dtype),
        "scales.bin": ((n, t), np.dtype(np.float32)),
        "norms.bin": ((n, t), np.dtype(np.float32)),
        "done.bin": ((n, t), np.dtype(np.uint8)),
    }
    return {name: (s, d, int(np.prod(s)) * d.itemsize) for name, (s, d) in shapes.items()}
