"""Cleaning, spans and formulas, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.alignment.fga.captions import clean_caption, element_text, find_span
from curate.scorers.alignment.fga.formulas import (
    element_scores,
    learning_rate,
    overall_scores,
    prompt_variances,
    token_targets,
    variance_weights,
)


def test_captions_are_cleaned() -> None:
    assert clean_caption('  A "Red"  Car. (new)\n#1; ~*left*: of!\tit') == "a red car new 1 left of it"
    assert clean_caption("it's 3,5 m - no?") == "it's 3,5 m - no?"
    assert clean_caption("a b c d", max_words=2) == "a b"
    assert len(clean_caption("w " * 10_000).split()) == 50
    assert clean_caption("...") == clean_caption("") == ""
    with pytest.raises(InputError, match="max_words=0"):
        clean_caption("a", 0)


@given(st.text(max_size=60), st.integers(1, 5))
def test_cleaning_twice_is_cleaning_once(text: str, words: int) -> None:
    once = clean_caption(text, words)
    assert clean_caption(once, words) == once
    assert len(once.split()) <= words


def test_elements_without_their_type() -> None:
    assert element_text("guitar (object)") == "guitar"
    assert element_text("f(x) axis (other)") == "f(x) axis"
    assert element_text("guitar") == "guitar"
    assert element_text("a (red) car") == "a (red) car"


def test_spans_are_whole_words_and_the_first() -> None:
    tokens = ["[CLS]", "car", "##pet", "a", "car", "a", "car", "[SEP]"]
    assert find_span(tokens, ["car"]) == (4, 5)
    assert find_span(tokens, ["car", "##pet"]) == (1, 3)
    assert find_span(tokens, ["car", "##pe"]) is None
    assert find_span(tokens, []) is None
    assert find_span(tokens[:2], ["car"]) == (1, 2)
    assert find_span(["a"], ["a", "b"]) is None
    assert find_span(["x", "y+"], ["x"], continuation="y") is None


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
def test_a_span_is_the_first_equal_run(tokens: list[str], element: list[str]) -> None:
    found = find_span(tokens, element)
    at = "".join(tokens).find("".join(element))
    assert found == (None if at < 0 else (at, at + len(element)))


def test_scores_by_hand() -> None:
    assert overall_scores(np.array([[0.0, 1.0], [0.5, 0.75]])).tolist() == [3.0, 3.5]
    tokens = np.array([0.1, 0.2, 0.6, 0.4])
    assert element_scores(tokens, [(1, 3), None, (3, 4)]) == [pytest.approx(0.4), None, pytest.approx(0.4)]
    for span in ((1, 1), (2, 5), (-1, 2)):
        with pytest.raises(InputError, match="does not lie within 4 tokens"):
            element_scores(tokens, [span])


def test_targets_by_hand() -> None:
    target, mask = token_targets(4.0, [(1, 3), (2, 4)], [1.0, 0.5], 6)
    assert target.tolist() == [0.75, 1.0, 0.75, 0.5, 0.0, 0.0]
    assert mask.tolist() == [1, 1, 1, 1, 0, 0]
    assert target.dtype == mask.dtype == np.float32


def test_variances_and_weights_by_hand() -> None:
    variances = prompt_variances(["p", "q", "p", "r", "q"], np.array([1.0, 2, 3, 4, 2]))
    assert variances[[0, 2]].tolist() == [2, 2] and variances[[1, 4]].tolist() == [0, 0]
    assert np.isnan(variances[3])
    assert variance_weights(variances, "none").tolist() == [1] * 5
    assert variance_weights(variances, "linear").tolist() == [2, 0, 2, 1, 0]
    assert variance_weights(variances, "exp") == pytest.approx(
        [np.e**2, 1, np.e**2, (2 * np.e**2 + 2) / 4, 1]
    )
    assert variance_weights(np.array([np.nan]), "linear").tolist() == [1]
    with pytest.raises(InputError, match="none, linear or exp"):
        variance_weights(variances, "square")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 prompts and 1 score"):
        prompt_variances(["a", "b"], np.zeros(1))


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step, 110, 1e-3, 10) for step in range(111)]
    assert rates[0] == 1e-8 and rates[10] == 1e-3
    assert rates[5] == pytest.approx((1e-8 + 1e-3) / 2)
    assert rates[60] == pytest.approx(0.5e-3)
    assert rates[110] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(rates[:11]) > 0) and np.all(np.diff(rates[10:]) < 0)
    assert learning_rate(0, 5, 1.0, 0) == 1.0
