"""Select: what continues an earlier selection, what costs, and what a plan says it will take."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError, UnknownNameError
from curate.recipe.reader import build_recipe
from curate.run.plan import plan


@pytest.fixture
def filled(store):
    """Twelve items with a number, and vectors."""
    rows = [
        {
            "id": f"i{n:02d}",
            "image": f"https://example.org/{n}.jpg",
            "caption": f"thing {n}",
            "hard": float(n),
        }
        for n in range(12)
    ]
    store.add(rows, kind="image-text", part_rows=5)
    vectors = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    store.attach(vectors, name="v", ids="rows")
    return store


def ids(selection):
    return selection.to_arrow()["id"].to_pylist()


def test_an_earlier_selection_is_continued_in_its_order(filled):
    easy = filled.select("hardest", budget=3, name="easy", by="hard", easiest=True)
    assert ids(easy) == ["i00", "i01", "i02"]
    both = filled.select("hardest", budget=5, name="both", by="hard", after="easy")
    assert ids(both) == ["i00", "i01", "i02", "i11", "i10"]
    assert both.to_arrow()["reason"].to_pylist()[:3] == ["mandatory"] * 3
    assert both.stats["after"] == "easy"
    filled.select("hardest", budget=5, name="both", by="hard", after="easy")
    assert filled._session.run.steps[-1].reused
    filled.select("hardest", budget=3, name="easy", by="hard")  # another selection of that name
    again = filled.select("hardest", budget=5, name="both", by="hard", after="easy")
    assert ids(again) == ["i11", "i10", "i09", "i08", "i07"]


def test_items_that_are_no_longer_there_are_not_continued(filled):
    filled.select("hardest", budget=3, name="easy", by="hard", easiest=True)
    rest = filled.select("hardest", budget=3, name="rest", by="hard", after="easy", where="hard >= 2")
    assert ids(rest) == ["i02", "i11", "i10"]


def test_what_cannot_be_continued_says_so(filled):
    filled.select("random", budget=3, name="core")
    with pytest.raises(UnknownNameError, match="selection"):
        filled.select("hardest", budget=5, name="x", by="hard", after="cote")
    with pytest.raises(InputError, match="needs another name"):
        filled.select("hardest", budget=5, name="core", by="hard", after="core")
    with pytest.raises(InputError, match="it cannot continue a selection"):
        filled.select("random", budget=5, name="x", after="core")
    with pytest.raises(InputError, match="mandatory items already"):
        filled.select("hardest", budget=5, name="x", by="hard", after="core", mandatory="hard = 1")
    with pytest.raises(InputError, match="mandatory rows take 3 and the budget is 2"):
        filled.select("hardest", budget=2, name="x", by="hard", after="core")


def test_a_budget_of_cost_may_be_more_than_there_are_items(filled):
    chosen = filled.select("hardest", budget=45, name="x", by="hard", cost="hard + 4")
    assert ids(chosen) == [
        "i11",
        "i10",
        "i09",
    ]  # by hard / cost: 15 + 14 + 13, and no 4 left for more than nothing
    steps = build_recipe(
        {"store": "s", "steps": [{"select": "hardest", "budget": 45, "with": {"by": "hard", "cost": "hard"}}]}
    ).steps
    assert plan(filled.parts, steps)[0].note == "spends 45 of what 12 items cost"


def test_a_plan_says_what_choosing_will_take(filled):
    steps = [
        {"select": "k-center", "budget": 5, "with": {"embedding": "v"}, "as": "x"},
        {"select": "random", "budget": 5, "as": "y"},
        {"select": "k-center", "budget": 5, "with": {"embedding": "minilm"}, "as": "z"},
        {"select": "hardest", "budget": "50%", "with": {"by": "hard"}, "as": "h"},
    ]
    notes = [
        planned.note for planned in plan(filled.parts, build_recipe({"store": "s", "steps": steps}).steps)
    ]
    assert notes[0] == "chooses 5 of 12, in about 1 s of one core and 200 MB of memory"
    assert notes[1] == "chooses 5 of 12"
    assert notes[2] == "chooses 5 of 12"  # the vectors are not there yet
    assert notes[3] == "chooses 6 of 12, in about 1 s of one core and 0 MB of memory"
    more = [*steps, {"select": "k-center", "budget": 50, "with": {"embedding": "v"}, "as": "w"}]
    with pytest.raises(InputError, match=r"step 5 of 5 \(select k-center\): budget 50: 12 items are there"):
        plan(filled.parts, build_recipe({"store": "s", "steps": more}).steps)
