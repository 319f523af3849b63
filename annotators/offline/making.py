"""Making tasks of rows: what is new, what was there, and what cannot be shown."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from curate.annotators.offline.folder import Folder
from curate.annotators.tasks import PreAnnotations, Task, Template
from curate.annotators.tasks.files import content_name, inline
from curate.annotators.tasks.items import rows_of, why_not
from curate.durable import write_whole
from curate.errors import InputError, MediaError

__all__ = ["Making", "Media"]

Media = Literal["address", "data", "copy"]


@dataclass
class Making:
    """Making tasks of rows, and what is to be told about it."""

    folder: Folder
    asked: Template
    round: int
    guesses: PreAnnotations | None = None
    media: Media = "address"
    prefix: str = ""
    lines: bool = False
    dry_run: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def tasks(self, view: Any, dataset: str, known: Mapping[str, Task]) -> list[Task]:
        """The tasks that are not there yet."""
        columns = self.asked.columns(view.columns)
        if self.guesses is not None:
            columns = list(dict.fromkeys([*columns, *self.guesses.needs]))
        fresh = []
        for row in rows_of(view, columns):
            try:
                plain = self.asked.task(row, dataset=dataset, round=self.round)
                if plain.key in known:
                    self.counts["present"] += 1
                    self.counts["changed"] += known[plain.key].hash != plain.hash
                    continue
                fresh.append(self._whole(row, dataset, plain))
                self.counts["created"] += 1
            except (InputError, MediaError) as error:
                self.counts["failed"] += 1
                self.reasons[why_not(error, row["id"])] += 1
        return fresh

    def _whole(self, row: Mapping[str, Any], dataset: str, plain: Task) -> Task:
        task = plain
        if self.media != "address" and not self.dry_run:
            task = self.asked.task(row, dataset=dataset, round=self.round, serve=self._serve)
        if self.guesses is None:
            return task
        predictions, problems = self.guesses.guess(self.asked, row, plain.data)
        self.counts["unguessed"] += not predictions
        for problem in problems:
            self.reasons[problem] += 1
        return dataclasses.replace(task, predictions=tuple(predictions))

    def _serve(self, address: str) -> str:
        from curate.media import open_bytes

        data = open_bytes(address)
        if self.media == "data":
            return inline(data, sounds=self.lines)
        name = content_name(data)
        target = self.folder.path / "media" / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            write_whole(target, data)
        return f"{self.prefix}media/{name}"
