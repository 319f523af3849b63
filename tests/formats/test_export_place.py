"""An export is complete or absent: whatever is there already, and wherever the process dies."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from formats_exporting import hashes, texts, write_texts

from curate.errors import BusyError, CurateError, InputError, RunError
from curate.formats.export import export
from curate.formats.manifest import check_export, read_manifest
from curate.formats.writers.draft import HashedFile


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.as_posix(): (p.stat().st_mtime_ns, p.stat().st_ino) for p in [folder, *folder.rglob("*")]}


def test_a_second_export_of_the_same_thing_touches_nothing_and_reads_no_row(tmp_path: Path) -> None:
    first = write_texts(tmp_path / "out")
    before = stamps(tmp_path)

    def unread() -> Iterator[pa.RecordBatch]:
        raise AssertionError("a row was asked for")
        yield

    second = export(unread(), tmp_path / "out", format="parquet", kind="speech", manifest={"input": "d1"})
    assert (first.written, second.written) == (True, False)
    assert (second.rows, second.files, second.bytes, second.digest) == (10, 3, first.bytes, first.digest)
    assert stamps(tmp_path) == before
    assert write_texts(tmp_path / "out", overwrite=True).written is False and stamps(tmp_path) == before


def test_without_an_input_digest_the_content_decides(tmp_path: Path) -> None:
    assert write_texts(tmp_path / "out", manifest={}).written is True
    before = stamps(tmp_path / "out")
    assert write_texts(tmp_path / "out", manifest={}).written is False
    assert stamps(tmp_path / "out") == before
    with pytest.raises(InputError, match="holds a different export"):
        write_texts(tmp_path / "out", manifest={}, count=11)
    assert stamps(tmp_path / "out") == before
    assert write_texts(tmp_path / "out", manifest={}, count=11, overwrite=True).rows == 11
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_differs_from_run_to_run_does_not_make_another_export(tmp_path: Path) -> None:
    step = {
        "name": "keep",
        "digest": "s1",
        "seconds": 1.0,
        "reused": False,
        "counts": {"kept": 5, "scored": 3},
    }
    given = {
        "input": "d1",
        "steps": [step],
        "selection": {"name": "core", "seconds": 2.0},
        "store_version": 4,
    }
    write_texts(tmp_path / "out", manifest=given)
    again = {**step, "seconds": 9.0, "reused": True, "counts": {"kept": 5, "scored": 0}}
    other = {**given, "steps": [again], "selection": {"name": "core", "seconds": 3.0}, "store_version": 5}
    assert write_texts(tmp_path / "out", manifest=other).written is False
    with pytest.raises(InputError, match="different export"):
        write_texts(tmp_path / "out", manifest={**given, "steps": [{**step, "counts": {"kept": 4}}]})


def test_another_export_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    write_texts(tmp_path / "out", "d1")
    before = hashes(tmp_path / "out")
    with pytest.raises(
        InputError, match=r"different export \(digest .* 10 rows as parquet\); pass overwrite=True"
    ):
        write_texts(tmp_path / "out", "d2", count=3)
    assert hashes(tmp_path / "out") == before
    assert write_texts(tmp_path / "out", "d2", count=3, overwrite=True).rows == 3
    assert read_manifest(tmp_path / "out")["input"] == "d2"
    assert check_export(tmp_path / "out") == []
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not an export of curate"):
            write_texts(tmp_path / "out", overwrite=overwrite)
    (tmp_path / "out" / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(InputError, match="not a manifest of curate"):
        write_texts(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write_texts(tmp_path / "file", overwrite=True)


def test_files_that_somebody_added_keep_an_export_from_being_replaced(tmp_path: Path) -> None:
    write_texts(tmp_path / "out", "d1")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"1 file that curate did not write, 'notes.txt' first"):
        write_texts(tmp_path / "out", "d2", overwrite=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert write_texts(tmp_path / "out", "d1").written is False
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert write_texts(tmp_path / "empty").written
    assert write_texts(tmp_path / "a" / "b" / "c").written
    assert check_export(tmp_path / "a" / "b" / "c") == []


def test_a_damaged_export_is_not_taken_for_done(tmp_path: Path) -> None:
    write_texts(tmp_path / "out")
    good = hashes(tmp_path / "out")
    data = tmp_path / "out" / "data" / "train-00000.parquet"
    damaged = bytearray(data.read_bytes())
    damaged[100] ^= 1
    data.write_bytes(damaged)
    assert check_export(tmp_path / "out") == [
        "data/train-00000.parquet: its content is not what was exported (checksum differs)"
    ]
    with pytest.raises(InputError, match=r"damaged or edited \(data/train-00000.parquet: its content"):
        write_texts(tmp_path / "out")
    assert write_texts(tmp_path / "out", overwrite=True).written
    assert hashes(tmp_path / "out") == good


def test_an_edited_card_is_the_users_right(tmp_path: Path) -> None:
    write_texts(tmp_path / "out")
    card = tmp_path / "out" / "README.md"
    card.write_text(card.read_text().replace("license: unknown", "license: cc0-1.0"))
    assert write_texts(tmp_path / "out").written is False
    assert "cc0-1.0" in card.read_text()
    assert len(check_export(tmp_path / "out")) == 1


def test_rows_that_fail_half_way_leave_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from texts(5).to_batches()
        raise RuntimeError("the scorer fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        export(
            broken(), tmp_path / "out", format="jsonl", kind="speech", manifest={"input": "d"}, shard_rows=2
        )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_plainly_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, budget = HashedFile.write, [500]

    def write_until_full(self: HashedFile, data: bytes) -> int:
        budget[0] -= len(data)
        if budget[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(HashedFile, "write", write_until_full)
    for name in ("parquet", "csv", "jsonl", "webdataset", "datasets"):
        budget[0] = 500
        with pytest.raises(RunError, match=r"no space left on the disk of .* nothing was left there"):
            write_texts(tmp_path / "out", format=name)
        assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write the export"):
        write_texts(tmp_path / "file" / "out")


def test_a_draft_in_use_is_respected_and_a_dead_one_is_swept(tmp_path: Path) -> None:
    digest = write_texts(tmp_path / "elsewhere").digest
    draft = tmp_path / f".out.tmp-{digest[:16]}"
    draft.mkdir()
    (draft / "half").write_text("x")
    descriptor = os.open(draft, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(BusyError, match="another process is writing this export"):
        write_texts(tmp_path / "out")
    assert (draft / "half").exists() and not (tmp_path / "out").exists()
    os.close(descriptor)  # as when that process died
    assert write_texts(tmp_path / "out").written
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "out"]
    assert hashes(tmp_path / "out") == hashes(tmp_path / "elsewhere")


def test_only_drafts_of_this_very_export_are_swept(tmp_path: Path) -> None:
    others = [".out.tmp-x.old", ".out.tmp-mine", ".out2.tmp-0123456789abcdef", "out.tmp-0123456789abcdef"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".out.tmp-0123456789abcdef").mkdir()  # an older draft of another digest
    write_texts(tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*others, "out"])


def test_something_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    def intruder() -> Iterator[pa.RecordBatch]:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("x")
        yield from texts().to_batches()

    with pytest.raises(InputError, match="appeared while the export was being written"):
        export(intruder(), tmp_path / "out", format="csv", kind="speech", manifest={"input": "d"})
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and (tmp_path / "out" / "theirs").exists()


def test_long_and_odd_folder_names(tmp_path: Path) -> None:
    for name in ("n" * 255, "with space & 'quotes'", "é😀", ".hidden", "[glob]*?"):
        assert write_texts(tmp_path / name).written
        assert write_texts(tmp_path / name, "d2", overwrite=True).written
        assert check_export(tmp_path / name) == []
    assert len(list(tmp_path.iterdir())) == 5


def test_errors_are_of_the_house(tmp_path: Path) -> None:
    with pytest.raises(CurateError):
        write_texts(tmp_path / "out", format="xlsx")
