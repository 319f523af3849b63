"""`text-basics`: shares counted by hand."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError, MissingExtraError
from curate.scorers.quality import text as module
from curate.scorers.quality.text import TextBasics, detect_languages, text_measures, text_score
from curate.testing import ArrayView, check_scorer, score_all

needs_langid = pytest.mark.skipif(
    importlib.util.find_spec("py3langid") is None, reason="extra text not installed"
)


def measure(text: str | None, ngram: int = 3) -> dict[str, float]:
    return {
        name: float(values[0]) for name, values in text_measures(pa.array([text], pa.string()), ngram).items()
    }


def test_a_plain_caption() -> None:
    got = measure("A dog runs.")
    assert got["text_characters"] == 11
    assert got["text_words"] == 3
    assert got["text_repetition"] == 0
    assert got["text_alphabetic"] == pytest.approx(8 / 9)  # Adogruns.
    assert got["text_unique_words"] == 1
    assert got["text_links"] == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a b c a b c", 1 / 4),  # abc bca cab abc
        ("buy now BUY NOW buy now", 2 / 4),
        ("no no no yes", 2 / 4),  # stutter: two of four words equal the one before; no trigram is repeated
        ("hello hello", 1 / 2),
        ("hello", 0),
        ("", 0),
        ("one two\nthree four\nOne  two", 1 / 3),  # the third line repeats the first
        ("x y\n\n\nz w\n", 0),
        ("the cat the dog the cow", 0),
    ],
)
def test_repetition_by_hand(text: str, share: float) -> None:
    assert measure(text)["text_repetition"] == pytest.approx(share)


def test_ngram_is_the_length_of_what_is_repeated() -> None:
    assert measure("a b x a b y", 2)["text_repetition"] == pytest.approx(1 / 5)  # ab bx xa ab by
    assert measure("a b x a b y", 3)["text_repetition"] == 0
    a, b = (TextBasics(ngram=n).score(pa.record_batch({"text": ["a b x a b y"]})) for n in (2, 3))
    assert a.column("text_repetition")[0].as_py() > b.column("text_repetition")[0].as_py()
    with pytest.raises(InputError, match="ngram=1"):
        TextBasics(ngram=1)


def test_links_and_digits() -> None:
    got = measure("see https://a.bc/d now")
    assert got["text_links"] == pytest.approx(14 / 22)
    assert measure("1234 5678!")["text_alphabetic"] == 0
    assert measure("www.example.org")["text_links"] == 1
    assert measure("the www is old")["text_links"] == 0


def test_scripts_without_spaces_have_a_word_per_character() -> None:
    assert measure("日本語の文")["text_words"] == 5
    assert measure("日本語の文")["text_alphabetic"] == 1
    assert measure("हिन्दी भाषा")["text_words"] == 2
    assert measure("हिन्दी भाषा")["text_alphabetic"] == 1  # vowel signs are marks of letters
    assert measure("안녕하세요 세계")["text_words"] == 2


def test_score_is_the_worst_part() -> None:
    def score(text: str) -> float:
        return float(text_score(text_measures(pa.array([text])))[0])

    assert score("three good words") == 1
    assert score("two words") == pytest.approx(2 / 3)
    assert score("word") == pytest.approx(1 / 3)
    assert score("") == 0
    assert score("   \n ") == 0
    assert score("spam spam spam spam") == pytest.approx(0.25)
    assert score("see https://a.bc/d now") == pytest.approx(1 - 14 / 22)
    assert score("10 20 30 40 x") == pytest.approx(1 / 9)


@given(st.lists(st.text(alphabet="ab \nA", max_size=40), max_size=12), st.integers(2, 4))
def test_shares_agree_with_counting_one_text_at_a_time(texts: list[str], ngram: int) -> None:
    def repeats(tokens: list[str], n: int) -> float:
        grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
        return sum(c - 1 for c in Counter(grams).values()) / len(grams) if grams else 0.0

    got = text_measures(pa.array(texts, pa.string()), ngram)
    for row, text in enumerate(texts):
        words = text.lower().split()
        lines = [" ".join(line.split()) for line in text.lower().split("\n") if line.strip()]
        stutter = sum(a == b for a, b in pairwise(words)) / max(1, len(words))
        assert got["text_words"][row] == len(words)
        assert got["text_unique_words"][row] == pytest.approx(len(set(words)) / len(words) if words else 1)
        expected = max(repeats(words, ngram), repeats(lines, 1), stutter)
        assert got["text_repetition"][row] == pytest.approx(expected)


@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_text_gives_bounded_numbers_and_no_batch_effect(texts: list[str]) -> None:
    column = pa.array(texts, pa.string())
    got = text_measures(column)
    for name in ("text_repetition", "text_alphabetic", "text_unique_words", "text_links"):
        assert ((got[name] >= 0) & (got[name] <= 1)).all()
    assert got["text_characters"].tolist() == [len(t) for t in texts]
    for row in range(len(texts)):
        alone = text_measures(column[row : row + 1])
        assert all(alone[name][0] == got[name][row] for name in got)


def test_pieces_of_a_long_column_join_up(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pa.array(["a b", "b b b", None, "c d e f", ""])
    whole = text_measures(column)
    monkeypatch.setattr(module, "_ROWS", 2)
    assert all(np.array_equal(values, whole[name]) for name, values in text_measures(column).items())


def test_a_megabyte_of_text_is_measured() -> None:
    assert measure("spam " * 200_000)["text_repetition"] == pytest.approx(1, abs=1e-4)


def test_conformance_with_a_planted_repetition() -> None:
    rows = ["A child climbs the stairs .", "buy buy buy buy buy buy", "", None, "x\ny"]
    view = ArrayView({"id": list("abcde"), "text": rows})
    check_scorer(TextBasics(), view, planted=("a", "b"))
    scored = score_all(TextBasics(), view)
    assert scored["text_basics_reason"].to_pylist() == [None, None, None, "no text", None]
    assert scored["text_basics"][2].as_py() == 0


@needs_langid
def test_languages_of_sentences_anyone_can_tell() -> None:
    rows = [
        "The weather is nice and we are going to the beach this afternoon.",
        "Das Wetter ist schön und wir gehen heute Nachmittag an den Strand.",
        "Il fait beau et nous allons à la plage cet après-midi.",
        "今日は天気がいいので、午後に海へ行きます。",
        "1234 !!",
        None,
    ]
    codes, probabilities = detect_languages(pa.array(rows))
    assert codes == ["en", "de", "fr", "ja", None, None]
    assert (probabilities[:4] > 0.9).all() and np.isnan(probabilities[4:]).all()
    scorer = TextBasics(language=True)
    view = ArrayView({"id": list("abcdef"), "text": rows})
    check_scorer(scorer, view)
    scored = score_all(scorer, view)
    assert scored["text_language"].to_pylist() == codes
    assert scored["text_language_probability"].is_null().to_pylist() == [False] * 4 + [True] * 2
    assert "text_language" not in {f.name for f in TextBasics().gives}


def test_without_the_extra_the_language_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "py3langid"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent(), *sys.meta_path])
    module._identifier.cache_clear()
    with pytest.raises(MissingExtraError, match=r"curate\[text\]"):
        TextBasics(language=True).score(pa.record_batch({"text": ["hello"]}))
    TextBasics().score(pa.record_batch({"text": ["hello"]}))


class _Absent:
    """A finder for which py3langid does not exist."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "py3langid":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.data
def test_real_captions_are_fine_and_mostly_english(data_dir: Path) -> None:
    lines = (data_dir / "flickr8k_1k" / "captions.tsv").read_text().splitlines()[:2000]
    captions = pa.array([line.split("\t")[-1] for line in lines])
    scores = text_score(text_measures(captions))
    assert np.quantile(scores, 0.01) > 0.6
    if importlib.util.find_spec("py3langid"):
        codes, _ = detect_languages(captions)
        assert codes.count("en") > 0.98 * len(codes)
