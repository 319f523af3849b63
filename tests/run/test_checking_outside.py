"""What recipes read, write and ask outside the store is looked at before their first step runs."""

from __future__ import annotations

import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_recipes import ATTACH, FIRST, IMPORT, ITEMS

from curate.errors import (
    InputError,
    MissingExtraError,
    MissingModelError,
    SchemaError,
    UnknownNameError,
)

# --- Files --------------------------------------------------------------------------------------------------------

FILES = [
    ({**IMPORT, "import": "row.parquet"}, InputError, "no file or folder .* Did you mean .*rows.parquet"),
    ({**IMPORT, "import": "*.jsonl"}, InputError, "no file matches"),
    ({**IMPORT, "import": "v.npy"}, InputError, "the format of .npy files is not known"),
    ({**IMPORT, "format": "arrow"}, UnknownNameError, "unknown format 'arrow'"),
    ({**IMPORT, "import": "zip://a.csv::absent.zip"}, InputError, "no file or folder .*absent.zip"),
    ({**IMPORT, "import": "nosuch://a/rows.csv"}, InputError, "Protocol not known: nosuch"),
    ({**IMPORT, "import": "pictures", "kind": "image-text", "texts": "t.csv"}, InputError, "no file .*t.csv"),
    ({**ATTACH, "attach": "w.npy"}, InputError, "no file or folder .* Did you mean .*v.npy"),
    ({**ATTACH, "attach": "rows.csv"}, InputError, "vectors are read from .npy"),
    ({**ATTACH, "attach": "rows.parquet"}, InputError, "no vector column"),
    ({**ATTACH, "attach": "rows.parquet", "key": "p"}, UnknownNameError, "vector column of .* 'p'"),
    ({**ATTACH, "attach": "torn.npy"}, InputError, "torn.npy cannot be read"),
    ({**ATTACH, "attach": "torn.npz"}, InputError, "torn.npz cannot be read"),
    ({**ATTACH, "attach": "flat.npy"}, InputError, "expected .rows, columns."),
    ({**ATTACH, "attach": "words.npz"}, InputError, "words.npz is of dtype <U1: expected numbers"),
    ({**ATTACH, "attach": "two.npz"}, InputError, r"holds a \(3, 3\), b \(3, 1\), c_ .* say which"),
    ({**ATTACH, "attach": "two.npz", "key": "c"}, UnknownNameError, "array of .* 'c'"),
    ({**ATTACH, "key": "a"}, InputError, "holds one array"),
    ({**ATTACH, "ids": None}, InputError, "3 vectors have no ids"),
    ({**ATTACH, "ids": "id.csv"}, InputError, "ids: there is no file or folder .*id.csv"),
    ({**ATTACH, "ids": "two.npz"}, InputError, "ids are read from"),
    ({**ATTACH, "ids": "ids.txt"}, InputError, "has 3 rows, and 2 ids are given"),
]


@pytest.mark.parametrize(("step", "error", "told"), FILES, ids=lambda value: str(value)[:60])
def test_files_that_cannot_be_read_are_told_at_once(recipe, tmp_path, step, error, told) -> None:
    (tmp_path / "rows.csv").write_text("id\na\n")
    (tmp_path / "ids.txt").write_text("a\nb\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    (tmp_path / "torn.npz").write_bytes(b"PK")
    (tmp_path / "torn.npy").write_bytes((tmp_path / "v.npy").read_bytes()[:-4])
    np.save(tmp_path / "flat.npy", np.ones(3))
    np.savez(tmp_path / "words.npz", w=np.array([["a"], ["b"]]))
    np.savez(tmp_path / "two.npz", a=np.eye(3), b=np.ones((3, 1)), c_=np.ones(3))
    with pytest.raises(error, match=told) as caught:
        recipe(*FIRST, step)
    assert str(caught.value).startswith("step 4 of 4 (")


def test_files_that_can_be_read_are_not_refused(recipe, tmp_path) -> None:
    table = pa.table({"id": ["a", "b", "c"], "p0": [0.1] * 3, "p1": [0.9] * 3, "v": [[1.0], [2.0], [3.0]]})
    pq.write_table(table, tmp_path / "p.parquet")
    with pa.ipc.new_file(tmp_path / "p.arrow", table.schema) as file:
        file.write_table(table)
    np.savez(tmp_path / "p.npz", ids=np.array(["a", "b", "c"]), p=np.eye(3), n=np.ones(3))
    (tmp_path / "ids.csv").write_text("id\na\nb\nc\n")
    archive = tmp_path / "made" / "data" / "media.zip"
    made = {"export": "made/data"}
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "a.txt"):
        (tmp_path / "pictures" / name).write_text("a cat")
    for step in (
        {"import": "pictures/*", "kind": "image-text", "texts": ".txt"},
        {"import": "pictures", "kind": "image-text"},
        {**ATTACH, "ids": "ids.csv"},
        {"attach": "p.npz", "as": "p"},
        {"attach": "p.npz", "as": "p", "key": "p", "ids": "rows"},
        {"attach": "p.parquet", "as": "p", "key": "v"},
        {"attach": "p.arrow", "as": "p", "key": "p"},
        {"attach": "memory://p.npy", "as": "p"},
        {"attach": "./made/data/data.parquet", "as": "p"},
        {**ATTACH, "ids": "made/../made/data/data.parquet"},
        {**IMPORT, "import": "ma*/data/*.parquet"},
        {**IMPORT, "import": f"zip://a.csv::{archive}"},
    ):
        recipe(*FIRST, made, step)
    recipe({"import": "pictures/*", "kind": "image-text", "texts": ".txt"}, {"score": "text-basics"})


def test_vectors_in_the_order_of_import_are_counted_where_the_items_are_known(
    recipe, store, tmp_path
) -> None:
    np.save(tmp_path / "four.npy", np.eye(4))
    step = {**ATTACH, "attach": "four.npy"}
    recipe(IMPORT, step)  # nobody knows how many it brings
    store.run({"steps": [{**IMPORT, "import": str(tmp_path / "rows.parquet")}]})
    with pytest.raises(InputError, match=r"step 1 of 1 .*4 vectors for 3 items"):
        recipe(step)


# --- Places, packages, weights, addresses ---------------------------------------------------------------------------


def test_a_late_import_that_does_not_fit_is_told_at_once(recipe, tmp_path) -> None:
    late = {"import": "rows.parquet", "kind": "label", "columns": {"text": "sentences"}}
    with pytest.raises(UnknownNameError, match=r"step 4 of 4 .* Did you mean 'sentence'"):
        recipe(*FIRST, late)
    with pytest.raises(SchemaError, match="no column image and caption"):
        recipe(*FIRST, {**late, "kind": "image-text", "columns": {}})
    (tmp_path / "scored.csv").write_text("id,text,label,text_words\n1,a,b,1\n")
    with pytest.raises(SchemaError, match=r"'text_words' is given by the scorer 'text-basics' already"):
        recipe(*FIRST, {"import": "scored.csv", "kind": "label"})
    recipe(*FIRST, {"import": "scored.csv", "kind": "label", "columns": {"words": "text_words"}})
    # It may be another file by then: the recipe writes there itself.
    recipe(*FIRST, {"export": "rows.parquet.d"}, {**late, "import": "rows.parquet.d/data.parquet"})


def test_places_that_cannot_be_written_are_told_at_once(recipe, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("not to be lost")
    for step, told in (
        ({"export": "rows.parquet"}, "is a file: an export is a folder"),
        ({"export": "rows.parquet/below"}, "rows.parquet is a file"),
        ({"export": "full", "overwrite": True}, "not an export of curate"),
        ({"export": "o", "format": "csv", "media": "embed"}, "csv cannot hold the bytes"),
        ({"export": "o", "format": "webdataset", "media": "copy"}, "WebDataset shards hold"),
        ({"report": "full"}, "is a folder: name the file"),
        ({"report": "rows.parquet/r.html"}, "rows.parquet is a file"),
    ):
        with pytest.raises(InputError, match=f"step 4 of 4 .*{told}"):
            recipe(*FIRST, step)
    recipe(*FIRST, {"export": "new/deep/out"}, {"report": "rows.parquet.html"}, {"report": "new/r.html"})


def test_items_of_several_kinds_are_refused_where_nothing_narrows_them(
    recipe, store, tmp_path, captions
) -> None:
    late = [{"import": "texts.jsonl", "kind": "instruction"}, {"score": "text-basics"}]
    (tmp_path / "texts.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    out = {"export": "out", "format": "webdataset"}
    told = (
        r"step 4 of 4 .*several kinds \(label, instruction\): keep one first, as with keep: label is not null"
    )
    with pytest.raises(InputError, match=told):
        recipe(IMPORT, *late, out)
    recipe(IMPORT, *late, {"keep": "instruction is null"}, out)
    recipe(IMPORT, *late, {"select": "random", "budget": 1}, {**out, "selection": "random"})
    store.run({"steps": [{**IMPORT, "import": str(tmp_path / "rows.parquet")}]})
    store.keep("rating > 1", name="labelled")
    store.add(str(tmp_path / "texts.jsonl"), kind="instruction")
    store.select("random", budget="100%", name="both")
    recipe({**out, "selection": "labelled"})
    with pytest.raises(InputError, match="several kinds"):
        recipe({**out, "selection": "both"})
    recipe({"select": "random", "budget": 1, "as": "both"}, {**out, "selection": "both"})
    store.delete(where="label is null")
    recipe(out)  # the parts are still there, with no row that lives


def test_what_was_kept_before_an_import_stays_kept(store, tmp_path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    store.add(ITEMS, kind="label")
    steps = [
        {"keep": "label = 'a'"},
        {"import": str(tmp_path / "texts.jsonl"), "kind": "instruction"},
        {"export": str(tmp_path / "out")},
    ]
    assert store.run({"steps": steps}).steps[-1].counts["rows"] == 3


def test_exports_that_are_surely_others_are_told_at_once(recipe, store, tmp_path) -> None:
    store.add(ITEMS, kind="label")
    store.export(tmp_path / "there")
    with pytest.raises(InputError, match=r"step 1 of 1 .* holds a different export .* as parquet"):
        recipe({"export": "there", "format": "csv"})
    with pytest.raises(InputError, match="holds a different export"):
        recipe({"export": "there", "media": "copy"})
    recipe({"export": "there"}, {"export": "there", "format": "csv", "overwrite": True})
    with pytest.raises(InputError, match=r"step 2 of 2 .* will hold another export, .* as parquet"):
        recipe({"export": "o"}, {"export": "./o", "format": "csv"})
    keep = {"keep": "label = 'a'", "as": "as"}
    for second in ({"export": "o"}, {"export": "o", "selection": "as"}, {"export": "o", "overwrite": True}):
        recipe(keep, {"export": "o"}, second)
    with pytest.raises(InputError, match="hold the bytes of media themselves"):
        recipe({"export": "o", "format": "webdataset", "media": "reference"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_others_is_told_at_once(recipe, tmp_path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o555)
    with pytest.raises(InputError, match="takes no new files"):
        recipe(*FIRST, {"export": "theirs/out"})


def test_missing_packages_weights_and_addresses_are_told_at_once(recipe, tmp_path, monkeypatch) -> None:
    head = {"score": "reward-head", "with": {"weights": str(tmp_path / "head.pt"), "features": "vec"}}
    steps = [*FIRST, ATTACH]
    with pytest.raises(MissingModelError, match=r"step 5 of 5 .* no file .*head\.pt"):
        recipe(*steps, head)
    (tmp_path / "head.pt").touch()
    recipe(*steps, head)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    push = {
        "annotate": "label-studio",
        "with": {"url": "http://localhost:1", "template": "text-classification"},
    }
    with pytest.raises(InputError, match="set LABEL_STUDIO_API_KEY"):
        recipe(*FIRST, push)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "x")
    recipe(*FIRST, push)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"step 5 of 5 .*curate\[noise\]"):
        recipe(*steps, {"compare": ["random"], "embedding": "vec"})
    with pytest.raises(MissingExtraError, match=r"curate\[noise\]"):
        recipe(*steps, {"report": "r.html", "map_by": "t-sne"})


# --- Questions ------------------------------------------------------------------------------------------------------

GUESSES = {"columns": {"label": "label"}, "model_version": "m"}
ASK = {"folder": "tasks", "template": "text-classification"}
QUESTIONS = [
    ({"template": "text-clasification"}, UnknownNameError, "Did you mean 'text-classification'"),
    ({"params": {"lables": ["a"]}}, UnknownNameError, "Did you mean 'labels'"),
    ({"params": {"labels": "a,b"}}, InputError, "a list is meant"),
    ({"params": {"label": "class"}}, InputError, "name the labels, .* 'class' is none of"),
    ({"params": {"text": "sentence"}}, UnknownNameError, "column for template .* 'sentence'"),
    ({"template": "image-text-alignment"}, UnknownNameError, "column for template .* 'image'"),
    ({"template": "image-text-alignment", "params": {"limit": 1}}, InputError, "limit=1: ratings go"),
    ({"template": "custom", "params": {"xml": "<View>"}}, InputError, "no well-formed XML"),
    ({"guesses": {**GUESSES, "columns": {"lable": "label"}}}, UnknownNameError, "control of .* 'lable'"),
    ({"guesses": {**GUESSES, "columns": {"label": "lable"}}}, UnknownNameError, "Did you mean 'label'"),
    ({"guesses": {**GUESSES, "score": "sure"}}, UnknownNameError, "unknown column 'sure'"),
    ({"guesses": {"columns": {"label": "label"}}}, InputError, "model_version: Field required"),
    ({"round": 0}, InputError, "round 0: rounds are numbered from 1"),
    ({"round": "two"}, InputError, "round 'two'"),
    ({"folder": "rows.parquet"}, InputError, "rows.parquet is a file"),
]
SERVER = {"url": "http://localhost:1", "template": "text-classification"}
ADDRESSES = [
    ({"url": "localhost:8080"}, InputError, "no address of a Label Studio server"),
    ({"media": "local"}, InputError, "media='local' needs `files`"),
    ({"media": "local", "files": "nowhere"}, InputError, "files='nowhere' is no folder"),
    ({"round": -1}, InputError, "rounds are numbered"),
    ({"params": {"label": "class"}}, InputError, "'class' is none of"),
]


@pytest.mark.parametrize(("asked", "error", "told"), QUESTIONS, ids=lambda value: str(value)[:60])
def test_a_question_that_cannot_be_asked_is_told_at_once(
    recipe, tmp_path, monkeypatch, asked, error, told
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=f"step 4 of 4 .annotate offline.: .*{told}"):
        recipe(*FIRST, {"annotate": "offline", "with": {**ASK, **asked}})


@pytest.mark.parametrize(("asked", "error", "told"), ADDRESSES, ids=lambda value: str(value)[:60])
def test_what_a_server_will_not_be_asked_is_told_at_once(recipe, monkeypatch, asked, error, told) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "x")
    with pytest.raises(error, match=f"step 4 of 4 .annotate label-studio.: .*{told}"):
        recipe(*FIRST, {"annotate": "label-studio", "with": {**SERVER, **asked}})
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "two words")
    with pytest.raises(InputError, match="the token is empty or has spaces"):
        recipe(*FIRST, {"annotate": "label-studio", "with": SERVER})


def test_questions_that_can_be_asked_are_not_refused(recipe, store, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sentences = {"params": {"text": "sentence", "label": "rating"}}
    xml = "<View><Text name='t' value='$what'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>"
    custom = {"template": "custom", "params": {"xml": xml, "fields": {"what": "text"}}}
    scored = {**GUESSES, "score": "text_basics"}
    for asked in ({}, {"round": 2, "guesses": scored}, {"params": {"labels": ["a"]}}, custom):
        recipe(*FIRST, {"annotate": "offline", "with": {**ASK, **asked}})
    unknown = {**IMPORT, "import": "memory://nowhere.parquet"}
    recipe(unknown, {"annotate": "offline", "with": {**ASK, **sentences}})
    recipe({"annotate": "offline", "with": ASK})  # no items, nothing to ask
    # What is put into its folder may be imported later.
    recipe(
        *FIRST,
        {"annotate": "offline", "with": ASK},
        {**IMPORT, "import": str(tmp_path / "tasks/answers/a.csv")},
    )


def test_a_round_that_was_begun_goes_on_with_the_same_question(recipe, store, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    store.add(ITEMS, kind="label")
    step = {"annotate": "offline", "with": {**ASK, "params": {"labels": ["a", "b"]}}}
    store.run({"steps": [step]})
    recipe(step)
    recipe({"annotate": "offline", "with": ASK})  # the labels of the items are these
    with pytest.raises(
        InputError, match=r"step 1 of 1 .*round 1 in tasks asks by template 'text-classification'"
    ):
        recipe({"annotate": "offline", "with": {**ASK, "params": {"labels": ["a", "c"]}}})
    recipe({"annotate": "offline", "with": {**ASK, "params": {"labels": ["a", "c"]}, "round": 2}})
    (tmp_path / "tasks" / "project.json").write_text(
        (tmp_path / "tasks" / "project.json").read_text().replace(store.parts.uuid, "0" * 32)
    )
    with pytest.raises(InputError, match="tasks of another data set"):
        recipe(step)
