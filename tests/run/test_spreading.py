"""Work on a view by pieces: here and by the workers of a cluster, with one answer."""

from __future__ import annotations

import itertools
import pickle
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import run_tasks as work
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate import pieces
from curate.contracts import View
from curate.errors import InputError, RunError
from curate.memory import ArrayView
from curate.pieces import HERE, Crew
from curate.store import StoreView


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[curate.Store]:
    """60 items in parts of 7 rows."""
    folder = tmp_path_factory.mktemp("spread")
    ids = [f"i{n:02d}" for n in range(60)]
    texts = {"image": [f"https://a.org/{i}.jpg" for i in ids], "caption": [f"text {i}" for i in ids]}
    table = pa.table({"id": ids, **texts, "size": np.arange(60) ** 2 % 17})
    with curate.open(folder / "s.curate", create=True) as opened:
        opened.add(table, kind="image-text", check="none", part_rows=7)
        yield opened


def views(store: curate.Store, crew: Crew) -> Iterator[StoreView]:
    """Views of all kinds: whole, filtered, limited, of few rows."""
    whole = store.items.worked_by(crew)
    yield whole
    yield whole.where("size > 4")
    yield whole.where("size > 4").limit(20)
    yield whole.at(np.array([3, 17, 18, 59]))


def check_pieces(store: curate.Store, crew: Crew) -> None:
    """The pieces of a view are its rows, in their order, none twice, whoever works on them."""
    for view in views(store, crew):
        sizes = view.to_arrow(["size"])["size"].to_numpy()
        found = list(view.spread(work.total, 10))
        assert [first for first, _, _ in found] == np.cumsum([0, *(n for _, n, _ in found)])[:-1].tolist()
        assert [s for _, _, s in found] == [float(sizes[f : f + n].sum()) for f, n, _ in found]
        assert sum(n for _, n, _ in found) == len(view)
        rows = [len(view) - 1, 0, 2]
        assert list(view.share(work.pick, rows)) == view.take(np.array(rows), ["id"])["id"].to_pylist()


def check_held(view: StoreView, tmp_path: Path) -> None:
    """States hold what they were told, deaths or not, and answer in the order of the rows."""
    sizes = view.to_arrow(["size"])["size"].to_numpy().astype(float)
    with view.resident(work.Sums, 10) as held:
        cuts = [*held.firsts, len(view)]
        before = [sizes[a:b] for a, b in itertools.pairwise(cuts)]
        assert held.ask("sum") == [part.sum() for part in before]
        assert held.tell("add", 0.5) == [(part + 0.5).sum() for part in before]
        assert held.tell("add", 2.0, str(tmp_path / "mark") if view.crew is not HERE else "") == [
            (part + 2.5).sum() for part in before
        ]
        assert held.ask("sum") == [(part + 2.5).sum() for part in before]
        assert held.ask_some("nth", {2: (1,), 0: (3,)}) == {2: before[2][1] + 2.5, 0: before[0][3] + 2.5}
        with pytest.raises(RunError, match=r"fail failed on rows \d+ to \d+: ZeroDivisionError: nothing"):
            held.ask("fail")


def check_errors(view: StoreView) -> None:
    with pytest.raises(RunError, match=r"refuse_piece failed on rows 14 to 27: ValueError: no more"):
        list(view.spread(work.refuse_piece, 10))
    with pytest.raises(InputError, match="no 3"):
        list(view.share(work.refuse_task, [3]))
    with (
        pytest.raises(RunError, match=r"refuse_piece failed on rows 14 to 27"),
        view.resident(work.refuse_piece, 10),
    ):
        pass


def test_here(store: curate.Store, tmp_path: Path) -> None:
    check_pieces(store, HERE)
    check_held(store.items, tmp_path)
    check_errors(store.items)


def test_it_is_lazy_and_begins_nothing_that_is_not_asked_for(store: curate.Store) -> None:
    seen = []
    answers = store.items.spread(lambda piece, first: seen.append(first), 10)
    assert seen == []
    next(answers)
    assert seen == [0]


def test_a_view_arrives_as_it_was_sent(store: curate.Store) -> None:
    for view in views(store, HERE):
        sent = pickle.loads(pickle.dumps(view))  # noqa: S301
        assert sent.to_arrow().equals(view.to_arrow()) and sent.columns == view.columns
        assert len(pickle.dumps(view)) < 20_000


def test_views_in_memory_are_cut_too() -> None:
    view = ArrayView({"size": np.arange(25)}, {"v": np.arange(50.0).reshape(25, 2)})
    assert [n for _, n, _ in view.spread(work.total, 10)] == [10, 10, 5]
    assert list(view.spread(first_vector, 10)) == [0.0, 20.0, 40.0]
    assert list(ArrayView({"size": np.arange(0)}).spread(work.total)) == []
    with view.resident(work.Sums, 10) as held:
        assert held.ask("sum") == [45.0, 145.0, 110.0]


def first_vector(piece: View, first: int) -> float:
    return float(piece.vectors("v").to_numpy()[0, 0])


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 40))
def test_cuts_cover_all_rows_once(sizes: list[int], rows: int) -> None:
    runs = pieces.cut(sizes, rows)
    assert sum(sum(sizes[a:b]) for a, b in runs) == sum(sizes)
    assert all(a < b for a, b in runs) and all(x[1] == y[0] for x, y in itertools.pairwise(runs))
    held = [sum(sizes[a:b]) for a, b in runs]
    assert all(held) and all(h >= rows for h in held[:-1])
    assert all(h - sizes[b - 1] < rows for h, (_, b) in zip(held, runs, strict=True)), (
        "no more than is needed"
    )


def test_what_was_held_here_is_gone_after_the_block(store: curate.Store) -> None:
    with store.items.resident(work.Sums, 10) as held:
        states = [weakref.ref(state) for state in held.states]  # type: ignore[attr-defined]
        assert len(states) == 5 and all(state() for state in states)
    assert len(held.firsts) == 5 and not any(state() for state in states)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_on_ray(store: curate.Store, tmp_path: Path, workers: int) -> None:
    pytest.importorskip("ray", reason="extra ray not installed")
    from curate.run.ray_runner import RayRunner

    runner = RayRunner(None, workers)
    try:
        view = store.items.worked_by(runner)
        check_pieces(store, runner)
        check_held(view, tmp_path)
        check_errors(view)
        mark = str(tmp_path / "die")
        assert list(view.spread(partial(work.die_on_piece, mark), 10)) == [0, 14, 28, 42, 56]
        with view.resident(work.Sums, 10) as held:
            runner._dismiss()  # all of them, between two rounds
            assert sum(held.ask("sum")) == sum(s for _, _, s in view.spread(work.total))
    finally:
        runner.close()
