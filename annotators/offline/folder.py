"""The folder of a project without a server: tasks by round in files that are only ever added, answers beside them.

project.json             what asks: the data set, and by round the template with its parameters
round-1/config.xml       the labelling configuration
round-1/tasks-0001.json  tasks, as Label Studio imports them (or .jsonl, a task in each line)
answers/                 whatever came back: put it here
"""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.annotators.tasks import MARKS, Task, Template
from curate.durable import write_whole
from curate.errors import BusyError, InputError

__all__ = ["Folder", "Project"]

FORMAT = 1
PER_FILE = 5000
"""Tasks in one file at most: what a tool takes at once."""


@dataclass(frozen=True)
class Project:
    """What asks. `source` names this folder for good, in every answer; `rounds` holds by round the template's name and
    parameters and the digest of what it asks."""

    source: str
    dataset: str
    rounds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """The files of one project. Whoever reads sees whole files: each is written aside and renamed."""

    path: Path

    @property
    def answers(self) -> Path:
        """Where answers are put."""
        return self.path / "answers"

    def round(self, number: int) -> Path:
        """Where the tasks of a round lie."""
        return self.path / f"round-{number}"

    @contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """One process at a time; the lock ends with the process. Raises BusyError."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BusyError(
                    f"another process works in {self.path} right now, so this {what} did nothing. Run it again when it is done"
                ) from None
            yield

    def project(self) -> Project | None:
        """What asks here, None in a folder without tasks. Raises InputError for one that is not ours."""
        path = self.path / "project.json"
        if not path.exists():
            return None
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            if read["format"] != FORMAT:
                raise InputError(f"{path} is of format {read['format']}, this version reads {FORMAT}")
            return Project(read["source"], read["dataset"], read["rounds"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is no project of ours: {error!r}") from None

    def begin(self, dataset: str) -> Project:
        """The project of this folder, made where there is none. Raises InputError where it is another data set's."""
        known = self.project()
        if known is None:
            known = Project(f"offline:{secrets.token_hex(8)}", dataset)
            self.write_project(known)
            self.answers.mkdir(exist_ok=True)
        self.check_dataset(known, dataset)
        return known

    def check_dataset(self, project: Project, dataset: str) -> None:
        """Raises InputError where the tasks are those of another data set."""
        if project.dataset != dataset:
            raise InputError(
                f"{self.path} holds tasks of another data set ({project.dataset}): use a folder for each"
            )

    def write_project(self, project: Project) -> None:
        """Write `project.json`."""
        plain = {"format": FORMAT, "source": project.source, "dataset": project.dataset}
        text = json.dumps({**plain, "rounds": project.rounds}, ensure_ascii=False, indent=1, sort_keys=True)
        write_whole(self.path / "project.json", text + "\n")

    def tasks(self, number: int | None = None) -> dict[str, Task]:
        """Every task written (of one round) by its key. Raises InputError for a damaged file."""
        pattern = "round-*" if number is None else f"round-{number}"
        found: dict[str, Task] = {}
        for path in sorted(self.path.glob(f"{pattern}/tasks-*.json*")):
            if path.suffix in (".json", ".jsonl"):
                for entry in _entries(path):
                    task = _task(path, entry)
                    found.setdefault(task.key, task)
        return found

    def add_tasks(self, number: int, tasks: Sequence[Task], asked: Template, *, lines: bool) -> list[Path]:
        """Write tasks into new files of a round: what a tool has taken already need not be taken again."""
        home = self.round(number)
        home.mkdir(exist_ok=True)
        write_whole(home / "config.xml", asked.config())
        write_whole(
            home / "questions.json", json.dumps(asked.questions(), ensure_ascii=False, indent=1) + "\n"
        )
        last = max((int(p.stem.rpartition("-")[2]) for p in home.glob("tasks-*.json*")), default=0)
        made = []
        for start in range(0, len(tasks), PER_FILE):
            last += 1
            some = [task.to_json() for task in tasks[start : start + PER_FILE]]
            if lines:
                text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in some)
            else:
                text = json.dumps(some, ensure_ascii=False) + "\n"
            made.append(home / f"tasks-{last:04d}.{'jsonl' if lines else 'json'}")
            write_whole(made[-1], text)
        return made


def _entries(path: Path) -> Iterator[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            yield from json.loads(text)
        else:
            yield from (json.loads(line) for line in text.split("\n") if line)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}. Move it away and push again") from None


def _task(path: Path, entry: Any) -> Task:
    try:
        data = entry["data"]
        key, item, number, hash_ = (data[name] for name in MARKS)
        return Task(key, item, number, hash_, data, tuple(entry.get("predictions", ())))
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} holds a task that is not ours: {error!r}. Move it away") from None
