import numpy as np
import pytest

from curate.scorers.noise.label_noise.evidence import Evidence, Pool
from curate.scorers.noise.label_noise.finder import LabelIssues, label_errors
from curate.scorers.noise.label_noise.pooling import (
    fit_weights,
    learn_pool,
    least_said,
    pool_slopes,
    smallest,
    spaced,
)


def views(
    rng: np.random.Generator, n: int, blur: tuple[float, ...], k: int = 4
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Models that see the logits of a truth through so much noise each."""
    truth = rng.integers(0, k, n)
    logits = 2.0 * np.eye(k)[truth]
    seen = [np.exp(logits + rng.normal(0, one, (n, k))) for one in blur]
    return tuple((one / one.sum(1, keepdims=True)).astype(np.float32) for one in seen), truth


def heard(*weights: float) -> Pool:
    """Models that say something of every class."""
    return Pool(tuple(map(float, weights)), (1e-7,) * len(weights))


def weights_of(members: tuple[np.ndarray, ...], labels: np.ndarray) -> tuple[float, ...]:
    return learn_pool(members, labels).weights


def test_the_slopes_of_two_rows_by_hand() -> None:
    half, sure = np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[0.8, 0.2], [0.2, 0.8]])
    found = pool_slopes((half, sure), heard(1.0, 1.0), np.array([0, 0]))
    # The pool is what the second says; the first says the same of either class.
    np.testing.assert_allclose(found[:, 0], np.log([0.8, 0.2]))
    np.testing.assert_allclose(found[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(found[:, 2], [0.2 * np.log(4), -0.8 * np.log(4)])


def test_slopes_are_those_of_the_log_probability() -> None:
    rng = np.random.default_rng(0)
    members, labels = views(rng, 50, (1.0, 2.0, 0.5))
    at, step = np.array([0.3, 0.7, 1.4]), 1e-5
    found = pool_slopes(members, heard(*at), labels)
    for i in range(3):
        ends = [pool_slopes(members, heard(*(at + side * step * np.eye(3)[i])), labels) for side in (1, -1)]
        np.testing.assert_allclose(found[:, 1 + i], (ends[0][:, 0] - ends[1][:, 0]) / (2 * step), atol=1e-6)


def test_the_log_probability_is_that_of_the_pool() -> None:
    members, labels = views(np.random.default_rng(1), 50, (1.0, 2.0))
    pool = Pool((0.25, 0.75), (0.1, 1e-7))
    pooled = Evidence(members, pool).at(np.arange(50), labels)
    np.testing.assert_allclose(pool_slopes(members, pool, labels)[:, 0], np.log(pooled), atol=1e-5)


def test_labels_are_likeliest_under_the_weights_that_are_found() -> None:
    members, labels = views(np.random.default_rng(2), 3000, (1.0, 2.0))
    found = weights_of(members, labels)

    def likelihood(weights: tuple[float, ...]) -> float:
        """At the best of many scales."""
        return max(
            pool_slopes(members, heard(scale * weights[0], scale * weights[1]), labels)[:, 0].sum()
            for scale in np.linspace(0.5, 2.5, 81)
        )

    best = max(((share, 1 - share) for share in np.linspace(0, 1, 51)), key=likelihood)
    assert sum(found) == pytest.approx(1)
    np.testing.assert_allclose(found, best, atol=0.021)
    assert found[0] > 0.65  # log-odds blurred half as much tell four times as much


def test_copies_share_what_one_of_them_would_count() -> None:
    members, labels = views(np.random.default_rng(3), 3000, (1.0, 1.0))
    one, other = weights_of(members, labels)
    first, second, alone = weights_of((members[0], members[0], members[1]), labels)
    assert first == pytest.approx(second, abs=1e-6)
    assert first + second == pytest.approx(one, abs=0.01)
    assert alone == pytest.approx(other, abs=0.01)


def test_models_that_tell_nothing_or_the_contrary_count_alike() -> None:
    members, labels = views(np.random.default_rng(4), 200, (0.5, 0.5))
    assert weights_of(members, (labels + 1) % 4) == (0.5, 0.5)
    assert weights_of((np.full((200, 4), 0.25),) * 3, labels) == pytest.approx((1 / 3,) * 3)


def test_few_items_move_weights_little() -> None:
    members, labels = views(np.random.default_rng(5), 4000, (0.5, 3.0))
    few, many = (weights_of(tuple(one[:n] for one in members), labels[:n])[0] for n in (4, 4000))
    assert 0.5 < few < 0.9 < many


def test_a_single_model_is_all_there_is() -> None:
    assert weights_of((np.full((5, 2), 0.5),), np.zeros(5, np.int64)) == (1.0,)


def test_a_sample_is_spread_evenly() -> None:
    np.testing.assert_array_equal(spaced(5), np.arange(5))
    rows = spaced(100_001)
    assert len(rows) == 20_000 and rows[0] == 0 and rows[-1] == 100_000
    assert set(np.diff(rows).tolist()) <= {5, 6}


def test_rows_may_be_asked_anywhere() -> None:
    members, labels = views(np.random.default_rng(6), 301, (1.0, 2.0))

    def cut(exponents: tuple[float, ...]) -> np.ndarray:
        halves = (slice(0, 100), slice(100, None))
        return np.concatenate(
            [pool_slopes([one[half] for one in members], heard(*exponents), labels[half]) for half in halves]
        )

    assert fit_weights(2, cut) == weights_of(members, labels)


def test_a_zero_counts_as_half_of_the_least_that_a_model_says() -> None:
    votes = np.array([[0.8, 0.2, 0.0], [0.0, 0.6, 0.4]])
    assert smallest(votes) == 0.2
    assert least_said([0.2, 1e-30]) == (0.1, 1e-7)
    sure = np.array([[0.0, 0.0, 1.0]] * 2)
    pool = learn_pool((votes, sure), np.array([0, 2]))
    assert pool.least == pytest.approx((0.1, 0.5))
    told = Evidence((votes, sure), Pool((0.5, 0.5), pool.least)).take(slice(None))
    expected = np.sqrt([[0.8 * 0.5, 0.2 * 0.5, 0.1], [0.1 * 0.5, 0.6 * 0.5, 0.4]])
    np.testing.assert_allclose(told, expected / expected.sum(1, keepdims=True), rtol=1e-6)


def test_voters_that_have_not_seen_a_class_do_not_rule_it_out() -> None:
    """Wrong labels that the better model finds stay found beside fifteen neighbours that mostly vote for one class."""
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 10, 4000)
    labels = np.where(rng.random(4000) < 0.2, rng.integers(0, 10, 4000), truth)
    logits = 3.0 * np.eye(10)[truth] + rng.normal(0, 1, (4000, 10))
    model = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    share = 0.6 * np.eye(10)[truth] + 0.4 / 10
    votes = np.array([rng.multinomial(15, one) for one in share]) / 15
    wrong = labels != truth

    def precision(found: LabelIssues) -> float:
        return float(wrong[found.worst_first()[: wrong.sum()]].mean())

    alone, both = label_errors(model, labels), label_errors([model, votes], labels)
    assert precision(both) > precision(alone) + 0.01
    assert both.weights[1] > 0.2
