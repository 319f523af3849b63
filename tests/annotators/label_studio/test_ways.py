"""The ways in: which items, which pictures, which token, from the command line, from a recipe."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
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
from curate.errors import AnnotatorError, InputError

ALIGNMENT = "image-text-alignment"


@pytest.fixture
def studio(server: LabelStudioServer) -> LabelStudio:
    return LabelStudio(server.url, server.token, patience=2.0)


@pytest.fixture
def store(tmp_path: Path) -> curate.Store:
    return text_store(tmp_path / "store", many_texts(12))


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


@pytest.mark.parametrize("how", ["upload", "data", "local", "auto"])
def test_pictures_reach_the_annotator(server: LabelStudioServer, tmp_path: Path, how: Any) -> None:
    import urllib.request

    store = image_store(tmp_path / "store", 3)
    files = str(server.files) if how == "local" else ""
    studio = LabelStudio(server.url, server.token, media=how, files=files)
    receipt = studio.push(store, template=ALIGNMENT)
    assert (receipt.created, receipt.failed) == (3, 0)
    shown = set()
    for task in tasks_on(server, project_of(receipt.place)).values():
        address = task["data"]["image"]
        shown.add(address)
        wanted = (tmp_path / "store-pictures" / f"{task['data']['cur_item'].split('-')[1]}.png").read_bytes()
        if how == "data":
            found = urllib.request.urlopen(address).read()
        else:
            headers = {"Authorization": f"Token {server.token}"}
            request = urllib.request.Request(server.url + address, headers=headers)
            found = urllib.request.urlopen(request).read()
        assert found == wanted
    assert studio.push(store, template=ALIGNMENT).present == 3
    second = studio.push(store, template=ALIGNMENT, round=2)
    again = {t["data"]["image"] for t in tasks_on(server, project_of(second.place)).values()}
    assert again == shown, "what is there already is not sent once more"
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
