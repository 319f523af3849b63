"""Addresses of media, and the bytes behind them."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from curate.errors import MediaError
from curate.media import MediaPolicy, open_bytes
from curate.media.address import Address, has_range, parse, show, with_range


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/a/b.jpg", Address("", "/a/b.jpg")),
        ("/a/b.tar#bytes=512,10", Address("", "/a/b.tar", 512, 10)),
        ("/a/b#bytes=1.jpg", Address("", "/a/b#bytes=1.jpg")),
        ("/a/c #1.jpg", Address("", "/a/c #1.jpg")),
        ("file:///a/b%20c.jpg", Address("", "/a/b c.jpg")),
        ("file:///a/b.tar#bytes=0,3", Address("", "/a/b.tar", 0, 3)),
        ("s3://bucket/key.jpg", Address("s3", "s3://bucket/key.jpg")),
        ("HTTPS://Host/x", Address("https", "HTTPS://Host/x")),
    ],
)
def test_addresses_are_taken_apart(uri: str, expected: Address) -> None:
    assert parse(uri) == expected


@pytest.mark.parametrize("uri", ["", "#bytes=0,1", "file://host/share/a.jpg"])
def test_addresses_that_mean_nothing(uri: str) -> None:
    with pytest.raises(MediaError) as error:
        parse(uri)
    assert error.value.code == "unsupported-address"


def test_ranges_are_written_as_they_are_read() -> None:
    assert with_range("/a.tar", 512, 7) == "/a.tar#bytes=512,7"
    assert has_range("/a.tar#bytes=512,7")
    assert not has_range("/a#bytes=x,7.jpg")


def test_secrets_in_urls_are_not_shown() -> None:
    assert show("https://user:key@host.org/a.jpg?signature=abc") == "https://host.org/a.jpg?..."
    assert show("/plain/path?x") == "/plain/path?x"


def test_bytes_of_files_and_ranges(tmp_path: Path) -> None:
    file = tmp_path / "ein Bild #1 🦀.bin"
    file.write_bytes(b"0123456789")
    assert open_bytes(str(file)) == b"0123456789"
    assert open_bytes(f"{file}#bytes=2,3") == b"234"
    assert open_bytes(file.as_uri()) == b"0123456789"
    assert open_bytes(f"{file.as_uri()}#bytes=9,1") == b"9"
    assert open_bytes(f"{file}#bytes=10,0") == b""


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "ten").write_bytes(b"0123456789")
    os.mkfifo(tmp_path / "pipe")
    expected = {
        "absent": "missing",
        "ten/below": "missing",
        "a\0b": "missing",
        "pipe": "not-a-file",
        ".": "not-a-file",
        "ten#bytes=8,3": "truncated",
    }
    for name, code in expected.items():
        with pytest.raises(MediaError) as error:
            open_bytes(f"{tmp_path}/{name}")
        assert error.value.code == code, name
    with pytest.raises(MediaError) as error:
        open_bytes("/dev/zero")
    assert error.value.code == "not-a-file"


def test_size_limit_counts_the_range_not_the_file(tmp_path: Path) -> None:
    (tmp_path / "ten").write_bytes(b"0123456789")
    policy = MediaPolicy(max_bytes=4)
    assert open_bytes(f"{tmp_path}/ten#bytes=3,4", policy) == b"3456"
    for uri in (f"{tmp_path}/ten", f"{tmp_path}/ten#bytes=0,5"):
        with pytest.raises(MediaError, match="max_bytes") as error:
            open_bytes(uri, policy)
        assert error.value.code == "too-large"


def test_other_protocols_only_where_allowed() -> None:
    with fsspec.open("memory://curate-test/x.bin", "wb") as stream:
        stream.write(b"0123456789")
    with pytest.raises(MediaError, match="memory") as error:
        open_bytes("memory://curate-test/x.bin")
    assert error.value.code == "remote-not-allowed"
    allowed = MediaPolicy(protocols=frozenset({"memory"}))
    assert open_bytes("memory://curate-test/x.bin", allowed) == b"0123456789"
    assert open_bytes("memory://curate-test/x.bin#bytes=1,2", allowed) == b"12"
    for uri, code in {
        "memory://curate-test/none": "missing",
        "memory://curate-test/x.bin#bytes=9,2": "truncated",
        "memory://x::http://127.0.0.1/": "unsupported-address",
    }.items():
        with pytest.raises(MediaError) as error:
            open_bytes(uri, allowed)
        assert error.value.code == code


def test_policy_survives_the_way_to_a_worker() -> None:
    policy = MediaPolicy(
        max_pixels=9, hosts=frozenset({"b.org", "a.org"}), protocols=frozenset({"s3"}), timeout=1.5
    )
    assert MediaPolicy.from_dict(policy.to_dict()) == policy
    assert policy.to_dict()["hosts"] == ["a.org", "b.org"]
