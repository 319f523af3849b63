"""Where elements stand in a text, and the shades of its stretches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.report.model import Element, Stretch
from curate.report.shading import locate, shade, strip_type


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("dog", "A hot dog and a DOG", ["dog"]),
        ("dog", "dogs", []),
        ("red car", "a blue car, a Red  car", ["Red  car"]),
        ("dogs on grass", "dogs run on wet grass", ["dogs", "on", "grass"]),
        ("grass on dogs", "dogs run on wet grass", []),
        ("猫", "一只猫在睡觉", ["猫"]),
        ("", "a dog", []),
        ("...", "a dog...", []),
        ("a", "", []),
    ],
)
def test_phrases_are_found_as_words(phrase: str, text: str, found: list[str]) -> None:
    assert [text[low:high] for low, high in locate(phrase, text)] == found


def test_the_type_in_brackets_is_not_part_of_the_phrase() -> None:
    assert strip_type("guitar (object)") == "guitar"
    assert strip_type("St. Bernard (dog) (animal/human)") == "St. Bernard (dog)"
    assert strip_type("(object)") == "(object)"


def test_a_word_under_two_elements_has_the_mean_of_their_tones() -> None:
    elements = [
        Element("red car", "red car", "0.9", 0.8),
        Element("car", "car", "0.5", 0.0),
        Element("road", "road", "", None, note="no score"),
    ]
    assert shade("A red car on a road.", elements) == (
        Stretch("A "),
        Stretch("red ", 0.8, "red car: 0.9"),
        Stretch("car", 0.4, "red car: 0.9; car: 0.5"),
        Stretch(" on a "),
        Stretch("road", None, "road: no score"),
        Stretch("."),
    )


def test_an_element_without_a_score_does_not_dilute_one_that_has_one() -> None:
    made = shade("car", [Element("car", "car", "1", 1.0), Element("car", "car", "", None)])
    assert [one.tone for one in made] == [1.0]


@given(st.text(max_size=60), st.lists(st.text(max_size=8), max_size=5))
def test_the_stretches_are_the_text(text: str, phrases: list[str]) -> None:
    elements = [Element(p, p, "1", 0.5) for p in phrases]
    assert "".join(one.text for one in shade(text, elements)) == text
