"""Names of files made from ids: harmless whatever the ids are, and never shared by two."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from formats_exporting import image_rows, members, png, write

from curate.errors import SchemaError
from curate.formats.manifest import check_export
from curate.formats.writers.media import safe_key
from curate.formats.writers.tars import tar_header

# The library of WebDataset leaves its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


HOSTILE = [
    "../../etc/passwd",
    "/absolute",
    "a/b/c",
    "..",
    ".",
    ".hidden",
    "dots.in.it",
    "-rf",
    "😀 emoji",
    "new\nline",
    "tab\tand\x00nul",
    "__meta__",
    "per%cent",
    "per%25cent",
    "CON",
    "",
    " ",
    "é",
    "e\u0301",
    "a" * 5000,
    "a" * 4999 + "b",
    "ä" * 40,
    "ä" * 41,
    "\u202egnp.exe",
    "$(reboot)",
    "'; drop table items; --",
]


def test_webdataset_members_and_their_order(tmp_path: Path) -> None:
    rows = image_rows(tmp_path / "in", ["b", "a"]).append_column(
        "clip_score", pa.array([0.5, None], pa.float32())
    )
    write(rows, tmp_path / "out", format="webdataset")
    found = members(tmp_path / "out")
    assert [m.name for m in found] == ["b.json", "b.png", "b.txt", "a.json", "a.png", "a.txt"]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in found} == {
        (0, 0, 0, "", "", 0o444, b"0")
    }
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as tar:
        document = tar.extractfile("b.json").read()
    assert document == b'{"id":"b","image":"b.png","caption":"caption 0","clip_score":0.5}'
    assert (tmp_path / "out" / "shard-000000.tar").stat().st_size % 10240 == 0


def test_hostile_ids_become_harmless_names_and_come_back(tmp_path: Path) -> None:
    rows = image_rows(tmp_path / "in", HOSTILE)
    write(rows, tmp_path / "tars", format="webdataset")
    found = members(tmp_path / "tars")
    for member in found:
        assert member.isreg() and "/" not in member.name and member.name.isascii() and len(member.name) <= 100
        assert member.name[0] not in "-." and ".." not in member.name
    shards = [str(tmp_path / "tars" / "shard-000000.tar")]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert [s["json"]["id"] for s in samples] == HOSTILE
    write(rows, tmp_path / "copies", media="copy")
    copied = sorted(
        p.relative_to(tmp_path / "copies").as_posix() for p in (tmp_path / "copies" / "media").rglob("*.png")
    )
    assert len(copied) == len(HOSTILE)
    paths = pq.read_table(tmp_path / "copies" / "data")["image"].to_pylist()
    assert [(tmp_path / "copies" / p).read_bytes() for p in paths] == [png(n) for n in range(len(HOSTILE))]
    assert check_export(tmp_path / "copies") == []
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["copies", "in", "tars"]


def test_tar_of_the_system_extracts_our_shards(tmp_path: Path) -> None:
    write(image_rows(tmp_path / "in", HOSTILE), tmp_path / "out", format="webdataset")
    (tmp_path / "x").mkdir()
    command = ["tar", "-xf", str(tmp_path / "out" / "shard-000000.tar"), "-C", str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "x").iterdir())) == 3 * len(HOSTILE)


def test_safe_key_by_hand() -> None:
    assert safe_key("img_000-1") == "img_000-1"
    assert safe_key("a/b.c") == "a%2Fb%2Ec"
    assert safe_key("a%2Fb") == "a%252Fb"
    assert safe_key("é") == "%C3%A9" and safe_key("e\u0301") == "e%CC%81"
    assert safe_key("-x") == "%2Dx" and safe_key("a-x") == "a-x"
    assert safe_key("a" * 80) == "a" * 80
    assert safe_key("a" * 81).startswith("a" * 48 + "%_") and len(safe_key("a" * 81)) == 82
    assert len({safe_key(text) for text in HOSTILE}) == len(HOSTILE)


def test_two_items_of_one_id_are_refused_where_they_would_merge(tmp_path: Path) -> None:
    rows = image_rows(tmp_path / "in", ["a", "b", "a"])
    with pytest.raises(SchemaError, match=r"same id \(key 'a'\)"):
        write(rows, tmp_path / "out", format="webdataset")
    with pytest.raises(SchemaError, match=r"same id: both want media/000000/a\.png"):
        write(rows, tmp_path / "out", media="copy")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_tar_headers_are_read_by_tarfile() -> None:
    header = tar_header("a%2Fb.json", 1234567)
    info = tarfile.TarInfo.frombuf(header, "ascii", "strict")  # compares the checksum
    assert (info.name, info.size, info.mode, info.mtime, info.type) == ("a%2Fb.json", 1234567, 0o444, 0, b"0")
    assert len(header) == 512 and header[257:265] == b"ustar\x0000"
    with pytest.raises(ValueError, match="at most 100 characters"):
        tar_header("x" * 101, 0)
