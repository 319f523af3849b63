"""Numbers and untrusted text as people read them."""

from __future__ import annotations

import math

import pytest

from curate.report.words import clean, items, number, plain, share, shorten


def test_shares_are_never_falsely_nothing_or_all():
    assert share(1, 3) == "33.3 %"
    assert share(0, 10) == "0 %"
    assert share(1, 1_000_000) == "<0.1 %"
    assert share(999_999, 1_000_000) == ">99.9 %"
    assert share(5, 5) == "100 %"
    assert share(0, 0) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2, "0.2"),
        (0.20004, "0.2"),
        (0.123456, "0.1235"),
        (1.947e-6, "1.9e-6"),
        (-0.00012347, "-0.0001235"),
        (1797, "1,797"),
        (1797.0, "1,797"),
        (123456.7, "123,457"),
        (math.nan, "not a number"),
        (-math.inf, "−∞"),
        (None, "–"),
    ],
)
def test_numbers(value: float | None, text: str):
    assert number(value) == text


def test_nothing_stays_invisible():
    assert clean("a\x00b") == "a␀b"
    assert clean("a\u202eexe.gpj") == "a⟨U+202E⟩exe.gpj"
    assert clean("one\ttwo\nthree") == "one\ttwo\nthree"
    assert clean("مرحبا") == "مرحبا"
    assert clean("\ud800") == "⟨U+D800⟩"


def test_long_text_says_how_long_it_was():
    assert shorten("x" * 1_000_000, 10) == "xxxxxxxxxx… (1,000,000 characters)"
    assert shorten("short", 10) == "short"


def test_values_of_any_type_have_a_text():
    assert [plain(v) for v in (None, True, 3, 0.5, b"\x01\x02", "a")] == ["", "yes", "3", "0.5", "0102", "a"]
    assert items(1) == "1 item" and items(1797) == "1,797 items"
