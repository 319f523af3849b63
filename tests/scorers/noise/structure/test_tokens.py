"""`token-errors`: parity with cleanlab, by hand, planted tokens, sequences that cannot be read."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cleanlab", reason="extra noise not installed")

from cleanlab.token_classification.filter import find_label_issues
from cleanlab.token_classification.rank import get_label_quality_scores

from curate.errors import InputError, SchemaError
from curate.scorers.noise.confident.filters import Filter
from curate.scorers.noise.structure.sequence import TokenErrors
from curate.scorers.noise.structure.tokens import gather_quality, token_errors, token_quality
from curate.testing import ArrayView, check_scorer, score_all

CLASSES = ["B", "I", "O"]
Sequences = tuple[list[list[int]], list[np.ndarray], list[tuple[int, int]]]


def planted(n: int = 80, wrong: int = 6, seed: int = 0) -> Sequences:
    """Labels, probabilities and (sequence, position) of the wrong ones."""
    rng = np.random.default_rng(seed)
    labels, probs = [], []
    for length in rng.integers(1, 9, n):
        truth = rng.integers(0, 3, length)
        row = rng.dirichlet([0.5] * 3, length) * 0.3
        row[np.arange(length), truth] += 0.7
        labels.append(truth.tolist())
        probs.append(row)
    where = []
    for i in rng.choice(n, wrong, replace=False):
        j = int(rng.integers(len(labels[i])))
        labels[i][j] = (labels[i][j] + 1) % 3
        where.append((int(i), j))
    return labels, probs, sorted(where)


def flat(labels: list[list[int]], probs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.concatenate(probs), np.concatenate(labels).astype(int), np.array([len(x) for x in labels])


def table_of(labels: list[list[int]], probs: list[np.ndarray]) -> dict[str, Any]:
    return {
        "id": [f"{i:03d}" for i in range(len(labels))],
        "token_labels": [[CLASSES[j] for j in row] for row in labels],
        "token_probs": [row.tolist() for row in probs],
    }


def test_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.7, 0.3], [0.05, 0.95], [0.8, 0.2], [0.8, 0.2]])
    labels, lengths = np.array([0, 0, 1, 0, 1]), np.array([3, 2])
    found = token_errors(probs, labels, lengths, method="self_confidence")
    np.testing.assert_allclose(found.score, [0.7, 0.2])
    assert found.issue.tolist() == [False, False, False, False, True]
    assert found.flagged.tolist() == [False, True]
    assert found.suggested.tolist() == [0, 0, 1, 0, 0]
    margin = token_errors(probs, labels, lengths, method="normalized_margin")
    np.testing.assert_allclose(margin.score, [(0.7 - 0.3 + 1) / 2, (0.2 - 0.8 + 1) / 2], rtol=1e-6)
    t0, t1 = (0.9 + 0.7 + 0.8) / 3, (0.95 + 0.2) / 2
    ratio = token_errors(probs, labels, lengths).token_score[4]
    assert ratio == pytest.approx((0.2 / t1) / (0.2 / t1 + 0.8 / t0))


@pytest.mark.parametrize("method", ["self_confidence", "normalized_margin"])
@pytest.mark.parametrize("aggregate", ["min", "softmin"])
def test_scores_are_cleanlabs(method: Any, aggregate: Any) -> None:
    labels, probs, _ = planted()
    for temperature in (0.05, 0.5):
        expected, tokens = get_label_quality_scores(
            labels,
            probs,
            token_score_method=method,
            sentence_score_method=aggregate,
            sentence_score_kwargs={"temperature": temperature},
        )
        found = token_errors(
            *flat(labels, probs), method=method, aggregate=aggregate, temperature=temperature
        )
        np.testing.assert_allclose(found.score, expected, rtol=1e-5)
        np.testing.assert_allclose(found.token_score, np.concatenate(tokens), rtol=1e-5)


@pytest.mark.parametrize("filter_by", get_args(Filter))
def test_issues_are_cleanlabs(filter_by: Filter) -> None:
    labels, probs, _ = planted(60, 20, seed=3)
    expected = find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1)
    found = token_errors(*flat(labels, probs), filter_by=filter_by)
    lengths = [len(x) for x in labels]
    places = [(i, j) for i, length in enumerate(lengths) for j in range(length)]
    assert expected and sorted(expected) == [places[t] for t in np.flatnonzero(found.issue)]


def test_softmin_lies_between_minimum_and_mean() -> None:
    quality, lengths = np.array([0.2, 0.8, 0.5]), np.array([2, 0, 1])
    low = gather_quality(quality, lengths, "softmin", 1e-3)
    high = gather_quality(quality, lengths, "softmin", 1e3)
    np.testing.assert_allclose(low, [0.2, np.nan, 0.5], rtol=1e-5)
    np.testing.assert_allclose(high, [0.5, np.nan, 0.5], rtol=1e-3)
    np.testing.assert_allclose(gather_quality(quality, lengths), [0.2, np.nan, 0.5])
    with pytest.raises(InputError, match="temperature=0"):
        gather_quality(quality, lengths, "softmin", 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.integers(0, 1000))
def test_sequences_do_not_mind_their_neighbours(lengths: list[int], seed: int) -> None:
    quality = np.random.default_rng(seed).random(sum(lengths))
    for aggregate in ("min", "softmin"):
        together = gather_quality(quality, np.array(lengths), aggregate)
        starts = np.cumsum([0, *lengths])
        for i, length in enumerate(lengths):
            own = gather_quality(quality[starts[i] : starts[i + 1]], np.array([length]), aggregate)
            np.testing.assert_allclose(own[0], together[i], rtol=1e-5)


def test_planted_tokens_are_named() -> None:
    labels, probs, wrong = planted()
    words = [[f"w{i}-{j}" for j in range(len(row))] for i, row in enumerate(labels)]
    view = ArrayView({**table_of(labels, probs), "words": words})
    scored = score_all(TokenErrors(tokens="words", filter_by="predicted_neq_given"), view)
    issues = scored["token_issues"].to_pylist()
    found = [(i, issue["position"]) for i, row in enumerate(issues) for issue in row]
    assert set(wrong) <= set(found) and len(found) <= len(wrong) + 2
    i, j = wrong[0]
    issue = next(x for x in issues[i] if x["position"] == j)
    assert issue["token"] == f"w{i}-{j}"
    assert issue["label"] == CLASSES[labels[i][j]]
    assert issue["suggested"] == CLASSES[(labels[i][j] - 1) % 3]
    assert issue["quality"] == pytest.approx(scored["token_errors"][i].as_py())
    assert scored["token_issue"].to_pylist() == [bool(row) for row in issues]


def test_conformance_of_nested_flat_and_split_columns() -> None:
    labels, probs, wrong = planted(40, 3)
    bad = f"{wrong[0][0]:03d}"
    good = next(f"{i:03d}" for i in range(40) if i not in {w[0] for w in wrong})
    table = table_of(labels, probs)
    check_scorer(TokenErrors(), ArrayView(table), planted=(good, bad))
    whole = score_all(TokenErrors(), ArrayView(table))
    laid = {**table, "token_probs": [row.ravel().tolist() for row in probs]}
    assert score_all(TokenErrors(), ArrayView(laid)).equals(whole)
    check_scorer(TokenErrors(), ArrayView(laid), planted=(good, bad))
    text = {**table, "token_labels": ["|".join(row) for row in table["token_labels"]]}
    assert score_all(TokenErrors(delimiter="|"), ArrayView(text)).equals(whole)


def test_sequences_that_cannot_be_read_are_null_and_change_nothing_else() -> None:
    labels, probs, _ = planted(60)
    table = table_of(labels, probs)
    names, rows = table["token_labels"], table["token_probs"]
    names[2], names[4], rows[6] = None, [], None
    rows[4] = []
    rows[8] = [*rows[8], [0.1, 0.2, 0.7]]
    names[10][0], names[12][0] = "X", None
    rows[14][0] = [0.5, 0.5]
    rows[16][0] = [0.9, 0.9, 0.9]
    rows[18][0] = [None, 0.5, 0.5]
    view = ArrayView(table)
    scorer = TokenErrors(classes=tuple(CLASSES))
    scored = score_all(scorer, view)
    bad = [2, 4, 6, 8, 10, 12, 14, 16, 18]
    length = len(names[8])
    assert scored["token_errors_reason"].take(pa.array(bad)).to_pylist() == [
        "no labels of tokens",
        "no tokens",
        "no predicted probabilities",
        f"labels of {length} tokens, probabilities of {length + 1}",
        "token 0: label 'X' is none of the 3 classes",
        "token 0: no label",
        "a token whose probabilities are not 3",
        "token 0: predicted probabilities outside [0, 1]"
        if max(rows[16][0]) > 1
        else "token 0: predicted probabilities do not sum to 1",
        "token 0: NaN among the predicted probabilities",
    ]
    rest = np.setdiff1d(np.arange(60), bad)
    assert score_all(scorer, view.rearranged(rest)).equals(scored.take(pa.array(rest)))


def test_tokens_of_another_length_are_not_quoted() -> None:
    labels, probs, wrong = planted()
    words = [["w"] * len(row) for row in labels]
    i = wrong[0][0]
    words[i] = [*words[i], "more"]
    scored = score_all(
        TokenErrors(tokens="words", filter_by="predicted_neq_given"),
        ArrayView({**table_of(labels, probs), "words": words}),
    )
    issues = scored["token_issues"].to_pylist()
    assert [x["token"] for x in issues[i]] == [None]
    assert [x["token"] for x in issues[wrong[1][0]]] == ["w"]


def test_what_is_wrong_as_a_whole_is_an_error() -> None:
    labels, probs, _ = planted(30)
    table = table_of(labels, probs)
    logits = {**table, "token_probs": [(np.log(row) * 2).tolist() for row in probs]}
    with pytest.raises(InputError, match=r"items 000 token 0.*softmax"):
        TokenErrors().fit(ArrayView(logits))
    with pytest.raises(InputError, match="3 columns, `classes` names 2"):
        TokenErrors(classes=("B", "I")).fit(ArrayView(table))
    laid = {**table, "token_probs": [row.ravel().tolist() for row in probs]}
    with pytest.raises(InputError, match=r"do not belong together in .* as 000: labels of"):
        TokenErrors(classes=("B", "I")).fit(ArrayView(laid))
    with pytest.raises(InputError, match=r"all .* labels are 'B'"):
        TokenErrors(classes=("B", "I", "O")).fit(
            ArrayView({**table, "token_labels": [["B"] * len(x) for x in labels]})
        )
    with pytest.raises(SchemaError, match="lists of lists"):
        TokenErrors().fit(ArrayView({**table, "token_probs": [0.5] * 30}))
    with pytest.raises(InputError, match="temperature=-1"):
        TokenErrors(temperature=-1)
    flat_probs, codes, lengths = flat(labels, probs)
    with pytest.raises(InputError, match="the same tokens"):
        token_errors(flat_probs, codes, lengths[:-1])
    with pytest.raises(InputError, match=r"tokens 2 .*outside 0 ... 2|outside 0 \.\.\. 2"):
        token_errors(flat_probs, np.where(np.arange(len(codes)) == 2, 7, codes), lengths)
    with pytest.raises(InputError, match="one class"):
        token_errors(flat_probs, np.zeros_like(codes), lengths)


def test_nothing_at_all_is_an_answer() -> None:
    found = token_errors(np.empty((0, 3)), np.empty(0, int), np.array([0, 0]))
    assert np.isnan(found.score).all() and not found.flagged.any()


def test_quality_of_an_absent_class_is_not_divided_by_zero() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]])
    quality = token_quality(probs, np.array([0, 1]))
    assert np.isfinite(quality).all() and (quality > 0.5).all()
