"""Open the next media in threads while a model works on the ones before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from curate.errors import MediaError
from curate.media.clock import waiting

__all__ = ["read_ahead", "read_batches"]

_THREADS = 4
T = TypeVar("T")
R = TypeVar("R")


def read_ahead(read: Callable[[T], R], values: Sequence[T], lead: int) -> Iterator[R | MediaError]:
    """What `read` gives for each value, in order, or the MediaError it raised; at most `lead` are held at a time.

    Reading goes on in threads while the caller works on what came: decoders and resizing let go of the interpreter, so a
    model finds its next batch ready. Anything else that `read` raises is raised when its turn comes.
    """

    def attempt(value: T) -> R | MediaError:
        try:
            return read(value)
        except MediaError as error:
            return error

    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="media")
    held: deque[Future[R | MediaError]] = deque()
    try:
        for value in values:
            held.append(pool.submit(attempt, value))
            if len(held) >= lead:
                yield _result(held.popleft())
        while held:
            yield _result(held.popleft())
    finally:  # also where the caller stops half-way: what nobody waits for is not begun
        pool.shutdown(cancel_futures=True)


def _result(future: Future[R | MediaError]) -> R | MediaError:
    with waiting():
        return future.result()


def read_batches(
    read: Callable[[T], R], values: Sequence[T], size: int
) -> Iterator[tuple[list[int], list[R], dict[int, MediaError]]]:
    """Full batches for a model: the positions and contents of `size` values that could be read (fewer at the end), and
    the MediaErrors, by position, of those passed over on the way. Up to three batches are held at a time."""
    rows: list[int] = []
    found: list[R] = []
    errors: dict[int, MediaError] = {}
    for row, one in enumerate(read_ahead(read, values, 3 * size)):
        if isinstance(one, MediaError):
            errors[row] = one
        else:
            rows.append(row)
            found.append(one)
        if len(rows) == size:
            yield rows, found, errors
            rows, found, errors = [], [], {}
    if rows or errors:
        yield rows, found, errors
