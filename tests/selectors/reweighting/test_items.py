"""The registered reweighters: promises, values against the functions they wrap, what is left out, draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.errors import InputError, UnknownNameError
from curate.selectors.reweighting import group_weights
from curate.selectors.reweighting.densest import InstanceDensity, InstanceSelection
from curate.selectors.reweighting.items import ClassDroWeights, CwErm, GroupWeights, ImportanceResampling
from curate.testing import ArrayView, check_scorer, check_selector, score_all


def items(n: int = 60) -> ArrayView:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, n)
    x = (np.eye(3, 4) * 5)[codes] + rng.normal(size=(n, 4))
    labels: list[str | None] = [f"c{c}" for c in codes]
    labels[7] = None
    vectors = x.astype(np.float32)
    vectors[3] = np.nan
    return ArrayView(
        {
            "id": [f"i{k:03}" for k in rng.permutation(n)],
            "label": labels,
            "group": [None if k == 9 else "gh"[int(k % 5 == 0)] for k in range(n)],
            "loss": (1 + 0.5 * (codes == 2) + 0.1 * rng.random(n)).tolist(),
            "base": [1.0] * n,
            "text": [["sea salt wave", "tree moss leaf", "salt and moss"][c] for c in codes],
            "aim": [k % 6 == 0 and codes[k] == 0 for k in range(n)],
            "known": [k % 4 == 0 for k in range(n)],
        },
        {"pixel_embedding": vectors},
    )


SELECTORS: list[tuple[Any, int | None]] = [
    (ClassDroWeights("loss", "base"), None),
    (ClassDroWeights("loss", "base", steps=3, eta=2.0, smoothing=0.1), 10),
    (GroupWeights("group"), None),
    (GroupWeights("group", label="label", aim="independent", cap=2.0), 10),
    (ImportanceResampling("aim"), None),
    (ImportanceResampling("aim", per_ngram=True, n=1, buckets=64, temperature=2.0, cap=5.0), 10),
    (ImportanceResampling("aim", features="pixel_embedding"), 10),
    (ImportanceResampling("aim", features="pixel_embedding", ratio="ulsif"), None),
    (InstanceSelection(by="loss", weights="base"), 10),
]


@pytest.mark.parametrize(("selector", "budget"), SELECTORS, ids=lambda value: repr(value)[:60])
def test_keeps_its_promises(selector: Any, budget: int | None) -> None:
    chosen = check_selector(selector, items(), budget)
    assert budget is None or len(chosen) == budget
    if budget is None:
        assert chosen.weight is not None and chosen.by_row.shape == (60,)
        assert np.array_equal(chosen.by_row[chosen.index], chosen.weight)


def test_cw_erm_keeps_its_promises() -> None:
    pytest.importorskip("torch", reason="extra train not installed")
    brief: dict[str, Any] = {"coreset": 0.6, "epochs": 2, "warm_up": 2}
    for options in ({}, {"spread": "network", "trusted": "known", "hidden": 4}):
        chosen = check_selector(CwErm(**brief, **options), items(), None)
        assert len(chosen) == 58 and not {3, 7} & set(chosen.index)
    assert len(check_selector(CwErm(**brief, neighbours=1), items(), 12)) == 12
    with pytest.raises(InputError, match="epochs=0"):
        CwErm(epochs=0)


def test_the_weights_are_those_of_the_function() -> None:
    view = items()
    chosen = GroupWeights("group").select(view, None, np.random.default_rng(0))
    groups = view.to_arrow(["group"])["group"].to_pylist()
    known = [k for k in range(60) if k != 9]
    expected = group_weights([groups[k] for k in known])
    assert np.allclose(chosen.by_row[known], expected.by_row) and chosen.by_row[9] == 0
    assert chosen.effective == pytest.approx(expected.effective)
    assert chosen.seed is not None and chosen.seconds is not None


def test_what_lags_and_what_is_like_the_target_weighs_more() -> None:
    view = items()
    labels = np.array(view.to_arrow(["label"])["label"].to_pylist())
    lag = ClassDroWeights("loss", "base").select(view, None, np.random.default_rng(0))
    assert lag.by_row[labels == "c2"].mean() > 1 > lag.by_row[labels == "c0"].mean()
    like = ImportanceResampling("aim").select(view, 8, np.random.default_rng(0))
    assert (labels[like.index] == "c0").mean() > 0.8
    assert not set(like.index) & set(
        np.flatnonzero(view.to_arrow(["aim"])["aim"].to_numpy(zero_copy_only=False))
    )


def test_density_is_scored_and_selected_by() -> None:
    view = items()
    check_scorer(InstanceDensity(method="ppca"), view)
    scored = score_all(InstanceDensity(), view)
    assert scored["instance_density_reason"][3].as_py() == "no pixel_embedding"
    assert scored["instance_density_reason"][7].as_py() == "no label"
    whole = score_all(InstanceDensity(label=None), view)
    assert whole["instance_density_reason"].null_count == 59
    grown = ArrayView(
        view.to_arrow(["id", "label"]).append_column(
            "instance_density", scored["instance_density"].combine_chunks()
        )
    )
    chosen = check_selector(InstanceSelection(), grown, 30)
    values = np.array(scored["instance_density"].to_pylist(), float)
    labels = np.array(view.to_arrow(["label"])["label"].to_pylist())
    for name in ("c0", "c1", "c2"):
        taken = values[[i for i in chosen.index if labels[i] == name]]
        assert taken.min() >= np.nanmax(
            [v for i, v in enumerate(values) if labels[i] == name and i not in chosen.index]
        )


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (ClassDroWeights("loss", "base", by="aim"), "never"),
        (ClassDroWeights("null", "base"), "none of 60 items has 'null', 'base' and 'label'"),
        (ImportanceResampling("false"), "holds for no item with 'text'"),
        (ImportanceResampling("true"), "none of 60 items has 'text' and is not the target's"),
        (GroupWeights("group", aim="independent"), "needs labels"),
        (InstanceSelection(by="null"), "budget 10: only 0 of 60"),
    ],
)
def test_what_cannot_be(selector: Any, message: str) -> None:
    if message == "never":  # truth values are classes, too
        assert len(selector.select(items(), 10, np.random.default_rng(0))) == 10
        return
    with pytest.raises(InputError, match=message):
        selector.select(items(), 10, np.random.default_rng(0))


def test_columns_that_are_not_there() -> None:
    for selector in (
        GroupWeights("nix"),
        ImportanceResampling("aim", features="nix"),
        InstanceSelection(label="nix", by="loss"),
    ):
        with pytest.raises(UnknownNameError, match="nix"):
            selector.select(items(), 10, np.random.default_rng(0))
    with pytest.raises(InputError, match="steps=0"):
        ClassDroWeights("a", "b", steps=0)


def test_a_plan_is_told_what_weighing_takes() -> None:
    told = CwErm(coreset=0.05).estimate(15_000, 64, 100)
    assert 1 < told["seconds"] < 5 and told["bytes"] > 15_000 * 64 * 4
    assert CwErm(coreset=1.0).estimate(15_000, 64, 100)["seconds"] > 3 * told["seconds"]
