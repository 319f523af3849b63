"""`balanced`: quotas by hand, against trying all of them, and what greedy loses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, UnknownNameError
from curate.selectors.threshold.balanced import Balanced, balanced_quotas
from curate.testing import ArrayView, check_selector

pytest.importorskip("scipy.optimize", reason="extra noise not installed")


def test_quotas_by_hand() -> None:
    cells = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    found = balanced_quotas(cells, np.array([9, 1, 1, 9]), 8)
    assert found.imbalance == 0 and found.exact
    assert (found.quotas[:2].sum(), found.quotas[[0, 2]].sum()) == (4, 4)
    short = balanced_quotas(cells, np.array([9, 0, 1, 0]), 4)
    assert short.quotas.tolist() == [3, 0, 1, 0]
    assert short.imbalance == (1 + 1) + (2 + 2)  # a class that no item is left of is missed all the same
    assert balanced_quotas(cells, np.array([1, 1, 1, 1]), 0).quotas.tolist() == [0, 0, 0, 0]


PROBLEMS = st.integers(1, 3).flatmap(
    lambda axes: st.lists(
        st.tuples(st.tuples(*[st.integers(0, 2)] * axes), st.integers(0, 3)),
        min_size=1,
        max_size=5,
        unique_by=lambda cell: cell[0],
    )
)


@settings(max_examples=40, deadline=None)
@given(PROBLEMS, st.data())
def test_no_other_choice_is_better(problem: list[tuple[tuple[int, ...], int]], data: st.DataObject) -> None:
    cells, sizes = np.array([c for c, _ in problem]), np.array([s for _, s in problem])
    count = data.draw(st.integers(0, int(sizes.sum())))

    def imbalance(quotas: tuple[int, ...]) -> float:
        total = 0.0
        for axis in cells.T:
            classes = np.unique(axis)
            total += sum(abs(np.array(quotas)[axis == c].sum() - count / len(classes)) for c in classes)
        return total

    choices = [q for q in itertools.product(*(range(s + 1) for s in sizes)) if sum(q) == count]
    best = min(map(imbalance, choices))
    found = balanced_quotas(cells, sizes, count)
    assert found.imbalance == pytest.approx(best, abs=1e-6)
    assert found.imbalance == pytest.approx(imbalance(tuple(found.quotas)), abs=1e-9)
    greedy = balanced_quotas(cells, sizes, count, solver="greedy")
    assert greedy.quotas.sum() == count and (greedy.quotas <= sizes).all() and (greedy.quotas >= 0).all()
    assert greedy.imbalance >= best - 1e-6 and (count == 0 or not greedy.exact)


def skewed(n: int = 600) -> ArrayView:
    """Four axes that are skewed and go together."""
    rng = np.random.default_rng(0)
    category = rng.choice(["animal", "food", "scene"], n, p=[0.7, 0.2, 0.1])
    logic = np.where(category == "animal", rng.random(n) < 0.15, rng.random(n) < 0.5)
    style = rng.choice(4, n, p=[0.6, 0.2, 0.1, 0.1])
    return ArrayView(
        {
            "id": [f"{i:04d}" for i in range(n)],
            "category": [None if i == 5 else str(c) for i, c in enumerate(category)],
            "logic": logic.tolist(),
            "style": style.tolist(),
            "depth": [None if i == 5 else float(v) for i, v in enumerate(rng.normal(size=n) ** 3)],
        }
    )


def test_four_axes_come_out_even() -> None:
    view = skewed().rearranged(np.delete(np.arange(600), 5))
    chosen = check_selector(Balanced(("category", "logic", "style", "depth")), view, 60)
    table = view.take(chosen.index, ["category", "logic", "style", "depth"])
    for column, classes in (("category", 3), ("logic", 2), ("style", 4)):
        counts = np.unique(np.array(table[column].to_pylist()), return_counts=True)[1]
        assert counts.tolist() == [60 // classes] * classes
    depth = np.array(view.to_arrow(["depth"])["depth"].to_pylist())
    bins = np.searchsorted(np.quantile(depth, [1 / 3, 2 / 3]), depth[chosen.index])
    assert np.bincount(bins).tolist() == [20, 20, 20]
    assert chosen.random["objective"] == 1
    assert chosen.random["random"] < 0.85
    assert "the least imbalance there is" in chosen.reason


def test_every_parameter_matters() -> None:
    view = skewed()
    axes = ("category", "logic", "style", "depth")
    greedy = check_selector(Balanced(axes, solver="greedy"), view, 60)
    exact = check_selector(Balanced(axes), view, 60)
    assert greedy.random["objective"] <= exact.random["objective"]
    assert "not proved" in greedy.reason
    five = check_selector(Balanced(("depth",), bins=5), view, 60)
    assert five.index.tolist() != check_selector(Balanced(("depth",), bins=2), view, 60).index.tolist()
    assert Balanced(axes, nodes=1).select(view, 60, np.random.default_rng(0)).index.shape == (60,)
    other = Balanced(axes).select(view, 60, np.random.default_rng(1))
    assert other.index.tolist() != exact.index.tolist()


def test_any_cut_and_any_order_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    view, selector = skewed(), Balanced(("category", "logic", "style", "depth"), solver="greedy")
    whole = selector.select(view, 60, np.random.default_rng(0))
    monkeypatch.setattr("curate.selectors.threshold.balanced.PIECE", 70)
    monkeypatch.setattr("curate.memory.PIECE_ROWS", 90)
    order = np.random.default_rng(1).permutation(600)
    for rows in (np.arange(600), order):
        cut = selector.select(view.rearranged(rows), 60, np.random.default_rng(0))
        assert rows[cut.index].tolist() == whole.index.tolist()
        assert cut.reason == whole.reason and cut.random == whole.random


def test_null_is_a_class_of_its_own() -> None:
    assert 5 in check_selector(Balanced(("category", "depth")), skewed(), 60).index


def test_bad_input_is_named() -> None:
    nobody = ArrayView({"id": [], "tag": []})
    assert len(Balanced(("tag",)).select(nobody, 0.5, np.random.default_rng(0)).index) == 0
    with pytest.raises(InputError, match="names the columns"):
        Balanced(())
    with pytest.raises(InputError, match="each once"):
        Balanced(("a", "a"))
    with pytest.raises(InputError, match="bins=1"):
        Balanced(("a",), bins=1)
    view = ArrayView({"id": ["a", "b"], "tags": [["x"], ["y"]]})
    with pytest.raises(UnknownNameError, match="tags"):
        Balanced(("tag",)).select(view, 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="one class for each item"):
        Balanced(("tags",)).select(view, 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="5 items asked for, there are 3"):
        balanced_quotas(np.zeros((1, 1)), np.array([3]), 5)
    with pytest.raises(InputError, match="at least one axis"):
        balanced_quotas(np.zeros(3), np.ones(3), 1)
    with pytest.raises(InputError, match="milp or greedy"):
        balanced_quotas(np.zeros((1, 1)), np.array([3]), 1, solver="lp")  # type: ignore[arg-type]
