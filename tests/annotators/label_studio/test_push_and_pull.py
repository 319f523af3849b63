"""There and back against a real server: what was sent is there once, what was answered comes back once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from label_studio_server import LabelStudioServer
from label_studio_work import (
    GUESSES,
    answer,
    by_item,
    many_texts,
    project_of,
    push,
    said,
    tasks_on,
    text_store,
)

import curate
from curate.annotators.label_studio import LabelStudio
from curate.annotators.tasks import PreAnnotations
from curate.errors import AnnotatorError, BusyError, InputError


@pytest.fixture
def studio(server: LabelStudioServer) -> LabelStudio:
    return LabelStudio(server.url, server.token, patience=2.0)


@pytest.fixture
def store(tmp_path: Path) -> curate.Store:
    return text_store(tmp_path / "store", many_texts(12))


def test_items_are_there_once_however_often_they_are_pushed(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    before = server.call("GET", "/api/projects/?page_size=1000")["count"]
    planned = push(studio, store, dry_run=True)
    assert (planned.created, planned.planned) == (12, True)
    assert server.call("GET", "/api/projects/?page_size=1000")["count"] == before, "a dry run makes nothing"
    first = push(studio, store, "id < 'item-00008'", guesses=GUESSES)
    assert (first.created, first.present, first.repaired) == (8, 0, 0)
    assert (first["created"], first.round, first.planned) == (8, 1, False)
    project = project_of(first.place)
    assert {k: len(v) for k, v in by_item(server, project).items()} == dict.fromkeys(
        [f"item-{i:05d}" for i in range(8)], 1
    )
    assert push(studio, store, dry_run=True).created == 4
    again = push(studio, store, guesses=GUESSES)
    assert (again.created, again.present, again.place) == (4, 8, first.place)
    assert push(studio, store).created == 0
    assert len(tasks_on(server, project)) == 12
    assert server.call("GET", f"/api/projects/{project}/")["model_version"] == "guesser-1"
    task = server.call("GET", f"/api/tasks/{by_item(server, project)['item-00000'][0]}/")
    assert task["data"]["text"] == "text number 0" and task["data"]["cur_round"] == 1
    (prediction,) = task["predictions"]
    assert prediction["result"][0]["value"]["choices"] == ["bad"] and prediction["score"] == 0.5
    other = push(studio, store, guesses=PreAnnotations({"label": "label"}, "guesser-2"))
    assert other.present == 12 and "by 'guesser-1' stay" in next(iter(other.reasons))
    assert server.call("GET", f"/api/projects/{project}/")["model_version"] == "guesser-1"


def test_every_answer_comes_back_once_and_nothing_is_overwritten(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    project = project_of(push(studio, store, guesses=GUESSES).place)
    ids = {item: numbers[0] for item, numbers in by_item(server, project).items()}
    ada, ben, cleo = server.people.values()
    task = server.call("GET", f"/api/tasks/{ids['item-00000']}/")
    shown = task["predictions"][0]["id"]
    kept = [{**said("bad")[0], "origin": "prediction"}]
    answer(server, ids["item-00000"], kept, ada, parent_prediction=shown)
    changed = [{**said("good")[0], "origin": "prediction-changed"}]
    answer(server, ids["item-00000"], changed, ben, parent_prediction=shown)
    edited = answer(server, ids["item-00001"], said("good"), ada)
    answer(server, ids["item-00002"], said("bad"), cleo, was_cancelled=True)  # a skip drags its result along
    answer(server, ids["item-00004"], said("bad"), cleo, was_cancelled=True)
    answer(server, ids["item-00003"], said("splendid"), ada)
    answer(server, ids["item-00004"], said("good"), ada, ground_truth=True)
    server.call("POST", f"/api/tasks/{ids['item-00005']}/drafts", {"result": said("good")}, ada)

    got = studio.pull(store)
    assert (got.new, got.answers) == (7, 7)
    assert (got.ok, got.skips, got.stale, got.quarantined, got.rejected, got.deleted) == (4, 2, 0, 0, 1, 0)
    rows = {(r["item"], r["annotator"]): r for r in store.answers.to_arrow().to_pylist()}
    assert len(rows) == 7 and not any(item == "item-00005" for item, _ in rows), "a draft is no answer"
    first = rows["item-00000", "ada@example.com"]
    assert (first["control"], first["value"], first["touched"], first["model_version"]) == (
        *("label", "bad", False),
        "guesser-1",
    )
    assert rows["item-00000", "ben@example.com"]["touched"] is True
    assert (first["round"], first["seconds"], first["gold"], first["skipped"]) == (1, 2.5, False, False)
    skip = rows["item-00002", "cleo@example.com"]
    assert (skip["control"], skip["value"], skip["skipped"]) == ("", None, True)
    assert rows["item-00003", "ada@example.com"]["status"] == "rejected"
    assert "splendid" in str(rows["item-00003", "ada@example.com"]["reason"])
    assert rows["item-00004", "ada@example.com"]["gold"] is True

    again = studio.pull(store)
    assert (again.new, again.answers, len(store.answers)) == (0, 0, 7)
    server.call("PATCH", f"/api/annotations/{edited['id']}/", {"result": said("bad")}, ada)
    later = studio.pull(store)
    assert (later.new, later.edited) == (1, 1)
    versions = store.answers.where("item = 'item-00001'").to_arrow(["value"])["value"].to_pylist()
    assert versions == ["good", "bad"]
    latest = store.answers.latest().where("item = 'item-00001'")
    assert latest.to_arrow(["value"])["value"].to_pylist() == ["bad"]


@pytest.mark.parametrize("asked_by_id", [True, False])
def test_an_answer_that_was_deleted_is_withdrawn_and_one_that_went_stale_is_kept(
    server: LabelStudioServer,
    studio: LabelStudio,
    store: curate.Store,
    monkeypatch: pytest.MonkeyPatch,
    asked_by_id: bool,
) -> None:
    if not asked_by_id:  # as where many tasks were answered before
        monkeypatch.setattr("curate.annotators.label_studio.server.FULL_PAGE", 1)
    project = project_of(push(studio, store).place)
    ids = {item: numbers[0] for item, numbers in by_item(server, project).items()}
    ada = server.people["ada@example.com"]
    gone = answer(server, ids["item-00000"], said("good"), ada)
    answer(server, ids["item-00001"], said("good"), ada)
    studio.pull(store)
    server.call("DELETE", f"/api/annotations/{gone['id']}/", None, ada)
    changed = pa.table({"id": ["item-00002"], "text": ["another text"], "label": ["good"]})
    store.add(changed, kind="label", on_conflict="update")
    answer(server, ids["item-00002"], said("bad"), ada)
    edited = server.call("GET", f"/api/tasks/{ids['item-00003']}/")["data"]
    server.call("PATCH", f"/api/tasks/{ids['item-00003']}/", {"data": {**edited, "text": "hacked"}})
    answer(server, ids["item-00003"], said("bad"), ada)
    got = studio.pull(store)
    assert (got.withdrawn, got.stale, got.quarantined) == (1, 1, 1)
    status = dict(store.answers.latest().to_polars().select("item", "status").iter_rows())
    assert status == {
        "item-00000": "withdrawn",
        "item-00001": "ok",
        "item-00002": "stale",
        "item-00003": "quarantined",
    }
    assert studio.pull(store).withdrawn == 0, "once"
    assert studio.pull(store, full=True).new == 0
    receipt = push(studio, store)
    assert (receipt.present, receipt.changed, receipt.created) == (12, 1, 0)


def test_tasks_and_projects_that_were_deleted_are_not_made_again_unasked(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    project = project_of(push(studio, store).place)
    ids = {item: numbers[0] for item, numbers in by_item(server, project).items()}
    answer(server, ids["item-00011"], said("good"), server.people["ada@example.com"])
    studio.pull(store)
    server.call("DELETE", f"/api/tasks/{ids['item-00011']}/")  # the newest: its number is given again
    assert studio.pull(store).deleted == 1
    receipt = push(studio, store)
    assert (receipt.created, receipt.present, receipt.deleted) == (0, 11, 1)
    assert push(studio, store, recreate=True).created == 1
    assert studio.pull(store).deleted == 0
    assert len(store.answers.where("status = 'ok'")) == 1, "what was answered stays"
    server.call("DELETE", f"/api/projects/{project}/")
    with pytest.raises(AnnotatorError, match="was deleted on"):
        push(studio, store)
    assert "was deleted on the server" in next(iter(studio.pull(store).reasons))
    made = push(studio, store, recreate=True)
    assert made.created == 12 and len(store.answers) == 1
    again = {item: numbers[0] for item, numbers in by_item(server, project_of(made.place)).items()}
    answer(server, again["item-00011"], said("bad"), server.people["ada@example.com"])
    studio.pull(store)
    assert len(store.answers) == 2, "an answer to the new task is another answer, whatever its number"


def test_what_is_there_twice_is_repaired_and_an_answer_to_a_copy_counts(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    project = project_of(push(studio, store).place)
    tasks = tasks_on(server, project)
    copies = [{"data": t["data"]} for t in tasks.values()][:4]
    server.call("POST", f"/api/projects/{project}/import", copies)
    twice = {item: numbers for item, numbers in by_item(server, project).items() if len(numbers) > 1}
    assert len(twice) == 4
    item, numbers = next(iter(twice.items()))
    answer(server, max(numbers), said("good"), server.people["ada@example.com"])
    receipt = push(studio, store)
    assert (receipt.created, receipt.present, receipt.repaired) == (0, 12, 4)
    assert by_item(server, project)[item] == [max(numbers)], "the one that somebody worked on stays"
    assert studio.pull(store).ok == 1
    server.call("POST", f"/api/projects/{project}/import", [{"data": {"text": "not ours"}}])
    stranger = max(tasks_on(server, project))
    answer(server, stranger, said("good"), server.people["ben@example.com"])
    assert studio.pull(store).foreign == 1
    assert len(store.answers) == 1


def test_a_lost_ledger_is_made_anew(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    first = push(studio, store, guesses=GUESSES)
    ids = by_item(server, project_of(first.place))
    answer(server, ids["item-00000"][0], said("good"), server.people["ada@example.com"])
    studio.pull(store)
    (store.path / "annotate" / "label-studio.sqlite").unlink()
    with pytest.raises(InputError, match="hand it over"):
        studio.pull(store)
    again = push(studio, store)
    assert (again.created, again.present, again.place) == (0, 12, first.place)
    got = studio.pull(store)
    assert (got.new, got.known) == (0, 1)


def test_a_round_asks_one_thing_and_each_round_has_a_project(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    first = push(studio, store)
    with pytest.raises(InputError, match="asks by another"):
        push(studio, store, params={"labels": ("good", "bad", "ugly")})
    second = push(studio, store, round=2, params={"labels": ("good", "bad", "ugly")})
    assert second.created == 12 and second.place != first.place
    for place, value in ((first.place, "good"), (second.place, "ugly")):
        number = by_item(server, project_of(place))["item-00000"][0]
        answer(server, number, said(value), server.people["ada@example.com"])
    assert studio.pull(store).ok == 2
    assert dict(store.answers.to_polars().select("round", "value").iter_rows()) == {1: "good", 2: "ugly"}


def test_of_two_projects_made_at_once_the_older_is_used(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.annotators.label_studio.server import Server

    plain = Server.create_project
    others: list[int] = []

    def beaten(line: Server, fields: dict[str, Any], *more: Any) -> int:
        if not others:  # another machine is a moment faster
            theirs = {"description": fields["description"].replace("]", "beef]")}
            others.append(plain(line, {**fields, **theirs}))
        return plain(line, fields, *more)

    monkeypatch.setattr(Server, "create_project", beaten)
    receipt = push(studio, store)
    assert project_of(receipt.place) == others[0] and receipt.created == 12
    all_ = server.call("GET", "/api/projects/?page_size=1000")["results"]
    assert [p["id"] for p in all_ if store.id in p["description"]] == others


def test_blind_rounds_and_several_annotators(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    blind = LabelStudio(server.url, server.token, blind=True, annotators=2)
    found = server.call("GET", f"/api/projects/{project_of(push(blind, store, guesses=GUESSES).place)}/")
    assert (found["show_collab_predictions"], found["maximum_annotations"]) == (False, 2)
    assert found["label_config"] and "[curate:" in found["description"]


def test_two_at_once(studio: LabelStudio, store: curate.Store) -> None:
    from curate.annotators.label_studio.ledger import exclusive

    with exclusive(store.path, "push"), pytest.raises(BusyError, match=r"process \d+ is in a push"):
        push(studio, store)
    push(studio, store)
    with exclusive(store.path, "pull"), pytest.raises(BusyError, match="run again when it is done"):
        studio.pull(store)
    studio.pull(store)
