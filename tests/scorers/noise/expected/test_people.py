"""`expected-answers`: what is learnt from people's answers, by hand and on planted truth; CIFAR-10's people."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.noise import expected_answers
from curate.scorers.noise.expected.jury import ONE_EACH, Said, hear, people_counted
from curate.scorers.noise.expected.scorer import ExpectedAnswers
from curate.testing import ArrayView, score_all

NAMES = ("cat", "dog", "eel")


def softened(probs: np.ndarray, power: float) -> np.ndarray:
    found = probs**power
    return np.asarray(found / found.sum(1, keepdims=True))


def drawn(
    n: int, people: float, each: int, seed: int = 0, noise: float = 3.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a model expects, the shares of people that are drawn around it, and the votes of some of them."""
    rng = np.random.default_rng(seed)
    expected = softened(rng.dirichlet(np.full(3, 1.0), n) + 1e-3, noise)
    shares = np.stack([rng.dirichlet(people * row + 1e-9) for row in expected])
    votes = np.stack([rng.multinomial(each, row / row.sum()) for row in shares])
    return expected, shares, votes


def test_who_is_heard_by_hand() -> None:
    """Shares are (people q + votes) / (people + total), q the models and what people say of such labels, to their powers."""
    probs, _, votes = drawn(300, 5.0, 4)
    labels = np.where(np.arange(300) % 4, votes.argmax(1), 0)
    found = expected_answers(probs, votes, labels)
    model = softened(np.maximum(probs, probs.min() / 2), found.exponents[0])
    by_label = np.stack([votes[labels == label].sum(0) for label in range(3)])
    right = (votes[np.arange(300), labels].sum() + 1) / (votes.sum() + 2)
    other = (by_label - np.diag(by_label.diagonal())).sum(0) + 1 / 3
    prior = (1 - right) * other / other.sum() + right * np.eye(3)[labels]
    counts = by_label[labels] - votes  # an item's own answers are heard by themselves
    witness = (counts + 10 * prior) / (counts.sum(1, keepdims=True) + 10)
    q = model ** found.powers[0] * witness ** found.powers[1]
    q /= q.sum(1, keepdims=True)
    np.testing.assert_allclose(found.shares, (found.people * q + votes) / (found.people + 4), atol=2e-6)
    row, alone = np.arange(300), found.people * model + votes
    own, others = alone[row, labels], alone.copy()
    others[row, labels] = 0
    np.testing.assert_allclose(found.score, own / (own + others.max(1)), atol=1e-5)
    heard = found.people * q + votes
    assert (found.suggested == np.where(heard[row, labels] >= heard.max(1), labels, heard.argmax(1))).all()
    assert found.flagged.any() and (found.flagged == (found.suggested != labels)).all()


@pytest.mark.parametrize("people", [1.0, 5.0, 40.0])
def test_how_alike_answers_are_is_found_again(people: float) -> None:
    probs, _, votes = drawn(6000, people, 5)
    found = expected_answers(probs, votes, np.arange(6000) % 3)
    assert 0.8 * people < found.people < 1.25 * people
    assert 0.9 < found.exponents[0] < 1.1


def test_a_model_too_sure_of_itself_is_made_as_sure_as_people_are() -> None:
    probs, shares, votes = drawn(6000, 10.0, 3)
    votes[3000:] = 0
    sure = softened(probs, 4.0)
    found = expected_answers(sure, votes, np.arange(6000) % 3)
    assert 0.22 < found.exponents[0] < 0.28
    assert np.abs(found.shares[3000:] - probs[3000:]).mean() < 0.15 * np.abs(sure - probs).mean()


def test_a_model_that_knows_nothing_of_people_is_not_heard() -> None:
    probs, _, votes = drawn(2000, 10.0, 2)
    other, _, _ = drawn(2000, 10.0, 2, seed=1)
    found = expected_answers([probs, other], votes, np.arange(2000) % 3)
    assert found.exponents[0] > 0.9 and found.exponents[1] < 0.05
    alone = expected_answers([probs], votes, np.arange(2000) % 3)
    assert np.abs(found.shares - alone.shares).max() < 0.05


def test_the_likelihood_of_two_votes_on_an_item_by_hand() -> None:
    """Two people of two classes at q = 1/2: they agree with probability (people / 2 + 1) / (people + 1)."""
    rows = np.repeat(np.arange(400), 2)
    agree = np.arange(400) < 300  # three of four: people / 2 + 1 = .75 (people + 1), so people = 1
    value = np.stack([np.zeros(400, int), np.where(agree, 0, 1)], 1).reshape(-1)
    jury = hear((np.full((400, 2), 0.5),), Said(rows, value), np.zeros(400, int))
    assert abs(people_counted(replace(jury, powers=(1.0, 0.0)), Said(rows, value)) - 1.0) < 0.01


def test_one_answer_an_item_says_nothing_of_how_alike_people_are() -> None:
    probs, _, votes = drawn(300, 5.0, 1)
    assert expected_answers(probs, votes, np.arange(300) % 3).people == ONE_EACH


def test_reasons_tell_models_from_people() -> None:
    """People differ on every item as much as overall, so that one answer more or less says little of an item."""
    rng = np.random.default_rng(0)
    truth = np.arange(300) // 100
    probs = 0.7 * np.eye(3)[truth] + 0.1
    votes = np.stack([rng.multinomial(5, row) for row in probs])
    votes[:4] = [[0, 0, 0], [0, 0, 0], [0, 30, 0], [0, 1, 0]]
    labels = truth.copy()
    labels[1] = 2
    found = expected_answers(probs, votes, labels)
    assert found.code[:4].tolist() == [0, 2, 3, 1]
    assert found.suggested[:4].tolist() == [0, 0, 1, 0]
    assert found.reason[2] == "those who were asked say something else"
    assert found.worst_first()[0] in (1, 2)


def test_where_people_agree_about_an_item_one_answer_decides() -> None:
    """The models are wrong of a tenth of the items, of which all people say the same."""
    rng = np.random.default_rng(0)
    truth = np.arange(300) // 100
    probs = 0.85 * np.eye(3)[truth] + 0.05
    votes = 3 * np.eye(3, dtype=int)[(rng.random((300, 1)) > probs.cumsum(1)).sum(1)]
    votes[0] = [0, 1, 0]
    found = expected_answers(probs, votes, truth)
    assert found.people < 0.2
    assert found.flagged[0] and found.suggested[0] == 1 and found.code[0] == 3


def test_a_model_that_knows_nothing_contradicts_no_label() -> None:
    """People confirm nine labels of ten; the model guesses. So the label is believed, and the model not."""
    rng = np.random.default_rng(0)
    labels = np.arange(900) % 3
    probs = rng.dirichlet(np.full(3, 0.5), 900)
    votes = np.zeros((900, 3), int)
    votes[np.arange(300), np.where(rng.random(300) < 0.9, labels[:300], (labels[:300] + 1) % 3)] = 1
    found = expected_answers(probs, votes, labels)
    assert found.exponents[0] < 0.1
    assert 0.9 < found.powers[1] < 1.1
    np.testing.assert_allclose(found.shares[300:].max(1), 0.9, atol=0.05)
    assert not found.flagged[300:].any()


def test_models_rank_and_the_label_decides() -> None:
    """Nine of ten labels "cat" are right, and half of the labels "dog"; the model gives all the same odds."""
    n = 3000
    labels, rng = np.arange(n) % 2, np.random.default_rng(0)
    truth = np.where(rng.random(n) < np.where(labels == 0, 0.9, 0.3), labels, 1 - labels)
    probs = np.full((n, 2), 0.5)
    votes = np.zeros((n, 2), int)
    votes[np.arange(1000), truth[:1000]] = 1
    found = expected_answers(probs, votes, labels)
    assert (found.score[1000:] == 0.5).all()
    assert (found.flagged[1000:] == (labels[1000:] == 1)).all()


def test_planted_errors_that_models_of_the_labels_share_are_found() -> None:
    """A confusion that labels and their models share: whoever asks the labels alone cannot see it."""
    from curate.scorers.noise import label_errors

    rng = np.random.default_rng(0)
    n = 4000
    truth = rng.integers(0, 3, n)
    odd = (truth == 1) & (rng.random(n) < 0.15)  # an odd sort of dogs, which the labels call cats
    labels = np.where(odd, 0, truth)
    given_model = 0.9 * np.eye(3)[labels] + 0.1 / 3
    people_model = 0.6 * np.eye(3)[truth] + 0.4 / 3
    votes = np.zeros((n, 3), int)
    for row in range(1000):
        votes[row] = rng.multinomial(3, 0.8 * np.eye(3)[truth[row]] + 0.2 / 3)
    found = expected_answers([given_model, people_model], votes, labels)
    unasked = np.arange(n) >= 1000
    assert (found.flagged == odd)[unasked].mean() > 0.99
    assert not label_errors(given_model, labels).flagged.any()


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 1000))
def test_any_data_gives_shares_that_sum_to_one(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n += k
    probs = rng.dirichlet(np.full(k, 0.2), n)
    votes = rng.integers(0, 3, (n, k)) * (rng.random((n, 1)) < 0.7)
    votes[0, 0] += 1
    labels = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    found = expected_answers(probs, votes, labels)
    np.testing.assert_allclose(found.shares.sum(1), 1, atol=1e-5)
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert (found.suggested != labels).tolist() == found.flagged.tolist()
    turned = np.arange(n)[::-1]
    again = expected_answers(probs[turned], votes[turned], labels[turned])
    np.testing.assert_allclose(again.score[::-1], found.score, atol=2e-3)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        (np.zeros((6, 3)), "nobody was asked"),
        (np.ones((6, 2)), r"votes have shape \(6, 2\), the probabilities \(6, 3\)"),
        (-np.ones((6, 3)), r"row 0 has -1.0 in column 0"),
        (np.full((6, 3), 0.5), r"whole numbers.*row 0 has 0.5"),
        (np.full((6, 3), np.nan), r"row 0 has nan"),
        (np.full((6, 3), np.inf), r"row 0 has inf"),
    ],
)
def test_votes_that_are_none(votes: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        expected_answers(np.full((6, 3), 1 / 3), votes, np.arange(6) % 3)


def test_no_rows() -> None:
    found = expected_answers(np.empty((0, 3)), np.empty((0, 3)), np.empty(0))
    assert len(found) == 0 and found.shares.shape == (0, 3)


def stored(**more: Any) -> ArrayView:
    n = 60
    truth = np.arange(n) % 3
    probs = (0.9 * np.eye(3)[truth] + 0.1 / 3).astype(np.float32)
    answers: list[Any] = [
        [{"annotator": f"a{j}", "value": NAMES[truth[i]]} for j in range(3)] if i >= 30 else None
        for i in range(n)
    ]
    labels = [NAMES[t] for t in truth]
    for i in (4, 34, 41, 50):
        labels[i] = NAMES[(truth[i] + 1) % 3]
    table = {"id": [f"{i:02d}" for i in range(n)], "label": labels, "answers": answers, **more}
    return ArrayView(table, {"pred_probs": probs})


def test_in_a_store() -> None:
    view = stored()
    scored = score_all(ExpectedAnswers(), view)
    disputed = scored["label_disputed"].to_numpy(zero_copy_only=False)
    assert np.flatnonzero(disputed).tolist() == [4, 34, 41, 50]
    suggested = scored["label_disputed_suggestion"].to_pylist()
    assert [suggested[i] for i in (4, 34, 41, 50)] == [NAMES[i % 3] for i in (4, 34, 41, 50)]
    because = scored["label_disputed_because"].to_pylist()
    assert because[4] == "most people are expected to say something else"
    assert because[34] == "those who were asked say something else"
    assert suggested[5] is None
    assert len(scored["answer_shares"][0].as_py()) == 3
    notes = " ".join(ExpectedAnswers().fit(view).notes)
    assert "4 labels of 60 items would be contradicted by most people" in notes
    assert "learnt from 90 answers about 30 items, of which the models alone foretold 100.0%" in notes


def test_answers_that_are_no_class_and_rows_that_cannot_be_scored() -> None:
    answers: list[Any] = [
        [{"annotator": "a", "value": "cannot tell" if i < 3 else NAMES[i % 3]}] for i in range(60)
    ]
    labels = [None, *(NAMES[i % 3] for i in range(1, 60))]
    fitted = ExpectedAnswers().fit(stored(answers=answers, label=labels))
    assert fitted.table["expected_answers_reason"][0].as_py() == "no label"
    assert any(
        "3 answers that are none of the classes count as not given: 'cannot tell'" in one
        for one in fitted.notes
    )
    assert any("nobody was asked what another was asked" in one for one in fitted.notes)


def test_nobody_was_asked() -> None:
    strange = [[{"annotator": "a", "value": "cannot tell"}]] * 60
    with pytest.raises(
        InputError, match=r"nobody was asked .* as far as answers tell \(60 answers .*'cannot tell'\)"
    ):
        ExpectedAnswers().fit(stored(answers=strange))
    with pytest.raises(InputError, match="pred_probs names no column"):
        ExpectedAnswers(pred_probs=())


def test_plain_columns_of_annotators() -> None:
    ann = [NAMES[i % 3] if i % 2 or i > 30 else None for i in range(60)]
    scored = score_all(ExpectedAnswers(columns=("ann", "ben")), stored(ann=ann, ben=ann))
    assert scored["label_disputed"].to_pylist()[4] is True


def test_models_that_foretell_nothing_are_said_to() -> None:
    rng = np.random.default_rng(0)
    view = stored()
    noise = ArrayView(
        view.to_arrow(["id", "label", "answers"]), {"pred_probs": rng.dirichlet(np.ones(3), 60)}
    )
    assert any("tell hardly anything of what people say" in one for one in ExpectedAnswers().fit(noise).notes)
