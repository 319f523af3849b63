"""Feature mapping: centres by hand, nearest ones against all distances, clusters, distances between classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.selectors.pruning import class_centroids, feature_mapping, nearest_centroid

SOURCE = np.array([[0, 0], [0, 2], [10, 0], [10, 2], [0, 20], [0, 22]], float)
LABELS = np.array(["a", "a", "b", "b", "c", "c"])


def test_votes_by_hand() -> None:
    target = np.array([[9, 1], [11, 1], [4.9, 1], [1, 19]])
    chosen = feature_mapping(target, SOURCE, LABELS, 1)
    assert chosen.votes.tolist() == [1, 2, 1]
    assert chosen.kept_classes == ("b",) and chosen.index.tolist() == [2, 3]
    assert chosen.gain is not None and chosen.gain.tolist() == [2, 2]
    assert chosen.random == {"objective": 0.5, "random": pytest.approx(1 / 3)}
    assert feature_mapping(target, SOURCE, LABELS, 1, reverse=True).kept_classes == ("a",)
    assert feature_mapping(target[:2], SOURCE, LABELS).kept_classes == ("b",)


def test_an_item_between_two_centres_is_the_earlier_ones() -> None:
    assert feature_mapping(np.array([[5.0, 1.0]]), SOURCE, LABELS).kept_classes == ("a",)


def test_centres_by_hand() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    codes = np.zeros(5, np.int64)
    assert class_centroids(x, codes, 1)[0, 0] == pytest.approx(21.2)
    assert class_centroids(x, codes, 1, centre="median")[0, 0] == 2
    # distances from the median 2: 2, 1, 0, 1, 98; by rank rows 2, 1, 3, 0, 4; the middle 60 % are ranks 1 to 3
    assert class_centroids(x, codes, 1, centre="trimmed", band=0.6)[0, 0] == pytest.approx((1 + 3 + 0) / 3)
    assert np.isnan(class_centroids(x, codes, 2)[1]).all()


def test_one_outlier_moves_the_mean_and_not_the_trimmed_centre() -> None:
    source = np.vstack([np.zeros((9, 1)), [[1000.0]], np.full((10, 1), 20.0)])
    labels = np.repeat(["near", "far"], 10)
    target = np.full((4, 1), 5.0)
    assert feature_mapping(target, source, labels).kept_classes == ("far",)
    for centre in ("trimmed", "median"):
        assert feature_mapping(target, source, labels, centre=centre).kept_classes == ("near",)


def test_mean_distances_to_the_targets_classes() -> None:
    target = np.array([[0, 20], [0, 24], [10, 20], [10, 24]], float)
    classes = np.array(["x", "x", "y", "y"])
    chosen = feature_mapping(target, SOURCE, LABELS, 2, by="cmt_median", target_labels=classes)
    c = (1 + np.hypot(10, 1)) / 2  # from (0, 21) to (0, 22) and (10, 22)
    assert chosen.votes[2] == pytest.approx(-c)
    assert chosen.votes[0] == pytest.approx(-(21 + np.hypot(10, 21)) / 2)
    assert chosen.kept_classes == ("c", "a")  # a and b tie by symmetry
    assert chosen.gain is not None and chosen.gain[0] == pytest.approx(-c)
    trimmed = feature_mapping(target, SOURCE, LABELS, 2, by="cmt", target_labels=classes, band=1.0)
    assert np.allclose(trimmed.votes, chosen.votes)  # with two rows the mean is the median


def test_clusters_stand_for_classes() -> None:
    pytest.importorskip("faiss", reason="extra select not installed")
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [30, 0], [0, 30], [30, 30]], float)
    source = np.repeat(centres, 25, 0) + rng.normal(size=(100, 2))
    target = centres[2] + rng.normal(size=(20, 2))
    chosen = feature_mapping(target, source, clusters=4)
    assert sorted(chosen.index) == list(range(50, 75))
    again = feature_mapping(target, source, clusters=4, rng=np.random.default_rng(0))
    assert again.index.tolist() == chosen.index.tolist()
    with pytest.raises(InputError, match="clusters=101 of 100"):
        feature_mapping(target, source, clusters=101)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(2, 9), st.floats(0, 1e4))
def test_nearest_is_that_of_all_distances(seed: int, d: int, count: int, away: float) -> None:
    rng = np.random.default_rng(seed)
    x, centres = rng.normal(size=(40, d)) + away, rng.normal(size=(count, d)) + away
    distances = np.linalg.norm(x[:, None] - centres, axis=2)
    found = nearest_centroid(x, centres)
    assert np.allclose(distances[np.arange(40), found], distances.min(1), atol=1e-4)


def test_another_order_of_rows_keeps_the_same_classes() -> None:
    rng = np.random.default_rng(1)
    source, labels = rng.normal(size=(300, 5)), rng.integers(0, 12, 300)
    target = rng.normal(size=(200, 5)) + 0.5
    order = rng.permutation(300)
    for centre in ("mean", "trimmed", "median"):
        one = feature_mapping(target, source, labels, 0.5, centre=centre)
        other = feature_mapping(target[::-1], source[order], labels[order], 0.5, centre=centre)
        assert one.kept_classes == other.kept_classes
        assert sorted(order[other.index]) == sorted(one.index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.zeros((2, 3))}, "target features have 3 numbers, source features 2"),
        ({"target": np.array([[0.0, np.inf]])}, r"target features are not finite in 1 row, as \[0\]"),
        ({"source": np.full((6, 2), np.nan)}, "source features are not finite in 6 rows"),
        ({"target": np.empty((0, 2))}, "(n, d) numbers"),
        ({"source_labels": LABELS[:4]}, "4 source labels for 6 rows"),
        ({"source_labels": ["a"] * 6}, "one class"),
        ({"source_labels": None}, "give source_labels, or clusters"),
        ({"clusters": 2}, "one of the two"),
        ({"by": "cmt"}, "say how many to keep"),
        ({"by": "cmt", "budget": 1}, "target_labels"),
        ({"by": "cmt", "budget": 1, "target_labels": ["x"]}, "1 target label for 2 rows"),
        ({"by": "near"}, "votes, cmt or cmt_median"),
        ({"centre": "mode"}, "mean, trimmed or median"),
        ({"centre": "trimmed", "band": 0.0}, "band=0.0"),
    ],
)
def test_what_cannot_be(changes: dict[str, object], message: str) -> None:
    asked = {"target": np.zeros((2, 2)), "source": SOURCE, "source_labels": LABELS, **changes}
    with pytest.raises(
        InputError, match=message.replace("(", r"\(").replace(")", r"\)") if "(n" in message else message
    ):
        feature_mapping(**asked)  # type: ignore[arg-type]
