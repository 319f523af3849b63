"""How long this process has spent opening media, and how long a thread waited for that: what a run tells of its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["Reading", "fetching", "now", "opening", "waiting"]

_lock = threading.Lock()
_opened = _fetched = 0.0
_mine = threading.local()


class Reading(NamedTuple):
    """Seconds so far: `opened`, reading and decoding media, and of that `fetched`, having them sent from elsewhere, both over
    all threads of the process; `waited`, what the asking thread itself spent opening media or waiting for others to."""

    opened: float
    fetched: float
    waited: float


def now() -> Reading:
    """The clock as it stands."""
    return Reading(_opened, _fetched, getattr(_mine, "waited", 0.0))


@contextmanager
def opening() -> Iterator[None]:
    """What happens inside is opening media: reading and decoding."""
    global _opened
    start = time.perf_counter()
    with waiting():
        try:
            yield
        finally:
            with _lock:
                _opened += time.perf_counter() - start


@contextmanager
def fetching() -> Iterator[None]:
    """What happens inside is having bytes of media sent from another machine."""
    global _fetched
    start = time.perf_counter()
    try:
        yield
    finally:
        with _lock:
            _fetched += time.perf_counter() - start


@contextmanager
def waiting() -> Iterator[None]:
    """Inside, this thread waits until media are open."""
    start = time.perf_counter()
    try:
        yield
    finally:
        _mine.waited = getattr(_mine, "waited", 0.0) + time.perf_counter() - start
