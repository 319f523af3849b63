"""Where parts are worked on, when that is a Ray cluster: the same parts, the same functions, the same commits.

The driver alone plans and commits; workers read the store's folder, which every node sees at the same path, and write parts
into it. A part is pure and committed whole, so a worker, a node or the driver may die at any moment: what was not committed is
done again, by Ray or by running the same command again.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from curate.contracts import Held, View
from curate.errors import CurateError, InputError, RunError, require
from curate.pieces import Piece, failed, named
from curate.run.ray_held import HeldByRay
from curate.run.ray_worker import Gone, Worker
from curate.run.runner import Outcome, log

__all__ = ["RayRunner"]

T = TypeVar("T")
R = TypeVar("R")

MAX_DEATHS = 5
"""A task that has taken this many workers with it is not tried again. More than on one machine: there, nodes do not go."""

OBJECT_STORE = 128 << 20
"""Bytes of shared memory of a cluster started here: tasks and outcomes are small, parts go by the disk."""


_AUTH = "ray._private.authentication.authentication_token_setup"

RESTART = 0.1
"""Seconds between an actor's death and the first question whether it is back."""


@dataclass(frozen=True)
class _Try(Generic[T]):
    """A task, and how many workers it has taken with it."""

    task: T
    deaths: int = 0


@dataclass(eq=False)
class RayRunner:
    """Runs tasks in actors of a Ray cluster, one task at a time each, so that a task which kills is known for it.

    `address` None starts a cluster on this machine that ends with the runner; "auto" joins the one running here,
    "ray://host:10001" or "host:6379" another. `workers` is how many actors there are (default: the cluster's CPUs, or with
    `gpus` as many as have that many GPUs); each keeps its model, and has one CPU and `gpus` GPUs, which may be a fraction.
    Raises MissingExtraError without Ray, RunError where the cluster cannot be reached or has no such place.
    """

    address: str | None = None
    asked: int | None = None
    gpus: float = 0.0
    _ray: Any = field(default=None, repr=False)
    _owned: bool = field(default=False, repr=False)
    _actors: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.say: Callable[[str], None] = log.info
        if (self.asked is not None and self.asked < 1) or self.gpus < 0:
            raise InputError(
                f"{self.asked} workers with {self.gpus} GPUs each: at least one worker, no negative share"
            )

    @property
    def elsewhere(self) -> bool:
        """Whether it is a cluster that was there before, of whatever machines."""
        return self.address is not None

    @property
    def workers(self) -> int:
        """How many tasks run at once."""
        if self.asked is not None:
            return self.asked
        have = self._connected().cluster_resources()
        places = have.get("GPU", 0.0) / self.gpus if self.gpus else have.get("CPU", 0.0)
        if places < 1:
            raise RunError(
                f"the cluster has {have.get('CPU', 0):g} CPUs and {have.get('GPU', 0):g} GPUs: no place for a worker of one "
                f"CPU and {self.gpus:g} GPUs"
            )
        return int(places)

    def map(
        self, function: Callable[[T], R], tasks: Iterable[T], *, processes: bool
    ) -> Iterator[Outcome[T, R]]:
        """Outcomes in order of completion. Every task goes to a worker, whatever `processes` says: it is there that the
        memory and the GPUs are; at most one a worker is under way, and tasks are made as workers take them, one ahead."""
        new = (_Try(task) for task in tasks)
        again: deque[_Try[T]] = deque()  # those that took a worker with them
        waiting = deque(islice(new, 1))
        if not waiting:
            return
        waiting.extend(islice(new, self.workers - 1))

        def left() -> bool:
            if not waiting:
                waiting.extend(islice(new, 1))
            return bool(waiting or again)

        ray = self._connected()
        known = uuid.uuid4().hex, [ray.put(function)]  # sent to each worker once, whatever it brings along
        free: list[Any] = []
        # None: an actor that is being started, or started again; one that finds no place gets no task
        busy: dict[Any, tuple[Any, _Try[T] | None]] = {
            actor.ready.remote(): (actor, None) for actor in self._hired(len(waiting))
        }
        try:
            while left() or any(held for _, held in busy.values()):
                while free and left():
                    actor, held = free.pop(), (waiting or again).popleft()
                    busy[actor.run.remote(*known, held.task)] = (actor, held)
                (reference,), _ = ray.wait(list(busy), num_returns=1)
                actor, held_back = busy.pop(reference)
                answer = _answer(ray, reference)
                if isinstance(answer, CurateError):
                    raise answer
                if isinstance(answer, Gone):
                    self.say(f"a worker died and is started again: {answer.why}")
                    time.sleep(RESTART)
                    busy[actor.ready.remote()] = (actor, None)
                else:
                    free.append(actor)
                if held_back is None:
                    continue
                if isinstance(answer, Outcome):
                    yield Outcome(held_back.task, answer.value, answer.error)
                elif held_back.deaths + 1 < MAX_DEATHS:
                    again.append(_Try(held_back.task, held_back.deaths + 1))
                else:
                    why = (
                        f"its worker died {MAX_DEATHS} times on it (out of memory, or a crash): {answer.why}"
                    )
                    yield Outcome(held_back.task, error=why)
        finally:
            if any(held for _, held in busy.values()):  # left half-way: that is of no use to anyone
                self._dismiss()

    def each(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """`Crew.each`: results in the order of the tasks. Those that are early wait here."""
        early: dict[int, R] = {}
        expected = 0
        for outcome in self.map(_Numbered(function), enumerate(tasks), processes=True):
            number, task = outcome.task
            if outcome.error is not None:
                raise failed(named(function), task, outcome.error)
            early[number] = outcome.value  # type: ignore[assignment]
            while expected in early:
                yield early.pop(expected)
                expected += 1

    @contextmanager
    def hold(self, make: Callable[[View, int], Any], pieces: Sequence[Piece]) -> Iterator[Held]:
        """`Crew.hold`: each state in one of the workers."""
        held = HeldByRay(self, make, pieces)
        try:
            if pieces:
                held.open()
            yield held
        finally:
            held.close()

    # --- for what is held --------------------------------------------------------------------------------------------

    def put(self, what: Any) -> Any:
        """A reference to something that is sent to each worker once."""
        return self._connected().put(what)

    def at_hand(self, most: int, patience: float) -> list[int]:
        """Numbers of up to `most` workers: those that are there some seconds after the first."""
        ray = self._connected()
        ready = {a.ready.remote(): i for i, a in enumerate(self._hired(min(self.workers, most)))}
        ray.wait(list(ready), num_returns=1)
        there, _ = ray.wait(list(ready), num_returns=len(ready), timeout=patience)
        return sorted(ready[reference] for reference in there)

    def is_back(self, worker: int, patience: float | None) -> bool:
        """Whether a worker that died is there again, within so many seconds (None: whenever)."""
        ray, since = self._connected(), time.monotonic()
        while patience is None or time.monotonic() < since + patience:
            time.sleep(RESTART)
            reference = self._hired(worker + 1)[worker].ready.remote()
            there, _ = ray.wait([reference], timeout=patience)
            if there and not isinstance(_answer(ray, reference), Gone):
                return True
        return False

    def send(self, calls: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """Ask workers, by number, to do something as keepers; gives references to their answers."""
        actors = self._hired(max(calls, default=-1) + 1)
        return {worker: actors[worker].keep.remote(*call) for worker, call in calls.items()}

    def answers(self, references: Mapping[int, Any]) -> Iterator[tuple[int, Any]]:
        """What each worker answers: a value, a CurateError that is the user's to see, or `Gone`."""
        for worker, reference in references.items():
            answer = _answer(self._connected(), reference)
            if isinstance(answer, Outcome):
                answer = RunError(f"a worker of the cluster failed: {answer.error}")
            yield worker, answer

    def close(self) -> None:
        """Let the actors go; a cluster that was started here ends."""
        if self._ray is not None:
            self._dismiss()
            if self._owned and self._ray.is_initialized():
                self._ray.shutdown()
            self._ray = None

    # --- inside ------------------------------------------------------------------------------------------------------

    def _connected(self) -> Any:
        if self._ray is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault(
                "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
            )  # or Ray warns of what it will do one day
            ray: Any = require("ray", "ray")
            if not ray.is_initialized():
                self._owned = True
                self.say(
                    f"joining the Ray cluster {self.address}"
                    if self.address
                    else "starting a Ray cluster here"
                )
                _start(ray, self.address, self.asked)
            self._ray = ray
            share = f" and {self.gpus:g} GPUs" if self.gpus else ""
            self.say(f"Ray: {self.workers} worker{'s' * (self.workers != 1)} of one CPU{share} each")
        return self._ray

    def _hired(self, count: int) -> list[Any]:
        """This many actors; those that died come back by themselves."""
        ray = self._connected()
        worker = ray.remote(num_cpus=1, num_gpus=self.gpus, max_restarts=-1, max_task_retries=0)(Worker)
        for number in range(len(self._actors), count):
            self._actors[number] = worker.remote(sys.path)
        return [self._actors[number] for number in range(count)]

    def _dismiss(self) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor, no_restart=True)
        self._actors.clear()


@dataclass(frozen=True)
class _Numbered(Generic[T, R]):
    """A function of tasks as one of numbered tasks."""

    function: Callable[[T], R]

    def __call__(self, task: tuple[int, T]) -> R:
        return self.function(task[1])


def _is_warning(record: logging.LogRecord) -> bool:
    """All but the news that the cluster asks for a token, as it should."""
    return "is enabled for this Ray cluster" not in record.getMessage()


def _start(ray: Any, address: str | None, workers: int | None) -> None:
    """Join a cluster, or start one: twice where it is slow, for Ray gives up on a busy machine after half a minute."""
    quiet = {"log_to_driver": False, "configure_logging": False}
    logging.getLogger(_AUTH).addFilter(_is_warning)
    # "local", or Ray would join whatever cluster somebody else has started on this machine
    own = {
        "address": "local",
        "num_cpus": workers,
        "object_store_memory": OBJECT_STORE,
        "include_dashboard": False,
    }
    for attempts_left in (1, 0):
        try:
            ray.init(**quiet, **(own if address is None else {"address": address}))
            return
        except Exception as error:  # Ray raises plain ones too
            ray.shutdown()
            if address is None and attempts_left:
                continue
            first = str(error).strip().split("\n", 1)[0]
            what = (
                f"the Ray cluster at {address!r} cannot be reached"
                if address
                else "no Ray cluster could be started"
            )
            raise RunError(f"{what}: {first}. `ray status` says whether one runs") from error


def _answer(ray: Any, reference: Any) -> Any:
    """An `Outcome`, a CurateError that is the user's to see, or `Gone`."""
    gone = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError, ray.exceptions.WorkerCrashedError)
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error  # what came could not be unpacked, say
        first = next((line for line in str(cause).split("\n") if line.strip()), "").strip()
        if isinstance(error, gone):
            return Gone(first)
        return Outcome(None, error=f"{type(cause).__name__}: {first}")
