"""`compare`: means and intervals by hand, random beside, what is trained on, and what cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest

import curate
from curate.comparing import Trial, classifier, findings_of, tabulate
from curate.contracts import Selection
from curate.errors import InputError, UnknownNameError

pytest.importorskip("sklearn", reason="extra noise not installed")


def trials() -> list[Trial]:
    made = []
    for seed, (a, r, e) in enumerate([(0.9, 0.7, 0.91), (0.8, 0.7, 0.93), (0.85, 0.7, 0.92)]):
        made += [Trial("a", 10, 10, seed, a, 1.0), Trial("random", 10, 10, seed, r, 0.5)]
        made += [Trial("b", 10, 10, seed, 0.65 + 0.01 * seed, 1.0), Trial("everything", 99, 99, seed, e, 2.0)]
    return made


def test_the_table_by_hand() -> None:
    rows = {row["selector"]: row for row in tabulate(trials()).to_pylist()}
    a = rows["a"]
    half = 4.302652729911275 * 0.05 / np.sqrt(3)  # Student's 97.5 % with 2 degrees of freedom
    assert a["accuracy"] == pytest.approx(0.85) and a["high"] - a["low"] == pytest.approx(2 * half)
    assert a["gain"] == pytest.approx(0.15) and a["gain_low"] == pytest.approx(0.15 - half)
    assert rows["random"]["gain"] is None and rows["random"]["low"] == pytest.approx(0.7)
    assert rows["b"]["gain_high"] < 0 and rows["a"]["items"] == 10 and rows["a"]["seeds"] == 3


def test_what_is_found_and_drawn() -> None:
    found = findings_of(trials())
    assert "1 of 2 selections are above random beyond the interval, 1 below" in found.summary
    assert "a at 10: +15.00%" in found.summary
    curve = found.findings[0].table
    assert curve is not None
    assert curve.column_names == [
        "budget",
        "a",
        "random",
        "b",
        "low",
        "high",
        "a low",
        "a high",
        "b low",
        "b high",
    ]
    assert curve["a high"][0].as_py() - curve["a low"][0].as_py() == pytest.approx(
        2 * 4.302652729911275 * 0.05 / np.sqrt(3)
    )
    enough = found.findings[2].table
    assert enough is not None
    assert enough.to_pylist()[0] == {
        "selector": "a",
        "smallest budget": 10.0,
        "accuracy": pytest.approx(0.85),
    }
    assert enough.to_pylist()[2]["smallest budget"] is None


def test_random_is_drawn_anew_for_each_seed_and_as_large() -> None:
    seen: list[tuple[tuple[int, ...], bool, int]] = []

    def train(rows: np.ndarray, weights: np.ndarray | None, seed: int) -> float:
        seen.append((tuple(rows), weights is None, seed))
        return len(set(rows) & set(range(5))) / 5

    best = Selection(np.arange(5), weight=np.ones(5, np.float32))
    trained = curate.compare({"best": {5: best}}, train, n=50, seeds=3)
    assert [s[1] for s in seen] == [False] * 3 + [True] * 6
    drawn = [rows for rows, _, _ in seen[3:6]]
    assert len(set(drawn)) == 3 and all(len(set(rows)) == 5 for rows in drawn)
    assert [len(rows) for rows, _, _ in seen[6:]] == [50] * 3
    assert [s[2] for s in seen[:3]] == [0, 1, 2]
    table = {row["selector"]: row for row in trained.table.to_pylist()}
    assert table["best"]["accuracy"] == 1 and table["best"]["gain"] > 0.5
    assert trained.curve.column_names[:3] == ["budget", "best", "random"]
    html = trained._repr_html_()
    assert "<svg" in html and "best" in html
    assert "Accuracy against budget" in str(trained) and repr(trained) == "Compared(3 selections)"


def test_a_choice_may_be_made_for_each_seed_and_random_may_be_ones_own() -> None:
    calls: list[int] = []

    def choose(rng: np.random.Generator) -> Selection:
        calls.append(1)
        return Selection(rng.permutation(20)[:4])

    own = curate.compare(
        {"mine": {4: choose}, "random": {4: choose}}, lambda r, w, s: r.mean() / 20, n=20, whole=False
    )
    assert len(calls) == 10
    table = {row["selector"]: row for row in own.table.to_pylist()}
    assert set(table) == {"mine", "random"} and table["mine"]["gain"] == 0  # the same draw for the same seed
    with pytest.raises(UnknownNameError, match="All selections"):
        own._of("Nothing")


def test_the_small_model_learns_from_what_is_chosen_and_its_weights() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    x = rng.normal(size=(200, 2)) + labels[:, None] * 3
    wrong = labels.copy()
    wrong[:80] = 1  # most of class 0 is labelled wrong
    train = classifier(x, wrong, x, labels)
    every = np.arange(200)
    weights = np.where(every < 80, 1e-3, 1.0).astype(np.float32)
    assert train(every, weights, 0) > 0.85 > train(every, None, 0)
    assert train(np.arange(5), None, 0) == pytest.approx(0.5, abs=0.12)  # one class alone
    assert train(every, weights, 0) == train(every, weights, 0)
    neural = classifier(x, labels, x, labels, model="mlp")
    assert neural(every, None, 0) > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: curate.compare({}, lambda r, w, s: 1.0), "nothing to compare"),
        (lambda: curate.compare({"a": Selection(np.arange(2))}, lambda r, w, s: 1.0, seeds=1), "seeds=1"),
        (lambda: curate.compare({"a": Selection(np.arange(0))}, lambda r, w, s: 1.0), "a selection is empty"),
        (lambda: curate.compare({"a": Selection(np.arange(2))}, lambda r, w, s: np.nan), "nan is no number"),
        (lambda: curate.compare({"a": Selection(np.arange(2))}, lambda r, w, s: 1.0, level=2), "level=2"),
        (
            lambda: classifier(np.zeros((2, 2)), [0], np.zeros((2, 2)), [0, 1]),
            r"x has shape \(2, 2\) for 1 label",
        ),
        (
            lambda: classifier(np.zeros((1, 2)), [0], np.full((1, 2), np.nan), [0]),
            "test_x is not finite in 1 row",
        ),
        (lambda: classifier(np.zeros((1, 2)), [0], np.zeros((1, 2)), [0], model="svm"), "model='svm'"),
    ],
)
def test_what_cannot_be(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]
