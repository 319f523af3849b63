"""The scorer `combine` and the analysis `score-contributions`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import ExpressionError, InputError
from curate.memory import ArrayView
from curate.scorers.combine import contributions, rank_mean
from curate.scorers.combine.combined import Combine
from curate.scorers.combine.leave_one_out import combine, correlations
from curate.scorers.combine.shares import ScoreContributions
from curate.testing import check_analysis, check_scorer, score_all

COLUMNS = ("strong", "weak", "useless")


def planted(n: int = 400, answers: int = 150) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    good = rng.random(n) < 0.6
    truth: list[bool | None] = [bool(g) if i < answers else None for i, g in enumerate(good)]
    return {
        "id": [f"{i:03d}" for i in range(n)],
        "good": good,
        "strong": 2.5 * good + rng.normal(size=n),
        "weak": good + rng.normal(size=n),
        "useless": rng.normal(size=n),
        "checked": truth,
    }


def ends(data: dict[str, Any]) -> tuple[str, str]:
    """The ids of a clearly good and of a clearly bad item."""
    sum_ = data["strong"] + data["weak"]
    return data["id"][int(np.argmax(sum_))], data["id"][int(np.argmin(sum_))]


@pytest.mark.parametrize("method", ["rank-mean", "mean", "learned"])
def test_every_method_keeps_the_contract(method: Any) -> None:
    data = planted(80, 60)
    check_scorer(Combine(COLUMNS, method=method, truth="checked"), ArrayView(data), planted=ends(data))


def test_the_score_is_that_of_the_function() -> None:
    data = planted()
    scores = np.column_stack([data[c] for c in COLUMNS])
    scored = score_all(Combine(COLUMNS), ArrayView(data))
    np.testing.assert_allclose(scored["combine"].to_numpy(), rank_mean(scores).astype(np.float32))
    learned = score_all(Combine(COLUMNS, method="learned", truth="checked"), ArrayView(data))
    assert 0 < learned["combine"].to_numpy().min() < learned["combine"].to_numpy().max() < 1


def test_columns_may_be_expressions() -> None:
    data = planted()
    turned = Combine(("strong", "0 - useless * 2"))
    assert turned.needs == ("strong", "useless")
    got = score_all(turned, ArrayView(data))["combine"].to_numpy()
    expected = rank_mean(np.column_stack([data["strong"], -data["useless"]]))
    np.testing.assert_allclose(got, expected.astype(np.float32))
    answers = Combine(COLUMNS, method="learned", truth="checked and id < '100'")
    assert answers.needs == ("strong", "weak", "useless", "checked", "id")
    flag = score_all(Combine(("good",)), ArrayView(data))["combine"].to_numpy()
    assert set(np.unique(flag)) == set(flag[[data["good"].argmax(), data["good"].argmin()]])


def test_items_without_any_value_say_why() -> None:
    data = planted(40, 40)
    strong, weak = data["strong"].tolist(), data["weak"].tolist()
    strong[3] = weak[3] = weak[5] = None
    scored = score_all(Combine(("strong", "weak")), ArrayView({**data, "strong": strong, "weak": weak}))
    assert scored["combine"].null_count == 1
    assert scored["combine_reason"][3].as_py() == "no value of strong, weak"
    nothing = score_all(Combine(("none",)), ArrayView({"id": ["a", "b"], "none": [None, None]}))
    assert nothing["combine"].null_count == 2


def test_notes_tell_what_each_column_brings() -> None:
    view = ArrayView(planted())
    plain = Combine(COLUMNS).fit(view).notes
    assert len(plain) == 3 and all("without" in note for note in plain)
    checked = Combine(COLUMNS, truth="checked").fit(view).notes
    assert checked[0].startswith("AP on 150 answers: combined 0.") and "random 0.4" in checked[0]
    assert any(note.startswith("strong brings +") for note in checked)
    learned = Combine(COLUMNS, method="learned", truth="checked").fit(view).notes
    assert learned[0].startswith("learned from 150 answers") and "strong" in learned[0]
    assert Combine(("strong",)).fit(view).notes == ()
    one_kind = ArrayView({**planted(), "checked": [True] * 400})
    assert "could not be measured" in Combine(COLUMNS, truth="checked").fit(one_kind).notes[0]


def test_folds_and_seed_reach_the_learner() -> None:
    view = ArrayView(planted())
    usual = Combine(COLUMNS, method="learned", truth="checked")
    scores = [score_all(s, view)["combine"] for s in (usual, replace(usual, seed=1), replace(usual, folds=2))]
    assert not scores[0].equals(scores[1]) and not scores[0].equals(scores[2])


def test_bad_parameters_and_columns_are_named() -> None:
    view = ArrayView(planted(40, 5))
    for bad, message in (
        ({"columns": ()}, "name the score columns"),
        ({"columns": ("strong", "strong")}, "named twice"),
        ({"columns": COLUMNS, "method": "learned"}, "needs answers"),
        ({"columns": COLUMNS, "folds": 1}, "folds=1"),
    ):
        with pytest.raises(InputError, match=message):
            Combine(**bad)
    with pytest.raises(ExpressionError):
        _ = Combine(("strong +",)).needs
    with pytest.raises(InputError, match="a number is needed"):
        Combine(("id",)).fit(view)
    with pytest.raises(InputError, match="5 items have both"):
        Combine(COLUMNS, method="learned", truth="checked").fit(view)
    none = ArrayView({**planted(40), "checked": [None] * 40})
    with pytest.raises(InputError, match="none of 40 items has a value of 'checked'"):
        Combine(COLUMNS, truth="checked").fit(none)
    with pytest.raises(InputError, match="rank-mean, mean, learned"):
        combine(np.ones((3, 1)), "median")
    with pytest.raises(InputError, match="needs answers"):
        combine(np.ones((3, 1)), "learned")


def test_contributions_name_the_useful_and_the_useless() -> None:
    data = planted()
    scores = np.column_stack([data[c] for c in COLUMNS])
    found = contributions(scores, data["good"].astype(float))
    assert (found.metric, found.items, found.best) == ("AP", 400, 0)
    assert found.random == pytest.approx(1 - data["good"].mean())
    assert found.gain[0].low > 0 and found.gain[2].high < 0
    for gain, without in zip(found.gain, found.without, strict=True):
        assert gain.value == pytest.approx(found.combined.value - without.value)
        assert gain.low <= gain.value <= gain.high
    assert found.over_best.value == pytest.approx(found.combined.value - found.alone[0].value)
    learned = contributions(scores, data["good"].astype(float), "learned")
    assert learned.combined.value > found.combined.value and learned.gain[2].low > -0.05


def test_the_interval_of_a_metric_holds_it_in_other_samples() -> None:
    whole = planted(20000, 0)
    scores, good = np.column_stack([whole[c] for c in COLUMNS]), whole["good"].astype(float)
    truth = contributions(scores, good, metric="AUROC", repeats=20).combined.value
    held = 0
    for seed in range(40):
        rows = np.random.default_rng(seed).choice(20000, 200, replace=False)
        found = contributions(scores[rows], good[rows], metric="AUROC", repeats=100).combined
        held += found.low <= truth <= found.high
    assert held >= 34


def test_numbers_are_measured_by_rank_correlation() -> None:
    data = planted()
    scores = np.column_stack([data[c] for c in COLUMNS])
    found = contributions(scores, data["strong"] + 0.1 * data["weak"])
    assert found.metric == "SRCC" and found.random == 0 and found.alone[0].value > 0.95
    with pytest.raises(InputError, match="SRCC is meant"):
        contributions(scores, data["strong"], metric="AP")
    with pytest.raises(InputError, match="one of AP"):
        contributions(scores, data["strong"], metric="F1")
    with pytest.raises(InputError, match="nothing to measure"):
        contributions(scores, np.full(400, np.nan))


def test_one_column_and_columns_of_nothing() -> None:
    data = planted()
    good = data["good"].astype(float)
    one = contributions(data["strong"][:, None], good)
    assert one.gain == (None,) and one.over_best.value == pytest.approx(0)
    nothing = contributions(np.column_stack([data["strong"], np.full(400, np.nan)]), good)
    assert nothing.without[0].value == pytest.approx(nothing.random)
    assert nothing.gain[1].value == pytest.approx(0)


def test_correlations_by_hand() -> None:
    found = correlations(np.array([[1, 3, np.nan, 5], [2, 2, 1, 5], [3, 1, 2, 5]]))
    np.testing.assert_allclose(found[:2, :2], [[1, -1], [-1, 1]])
    np.testing.assert_allclose(found[0, 2], 1)
    assert np.isnan(found[3]).all()


def test_the_analysis_says_so_in_words() -> None:
    view = ArrayView(planted())
    found = check_analysis(ScoreContributions(COLUMNS, "good"), view)
    assert found.summary.startswith("rank-mean of 3 columns reaches AP 0.")
    brings = next(f for f in found.findings if f.title == "What each column brings")
    assert brings.table["column"].to_pylist()[0] == "strong" and brings.serious
    assert "Better without: useless" in brings.text
    alike = next(f for f in found.findings if f.title == "How far the columns say the same")
    assert "strong and weak say most alike" in alike.text
    alone = next(f for f in found.findings if f.title == "Combined, and each column alone").table
    assert alone["score"].to_pylist() == ["combined", *COLUMNS, "random"]


def test_parameters_of_the_analysis_show() -> None:
    view = ArrayView(planted())
    usual = ScoreContributions(COLUMNS, "checked", repeats=50)
    assert usual.needs == (*COLUMNS, "checked")
    summaries = {
        replace(usual, **changed).analyse(view).summary
        for changed in (
            {},
            {"method": "learned"},
            {"method": "learned", "folds": 2},
            {"metric": "AUROC"},
            {"seed": 5},
            {"repeats": 100},
        )
    }
    assert len(summaries) == 6
    for bad in ({"columns": ()}, {"truth": ""}, {"folds": 1}, {"repeats": 3}):
        with pytest.raises(InputError, match="score-contributions"):
            replace(usual, **bad)
    one = ScoreContributions(("strong",), "checked", repeats=50).analyse(view)
    assert [f.title for f in one.findings] == ["Combined, and each column alone"]


def test_a_combination_worse_than_its_best_column_is_serious() -> None:
    data = planted()
    table = {**data, "noise": np.random.default_rng(5).normal(size=400)}
    found = ScoreContributions(("strong", "useless", "noise"), "good", repeats=100).analyse(ArrayView(table))
    assert found.findings[0].serious and "worse than that column" in found.findings[0].text
    assert pa.types.is_floating(found.findings[0].table["AP"].type)
