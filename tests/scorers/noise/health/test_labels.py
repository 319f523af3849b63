"""`label-health` on planted and human noise; balance; what cannot be judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="extra noise not installed")

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.noise.health import class_balance
from curate.scorers.noise.health.labels import LabelHealth
from curate.testing import check_analysis

NAMES = np.array(["ant", "bee", "cat", "dog"])


def planted(n: int = 800, rare: int = 0) -> dict[str, Any]:
    """Every fifth `bee` is labelled `cat` and every fifth `cat` `bee`; `dog` may be rare."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 4
    if rare:
        truth[(truth == 3) & (np.arange(n) >= 4 * rare)] = 0
    labels = truth.copy()
    turned = (rng.random(n) < 0.2) & ((truth == 1) | (truth == 2))
    labels[turned] = 3 - truth[turned]
    probs = rng.dirichlet(np.full(4, 0.5), n) * 0.2
    probs[np.arange(n), truth] += 0.8
    checked = rng.random(n) < 0.25
    return {
        "id": [f"{i:04d}" for i in range(n)],
        "label": NAMES[labels].tolist(),
        "right": [NAMES[t] if c else None for t, c in zip(truth, checked, strict=True)],
        "pred_probs": probs.astype(np.float32),
        "wrong": float(turned.mean()),
    }


def view(data: dict[str, Any], **changed: Any) -> ArrayView:
    data = {**data, **changed}
    table = {name: data[name] for name in ("id", "label", "right")}
    return ArrayView(table, {"pred_probs": data["pred_probs"]})


def titled(found: Any, title: str) -> Any:
    return next(f for f in found.findings if f.title == title)


def test_planted_noise_is_told() -> None:
    data = planted()
    found = check_analysis(LabelHealth(), view(data))
    wrong = titled(found, "Wrong labels")
    assert wrong.serious and f"{data['wrong']:.1%}" in wrong.text
    rates = titled(found, "Noise by class").table.to_pydict()
    assert set(rates["class"][:2]) == {"bee", "cat"} and rates["wrong"][2:] == [0.0, 0.0]
    assert all(lo <= r <= hi for lo, r, hi in zip(rates["low"], rates["wrong"], rates["high"], strict=True))
    overlap = titled(found, "Classes that overlap").table.to_pylist()
    assert [row["classes"] for row in overlap] == ["bee / cat"] and overlap[0]["both ways"]
    matrix = titled(found, "Given and true labels")
    assert matrix.chart == "matrix" and matrix.table.column_names == ["given \\ true", *NAMES]
    assert sum(sum(row[name] for name in NAMES) for row in matrix.table.to_pylist()) == 800
    assert not titled(found, "Class balance").serious


def test_checked_labels_give_a_rate_that_holds() -> None:
    data = planted()
    found = check_analysis(LabelHealth(truth="right"), view(data))
    verified = titled(found, "Wrong labels, verified")
    first = verified.table.to_pylist()[0]
    assert first["class"] == "all" and first["low"] < data["wrong"] < first["high"]
    assert first["checked"] == sum(r is not None for r in data["right"])
    none = LabelHealth(truth="right").analyse(view(data, right=[None] * 800))
    assert titled(none, "Checked labels").serious
    strangers = LabelHealth(truth="right").analyse(view(data, right=["zebra"] * 800))
    assert titled(strangers, "Wrong labels, verified").table["wrong"][0].as_py() == 1.0
    assert LabelHealth(truth="right").needs == ("label", "pred_probs", "right")


def test_a_model_that_agrees_with_few_labels_makes_an_upper_bound() -> None:
    data = planted()
    told = "of the labels, and what it gets wrong itself is counted here"
    assert told not in titled(LabelHealth().analyse(view(data)), "Wrong labels").text
    astray = np.where(
        np.arange(800)[:, None] % 5 < 3, np.roll(data["pred_probs"], 1, axis=1), data["pred_probs"]
    )
    assert told in titled(LabelHealth().analyse(view(data, pred_probs=astray)), "Wrong labels").text


def test_what_is_tolerated_is_not_serious() -> None:
    assert not titled(LabelHealth(tolerated=0.5).analyse(view(planted())), "Wrong labels").serious


def test_a_rare_class_is_serious() -> None:
    found = titled(LabelHealth().analyse(view(planted(rare=4))), "Class balance")
    assert found.serious and "(dog) 4" in found.text
    assert found.table["class"].to_pylist()[0] == "dog"


def test_in_sample_probabilities_are_doubted() -> None:
    data = planted()
    codes = np.searchsorted(NAMES, data["label"])
    found = LabelHealth().analyse(view(data, pred_probs=np.eye(4, dtype=np.float32)[codes]))
    assert titled(found, "Why these probabilities are doubtful evidence").serious


def test_rows_that_cannot_be_judged_are_left_out_and_counted() -> None:
    data = planted()
    labels, probs = list(data["label"]), data["pred_probs"].copy()
    labels[0], labels[1], probs[2], probs[3] = None, "zebra", np.nan, 2
    found = check_analysis(
        LabelHealth(classes=tuple(NAMES.tolist())), view(data, label=labels, pred_probs=probs)
    )
    text = titled(found, "Wrong labels").text
    assert "4 items are left out" in text and "no label (1)" in text and "none of the classes (1)" in text
    assert "of 796 labels" in text


def test_names_of_columns_and_order_of_classes_are_parameters() -> None:
    data = planted()
    turned = ArrayView({"id": data["id"], "mine": data["label"]}, {"p": data["pred_probs"][:, ::-1].copy()})
    found = LabelHealth(pred_probs="p", label="mine", classes=tuple(NAMES[::-1].tolist())).analyse(turned)
    assert found.summary == LabelHealth().analyse(view(data)).summary


def test_a_class_nobody_has_is_null_in_the_table() -> None:
    data = planted()
    wider = np.hstack([data["pred_probs"], np.zeros((800, 1), np.float32)])
    found = check_analysis(LabelHealth(classes=(*NAMES.tolist(), "eel")), view(data, pred_probs=wider))
    rates = titled(found, "Noise by class").table.to_pylist()
    assert rates[-1]["class"] == "eel" and rates[-1]["wrong"] is None and rates[-1]["items"] == 0
    assert "(eel) 0" in titled(found, "Class balance").text


def test_many_classes_are_cut_to_the_worst() -> None:
    k, n = 40, 1200
    rng = np.random.default_rng(0)
    truth = np.arange(n) % k
    labels = np.where(truth < 2, 1 - truth, truth)
    labels = np.where(rng.random(n) < 0.5, truth, labels)
    probs = np.full((n, k), 0.2 / (k - 1), np.float32)
    probs[np.arange(n), truth] = 0.8
    table = {"id": [f"{i:04d}" for i in range(n)], "label": [f"c{i:02d}" for i in labels]}
    found = check_analysis(LabelHealth(), ArrayView(table, {"pred_probs": probs}))
    assert titled(found, "Given and true labels").table.num_rows == 30
    assert set(titled(found, "Noise by class").table["class"].to_pylist()[:2]) == {"c00", "c01"}


def test_bad_input_is_named() -> None:
    data = planted(40)
    for changed, message in (
        ({"label": ["ant"] * 40}, "columns, the labels have 1 class"),
        ({"label": [None] * 40}, "columns, the labels have 0 classes|none of 40"),
        ({"pred_probs": np.full((40, 4), np.nan, np.float32)}, "none of 40 items can be judged"),
        ({"pred_probs": np.log(data["pred_probs"])}, r"items 0000.*softmax"),
    ):
        with pytest.raises(InputError, match=message):
            LabelHealth().analyse(view(data, **changed))
    with pytest.raises(InputError, match="no items"):
        LabelHealth().analyse(view(data).rearranged(np.arange(0)))


def test_balance_by_hand() -> None:
    even = class_balance(np.array([5, 5, 5]))
    assert even == (pytest.approx(3), 1.0, pytest.approx(1.0))
    skewed = class_balance(np.array([8, 2, 0]))
    assert skewed.effective == pytest.approx(np.exp(-(0.8 * np.log(0.8) + 0.2 * np.log(0.2))))
    assert skewed.ratio == float("inf") and skewed.rarest == 0
    assert class_balance(np.array([1])) == (1.0, 1.0, 1.0)
    for bad in ([], [0, 0], [-1, 2]):
        with pytest.raises(InputError, match="counts per class"):
            class_balance(np.array(bad))


@pytest.mark.data
def test_human_noise_is_inside_the_interval(data_dir: Path) -> None:
    with np.load(data_dir / "led_pred_probs" / "cifar10n_aggregate_resnet18.npz") as data:
        probs, given, true = (data[name][:10000] for name in ("pred_probs", "noisy", "true"))
    drawn = np.random.default_rng(0).choice(10000, 500, replace=False)
    right: list[str | None] = [None] * 10000
    for i in drawn:
        right[i] = f"class-{true[i]}"
    table = {"id": [f"{i:05d}" for i in range(10000)], "label": [f"class-{i}" for i in given], "right": right}
    found = LabelHealth(truth="right").analyse(ArrayView(table, {"pred_probs": probs}))
    all_ = titled(found, "Wrong labels, verified").table.to_pylist()[0]
    assert all_["low"] < (given != true).mean() < all_["high"]
    assert titled(found, "Classes that overlap").table["classes"][0].as_py() in (
        "class-1 / class-9",
        "class-3 / class-5",
    )  # cars and trucks, cats and dogs


def test_any_cut_and_any_order_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = planted(rare=20)
    data["pred_probs"][[3, 500]] = np.nan
    data["label"][7] = None
    whole = view(data)
    expected = LabelHealth(truth="right", classes=tuple(NAMES)).analyse(whole)
    monkeypatch.setattr("curate.memory.PIECE_ROWS", 90)
    monkeypatch.setattr("curate.scorers.noise.pieces.CELLS", 100)
    for rows in (np.arange(800), np.random.default_rng(1).permutation(800)):
        found = LabelHealth(truth="right", classes=tuple(NAMES)).analyse(whole.rearranged(rows))
        assert found.summary == expected.summary
        for one, other in zip(found.findings, expected.findings, strict=True):
            assert (one.title, one.text) == (other.title, other.text)
            assert one.table is None or one.table.equals(other.table)
    assert (
        "3 items are left out: no label (1); no predicted probabilities (2)"
        in titled(expected, "Wrong labels").text
    )
