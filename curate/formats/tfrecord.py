"""TFRecord files of `tf.train.Example` records, without TensorFlow.

A file is a row of records: length (uint64, little endian), CRC of the length, data, CRC of the data; a record is a
protocol buffer that maps names to lists of bytes, float32 or int64. Source: TensorFlow's documentation of TFRecord and
`example.proto`.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from curate.counting import counted
from curate.errors import InputError

__all__ = ["LARGEST", "parse_example", "read_examples"]

LARGEST = 1 << 28
"""Bytes of one record; a longer one is taken for a broken file."""

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected
_GZIP = b"\x1f\x8b"

Values = list[bytes] | list[float] | list[int]


def read_examples(path: str | os.PathLike[str], *, check: bool = False) -> Iterator[dict[str, Values]]:
    """The records of a file, each as name -> list of bytes, floats or integers; gzip is undone.

    Lengths are checked against their CRC always; data with `check`, which costs about a second for every 5 MB.
    Raises InputError where the file cannot be read, is no TFRecord file, is cut off, or a record is no Example.
    """
    try:
        with Path(path).open("rb") as raw:
            zipped = raw.read(2) == _GZIP
            raw.seek(0)
            file: Any = gzip.open(raw) if zipped else raw  # noqa: SIM115 - closed with `raw`, which it reads
            for number, data in enumerate(_records(file, path, check)):
                try:
                    yield parse_example(data)
                except InputError as error:
                    raise InputError(f"{path}: record {number}: {error}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _records(file: IO[bytes], path: str | os.PathLike[str], check: bool) -> Iterator[bytes]:
    number = 0
    while head := file.read(12):
        if len(head) == 12 and _masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
            raise InputError(f"{path}: record {number} has no valid length: is it a TFRecord file?")
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
        if length > LARGEST:
            raise InputError(
                f"{path}: record {number} is {counted(length, 'byte')} long, more than {LARGEST:,}"
            )
        data, tail = file.read(length), file.read(4)
        if len(head) < 12 or len(data) < length or len(tail) < 4:
            raise InputError(f"{path} is cut off in record {number}")
        if check and _masked_crc(data) != struct.unpack("<I", tail)[0]:
            raise InputError(f"{path}: record {number} is damaged: its checksum is another")
        yield data
        number += 1


@cache
def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


def _masked_crc(data: bytes) -> int:
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


# --- Protocol buffers -------------------------------------------------------------------------------------------


def parse_example(data: bytes) -> dict[str, Values]:
    """One serialised Example as name -> values. A feature without values is an empty list.

    Raises InputError where the bytes are no Example.
    """
    found: dict[str, Values] = {}
    for number, features in _fields(data):
        if number != 1 or not isinstance(features, bytes):
            continue
        for entry_number, entry in _fields(features):
            if entry_number == 1 and isinstance(entry, bytes):
                name, values = _entry(entry)
                found[name] = values
    return found


def _entry(data: bytes) -> tuple[str, Values]:
    name, values = "", list[Any]()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            name = value.decode("utf-8", "replace")
        elif number == 2 and isinstance(value, bytes):
            for kind, held in _fields(value):
                values = _values(kind, held)
    return name, values


def _values(kind: int, data: Any) -> Values:
    """A BytesList (1), FloatList (2) or Int64List (3): numbers one by one or packed."""
    if kind not in (1, 2, 3) or not isinstance(data, bytes):
        raise InputError("a feature is neither bytes, floats nor integers")
    found: list[Any] = []
    for number, value in _fields(data):
        if number != 1:
            continue
        if kind == 1 and isinstance(value, bytes):
            found.append(value)
        elif kind == 2 and isinstance(value, bytes) and len(value) % 4 == 0:
            found += np.frombuffer(value, "<f4").astype(np.float64).tolist()
        elif kind == 3 and isinstance(value, int):
            found.append(_signed(value))
        elif kind == 3 and isinstance(value, bytes):
            found += _packed(value)
        else:
            raise InputError("a feature holds values of another kind than it says")
    return found


def _packed(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(_signed(value))
    return values


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, value): bytes for what has a length and for fixed 4 or 8 bytes, an integer for a varint."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise InputError(f"it is no Example: a field has the wire type {wire}")
        if at + size > len(data):
            raise InputError("it is no Example: a field goes beyond its end")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise InputError("it is no Example: a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise InputError("it is no Example: a number has no end")
