"""Addresses of media: a path or URL, and possibly a byte range of it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from curate.errors import MediaError

__all__ = ["Address", "has_range", "is_remote", "parse", "show", "with_range"]

_RANGE = re.compile(r"#bytes=(\d{1,19}),(\d{1,19})\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Address(NamedTuple):
    """`scheme` is "" for a local path; `target` the path, or the URL without the byte range."""

    scheme: str
    target: str
    offset: int | None = None
    length: int | None = None


def parse(uri: str) -> Address:
    """Take an address apart. Raises MediaError("unsupported-address") where it can mean nothing."""
    offset = length = None
    found = _RANGE.search(uri) if "#bytes=" in uri else None
    if found:
        uri, offset, length = uri[: found.start()], int(found[1]), int(found[2])
    if not uri:
        raise MediaError("unsupported-address", "the address is empty")
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return Address("", uri, offset, length)
    name = scheme[1].lower()
    if name not in ("file", "local"):
        return Address(name, uri, offset, length)
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise MediaError(
            "unsupported-address", f"a file URL with a host ({parts.netloc!r}) names no local file"
        )
    return Address("", unquote(parts.path), offset, length)


def with_range(target: str, offset: int, length: int) -> str:
    """The address of `length` bytes of a file from `offset` on."""
    return f"{target}#bytes={offset},{length}"


def has_range(uri: str) -> bool:
    """Whether the text would be read as a byte range; a *file name* of that shape has no address."""
    return _RANGE.search(uri) is not None


def is_remote(uri: str) -> bool:
    """Whether opening it asks another machine, as far as the address tells."""
    scheme = _SCHEME.match(uri)
    return scheme is not None and scheme[1].lower() not in ("file", "local")


def show(uri: str) -> str:
    """The address for messages and logs: without user name, password and query, which may hold secrets."""
    if not is_remote(uri):
        return uri
    try:
        parts = urlsplit(uri)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" + (
            "?..." if parts.query else ""
        )
    except ValueError:
        return uri.partition("://")[0] + "://..."
