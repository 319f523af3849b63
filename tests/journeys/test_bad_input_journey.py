"""Bad input through the front door: a clear error or a listed rejection, and nothing that was good is lost."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

import curate
from curate.errors import CurateError, ExpressionError, InputError, SchemaError


@pytest.fixture
def store(tmp_path):
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        yield opened
        assert opened.verify() == []


def png(size=(8, 8)) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def huge_png() -> bytes:
    """A valid header of 50,000 x 50,000 pixels and next to no data."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def jsonl(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def codes(store) -> dict[str, str]:
    return {row["id"]: row["code"] for row in store.rejected.to_pylist()}


def test_media_of_every_bad_sort_are_listed_and_good_ones_kept(store, tmp_path):
    files = {
        "good.png": png(),
        "wrong-extension.jpg": png(),
        "truncated.png": png()[:60],
        "zero.png": b"",
        "text.png": b"this is no picture",
        "bomb.png": huge_png(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    rows = [{"id": n, "image": n, "caption": "x y z"} for n in [*files, "absent.png"]]
    record = store.add(jsonl(tmp_path / "rows.jsonl", rows), kind="image-text")
    assert sorted(store.items.ids().to_pylist()) == ["good.png", "wrong-extension.jpg"]
    assert record.counts["read"] == len(rows) == record.counts["added"] + record.counts["rejected"]
    found = codes(store)
    assert found["bomb.png"] == "too-large"
    assert found["zero.png"] == "empty"
    assert found["truncated.png"] == "truncated"
    assert found["absent.png"] == "missing"
    assert set(found) == {"truncated.png", "zero.png", "text.png", "bomb.png", "absent.png"}


def test_a_picture_that_is_torn_after_import_is_null_with_a_reason(store, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png())
    rows = [{"id": n, "image": f"{n}.png", "caption": "c"} for n in "ab"]
    store.add(jsonl(tmp_path / "rows.jsonl", rows), kind="image-text")
    (tmp_path / "b.png").write_bytes(b"")
    record = store.score("image-basics")
    assert (record.counts["scored"], record.counts["failed"]) == (1, 1)
    assert store.failed("image-basics").ids().to_pylist() == ["b"]


def test_text_of_every_bad_sort(store, tmp_path):
    good = {"instruction": "say é", "output": "é"}
    lines = [
        json.dumps({"id": "good", **good}).encode(),
        b'{"id": "latin", "instruction": "caf\xe9", "output": "x"}',
        b'{"id": "broken", "instruction": ',
        json.dumps({"id": "long", "instruction": "a" * 1_000_000, "output": "b"}).encode(),
        json.dumps({"id": "empty", "instruction": "", "output": "b"}).encode(),
        json.dumps({"id": "mixed", "instruction": 17, "output": "b"}).encode(),
        json.dumps({"id": "nested", "instruction": {"a": 1}, "output": "b"}).encode(),
        json.dumps({"id": "a/b/../c \U0001f680", **good}).encode(),
        json.dumps({"id": "good", "instruction": "again", "output": "b"}).encode(),
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines))
    record = store.add(tmp_path / "rows.jsonl", kind="instruction")
    ids = store.items.ids().to_pylist()
    assert {"good", "long", "a/b/../c \U0001f680"} <= set(ids)
    assert "latin" not in ids
    assert record.counts["read"] == len(lines) == record.counts["added"] + record.counts["rejected"]
    assert store.rejected.num_rows == record.counts["rejected"]
    assert codes(store)["good"] == "duplicate-id"
    assert "a/b/../c \U0001f680" in str(store.explain("a/b/../c \U0001f680"))
    result = store.export(tmp_path / "out", format="webdataset")
    assert result.counts["rows"] == record.counts["added"]
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("damage", "scored"),
    [(np.nan, 59), (2.0, 59), (-0.5, 59)],
)
def test_probabilities_that_are_none_cost_their_own_row_only(store, damage, scored):
    pytest.importorskip("cleanlab")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    probs = rng.dirichlet(np.ones(3), 60).astype(np.float32)
    probs[7, 1] = damage
    store.add([{"id": f"i{i:02d}", "text": "t", "label": str(y)} for i, y in enumerate(labels)], kind="label")
    store.attach(probs, name="pred_probs", ids=[f"i{i:02d}" for i in range(60)])
    record = store.score("confident-learning")
    assert (record.counts["scored"], record.counts["failed"]) == (scored, 1)
    assert store.failed("confident-learning").ids().to_pylist() == ["i07"]


def test_a_tar_cannot_climb_out(store, tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    with tarfile.open(inside / "x.tar", "w") as tar:
        for name, data in [
            ("ok.png", png()),
            ("ok.txt", b"fine"),
            ("../../evil.png", png()),
            ("../../evil.txt", b"no"),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    record = store.add(inside / "x.tar", kind="image-text")
    assert record.counts["added"] == 1
    assert record.counts["rejected"] >= 2
    assert not list(tmp_path.glob("**/evil*"))
    assert store.score("image-basics").counts["scored"] == 1


def test_columns_that_do_not_fit(store, tmp_path):
    with pytest.raises(SchemaError, match="caption"):
        store.add([{"image": "a.png", "TEXT": "x"}], kind="image-text")
    with pytest.raises(InputError):
        store.add([], kind="image-text")
    with pytest.raises(CurateError):
        store.add(tmp_path / "none-*.parquet", kind="image-text")
    row = {"id": "a", "text": "t", "label": "l", "select": 1, "group by": 2, 'quo"te': 3}
    store.add([row], kind="label")
    assert len(store.items.where('"select" = 1 and "group by" = 2 and "quo""te" = 3')) == 1


def test_expressions_that_read_files_are_refused(store):
    store.add([{"id": "a", "text": "t", "label": "l"}], kind="label")
    for attack in (
        "text = (select content from read_text('/etc/passwd'))",
        "text in (select * from '/etc/passwd')",
        "read_blob('/etc/passwd') is not null",
        "getenv('HOME') = 'x'",
        "true; copy items to '/tmp/x'",
        "true -- comment\n; attach 'x'",
    ):
        with pytest.raises(ExpressionError):
            store.keep(attack)
