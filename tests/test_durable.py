"""Whole or not at all: the name is given last, and what breaks leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.durable import publish, sync, write_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "Käse\n")
    write_whole(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new" and list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_what_is_cut_off_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("the disk is gone")))
    with pytest.raises(OSError, match="the disk is gone"):
        write_whole(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old" and list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_bytes_are_on_the_disk_before_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, final, seen = tmp_path / "draft", tmp_path / "final", []
    draft.write_text("it")
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(final.exists()))
    publish(draft, final)
    assert seen == [False, True] and final.read_text() == "it" and not draft.exists()
    sync(final)
    assert len(seen) == 3
