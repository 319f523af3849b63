"""`curate compact`, `gc`, `publish` and `clone` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_workload
from typer.testing import CliRunner

from curate.cli import app, main
from curate.store import PartStore, compaction


def curate(*args: object) -> str:
    """What a command says; it must end well."""
    done = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_from_small_parts_to_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, url, copy = tmp_path / "s", tmp_path / "published", tmp_path / "copy"
    store = PartStore.create(path)
    store_workload.add_items(store, *"abc")
    monkeypatch.setattr(compaction, "MANY", 3)
    assert "3 of 3 item parts are small: `curate compact` merges them" in curate("show", path)
    assert curate("compact", path, "--dry-run") == "3 parts would become 1: 3 item parts 1"
    assert curate("compact", path, "--part-rows", 12).startswith("3 parts became 2")
    with store.writer():
        assert curate("compact", path, "--alongside").startswith("2 parts became 1")
    assert "item parts are small" not in curate("show", path)
    assert "2 parts" in curate("gc", path, "--grace", 0, "--keep-versions", 2)
    assert "2 parts" in curate("gc", path, "--grace", 0, "--keep-versions", 1)
    assert curate("publish", path, url).startswith("published version 3: 3 manifests, 1 file ")
    assert curate("publish", path, url) == "version 3 is published already"
    assert curate("clone", url, copy).startswith("version 3: 3 new versions, 1 file ")
    assert curate("clone", url, copy) == "version 3: nothing new"
    assert curate("verify", copy) == "all well"


def test_a_refusal_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s"
    store = PartStore.create(path)
    for args, said in (
        (["compact", str(path), "--part-rows", "0"], "a part holds 1 row or more"),
        (["clone", str(tmp_path / "nothing"), str(tmp_path / "copy")], "nothing is published at"),
        (["publish", str(path), "s3://key:secret@bucket/x"], "carries credentials"),
    ):
        monkeypatch.setattr("sys.argv", ["curate", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        told = " ".join(capsys.readouterr().err.split())
        assert ended.value.code == 1 and said in told and "secret" not in told
    assert store.snapshot().version == 0
