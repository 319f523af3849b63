"""A store of captions, and scorers that spy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import curate
from curate import registry

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def spies(monkeypatch) -> None:
    """Register the spying scorers."""
    for name, target in {"spy": "Spy", "longest": "Longest", "wrong": "Wrong"}.items():
        monkeypatch.setitem(registry.SCORERS, name, f"run_spies:{target}")


@pytest.fixture
def captions() -> Callable[..., pa.Table]:
    """Image-text rows with remote images: `captions("a dog", "a cat", start=10)`."""

    def make(*texts: str, start: int = 0) -> pa.Table:
        ids = [f"i{start + n:03d}" for n in range(len(texts))]
        images = [f"https://example.org/{i}.jpg" for i in ids]
        return pa.table({"id": ids, "image": images, "caption": list(texts)})

    return make


@pytest.fixture
def store(tmp_path) -> Iterator[curate.Store]:
    """An empty store."""
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        yield opened
