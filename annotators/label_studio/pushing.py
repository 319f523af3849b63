"""`push`: from items to tasks on the server, each once, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from curate.annotators.label_studio.ledger import Ledger
from curate.annotators.label_studio.places import Places, still_there
from curate.annotators.label_studio.server import Server
from curate.annotators.label_studio.serving import Media, Serving
from curate.annotators.label_studio.shelf import Parcel, Shelf, data_digest
from curate.annotators.label_studio.wire import Absent, Meanwhile
from curate.annotators.tasks import PreAnnotations, PushReceipt, Task, Template
from curate.annotators.tasks.items import rows_of, why_not
from curate.errors import AnnotatorError, InputError, MediaError

__all__ = ["Asked", "push"]

FIRST = 1000
"""The first import has no more tasks: it is made while the server makes the project, which takes it no longer."""
CHUNK_BYTES = 16 << 20
"""An import is not longer: the server fails at bodies over 250 MB, and holds each several times."""
_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
NOW = ("task_number", "total_predictions_number", "model_version")
"""What a push wants to know of its project in the end, beside the settings."""


@dataclass(frozen=True)
class Asked:
    """What is to be shown, and how. `template` is fitted; `chunk` tasks go in one import."""

    view: Any
    template: Template
    round: int = 1
    guesses: PreAnnotations | None = None
    annotators: int = 1
    blind: bool = False
    media: Media = "auto"
    files: str = ""
    there: str = ""
    chunk: int = 2000
    patience: float = 30.0
    dry_run: bool = False
    recreate: bool = False

    @property
    def columns(self) -> list[str]:
        """Columns of the items that are read."""
        more = self.guesses.needs if self.guesses else ()
        return list(dict.fromkeys([*self.template.columns(self.view.columns), *more]))

    @property
    def settings(self) -> dict[str, Any]:
        """Of the project."""
        return {"maximum_annotations": self.annotators, "show_collab_predictions": not self.blind}


def push(server: Server, ledger: Ledger, dataset: str, asked: Asked) -> PushReceipt:
    """Bring a task for every item onto the server that has none there in this round; see `LabelStudio.push`."""
    places, making, new = Places(server, ledger, dataset), _Making(asked, dataset), False
    project = places.find(asked.round, asked.template, gone_is_none=asked.recreate)
    unknown = project is None
    if project is None:
        if asked.dry_run:
            return making.plan()
        settings, prepare = asked.settings, making.meanwhile  # all will be missing: there is nothing in it
        project, new = places.make(asked.round, asked.template, settings, meanwhile=prepare)
        if not new:
            making = _Making(asked, dataset)  # somebody else made it: some may be there
    project = places.settle_spec(project, asked.template)
    shelf = Shelf(server, ledger, project, asked.patience, unknown)
    if not asked.dry_run:
        shelf.settle()
    if not new:
        shelf.look()
    making.shelf = shelf
    making.serving = Serving(server, project, asked.media, asked.files, asked.there)
    if asked.dry_run:
        return making.plan()
    making.counts["repaired"] += shelf.repair()
    try:
        making.send()
        _set_up(shelf, making, _check(shelf, making))
    except Absent:
        still_there(server, project)  # says so, where the project is what is gone
        raise
    finally:
        shelf.enter()
    return making.receipt(project.page)


def _check(shelf: Shelf, making: _Making) -> Mapping[str, Any]:
    """Is everything there, once? Counted by the server; listed where the count is another, or something was cut off.

    Gives the project as the server sees it.
    """
    fields = (*NOW, *making.asked.settings)
    now = still_there(shelf.server, shelf.project, *fields, meanwhile=shelf.enter)
    if not shelf.lost and int(now["task_number"]) == shelf.count():
        return now
    shelf.look()
    making.counts["repaired"] += shelf.repair()
    missing = making.sent - shelf.there.keys()
    if missing:
        raise AnnotatorError(
            f"{len(missing)} of the tasks sent to {shelf.project.page} are not there any more: somebody deletes them while "
            "we push. Run it again to see which"
        )
    return now


def _set_up(shelf: Shelf, making: _Making, now: Mapping[str, Any]) -> None:
    """Settings that only hold once there are tasks: pre-annotations are shown if the project names their model."""
    wanted, guesses = dict(making.asked.settings), making.asked.guesses
    if guesses is not None and now.get("total_predictions_number"):
        shown = now.get("model_version") or ""
        if shelf.created or not shown:
            wanted["model_version"] = guesses.model_version
        elif shown != guesses.model_version:  # the server refuses the name of a model that said nothing
            making.reasons[
                f"pre-annotations by {shown!r} stay as they were sent: show others in another round"
            ] += 1
    changed = {name: value for name, value in wanted.items() if now.get(name) != value}
    if changed:
        shelf.server.change_project(shelf.project.id, changed)


@dataclass
class _Making:
    """Making tasks of rows, sending those that are missing, and what is to be told about it."""

    asked: Asked
    dataset: str
    shelf: Shelf | None = None
    serving: Serving | None = None
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sent: set[str] = field(default_factory=set)
    made: Future[list[Parcel]] | None = None

    @cached_property
    def chunks(self) -> Iterator[list[Parcel]]:
        """What is missing, made as it is asked for, in pieces that go in one import each."""
        return self._chunks()

    def plan(self) -> PushReceipt:
        """What `send` would do."""
        for row, task in self._missing():
            self.counts["created"] += 1
            if self.asked.guesses is not None:
                self._guess(row, task)
        if self.shelf is not None:
            self.counts["repaired"] = sum(len(ids) - 1 for ids in self.shelf.twice.values())
        return self.receipt(self.shelf.project.page if self.shelf else "")

    @property
    def meanwhile(self) -> Meanwhile | None:
        """What is done while the server works: the next chunk is made.

        Where making tasks writes to the server too, one waits for the other: it counts wrong under two writers.
        """
        return None if self.asked.template.media else self._prepare

    def send(self) -> None:
        """Send what is missing, a chunk at a time."""
        assert self.shelf is not None
        while parcels := self._take():
            self.shelf.send(parcels, self.meanwhile)
            self.sent |= {p.task.key for p in parcels} - {t.key for t, _ in self.shelf.refused}

    def _prepare(self) -> None:
        """Make the next chunk. What goes wrong is raised when it is taken: first the server's answer is to be heard."""
        if self.made is None:
            self.made = Future()
            try:
                self.made.set_result(next(self.chunks, []))
            except BaseException as error:
                self.made.set_exception(error)

    def _take(self) -> list[Parcel]:
        self._prepare()
        assert self.made is not None
        made, self.made = self.made, None
        return made.result()

    def _chunks(self) -> Iterator[list[Parcel]]:
        waiting: list[Parcel] = []
        size, most = 0, min(FIRST, self.asked.chunk)
        for row, plain in self._missing():
            parcel = self._parcel(row, plain)
            if parcel is None:
                continue
            if waiting and (len(waiting) >= most or size + len(parcel.json) > CHUNK_BYTES):
                yield waiting
                waiting, size, most = [], 0, self.asked.chunk
            waiting.append(parcel)
            size += len(parcel.json)
        if waiting:
            yield waiting

    def _missing(self) -> Iterator[tuple[Mapping[str, Any], Task]]:
        """Rows that have no task yet, with the task they would be."""
        # a copy: what is sent meanwhile is added to the original
        there = dict(self.shelf.there) if self.shelf else {}
        before = self.shelf.ledger.tasks(self.shelf.project.source) if self.shelf else {}
        for row in rows_of(self.asked.view, self.asked.columns):
            try:
                task = self.asked.template.task(row, dataset=self.dataset, round=self.asked.round)
            except InputError as error:
                self._fail(row, error)
                continue
            seen = there.get(task.key)
            if seen is not None:
                self.counts["present"] += 1
                self.counts["changed"] += seen.hash != task.hash
            elif task.key in before and before[task.key].deleted and not self.asked.recreate:
                self.counts["deleted"] += 1
            else:
                yield row, task

    def _parcel(self, row: Mapping[str, Any], plain: Task) -> Parcel | None:
        try:
            task = plain
            if self.asked.template.media:
                assert self.serving is not None
                task = self.asked.template.task(
                    row, dataset=self.dataset, round=self.asked.round, serve=self.serving.serve
                )
            if self.asked.guesses is not None:
                task = dataclasses.replace(task, predictions=self._guess(row, task))
        except (InputError, MediaError) as error:
            self._fail(row, error)
            return None
        # Without `meta`, which says again what the data says: it takes the server a tenth of the time.
        body = (
            {"data": task.data, "predictions": task.predictions} if task.predictions else {"data": task.data}
        )
        return Parcel(task, _written(body).encode(), data_digest(task.data))

    def _guess(self, row: Mapping[str, Any], task: Task) -> tuple[dict[str, Any], ...]:
        assert self.asked.guesses is not None
        guesses, problems = self.asked.guesses.guess(self.asked.template, row, task.data)
        self.counts["unguessed"] += not guesses
        self.reasons.update(problems)
        return tuple(guesses)

    def _fail(self, row: Mapping[str, Any], error: Exception) -> None:
        self.counts["failed"] += 1
        self.reasons[why_not(error, row["id"])] += 1

    def receipt(self, place: str) -> PushReceipt:
        """What was done, or would be."""
        if self.shelf is not None:
            self.counts["created"] += self.shelf.created
            self.counts["failed"] += len(self.shelf.refused)
            self.counts["unguessed"] += self.shelf.unguessed
            self.reasons.update(why for _, why in self.shelf.refused)
        return PushReceipt(
            **self.counts,
            round=self.asked.round,
            place=place,
            planned=self.asked.dry_run,
            reasons=dict(self.reasons),
        )
