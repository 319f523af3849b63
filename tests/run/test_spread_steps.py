"""Steps that must see everything: what the workers of a cluster find is what this process finds, byte for byte, deaths or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate.contracts import ROW
from curate.memory import ArrayView
from curate.scorers.duplicates.exact import ExactDuplicate
from curate.scorers.duplicates.near import NearDuplicate
from curate.selectors.threshold.top import Top
from curate.store import StoreView

N, PIECE = 400, 50
EXACT = ExactDuplicate(columns=("caption",))
NEAR = NearDuplicate(embedding="vector", by="embedding")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[curate.Store]:
    """400 items in parts of 25 rows: a third of the captions repeat, and a fifth of the vectors nearly do."""
    rng = np.random.default_rng(0)
    ids = [f"i{n:03d}" for n in rng.permutation(N)]
    vectors = rng.standard_normal((N, 8)).astype(np.float32)
    vectors[320:] = vectors[rng.integers(0, 320, 80)] + 0.01 * rng.standard_normal((80, 8))
    columns = {
        "id": ids,
        "image": [f"https://a.org/{i}.jpg" for i in ids],
        "caption": [f"caption {c}" for c in rng.integers(0, 300, N)],
        "size": rng.integers(0, 40, N).astype(np.float32),
    }
    with curate.open(tmp_path_factory.mktemp("steps") / "s.curate", create=True) as opened:
        opened.add(pa.table(columns), kind="image-text", check="none", part_rows=25)
        opened.attach(vectors, name="vector", ids=ids)
        yield opened


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.store.pieces.PIECE_ROWS", PIECE)
    monkeypatch.setattr("curate.selectors.threshold.top._PIECE", PIECE)
    monkeypatch.setattr("curate.scorers.duplicates.exact._PIECE", PIECE)
    monkeypatch.setattr("curate.scorers.duplicates.exact._RANGE", 6)
    monkeypatch.setattr("curate.scorers.duplicates.semdedup._EXACT", 10)
    monkeypatch.setattr("curate.scorers.duplicates.cosines._TASK", 1000)


def found(view: Any) -> Mapping[str, bytes]:
    """What each step says of a view, as bytes."""
    top = Top(by="size").select(view, 0.3, np.random.default_rng(0))
    answers = {"top": top.index.tobytes() + np.asarray(top.gain).tobytes()}
    rows = view.to_arrow(["id"]).append_column(ROW, pa.array(np.arange(len(view)))).combine_chunks()
    for scorer in (EXACT, NEAR):
        table = pa.Table.from_batches([scorer.fit(view).score(rows.to_batches()[0])])
        answers[scorer.name] = repr(table.to_pydict()).encode()
    return answers


def views(store: curate.Store) -> list[StoreView]:
    return [store.items, store.items.where("size > 5")]


def test_by_pieces_as_at_once(store: curate.Store) -> None:
    for view in views(store):
        table = view.to_arrow()
        vectors = np.array(table["vector"].to_pylist(), np.float32)
        whole = ArrayView(table.drop_columns(["vector"]), {"vector": vectors})
        pieces, at_once = found(view), found(whole)
        assert len(list(view.spread(lambda piece, first: first))) > 4 and pieces == at_once
        assert b"True" in pieces["exact-duplicate"] and b"True" in pieces["near-duplicate"]


@pytest.mark.slow
def test_on_any_number_of_workers_and_through_deaths(store: curate.Store) -> None:
    ray = pytest.importorskip("ray", reason="extra ray not installed")
    from curate.run.ray_runner import RayRunner

    class Deadly(RayRunner):
        """Loses a worker twice between two questions to what they hold."""

        asked_for = 0

        def send(self, calls: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
            self.asked_for += 1
            if self.asked_for in (4, 13):
                ray.kill(self._actors[self.asked_for % 2], no_restart=False)
            return super().send(calls)

    view = views(store)[1]
    expected, first = found(view), RayRunner(None, 4)
    try:
        for runner in (first, RayRunner(None, 1), Deadly(None, 2)):
            assert found(view.worked_by(runner)) == expected, runner
            runner._dismiss()
        assert runner.asked_for > 13
    finally:
        first.close()
