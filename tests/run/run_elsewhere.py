"""A machine that shares nothing with the driver but an address, played by a process on this one.

As a script it reads pickled (function, task, failpoints) from standard input, and writes the pickled outcomes.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import CurateError
from curate.pieces import failed, named
from curate.run.ray_held import HeldByRay
from curate.run.ray_worker import Gone, Keeper
from curate.run.runner import Outcome, attempt
from curate.store import failpoints, places
from curate.store.failpoints import EXIT_CODE


@dataclass
class Elsewhere:
    """Runs tasks in a process that lives in another folder, while the driver's store is out of sight.

    `failpoints` arms it for the n-th attempt; when it dies another is started. `after` is called with every outcome's number.
    """

    store: Path
    folder: Path
    failpoints: dict[int, str] = field(default_factory=dict)
    after: Callable[[int], None] = lambda done: None
    say: Callable[[str], None] = lambda text: None
    workers = 1
    elsewhere = True
    attempts: int = 0
    deaths: int = 0
    _process: Any = None

    def map(self, function: Any, tasks: Iterable[Any], *, processes: bool) -> Iterator[Outcome[Any, Any]]:
        for done, task in enumerate(tasks):
            answer = None
            while answer is None:
                answer = self._try(function, task)
            if isinstance(answer, CurateError):
                raise answer
            self.after(done)
            yield answer

    def each(self, function: Any, tasks: Iterable[Any]) -> Iterator[Any]:
        """See `Crew`."""
        for task in tasks:
            while (answer := self._try(function, task)) is None:
                pass
            if isinstance(answer, CurateError):
                raise answer
            if answer.error is not None:
                raise failed(named(function), task, answer.error)
            yield answer.value

    @contextmanager
    def hold(self, make: Any, pieces: Sequence[Any]) -> Iterator[HeldByRay]:
        """See `Crew`: as in a cluster of one worker."""
        held = HeldByRay(self, make, pieces)  # type: ignore[arg-type]
        held.open()
        yield held
        held.close()

    def put(self, what: Any) -> Any:
        return what

    def at_hand(self, most: int, patience: float) -> list[int]:
        return [0]

    def is_back(self, worker: int, patience: float | None) -> bool:
        return True

    def send(self, calls: Mapping[int, Any]) -> Mapping[int, Any]:
        return calls

    def answers(self, calls: Mapping[int, Any]) -> Iterator[tuple[int, Any]]:
        for worker, call in calls.items():
            answer = self._try(keep, call)
            assert answer is None or isinstance(answer, CurateError) or answer.error is None, answer
            yield worker, Gone("killed") if answer is None else getattr(answer, "value", answer)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _try(self, function: Any, task: Any) -> Any:
        """The outcome, or None where the process died of a failpoint."""
        self.attempts += 1
        hidden = self.store.with_name("out-of-sight")
        self.store.rename(hidden)
        try:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            pickle.dump((function, task, self.failpoints.get(self.attempts, "")), process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)  # noqa: S301
        except EOFError:
            assert self._process is not None and self._process.wait() == EXIT_CODE
            self.deaths += 1
            self.close()
        finally:
            assert not self.store.exists(), "the worker made a folder where the driver's store is"
            hidden.rename(self.store)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            path = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            env = {**os.environ, "PYTHONPATH": path}
            self._process = subprocess.Popen([sys.executable, __file__], cwd=self.folder, env=env, **pipes)
        return self._process


KEEPER = Keeper()


def keep(call: tuple[Any, ...]) -> Any:
    """What that process holds."""
    return getattr(KEEPER, call[0])(*call[1:])


def main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed
    while True:
        try:
            function, task, armed = pickle.load(sys.stdin.buffer)  # noqa: S301
        except EOFError:
            return
        failpoints.arm(armed)
        try:
            answer: Any = attempt(function, task)
        except CurateError as error:
            answer = error
        places.tidy()
        pickle.dump(answer, out)
        out.flush()


if __name__ == "__main__":
    main()
