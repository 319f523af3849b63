"""What replies say, however judges put it."""

from __future__ import annotations

import math

import pytest

from curate.errors import InputError
from curate.scorers.alignment.judges.reading import Rated, Unreadable, find_json, find_rating, scale_of
from curate.scorers.alignment.judges.replies import Reply

STARS = ("1", "2", "3", "4", "5")
PAIR = ("B", "tie", "A")


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", 4), (" **4**.\n", 4), ("4/5", 4), ("I give it 4 out of 5.", 4), ("Rating: 2, truly 2", 2)],
)
def test_a_number_is_found(text: str, value: float) -> None:
    assert find_rating(Reply(text), STARS) == Rated(value, 0.0, False)


@pytest.mark.parametrize(
    ("text", "value"), [("A", 1), ("b", 0), ("Answer: B", 0), ("It is a Tie.", 0.5), ("A is a better one", 1)]
)
def test_a_word_is_found(text: str, value: float) -> None:
    assert find_rating(Reply(text), PAIR).value == value


@pytest.mark.parametrize("text", ["", "good", "4 or 5", "10", "4.5", "-3", "x4", "7/5"])
def test_no_single_number_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        find_rating(Reply(text), STARS)


@pytest.mark.parametrize("text", ["A or B", "a dog", "neither"])
def test_no_single_word_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        find_rating(Reply(text), PAIR)


def test_the_expected_value_sums_the_ways_to_write_a_token() -> None:
    place = ((" 4", math.log(0.3)), ("4", math.log(0.3)), ("2", math.log(0.2)), ("the", math.log(0.1)))
    reply = Reply("Score: 4", top=((("Score", -0.1),), ((":", -0.1),), place))
    found = find_rating(reply, STARS)
    assert found.logprobs
    assert found.value == pytest.approx((0.6 * 4 + 0.2 * 2) / 0.8)
    assert found.spread == pytest.approx(math.sqrt((0.6 * 0.25 + 0.2 * 2.25) / 0.8))


def test_where_the_tokens_do_not_hold_the_word_it_counts_alone() -> None:
    reply = Reply("excellent", top=((("ex", -0.1), ("good", -2.0)),))
    assert find_rating(reply, ("good", "excellent")) == Rated(1.0, 0.0, False)


def test_what_a_model_thinks_aloud_does_not_count() -> None:
    places = tuple(((token, -0.1),) for token in ("<think>", "4", "? ", "</think>", "\n"))
    last = (("2", math.log(0.5)), ("4", math.log(0.5)))
    reply = Reply("<think>4? </think>\n2", top=(*places, last))
    assert find_rating(reply, STARS).value == pytest.approx(3)
    assert find_rating(Reply("<think>4, or 3</think>2"), STARS).value == 2
    assert find_json('<think>{"a": 2}</think>{"a": 1}') == {"a": 1}


def test_scales() -> None:
    assert scale_of(STARS) == [1, 2, 3, 4, 5]
    assert scale_of(("no", "yes")) == [0, 1]
    assert scale_of(("bad", "fair", "good")) == [0, 0.5, 1]
    for wrong in (("1",), ("2", "1"), ("a", "A "), ("", "b"), ("1", "nan")):
        with pytest.raises(InputError):
            scale_of(wrong)


@pytest.mark.parametrize(
    "text", ['{"a": 1}', 'Sure! ```json\n{"a": 1}\n```', 'set {x} is {"a": 1} and {"b": 2}'], ids=range(3)
)
def test_json_is_found(text: str) -> None:
    assert find_json(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "[1]", '{"a": ', '{"a": NaN}', "{" * 5000, '{"a":' * 3000])
def test_no_json_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        find_json(text)
