"""Images and sounds in exports: embedded, copied, in tar shards; what cannot be read is listed, never lost."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import webdataset
from formats_exporting import image_rows, members, pictures, png, write

from curate.errors import InputError
from curate.formats.manifest import check_export, read_manifest

# The library of WebDataset leaves its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_reference_reads_no_media(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a"], "image": ["/nowhere/a.png"], "caption": ["x"]})
    result = write(rows, tmp_path / "out")
    assert (result.rows, result.failed) == (1, 0)
    assert pq.read_table(tmp_path / "out" / "data")["image"].to_pylist() == ["/nowhere/a.png"]
    assert "Images and sounds are not in here" in (tmp_path / "out" / "README.md").read_text()


def test_embedded_images_are_images_to_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = image_rows(tmp_path / "in", ["a", "b/c"])
    for name in ("parquet", "datasets"):
        assert write(rows, tmp_path / name, format=name, media="embed").rows == 2
    stored = pq.read_table(tmp_path / "parquet" / "data")["image"].to_pylist()
    assert stored == [{"bytes": png(0), "path": "a.png"}, {"bytes": png(1), "path": "b%2Fc.png"}]
    saved = datasets.load_from_disk(str(tmp_path / "datasets"))
    files = [str(tmp_path / "parquet" / "data" / "train-00000.parquet")]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    for data in (saved, loaded):
        assert data.features["image"] == datasets.Image() and data.features["caption"] == datasets.Value(
            "string"
        )
        assert [data[n]["image"].getpixel((0, 0)) for n in range(2)] == [(0, 0, 0), (1, 0, 0)]
        assert data["caption"] == ["caption 0", "caption 1"]


def test_embedded_sounds_are_audio_to_datasets(tmp_path: Path) -> None:
    import datasets

    soundfile.write(tmp_path / "a.wav", np.zeros(80, np.float32), 8000)
    rows = pa.table({"id": ["a"], "audio": [str(tmp_path / "a.wav")], "text": ["zero"]})
    write(rows, tmp_path / "out", kind="speech", media="embed", format="datasets")
    data = datasets.load_from_disk(str(tmp_path / "out"))
    assert data.features["audio"] == datasets.Audio()
    raw = data.cast_column("audio", datasets.Audio(decode=False))[0]["audio"]
    assert raw == {"bytes": (tmp_path / "a.wav").read_bytes(), "path": "a.wav"}


@pytest.mark.parametrize("name", ["parquet", "jsonl", "csv", "datasets"])
def test_copied_media_stand_beside_the_rows(tmp_path: Path, name: str) -> None:
    rows = image_rows(tmp_path / "in", ["a", "x/../y"])
    write(rows, tmp_path / "out", format=name, media="copy")
    assert (tmp_path / "out" / "media" / "000000" / "a.png").read_bytes() == png(0)
    assert (tmp_path / "out" / "media" / "000000" / "x%2F%2E%2E%2Fy.png").read_bytes() == png(1)
    listed = {f["path"] for f in read_manifest(tmp_path / "out")["files"]}
    assert {"media/000000/a.png", "media/000000/x%2F%2E%2E%2Fy.png"} <= listed
    assert check_export(tmp_path / "out") == []
    if name == "jsonl":
        lines = (tmp_path / "out" / "data" / "train-00000.jsonl").read_text().splitlines()
        assert json.loads(lines[1])["image"] == "media/000000/x%2F%2E%2E%2Fy.png"


def test_byte_ranges_are_cut_out(tmp_path: Path) -> None:
    pack = tmp_path / "x.pack"
    pack.write_bytes(b"junk" + png(7) + png(8))
    size = len(png(7))
    rows = pa.table(
        {
            "id": ["a", "b"],
            "image": [f"{pack}#bytes=4,{size}", f"{pack}#bytes={4 + size},{size}"],
            "caption": ["", ""],
        }
    )
    write(rows, tmp_path / "out", media="embed")
    stored = pq.read_table(tmp_path / "out" / "data")["image"].to_pylist()
    assert stored == [{"bytes": png(7), "path": "a.png"}, {"bytes": png(8), "path": "b.png"}]


@pytest.mark.parametrize(("name", "media"), [("parquet", "embed"), ("webdataset", None), ("csv", "copy")])
def test_media_that_cannot_be_read_are_listed_and_counted(
    tmp_path: Path, name: str, media: str | None
) -> None:
    uris = pictures(tmp_path / "in", 4)
    Path(uris[1]).unlink()
    Path(uris[2]).write_bytes(png(99))  # no longer what was imported
    checksums = [hashlib.sha256(png(n)).digest() for n in range(4)]
    rows = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "image": uris,
            "caption": ["w", "x", "y", "z"],
            "image_sha256": pa.array(checksums, pa.binary(32)),
        }
    )
    result = write(rows, tmp_path / "out", format=name, media=media)
    assert (result.rows, result.failed) == (2, 2)
    lines = [json.loads(line) for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    assert [(line["id"], line["column"], line["uri"], line["code"]) for line in lines] == [
        ("b", "image", uris[1], "missing"),
        ("c", "image", uris[2], "changed"),
    ]
    counts = read_manifest(tmp_path / "out")["counts"]
    assert counts == {"rows": 2, "failed": 2, "failed_by_reason": {"changed": 1, "missing": 1}}
    assert "2 more items are missing here" in (tmp_path / "out" / "README.md").read_text()
    assert check_export(tmp_path / "out") == []
    # The same again leaves it; asked to overwrite, what failed is tried again.
    assert write(rows, tmp_path / "out", format=name, media=media).written is False
    for n in (1, 2):
        Path(uris[n]).write_bytes(png(n))
    again = write(rows, tmp_path / "out", format=name, media=media, overwrite=True)
    assert (again.written, again.rows, again.failed) == (True, 4, 0)
    assert not (tmp_path / "out" / "failed.jsonl").exists()


def test_nothing_readable_gives_an_empty_data_set_and_the_list(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a", "b"], "image": ["/no/1", "http://127.0.0.1/x.png"], "caption": ["", ""]})
    result = write(rows, tmp_path / "out", format="webdataset")
    assert (result.rows, result.failed) == (0, 2)
    codes = [
        json.loads(line)["code"] for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()
    ]
    assert codes == ["missing", "remote-not-allowed"]


def test_the_policy_is_the_one_that_reads(tmp_path: Path) -> None:
    from curate.media import MediaPolicy

    rows = image_rows(tmp_path / "in", ["a"])
    result = write(rows, tmp_path / "out", media="embed", policy=MediaPolicy(max_bytes=10))
    assert (result.rows, result.failed) == (0, 1)
    assert read_manifest(tmp_path / "out")["counts"]["failed_by_reason"] == {"too-large": 1}


def test_webdataset_is_read_by_its_library(tmp_path: Path) -> None:
    rows = image_rows(tmp_path / "in", ["a/1", "é.2", "c"])
    write(rows, tmp_path / "out", format="webdataset", shard_rows=2)
    shards = [str(p) for p in sorted((tmp_path / "out").glob("shard-*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    assert [s["json"]["id"] for s in samples] == ["a/1", "é.2", "c"]
    assert [s["__key__"] for s in samples] == ["a%2F1", "%C3%A9%2E2", "c"]
    assert [s["png"].getpixel((0, 0)) for s in samples] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert [s["txt"] for s in samples] == ["caption 0", "caption 1", "caption 2"]


def test_whole_numbers_are_cls_and_names_are_label_txt(tmp_path: Path) -> None:
    for out, labels, member in (("digits", ["3", "-1"], "cls"), ("names", ["cat", "dog"], "label.txt")):
        rows = pa.table({"id": ["a", "b"], "text": ["x", None], "label": labels})
        write(rows, tmp_path / out, format="webdataset", kind="label")
        samples = list(
            webdataset.WebDataset([str(tmp_path / out / "shard-000000.tar")], shardshuffle=False).decode()
        )
        assert [s[member] for s in samples] == ([3, -1] if member == "cls" else labels)
        assert [s["txt"] for s in samples] == ["x", ""]
        assert [s["json"]["text"] for s in samples] == ["x", None]


def test_an_image_and_a_sound_of_one_item_keep_apart(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "id": ["a"],
            "image": pictures(tmp_path / "in", 1),
            "audio": pa.array([None], pa.string()),
            "label": ["x"],
        }
    )
    write(rows, tmp_path / "out", format="webdataset", kind="label")
    assert [m.name for m in members(tmp_path / "out")] == ["a.image.png", "a.json", "a.label.txt"]


def test_hugging_face_reads_the_shards(tmp_path: Path) -> None:
    import datasets

    rows = image_rows(tmp_path / "in", ["a", "b"])
    write(rows, tmp_path / "out", format="webdataset")
    files = [str(tmp_path / "out" / "shard-000000.tar")]
    data = datasets.load_dataset(
        "webdataset", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [row["txt"] for row in data] == ["caption 0", "caption 1"]
    assert data[1]["png"].getpixel((0, 0)) == (1, 0, 0) and data[1]["json"]["id"] == "b"


def test_webdataset_takes_no_other_way_for_media(tmp_path: Path) -> None:
    rows = image_rows(tmp_path / "in", ["a"])
    with pytest.raises(InputError, match="hold the bytes of media themselves"):
        write(rows, tmp_path / "out", format="webdataset", media="copy")
    with pytest.raises(InputError, match="hold the bytes of media themselves"):
        write(rows, tmp_path / "out", format="webdataset", media="reference")


def test_many_media_stay_within_bounded_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.formats.writers.media._SLICE_BYTES", 1)  # a slice for every item
    rows = image_rows(tmp_path / "in", [f"{n}" for n in range(5)])
    write(rows, tmp_path / "out", media="embed")
    read = pq.read_table(tmp_path / "out" / "data")
    assert read["id"].to_pylist() == ["0", "1", "2", "3", "4"]
    assert [v["bytes"] for v in read["image"].to_pylist()] == [png(n) for n in range(5)]


@pytest.mark.data
def test_real_photographs_keep_every_byte(tmp_path: Path, data_dir: Path) -> None:
    with zipfile.ZipFile(data_dir / "cifar10_images" / "test.zip") as archive:
        names = [n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg"))][:50]
        contents = [archive.read(name) for name in names]
    (tmp_path / "in").mkdir()
    for n, data in enumerate(contents):
        (tmp_path / "in" / f"{n}.jpg").write_bytes(data)
    rows = pa.table(
        {"id": names, "image": [str(tmp_path / "in" / f"{n}.jpg") for n in range(50)], "caption": names}
    )
    write(rows, tmp_path / "out", format="webdataset", shard_rows=20)
    shards = [str(p) for p in sorted((tmp_path / "out").glob("shard-*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(shards) == 3 and [s["jpg"] for s in samples] == contents
    assert [json.loads(s["json"])["id"] for s in samples] == names
