"""Importance: n-grams by hand, density ratios against the known one, resampling that turns a pool into its target."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.selectors.reweighting import (
    hashed_ngrams,
    importance_resample,
    log_density_ratio,
    ngram_log_ratio,
)


def test_ngrams_by_hand() -> None:
    found = hashed_ngrams(["The cat, the", None, "cat"], n=2, buckets=1 << 20)
    # the | cat | , | the   and   the cat | cat , | , the
    assert np.bincount(found.text, minlength=3).tolist() == [7, 0, 1]
    unigrams = hashed_ngrams(["The cat, the", "cat"], n=1, buckets=1 << 20)
    counts = unigrams.totals()
    assert sorted(counts[counts > 0]) == [1, 2, 2]  # "," once, "the" and "cat" twice
    assert found.buckets == 1 << 20 and found.bucket.max() < 1 << 20
    assert set(unigrams.bucket[unigrams.text == 1]) <= set(unigrams.bucket[unigrams.text == 0])


def test_ngrams_do_not_run_from_one_text_into_the_next_and_depend_on_order() -> None:
    one = hashed_ngrams(["a b", "c d"], n=2, buckets=1 << 30)
    both = {frozenset(one.bucket[one.text == t]) for t in range(2)}
    assert both == {frozenset(hashed_ngrams([t], n=2, buckets=1 << 30).bucket) for t in ("a b", "c d")}
    assert set(hashed_ngrams(["b a"], n=2, buckets=1 << 30).bucket) != set(one.bucket[one.text == 0])


def test_many_texts_are_taken_apart_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.selectors.reweighting import ngrams

    texts = [f"word{i % 7} and word{i % 3} again" for i in range(100)]
    whole = hashed_ngrams(texts)
    monkeypatch.setattr(ngrams, "_TEXTS", 13)
    pieces = hashed_ngrams(texts)
    assert np.array_equal(whole.bucket, pieces.bucket) and np.array_equal(whole.text, pieces.text)


def test_log_ratio_by_hand() -> None:
    pool, target = (hashed_ngrams(t, n=1, buckets=1 << 16) for t in (["a b", "b b"], ["a a a b"]))
    found = ngram_log_ratio(pool, target, smoothing=1e-12)
    a, b = np.log(0.75 / 0.25), np.log(0.25 / 0.75)
    assert np.allclose(found, [a + b, 2 * b], atol=1e-5)
    with pytest.raises(InputError, match="no words"):
        ngram_log_ratio(hashed_ngrams([""]), hashed_ngrams(["a"]))
    with pytest.raises(InputError, match="one hashing"):
        ngram_log_ratio(hashed_ngrams(["a"], buckets=10), hashed_ngrams(["a"]))


def test_texts_like_the_target_are_drawn() -> None:
    rng = np.random.default_rng(0)
    words = {"sea": ["wave", "salt", "ship", "tide"], "wood": ["tree", "leaf", "moss", "deer"]}
    kinds = rng.choice(["sea", "wood"], 400, p=[0.2, 0.8])
    texts = [" ".join(rng.choice([*words[k], "and", "the"], 12)) for k in kinds]
    target = [" ".join(rng.choice([*words["sea"], "and", "the"], 12)) for _ in range(50)]
    ratio = ngram_log_ratio(hashed_ngrams(texts), hashed_ngrams(target))
    chosen = importance_resample(ratio, 40, rng=np.random.default_rng(1))
    assert (kinds[chosen.index] == "sea").mean() > 0.95 > 0.25 > (kinds == "sea").mean()


@pytest.mark.parametrize(("method", "least"), [("logistic", 0.99), ("ulsif", 0.9)])
def test_the_ratio_of_two_gaussians(method: str, least: float) -> None:
    rng = np.random.default_rng(0)
    pool, target = rng.normal(0, 1, (3000, 2)), rng.normal([0.7, -0.3], 1, (1500, 2))
    truth = pool @ np.array([0.7, -0.3]) - (0.7**2 + 0.3**2) / 2
    found = log_density_ratio(pool, target, method=method)  # type: ignore[arg-type]
    assert np.corrcoef(np.exp(found), np.exp(truth))[0, 1] > least
    assert np.exp(found).mean() == pytest.approx(1, abs=0.1)  # a density ratio has mean 1 over the pool
    again = log_density_ratio(pool, target, method=method)  # type: ignore[arg-type]
    assert np.array_equal(found, again)


def test_a_row_is_judged_by_a_classifier_that_has_not_seen_it() -> None:
    rng = np.random.default_rng(0)
    pool, target = (
        rng.normal(size=(40, 30)),
        rng.normal(size=(40, 30)),
    )  # the same distribution, much to overfit
    seen, unseen = (log_density_ratio(pool, target, strength=1e-3, folds=f) for f in (1, 5))
    assert seen.mean() < -1  # it has learnt by heart which rows are of the pool
    assert unseen.mean() > seen.mean() / 2


def test_resampling_turns_the_pool_into_the_target() -> None:
    rng = np.random.default_rng(0)
    pool, target = rng.normal(0, 1, (4000, 1)), rng.normal(1, 1, (1000, 1))
    weighted = importance_resample(log_density_ratio(pool, target))
    mean = (weighted.by_row * pool[:, 0]).mean()
    assert mean == pytest.approx(1, abs=0.1) and len(weighted) == 4000
    drawn = importance_resample(log_density_ratio(pool, target), 400, rng=np.random.default_rng(2))
    assert pool[drawn.index].mean() > 0.75 and len(drawn) == 400
    capped = importance_resample(log_density_ratio(pool, target), cap=2.0)
    assert capped.by_row.max() <= 2 * (1 + 1e-6) and capped.effective > weighted.effective
    flat = importance_resample(log_density_ratio(pool, target), temperature=1e6)
    assert flat.effective == pytest.approx(4000, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_density_ratio(np.zeros((9, 2)), np.zeros((9, 3))), "3 numbers, the pool's 2"),
        (
            lambda: log_density_ratio(np.zeros((9, 2)), np.full((9, 2), np.nan)),
            "target features are not finite",
        ),
        (lambda: log_density_ratio(np.zeros((3, 2)), np.zeros((9, 2))), "cannot be dealt to 5 folds"),
        (lambda: log_density_ratio(np.zeros((9, 2)), np.zeros((9, 2)), method="kde"), "logistic or ulsif"),
        (lambda: log_density_ratio(np.zeros((9, 2)), np.zeros((9, 2)), strength=0), "strength=0"),
        (lambda: importance_resample([1.0, np.inf]), "finite"),
        (lambda: importance_resample([1.0, 2.0], 3), "budget 3"),
        (lambda: importance_resample([1.0, 2.0], temperature=0), "temperature=0"),
        (lambda: importance_resample([1.0, 2.0], cap=0.5), "cap=0.5"),
        (lambda: hashed_ngrams(["a"], n=0), "n=0"),
    ],
)
def test_what_cannot_be(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]


def test_a_draw_goes_on_where_weights_are_too_small_to_be_told_from_zero() -> None:
    ratio = np.array([0.0, -2000.0, -1000.0, -1e4])
    chosen = importance_resample(ratio, 4, rng=np.random.default_rng(0))
    assert chosen.index.tolist() == [0, 2, 1, 3]
    assert len(importance_resample(ratio)) == 1
