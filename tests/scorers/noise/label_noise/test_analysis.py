"""`label-audit`: counts by hand, the plan it draws, answers, doubts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy", reason="extra noise not installed")

from curate.contracts import Finding, Findings
from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.noise import label_errors, plan_audit
from curate.scorers.noise.label_noise.analysis import LabelAudit
from curate.testing import check_analysis

NAMES = np.array(["cat", "dog", "eel"])


def view_of(
    n: int = 600, wrong: int = 30, names: np.ndarray = NAMES
) -> tuple[ArrayView, np.ndarray, np.ndarray]:
    """The first `wrong` labels of ids in order are wrong, each by one class."""
    rng = np.random.default_rng(0)
    k = len(names)
    truth = rng.integers(0, k, n)
    probs = rng.dirichlet(np.ones(k), n) * 0.2
    probs[np.arange(n), truth] += 0.8
    labels = np.where(np.arange(n) < wrong, (truth + 1) % k, truth)
    table = {
        "id": [f"{i:04d}" for i in range(n)],
        "label": names[labels].tolist(),
        "people": names[truth].tolist(),
    }
    return ArrayView(table, {"pred_probs": probs, "other": probs[::-1].copy()}), labels, truth


def of(found: Findings, title: str) -> Finding:
    return next(finding for finding in found.findings if finding.title == title)


def test_counts_are_those_planted() -> None:
    view, labels, truth = view_of()
    found = check_analysis(LabelAudit(), view)
    assert found.summary.startswith("30 of 600 labels are flagged, 5.")
    confusion = of(found, "Given and suggested labels").table
    assert confusion is not None
    counts = np.array([confusion[f"→ {name}"].to_pylist() for name in NAMES]).T
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (labels, truth), 1)
    assert counts.tolist() == expected.tolist()
    rates = of(found, "Noise by given label").table
    assert rates is not None
    by_name = dict(zip(rates["label"].to_pylist(), rates["flagged"].to_pylist(), strict=True))
    assert [by_name[name] for name in NAMES] == [int((labels[:30] == i).sum()) for i in range(3)]
    curve = of(found, "Errors found by checking the most doubtful first")
    assert curve.chart == "line" and curve.table is not None
    assert curve.table["errors expected"][-1].as_py() == pytest.approx(30, abs=4)


def test_the_plan_is_that_of_the_function_and_answers_are_counted() -> None:
    view, labels, truth = view_of()
    issues = label_errors(view.vectors("pred_probs").to_numpy(), labels)
    for part, wrong in (("kept", 0), ("flagged", 20)):
        analysis = LabelAudit(items=20, of=part, checked="people", seed=3)  # type: ignore[arg-type]
        found = check_analysis(analysis, view)
        table = of(found, "What to check by hand").table
        plan = plan_audit(
            label_errors(view.vectors("pred_probs").to_numpy(), labels, seed=3), 20, of=part, seed=3
        )  # type: ignore[arg-type]
        assert table is not None and table["id"].to_pylist() == [f"{i:04d}" for i in plan.rows]
        assert f"{wrong} of 20 checked are wrong" in of(found, "What people found").text
    assert issues.flagged.sum() == 30


def test_half_the_answers_prove_nothing() -> None:
    view, _, _ = view_of()
    people = view.to_arrow(["people"])["people"].to_pylist()
    people[100:] = [None] * 500
    part = ArrayView(
        {**view.to_arrow(["id", "label"]).to_pydict(), "people": people},
        {"pred_probs": view.vectors("pred_probs").to_numpy()},
    )
    text = of(LabelAudit(checked="people").analyse(part), "What people found").text
    assert "items drawn are checked; the interval needs all of them" in text


def test_a_model_that_is_off_is_said_to_be() -> None:
    view, _, _ = view_of()
    table = view.to_arrow(["id", "label"]).to_pydict()
    liars = ["cat"] * 600  # who say that two thirds are wrong
    odd = ArrayView({**table, "people": liars}, {"pred_probs": view.vectors("pred_probs").to_numpy()})
    assert (
        "is off: trust the people" in of(LabelAudit(checked="people").analyse(odd), "What people found").text
    )
    assert "and agrees" in of(LabelAudit(checked="people").analyse(view), "What people found").text


def test_the_confidence_widens_what_is_claimed() -> None:
    view, _, _ = view_of()
    texts = [
        of(LabelAudit(confidence=one).analyse(view), "What to check by hand").text for one in (0.8, 0.99)
    ]
    assert "at most 2.3% of them are, with 80% confidence" in texts[0]
    assert "at most 5.2% of them are, with 99% confidence" in texts[1]


def test_probabilities_in_sample_are_serious() -> None:
    labels = np.arange(300) % 3
    sure = np.full((300, 3), 0.001)
    sure[np.arange(300), labels] = 0.998
    found = LabelAudit(of="flagged").analyse(
        ArrayView({"label": NAMES[labels].tolist()}, {"pred_probs": sure})
    )
    assert found.findings[0].serious and "in-sample" in found.findings[0].text
    assert "nothing to check" in of(found, "What to check by hand").text
    assert "No label is flagged" in of(found, "Given and suggested labels").text


def test_ensembles_other_columns_and_rows_left_out() -> None:
    view, _, _ = view_of()
    both = LabelAudit(pred_probs=("pred_probs", "other")).analyse(view)
    assert "pooled with weights" in of(both, "Several models").text
    turned = view.vectors("pred_probs").to_numpy()[:, [2, 0, 1]].copy()
    labels = view.to_arrow(["label"])["label"].to_pylist()
    labels[500] = None
    other = ArrayView({"label": labels}, {"mine": turned})
    found = LabelAudit(pred_probs="mine", classes=("eel", "cat", "dog")).analyse(other)
    assert found.summary.startswith("30 of 599") and found.summary.endswith(
        "1 item is left out, without a label or probabilities"
    )


def test_many_classes_are_cut_to_those_that_matter() -> None:
    view, _, _ = view_of(1500, 60, np.array([f"class-{i:02d}" for i in range(25)]))
    finding = of(LabelAudit().analyse(view), "Given and suggested labels")
    assert finding.table is not None and finding.table.num_rows == 20
    assert "20 of 25 classes" in finding.text


def test_what_cannot_be_audited_is_refused() -> None:
    for wrong in ({"items": 0}, {"confidence": 1.0}):
        with pytest.raises(InputError, match="label-audit"):
            replace(LabelAudit(), **wrong)  # type: ignore[arg-type]
    view, _, _ = view_of()
    nobody = ArrayView({"label": ["cat", "dog", "eel"] * 2}, {"pred_probs": np.full((6, 3), np.nan)})
    with pytest.raises(InputError, match="none of 6 items"):
        LabelAudit().analyse(nobody)
