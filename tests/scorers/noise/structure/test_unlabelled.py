"""`positive-unlabelled`: the share of hidden positives and who they are, where the truth is planted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="extra noise not installed")

from curate.errors import InputError
from curate.scorers.noise.out_of_fold import out_of_fold_probabilities
from curate.scorers.noise.structure.mixture import hidden_share, positive_unlabelled
from curate.scorers.noise.structure.unlabelled import PositiveUnlabelled
from curate.testing import ArrayView, check_scorer, score_all


def planted(
    n: int = 2000, prior: float = 0.3, marked: float = 0.5, apart: float = 2.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, which are positive, and which of those are marked."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < prior
    x = rng.normal(size=(n, 4)) + apart * truth[:, None]
    return x, truth, truth & (rng.random(n) < marked)


@pytest.mark.parametrize(("prior", "marked"), [(0.3, 0.5), (0.5, 0.2), (0.1, 0.6)])
def test_planted_positives_are_counted_and_found(prior: float, marked: float) -> None:
    x, truth, labelled = planted(3000, prior, marked)
    chance = out_of_fold_probabilities(x, labelled.astype(np.int64)).probabilities[:, 1]
    found = positive_unlabelled(chance, labelled)
    assert found.share == pytest.approx(truth[~labelled].mean(), abs=0.03)
    assert found.prior == pytest.approx(truth.mean(), abs=0.03)
    assert found.frequency == pytest.approx(labelled.sum() / truth.sum(), abs=0.07)
    hidden, real = found.hidden[~labelled], truth[~labelled]
    f1 = 2 * (hidden & real).sum() / (hidden.sum() + real.sum())
    naive = (chance > 0.5)[~labelled]
    assert f1 > max(0.85, 2 * (naive & real).sum() / (naive.sum() + real.sum()))
    brier = np.mean((found.probability[~labelled] - real) ** 2)
    assert brier < 0.3 * np.mean((real.mean() - real) ** 2)
    assert (found.score[labelled] == 1).all() and not found.hidden[labelled].any()


def test_by_hand() -> None:
    labelled = np.array([True, True, False, False, False, False])
    g = np.array([0.5, 0.5, 0.5, 0.5, 0.1, 0.1])
    # Elkan-Noto: c = 0.5, share = (1 - 0.5) / 0.5 * 2 / 4; at 0.5 two of four are labelled, at 0.1 none
    found = positive_unlabelled(g, labelled, estimate="elkan-noto")
    assert found.share == pytest.approx(0.5)
    np.testing.assert_allclose(found.probability, [1, 1, 0.5 * 4 / 2 * 1, 1, 0, 0])
    np.testing.assert_allclose(found.score, [1, 1, 0, 0, 1, 1])
    assert found.hidden.tolist() == [False, False, True, True, False, False]
    assert (found.prior, found.frequency) == (pytest.approx(4 / 6), pytest.approx(0.5))


def test_the_best_bin_is_where_only_positives_are_left() -> None:
    positive = np.linspace(0.8, 1, 400)
    unlabelled = np.concatenate([np.linspace(0.8, 1, 100), np.linspace(0, 0.5, 300)])
    assert hidden_share(positive, unlabelled) == pytest.approx(0.25, abs=0.01)
    # the mean says c = 0.9, whatever the unlabelled
    assert hidden_share(positive, unlabelled, "elkan-noto") == pytest.approx(0.1 / 0.9, abs=1e-6)
    mixed = np.concatenate([positive, np.linspace(0, 0.5, 100)])  # some known positives look like negatives
    wide = hidden_share(mixed, unlabelled, delta=1e-9, gamma=5.0)
    assert wide > hidden_share(mixed, unlabelled)  # more doubt: a lower threshold, where more items are


def test_best_bin_errs_less_than_elkan_noto_where_classes_overlap() -> None:
    x, truth, labelled = planted(3000, apart=1.0)
    chance = out_of_fold_probabilities(x, labelled.astype(np.int64)).probabilities[:, 1]
    real = truth[~labelled].mean()
    best = positive_unlabelled(chance, labelled).share
    mean = positive_unlabelled(chance, labelled, estimate="elkan-noto").share
    assert abs(best - real) < abs(mean - real)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95), st.sampled_from(["best-bin", "elkan-noto"]))
def test_whatever_the_numbers_answers_are_probabilities(seed: int, cut: float, estimate: str) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    g = np.round(rng.random(n), 1)
    labelled = np.arange(n) < rng.integers(1, n)
    found = positive_unlabelled(g, labelled, estimate=estimate, cut=cut)  # type: ignore[arg-type]
    for values in (found.score, found.probability, [found.share, found.prior, found.frequency]):
        assert np.isfinite(values).all() and np.min(values) >= 0 and np.max(values) <= 1
    assert np.array_equal(found.hidden, ~labelled & (found.probability > cut))
    order = np.argsort(g[~labelled], kind="stable")
    assert (np.diff(found.probability[~labelled][order]) >= -1e-6).all()  # rises with g


def view_of(x: np.ndarray, labelled: np.ndarray) -> ArrayView:
    labels = ["yes" if known else ("no" if i % 2 else None) for i, known in enumerate(labelled)]
    table = {"id": [f"{i:04d}" for i in range(len(x))], "label": pa.array(labels, pa.string())}
    return ArrayView(table, {"pixel_embedding": x})


def test_conformance_with_a_hidden_positive() -> None:
    x, truth, labelled = planted(300, apart=3.0)
    hidden = f"{np.flatnonzero(truth & ~labelled)[0]:04d}"
    negative = f"{np.flatnonzero(~truth)[0]:04d}"
    scorer = PositiveUnlabelled(positive="yes")
    check_scorer(scorer, view_of(x, labelled), planted=(negative, hidden))
    assert "are positive" in scorer.fit(view_of(x, labelled)).notes[0]
    assert PositiveUnlabelled(labels="l", embedding="e").needs == ("l", "e")
    assert PositiveUnlabelled(labels="l", probabilities="p").needs == ("l", "p")


def test_parameters_reach_the_model() -> None:
    x, _, labelled = planted(300, apart=0.7)
    view = view_of(x, labelled)
    base = score_all(PositiveUnlabelled(positive="yes"), view)["positive_unlabelled"]
    for change in ({"model": "knn"}, {"folds": 3}, {"seed": 1}, {"estimate": "elkan-noto"}):
        scorer = PositiveUnlabelled(positive="yes", **change)  # type: ignore[arg-type]
        assert not score_all(scorer, view)["positive_unlabelled"].equals(base), change
    flags = [
        score_all(PositiveUnlabelled(positive="yes", cut=c), view)["hidden_positive"] for c in (0.1, 0.9)
    ]
    assert flags[0].to_numpy().sum() > flags[1].to_numpy().sum()


def test_given_probabilities_are_used_and_bad_ones_are_null() -> None:
    x, _, labelled = planted(200)
    chance = (
        out_of_fold_probabilities(x, labelled.astype(np.int64)).probabilities[:, 1].astype(float).tolist()
    )
    chance[4], chance[6] = None, 1.5
    table = {**view_of(x, labelled).to_arrow(["id", "label"]).to_pydict(), "chance": chance}
    scored = score_all(PositiveUnlabelled(positive="yes", probabilities="chance"), ArrayView(table))
    assert scored["positive_unlabelled_reason"][4].as_py() == "no probability"
    assert scored["positive_unlabelled_reason"][6].as_py() == "probability outside [0, 1]"
    assert scored["positive_unlabelled"].null_count == 2


def test_a_positive_label_may_be_one_of_several() -> None:
    x, _, labelled = planted(200)
    one = view_of(x, labelled)
    sets = [["big", "yes"] if yes else None if i % 3 else [] for i, yes in enumerate(labelled)]
    several = ArrayView({**one.to_arrow(["id"]).to_pydict(), "labels": sets}, {"pixel_embedding": x})
    scorer = PositiveUnlabelled(positive="yes").resolve(several.columns, "label")
    assert scorer.labels == "labels"
    assert score_all(scorer, several).equals(score_all(PositiveUnlabelled(positive="yes"), one))
    with pytest.raises(InputError, match="positive='maybe'; the labels are big, yes"):
        PositiveUnlabelled(positive="maybe", labels="labels").fit(several)


def test_what_is_wrong_as_a_whole_is_an_error() -> None:
    x, _, labelled = planted(60)
    with pytest.raises(InputError, match="positive='maybe'; the labels are no, yes"):
        PositiveUnlabelled(positive="maybe").fit(view_of(x, labelled))
    with pytest.raises(InputError, match="all 60 items are labelled 'yes'"):
        PositiveUnlabelled(positive="yes").fit(view_of(x, np.ones(60, bool)))
    for wrong in ({"folds": 1}, {"cut": 0.0}, {"cut": 1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            PositiveUnlabelled(**wrong)  # type: ignore[arg-type]
    g = np.full(60, 0.5)
    with pytest.raises(InputError, match="no item is"):
        positive_unlabelled(g, np.zeros(60, bool))
    with pytest.raises(InputError, match="shape"):
        positive_unlabelled(g[:-1], labelled)
    with pytest.raises(InputError, match="as nan in row 3"):
        positive_unlabelled(np.where(np.arange(60) == 3, np.nan, g), labelled)
    with pytest.raises(InputError, match="labelled or not"):
        positive_unlabelled(g, labelled.astype(int) + 1)
    with pytest.raises(InputError, match="cut=2"):
        positive_unlabelled(g, labelled, cut=2)
