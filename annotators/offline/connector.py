"""`offline`: tasks as files, answers as files; for any tool, and for days without a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from curate.annotators.offline.exports import read_returned
from curate.annotators.offline.folder import Folder, Project
from curate.annotators.offline.making import Making, Media
from curate.annotators.offline.reading import Reading
from curate.annotators.tasks import (
    PreAnnotations,
    PullReceipt,
    PushReceipt,
    Template,
    answer_table,
    build_template,
    check_question,
    check_round,
    read_question,
)
from curate.annotators.tasks.items import chosen_items
from curate.durable import check_writable
from curate.errors import InputError

__all__ = ["Offline"]


@dataclass(frozen=True)
class Offline:
    """Sends items to people through a folder: `push` writes tasks, `pull` reads what was put into `answers/`.

    `format` of the tasks: "label-studio" (JSON to import there) or "jsonl" (a task a line, for other tools). `media`:
    "address" leaves addresses as they are, "data" puts the content into the task (Label Studio plays no sounds from
    there), "copy" puts files beside the tasks,
    under `prefix` (for Label Studio's local files `/data/local-files/?d=`). `people` names annotators whom an export knows by
    number alone; without it the number is the name, in exports that also have e-mail addresses too, so that all
    files agree.
    Both directions are idempotent. Of two at once one works and the other raises BusyError.
    """

    folder: str | Path
    format: Literal["label-studio", "jsonl"] = "label-studio"
    media: Media = "address"
    prefix: str = ""
    people: Mapping[str, str] = field(default_factory=dict)

    name: ClassVar[str] = "offline"

    def push(
        self,
        store: Any,
        *,
        template: str | Template,
        params: Mapping[str, Any] | None = None,
        where: str | None = None,
        within: Any = None,
        ids: Iterable[Any] | None = None,
        round: int = 1,
        guesses: PreAnnotations | Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> PushReceipt:
        """Write a task for each item meant (`where` an expression, `within` a selection, `ids`) that has none in this round.

        Raises InputError where no item is meant, where the round was begun with another template, or the folder is
        another data set's.
        """
        folder = Folder(Path(self.folder))
        check_round(round)
        self.ready()
        view = chosen_items(store, where=where, within=within, ids=ids)
        asked, given = read_question(view, template, params, guesses)
        with folder.exclusive("push"):
            known = folder.tasks(round)
            project = folder.project() if dry_run else self._begin(folder, store.id, asked, round)
            lines = self.format == "jsonl"
            made = Making(folder, asked, round, given, self.media, self.prefix, lines, dry_run)
            fresh = made.tasks(view, store.id, known)
            if not dry_run and project is not None:
                folder.add_tasks(round, fresh, asked, lines=lines)
        place = str(folder.round(round))
        return PushReceipt(
            **made.counts, round=round, place=place, planned=dry_run, reasons=dict(made.reasons)
        )

    def ready(self) -> None:
        """Raises InputError where tasks cannot be put into the folder."""
        check_writable(Path(self.folder) / "project.json")
        Folder(Path(self.folder)).project()

    def check(
        self,
        dataset: str,
        columns: Sequence[str] | None,
        *,
        template: str | Template,
        params: Mapping[str, Any] | None = None,
        round: int = 1,
        guesses: PreAnnotations | Mapping[str, Any] | None = None,
    ) -> None:
        """Raises what `push` will raise for items with these columns (None: nobody knows them yet), whatever they hold."""
        check_round(round)
        named = build_template(template, params)
        asked = check_question(columns, named, guesses=guesses)
        folder = Folder(Path(self.folder))
        if (project := folder.project()) is not None:
            folder.check_dataset(project, dataset)
            if asked is named:  # otherwise the items tell what is asked
                _check_asked(folder, project, asked, round)

    def pull(self, store: Any, *, template: Template | None = None) -> PullReceipt:
        """Record every answer under `answers/` that is not recorded yet.

        `template` is needed only where tasks were pushed with one that is not registered. Raises InputError where nothing
        was pushed, or a file cannot be read; then nothing of any file is recorded.
        """
        folder = Folder(Path(self.folder))
        project = folder.project()
        if project is None:
            raise InputError(f"nothing was pushed to {folder.path} yet: there is no project.json")
        if project.dataset != store.id:
            raise InputError(f"{folder.path} holds tasks of another data set ({project.dataset})")
        with folder.exclusive("pull"):
            returned = read_returned(folder.answers)
            reading = Reading(store, project, folder.tasks(), returned, self.people, template)
            table = answer_table(row for came in returned.came for row in reading.rows(came))
            counts = store.record_answers(table)
        return PullReceipt(
            new=counts["new"],
            known=counts["present"],
            foreign=returned.foreign,
            **reading.counts,
            reasons=dict(reading.reasons),
        )

    def status(self, store: Any) -> list[dict[str, Any]]:
        """A row for each round: `round`, `template`, `tasks`, `answered` (tasks with an answer or a skip in the store)."""
        folder = Folder(Path(self.folder))
        project = folder.project()
        rows = []
        for number, asked in sorted((project.rounds if project else {}).items(), key=lambda r: int(r[0])):
            keys = set(folder.tasks(int(number)))
            there = store.answers.where(f"round = {int(number)}").to_arrow(["key", "source"]).to_pylist()
            answered = {a["key"] for a in there if project and a["source"] == project.source}
            rows.append(
                {
                    "round": int(number),
                    "template": asked["template"],
                    "tasks": len(keys),
                    "answered": len(keys & answered),
                }
            )
        return rows

    def _begin(self, folder: Folder, dataset: str, asked: Template, round: int) -> Project:
        project = folder.begin(dataset)
        before = _check_asked(folder, project, asked, round)
        if before is None:
            spec = {"template": asked.name, "params": dataclasses.asdict(asked), "digest": asked.digest}
            project = dataclasses.replace(project, rounds={**project.rounds, str(round): spec})
            folder.write_project(project)
        return project


def _check_asked(folder: Folder, project: Project, asked: Template, round: int) -> Mapping[str, Any] | None:
    """What the round asks already, None where it was not begun. Raises InputError where that is something else."""
    before = project.rounds.get(str(round))
    if before is not None and before["digest"] != asked.digest:
        raise InputError(
            f"round {round} in {folder.path} asks by template {before['template']!r} with {before['params']}: "
            "go on with the same, or ask something else in another round or folder"
        )
    return before
