"""The file: the same bytes, complete or absent, within its limits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.contracts import score
from curate.errors import InputError, RunError
from curate.report import write_report
from curate.run.ledger import RunRecord
from curate.store import PartStore


def test_the_same_store_and_run_give_the_same_bytes(photos: PartStore, run: RunRecord, tmp_path: Path):
    one = write_report(photos, tmp_path / "1.html", run=run).read_bytes()
    # Another run of the same recipe: another id, other times, work taken over instead of done.
    run.run_id, run.seconds, run.started = "run-of-today", 99.0, 1.8e9
    for step in run.steps:
        step.seconds, step.reused, step.computed = 7.0, True, 0
    assert write_report(photos, tmp_path / "2.html", run=run).read_bytes() == one
    timed = write_report(photos, tmp_path / "3.html", run=run, timings=True).read_text()
    assert "run run-of-today, store version" in timed and "7.00 s" in timed
    assert b"run-of-today" not in one and b"store version" not in one


def test_a_report_replaces_the_old_one_whole_or_not_at_all(
    photos: PartStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_report(photos, tmp_path / "deep" / "r.html")
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=r"cannot write .*deep/r.html: No space left on device"):
        write_report(photos, path, title="Another")
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_the_file_never_exceeds_its_limit(make_store: Callable[..., Any], tmp_path: Path):
    n = 3000
    ids = [f"{i:05d}" for i in range(n)]
    texts = [f"{i} " * 150 for i in ids]
    store = make_store().items("instruction", {"id": ids, "instruction": texts, "output": texts})
    store.score("s", [(score("s"), [i / n for i in range(n)])])
    path = write_report(store.store, tmp_path / "r.html", max_bytes=200_000)
    assert 20_000 < path.stat().st_size <= 200_000
    assert "To stay within 200,000 bytes, galleries hold at most" in path.read_text()
    assert write_report(store.store, tmp_path / "r.html").stat().st_size > 200_000


@pytest.mark.parametrize(
    ("limit", "value"),
    [("max_table_rows", 0), ("max_gallery", -1), ("thumbnail", 5), ("max_bytes", 10)],
)
def test_limits_without_sense_are_refused(photos: PartStore, tmp_path: Path, limit: str, value: int):
    with pytest.raises(InputError, match=f"{limit} is {value}"):
        write_report(photos, tmp_path / "r.html", **{limit: value})


def test_limits_have_effect(photos: PartStore, tmp_path: Path):
    small = write_report(photos, tmp_path / "r.html", max_gallery=2, thumbnail=40).read_text()
    assert "--thumb: 40px" in small
    assert small.split("Highest")[1].split("</section>")[0].count("<article") == 2
    assert "Items to look at" not in write_report(photos, tmp_path / "r.html", max_gallery=0).read_text()


def test_the_recipe_and_its_digests_are_there(photos: PartStore, run: RunRecord, tmp_path: Path):
    run.recipe = {"store": "p.curate", "steps": [{"keep": "x > 1 # </pre><b>"}]}
    page = write_report(photos, tmp_path / "r.html", run=run).read_text()
    assert "- keep: &#39;x &gt; 1 # &lt;/pre&gt;&lt;b&gt;&#39;" in page
    for fact in (photos.snapshot().digest, "abc123", photos.snapshot().sets["sharp"].digest, "duckdb"):
        assert fact in page
