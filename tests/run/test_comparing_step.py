"""`compare` in a store and in a recipe: held-out items are never chosen from, and what is found is remembered and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import curate
from curate.errors import InputError, RecipeError, UnknownNameError
from curate.recipe.reader import build_recipe
from curate.run.plan import plan

pytest.importorskip("sklearn", reason="extra noise not installed")


@pytest.fixture
def digits(store: curate.Store) -> curate.Store:
    """120 items of three classes; the score is high where the label is right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 120)
    x = (np.eye(3, 5) * 4)[truth] + rng.normal(size=(120, 5))
    wrong = rng.random(120) < 0.3
    wrong[90:] = False
    label = np.where(wrong, (truth + 1) % 3, truth)
    frame = pl.DataFrame(
        {
            "id": [f"i{i:03}" for i in range(120)],
            "text": ["a"] * 120,
            "label": [f"c{c}" for c in label],
            "split": ["train"] * 90 + ["test"] * 30,
            "trust": rng.random(120) - wrong,
        }
    )
    store.add(frame, kind="label")
    store.attach(x.astype(np.float32), name="vec", ids=frame["id"].to_list())
    return store


def test_the_better_selector_is_seen_to_be_better(digits: curate.Store, tmp_path: Path) -> None:
    compared = digits.compare(
        {
            "trusted": {"select": "top", "by": "trust"},
            "worst": {"select": "top", "by": "trust", "lowest": True},
        },
        budgets=["20%", 27],
        embedding="vec",
        test="split = 'test'",
        seeds=3,
    )
    table = {(r["selector"], round(r["budget"], 2)): r for r in compared.table.to_pylist()}
    assert {name for name, _ in table} == {"trusted", "worst", "random", "everything"}
    assert table["trusted", 0.3]["items"] == 27 and table["trusted", 0.2]["items"] == 18
    assert table["trusted", 0.3]["accuracy"] > 0.9 > table["worst", 0.3]["accuracy"]
    again = digits.compare(
        {
            "trusted": {"select": "top", "by": "trust"},
            "worst": {"select": "top", "by": "trust", "lowest": True},
        },
        budgets=["20%", 27],
        embedding="vec",
        test="split = 'test'",
        seeds=3,
    )
    assert again.table.equals(compared.table)  # seconds included: it was remembered
    assert not digits.selections


def test_a_quarter_is_held_out_of_what_is_chosen_from(
    digits: curate.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.run.steps import comparing

    seen: list[tuple[Any, Any]] = []
    real = comparing.classifier

    def spy(x: Any, labels: Any, test_x: Any, test_labels: Any, **options: Any) -> Any:
        seen.append((x, test_x))
        return real(x, labels, test_x, test_labels, **options)

    monkeypatch.setattr(comparing, "classifier", spy)
    digits.compare({"t": {"select": "top", "by": "trust"}}, budgets=["50%"], embedding="vec", seeds=2)
    assert [(len(a), len(b)) for a, b in seen] == [(90, 30)] * 2
    for a, b in seen:
        assert not {row.tobytes() for row in a} & {row.tobytes() for row in b}
    assert not np.array_equal(seen[0][1], seen[1][1])


def test_a_recipe_compares_and_the_report_shows_it(digits: curate.Store, tmp_path: Path) -> None:
    step = {"compare": {"top": {"by": "trust"}}, "budgets": ["10%", "30%"], "embedding": "vec", "seeds": 2}
    recipe = build_recipe({"store": str(digits.path), "steps": [step, {"report": str(tmp_path / "r.html")}]})
    assert recipe.steps[0].title == "compare top"
    planned = plan(digits.parts, recipe.steps)
    assert any("10 trainings of a logistic-regression" in p.note for p in planned)
    digits.run(recipe)
    page = (tmp_path / "r.html").read_text()
    assert "compare top" in page and "Accuracy against budget" in page


def test_what_cannot_be_compared(digits: curate.Store) -> None:
    with pytest.raises(UnknownNameError, match="topp"):
        digits.compare(["topp"], embedding="vec")
    with pytest.raises(InputError, match="name at least one selector"):
        digits.compare([], embedding="vec")
    with pytest.raises(InputError, match="holds for 0 of 120 usable items"):
        digits.compare({"top": {"by": "trust"}}, embedding="vec", test="split = 'nowhere'")
    with pytest.raises(InputError, match="of fewer than two classes"):
        digits.compare({"top": {"by": "trust"}}, embedding="vec", where="label = 'c1'")
    with pytest.raises(RecipeError, match="seeds"):
        build_recipe({"store": "x", "steps": [{"compare": ["top"], "seeds": 1}]})
