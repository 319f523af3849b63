"""TFRecord files without TensorFlow: a file made by another implementation, and every way in which one can be broken."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.formats.tfrecord import parse_example, read_examples

# Two records as the package `tfrecord` 1.14 writes them (protobuf and google-crc32c behind it).
THEIRS = bytes.fromhex(
    "8d000000000000003f0f80610a8a010a190a04696e747312111a0f0a0d03ffffffffffffffffff01ac020a110a0573636f7265120812060a04"
    "0000403f0a140a046d616e79120c120a0a080000c03f000000c00a1c0a0866696c656e616d6512100a0e0a0c747261696e2f61622e706e670a"
    "260a1970726f6d70745f6d6973616c69676e6d656e745f6c6162656c12090a070a053120302031ea889fa21500000000000000d6ab6b2b0a13"
    "0a110a0866696c656e616d6512050a030a0178dbeee7f1"
)
HELD = [
    {
        "ints": [3, -1, 300],
        "score": [0.75],
        "many": [1.5, -2.0],
        "filename": [b"train/ab.png"],
        "prompt_misalignment_label": [b"1 0 1"],
    },
    {"filename": [b"x"]},
]


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_file_of_another_implementation_is_read(tmp_path: Path) -> None:
    plain = save(tmp_path / "a.tfrecord", THEIRS)
    assert list(read_examples(plain, check=True)) == HELD
    assert list(read_examples(save(tmp_path / "a.gz", gzip.compress(THEIRS)))) == HELD
    assert list(read_examples(save(tmp_path / "empty", b""))) == []


def varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def example(**features: bytes) -> bytes:
    entries = [field(1, field(1, name.encode()) + field(2, value)) for name, value in features.items()]
    return field(1, b"".join(entries))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats(width=32, allow_nan=False)))
def test_numbers_come_back_packed_or_not(whole: list[int], real: list[float]) -> None:
    packed = b"".join(varint(v % (1 << 64)) for v in whole)
    loose = b"".join(varint(1 << 3) + varint(v % (1 << 64)) for v in whole)
    singles = b"".join(varint(1 << 3 | 5) + struct.pack("<f", v) for v in real)
    data = example(
        p=field(3, field(1, packed)),
        l=field(3, loose),
        f=field(2, singles),
        g=field(2, field(1, np.array(real, "<f4").tobytes())),
    )
    assert parse_example(data) == {"p": whole, "l": whole, "f": real, "g": real}


def test_unknown_fields_are_passed_over_and_empty_features_are_empty() -> None:
    more = varint(9 << 3) + varint(5) + varint(8 << 3 | 1) + b"12345678"
    assert parse_example(more + example(none=b"", some=field(1, field(1, b"x")))) == {
        "none": [],
        "some": [b"x"],
    }


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"{}", "cut off in record 0"),
        (b'{"a": 1, "b": 2}', "record 0 has no valid length"),
        (THEIRS[:5], "cut off in record 0"),
        (THEIRS[:60], "cut off in record 0"),
        (THEIRS[:-2], "cut off in record 1"),
        (THEIRS[:-1] + b"\0", "record 1 is damaged"),
        (THEIRS[:20] + b"\xff" + THEIRS[21:], "record 0 is damaged"),
        (gzip.compress(THEIRS, mtime=0)[:-20], "cannot be read"),
        (gzip.compress(THEIRS, mtime=0)[:10] + b"\xff" * 20, "cannot be read"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, data: bytes, match: str) -> None:
    with pytest.raises(InputError, match=match):
        list(read_examples(save(tmp_path / "x", data), check=True))


@pytest.mark.parametrize("data", [b"\x0b", b"\x0a\x05ab", b"\x0a", b"\xff" * 11])
def test_bytes_that_are_no_example_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="no Example"):
        parse_example(data)


def test_a_value_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="another kind"):
        parse_example(example(a=field(2, varint(1 << 3) + varint(7))))
    with pytest.raises(InputError, match="neither bytes"):
        parse_example(example(a=field(7, b"")))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read_examples(tmp_path / "none"))


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 255))
def test_no_bytes_break_the_reader(data: bytes, at: int, byte: int) -> None:
    whole = example(a=field(1, field(1, data)), b=field(3, varint(1 << 3) + varint(7)))
    changed = bytearray(whole)
    changed[at % len(whole)] = byte
    for given_bytes in (data, bytes(changed)):
        try:
            found = parse_example(given_bytes)
        except InputError as error:
            assert re.search("no Example|neither bytes|another kind", str(error))
            continue
        for name, values in found.items():
            assert isinstance(name, str)
            assert {type(value) for value in values} in (set(), {bytes}, {float}, {int})
    assert parse_example(whole) == {"a": [data], "b": [7]}
