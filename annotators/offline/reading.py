"""Reading what came back against what was pushed, and against what the items are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curate.annotators.offline.exports import Came, Returned
from curate.annotators.offline.folder import Project
from curate.annotators.tasks import Task, Template, build_template, read_annotation
from curate.annotators.tasks.items import chosen_items, rows_of
from curate.annotators.tasks.receipt import count_answer
from curate.errors import CurateError, InputError

__all__ = ["Reading"]


@dataclass
class Reading:
    """Reading annotations against what was pushed and what the items are now."""

    store: Any
    project: Project
    pushed: Mapping[str, Task]
    returned: Returned
    people: Mapping[str, str] = field(default_factory=dict)
    template: Template | None = None
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    _recorded: dict[str, set[Any]] = field(default_factory=dict)
    _now: dict[int, dict[str, str]] = field(default_factory=dict)
    _templates: dict[int, Template] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.store.answers.to_arrow(["source", "answer_id", "updated_at"]).to_pylist()
        for row in known:
            if row["source"] == self.project.source:
                self._recorded.setdefault(row["answer_id"], set()).add(row["updated_at"])

    def rows(self, came: Came) -> list[dict[str, Any]]:
        """The rows of one annotation."""
        task = self.pushed.get(came.key)
        if task is None:
            self.returned.foreign += 1
            self.reasons["an answer to a task that was not pushed from here"] += 1
            return []
        if task.round not in self._templates:
            self._templates[task.round] = self._asked(task.round)
        asked = self._templates[task.round]
        rows = self._read(came, task, asked, self._status(came, task, asked))
        self._count(rows)
        return rows

    def _asked(self, round: int) -> Template:
        spec = self.project.rounds[str(round)]
        if self.template is not None and self.template.digest == spec["digest"]:
            return self.template
        try:
            asked = build_template(spec["template"], spec["params"])
        except CurateError as error:
            raise InputError(
                f"round {round} was pushed with a template that is not known: {error}"
            ) from error
        if asked.digest != spec["digest"]:
            raise InputError(
                f"template {asked.name!r} asks otherwise than when round {round} was pushed: hand over the one of then"
            )
        return asked

    def _status(self, came: Came, task: Task, asked: Template) -> tuple[str, str | None]:
        data = came.data
        if data is not None:
            media = set(asked.media)
            edited = [n for n, v in task.data.items() if n not in media and data.get(n) != v]
            if edited:
                return "quarantined", f"the task was edited: {', '.join(edited)}"
        elif came.annotation["hash"] not in (None, task.hash):
            return "quarantined", "the answer is to another version of the task"
        now = self._hashes(task.round, asked).get(task.item)
        if now is None:
            return "stale", "the item is not in the data set any more, or cannot be shown"
        return ("ok", None) if now == task.hash else ("stale", "the item changed after it was shown")

    def _hashes(self, round: int, asked: Template) -> dict[str, str]:
        """What each item of a round would be shown as now."""
        if round not in self._now:
            there = set(self.store.items.to_arrow(["id"]).column(0).to_pylist())
            ids = [t.item for t in self.pushed.values() if t.round == round and t.item in there]
            found: dict[str, str] = {}
            if ids:
                view = chosen_items(self.store, ids=ids)
                for row in rows_of(view, asked.columns(view.columns)):
                    try:
                        found[row["id"]] = asked.task(row, dataset=self.project.dataset, round=round).hash
                    except InputError:
                        continue  # it lacks what was shown then: changed
            self._now[round] = found
        return self._now[round]

    def _read(
        self, came: Came, task: Task, asked: Template, verdict: tuple[str, str | None]
    ) -> list[dict[str, Any]]:
        annotation = {**came.annotation, "completed_by": self._person(came.annotation.get("completed_by"))}
        refused: dict[str, tuple[str, str]] = {}
        if came.values is not None:
            annotation["result"], refused = _results(asked, came.values, task.data)
        status, why = verdict
        rows = read_annotation(
            annotation,
            asked,
            task.data,
            source=self.project.source,
            predictions=_shown(annotation.get("parent_prediction"), task, self.returned),
            status=status,
            reason=why,
        )
        if came.values is None or rows[0]["skipped"]:
            return rows
        base = rows[0]
        rows = [row for row in rows if row["control"] or not refused]
        for name, (said, reason) in refused.items():
            worse = {"status": "rejected", "reason": reason} if status == "ok" else {}
            rows.append({**base, "control": name, "value": said, **worse})
        return [_told(row, came, task, asked) for row in rows]

    def _person(self, who: Any) -> Any:
        if isinstance(who, Mapping):
            who = who.get("id") if who.get("id") is not None else who.get("email")
        return self.people.get(str(who), who) if who is not None else None

    def _count(self, rows: list[dict[str, Any]]) -> None:
        """Count an annotation, or a version of one, that is not recorded yet; each once, in however many files it is."""
        versions = self._recorded.setdefault(rows[0]["answer_id"], set())
        if rows[0]["updated_at"] in versions:
            return
        count_answer(rows, bool(versions), self.counts, self.reasons)
        versions.add(rows[0]["updated_at"])


def _shown(parent: Any, task: Task, returned: Returned) -> dict[Any, Mapping[str, Any]]:
    """The pre-annotation an annotation was started from. Exports may name it by its id alone: then it is the one pushed."""
    if not isinstance(parent, int):
        return {}
    if parent in returned.predictions:
        return {parent: returned.predictions[parent]}
    return {parent: task.predictions[0]} if len(task.predictions) == 1 else {}


def _results(
    asked: Template, values: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, tuple[str, str]]]:
    """Plain values by control as results, and those that nobody could give."""
    result: list[dict[str, Any]] = []
    refused: dict[str, tuple[str, str]] = {}
    for name, value in values.items():
        if value is None:
            continue
        try:
            result += asked.result({name: value}, data)
        except InputError as error:
            refused[str(name)] = (str(value), str(error))
    return result, refused


def _told(row: dict[str, Any], came: Came, task: Task, asked: Template) -> dict[str, Any]:
    """A line says itself what was shown, and whether that was changed; where not, the guess is compared with the answer."""
    version, control = came.annotation["model_version"], row["control"]
    touched = came.annotation["touched"].get(control)
    guess = next((p for p in task.predictions if p["model_version"] == version), None)
    if touched is None and guess is not None and row["status"] == "ok":
        guessed = asked.answers(guess["result"], task.data).values.get(control)
        touched = None if guessed is None else guessed != row["value"]
    return {**row, "model_version": version, "touched": touched}
