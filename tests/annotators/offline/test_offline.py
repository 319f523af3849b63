"""Tasks as files, answers as files: what is written, what is read, what is refused."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import curate
from curate.annotators.offline import Offline
from curate.annotators.offline.folder import Folder
from curate.annotators.tasks import ImageTextAlignment, PreAnnotations, TextClassification
from curate.errors import BusyError, InputError, UnknownNameError
from curate.testing import check_annotator
from tests.annotators.offline.conftest import FilePeople, LinePeople

ASK: dict[str, Any] = {"template": "text-classification", "params": {"labels": ("good", "bad")}}


def fill(store: Any, n: int = 4) -> None:
    rows = {"id": [f"i{k}" for k in range(n)], "text": [f"text {k}" for k in range(n)], "label": ["good"] * n}
    store.add(pl.DataFrame(rows), kind="label", on_conflict="update")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "folder"


def said(store: Any) -> list[tuple[Any, ...]]:
    rows = store.answers.to_polars(
        ["item", "annotator", "control", "value", "status", "touched", "model_version"]
    )
    return sorted(rows.rows(), key=str)


def test_lines_of_other_tools_keep_every_promise_too(store: Any, folder: Path) -> None:
    check_annotator(Offline(folder, format="jsonl"), store, LinePeople(folder))


def test_a_dry_run_says_what_a_push_would_of_pre_annotations_too(store: Any, folder: Path) -> None:
    fill(store, 3)
    wrong = PreAnnotations({"label": "text"}, "m")
    planned = Offline(folder).push(store, **ASK, guesses=wrong, dry_run=True)
    assert str(planned).startswith(
        "3 created, 3 without a pre-annotation; 1 x column 'text': control 'label'"
    )
    assert dict(Offline(folder).push(store, **ASK, guesses=wrong)) == {**planned, "planned": False}
    with pytest.raises(UnknownNameError, match="lable"):
        Offline(folder / "none").push(store, **ASK, guesses=PreAnnotations({"lable": "text"}, "m"))
    assert not (folder / "none").exists()


def test_the_shell_takes_the_scale_of_a_score(store: Any, folder: Path) -> None:
    from typer.testing import CliRunner

    from curate.cli import app

    rows = {"id": ["a", "b"], "text": ["x", "y"], "label": ["good"] * 2, "sure": [0.0, 0.5]}
    store.add(pl.DataFrame(rows), kind="label")
    xml = '<View><Text name="t" value="$text"/><Rating name="stars" toName="t"/></View>'
    here = ["annotate", "push", str(store.path), "offline", "--with", f"folder={folder}"]
    ask = ["--template", "custom", "-p", f"xml='{xml}'", "-p", "fields={text: text}", "--guess", "stars=sure"]
    planned = CliRunner().invoke(app, [*here, *ask, "--dry-run"]).output
    assert "2 created, 1 without a pre-annotation; 1 x" in planned and "no scale says" in planned
    assert CliRunner().invoke(app, [*here, *ask, "--scale", "stars=[0, 1]"]).output.startswith("2 created\n")
    tasks = json.loads((folder / "round-1" / "tasks-0001.json").read_text())
    said = [t["predictions"][0]["result"][0]["value"] for t in tasks]
    assert said == [{"rating": 1}, {"rating": 3}]


def test_tasks_are_written_as_label_studio_imports_them(store: Any, folder: Path) -> None:
    fill(store)
    guesses = PreAnnotations({"label": "label"}, "as imported", score="")
    receipt = Offline(folder).push(store, **ASK, where="id <> 'i3'", guesses=guesses)
    assert (receipt.created, receipt.place) == (3, str(folder / "round-1"))
    tasks = json.loads((folder / "round-1" / "tasks-0001.json").read_text())
    assert [t["data"]["cur_item"] for t in tasks] == ["i0", "i1", "i2"]
    assert tasks[0]["predictions"][0]["model_version"] == "as imported"
    assert tasks[0]["predictions"][0]["result"][0]["value"] == {"choices": ["good"]}
    assert (folder / "round-1" / "config.xml").read_text() == TextClassification(
        labels=("good", "bad")
    ).config()
    questions = json.loads((folder / "round-1" / "questions.json").read_text())
    asked = {
        "control": "label",
        "form": "choice",
        "values": ["good", "bad"],
        "highest": None,
        "for_each": None,
    }
    assert questions[0] == asked and questions[1]["control"] == "comment"
    Offline(folder).push(store, **ASK)
    assert len(json.loads((folder / "round-1" / "tasks-0002.json").read_text())) == 1  # the new one alone
    assert Offline(folder).status(store) == [
        {"round": 1, "template": "text-classification", "tasks": 4, "answered": 0}
    ]


@pytest.mark.parametrize("media", ["address", "data", "copy"])
def test_media_get_to_the_tool(media: Any, store: Any, folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    rows = {"id": ["a", "b"], "image": [str(tmp_path / f"{i}.png") for i in "ab"], "caption": ["red", "none"]}
    store.add(pl.DataFrame(rows), kind="image-text", check="none")
    receipt = Offline(folder, media=media, prefix="/data/local-files/?d=").push(
        store, template="image-text-alignment"
    )
    shown = json.loads((folder / "round-1" / "tasks-0001.json").read_text())[0]["data"]["image"]
    if media == "address":
        assert receipt.created == 2 and shown == rows["image"][0]
        return
    assert (receipt.created, receipt.failed) == (1, 1)
    assert list(receipt.reasons) == ["neither a picture nor a sound that a browser shows"]
    content = (tmp_path / "a.png").read_bytes()
    if media == "data":
        assert shown == "data:image/png;base64," + base64.b64encode(content).decode()
    else:
        assert shown.startswith("/data/local-files/?d=media/") and shown.endswith(".png")
        assert (folder / shown.partition("=")[2]).read_bytes() == content


def test_sounds_go_into_tasks_only_where_they_are_played(store: Any, folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(800, np.float32), 8000)
    store.add(pl.DataFrame({"id": ["a"], "audio": [str(tmp_path / "a.wav")], "text": ["hm"]}), kind="speech")
    ask = {"template": "transcript-check"}
    refused = Offline(folder, media="data").push(store, **ask)
    assert (refused.created, refused.failed) == (0, 1) and "media='copy'" in next(iter(refused.reasons))
    lines = Offline(tmp_path / "lines", media="data", format="jsonl").push(store, **ask)
    assert lines.created == 1
    task = next(iter(Folder(tmp_path / "lines").tasks().values()))
    assert task.data["audio"].startswith("data:audio/wav;base64,")


def test_another_template_folder_or_data_set_is_refused(store: Any, folder: Path, tmp_path: Path) -> None:
    fill(store)
    Offline(folder).push(store, **ASK)
    with pytest.raises(InputError, match=r"round 1 .* asks by template 'text-classification'"):
        Offline(folder).push(store, template="text-classification", params={"labels": ("x", "y")})
    with curate.open(tmp_path / "other.curate", create=True) as other:
        fill(other)
        with pytest.raises(InputError, match="another data set"):
            Offline(folder).push(other, **ASK)
        with pytest.raises(InputError, match="another data set"):
            Offline(folder).pull(other)
    with pytest.raises(InputError, match="nothing was pushed"):
        Offline(tmp_path / "new").pull(store)
    with pytest.raises(InputError, match=r"no items .*'i9'"):
        Offline(folder).push(store, **ASK, ids=["i0", "i9"])
    with pytest.raises(InputError, match="no item is meant"):
        Offline(folder).push(store, **ASK, where="id = 'none'")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "project.json").write_text("{}")
    with pytest.raises(InputError, match="no project of ours"):
        Offline(tmp_path / "odd").push(store, **ASK)


def test_a_dry_run_writes_nothing_and_a_bad_configuration_neither(store: Any, folder: Path) -> None:
    fill(store)
    assert Offline(folder).push(store, **ASK, dry_run=True).planned
    with pytest.raises(InputError, match="twice"):
        Offline(folder).push(store, template="text-classification", params={"labels": ("a", "a")})
    assert not list(folder.glob("*.json")) and not list(folder.glob("round-*"))


def test_items_that_changed_are_told_and_shown_anew_in_the_next_round(store: Any, folder: Path) -> None:
    fill(store)
    Offline(folder).push(store, **ASK)
    store.add(
        pl.DataFrame({"id": ["i1"], "text": ["new"], "label": ["good"]}), kind="label", on_conflict="update"
    )
    again = Offline(folder).push(store, **ASK)
    assert (again.created, again.present, again.changed) == (0, 4, 1)
    Offline(folder).push(store, **ASK, ids=["i1"], round=2)
    assert [t.data["text"] for t in Folder(folder).tasks(2).values()] == ["new"]


def test_what_was_edited_over_there_is_quarantined_and_removed_items_are_stale(
    store: Any, folder: Path
) -> None:
    fill(store)
    Offline(folder).push(store, **ASK)
    people = FilePeople(folder)
    for item in ("i0", "i1", "i2"):
        people.answer(item, "7", {"label": "bad"}, 1)
    export = people.exported()
    export[0]["data"]["text"] = "edited"
    export[1]["data"]["cur_key"] = "0" * 24
    export.append({"id": 99, "data": {"text": "theirs"}, "annotations": [{"id": 1}, {"id": 2}]})
    for path in (folder / "answers").iterdir():
        path.unlink()
    (folder / "answers" / "export.json").write_text(json.dumps(export))
    receipt = Offline(folder).pull(store)
    assert (receipt.quarantined, receipt.ok, receipt.foreign) == (1, 1, 3)
    assert receipt.reasons["the task was edited: text"] == 1
    assert {r[:1] + r[4:5] for r in said(store)} == {("i0", "quarantined"), ("i2", "ok")}


def test_who_touched_the_guess_is_read_from_exports_of_every_kind(store: Any, folder: Path) -> None:
    fill(store, 1)
    Offline(folder).push(store, **ASK, guesses=PreAnnotations({"label": "label"}, "m@1"))
    people = FilePeople(folder)
    people.answer("i0", "7", {"label": "good"}, 1)
    export = people.exported()
    one = export[0]["annotations"][0]
    one["result"][0]["origin"] = "prediction"
    one["parent_prediction"] = 55  # an id that only the server knows
    one["completed_by"] = {"id": 7, "email": "ann@x.org"}
    (folder / "answers" / "zz.json").write_text(
        json.dumps(export[0])
    )  # a single task, as webhooks and the API give it
    (folder / "answers" / "export-0001.json").unlink()
    Offline(folder, people={"7": "ann"}).pull(store)
    assert said(store) == [("i0", "ann", "label", "good", "ok", False, "m@1")]


def test_lines_say_what_was_shown_or_it_is_compared(store: Any, folder: Path) -> None:
    fill(store, 3)
    Offline(folder, format="jsonl").push(store, **ASK, guesses=PreAnnotations({"label": "label"}, "m@1"))
    keys = {t.item: t.key for t in Folder(folder).tasks().values()}
    base = {"annotator": "ann", "created_at": "2026-01-01T00:00:00Z", "model_version": "m@1"}
    lines = [
        {**base, "key": keys["i0"], "answers": {"label": "good"}},
        {**base, "key": keys["i1"], "answers": {"label": "bad", "comment": None}},
        {**base, "key": keys["i2"], "answers": {"label": "good", "mood": "x"}, "touched": {"label": True}},
    ]
    (folder / "answers" / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    receipt = Offline(folder).pull(store)
    assert (receipt.ok, receipt.rejected, receipt.new) == (3, 0, 4)
    assert said(store) == [
        ("i0", "ann", "label", "good", "ok", False, "m@1"),
        ("i1", "ann", "label", "bad", "ok", True, "m@1"),
        ("i2", "ann", "label", "good", "ok", True, "m@1"),
        ("i2", "ann", "mood", "x", "rejected", None, "m@1"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,label", "CSV, which loses answers"),
        ("a.tsv", "id", "TSV, which loses answers"),
        (
            "a.json",
            json.dumps([{"text": "t", "label": "good", "annotation_id": 3, "annotator": 1}]),
            "JSON_MIN",
        ),
        ("a.json", '[{"data": ', "no JSON"),
        ("a.json", "[3]", "no task of a Label Studio export"),
        ("a.json", '[{"text": "t"}]', "no 'data'"),
        ("a.json", '[{"data": {"cur_key": "x"}, "annotations": [4]}]', "by id only"),
        ("a.jsonl", '{"key": "k"}', "line 1: no annotator, created_at, answers"),
        ("a.jsonl", "\n[3]", "line 2: a mapping is meant"),
        ("a.jsonl", "{", "line 1 is no JSON"),
    ],
)
def test_files_that_cannot_be_read_whole_are_refused_whole(
    name: str, text: str, message: str, store: Any, folder: Path
) -> None:
    fill(store, 1)
    Offline(folder).push(store, **ASK)
    FilePeople(folder).answer("i0", "7", {"label": "bad"}, 1)
    (folder / "answers" / name).write_text(text)
    with pytest.raises(InputError, match=message):
        Offline(folder).pull(store)
    assert len(store.answers) == 0


def test_a_template_of_ones_own_is_handed_over_again(store: Any, folder: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine(TextClassification):
        name = "mine"

    fill(store, 1)
    mine = Mine(labels=("good", "bad"))
    Offline(folder).push(store, template=mine)
    FilePeople(folder).answer("i0", "7", {"label": "bad"}, 1)
    with pytest.raises(InputError, match="template that is not known"):
        Offline(folder).pull(store)
    assert Offline(folder).pull(store, template=mine).ok == 1


def test_of_two_at_once_one_says_so(store: Any, folder: Path) -> None:
    fill(store, 1)
    Offline(folder).push(store, **ASK)
    with Folder(folder).exclusive("push"):
        for call in (lambda: Offline(folder).push(store, **ASK), lambda: Offline(folder).pull(store)):
            with pytest.raises(BusyError, match="did nothing"):
                call()


def push_and_die(path: str, folder: str, moment: int) -> None:
    """Push, and be killed at the n-th file that is renamed into place."""
    import os
    import signal

    counted = itertools.count()
    replace = Path.replace

    def dying(self: Path, target: Any) -> Any:
        if self.name.startswith(".") and next(counted) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = dying  # type: ignore[method-assign, assignment]
    with curate.open(path) as store:
        Offline(folder).push(store, **ASK)


@pytest.mark.parametrize("moment", range(5))
def test_a_push_that_is_killed_leaves_whole_files_and_the_next_goes_on(
    moment: int, store: Any, folder: Path, tmp_path: Path
) -> None:
    fill(store)
    store.close()
    process = multiprocessing.get_context("fork").Process(
        target=push_and_die, args=(str(store.path), str(folder), moment)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -9
    with curate.open(store.path) as again:
        receipt = Offline(folder).push(again, **ASK)
        assert receipt.created + receipt.present == 4
        assert len(Folder(folder).tasks()) == 4
        people = FilePeople(folder)
        people.answer("i2", "7", {"label": "bad"}, 1)
        assert Offline(folder).pull(again).ok == 1


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    answers=st.lists(
        st.tuples(
            st.integers(0, 3),  # item
            st.sampled_from(["7", "8", "9"]),  # person
            st.sampled_from(["good", "bad", None]),  # label, or a skip
            TEXT.filter(bool),  # comment
            st.integers(0, 2),  # how often it is exported
        ),
        min_size=1,
        max_size=6,
    ),
    random=st.randoms(use_true_random=False),
)
def test_exports_merged_in_any_order_and_however_often_give_the_same_answers(
    answers: list[Any], random: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("merge")
    with curate.open(home / "s.curate", create=True) as first:
        fill(first)
        Offline(home / "a").push(first, **ASK)
        people = FilePeople(home / "a")
        exports = []
        for item, person, label, comment, more in answers:
            if label is None:
                people.skip(f"i{item}", person, 1)
            else:
                people.answer(f"i{item}", person, {"label": label, "comment": comment}, 1)
            exports += [json.dumps(people.exported())] * (1 + more)
        for path in (home / "a" / "answers").iterdir():
            path.unlink()
        random.shuffle(exports)
        for n, export in enumerate(exports):
            (home / "a" / "answers" / f"{n}.json").write_text(export)
            if n in (0, len(exports) // 2, len(exports) - 1):  # pulled now and then
                Offline(home / "a").pull(first)
        one = said(first)
        assert Offline(home / "a").pull(first).new == 0
        expected = {
            (f"i{item}", person, control, value)
            for item, person, label, comment, _ in answers
            for control, value in (
                (("", None),) if label is None else (("label", label), ("comment", comment))
            )
        }
        assert {r[:4] for r in one} == expected
        assert len(first.answers) == sum(1 if g[2] is None else 2 for g in answers)


def test_any_text_goes_out_and_comes_back(store: Any, folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "x.png")
    texts = ["\u2028line\u2029", "tab\tnew\nline", "{{idx}} $text", '"quoted" <b>', "\x00\x1f", "👩‍👩‍👧"]
    store.add(
        pl.DataFrame(
            {"id": [f"t{k}" for k in range(6)], "image": [str(tmp_path / "x.png")] * 6, "caption": texts}
        ),
        kind="image-text",
        check="none",
    )
    template = ImageTextAlignment()
    for format in ("label-studio", "jsonl"):
        there = Path(f"{folder}-{format}")
        Offline(there, format=format).push(store, template=template)  # type: ignore[arg-type]
        assert [t.data["caption"] for t in Folder(there).tasks().values()] == texts
