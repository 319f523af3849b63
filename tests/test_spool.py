"""Arrays set aside in files, against arrays in memory."""

from __future__ import annotations

import errno
import mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import StoreError
from curate.spool import Spool, blocks, forget

PAIR = np.dtype([("row", "<u4"), ("key", "<u4")])


def mapped(values: np.ndarray, folder: Path) -> np.ndarray:
    spool = Spool(values.dtype, folder, held=0)
    spool.append(values)
    return spool.array()


def lies_in_a_file(values: np.ndarray) -> bool:
    base: Any = values.base
    return isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap)


@given(st.lists(st.lists(st.integers(-9, 9), max_size=6), max_size=5), st.sampled_from([0, 24, 1 << 20]))
def test_what_was_put_in_comes_out(chunks: list[list[int]], held: int) -> None:
    with TemporaryDirectory() as folder:
        spool = Spool(np.int64, Path(folder), held)
        for chunk in chunks:
            spool.append(np.array(chunk, np.int32))
        whole = [value for chunk in chunks for value in chunk]
        assert len(spool) == len(whole)
        found = spool.array()
        assert found.dtype == np.int64 and found.tolist() == whole
        assert lies_in_a_file(found) == (len(whole) * 8 > held)
        assert not found.flags.writeable
        assert list(Path(folder).iterdir()) == []  # the file has no name
        assert spool.array().tolist() == []


def test_without_a_folder_all_stays_in_memory() -> None:
    spool = Spool(np.int64, None, held=0)
    spool.append(np.arange(5))
    spool.append(np.arange(3)[::-1])
    found = spool.array()
    assert found.tolist() == [0, 1, 2, 3, 4, 2, 1, 0] and not lies_in_a_file(found)


def test_records_and_strides(tmp_path: Path) -> None:
    pairs = np.zeros(6, PAIR)
    pairs["row"], pairs["key"] = np.arange(6), np.arange(6)[::-1]
    found = mapped(pairs[::2], tmp_path)
    assert found["row"].tolist() == [0, 2, 4] and found["key"].tolist() == [5, 3, 1]


def test_what_was_forgotten_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.spool._BLOCK", 3)
    values = np.arange(8)
    for given_ in (values, mapped(values, tmp_path)):
        assert [block.tolist() for block in blocks(given_)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
        forget(given_[2:])
        assert given_.tolist() == values.tolist()
    assert list(blocks(values[:0])) == []


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: memoryview) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("curate.spool.TemporaryFile", lambda **given: Full())
    spool = Spool(np.int64, tmp_path, held=16)
    spool.append(np.arange(2))
    with pytest.raises(
        StoreError, match=r"cannot set numbers aside in .*: No space left on device\. Nothing was"
    ):
        spool.append(np.arange(1))


def test_a_file_takes_less_than_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tempfile import TemporaryFile

    class Slow:
        def __init__(self, **given: object) -> None:
            self.file = TemporaryFile(**given)  # type: ignore[call-overload]  # noqa: SIM115

        def write(self, data: memoryview) -> int:
            return int(self.file.write(data[:5]))

        def __enter__(self) -> object:
            return self.file.__enter__()

        def __exit__(self, *error: object) -> None:
            self.file.close()

    monkeypatch.setattr("curate.spool.TemporaryFile", Slow)
    assert mapped(np.arange(7), tmp_path).tolist() == list(range(7))
