"""Formulas by hand, and what must hold for any numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.errors import InputError
from curate.scorers.alignment import dsg_score, pn_vqa_score, tifa_score, yes_probability
from curate.scorers.alignment.vqa.measures import find_circles

NONE = np.empty((0, 2), np.int64)
probabilities = arrays(np.float64, 8, elements=st.floats(0, 1))


def test_pn_vqa_by_hand() -> None:
    assert pn_vqa_score(0.65, 0.25) == pytest.approx(0.70)  # the example of the paper
    assert pn_vqa_score([[1.0, 0.0], [0.5, 1.0]], [[0.0, 1.0], [0.5, 1.0]]).tolist() == [[1, 0], [0.5, 0.5]]
    assert pn_vqa_score(1, 0) == 1 and pn_vqa_score([], []).shape == (0,)
    assert np.isnan(pn_vqa_score([np.nan], [0.5])).all()
    assert np.isnan(pn_vqa_score([None, 1], [0.5, 0])).tolist() == [True, False]


@settings(deadline=None)
@given(probabilities, probabilities)
def test_pn_vqa_exchanged_is_its_complement_and_constant_yes_is_half(p: np.ndarray, n: np.ndarray) -> None:
    scores = pn_vqa_score(p, n)
    assert np.allclose(scores + pn_vqa_score(n, p), 1)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.allclose(pn_vqa_score(p, p), 0.5)


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ([1.2], [0.1], r"p_yes_positive holds 1\.2 at 0"),
        ([[0.5], [7.0]], [[0.1], [0.1]], r"holds 7\.0 at 1, 0"),
        (3.0, 0.1, r"p_yes_positive holds 3\.0: a probability"),
        ([0.2], [-0.1], r"p_yes_negative holds -0.1"),
        ([0.2], [0.1, 0.2], r"shape \(1,\).*\(2,\)"),
        (["a"], ["b"], "p_yes_positive is <U1: numbers are meant"),
    ],
)
def test_pn_vqa_refuses(positive: list, negative: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pn_vqa_score(positive, negative)


def test_yes_probability_by_hand() -> None:
    yes, no = np.log([0.3, 0.001]), np.log([0.1, 0.003])
    assert np.allclose(yes_probability(yes, no), [0.75, 0.25])
    assert np.allclose(yes_probability(yes, no, "vocabulary"), [0.3, 0.001])
    assert yes_probability(-1000.0, -1001.0) == pytest.approx(1 / (1 + np.exp(-1)))
    with pytest.raises(InputError, match="normalise 'both'"):
        yes_probability(yes, no, "both")
    with pytest.raises(InputError, match="shape"):
        yes_probability(yes, no[:1])


def test_tifa_by_hand() -> None:
    scores = tifa_score([1, 0, 1, 0.5, np.nan, 1], [0, 3, 4, 4, 6])
    assert scores[:2].tolist() == [pytest.approx(2 / 3), 0.5]
    assert np.isnan(scores[2:]).all()  # no question; an answer that is not known
    assert tifa_score([], [0]).shape == (0,)
    for offsets in ([0, 2], [1, 3], [0, 2, 1, 3], []):
        with pytest.raises(InputError, match="offsets begin with 0"):
            tifa_score([1, 0, 1], offsets)


def test_dsg_by_hand() -> None:
    # item 0: car (no) <- blue (yes) <- shiny (yes); road (yes). Item 1: dog (yes) <- brown (no)
    right, offsets = [0, 1, 1, 1, 1, 0], [0, 4, 6]
    edges = [[1, 0], [2, 1], [5, 4]]
    scores, counted = dsg_score(right, offsets, edges)
    assert counted.tolist() == [0, 0, 0, 1, 1, 0]
    assert scores.tolist() == [0.25, 0.5]
    assert tifa_score(right, offsets).tolist() == [0.75, 0.5]
    scores, counted = dsg_score([1, 1, 0, 1], [0, 4], [[3, 0], [3, 2]])  # one of two parents failed
    assert counted.tolist() == [1, 1, 0, 0]


def test_dsg_by_the_answers_to_the_parents_alone() -> None:
    right, offsets, edges = (
        [0, 1, 1, 1],
        [0, 4],
        [[1, 0], [2, 1]],
    )  # car (no) <- blue (yes) <- shiny (yes); road
    scores, counted = dsg_score(right, offsets, edges, rests_on="parents")
    assert counted.tolist() == [0, 0, 1, 1] and scores.tolist() == [0.5]
    _, counted = dsg_score([0.4, 0.9, 0.8, 1], offsets, edges, 0.3, rests_on="parents")
    assert counted.tolist() == [0.4, 0.9, 0.8, 1]


def test_dsg_does_not_mind_the_order_of_questions() -> None:
    scores, counted = dsg_score([1, 1, 0], [0, 3], [[0, 1], [1, 2]])  # children before their parents
    assert counted.tolist() == [0, 0, 0] and scores.tolist() == [0]


def test_dsg_with_probabilities_holds_from_the_threshold() -> None:
    right, edges = [0.6, 0.9], [[1, 0]]
    assert dsg_score(right, [0, 2], edges)[0][0] == pytest.approx(0.75)
    assert dsg_score(right, [0, 2], edges, threshold=0.7)[0][0] == pytest.approx(0.3)


def test_an_unknown_answer_is_not_missed_where_its_parent_failed() -> None:
    assert dsg_score([0, np.nan], [0, 2], [[1, 0]])[0].tolist() == [0]
    assert np.isnan(dsg_score([1, np.nan], [0, 2], [[1, 0]])[0]).all()


def test_dsg_refuses() -> None:
    with pytest.raises(InputError, match="in a circle"):
        dsg_score([1, 1, 1], [0, 3], [[0, 1], [1, 0]])
    with pytest.raises(InputError, match="of two items"):
        dsg_score([1, 1], [0, 1, 2], [[1, 0]])
    with pytest.raises(InputError, match="question 2 of 2"):
        dsg_score([1, 1], [0, 2], [[2, 0]])
    with pytest.raises(InputError, match="'ancestors' or 'parents'"):
        dsg_score([1, 1], [0, 2], [[1, 0]], rests_on="siblings")  # type: ignore[arg-type]


def test_circles_and_what_rests_on_them() -> None:
    edges = np.array([[0, 1], [1, 0], [2, 1], [3, 3], [5, 4]])
    assert find_circles(edges, 6).tolist() == [True, True, True, True, False, False]
    assert not find_circles(NONE, 3).any()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_dsg_agrees_with_asking_one_by_one_and_is_at_most_tifa(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 8))
    right = data.draw(arrays(np.float64, n, elements=st.sampled_from([0.0, 1.0])))
    pairs = [(child, parent) for child in range(n) for parent in range(child)]
    edges = data.draw(st.lists(st.sampled_from(pairs), max_size=8)) if pairs else []
    expected = right.copy()
    for child in range(n):  # parents come first here
        if any(c == child and expected[parent] == 0 for c, parent in edges):
            expected[child] = 0
    scores, counted = dsg_score(right, [0, n], np.array(edges, np.int64).reshape(-1, 2))
    assert counted.tolist() == expected.tolist()
    assert scores[0] == pytest.approx(expected.mean())
    parents, _ = dsg_score(right, [0, n], np.array(edges, np.int64).reshape(-1, 2), rests_on="parents")
    assert scores[0] <= parents[0] <= tifa_score(right, [0, n])[0] + 1e-12


def test_dsg_on_the_graphs_of_the_authors(data_dir: Path) -> None:
    """1,060 prompts with 8,345 questions: where one root fails, exactly what hangs from it fails."""
    with (data_dir / "t2i_ratings" / "dsg" / "dsg-1k-anns.csv").open() as file:
        rows = list(csv.DictReader(file))
    starts = [i for i, row in enumerate(rows) if i == 0 or row["item_id"] != rows[i - 1]["item_id"]]
    offsets = np.array([*starts, len(rows)])
    edges = []
    for item, start in enumerate(starts):
        places = {rows[i]["proposition_id"]: i for i in range(start, offsets[item + 1])}
        for i in range(start, offsets[item + 1]):
            named = [p.strip() for p in rows[i]["dependency"].replace(";", ",").split(",")]
            edges += [(i, places[p]) for p in named if p in places and places[p] != i]
    links = np.array(edges)
    links = links[~find_circles(links, len(rows))[links[:, 0]]]
    assert len(starts) > 1000 and len(links) > 4000
    right = np.ones(len(rows))
    scores, _ = dsg_score(right, offsets, links)
    assert (scores == 1).all()
    roots = np.setdiff1d(links[:, 1], links[:, 0])
    right[roots] = 0
    scores, counted = dsg_score(right, offsets, links)
    assert (counted[links[:, 0]] == 0).all()  # all that rests on anything rests on a root in the end
    assert (counted[np.setdiff1d(np.arange(len(rows)), np.append(links[:, 0], roots))] == 1).all()
    assert (scores <= tifa_score(right, offsets)).all()
