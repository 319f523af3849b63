"""A recipe that was finished before a compaction is finished after it, and every question gets the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate.run import plan as planning

STEPS = """
store: s.curate
seed: 3
steps:
  - import: captions.parquet
    kind: image-text
    part_rows: 4
    check: none
  - score: text-basics
  - score: minhash
  - score: exact-duplicate
  - keep: text_basics > 0.1 and not exact_duplicate
    as: clean
  - select: top
    with: {by: text_basics}
    budget: 25%
    as: best
  - export: out
    format: parquet
    selection: best
    overwrite: true
"""
TEXTS = [f"the picture number {i} shows a {w} on a table" for i in range(12) for w in ("dog", "cat")]


def write(folder: Path, texts: list[str]) -> None:
    ids = [f"i{n:03d}" for n in range(len(texts))]
    images = [f"https://example.org/{i}.jpg" for i in ids]
    pq.write_table(pa.table({"id": ids, "image": images, "caption": texts}), folder / "captions.parquet")


def answers(store: curate.Store) -> dict[str, Any]:
    """What a user can ask for."""
    store.items.vectors("minhash")
    return {
        "items": store.items.to_arrow().to_pylist(),
        "where": store.items.where("text_basics > 0.3").to_arrow(["id", "text_basics"]).to_pylist(),
        "digest": store.items.digest,
        "steps": store.items.of_kind("image-text").where("text_basics > 0.3").distinct("caption").digest,
        "selections": {name: s.to_arrow().to_pylist() for name, s in store.selections.items()},
        "sql": store.sql("select count(*) as n, avg(text_basics) as m from items join text_basics using (id)").to_pylist(),
        "explain": [str(store.explain(i)) for i in ("i000", "i005", "i023")],
        "rejected": store.rejected.to_pylist(),
        "vectors": store.items.vectors("minhash").to_numpy().tolist(),
    }  # fmt: skip


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A folder with a finished recipe, after an update that superseded some items."""
    (tmp_path / "recipe.yaml").write_text(STEPS)
    write(tmp_path, [*TEXTS[:8], *TEXTS[:2], *TEXTS[10:]])
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.run(tmp_path / "recipe.yaml")
        images = ["https://example.org/x.jpg", "https://example.org/y.jpg"]
        new = pa.table(
            {"id": ["i003", "i020"], "image": images, "caption": ["another caption", "and one more here"]}
        )
        store.add(new, kind="image-text", check="none", on_conflict="update")
        store.run(tmp_path / "recipe.yaml")
    return tmp_path


def test_nothing_is_done_again_and_nothing_reads_otherwise(done: Path) -> None:
    with curate.open(done / "s.curate") as store:
        before = answers(store)
        parts = len(store.parts.snapshot().items)
        report = store.compact()
        assert report.erased == 2 and len(store.parts.snapshot().items) < parts == 7
        assert answers(store) == before
        record = store.run(done / "recipe.yaml")
        assert [step.reused for step in record.steps] == [True] * len(record.steps)
        store.gc(grace_seconds=0)
        assert answers(store) == before and store.verify() == []


def test_what_comes_later_is_all_that_is_scored(done: Path) -> None:
    with curate.open(done / "s.curate") as store:
        store.compact()
        write(done, [*TEXTS[:8], *TEXTS[:2], *TEXTS[10:], "a new caption about a new thing"])
        record = store.run(done / "recipe.yaml")
        computed = {step.title: step.computed for step in record.steps if step.kind == "score"}
        assert computed["score text-basics"] == computed["score minhash"] == 1
        store.compact()
        assert len(store.parts.snapshot().items) == 1
        again = store.run(done / "recipe.yaml")
        assert all(step.reused for step in again.steps) and store.verify() == []


def test_a_plan_says_done(done: Path) -> None:
    from curate.recipe import read_recipe

    with curate.open(done / "s.curate") as store:
        store.compact()
        planned = planning.plan(store.parts, read_recipe(done / "recipe.yaml").steps, base=done, seed=3)
        assert {p.state for p in planned if p.title.startswith(("import", "score", "keep"))} == {"done"}


def test_at_most_so_many_rows_and_only_said(done: Path) -> None:
    with curate.open(done / "s.curate") as store:
        parts = len(store.parts.snapshot().items)
        assert "would become" in str(store.compact(part_rows=8, dry_run=True))
        assert len(store.parts.snapshot().items) == parts
        store.compact(part_rows=8)
        assert max(p.rows for p in store.parts.snapshot().items) == 8
        with store.parts.writer():
            with pytest.raises(curate.errors.BusyError, match="is writing"):
                store.compact()
            assert store.compact(alongside=True).versions == 1
