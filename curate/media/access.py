"""The bytes behind an address."""

from __future__ import annotations

import errno
import os
import stat

from curate.counting import counted
from curate.errors import MediaError
from curate.media.address import parse, show
from curate.media.clock import fetching
from curate.media.policy import DEFAULT, MediaPolicy

__all__ = ["open_bytes", "read_bytes"]


def open_bytes(uri: str, policy: MediaPolicy = DEFAULT) -> bytes:
    """All bytes at an address, or of its byte range.

    Raises MediaError with code `missing`, `denied`, `not-a-file`, `truncated` (the byte range ends behind the file),
    `too-large`, `unreadable`, `unsupported-address`, `remote-not-allowed`, `fetch-failed` or `timeout`.
    """
    try:
        return read_bytes(uri, policy)
    except MediaError as error:
        raise MediaError(error.code, f"{show(uri)}: {error}") from error.__cause__


def read_bytes(uri: str, policy: MediaPolicy) -> bytes:
    """As `open_bytes`, with messages that leave the address out."""
    if uri.startswith("/") and "#" not in uri:  # the usual case, 25,000 times a second
        return _read_local(uri, None, None, policy.max_bytes)
    scheme, target, offset, length = parse(uri)
    if not scheme:
        return _read_local(target, offset, length, policy.max_bytes)
    with fetching():
        if scheme in ("http", "https"):
            from curate.media.remote import fetch

            return fetch(target, policy, offset=offset, length=length)
        return _read_fsspec(scheme, target, (offset, length), policy)


def _read_local(path: str, offset: int | None, length: int | None, max_bytes: int) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe without a writer would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _explain(error) from error
    except ValueError as error:
        raise MediaError("missing", "no such file: the name holds a NUL character") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise MediaError("not-a-file", "not a regular file")
        start = offset or 0
        size = facts.st_size if length is None else length
        if size > max_bytes:
            raise _too_large(size, max_bytes)
        if start + size > facts.st_size:
            raise MediaError(
                "truncated", f"bytes {start} to {start + size} asked for, the file has {facts.st_size}"
            )
        if start:
            os.lseek(descriptor, start, os.SEEK_SET)
        data = os.read(descriptor, size)
        while len(data) < size:
            more = os.read(descriptor, size - len(data))
            if not more:
                raise MediaError("truncated", f"the file ended after {len(data)} of {counted(size, 'byte')}")
            data += more
        return data
    except OSError as error:
        raise _explain(error) from error
    finally:
        os.close(descriptor)


def _explain(error: OSError) -> MediaError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MediaError("missing", "no such file")
    if error.errno in (errno.EACCES, errno.EPERM):
        return MediaError("denied", "permission denied")
    if error.errno in (errno.EISDIR, errno.ENXIO):
        return MediaError("not-a-file", "not a regular file")
    return MediaError("unreadable", f"reading failed: {os.strerror(error.errno or 0)}")


def _too_large(size: int, limit: int) -> MediaError:
    return MediaError("too-large", f"{counted(size, 'byte')}, the limit is {limit} (MediaPolicy.max_bytes)")


def _read_fsspec(scheme: str, url: str, window: tuple[int | None, int | None], policy: MediaPolicy) -> bytes:
    offset, length = window
    if "::" in url:  # zip://x::http://host/y would walk around `hosts`
        raise MediaError("unsupported-address", "chained URLs are not opened as media")
    if scheme not in policy.protocols:
        allowed = ", ".join(sorted(policy.protocols)) or "none"
        raise MediaError(
            "remote-not-allowed",
            f"protocol {scheme!r} is not allowed (MediaPolicy.protocols allows: {allowed})",
        )
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url)
        size = int(files.info(path)["size"])
        start = offset or 0
        stop = size if length is None else start + length
        if stop - start > policy.max_bytes:
            raise _too_large(stop - start, policy.max_bytes)
        if stop > size:
            raise MediaError("truncated", f"bytes {start} to {stop} asked for, the file has {size}")
        data: bytes = files.cat_file(path, start=start, end=stop)
    except FileNotFoundError as error:
        raise MediaError("missing", "no such file") from error
    except PermissionError as error:
        raise MediaError("denied", "permission denied") from error
    except MediaError:
        raise
    except Exception as error:  # every implementation of fsspec has errors of its own
        raise MediaError("fetch-failed", f"{type(error).__name__}: {error}") from error
    return data
