"""How long this process has spent opening media, over all its threads: what a run tells of its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["opening", "seconds_opening"]

_lock = threading.Lock()
_seconds = 0.0


@contextmanager
def opening() -> Iterator[None]:
    """What happens inside is opening media: reading and decoding."""
    global _seconds
    start = time.perf_counter()
    try:
        yield
    finally:
        with _lock:
            _seconds += time.perf_counter() - start


def seconds_opening() -> float:
    """Seconds so far; threads that work side by side add up."""
    return _seconds
