"""There and back against a real server: what was sent is there once, what was answered comes back once."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from label_studio_server import LabelStudioServer
from label_studio_work import (
    GUESSES,
    PARAMS,
    TEMPLATE,
    answer,
    by_item,
    image_store,
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

ALIGNMENT = "image-text-alignment"


@pytest.fixture
def studio(server: LabelStudioServer) -> LabelStudio:
    return LabelStudio(server.url, server.token, patience=2.0)


@pytest.fixture
def store(tmp_path: Path) -> curate.Store:
    return text_store(tmp_path / "store", many_texts(12))


def test_items_are_there_once_however_often_they_are_pushed(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    planned = push(studio, store, dry_run=True)
    assert (
        planned.created,
        planned.planned,
        len(server.call("GET", "/api/projects/?page_size=1000")["results"]),
    ) == (
        *(12, True),
        len(server.call("GET", "/api/projects/?page_size=1000")["results"]),
    )
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


def test_an_answer_that_was_deleted_is_withdrawn_and_one_that_went_stale_is_kept(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
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


def test_which_items_are_meant(server: LabelStudioServer, studio: LabelStudio, store: curate.Store) -> None:
    store.keep("sure > 0.85", name="sure-ones")
    sure = len(store.selections["sure-ones"])
    assert push(studio, store, "sure-ones", dry_run=True).created == sure
    assert push(studio, store, store.selections["sure-ones"], dry_run=True).created == sure
    assert push(studio, store, ["item-00003", "item-00001"], dry_run=True).created == 2
    frame = pl.DataFrame({"item": ["item-00003"], "more": [1]})
    assert push(studio, store, frame, dry_run=True).created == 1
    assert push(studio, store, ids=frame["item"], dry_run=True).created == 1
    with pytest.raises(InputError, match="nobody"):
        push(studio, store, ["nobody"], dry_run=True)
    with pytest.raises(InputError, match="Did you mean 'text-classification'"):
        studio.push(store, template="text-clasification")


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
    others: list[dict[str, Any]] = []

    def beaten(line: Server, fields: dict[str, Any]) -> dict[str, Any]:
        if not others:  # another machine is a moment faster
            theirs = {"description": fields["description"].replace("]", "beef]")}
            others.append(plain(line, {**fields, **theirs}))
        return plain(line, fields)

    monkeypatch.setattr(Server, "create_project", beaten)
    receipt = push(studio, store)
    assert project_of(receipt.place) == others[0]["id"] and receipt.created == 12
    all_ = server.call("GET", "/api/projects/?page_size=1000")["results"]
    assert [p["id"] for p in all_ if store.id in p["description"]] == [others[0]["id"]]


def test_blind_rounds_and_several_annotators(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    blind = LabelStudio(server.url, server.token, blind=True, annotators=2)
    found = server.call("GET", f"/api/projects/{project_of(push(blind, store, guesses=GUESSES).place)}/")
    assert (found["show_collab_predictions"], found["maximum_annotations"]) == (False, 2)
    assert found["label_config"] and "[curate:" in found["description"]


@pytest.mark.parametrize("how", ["upload", "data", "local", "auto"])
def test_pictures_reach_the_annotator(server: LabelStudioServer, tmp_path: Path, how: Any) -> None:
    import urllib.request

    store = image_store(tmp_path / "store", 3)
    files = str(server.files) if how == "local" else ""
    studio = LabelStudio(server.url, server.token, media=how, files=files)
    receipt = studio.push(store, template=ALIGNMENT)
    assert (receipt.created, receipt.failed) == (3, 0)
    for task in tasks_on(server, project_of(receipt.place)).values():
        address = task["data"]["image"]
        wanted = (tmp_path / "store-pictures" / f"{task['data']['cur_item'].split('-')[1]}.png").read_bytes()
        if how == "data":
            found = urllib.request.urlopen(address).read()
        else:
            headers = {"Authorization": f"Token {server.token}"}
            request = urllib.request.Request(server.url + address, headers=headers)
            found = urllib.request.urlopen(request).read()
        assert found == wanted
    assert studio.push(store, template=ALIGNMENT).present == 3
    annotated = next(iter(tasks_on(server, project_of(receipt.place)).values()))
    rating = [{"from_name": "overall", "to_name": "image", "type": "rating", "value": {"rating": 4}}]
    answer(server, annotated["id"], rating, server.people["ada@example.com"])
    assert studio.pull(store).ok == 1, "how a picture is shown does not make it another item"


def test_a_picture_that_cannot_be_shown_keeps_no_other_out(server: LabelStudioServer, tmp_path: Path) -> None:
    store = image_store(tmp_path / "store", 3)
    (tmp_path / "store-pictures" / "1.png").unlink()
    receipt = LabelStudio(server.url, server.token, media="data").push(store, template=ALIGNMENT)
    assert (receipt.created, receipt.failed) == (2, 1)
    assert "no such file" in next(iter(receipt.reasons))


def test_status_says_where_each_round_stands(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store
) -> None:
    assert len(studio.status(store)) == 0 and "nothing was pushed" in studio.status(store)._repr_html_()
    number = by_item(server, project_of(push(studio, store, guesses=GUESSES).place))["item-00000"][0]
    answer(server, number, said("good"), server.people["ada@example.com"])
    studio.pull(store)
    status = studio.status(store)
    (row,) = status.rows
    assert (row["round"], row["tasks"], row["answered"], row["answers"], row["annotators"]) == (
        1,
        12,
        1,
        1,
        1,
    )
    assert f"{row['place']}" in status._repr_html_() and "text-classification" in str(status)


def test_two_at_once(studio: LabelStudio, store: curate.Store) -> None:
    from curate.annotators.label_studio.ledger import exclusive

    with exclusive(store.path, "push"), pytest.raises(BusyError, match=r"process \d+ is in a push"):
        push(studio, store)
    push(studio, store)
    with exclusive(store.path, "pull"), pytest.raises(BusyError, match="run again when it is done"):
        studio.pull(store)
    studio.pull(store)


def test_nothing_pushed_no_server_no_token(
    server: LabelStudioServer, studio: LabelStudio, store: curate.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="nothing of this data set was pushed"):
        studio.pull(store)
    with pytest.raises(AnnotatorError, match="does not accept the token") as refused:
        push(LabelStudio(server.url, "f" * 40), store)
    assert "f" * 40 not in str(refused.value)
    monkeypatch.setattr("curate.annotators.label_studio.wire.PAUSE", 0.01)
    with pytest.raises(AnnotatorError, match="nothing answers at"):
        push(LabelStudio("http://127.0.0.1:9", server.token), store)
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    with pytest.raises(InputError, match="LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
        push(LabelStudio(), store)
    monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.token)
    assert push(LabelStudio(), store).created == 12
    assert server.token not in repr(LabelStudio(server.url, server.token))


def test_a_personal_access_token_is_as_good(
    server: LabelStudioServer, store: curate.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    personal = server.call("POST", "/api/token/", {}, server.people["cleo@example.com"])["token"]
    studio = LabelStudio(server.url, personal)
    assert push(studio, store).created == 12
    monkeypatch.setattr(
        "curate.annotators.label_studio.wire.FRESH", timedelta(0)
    )  # every access token has run out
    assert push(studio, store).present == 12


def test_the_page_of_the_docs_runs_against_a_server(
    server: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[3] / "docs" / "annotators" / "label-studio.md"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.token)
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, str(page), "exec"), names)
    assert names["receipt"].created == 1


def test_from_the_command_line_and_from_a_recipe(
    server: LabelStudioServer, store: curate.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from curate.cli import app

    monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.token)
    ask = {"template": TEMPLATE, "params": {"labels": list(PARAMS["labels"])}, "annotators": 2}
    step = {"annotate": "label-studio", "when": "id < 'item-00005'", "with": ask}
    record = store.run({"steps": [step]}).steps[0]
    assert (record.counts["rows"], record.counts["created"]) == (5, 5)
    assert server.token not in str(record.to_dict())
    here = [str(store.path), "label-studio"]
    more = ["--template", TEMPLATE, "-p", "labels=[good, bad]", "--guess", "label=guess", "--score", "sure"]
    pushed = CliRunner().invoke(app, ["annotate", "push", *here, *more])
    assert "7 created, 5 present" in pushed.output
    number = by_item(server, project_of(record.notes[0]))["item-00001"][0]
    answer(server, number, said("good"), server.people["ben@example.com"])
    assert "1 new" in CliRunner().invoke(app, ["annotate", "pull", *here]).output
    assert "text-classification" in CliRunner().invoke(app, ["annotate", "status", *here]).output
    assert len(store.answers) == 1
