"""The two registered mappings: sides of a view, budgets of items, missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.errors import InputError, UnknownNameError
from curate.selectors.pruning.items import FeatureMapping, LabelMapping
from curate.testing import ArrayView, check_selector

pytest.importorskip("duckdb")


def both(n: int = 60, targets: int = 20) -> ArrayView:
    """A source of six classes, and a target that lies at two of them."""
    rng = np.random.default_rng(0)
    codes = np.concatenate([np.arange(n) % 6, rng.choice([1, 4], targets, p=[0.3, 0.7])])
    x = (np.eye(6) * 8)[codes] + rng.normal(size=(n + targets, 6))
    probs = np.full((n + targets, 6), 0.02)
    probs[np.arange(n + targets), codes] = 0.9
    return ArrayView(
        {
            "id": [f"i{k:03}" for k in rng.permutation(n + targets)],
            "split": ["source"] * n + ["target"] * targets,
            "label": [f"c{c}" for c in codes[:n]] + [None] * targets,
            "kind": [None] * n + [f"k{c}" for c in codes[n:]],
            "guess": [None] * n + [f"c{c}" for c in codes[n:]],
        },
        {"pixel_embedding": x.astype(np.float32), "pred_probs": probs.astype(np.float32)},
    )


TARGET = "split = 'target'"
SELECTORS = [
    LabelMapping(TARGET),
    LabelMapping(TARGET, predictions="guess"),
    LabelMapping(TARGET, soft=True, keep=2),
    FeatureMapping(TARGET),
    FeatureMapping(TARGET, centre="trimmed", band=0.8),
    FeatureMapping(TARGET, by="cmt_median", target_label="kind", keep=2),
]


@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_keeps_the_promises_and_the_right_classes(selector: Any) -> None:
    view = both()
    chosen = check_selector(selector, view, None)
    labels = view.to_arrow(["label"])["label"].to_pylist()
    assert {labels[i] for i in chosen.index} == {"c1", "c4"} and len(chosen) == 20
    if selector.name == "label-mapping" or selector.by == "votes":
        assert labels[chosen.index[0]] == "c4"


@pytest.mark.parametrize("selector", SELECTORS, ids=repr)
def test_a_budget_of_items_cuts_the_last_class(selector: Any) -> None:
    view = both()
    labels = np.array(view.to_arrow(["label"])["label"].to_pylist())
    chosen = check_selector(selector, view, 13)
    assert len(chosen) == 13
    first = labels[chosen.index[:10]]
    assert len(set(first)) == 1 and len(set(labels[chosen.index[10:]])) == 1
    other = selector.select(view, 13, np.random.default_rng(5))
    assert set(other.index[:10]) == set(chosen.index[:10]) and set(other.index) != set(chosen.index)


def test_a_budget_alone_is_filled_with_classes_that_have_no_vote() -> None:
    chosen = LabelMapping(TARGET).select(both(), 45, np.random.default_rng(0))
    assert len(chosen) == 45 and chosen.kept == 5 and len(chosen.unvoted) == 4
    assert chosen.random == {"objective": 1.0, "random": pytest.approx(5 / 6)}
    with pytest.raises(InputError, match="budget 61: only 60 of 80 items"):
        LabelMapping(TARGET).select(both(), 61, np.random.default_rng(0))


def test_clusters_need_no_label() -> None:
    pytest.importorskip("faiss", reason="extra select not installed")
    view = both(600, 60)
    chosen = check_selector(FeatureMapping(TARGET, clusters=6), view, None)
    labels = view.to_arrow(["label"])["label"].to_pylist()
    found = [labels[i] for i in chosen.index]
    assert sum(label in ("c1", "c4") for label in found) >= 0.9 * len(found)
    assert "label" not in FeatureMapping(TARGET, clusters=6).needs


def test_items_that_lack_something_do_not_count() -> None:
    view = both()
    x = np.array(view.vectors("pixel_embedding").to_numpy())
    x[0], x[-1] = np.nan, np.inf
    holed = ArrayView(view.to_arrow(["id", "split", "label"]), {"pixel_embedding": x})
    chosen = FeatureMapping(TARGET, keep=1.0).select(holed, None, np.random.default_rng(0))
    assert 0 not in chosen.index and len(chosen) == 59
    assert chosen.votes.sum() == 19


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (LabelMapping("split = 'nowhere'"), "holds for 0 of 80 items"),
        (LabelMapping("true"), "holds for 80 of 80 items, and 0 others"),
        (LabelMapping(TARGET, classes=("a", "b")), "6 columns, `classes` names 2"),
        (LabelMapping(TARGET, predictions="kind"), "predictions name classes that are not there: 'k1'"),
        (FeatureMapping(TARGET, clusters=61), "clusters=61 of 60"),
    ],
)
def test_what_cannot_be(selector: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        selector.select(both(), None, np.random.default_rng(0))
    for unknown in (LabelMapping(TARGET, predictions="nix"), FeatureMapping(TARGET, label="nix")):
        with pytest.raises(UnknownNameError, match="nix"):
            unknown.select(both(), None, np.random.default_rng(0))
    with pytest.raises(InputError, match="needs keep"):
        FeatureMapping(TARGET, by="cmt")


def test_reverse_is_worse_than_random() -> None:
    for selector in (
        LabelMapping(TARGET, keep=2, reverse=True),
        FeatureMapping(TARGET, keep=2, reverse=True),
    ):
        chosen = selector.select(both(), None, np.random.default_rng(0))
        assert chosen.random["objective"] < chosen.random["random"]


def test_a_plan_is_told_what_a_choice_takes() -> None:
    small, large = (FeatureMapping(TARGET).estimate(n, 64, 10) for n in (1_000, 1_000_000))
    assert 0 < small["seconds"] < 1 < large["seconds"] < 60
    assert large["bytes"] > 1_000_000 * 64 * 4
    assert FeatureMapping(TARGET, clusters=500).estimate(10**6, 64, 10)["seconds"] > large["seconds"]
