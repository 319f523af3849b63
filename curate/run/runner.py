"""Where parts are worked on: the `Runner` protocol and the local one, a pool of processes that outlives its workers."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from curate.errors import CurateError, InputError, check_installed
from curate.pieces import Crew, Here

log = logging.getLogger("curate")
T = TypeVar("T")
R = TypeVar("R")

MAX_DEATHS = 2
"""A task that has taken this many workers with it is not tried again."""


@dataclass(frozen=True)
class Outcome(Generic[T, R]):
    """What became of a task: its value, or why there is none."""

    task: T
    value: R | None = None
    error: str | None = None

    def without_task(self) -> Outcome[None, R]:
        """The same for one who knows the task: it need not travel back."""
        return Outcome(None, self.value, self.error)


class Runner(Crew, Protocol):
    """Applies a pure function to tasks and yields outcomes as they come. Workers write files; only the caller commits.
    It is also the crew for what is asked of a view by pieces (`curate.pieces`).

    A CurateError raised by the function is the user's to see and is raised; any other failure becomes an `Outcome`
    with an error, and the rest goes on.
    """

    say: Callable[[str], None]
    """Told what somebody who waits should know."""

    @property
    def elsewhere(self) -> bool:
        """Whether tasks may go to other machines, with packages and files of their own."""
        ...

    @property
    def workers(self) -> int: ...
    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, processes: bool
    ) -> Iterator[Outcome[T, R]]: ...
    def close(self) -> None: ...


class LocalRunner(Here):
    """Runs tasks in this process, or in worker processes when a function is Python-heavy (`processes=True`).

    Workers are loky's: they never import the caller's script again, so no `if __name__ == "__main__"` is needed.
    After a worker dies, what was in flight is tried again one task at a time, which finds the one that kills.
    """

    say: Callable[[str], None] = log.info
    elsewhere = False

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._pool: Any = None

    @property
    def workers(self) -> int:
        """How many tasks run at once in worker processes."""
        return self._workers

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, processes: bool
    ) -> Iterator[Outcome[T, R]]:
        """Outcomes in order of completion; at most `workers + 1` tasks are held at a time."""
        todo = list(tasks)
        if processes and self._workers > 1 and len(todo) > 1:
            yield from self._map_pool(function, todo)
        else:
            for task in todo:
                yield attempt(function, task)

    def _map_pool(self, function: Callable[[T], R], todo: Sequence[T]) -> Iterator[Outcome[T, R]]:
        waiting, suspects = list(reversed(todo)), list[T]()
        flying: dict[Future[Outcome[T, R]], T] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) <= self._workers:
                    task = waiting.pop()
                    flying[self._executor().submit(attempt, function, task)] = task
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    task = flying.pop(future)
                    if _died(future):
                        suspects.append(task)
                    else:
                        yield future.result()
                if suspects:
                    # The pool is gone and everything in flight with it: begin a new one, one suspect at a time.
                    suspects += flying.values()
                    flying.clear()
                    self._discard_pool()
                    for task in suspects:
                        yield self._alone(function, task)
                    suspects.clear()
        finally:
            for future in flying:
                future.cancel()

    def _alone(self, function: Callable[[T], R], task: T) -> Outcome[T, R]:
        for _ in range(MAX_DEATHS):
            future = self._executor().submit(attempt, function, task)
            wait([future])
            if not _died(future):
                return future.result()  # type: ignore[no-any-return]
            self._discard_pool()
        return Outcome(
            task, error=f"the worker process died {MAX_DEATHS} times on it (out of memory, or a crash)"
        )

    def _executor(self) -> Any:
        if self._pool is None:
            import loky

            self._pool = loky.ProcessPoolExecutor(
                max_workers=self._workers, timeout=60, initializer=_start_worker
            )
        return self._pool

    def _discard_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, kill_workers=True)
            self._pool = None

    def close(self) -> None:
        """End the workers."""
        self._discard_pool()


def choose_runner(on: str = "local", workers: int | None = None, gpus: float = 0.0) -> Runner:
    """The runner of this name: "local"; "ray" for a cluster of this machine's own; "ray://host:10001", "host:6379" or "auto"
    for one that runs already. `gpus` is what each Ray worker has of them.

    Raises InputError for another name, and for GPUs without Ray: locally a scorer's own `device` says where it runs;
    MissingExtraError where Ray is meant and not installed.
    """
    if on == "local":
        if gpus:
            raise InputError(
                "gpus are given to workers of a Ray cluster (on='ray'); locally a scorer's `device` chooses"
            )
        return LocalRunner(workers)
    address = None if on == "ray" else on
    if address is not None and address != "auto" and "://" not in address and ":" not in address:
        raise InputError(f"no runner {on!r}: 'local', 'ray', 'auto', 'ray://host:10001' or 'host:6379'")
    check_installed("ray", "ray")
    from curate.run.ray_runner import RayRunner

    return RayRunner(address, workers, gpus)


def attempt(function: Callable[[T], R], task: T) -> Outcome[T, R]:
    """What becomes of a task. Raises CurateError, and nothing else."""
    try:
        return Outcome(task, value=function(task))
    except CurateError:
        raise
    except Exception as error:
        return Outcome(task, error=f"{type(error).__name__}: {error}")


def _died(future: Future[Any]) -> bool:
    from concurrent.futures.process import BrokenProcessPool

    return future.cancelled() or isinstance(future.exception(), BrokenProcessPool)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        pass  # not Linux: loky's workers still end when the pipe to their parent closes
