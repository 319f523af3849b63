"""What is wrong at the end of a recipe is said before its first step runs."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import ExpressionError, InputError, UnknownNameError
from curate.recipe.reader import build_recipe
from curate.run.plan import plan

ITEMS = [{"id": f"i{n}", "text": f"text number {n}", "label": "ab"[n % 2]} for n in range(6)]

WRONG = [
    ({"score": "text-basic"}, UnknownNameError, "text-basics"),
    ({"score": "near-duplicate", "with": {"distanc": 9}}, UnknownNameError, "Did you mean .distance"),
    ({"select": "tops", "budget": 2}, UnknownNameError, "Did you mean 'top'"),
    ({"select": "random", "budget": "ten"}, InputError, "budget 'ten'"),
    ({"select": "random", "budget": 0}, InputError, "budget 0 is not"),
    ({"select": "random", "budget": "-5%"}, InputError, "budget '-5%'"),
    ({"select": "random", "budget": 2, "after": "cor"}, UnknownNameError, "Did you mean 'core'"),
    ({"analyse": "label-helth"}, UnknownNameError, "label-health"),
    ({"compare": {"a": {"select": "randon"}}}, UnknownNameError, "random"),
    ({"annotate": "offlin", "with": {"folder": "x"}}, UnknownNameError, "offline"),
    ({"keep": "text_words > 2 andd label = 'a'"}, ExpressionError, "andd"),
    ({"export": "out", "selection": "cor"}, UnknownNameError, "Did you mean 'core'"),
]


def test_nothing_is_done_where_a_later_step_is_wrong(store) -> None:
    store.add(ITEMS, kind="label")
    first = [{"score": "text-basics"}, {"select": "random", "budget": 3, "as": "core"}]
    for step, error, told in WRONG:
        recipe = {"store": "s", "steps": [*first, step]}
        with pytest.raises(error, match=told):
            store.run(recipe)
        assert store.parts.runs()[0]["status"] == "failed"
        with pytest.raises(error, match=told):
            plan(store.parts, build_recipe(recipe).steps)
    assert "text_basics" not in store.items.to_arrow().schema.names


def test_selections_of_earlier_runs_and_steps_are_known(store, tmp_path) -> None:
    store.add(ITEMS, kind="label")
    store.select("random", budget=2, name="first")
    steps = [
        {"keep": "label = 'a'", "as": "as"},
        {"select": "random", "budget": 2},
        *({"export": str(tmp_path / name), "selection": name} for name in ("first", "as", "random")),
    ]
    assert store.run({"store": "s", "steps": steps}).status == "done"


def test_it_is_said_where_nothing_is_mandatory(store) -> None:
    store.add(ITEMS, kind="label")
    step = {"select": "herding", "budget": 2, "with": {"embedding": "vec", "mandatory": "id = 'i3'"}}
    vectors = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    store.attach(vectors, name="vec", ids="rows")
    assert store.run({"store": "s", "steps": [step]}).steps[-1].notes == []
    step["with"]["mandatory"] = "id = 'i33'"
    for _ in range(2):  # and again where the selection is there
        told = store.run({"store": "s", "steps": [step]}).steps[-1].notes
        assert told == ["mandatory: id = 'i33' holds for none of 6 items"]
