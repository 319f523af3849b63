"""Label mapping: votes by hand, ties, what does not match, and properties over all inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.selectors.pruning import label_mapping, random_classes

SOURCE = np.array(["dog", "cat", "owl", "cat", "dog", "cat"])


def test_votes_by_hand() -> None:
    chosen = label_mapping(["cat", "owl", "cat", "owl", "owl"], SOURCE, 2)
    assert chosen.classes == ("cat", "dog", "owl")
    assert chosen.votes.tolist() == [2, 0, 3]
    assert chosen.kept_classes == ("owl", "cat")
    assert chosen.unvoted == ("dog",)
    assert chosen.index.tolist() == [2, 1, 3, 5] and chosen.index.dtype == np.int64
    assert chosen.gain is not None and chosen.gain.tolist() == [3, 2, 2, 2]
    assert chosen.weight is not None and chosen.weight.tolist() == [1, 1, 1, 1]
    assert chosen.reason[0] == "class 'owl', rank 1 with 3 votes of the target"
    assert chosen.random == {"objective": 1.0, "random": pytest.approx(2 / 3)}


def test_logits_vote_by_argmax_and_soft_votes_by_probability() -> None:
    logits = np.log(np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.1, 0.45, 0.45]]))
    labels = np.array([0, 1, 2, 2])
    hard = label_mapping(logits, labels, 1)
    assert hard.votes.tolist() == [2, 1, 0]  # the last row ties: the first class has it
    soft = label_mapping(logits, labels, 1, soft=True)
    assert np.allclose(soft.votes, [1.3, 1.05, 0.65])
    same = label_mapping(np.exp(logits), labels, 1, soft=True)  # probabilities are taken as they are
    assert np.allclose(same.votes, soft.votes)


def test_without_a_budget_every_class_with_a_vote_is_kept() -> None:
    assert label_mapping(["cat", "owl"], SOURCE).kept_classes == ("cat", "owl")


def test_ties_go_to_the_earlier_class_and_reverse_keeps_the_worst() -> None:
    tied = label_mapping(["owl", "dog"], SOURCE, "67%")
    assert tied.kept_classes == ("dog", "owl")
    worst = label_mapping(["owl", "owl", "dog"], SOURCE, 1, reverse=True)
    assert worst.kept_classes == ("cat",)
    named = label_mapping(["owl", "dog"], SOURCE, 1, classes=["owl", "dog", "cat"])
    assert named.kept_classes == ("owl",)


def test_a_class_without_rows_is_told_and_never_kept() -> None:
    chosen = label_mapping(["yak", "yak", "cat"], SOURCE, classes=["yak", "cat", "dog", "owl"])
    assert chosen.empty == ("yak",) and chosen.kept_classes == ("cat",)
    assert len(label_mapping(["yak", "cat"], SOURCE, 1.0, classes=["yak", "cat", "dog", "owl"])) == 6


@pytest.mark.parametrize(
    ("predictions", "labels", "options", "message"),
    [
        (["cow"], SOURCE, {}, "predictions name classes that are not there: 'cow'"),
        (np.zeros((2, 4)), SOURCE, {}, "4 columns, the source labels have 3"),
        (np.zeros((2, 2)), [0, 1, 2], {}, "source labels name classes that are not there: 2"),
        (["cat"], SOURCE, {"classes": ["cat", "dog"]}, "source labels name classes .* 'owl'"),
        (["cat"], SOURCE, {"classes": ["cat", "dog", "owl", "cat"]}, "named twice"),
        (["yak"], SOURCE, {"classes": ["yak", "cat", "dog", "owl"]}, "no class that has rows got a vote"),
        (["cat"], ["cat", "cat"], {}, "one class"),
        ([], SOURCE, {}, "at least one"),
        (["cat"], [], {}, "at least one"),
        (np.array([[0.1, np.nan, 0.2]]), SOURCE, {}, r"not finite in 1 row, as \[0\]"),
        (["cat"], SOURCE, {"budget": 0}, "budget 0"),
        (["cat"], SOURCE, {"budget": 4}, "3 items are there"),
        (["cat"], SOURCE, {"soft": True}, "soft votes need"),
        ([0.5], [0, 1], {}, r"predictions are whole numbers or texts: row 0 has 0\.5"),
        (["cat"], ["cat", None], {}, "source labels are whole numbers or names: row 1 has None"),
        (["cat", 1], SOURCE, {}, "predictions mix names and numbers: row 0 has 'cat', row 1 1"),
    ],
)
def test_what_cannot_be(
    predictions: object, labels: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        label_mapping(predictions, labels, **options)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.permutations(list(range(6)) * 2),
    st.integers(1, 6),
)
def test_any_input(predictions: list[int], source: list[int], keep: int) -> None:
    chosen = label_mapping(predictions, source, keep)
    counts = np.bincount(predictions, minlength=6)
    expected = sorted(range(6), key=lambda c: (-counts[c], c))[:keep]
    assert list(chosen.kept_classes) == expected
    assert sorted(chosen.index) == [i for i, c in enumerate(source) if c in expected]
    places = [expected.index(source[i]) for i in chosen.index]
    assert places == sorted(places)
    assert sum(chosen.votes) == len(predictions)


def test_random_classes_are_whole_and_seeded() -> None:
    labels = np.arange(40) % 10
    drawn = [random_classes(labels, 3, rng=np.random.default_rng(seed)) for seed in range(30)]
    again = random_classes(labels, 3, rng=np.random.default_rng(0))
    assert again.index.tolist() == drawn[0].index.tolist()
    assert all(len(d) == 12 and len(set(labels[d.index])) == 3 for d in drawn)
    assert len({d.kept_classes for d in drawn}) > 20
