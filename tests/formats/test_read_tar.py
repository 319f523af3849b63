"""WebDataset tars: rows by key, media where they lie, and nothing that climbs out."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image

from curate.errors import InputError
from curate.formats import open_source
from curate.media import MediaPolicy, open_bytes, open_image

Rows = list[dict[str, Any]]
Member = tuple[str, bytes] | tarfile.TarInfo


def read(source: Any, kind: str = "image-text", **options: Any) -> tuple[Rows, Rows]:
    batches = list(open_source(source, kind, **options).batches())
    return [r for b in batches for r in b.table.to_pylist()], [
        r for b in batches for r in b.rejected.to_pylist()
    ]


def write_tar(path: Path, members: Iterable[Member], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, type_: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, target
    return info


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def samples(count: int) -> list[Member]:
    return [
        m
        for i in range(count)
        for m in ((f"d/{i:04d}.png", png(i)), (f"d/{i:04d}.txt", f" caption {i}\n".encode()))
    ]


def test_samples_are_rows_and_images_stay_where_they_are(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "a.tar", samples(5))
    before = sorted(tmp_path.iterdir())
    rows, rejected = read(file)
    assert rejected == []
    assert [(r["caption"], r["_index"], r["_source"]) for r in rows] == [
        (f"caption {i}", i, str(file)) for i in range(5)
    ]
    for i, row in enumerate(rows):
        assert row["image"].startswith(f"{file}#bytes=")
        assert open_bytes(row["image"]) == png(i)
        assert open_image(row["image"]).getpixel((0, 0)) == (i, 0, 0)
    assert sorted(tmp_path.iterdir()) == before


def test_shards_keys_and_more_columns(tmp_path: Path) -> None:
    for shard in range(3):
        extra = json.dumps({"id": f"s{shard}", "score": 0.5 + shard, "image": "ignored"}).encode()
        write_tar(
            tmp_path / f"{shard}.tar",
            [("k.jpg", png(shard)), ("k.json", extra), ("k.txt", b"t"), ("k.npy", b"1234")],
        )
    rows, _ = read(f"{tmp_path}/*.tar")
    assert [(r["id"], r["score"]) for r in rows] == [("s0", 0.5), ("s1", 1.5), ("s2", 2.5)]
    assert open_bytes(rows[1]["image"]) == png(1)
    assert open_bytes(rows[1]["npy"]) == b"1234"
    keyed, _ = read(tmp_path, id="__key__", columns={"source_id": "id"})
    assert [r["id"] for r in keyed] == ["k", "k", "k"]


def test_labels_and_sounds(tmp_path: Path) -> None:
    file = write_tar(
        tmp_path / "a.tar", [("1.png", png(1)), ("1.cls", b"7"), ("2.wav", b"RIFF"), ("2.cls", b"8")]
    )
    rows, _ = read(file, "label")
    assert [(r["label"], r["image"] is None, r["audio"] is None) for r in rows] == [
        ("7", False, True),
        ("8", True, False),
    ]


def test_only_texts(tmp_path: Path) -> None:
    record = json.dumps({"instruction": "add", "output": "2"}).encode()
    rows, _ = read(write_tar(tmp_path / "a.tar", [("1.json", record)]), "instruction")
    assert [(r["instruction"], r["output"]) for r in rows] == [("add", "2")]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_compressed_tars_give_bytes(tmp_path: Path, suffix: str) -> None:
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}[suffix.rpartition(".")[2]]
    rows, rejected = read(write_tar(tmp_path / f"a{suffix}", samples(3), mode))
    assert rejected == []
    assert [(r["image"], r["image_data"], r["caption"]) for r in rows] == [
        (None, png(i), f"caption {i}") for i in range(3)
    ]


def test_a_tar_by_url(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "a.tar", samples(2))
    fsspec.filesystem("memory").put(str(file), "/curate-tar/a.tar")
    rows, _ = read("memory://curate-tar/a.tar")
    assert rows[1]["image"].startswith("memory://")
    assert open_bytes(rows[1]["image"], MediaPolicy(protocols=frozenset({"memory"}))) == png(1)


def test_what_climbs_out_is_listed_and_never_written(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    file = write_tar(
        inside / "a.tar",
        [
            ("ok.png", png(1)), ("ok.txt", b"fine"),
            ("../evil.png", png(2)), ("../evil.txt", b"x"), ("/abs.png", png(3)), ("a/../../up.png", png(4)),
            special("link.png", tarfile.SYMTYPE, "/etc/passwd"), special("hard.png", tarfile.LNKTYPE, "ok.png"),
            special("dev.png", tarfile.CHRTYPE), special("pipe.png", tarfile.FIFOTYPE),
            special("folder", tarfile.DIRTYPE), special("sparse.png", tarfile.GNUTYPE_SPARSE),
            ("./dotted.png", png(5)), ("./dotted.txt", b"fine too"), (".DS_Store", b"junk"), ("noext", b"junk"),
        ],
    )  # fmt: skip
    rows, rejected = read(file)
    assert [r["caption"] for r in rows] == ["fine", "fine too"]
    unsafe = [json.loads(r["data"])["member"] for r in rejected if r["code"] == "unsafe-member"]
    assert unsafe == [
        "../evil.png", "../evil.txt", "/abs.png", "a/../../up.png", "link.png", "hard.png", "dev.png", "pipe.png",
        "sparse.png",
    ]  # fmt: skip
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "in"]


def test_names_that_occur_twice(tmp_path: Path) -> None:
    file = write_tar(
        tmp_path / "a.tar",
        [
            ("1.png", png(1)),
            ("1.png", png(2)),
            ("1.txt", b"first"),
            ("2.png", png(3)),
            ("2.txt", b"b"),
            ("1.png", png(4)),
            ("1.txt", b"again"),
        ],
    )
    rows, rejected = read(file, id="__key__")
    assert [(r["id"], r["caption"]) for r in rows] == [("1", "first"), ("2", "b"), ("1", "again")]
    assert open_bytes(rows[0]["image"]) == png(1)
    assert [r["code"] for r in rejected] == ["duplicate-member"]


def test_faulty_samples_are_listed(tmp_path: Path) -> None:
    file = write_tar(
        tmp_path / "a.tar",
        [("1.png", png(1)), ("1.txt", b"\xff"), ("2.png", png(2)), ("2.json", b"{"), ("3.png", png(3)), ("3.txt", b"x" * 101),
         ("4.png", png(4)), ("5.txt", b"no image"), ("6.png", png(6)), ("6.txt", b"good"), ("7.json", b"[]")],
    )  # fmt: skip
    rows, rejected = read(file, max_text_bytes=100)
    assert [r["caption"] for r in rows] == ["good"]
    assert [(r["row"], r["code"]) for r in rejected] == [
        (0, "invalid-utf8"), (1, "malformed"), (2, "too-long"), (3, "missing-caption"), (4, "missing-image"),
        (6, "malformed"),
    ]  # fmt: skip


def test_damage_is_never_the_silent_end(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", samples(20)).read_bytes()
    broken = bytearray(whole)
    with tarfile.open(tmp_path / "a.tar") as tar:
        header = tar.getmembers()[20].offset
    broken[header : header + 100] = b"\xff" * 100
    (tmp_path / "b.tar").write_bytes(broken)
    (tmp_path / "c.tar").write_bytes(whole[: header + 700])
    (tmp_path / "d.tar").write_bytes(b"no tar at all" * 100)
    for name in ("b.tar", "c.tar"):
        rows, rejected = read(tmp_path / name)
        assert len(rows) >= 10, name
        assert "unreadable-file" in [r["code"] for r in rejected], name
    with pytest.raises(InputError, match=r"d\.tar"):
        read(tmp_path / "d.tar")
    rows, rejected = read(f"{tmp_path}/[ad].tar")
    assert (len(rows), [r["code"] for r in rejected]) == (20, ["unreadable-file"])
    (tmp_path / "e.tar.gz").write_bytes(gzip.compress(whole)[:-200])
    rows, rejected = read(tmp_path / "e.tar.gz")
    assert "unreadable-file" in [r["code"] for r in rejected]


def test_a_bomb_in_a_compressed_tar_is_not_unpacked(tmp_path: Path) -> None:
    file = write_tar(
        tmp_path / "a.tar.gz", [("1.png", png(1)), ("1.txt", b"good"), ("2.png", b"\0" * 300_000_000)], "w:gz"
    )
    assert file.stat().st_size < 1_000_000
    rows, rejected = read(file)
    assert [r["caption"] for r in rows] == ["good"]
    assert "unreadable-file" in [r["code"] for r in rejected] or "too-large" in [r["code"] for r in rejected]


def test_more_samples_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.formats.webdataset._SAMPLES", 7)
    file = write_tar(
        tmp_path / "a.tar", [*samples(20), ("z.png", png(1)), ("z.json", b'{"late": 3}'), ("z.txt", b"z")]
    )
    source = open_source(file, "image-text")
    batches = list(source.batches(8))
    assert [len(b.table) for b in batches] == [8, 8, 5]
    assert [i for b in batches for i in b.table["_index"].to_pylist()] == list(range(21))
    assert batches[0].table["late"].to_pylist() == [None] * 8
    assert batches[2].table["late"].to_pylist() == [None] * 4 + [3]
