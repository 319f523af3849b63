"""The tasks of one project, by our keys: what is there, what is there twice, and getting more of them there, once each.

The server knows no key: the same tasks sent twice are there twice. So everything is listed before anything is sent, an
import is entered in the ledger before it leaves, and one whose end nobody saw is waited for before it is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from curate.annotators.label_studio.ledger import Ledger, Project, Sent
from curate.annotators.label_studio.server import Server, equal_to
from curate.annotators.label_studio.wire import Failed, Lost, Meanwhile, Refused
from curate.annotators.tasks import Task
from curate.contracts import digest
from curate.counting import counted
from curate.errors import AnnotatorError

__all__ = ["Parcel", "Shelf", "data_digest"]

TOGETHER = 100
"""Duplicates looked at, and deleted, at once."""
ATTEMPTS = 3
"""So often an import is sent whose end was not seen and which did not arrive."""


class Parcel(NamedTuple):
    """A task, the JSON by which it is imported, and the digest of its data: made while the server takes the one before."""

    task: Task
    json: bytes
    digest: str


def data_digest(data: Mapping[str, Any]) -> str:
    """Identity of a task's data: what was sent, or what is there now. A database may write 1e16 as an integer."""
    return digest("task data", _plain(data))


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int)):  # most are: asked first
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


@dataclass
class Shelf:
    """What is known of a project's tasks. `patience`: seconds after which an import that was cut off will not arrive;
    `unknown`: the ledger does not know the project yet.
    """

    server: Server
    ledger: Ledger
    project: Project
    patience: float = 30.0
    unknown: bool = False
    there: dict[str, Sent] = field(default_factory=dict)
    twice: dict[str, list[int]] = field(default_factory=dict)
    foreign: int = 0
    last: int = 0
    lost: bool = False
    created: int = 0
    unguessed: int = 0
    refused: list[tuple[Task, str]] = field(default_factory=list)
    _under_way: bool = False
    _arrivals: list[tuple[Parcel, int]] = field(default_factory=list)

    # --- Looking ------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """List everything, and bring the ledger up to date: tasks it did not know, and tasks that are gone."""
        self.there, self.twice, self.foreign, self.last = {}, {}, 0, 0
        known = self.ledger.tasks(self.project.source)  # before: what is entered while we list is no deletion
        self._look_further()
        new = [t for key, t in self.there.items() if key not in known]
        self.ledger.remember_tasks(self.project.source, new)
        for key, old in known.items():
            seen = self.there.get(key)
            if seen is not None:  # what was sent is what we know we sent, not what lies there now
                self.there[key] = Sent(key, seen.id, old.item, old.hash, old.sent)
        moved = [self.there[k] for k, old in known.items() if k in self.there and self.there[k] != old]
        self.ledger.remember_tasks(self.project.source, moved)
        self.ledger.mark_deleted(
            self.project.source, (k for k, t in known.items() if k not in self.there and not t.deleted)
        )

    def _look_further(self) -> list[str]:
        """List what came after the last that was seen; the keys found."""
        found = []
        for page in self.server.tasks(self.project.id, "id,data", after=self.last):
            for one in page:
                number, data = int(one["id"]), one["data"]
                self.last = max(self.last, number)
                key = data.get("cur_key")
                if not isinstance(key, str):
                    self.foreign += 1
                elif key in self.there:
                    self.twice.setdefault(key, [self.there[key].id]).append(number)
                else:
                    marks = (str(data.get("cur_item")), str(data.get("cur_hash")), data_digest(data))
                    self.there[key] = Sent(key, number, *marks)
                    found.append(key)
        return found

    def count(self) -> int:
        """Tasks that we believe are there, ours and others'."""
        return len(self.there) + self.foreign + sum(len(ids) - 1 for ids in self.twice.values())

    # --- Repairing ----------------------------------------------------------------------------------------------

    def repair(self) -> int:
        """Delete what is there twice; one that anybody worked on stays. How many were deleted."""
        keys = sorted(self.twice)
        deleted = sum(self._repair(keys[at : at + TOGETHER]) for at in range(0, len(keys), TOGETHER))
        self.twice = {}
        return deleted

    def _repair(self, keys: Sequence[str]) -> int:
        copies = [number for key in keys for number in self.twice[key]]
        worked = self.server.worked_on(self.project.id, copies)
        doomed: list[int] = []
        for key in keys:
            old, busy = self.there[key], sorted(worked.intersection(self.twice[key]))
            keep = busy[0] if busy else old.id
            doomed += [n for n in self.twice[key] if n != keep and n not in worked]
            self.there[key] = Sent(key, keep, old.item, old.hash, old.sent)
            # Two that were worked on both stay: answers to either are answers to the item.
            self.foreign += max(len(busy) - 1, 0)
        if doomed:
            self.server.delete_tasks(self.project.id, doomed)
        self.ledger.remember_tasks(self.project.source, (self.there[k] for k in keys))
        return len(doomed)

    # --- Sending ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """If an import was cut off when we were last here, wait until it has arrived or never will."""
        flight = self.ledger.flight(self.project.source)
        if flight is not None:
            self.lost = True
            self._await(*flight)
            self.ledger.land(self.project.source)

    def _await(self, began: float, key: str) -> bool:
        """Whether an import sent at `began`, with this task, has arrived: all of its tasks do, or none."""
        while True:
            if any(self.server.tasks(self.project.id, "id", [equal_to("cur_key", key)])):
                return True
            if time.time() - began > self.patience:
                return False
            time.sleep(min(1.0, self.patience / 10))

    def send(self, parcels: Sequence[Parcel], meanwhile: Meanwhile | None = None) -> None:
        """Bring tasks onto the server that are not there; what it will not take goes to `refused`.

        What arrived is noted while the server takes what is sent next, before `meanwhile`; after the last, `enter` it.
        Raises AnnotatorError where the server cannot be reached; run again, nothing is there twice then.
        """
        try:
            self._send(parcels, meanwhile)
        except Refused as error:
            if error.status in (401, 403, 404):
                raise
            if len(parcels) == 1:
                self.refused.append((parcels[0].task, str(error)))
                return
            half = len(parcels) // 2  # one that is refused keeps all others out: find it
            self.send(parcels[:half])
            self.send(parcels[half:])

    def enter(self) -> None:
        """Note what arrived, here and in the ledger; where nothing is under way, that nothing is."""
        if self.unknown:
            self.ledger.remember_project(self.project)
            self.unknown = False
        sent = [Sent(t.key, number, t.item, t.hash, digest_) for (t, _, digest_), number in self._arrivals]
        if sent:
            self.there.update((one.key, one) for one in sent)
            self.last = max(self.last, *(one.id for one in sent))
            self.ledger.remember_tasks(self.project.source, sent)
            self._arrivals = []
        if not self._under_way:
            self.ledger.land(self.project.source)

    def _send(self, parcels: Sequence[Parcel], meanwhile: Meanwhile | None) -> None:
        body = b"[" + b",".join(p.json for p in parcels) + b"]"
        keys = [p.task.key for p in parcels]

        def between() -> None:
            self.enter()
            if meanwhile is not None:
                meanwhile()

        for attempt in range(ATTEMPTS):
            began, self._under_way = time.time(), True
            self.ledger.take_off(self.project.source, keys[0])
            try:
                tasks, guesses, numbers = self.server.import_tasks(self.project.id, body, between)
            except Refused:
                self._under_way = False
                raise
            except Lost as error:
                self.lost = True
                if not self._arrived(began, keys[0], error):
                    if isinstance(error, Failed) and attempt:  # twice is no accident
                        self._under_way = False
                        raise Refused(500, str(error)) from None
                    if attempt + 1 < ATTEMPTS:
                        continue
                self._landed(parcels, self._numbers(keys, error))
                return
            if tasks != len(parcels) or len(numbers) != len(parcels):
                numbers = []
            self.unguessed += sum(len(p.task.predictions) for p in parcels) - guesses
            self._landed(parcels, numbers or self._numbers(keys, None))
            return

    def _arrived(self, began: float, key: str, error: Lost) -> bool:
        try:
            return self._await(0.0 if isinstance(error, Failed) else began, key)
        except Lost as again:
            raise AnnotatorError(
                f"{error}; and then {again}. {counted(self.created, 'task is', 'tasks are')} there for sure. Run the "
                "push again when the server is back: it looks first, so none will be there twice"
            ) from None

    def _numbers(self, keys: Sequence[str], error: Lost | None) -> list[int]:
        """The ids of tasks that were imported without our being told."""
        self.enter()
        self._look_further()
        missing = [k for k in keys if k not in self.there]
        if missing:
            raise AnnotatorError(
                f"{len(missing)} of {counted(len(keys), 'task')} did not arrive at {self.project.page}: "
                f"{error or 'it took fewer'}. Run the push again: only what is missing is sent"
            )
        return [self.there[k].id for k in keys]

    def _landed(self, parcels: Sequence[Parcel], numbers: Sequence[int]) -> None:
        self._under_way = False
        self._arrivals += zip(parcels, numbers, strict=True)
        self.created += len(parcels)
