"""Folders of images and sounds: texts beside them, in tables, in the names of subfolders."""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from curate.errors import InputError, SchemaError
from curate.formats import open_source

Rows = list[dict[str, Any]]


def read(source: Any, kind: str, **options: Any) -> tuple[Rows, Rows]:
    batches = list(open_source(source, kind, **options).batches(options.pop("rows", 8192)))
    return [r for b in batches for r in b.table.to_pylist()], [
        r for b in batches for r in b.rejected.to_pylist()
    ]


def put(folder: Path, **files: str | bytes) -> Path:
    """Files by name; `__` in a name stands for a dot, `___` for a slash."""
    for name, content in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_texts_beside_images(tmp_path: Path) -> None:
    put(
        tmp_path,
        b__jpg="B",
        b__txt="  a caption\n",
        a__PNG="A",
        a__txt="ünï",
        LICENSE="text",
        c__jpg="C",
        d__txt="orphan",
    )
    put(
        tmp_path,
        sub___e__webp="E",
        sub___e__txt=b"\xff\xfe",
        sub___f__jpg="F",
        sub___f__txt="in a folder",
        __hidden__jpg="H",
    )
    (tmp_path / ".h.jpg").write_text("hidden")
    rows, rejected = read(tmp_path, "image-text")
    assert [(r["image"], r["caption"], r["_index"]) for r in rows] == [
        (f"{tmp_path}/a.PNG", "ünï", 0),
        (f"{tmp_path}/b.jpg", "a caption", 1),
        (f"{tmp_path}/sub/f.jpg", "in a folder", 4),
    ]
    assert [(r["row"], r["code"]) for r in rejected] == [
        (2, "missing-caption"), (3, "invalid-utf8"), (None, "missing-file"),
    ]  # fmt: skip
    assert "d.txt" in rejected[2]["reason"]


def test_json_beside_images(tmp_path: Path) -> None:
    put(tmp_path, a__jpg="A", a__json=json.dumps({"caption": "one", "score": 0.5, "tags": ["x"]}))
    put(
        tmp_path,
        b__jpg="B",
        b__json=json.dumps({"caption": "two", "late": 1}),
        c__jpg="C",
        c__json="{broken",
        d__jpg="D",
        d__json="[1]",
    )
    rows, rejected = read(tmp_path, "image-text")
    assert [(r["caption"], r["score"], r["tags"], r["late"]) for r in rows] == [
        ("one", 0.5, ["x"], None),
        ("two", None, None, 1),
    ]
    assert [(r["row"], r["code"]) for r in rejected] == [(2, "malformed"), (3, "malformed")]


def test_sidecars_of_another_suffix(tmp_path: Path) -> None:
    put(tmp_path, a__jpg="A", a__alt="from alt", a__txt="from txt")
    assert read(tmp_path, "image-text", texts=".alt")[0][0]["caption"] == "from alt"
    assert read(tmp_path, "image-text", texts="alt")[0][0]["caption"] == "from alt"
    assert read(tmp_path, "image-text")[0][0]["caption"] == "from txt"
    with pytest.raises(InputError, match=r"\.nope"):
        read(tmp_path, "image-text", texts=".nope")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_metadata_table_is_found(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, a__jpg="A", sub___b__jpg="B", c__jpg="C")
    table = [{"file_name": "sub/b.jpg", "caption": "bee", "n": 2}, {"file_name": "a.jpg", "caption": "first", "n": 1},
             {"file_name": "a.jpg", "caption": "second", "n": 3}, {"file_name": "none.jpg", "caption": "lost", "n": 4}]  # fmt: skip
    if suffix == "jsonl":
        text = "".join(json.dumps(r) + "\n" for r in table)
    else:
        mark = "," if suffix == "csv" else "\t"
        text = "".join(mark.join(map(str, r)) + "\n" for r in [table[0].keys(), *(t.values() for t in table)])
    (tmp_path / f"metadata.{suffix}").write_text(text)
    rows, rejected = read(tmp_path, "image-text")
    assert [(Path(r["image"]).name, r["caption"], r["n"]) for r in rows] == [
        ("a.jpg", "first", 1),
        ("a.jpg", "second", 3),
        ("b.jpg", "bee", 2),
    ]
    assert [(r["row"], r["code"], Path(r["source"]).name) for r in rejected] == [
        (1, "missing-caption", tmp_path.name), (3, "missing-file", f"metadata.{suffix}"),
    ]  # fmt: skip


def test_a_table_may_name_files_by_stem_and_lie_elsewhere(tmp_path: Path) -> None:
    put(tmp_path / "images", one___p1__jpg="A", two___p1__jpg="B", p2__jpg="C")
    table = put(tmp_path, prompts__csv="ID,prompts\np1,red car\np2,dog\np3,none\n") / "prompts.csv"
    options: dict[str, Any] = {"texts": table, "columns": {"image": "ID", "caption": "prompts"}}
    rows, rejected = read(tmp_path / "images", "image-text", **options)
    assert [(r["image"].removeprefix(f"{tmp_path}/images/"), r["caption"]) for r in rows] == [
        ("one/p1.jpg", "red car"), ("p2.jpg", "dog"), ("two/p1.jpg", "red car"),
    ]  # fmt: skip
    assert [r["code"] for r in rejected] == ["missing-file"]
    with pytest.raises(SchemaError, match="no column that names the files"):
        read(tmp_path / "images", "image-text", texts=table)


def test_near_names_in_the_table_are_suggested(tmp_path: Path) -> None:
    put(tmp_path, a__jpg="A", metadata__csv="file_name,text\na.jpg,hello\n")
    with pytest.raises(SchemaError) as error:
        read(tmp_path, "image-text")
    assert 'columns={"caption": "text"}' in str(error.value)
    assert read(tmp_path, "image-text", columns={"caption": "text"})[0][0]["caption"] == "hello"


def test_classes_are_folders(tmp_path: Path) -> None:
    put(
        tmp_path, cat___1__jpg="A", cat___2__jpg="B", dog___deep___3__jpg="C", stray__jpg="D", README__txt="x"
    )
    rows, rejected = read(tmp_path, "label")
    assert [(Path(r["image"]).name, r["label"]) for r in rows] == [
        ("1.jpg", "cat"),
        ("2.jpg", "cat"),
        ("3.jpg", "deep"),
    ]
    assert [(r["row"], r["code"]) for r in rejected] == [(3, "missing-label")]
    assert "split" not in rows[0]


def test_splits_are_folders(tmp_path: Path) -> None:
    put(tmp_path, train___cat___1__wav="A", test___dog___1__wav="B")
    rows, _ = read(tmp_path, "label")
    assert [(r["audio"].removeprefix(f"{tmp_path}/"), r["label"], r["split"]) for r in rows] == [
        ("test/dog/1.wav", "dog", "test"), ("train/cat/1.wav", "cat", "train"),
    ]  # fmt: skip


def test_paths_can_be_ids_and_columns(tmp_path: Path) -> None:
    put(tmp_path, cat___1__jpg="A", dog___1__jpg="B")
    assert [r["id"] for r in read(tmp_path, "label", id="path")[0]] == ["cat/1.jpg", "dog/1.jpg"]
    assert [r["where"] for r in read(tmp_path, "label", columns={"where": "path"})[0]] == [
        "cat/1.jpg",
        "dog/1.jpg",
    ]
    assert "path" not in read(tmp_path, "label")[0][0]


def test_globs_of_images(tmp_path: Path) -> None:
    put(tmp_path, cat___1__jpg="A", cat___1__png="P", dog___1__jpg="B")
    rows, _ = read(f"{tmp_path}/**/*.jpg", "label")
    assert [(Path(r["image"]).name, r["label"]) for r in rows] == [("1.jpg", "cat"), ("1.jpg", "dog")]


def test_names_that_are_no_addresses_and_links(tmp_path: Path) -> None:
    put(tmp_path, cat___ok__jpg="A")
    (tmp_path / "cat" / "x.jpg#bytes=0,1.jpg").write_text("fine: not at the end")
    (tmp_path / "cat" / "emoji 🦀 'quote\".jpg").write_text("B")
    (tmp_path / "cat" / "link.jpg").symlink_to(tmp_path / "cat" / "ok.jpg")
    (tmp_path / "cat" / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    (tmp_path / "cat" / os.fsdecode(b"bad\xff.jpg")).touch()
    rows, rejected = read(tmp_path, "label")
    assert sorted(Path(r["image"]).name for r in rows) == [
        "broken.jpg", "emoji 🦀 'quote\".jpg", "link.jpg", "ok.jpg", "x.jpg#bytes=0,1.jpg",
    ]  # fmt: skip
    assert [r["code"] for r in rejected] == ["unaddressable"]


def test_folders_without_what_the_kind_needs(tmp_path: Path) -> None:
    put(tmp_path, a__jpg="A")
    with pytest.raises(SchemaError, match=r"metadata\.csv"):
        read(tmp_path, "image-text")
    with pytest.raises(SchemaError, match="folder of its own"):
        read(tmp_path, "label")
    with pytest.raises(InputError, match="no audio files"):
        read(tmp_path, "speech")
    with pytest.raises(InputError, match="instruction"):
        read(tmp_path, "instruction")


def test_long_texts_beside_images(tmp_path: Path) -> None:
    put(tmp_path, a__jpg="A", a__txt="x" * 1_000_000, b__jpg="B", b__txt="x" * 1_000_100)
    rows, rejected = read(tmp_path, "image-text", max_text_bytes=1_000_000)
    assert [len(r["caption"]) for r in rows] == [1_000_000]
    assert [r["code"] for r in rejected] == ["too-long"]


def test_the_fingerprint_sees_every_file(tmp_path: Path) -> None:
    put(tmp_path, a__jpg="A", a__txt="one", metadata__csv="file_name,caption\na.jpg,hello\n")
    seen = {open_source(tmp_path, "image-text").fingerprint()}
    put(tmp_path, a__jpg="AA")
    seen.add(open_source(tmp_path, "image-text").fingerprint())
    put(tmp_path, metadata__csv="file_name,caption\na.jpg,hello you\n")
    seen.add(open_source(tmp_path, "image-text").fingerprint())
    outside = put(tmp_path / "elsewhere", t__csv="file_name,caption\na.jpg,x\n") / "t.csv"
    moved = tmp_path.parent / f"{tmp_path.name}-t.csv"
    shutil.move(outside, moved)
    first = open_source(tmp_path, "image-text", texts=moved).fingerprint()
    moved.write_text("file_name,caption\na.jpg,xyz\n")
    assert open_source(tmp_path, "image-text", texts=moved).fingerprint() != first
    assert len(seen) == 3 and None not in seen


# --- Real data --------------------------------------------------------------------------------------------------


def test_flickr_captions_without_a_header(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "flickr8k_1k" / "images.zip") as archive:
        archive.extractall(tmp_path)
    started = time.monotonic()
    rows, rejected = read(tmp_path, "image-text", texts=data_dir / "flickr8k_1k" / "captions.tsv")
    assert time.monotonic() - started < 10
    captions = (data_dir / "flickr8k_1k" / "captions.tsv").read_text().splitlines()
    assert len(rows) + len(rejected) == len(captions)
    images = Counter(Path(r["image"]).name for r in rows)
    assert len(images) == 700
    assert set(images.values()) == {5}
    assert rows[0]["caption"] == "A child in a pink dress is climbing up a set of stairs in an entry way ."
    assert {r["code"] for r in rejected} == {"missing-file"}


def test_speech_with_transcripts_some_of_which_have_no_sound(data_dir: Path) -> None:
    rows, rejected = read(
        data_dir / "lj_reread" / "flac", "speech", texts=data_dir / "lj_reread" / "transcript.csv"
    )
    assert (len(rows), len(rejected)) == (141, 47)
    assert {r["code"] for r in rejected} == {"missing-file"}
    assert rows[0]["text"].startswith("Printing, in the only sense")
    assert all(r["text"] for r in rows)


def test_generated_pictures_and_their_prompts(data_dir: Path) -> None:
    folder = data_dir / "avt_ai_images"
    rows, _ = read(
        folder / "images",
        "image-text",
        texts=folder / "prompts.csv",
        columns={"image": "ID", "caption": "prompts"},
    )
    assert len(rows) == 145
    by_prompt = Counter(r["caption"] for r in rows)
    assert len(by_prompt) == 27
    assert by_prompt["A red colored car"] >= 5


def test_cifar_folders_are_listed_fast(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "cifar10_images" / "test.zip") as archive:
        archive.extractall(tmp_path, archive.namelist()[:2000])
    source = open_source(tmp_path, "label")
    assert source.fingerprint() == open_source(tmp_path, "label").fingerprint()
    labels = Counter(label for b in source.batches() for label in b.table["label"].to_pylist())
    assert sum(labels.values()) == 2000
    assert set(labels) == {
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    }
