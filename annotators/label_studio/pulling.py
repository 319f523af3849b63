"""`pull`: every answer that is on the server and not in the store yet, as rows that are only ever added.

Read are the tasks that changed since the last pull (by the server's own clock, with a margin: reading twice changes
nothing). What is new is worked out against the store, not against what we remember: a pull that was killed anywhere is
simply done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.annotators.label_studio.ledger import Ledger, Project, Sent
from curate.annotators.label_studio.places import Places, look_up
from curate.annotators.label_studio.server import FULL_PAGE, Server, among, changed_since
from curate.annotators.label_studio.shelf import Shelf, data_digest
from curate.annotators.label_studio.wire import Absent
from curate.annotators.tasks import (
    PullReceipt,
    Template,
    answer_table,
    build_template,
    read_annotation,
    read_time,
)
from curate.annotators.tasks.receipt import count_answer
from curate.errors import CurateError, InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["pull"]

MARGIN = timedelta(seconds=60)
"""A change bears the moment at which it was begun; it may become visible later, while the server is busy."""
ROWS = 20_000
"""Rows of answers recorded at once."""
INCLUDE = (
    "id,data,updated_at,annotations,predictions,"
    "result,completed_by,was_cancelled,ground_truth,created_at,lead_time,parent_prediction,model_version"
)
"""Of tasks, and of what is inside them: the server asks the same list what to leave out there."""

Now = Mapping[str, str]
"""Item to the hash of what a task for it would show now."""


def pull(
    server: Server, ledger: Ledger, store: Any, template: Template | None = None, *, full: bool = False
) -> PullReceipt:
    """Record what was answered in all projects of a store's data set; see `LabelStudio.pull`."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    projects = Places(server, ledger, store.id).known()
    people: dict[str, str] = {}
    if not projects:
        raise InputError(f"nothing of this data set was pushed to {server.url} yet")
    for project in projects:
        gone = f"the project of round {project.round} was deleted on the server; answers stay"
        if project.gone:
            reasons[gone] += 1
            continue
        people = people or server.people()
        pulling = _Pulling(server, ledger, store, project, _template(project, template), people)
        try:
            pulling.run(full)
        except Absent:
            reasons[gone] += 1  # while we read
        counts.update(pulling.counts)
        reasons.update(pulling.reasons)
    return PullReceipt(**counts, reasons=dict(reasons))


def _template(project: Project, given: Template | None) -> Template:
    """The template that a project's tasks were made by."""
    if given is not None and given.digest[:16] == project.config:
        return given
    with suppress(CurateError):
        made = build_template(project.template, project.spec)
        if made.digest[:16] == project.config:
            return made
    raise InputError(
        f"the tasks at {project.page} were made by a template {project.template!r} that cannot be made again from what is "
        "remembered: push again, or hand it over as pull(store, template=...)"
    )


@dataclass
class _Pulling:
    """Reading one project. `known` is what the store holds of the tasks being read, `seen` what this pull has counted."""

    server: Server
    ledger: Ledger
    store: Any
    project: Project
    template: Template
    people: Mapping[str, str]
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    known: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: set[tuple[str, datetime]] = field(default_factory=set)

    @cached_property
    def items(self) -> Any:
        """The items as they are now."""
        return self.store.items

    def run(self, full: bool) -> None:
        """Read what changed, record it, and remember how far we are."""
        answer = look_up(self.server, self.project, "task_number")
        sent = self._sent(int(answer.body["task_number"]), full)
        waiting: list[dict[str, Any]] = []
        for page in self._changed(sent, full):
            now = self._now(task["data"].get("cur_item") for task in page if task["annotations"])
            self._look_up(task["data"].get("cur_key") for task in page)
            for task in page:
                waiting += self._rows(task, sent, now)
            if len(waiting) >= ROWS:
                self._record(waiting)
                waiting = []
        self._record(waiting)
        self.ledger.move_watermark(self.project.source, answer.at.isoformat())

    # --- What is on the server ----------------------------------------------------------------------------------

    def _sent(self, there: int, full: bool) -> Mapping[str, Sent]:
        """What we sent, by key. Where the server counts other tasks than we know of, all are listed again."""
        sent = self.ledger.tasks(self.project.source)
        if full or sum(not t.deleted for t in sent.values()) != there:
            shelf = Shelf(self.server, self.ledger, self.project)
            shelf.look()
            shelf.repair()
            sent = self.ledger.tasks(self.project.source)
        self.counts["deleted"] += sum(t.deleted for t in sent.values())
        return sent

    def _changed(self, sent: Mapping[str, Sent], full: bool) -> Iterator[list[dict[str, Any]]]:
        """Pages of the tasks that may bring something new, with their annotations."""
        if full:
            yield from self.server.tasks(self.project.id, INCLUDE)
            return
        since = []
        if self.project.watermark:
            moment = datetime.fromisoformat(self.project.watermark).astimezone(UTC) - MARGIN
            since = [changed_since(moment)]
        ours = {sent[key].id for key in self.recorded["key"].unique() if key in sent}
        wanted = self.server.answered(self.project.id, since, ours)
        for at in range(0, len(wanted), FULL_PAGE):
            these = [among(wanted[at : at + FULL_PAGE])]
            yield from self.server.tasks(self.project.id, INCLUDE, these)

    # --- What is in the store -----------------------------------------------------------------------------------

    @cached_property
    def recorded(self) -> pl.DataFrame:
        """The newest version of every answer of this project that the store holds; a number may be given again, so an
        answer is known by its task too."""
        names = ["key", "answer_id", "item", "annotator", "round", "created_at", "updated_at", "status"]
        ours = self.store.answers.where(f"source = '{self.project.source}'")
        found: pl.DataFrame = ours.to_polars(names)
        return found.sort("updated_at").unique(["key", "answer_id"], keep="last")

    def _look_up(self, keys: Iterable[Any]) -> None:
        """Know what the store holds of these tasks."""
        wanted = [key for key in keys if isinstance(key, str)]
        self.known = {}
        if self.recorded.height:
            for row in self.recorded.filter(self.recorded["key"].is_in(wanted)).to_dicts():
                self.known.setdefault(row["key"], []).append(row)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The row of each item."""
        return {item: row for row, item in enumerate(self.items.to_arrow(["id"])["id"].to_pylist())}

    def _now(self, items: Iterable[Any]) -> Now:
        """What tasks for these items would show now."""
        rows = [self.places[i] for i in dict.fromkeys(items) if isinstance(i, str) and i in self.places]
        found: dict[str, str] = {}
        if not rows:
            return found
        columns = self.template.columns(self.items.columns)
        for row in self.items.take(np.array(rows, np.int64), columns).to_pylist():
            try:
                task = self.template.task(row, dataset=self.project.dataset, round=self.project.round)
            except InputError:
                continue  # it lacks what was shown then: it has changed
            found[task.item] = task.hash
        return found

    # --- Rows ---------------------------------------------------------------------------------------------------

    def _rows(self, task: Mapping[str, Any], sent: Mapping[str, Sent], now: Now) -> list[dict[str, Any]]:
        """The rows of all annotations of a task, and of those that were there once."""
        data = task["data"]
        ours = sent.get(str(data.get("cur_key")))
        if ours is None:
            ours = (
                next((t for t in sent.values() if t.id == task["id"]), None) if task["annotations"] else None
            )
        if ours is None:
            self.counts["foreign"] += len(task["annotations"])
            return []
        status, reason = self._status(task, ours, now)
        marks = {"cur_key": ours.key, "cur_item": ours.item, "cur_round": self.project.round}
        rows: list[dict[str, Any]] = []
        for annotation in task["annotations"]:
            rows += self._read(annotation, task, {**data, **marks, "cur_hash": ours.hash}, (status, reason))
        return rows + self._withdrawn(task, ours.key)

    def _status(self, task: Mapping[str, Any], ours: Sent, now: Now) -> tuple[str, str | None]:
        data = task["data"]
        if data_digest(data) != ours.sent:
            return "quarantined", "the data of the task was edited on the server"
        if ours.item not in now:
            return "stale", "the item is not in the data set any more, or cannot be shown"
        if now[ours.item] != ours.hash:
            return "stale", "the item changed after it was shown"
        return "ok", None

    def _read(
        self,
        annotation: Mapping[str, Any],
        task: Mapping[str, Any],
        data: Mapping[str, Any],
        judged: tuple[str, str | None],
    ) -> list[dict[str, Any]]:
        if annotation.get("completed_by") is None:
            annotation = {**annotation, "completed_by": "unknown"}  # the user was deleted; the answer counts
        rows = read_annotation(
            annotation,
            self.template,
            data,
            source=self.project.source,
            predictions={p["id"]: p for p in task.get("predictions") or ()},
            people=self.people,
            status=judged[0],
            reason=judged[1],
        )
        self._count(rows)
        return rows

    def _withdrawn(self, task: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        """Answers to this task that we have and that are not there any more."""
        there, made = {str(a["id"]) for a in task["annotations"]}, read_time(task["created_at"])
        rows = []
        for old in self.known.get(key, ()):
            if old["answer_id"] in there or old["status"] == "withdrawn":
                continue
            if old["created_at"] < made:
                continue  # an answer to an earlier task for the same item, which went with that task: it stays
            last = max(read_time(task["updated_at"]), old["updated_at"] + timedelta(microseconds=1))
            gone = {"status": "withdrawn", "reason": "the annotation was deleted on the server"}
            more = {"source": self.project.source, "control": "", "updated_at": last, **gone}
            rows.append({**old, **more})
            self.counts["withdrawn"] += 1
        return rows

    def _count(self, rows: list[dict[str, Any]]) -> None:
        known = {old["answer_id"]: old["updated_at"] for old in self.known.get(rows[0]["key"], ())}
        before = known.get(rows[0]["answer_id"])
        version = (rows[0]["answer_id"], rows[0]["updated_at"])
        if version in self.seen or (before is not None and before >= rows[0]["updated_at"]):
            return
        self.seen.add(version)
        count_answer(rows, before is not None, self.counts, self.reasons)

    def _record(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            done = self.store.record_answers(answer_table(rows))
            self.counts["new"] += done["new"]
            self.counts["known"] += done["present"]
