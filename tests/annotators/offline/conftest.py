"""People who answer in files, as the tools they use would write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import curate
from curate import registry
from curate.annotators.offline.folder import Folder


class FilePeople:
    """Answers as Label Studio's JSON export, a new file each time, as somebody exports again and again."""

    names = ("7", "8")

    def __init__(self, folder: Path) -> None:
        self.folder = Folder(folder)
        self.annotations: dict[str, list[dict[str, Any]]] = {}
        self.count = 0

    def answer(self, item: str, person: str, values: Mapping[str, str], round: int) -> None:
        self._add(item, person, round, [self.entry(*pair) for pair in values.items()])

    def skip(self, item: str, person: str, round: int) -> None:
        self._add(item, person, round, [self.entry("label", "good")], was_cancelled=True)

    def change(self, item: str, person: str, values: Mapping[str, str], round: int) -> None:
        there = self.annotations[self.key(item, round)]
        old = next(a for a in there if str(a["completed_by"]) == person)
        new = {**old, "result": [self.entry(*pair) for pair in values.items()], "updated_at": self.tick()}
        there[there.index(old)] = new
        self.export()

    def entry(self, control: str, value: str) -> dict[str, Any]:
        kind, key = ("choices", "choices") if control == "label" else ("textarea", "text")
        return {"from_name": control, "to_name": "text", "type": kind, "value": {key: [value]}}

    def key(self, item: str, round: int) -> str:
        return next(t.key for t in self.folder.tasks(round).values() if t.item == item)

    def tick(self) -> str:
        self.count += 1
        return f"2026-03-01T10:{self.count // 60:02d}:{self.count % 60:02d}.000000Z"

    def _add(self, item: str, person: str, round: int, result: list[Any], **more: Any) -> None:
        now = self.tick()
        made = {
            "id": 1000 + self.count,
            "completed_by": int(person),
            "result": result,
            "created_at": now,
            "updated_at": now,
            "lead_time": 3.0,
            **more,
        }
        self.annotations.setdefault(self.key(item, round), []).append(made)
        self.export()

    def exported(self) -> list[dict[str, Any]]:
        tasks = self.folder.tasks()
        return [
            {"id": n, "data": dict(tasks[key].data), "annotations": given, "predictions": [5]}
            for n, (key, given) in enumerate(self.annotations.items())
        ]

    def export(self) -> Path:
        path = self.folder.answers / f"export-{self.count:04d}.json"
        path.write_text(json.dumps(self.exported()))
        return path


class LinePeople(FilePeople):
    """The same answers, a line each, as other tools may write them."""

    names = ("ann@x.org", "bob@x.org")

    def _line(self, item: str, person: str, round: int, **more: Any) -> None:
        line = {"key": self.key(item, round), "annotator": person, "created_at": self.tick(), **more}
        with (self.folder.answers / "lines.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def answer(self, item: str, person: str, values: Mapping[str, str], round: int) -> None:
        self._line(item, person, round, answers=dict(values))

    def skip(self, item: str, person: str, round: int) -> None:
        self._line(item, person, round, skipped=True)

    def change(self, item: str, person: str, values: Mapping[str, str], round: int) -> None:
        self.answer(item, person, values, round)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        yield opened


def trial(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, FilePeople]:
    """An annotator and people who answer it, for the conformance suite."""
    return registry.build("annotators", "offline", {"folder": str(tmp_path / "folder")}), FilePeople(
        tmp_path / "folder"
    )
