"""A store of captions, and scorers that spy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate import registry
from curate.recipe.reader import build_recipe
from curate.run.checking import check_steps

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


@pytest.fixture
def recipe(tmp_path, store) -> Any:
    """Checks a list of steps whose files lie in `tmp_path`, before anything is imported."""
    import run_recipes

    pq.write_table(run_recipes.ROWS, tmp_path / "rows.parquet")
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32))

    def check(*steps: dict[str, Any]) -> None:
        built = build_recipe({"store": "s", "steps": [{**step} for step in steps]}).steps
        check_steps(store.parts, built, tmp_path)

    return check
