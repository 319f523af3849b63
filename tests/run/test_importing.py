"""Import: what is new is added, what changed is told, what is refused is listed, what was interrupted goes on."""

from __future__ import annotations

import json
import threading

import pyarrow as pa
import pytest

import curate
from curate.errors import InputError, SchemaError
from curate.run.progress import SilentProgress


def parts_of(store):
    return [
        (p.table, p.part_id, p.rows) for p in store.parts.snapshot().items + store.parts.snapshot().rejected
    ]


def test_adds_what_is_new_and_says_what_is_there_already(store, captions):
    first = store.add(captions("a", "b", "c"), kind="image-text")
    assert first.counts == {"read": 3, "added": 3, "unchanged": 0, "changed": 0, "updated": 0, "rejected": 0}
    second = store.add(pa.concat_tables([captions("a", "b", "c"), captions("d", start=3)]), kind="image-text")
    assert second.counts == {"read": 4, "added": 1, "unchanged": 3, "changed": 0, "updated": 0, "rejected": 0}
    assert store.items.ids().to_pylist() == ["i000", "i001", "i002", "i003"]


def test_nothing_is_no_source(store):
    with pytest.raises(InputError, match="None is no source: a path, a frame"):
        store.add(None, kind="label")
    with pytest.raises(InputError, match="None is no source"):
        store.attach(None, name="probs")


def test_changed_rows_are_kept_out_and_listed_unless_asked_to_update(store, captions):
    store.add(captions("a", "b"), kind="image-text")
    skipped = store.add(captions("a", "B"), kind="image-text")
    assert (skipped.counts["changed"], skipped.counts["unchanged"]) == (1, 1)
    assert store.items.to_arrow(["caption"])["caption"].to_pylist() == ["a", "b"]
    listed = store.rejected.to_pylist()
    assert [(r["id"], r["code"]) for r in listed] == [("i001", "changed")]
    assert json.loads(listed[0]["data"])["caption"] == "B"
    updated = store.add(captions("a", "B"), kind="image-text", on_conflict="update")
    assert (updated.counts["updated"], updated.counts["unchanged"]) == (1, 1)
    assert sorted(store.items.to_arrow(["caption"])["caption"].to_pylist()) == ["B", "a"]
    assert len(store) == 2
    with pytest.raises(InputError, match="'i001'"):
        store.add(captions("a", "other"), kind="image-text", on_conflict="error")
    assert store.verify() == []


def test_an_older_version_still_shows_what_was_replaced(store, captions):
    store.add(captions("a", "b"), kind="image-text")
    store.tag("before")
    store.add(captions("a", "B"), kind="image-text", on_conflict="update")
    assert store.at("before").to_arrow(["caption"])["caption"].to_pylist() == ["a", "b"]


def test_rejections_are_listed_with_reason_and_none_vanishes(store, tmp_path):
    from PIL import Image

    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "good.png")
    (folder / "torn.png").write_bytes((folder / "good.png").read_bytes()[:40])
    (folder / "empty.png").write_bytes(b"")
    rows = [
        ("good.png", "fine"),
        ("torn.png", "torn"),
        ("empty.png", "zero"),
        ("gone.png", "missing"),
        ("good.png", ""),
    ]
    (folder / "t.csv").write_text("image,caption\n" + "\n".join(f"{a},{b}" for a, b in rows))
    record = store.add(folder / "t.csv", kind="image-text")
    assert (record.counts["read"], record.counts["added"], record.counts["rejected"]) == (5, 1, 4)
    listed = store.rejected
    assert listed.num_rows == 4
    assert sorted(record.reasons) == sorted(set(listed["code"].to_pylist()))
    assert all(listed["reason"].to_pylist())
    where = {r["code"]: r["reason"] for r in listed.to_pylist()}
    assert where["missing"] == f"no such file: {folder / 'gone.png'}"


def test_duplicate_ids_in_one_source_keep_the_first(store, captions):
    table = pa.concat_tables([captions("a", "b"), captions("c")])
    record = store.add(table, kind="image-text", part_rows=2)
    assert (record.counts["added"], record.counts["rejected"]) == (2, 1)
    assert store.items.to_arrow(["caption"])["caption"].to_pylist() == ["a", "b"]
    assert "row 0" in store.rejected["reason"][0].as_py()


def test_missing_columns_are_refused_with_the_argument_to_pass(store, tmp_path):
    (tmp_path / "t.csv").write_text("URL,TEXT\nhttps://example.org/1.jpg,a dog\n")
    with pytest.raises(SchemaError) as refused:
        store.add(tmp_path / "t.csv", kind="image-text")
    assert "TEXT" in str(refused.value)
    store.add(tmp_path / "t.csv", kind="image-text", columns={"image": "URL", "caption": "TEXT"})
    assert len(store) == 1


def write_captions(path, n):
    lines = (
        json.dumps({"image": f"https://example.org/{i}.jpg", "caption": f"dog {i // 2}"}) for i in range(n)
    )
    path.write_text("\n".join(lines))


class _Interrupt(SilentProgress):
    """Ctrl-C after so many rows."""

    def __init__(self, after):
        self.left = after

    def step(self, title, total):
        from contextlib import contextmanager

        @contextmanager
        def meter():
            yield self

        return meter()

    def advance(self, rows):
        self.left -= rows
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 25, 60, 95])
def test_an_interrupted_import_ends_like_an_undisturbed_one(tmp_path, monkeypatch, after):
    """Ids are derived, and every second row repeats the content of the one before: `~2` must come out right."""
    from curate.run.engine import begin
    from curate.run.steps import importing

    monkeypatch.setattr(importing, "COMMIT_EVERY", 0.0)
    source = tmp_path / "rows.jsonl"
    lines = [json.dumps({"instruction": f"q {i // 2}", "output": "a"}) for i in range(100)]
    source.write_text("\n".join([*lines[:50], "{broken", *lines[50:]]))
    with curate.open(tmp_path / "whole", create=True) as whole:
        expected = whole.add(source, kind="instruction", part_rows=10)
        with curate.open(tmp_path / "broken", create=True) as broken:
            broken._session = begin(broken.parts, progress=_Interrupt(after))
            with pytest.raises(KeyboardInterrupt):
                broken.add(source, kind="instruction", part_rows=10)
            stopped = broken.steps[-1].counts
            assert stopped["added"] == len(broken), "it says what is in the store by now"
            broken._session = begin(broken.parts, progress=SilentProgress())
            resumed = broken.add(source, kind="instruction", part_rows=10)
            assert resumed.counts == expected.counts
            assert resumed.reasons == expected.reasons
            assert sorted(parts_of(broken)) == sorted(parts_of(whole))
            assert broken.items.ids().to_pylist() == whole.items.ids().to_pylist()
            if after > 20:
                assert resumed.computed < 100, "what was committed is not read into the store again"
            assert broken.verify() == []


def test_two_imports_of_the_same_rows_at_once_add_each_row_once(tmp_path):
    source = tmp_path / "rows.jsonl"
    write_captions(source, 400)
    curate.open(tmp_path / "s", create=True).close()
    records, errors = [], []

    def work():
        try:
            with curate.open(tmp_path / "s") as mine:
                records.append(mine.add(source, kind="image-text", part_rows=20))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with curate.open(tmp_path / "s") as store:
        ids = store.items.ids().to_pylist()
        assert len(ids) == len(set(ids)) == 400
        assert store.verify() == []


def test_a_finished_import_is_recognised_until_the_source_changes(store, tmp_path):
    source = tmp_path / "rows.jsonl"
    write_captions(source, 10)
    assert not store.add(source, kind="image-text").reused
    again = store.add(source, kind="image-text")
    assert again.reused
    assert again.counts["added"] == 10
    write_captions(source, 12)
    assert store.add(source, kind="image-text").counts["added"] == 2


def test_bytes_are_packed_into_the_store_and_can_be_opened(store):
    import numpy as np

    from curate.media import open_image

    images = [np.full((4, 4), shade, np.uint8) for shade in (0, 100, 200)]
    rows = [{"id": str(i), "image": image, "label": str(i)} for i, image in enumerate(images)]
    store.add(rows, kind="label")
    uris = store.items.to_arrow(["image"])["image"].to_pylist()
    assert [np.asarray(open_image(uri).convert("L"))[0, 0] for uri in uris] == [0, 100, 200]
    assert store.items.to_arrow(["image_width"])["image_width"].to_pylist() == [4, 4, 4]
    assert store.verify() == []


def test_remote_images_that_may_not_be_fetched_are_kept_with_unknown_facts(store, captions):
    record = store.add(captions("a", "b"), kind="image-text")
    assert record.counts["added"] == 2
    assert "image_width" not in store.items.columns


def test_nothing_to_import_is_an_error(store, tmp_path):
    with pytest.raises(InputError):
        store.add(tmp_path / "nowhere.csv", kind="image-text")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError):
        store.add(tmp_path / "empty.csv", kind="image-text")


def test_a_column_of_another_type_is_brought_to_the_stores_or_refused_before_anything_is_written(store):
    row = {"text": "t", "label": "l"}
    store.add([{"id": "a", **row, "n": "seven", "w": 1, "x": None}], kind="label")
    store.add([{"id": "b", **row, "n": 7, "w": 1.5, "x": "now"}], kind="label")
    rows = store.items.to_arrow(["n", "w", "x"]).to_pylist()
    assert rows == [{"n": "seven", "w": 1.0, "x": None}, {"n": "7", "w": 1.5, "x": "now"}]
    version = store.parts.snapshot().version
    with pytest.raises(SchemaError, match="'w' holds string here and double in the store"):
        store.add([{"id": "c", **row, "w": "wide"}], kind="label")
    assert store.parts.snapshot().version == version
    assert len(store.items.to_arrow()) == 2


def test_a_column_that_a_scorer_gave_is_not_imported_over_it(store):
    store.add([{"id": "a", "text": "a text here", "label": "l"}], kind="label")
    store.score("text-basics")
    with pytest.raises(SchemaError, match="given by the scorer 'text-basics'"):
        store.add([{"id": "b", "text": "t", "label": "l", "text_words": 3}], kind="label")
    assert len(store) == 1
