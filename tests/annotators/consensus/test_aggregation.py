"""Aggregators: values computed by hand and by plain loops, planted truth, ties, real crowds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.annotators.consensus import (
    aggregate,
    ask_again,
    consensus,
    dawid_skene,
    glad,
    mace,
    majority,
    one_coin,
    read_answers,
    soft_labels,
)
from curate.annotators.consensus.result import digamma, shrink
from curate.errors import InputError, UnknownNameError

LABELS = [
    "auto",
    "majority",
    "dawid-skene",
    "dawid-skene-flat",
    "one-coin",
    "glad",
    "mace",
    "ordinal-median",
    "ordinal-dawid-skene",
]


def frame(rows: list[tuple[Any, Any, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")


def loops_dawid_skene(answers: Any, rounds: int, smoothing: float) -> np.ndarray:
    """Dawid and Skene's two formulas, one answer at a time."""
    read = read_answers(answers)
    n, w, k = read.shape
    votes = list(zip(read.item, read.annotator, read.value, strict=True))
    t = np.zeros((n, k))
    for i, _, v in votes:
        t[i, v] += 1 / read.per_item[i]
    for _ in range(rounds):
        theta = np.full((w, k, k), smoothing)
        for i, who, v in votes:
            theta[who, :, v] += t[i]
        theta /= theta.sum(2, keepdims=True)
        pi = (t.sum(0) + 1) / (n + k)
        t = np.tile(pi, (n, 1))
        for i, who, v in votes:
            t[i] *= theta[who, :, v]
        t /= t.sum(1, keepdims=True)
    return t


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_dawid_skene_is_what_the_formulas_say(crowd_of: Callable[..., Any], rounds: int) -> None:
    answers = crowd_of([0.9, 0.7, 0.6, 0.5], items=30).answers
    found = dawid_skene(answers, prior="flat", iterations=rounds, tolerance=0, posterior=True)
    expected = loops_dawid_skene(answers, rounds, 0.01)
    np.testing.assert_allclose(found.posterior, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.probability, expected.max(1), rtol=1e-9)
    assert found.iterations == rounds


def test_dawid_skene_in_blocks_is_the_same(
    crowd_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = crowd_of([0.9, 0.7, 0.6, 0.5], items=60).answers
    whole = dawid_skene(answers)
    monkeypatch.setattr("curate.annotators.consensus.confusions.CELLS", 4)
    parts = dawid_skene(answers)
    np.testing.assert_allclose(parts.probability, whole.probability, rtol=1e-9)
    np.testing.assert_allclose(parts.log_likelihood, whole.log_likelihood)
    assert parts.confusion is None and whole.confusion is not None  # too large to hold by that measure


def test_one_coin_by_hand() -> None:
    # items 0 and 1 unanimous, item 2 is split: x and y against z, two values
    rows = [
        (0, "x", 0),
        (0, "y", 0),
        (0, "z", 0),
        (1, "x", 1),
        (1, "y", 1),
        (1, "z", 1),
        (2, "x", 0),
        (2, "y", 0),
        (2, "z", 1),
    ]
    found = one_coin(frame(rows), iterations=1, prior=False)
    # shares: x and y are right 2 + 2/3 of 3 times, z 2 + 1/3; the prior is 0.01 answers at the mean rate 8.167 / 10
    a, b = ((2 + share + 0.01 * (23 / 3 + 0.5) / 10) / 3.01 for share in (2 / 3, 1 / 3))
    odds = (a / (1 - a)) ** 2 * (1 - b) / b
    assert found.value.tolist() == [0, 1, 0]
    assert found.probability[2] == pytest.approx(odds / (1 + odds))
    sure = (a / (1 - a)) ** 2 * b / (1 - b)
    assert found.probability[0] == pytest.approx(sure / (1 + sure))


@pytest.mark.parametrize("method", [one_coin, mace, glad])
def test_beliefs_sum_to_one_over_all_values(method: Callable[..., Any], crowd_of: Callable[..., Any]) -> None:
    answers = crowd_of([0.9, 0.7, 0.2, 0.5], items=40, k=4).answers
    found = method(read_answers(answers, values=[0, 1, 2, 3, 4]), posterior=True)
    np.testing.assert_allclose(found.posterior.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.posterior[np.arange(40), found.value], found.probability, rtol=1e-5)
    np.testing.assert_allclose(found.posterior.max(1), found.probability, rtol=1e-5)


def test_a_value_nobody_gave_wins_where_all_are_known_to_lie() -> None:
    # item 9: the two liars, who contradict everybody everywhere else, say 0 and 1 of three values
    rows = [(i, w, i % 3) for i in range(9) for w in "abc"]
    rows += [(i, w, (i + 1 + (w == "y")) % 3) for i in range(9) for w in "xy"] + [(9, "x", 0), (9, "y", 1)]
    for found in (one_coin(frame(rows), posterior=True), dawid_skene(frame(rows), posterior=True)):
        assert found.value[9] == 2 and found.posterior is not None
        assert (
            found.probability[9] == pytest.approx(found.posterior[9, 2], rel=1e-5)
            and found.probability[9] > 0.5
        )
    both = read_answers(frame([*rows, (9, "z", 2)]))
    assert one_coin(both).value[9] == 2  # nothing is left unvoted


def test_likelihood_rises_from_round_to_round(crowd_of: Callable[..., Any]) -> None:
    answers = crowd_of([0.9, 0.8, 0.6, 0.4], items=80).answers
    for run in (
        lambda r: dawid_skene(answers, prior="flat", smoothing=1e-9, iterations=r, tolerance=0),
        lambda r: one_coin(answers, prior=False, iterations=r, tolerance=0),
    ):
        heights = [run(r).log_likelihood for r in (2, 3, 5, 10, 30)]
        assert heights == sorted(heights)


@pytest.mark.parametrize("method", LABELS)
def test_planted_experts_outvote_the_many(method: str, crowd_of: Callable[..., Any]) -> None:
    crowd = crowd_of([0.97, 0.97, 0.97, 0.4, 0.4, 0.4, 0.4], items=300, each=5)
    found = crowd.accuracy(aggregate(crowd.answers, method))  # type: ignore[arg-type]
    simple = crowd.accuracy(aggregate(crowd.answers, "majority"))
    assert found > 0.75
    if method not in ("majority", "ordinal-median"):
        assert found > simple + 0.02


def test_quality_orders_annotators_as_planted(crowd_of: Callable[..., Any]) -> None:
    crowd = crowd_of([0.95, 0.8, 0.6, 0.4], items=400, each=4)
    for method in (majority, one_coin, mace, glad, dawid_skene):
        assert np.argsort(-method(crowd.answers).quality).tolist() == [0, 1, 2, 3], method


def test_a_person_who_turns_two_values_round_is_understood_by_confusions() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 120)
    rows = [
        (i, f"honest-{w}", int(t if rng.random() < 0.8 else 1 - t))
        for i, t in enumerate(truth)
        for w in range(3)
    ]
    rows += [(i, "turned", int(1 - t)) for i, t in enumerate(truth)]
    found = dawid_skene(frame(rows))
    assert (found.value == truth).mean() > 0.98  # he is always wrong, and so tells the truth
    who = found.answers.annotators.to_list().index("turned")
    assert found.confusion is not None and found.confusion[who, 0, 1] > 0.9
    assert found.quality[who] < 0.1
    assert (majority(frame(rows)).value == truth).mean() < 0.9


def test_few_answers_are_drawn_to_the_crowd() -> None:
    rng = np.random.default_rng(1)
    rows = [(i, w, int(i % 2 if rng.random() < 0.9 else 1 - i % 2)) for i in range(100) for w in range(5)]
    rows += [(0, "new", 1)]
    read = frame([(i, str(w), v) for i, w, v in rows])
    crowd = dawid_skene(read).quality[-1]
    flat = dawid_skene(read, prior="flat").quality[-1]
    assert crowd > 0.5 > flat  # one wrong answer: he is taken for one of the crowd, or for a liar


def test_a_small_crowd_does_not_end_all_alike() -> None:
    rows = [(i, w, i % 3) for i in range(9) for w in "abc"] + [
        (i, w, (i + 1 + (w == "y")) % 3) for i in range(9) for w in "xy"
    ]
    found = dawid_skene(frame(rows))
    assert found.value.tolist() == [i % 3 for i in range(9)]
    assert (found.quality[:3] > 0.9).all() and (found.quality[3:] < 0.1).all()


def test_smoothing_keeps_what_was_never_seen_possible() -> None:
    rows = [(0, "x", 0), (0, "y", 0), (1, "x", 1), (1, "y", 1)]
    little, much = (dawid_skene(frame(rows), prior="flat", smoothing=s).probability for s in (0.01, 1.0))
    assert (little > much).all()


def test_mace_is_seeded_and_restarts_only_improve(crowd_of: Callable[..., Any]) -> None:
    answers = crowd_of([0.9, 0.5, 0.4, 0.3], items=60).answers
    one = mace(answers, restarts=1)
    many = mace(answers, restarts=5, seed=3)
    assert many.log_likelihood >= one.log_likelihood
    assert np.array_equal(many.probability, mace(answers, restarts=5, seed=3).probability)
    assert aggregate(answers, "mace", seed=3).equals(aggregate(answers, "mace", seed=3))
    start = mace(answers, restarts=2, iterations=1, seed=0).log_likelihood
    other = mace(answers, restarts=2, iterations=1, seed=1).log_likelihood
    assert start != other or start == mace(answers, restarts=1, iterations=1).log_likelihood


def test_mace_parameters_have_their_effect(crowd_of: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (i, w, int(rng.random() < 0.1) if rng.random() < 0.7 else 0) for i in range(200) for w in range(3)
    ]
    rare = read_answers(frame(rows))
    learned, alike = mace(rare, restarts=1), mace(rare, restarts=1, shares=False)
    assert (learned.value == 1).sum() < (alike.value == 1).sum()  # a rare value needs more votes
    base = mace(rare, restarts=1).probability
    for change in ({"alpha": 5.0}, {"beta": 5.0}, {"strategy": 10.0}, {"iterations": 2}):
        assert not np.allclose(mace(rare, restarts=1, **change).probability, base)  # type: ignore[arg-type]


def test_glad_finds_hard_items_less_sure() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    chance = np.where(np.arange(200) < 100, 0.95, 0.6)
    rows = [
        (i, w, int(truth[i] if rng.random() < chance[i] else 1 - truth[i]))
        for i in range(200)
        for w in range(7)
    ]
    found = glad(frame(rows))
    assert found.probability[:100].mean() > found.probability[100:].mean() + 0.05
    assert glad(frame(rows), iterations=1).iterations == 1
    assert not np.allclose(
        glad(frame(rows), iterations=2, steps=1).probability, glad(frame(rows), iterations=2).probability
    )


def test_a_tie_goes_to_the_better_annotators_then_to_the_lowest_value() -> None:
    rows = [(i, w, 0) for i in range(8) for w in "abc"] + [(i, "d", 1) for i in range(8)]
    tied = [*rows, (9, "a", 1), (9, "d", 0)]
    assert aggregate(frame(tied), "majority")["value"].to_list()[-1] == 1  # a agrees with others, d never
    equal = [(0, "a", 1), (0, "b", 0), (1, "a", 0), (1, "b", 1)]
    for method in set(LABELS) - {"mace"}:  # whose random starts may come to trust one of two equals
        settled = aggregate(frame(equal), method)  # type: ignore[arg-type]
        assert settled["value"].to_list() == [0, 0], method
        assert settled["probability"].to_list() == pytest.approx([0.5, 0.5], abs=0.01), method


@pytest.mark.parametrize("method", LABELS)
def test_extremes(method: Any) -> None:
    one_class = aggregate(frame([(0, "a", "x"), (0, "b", "x"), (1, "a", "x")]), method)
    assert one_class["value"].to_list() == ["x", "x"]
    assert one_class["probability"].to_list() == pytest.approx([1, 1])
    single = aggregate(frame([(0, "a", 5)]), method)
    assert single.rows() == [(0, 5, pytest.approx(1.0))]
    lonely = aggregate(frame([(0, "a", 0), (0, "b", 0), (0, "c", 1), (1, "d", 1), (1, "a", 1)]), method)
    assert lonely["value"].to_list() == [0, 1]


def test_soft_labels_are_vote_shares_or_a_posterior() -> None:
    rows = [(0, "a", "x"), (0, "b", "x"), (0, "c", "y"), (1, "a", "y"), (1, "b", "y")]
    shares = soft_labels(frame(rows))
    assert shares.rows() == [(0, "x", pytest.approx(2 / 3)), (0, "y", pytest.approx(1 / 3)), (1, "y", 1.0)]
    surer = soft_labels(frame(rows), "dawid-skene", least=0)
    assert surer.group_by("item").agg(pl.col("probability").sum())["probability"].to_list() == pytest.approx(
        [1, 1]
    )
    assert surer.height == 4
    assert soft_labels(frame(rows), least=0.5).rows() == [(0, "x", 1.0), (1, "y", 1.0)]


def test_what_a_method_lacks_is_said() -> None:
    rows = frame([(0, "a", "x"), (0, "b", "y")])
    with pytest.raises(UnknownNameError, match="Did you mean 'dawid-skene'"):
        aggregate(rows, "dawid_skene")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="'nonsense'"):
        ask_again(rows, method="nonsense")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown method None"):
        aggregate(rows, None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="say the order of the values by `values`"):
        aggregate(rows, "ordinal-median")
    with pytest.raises(InputError, match="needs `model`"):
        aggregate(rows, "crowdlab")
    with pytest.raises(InputError, match="does not use a model"):
        aggregate(rows, "majority", model=np.ones((1, 2)) / 2)
    with pytest.raises(InputError, match="not numbers"):
        aggregate(rows, "mean")
    with pytest.raises(InputError, match="gives numbers"):
        consensus(rows, "mean")
    for bad in (
        lambda: dawid_skene(rows, smoothing=-1),
        lambda: one_coin(rows, iterations=0),
        lambda: mace(rows, restarts=0),
        lambda: glad(rows, steps=0),
    ):
        with pytest.raises(InputError, match="at least"):
            bad()


def test_digamma_and_shrinking_by_hand() -> None:
    gamma = 0.5772156649015329
    np.testing.assert_allclose(
        digamma(np.array([1.0, 2.0, 0.5, 10.0])),
        [-gamma, 1 - gamma, -gamma - 2 * np.log(2), 2.251752589066721],
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        shrink(np.array([1.0, 3.0]), np.array([2.0, 4.0]), 2.0), [(1 + 9 / 7) / 4, (3 + 9 / 7) / 6]
    )


BEST = {"rte": 0.9300, "bluebird": 0.8889, "face": 0.6404, "product": 0.9397, "pos": 0.8007}
"""The most any of crowd-kit 1.4.2's methods reaches: MACE, Dawid-Skene thrice, GLAD (pos: as of our own run)."""


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(BEST))
def test_the_default_is_near_the_best_on_real_crowds(name: str, real_crowd: Callable[[str], Any]) -> None:
    crowd = real_crowd(name)
    settled = aggregate(crowd.answers)
    assert crowd.accuracy(settled) >= BEST[name] - 0.005
    assert crowd.accuracy(settled) > crowd.accuracy(aggregate(crowd.answers, "majority"))


@pytest.mark.data
def test_the_classical_method_is_crowd_kits_on_a_real_crowd(real_crowd: Callable[[str], Any]) -> None:
    crowd = real_crowd("rte")
    assert crowd.accuracy(aggregate(crowd.answers, "dawid-skene-flat")) == pytest.approx(0.9275, abs=1e-4)
    assert crowd.accuracy(aggregate(crowd.answers, "one-coin")) == pytest.approx(0.9250, abs=2e-3)
