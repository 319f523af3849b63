"""Replies kept on disk by what was asked: a question that was answered once is never paid for again.

<folder>/ab/abcdef....json      one reply, written to one side and renamed: it is there whole or not at all
<folder>/locks/abcdef....lock   held while a question is under way, so that two processes do not both ask it
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curate.errors import InputError

__all__ = ["Replies", "Reply"]


@dataclass(frozen=True)
class Reply:
    """What came back: the text, the tokens it cost, and where they were asked for the likeliest tokens.

    `top` has for each token of the text the pairs (token, log-probability) that were likeliest there, most likely first.
    `finish` is why it ended, as the endpoint says: `stop`, `length` (cut off), ...
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    finish: str = ""
    top: tuple[tuple[tuple[str, float], ...], ...] = ()


@dataclass(frozen=True)
class Replies:
    """A folder of replies by key (hex digest of what was asked). Any number of threads and processes may share it."""

    folder: Path

    def find(self, key: str) -> Reply | None:
        """The reply kept under a key. A file that is damaged counts as none, and is written anew."""
        try:
            return _read(json.loads(self._path(key).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
            return None

    def any(self) -> bool:
        """Whether there is a reply."""
        return next(self.folder.glob("??/*.json"), None) is not None

    def keep(self, key: str, reply: Reply) -> None:
        """Writes a reply so that a crash leaves it whole or leaves none."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=key[:8], suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(reply), file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @contextmanager
    def asking(self, key: str) -> Iterator[None]:
        """Inside, no other thread or process asks the same. Ends by itself where a process dies."""
        path = self.folder / "locks" / f"{key}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cache {str(self.folder)!r} cannot be written: {error.strerror}. Name a folder that can"
            ) from None
        handle = _lock(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: whoever waits for it sees that it is gone
            os.close(handle)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def _lock(path: Path) -> int:
    """An open file that is locked and still the one under this name."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if os.stat(path).st_ino == os.fstat(handle).st_ino:  # noqa: PTH116
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # the one before us took the name away


def _read(data: Any) -> Reply:
    top = tuple(tuple((str(token), float(log)) for token, log in place) for place in data["top"])
    return Reply(str(data["text"]), int(data["tokens_in"]), int(data["tokens_out"]), str(data["finish"]), top)
