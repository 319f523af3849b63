"""Whatever breaks, wherever: no task is there twice, no answer is lost or doubled, and the message says what to do."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import label_studio_storm
import pytest
from label_studio_proxy import Proxy
from label_studio_server import LabelStudioServer
from label_studio_work import answer, by_item, many_texts, project_of, push, said, tasks_on, text_store

import curate
from curate.annotators.label_studio import LabelStudio, wire
from curate.errors import AnnotatorError
from curate.testing.annotators import HOSTILE

HERE = Path(__file__).parent
ITEMS = 120


@pytest.fixture
def store(tmp_path: Path) -> curate.Store:
    return text_store(tmp_path / "store", many_texts(ITEMS))


@pytest.fixture
def proxy(server: LabelStudioServer) -> Iterator[Proxy]:
    with Proxy(server.url) as line:
        yield line


def is_import(method: str, path: str) -> bool:
    return method == "POST" and "/import" in path


def assert_once(server: LabelStudioServer, place: str, items: int = ITEMS) -> dict[str, int]:
    """Every item is there once, with its prediction where there are any; where each is."""
    there = by_item(server, project_of(place))
    assert (len(there), {len(n) for n in there.values()}) == (items, {1})
    return {item: numbers[0] for item, numbers in there.items()}


class Storm:
    """Pushes and pulls in processes that are killed."""

    def __init__(self, store: curate.Store, server: LabelStudioServer) -> None:
        path = os.pathsep.join([str(HERE.parents[2]), str(HERE)])
        self.process = subprocess.Popen(
            [sys.executable, label_studio_storm.__file__, str(store.path), server.url, server.token],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def run(self, what: str, seconds: float) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{what} {seconds}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Storm:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)


@pytest.mark.crash
def test_killed_at_twenty_random_moments_of_push_and_pull(
    server: LabelStudioServer, store: curate.Store
) -> None:
    rng = random.Random(7)
    with Storm(store, server) as storm:
        ends = [storm.run("push", rng.uniform(0.05, 1.2)) for _ in range(10)]
        assert "killed" in ends
        assert not [e for e in ends if "Error" in e], "killed or done, never refused"
        last = storm.run("push", 300)
        assert "Error" not in last and last != "killed"
        studio = LabelStudio(server.url, server.token)
        place = push(studio, store).place
        where = assert_once(server, place)
        ada, ben, _ = server.people.values()
        for i in range(40):
            answer(server, where[f"item-{i:05d}"], said("good"), ada if i % 2 else ben)
        pulls = [storm.run("pull", rng.uniform(0.02, 0.6)) for _ in range(10)]
        assert not [e for e in pulls if "Error" in e]
        assert "Error" not in storm.run("pull", 300)
    found = Counter(store.answers.to_arrow(["item"])["item"].to_pylist())
    assert found == Counter({f"item-{i:05d}": 1 for i in range(40)})
    assert studio.pull(store).new == 0 and store.verify() == []


def test_of_two_pushes_at_once_one_works_and_the_other_says_so(
    server: LabelStudioServer, store: curate.Store
) -> None:
    with Storm(store, server) as storm:
        first, second = sorted(storm.run("both", 300).split(" | "))
    assert first.startswith(f"{ITEMS} created")
    assert second.startswith("BusyError: ") and "is in a push" in second
    assert_once(server, push(LabelStudio(server.url, server.token), store).place)


def test_the_answer_to_every_import_is_lost(
    server: LabelStudioServer, store: curate.Store, proxy: Proxy
) -> None:
    proxy.after = lambda method, path: "cut" if is_import(method, path) else None
    receipt = push(LabelStudio(proxy.url, server.token, chunk=50, patience=5.0), store)
    assert (receipt.created, receipt.repaired) == (ITEMS, 0)
    assert sum(is_import(*seen) for seen in proxy.seen) == 3, "what had arrived was not sent again"
    assert_once(server, receipt.place)


def test_every_second_import_never_arrives(
    server: LabelStudioServer, store: curate.Store, proxy: Proxy
) -> None:
    count = iter(range(1000))
    proxy.before = lambda method, path: "cut" if is_import(method, path) and next(count) % 2 == 0 else None
    receipt = push(LabelStudio(proxy.url, server.token, chunk=60, patience=0.5), store)
    assert receipt.created == ITEMS and sum(is_import(*seen) for seen in proxy.seen) == 4
    assert_once(server, receipt.place)


def test_an_import_that_arrives_after_we_gave_it_up_is_repaired(
    server: LabelStudioServer, store: curate.Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = threading.Event()

    def hold(method: str, path: str) -> None:
        if is_import(method, path) and not late.is_set():
            late.set()
            time.sleep(4)  # the client has hung up by then; the proxy still hands it on

    proxy.before = hold
    monkeypatch.setattr(wire, "TIMEOUT", 1.0)
    monkeypatch.setattr(wire, "TRIES", 1)
    studio = LabelStudio(proxy.url, server.token, chunk=60, patience=1.0)
    receipt = push(studio, store)
    monkeypatch.undo()
    time.sleep(4)
    again = push(LabelStudio(server.url, server.token), store)
    assert again.created == 0 and again.present == ITEMS
    assert receipt.repaired + again.repaired == 60
    assert_once(server, again.place)


def test_the_server_is_killed_in_an_import_and_started_again(
    server: LabelStudioServer, store: curate.Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PAUSE", 0.02)
    count = iter(range(1000))

    def strike(method: str, path: str) -> None:
        if is_import(method, path) and next(count) == 1:
            threading.Timer(0.05, server.kill).start()

    proxy.before = strike
    studio = LabelStudio(proxy.url, server.token, chunk=40, patience=1.0)
    with pytest.raises(
        AnnotatorError, match=r"(40|80) tasks are there for sure\. Run the push again"
    ) as stopped:
        push(studio, store)  # 80 where the second import was quicker than the kill
    assert server.token not in str(stopped.value)
    with pytest.raises(AnnotatorError, match=r"the connection to .* failed"):
        studio.pull(store)
    server.start()
    receipt = push(studio, store)
    assert receipt.created + receipt.present == ITEMS and receipt.present >= 40
    where = assert_once(server, receipt.place)
    answer(server, where["item-00000"], said("good"), server.people["ada@example.com"])
    assert studio.pull(store).ok == 1
    server.stop()
    server.start()
    assert (studio.pull(store).new, push(studio, store).present) == (0, ITEMS)


def test_the_project_is_deleted_while_we_push_and_while_we_pull(
    server: LabelStudioServer, store: curate.Store, proxy: Proxy
) -> None:
    studio = LabelStudio(proxy.url, server.token, chunk=40)
    place = push(studio, store, [f"item-{i:05d}" for i in range(40)]).place
    where = by_item(server, project_of(place))
    answer(server, where["item-00000"][0], said("good"), server.people["ada@example.com"])
    assert studio.pull(store).ok == 1

    def strike(method: str, path: str) -> None:
        if path.startswith("/api/tasks/") and "annotations" in path and "%22in_list%22" in path:
            server.call("DELETE", f"/api/projects/{project_of(place)}/")
        if is_import(method, path):
            server.call("DELETE", f"/api/projects/{path.split('/')[3]}/")

    answer(server, where["item-00001"][0], said("good"), server.people["ada@example.com"])
    proxy.before = strike
    assert "was deleted on the server" in next(iter(studio.pull(store).reasons))
    with pytest.raises(AnnotatorError, match="its description has lost our mark"):
        push(studio, store)
    with pytest.raises(AnnotatorError, match="is not on http"):
        push(studio, store, recreate=True)
    proxy.before = lambda method, path: None
    assert len(store.answers) == 1
    assert_once(server, push(studio, store, recreate=True).place)


def test_a_token_that_was_revoked(server: LabelStudioServer, store: curate.Store, proxy: Proxy) -> None:
    ben = server.people["ben@example.com"]
    personal = server.call("POST", "/api/token/", {}, ben)["token"]
    studio = LabelStudio(proxy.url, personal, chunk=40)

    def revoke(method: str, path: str) -> None:
        if is_import(method, path) and sum(is_import(*seen) for seen in proxy.seen) == 2:
            server.call("POST", "/api/token/blacklist/", {"refresh": personal}, ben)

    proxy.before = revoke
    assert push(studio, store).created == ITEMS, "what the token was changed for holds for five minutes"
    with pytest.raises(AnnotatorError, match="does not accept the token") as refused:
        push(studio, store)
    assert "LABEL_STUDIO_API_KEY" in str(refused.value) and personal not in str(refused.value)
    assert_once(server, push(LabelStudio(server.url, server.token), store).place)


def test_one_task_that_is_refused_keeps_no_other_out(
    server: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.annotators.label_studio import pushing

    plain = pushing.Parcel

    def spoilt(task: Any, body: bytes, digest: str) -> Any:
        return plain(task, b'{"data": {}}' if task.item == "item-00005" else body, digest)

    monkeypatch.setattr(pushing, "Parcel", spoilt)
    small = text_store(tmp_path / "small", many_texts(12))
    receipt = push(LabelStudio(server.url, server.token), small)
    assert (receipt.created, receipt.failed) == (11, 1)
    assert "refused POST" in next(iter(receipt.reasons))
    assert_once(server, receipt.place, 11)


def test_hostile_texts_arrive_unchanged(server: LabelStudioServer, tmp_path: Path) -> None:
    texts = {**HOSTILE, "huge": "<img src=x onerror=alert(1)> & ]]> {{x}} 👩‍🚀 \u202e" * 25_000}
    assert len(texts["huge"]) > 1_000_000
    strange = text_store(tmp_path / "strange", texts)
    studio = LabelStudio(server.url, server.token)
    receipt = push(studio, strange)
    assert (receipt.created, receipt.failed) == (len(texts), 0)
    there = {t["data"]["cur_item"]: t for t in tasks_on(server, project_of(receipt.place)).values()}
    assert {item: task["data"]["text"] for item, task in there.items()} == texts
    answer(server, there["huge"]["id"], said("good"), server.people["ada@example.com"])
    got = studio.pull(strange)
    assert (got.ok, got.quarantined, got.stale) == (1, 0, 0)
    assert push(studio, strange).present == len(texts)
    labels = ("<b>&amp;\"'</b>", "{{1+1}}", "ראשון", "👍🏽")
    asked = push(studio, strange, ["plain"], round=2, params={"labels": labels})
    number = by_item(server, project_of(asked.place))["plain"][0]
    answer(server, number, said(labels[0]), server.people["ada@example.com"])
    assert studio.pull(strange).ok == 1
    assert strange.answers.where("round = 2").to_arrow(["value"])["value"].to_pylist() == [labels[0]]
