"""What the server tells us of its own accord, and what it asks: webhooks as hints, a scorer as ML backend."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from label_studio_server import LabelStudioServer
from label_studio_work import answer, by_item, many_texts, project_of, push, said, text_store

import curate
from curate.annotators.label_studio import LabelStudio
from curate.annotators.label_studio.backend import Backend
from curate.annotators.label_studio.hints import HEADER, Hints, follow
from curate.annotators.label_studio.listening import Listener
from curate.annotators.tasks import PreAnnotations, PullReceipt, build_template
from curate.contracts import detail, reason_name, score
from curate.errors import AnnotatorError, BusyError, InputError


@pytest.fixture
def studio(server: LabelStudioServer) -> LabelStudio:
    return LabelStudio(server.url, server.token, patience=2.0)


@pytest.fixture
def store(tmp_path: Path) -> curate.Store:
    return text_store(tmp_path / "store", many_texts(8))


def ask(url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as found:
            return found.status, json.load(found)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Shouting:
    """A scorer for tests: texts with an odd number are loud."""

    name: ClassVar[str] = "shouting"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False
    needs = ("text",)
    gives = (score("shouting"), detail("shouting_class", pa.string()))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        odd = [int(text.rsplit(" ", 1)[1]) % 2 == 1 for text in batch["text"].to_pylist()]
        columns = {
            "id": batch["id"],
            "shouting": pa.array([float(o) for o in odd], pa.float32()),
            "shouting_class": pa.array(["bad" if o else "good" for o in odd]),
            reason_name(self.name): pa.nulls(len(odd), pa.string()),
        }
        return pa.RecordBatch.from_pydict(columns)


def test_answers_are_pulled_when_the_server_hints(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    project = project_of(push(studio, store).place)
    where = by_item(server, project)
    came: list[tuple[float, PullReceipt]] = []
    started = time.monotonic()
    follower = threading.Thread(
        target=lambda: studio.follow(
            store, seconds=14, every=60, told=lambda r: came.append((time.monotonic(), r))
        )
    )
    follower.start()
    while not server.call("GET", f"/api/webhooks/?project={project}") and time.monotonic() < started + 15:
        time.sleep(0.1)
    (hook,) = server.call("GET", f"/api/webhooks/?project={project}")
    assert hook["send_payload"] is False, "a payload would bring the project's token"
    assert ask(hook["url"], {})[0] == 403, "a hint that is not from the server is none"
    time.sleep(1.5)  # its first pull is done: what comes now comes by a hint
    with pytest.raises(BusyError, match="is in a follow"):
        studio.follow(store, seconds=0)
    answer(server, where["item-00000"][0], said("good"), server.people["ada@example.com"])
    follower.join(60)
    assert not follower.is_alive()
    assert sum(r.new for _, r in came) == 1 and len(store.answers) == 1
    assert came[0][0] - started < 14, "before the last pull, which needs no hint"
    assert not server.call("GET", f"/api/webhooks/?project={project}"), "webhooks are taken away"


def test_hints_need_the_secret_and_are_used_up() -> None:
    hints = Hints()
    with Listener({("POST", "/here"): hints.take}) as listener:
        url = f"{listener.url}/here"
        assert ask(url, {"action": "ANNOTATION_CREATED"})[0] == 403
        assert ask(url, {}, {HEADER: "x" * 32})[0] == 403
        assert not hints.wait(0)
        assert ask(url, {}, {HEADER: hints.secret}) == (200, {})
        assert ask(url, {}, {HEADER: hints.secret}) == (200, {})
        assert hints.wait(0) and not hints.wait(0) and hints.count == 2
        assert ask(f"{listener.url}/there", {})[0] == 404
        assert ask(url, b"{not json", {HEADER: hints.secret})[0] == 400
        assert ask(url, b"", {HEADER: hints.secret, "Content-Length": str(1 << 40)})[0] == 413
    assert hints.secret not in repr(hints)
    with Listener({}) as taken, pytest.raises(InputError, match="cannot listen"):
        Listener({}, port=taken.port)


def test_another_pull_and_a_server_that_is_away_are_waited_for() -> None:
    turns: list[Any] = [
        BusyError("process 1 is in a pull"),
        AnnotatorError("nothing answers"),
        PullReceipt(new=2),
    ]

    def pull() -> PullReceipt:
        turn = turns.pop(0) if turns else PullReceipt()
        if isinstance(turn, Exception):
            raise turn
        assert isinstance(turn, PullReceipt)
        return turn

    told: list[PullReceipt] = []
    until = time.monotonic() + 0.3
    assert follow(pull, Hints(), every=0.01, until=until, told=told.append) == 1
    assert [receipt.new for receipt in told] == [2] and not turns


def test_a_scorer_answers_as_ml_backend(store: curate.Store) -> None:
    template = build_template("text-classification", {"labels": ("good", "bad")})
    guesses = PreAnnotations({"label": "shouting_class"}, "shouting@1", score="shouting")
    backend = Backend(store, template, guesses, Shouting())
    tasks = [template.task(row, dataset=store.id).to_json() for row in store.items.to_arrow().to_pylist()[:3]]
    tasks.insert(1, {"data": {"text": "not ours"}})
    with Listener(backend.routes) as listener:
        assert ask(f"{listener.url}/health")[1]["status"] == "UP"
        assert ask(f"{listener.url}/setup", {"access_token": "secret"})[1] == {"model_version": "shouting@1"}
        found = ask(f"{listener.url}/predict", {"tasks": tasks, "label_config": template.config()})[1][
            "results"
        ]
        assert ask(f"{listener.url}/predict", {"tasks": []})[1] == {"results": []}
    given = [[e["value"]["choices"] for e in one["result"]] for one in found]
    assert given == [[["good"]], [], [["bad"]], [["good"]]]
    assert [one["score"] for one in found] == [0.0, 0.0, 1.0, 0.0]
    assert {one["model_version"] for one in found} == {"shouting@1"}
    columns = PreAnnotations({"label": "guess"}, "column", score="sure")
    assert Backend(store, template, columns).predict(tasks)[0]["result"][0]["value"]["choices"] == ["bad"]

    class Fitting:
        name = "fits"

        def fit(self, view: Any) -> Any:
            return self

    with pytest.raises(InputError, match="'fits' must see all items"):
        Backend(store, template, guesses, Fitting())  # type: ignore[arg-type]


def test_the_server_asks_us_when_a_task_is_opened(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    project = project_of(push(studio, store).place)
    where = by_item(server, project)
    guesses = PreAnnotations({"label": "shouting_class"}, "shouting@1", score="shouting")
    asked: dict[str, Any] = {"template": "text-classification", "params": {"labels": ("good", "bad")}}
    with studio.serve(store, guesses=guesses, scorer=Shouting(), **asked) as url:
        assert [m["url"] for m in server.call("GET", f"/api/ml/?project={project}")] == [url]
        task = server.call(
            "GET",
            f"/api/tasks/{where['item-00001'][0]}/?project={project}",
            None,
            server.people["ada@example.com"],
        )
        (prediction,) = task["predictions"]
        assert prediction["result"][0]["value"]["choices"] == ["bad"]
        assert prediction["model_version"] == "shouting@1"
        changed = [{**said("good")[0], "origin": "prediction-changed"}]
        ada = server.people["ada@example.com"]
        answer(server, where["item-00001"][0], changed, ada, parent_prediction=prediction["id"])
    assert not server.call("GET", f"/api/ml/?project={project}")
    assert studio.pull(store).ok == 1
    (row,) = store.answers.to_arrow().to_pylist()
    assert (row["touched"], row["model_version"]) == (True, "shouting@1")
    with (
        pytest.raises(InputError, match="round 7 was not pushed"),
        studio.serve(store, guesses=guesses, round=7, **asked),
    ):
        pass
