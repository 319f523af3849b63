"""Stores of every format that was ever released open, are whole, and take new commits.

The archives are never made anew: what they hold is what is on users' disks.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import store_workload

from curate.store import Changes, PartStore

ARCHIVES = sorted((Path(__file__).parent / "golden").glob("format-*.tar.gz"))


def test_there_is_one_for_the_current_format() -> None:
    assert [a.name for a in ARCHIVES] == ["format-1.tar.gz"]


@pytest.fixture(params=ARCHIVES, ids=lambda a: a.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "store"


def test_it_holds_what_it_held(golden: Path) -> None:
    store = PartStore.open(golden)
    assert store_workload.check(store) == []
    assert store.tags() == {"done": 7}
    items = store.snapshot().items
    assert [(p.rows, p.seq_lo, p.kind) for p in items] == [(6, 0, "image-text"), (6, 6, "instruction")]
    assert sorted(store_workload.read_state(store)) == [f"a-{i}" for i in (0, 2, 3, 4, 5)] + [
        f"b-{i}" for i in (0, 1, 3, 4, 5)
    ]
    table = store_workload.read_part(store, items[0])
    assert table.column_names == ["id", "caption", "_hash", "image"]
    path, _, place = store.resolve(table["image"].combine_chunks())[3].as_py().partition("#bytes=")
    offset, length = map(int, place.split(","))
    assert Path(path).read_bytes()[offset : offset + length] == b"bytes of item 3"


def test_it_takes_new_commits(golden: Path) -> None:
    store = PartStore.open(golden)
    store_workload.add_items(store, "new")
    store_workload.add_scores(store, "new scores")
    assert store.snapshot().version == 9 and store.snapshot().rows == 16
    assert store_workload.read_state(store)["new-1"] == ("caption 1 of new", 0.125, [19.0, 0.0])
    assert store.verify() == []
    store.gc(grace_seconds=0, keep_versions=1)
    assert store.verify() == []
    assert len(store_workload.read_state(store, "done")) == 10


def test_it_can_be_compacted_and_published(golden: Path, tmp_path: Path) -> None:
    store = PartStore.open(golden)
    state, digest = store_workload.read_state(store), store.snapshot().digest
    originals = [p.part_id for p in store.snapshot().items]
    assert store.compact().erased == 2 and store.compact().versions == 0
    assert store_workload.read_state(store) == state and store.snapshot().digest == digest
    assert store.verify() == []
    store.commit(Changes("note", "note"))
    store.publish(str(tmp_path / "published"))
    clone, _ = PartStore.clone(str(tmp_path / "published"), tmp_path / "clone")
    assert store_workload.read_state(clone) == state and clone.verify() == []
    assert [i for p in clone.snapshot().items for i in p.originals] == originals


def test_it_can_be_rebuilt(golden: Path) -> None:
    (golden / "catalog.sqlite").unlink()
    assert store_workload.check(PartStore.rebuild(golden)) == []
