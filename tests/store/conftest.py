"""Helpers of these tests are modules beside them (`store_*.py`), which also run as scripts in other processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curate.store import Part, PartStore

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("bucket"))
    if request.param == "memory":
        return f"memory://{tmp_path.name}/published"
    return str(tmp_path / "published") if request.param == "folder" else f"file://{tmp_path}/published"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "published")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Items, scores, a pack, a selection, a deletion, a tag, a run."""
    import store_workload

    path = tmp_path_factory.mktemp("played") / "store"
    store_workload.play(path).close()
    return path


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    """An empty one."""
    return PartStore.create(tmp_path / "store")


@pytest.fixture
def scored(store: PartStore) -> tuple[PartStore, Part]:
    """One with six captions."""
    import store_examples

    return store, store_examples.six_captions(store)
