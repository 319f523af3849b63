"""The server of these tests. Helpers are modules beside them (`label_studio_*.py`), which also run as scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from label_studio_server import LabelStudioServer

from curate.annotators.label_studio import LabelStudio, wire
from curate.annotators.label_studio.wire import Wire


class ServerPeople:
    """People who answer through the API of a server, as its pages do. `items` is where each task of a round is."""

    names = ("ada@example.com", "ben@example.com")

    def __init__(self, running: LabelStudioServer) -> None:
        self.server = running
        self.tasks: dict[tuple[int, str], int] = {}

    def task(self, item: str, round: int) -> int:
        if (round, item) not in self.tasks:
            newest = self.server.call("GET", "/api/projects/?page_size=1000")["results"]
            for project in sorted((p["id"] for p in newest), reverse=True)[:2]:
                page = self.server.call(
                    "GET", f"/api/tasks/?project={project}&page_size=100&fields=task_only"
                )
                for one in page["tasks"]:
                    place = (one["data"].get("cur_round"), one["data"].get("cur_item"))
                    self.tasks[place] = max(one["id"], self.tasks.get(place, 0))
        return self.tasks[round, item]

    def answer(self, item: str, person: str, values: Mapping[str, str], round: int) -> None:
        self._send(item, person, round, {"result": [self.entry(*pair) for pair in values.items()]})

    def skip(self, item: str, person: str, round: int) -> None:
        self._send(item, person, round, {"result": [self.entry("label", "good")], "was_cancelled": True})

    def change(self, item: str, person: str, values: Mapping[str, str], round: int) -> None:
        token, task = self.server.people[person], self.task(item, round)
        me = self.server.call("GET", "/api/current-user/whoami", None, token)["id"]
        there = self.server.call("GET", f"/api/tasks/{task}/annotations/")
        mine = next(a["id"] for a in there if a["completed_by"] == me)
        body = {"result": [self.entry(*pair) for pair in values.items()]}
        self.server.call("PATCH", f"/api/annotations/{mine}/", body, token)

    def entry(self, control: str, value: str) -> dict[str, Any]:
        kind, key = ("choices", "choices") if control == "label" else ("textarea", "text")
        return {"from_name": control, "to_name": "text", "type": kind, "value": {key: [value]}}

    def _send(self, item: str, person: str, round: int, body: dict[str, Any]) -> None:
        path = f"/api/tasks/{self.task(item, round)}/annotations/"
        self.server.call("POST", path, {"lead_time": 3.0, **body}, self.server.people[person])


def trial(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[LabelStudio, ServerPeople]:
    """For the suite that every annotator passes."""
    running: LabelStudioServer = request.getfixturevalue("label_studio_server")
    return LabelStudio(running.url, running.token, patience=2.0), ServerPeople(running)


@pytest.fixture
def server(label_studio_server: LabelStudioServer) -> LabelStudioServer:
    """The running server that all these tests share: each makes projects of its own. A test that kills it and then fails takes
    no other test with it."""
    if not label_studio_server.alive:
        label_studio_server.start()
    return label_studio_server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pauses, and no connection stays open."""
    monkeypatch.setattr(wire, "PAUSE", 0.001)
    made: list[Wire] = []
    plain = Wire.__init__

    def remember(line: Wire, url: str, token: str) -> None:
        plain(line, url, token)
        made.append(line)

    monkeypatch.setattr(Wire, "__init__", remember)
    yield
    for line in made:
        line.close()
