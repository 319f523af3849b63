"""Elements and questions of captions by rules: by hand, and against what people checked."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.alignment import ask_elements, split_elements
from curate.scorers.alignment.elements.words import article, gerund, is_plural, kept_verb, singular
from curate.scorers.alignment.vqa.questions import QUESTIONS, read_questions

TYPES = {
    *("attribute", "location", "color", "object", "material", "spatial"),
    *("animal/human", "food", "shape", "activity", "other", "counting"),
}


def told(caption: str) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(e.name, e.type, e.depends) for e in split_elements(caption)]


def asked(caption: str) -> list[str]:
    return [e.question for e in split_elements(caption)]


def test_a_caption_by_hand() -> None:
    assert split_elements("Two dogs run across a field of yellow grass after a wooden ball .") == [
        ("dogs", "animal/human", "Are there dogs?", "yes", ()),
        ("two dogs", "counting", "Are there two dogs?", "yes", (0,)),
        ("field", "location", "Is there a field?", "yes", ()),
        ("grass", "object", "Is there grass?", "yes", ()),
        ("yellow grass", "color", "Is the grass yellow?", "yes", (3,)),
        ("ball", "object", "Is there a ball?", "yes", ()),
        ("wooden ball", "material", "Is the ball made of wood?", "yes", (5,)),
        ("dogs running", "activity", "Are the dogs running?", "yes", (0,)),
        ("dogs across field", "spatial", "Are the dogs across the field?", "yes", (0, 2)),
    ]


@pytest.mark.parametrize(
    ("caption", "question"),
    [
        (
            "a basketball to the left of two soccer balls",
            "Is the basketball to the left of the soccer balls?",
        ),
        ("An infant sits on a bed and is reading a book", "Is the infant reading the book?"),
        ("The dog is brown.", "Is the dog brown?"),
        ("A black and white cat", "Is the cat black?"),
        ("A black and white cat", "Is the cat white?"),
        ("a red car parked in front of houses", "Is the car parked?"),
        ("a running man", "Is the man running?"),
        ("an orange next to a round window", "Is there an orange?"),
        ("an orange next to a round window", "Is the window round?"),
        ("a glass vase", "Is the vase made of glass?"),
        ("one apple", "Is there one apple?"),
        ("12 birds", "Are there 12 birds?"),
        ("A child climbs the stairs", "Is the child climbing the stairs?"),
    ],
)
def test_questions_by_hand(caption: str, question: str) -> None:
    assert question in asked(caption)


def test_the_same_thing_again_is_the_same_thing() -> None:
    assert told("A dog on a mat. The dog is brown.") == [
        ("dog", "animal/human", ()),
        ("brown dog", "color", (0,)),
        ("mat", "object", ()),
        ("dog on mat", "spatial", (0, 2)),
    ]


def test_a_sentence_ends_what_is_said() -> None:
    assert "activity" not in {e.type for e in split_elements("A man. Sitting.")}
    assert told("A man near trees, sitting")[-1] == ("man sitting", "activity", (0,))


@pytest.mark.parametrize("caption", ["", " . ", "the", "of it and they", "!?", "\x00"])
def test_a_caption_that_names_nothing(caption: str) -> None:
    assert split_elements(caption) == []


def test_limits() -> None:
    caption = " . ".join(f"a thing{i} on a box{i}" for i in range(100))
    assert len(split_elements(caption)) == 30
    assert len(split_elements(caption, limit=3)) == 3
    assert len(split_elements("a dog on a mat " * 10_000)) == 3
    with pytest.raises(InputError, match="limit 0"):
        split_elements("a dog", limit=0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "the",
                "two",
                "red",
                "wooden",
                "dog",
                "dogs",
                "men",
                "on",
                "in",
                "front",
                "of",
                "next",
                "to",
                "is",
                "are",
                "sitting",
                "run",
                "runs",
                "and",
                ".",
                ",",
                "with",
                "orange",
                "7",
            ]
        ),
        max_size=25,
    ),
    st.integers(1, 12),
)
def test_any_words_give_questions_that_can_be_asked(words: list[str], limit: int) -> None:
    caption = " ".join(words)
    elements = split_elements(caption, limit)
    assert len(elements) <= limit and {e.type for e in elements} <= TYPES
    for place, element in enumerate(elements):
        assert element.question.endswith("?") and element.question[0].isupper()
        assert all(0 <= parent < place for parent in element.depends)
    column = ask_elements([caption, None], limit)
    assert column.type == QUESTIONS
    assert column[1].as_py() is None
    assert read_questions(column[:1]).faults() == [None if elements else "no questions"]


def test_forms_of_words() -> None:
    plurals = ["dogs", "men", "glasses", "cities", "boxes", "buses"]
    assert [singular(w) for w in plurals] == [
        "dog",
        "man",
        "glasses",
        "city",
        "box",
        "buse",
    ]  # rules are rules
    assert [is_plural(w) for w in ("bus", "grass", "cactus", "tennis", "children")] == [*[False] * 4, True]
    assert [gerund(w) for w in ("walk", "ride", "sit", "lie", "see")] == [
        *("walking", "riding", "sitting", "lying", "seeing"),
    ]
    assert kept_verb("stands", after_noun=True, plural=False) == "standing"
    assert kept_verb("carries", after_noun=True, plural=False) == "carrying"
    assert kept_verb("run", after_noun=True, plural=True) == "running"
    assert kept_verb("stands", after_noun=False, plural=False) is None
    assert kept_verb("building", after_noun=True, plural=False) is None
    assert [article(w) for w in ("dog", "owl", "dogs", "red grass", "stop sign")] == [
        "a ",
        "an ",
        "",
        "",
        "a ",
    ]


def test_things_that_people_checked_are_found(data_dir: Path) -> None:
    """DSG-1k: of the things in its questions, most are found, and far fewer others than by taking every word."""
    with (data_dir / "t2i_ratings" / "dsg" / "dsg-1k-anns.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["category_broad"] == "entity"]
    wanted: dict[str, set[str]] = {}
    for row in rows:
        inside = re.search(r"\((.*)\)", row["tuple"])
        if inside:
            wanted.setdefault(row["text"], set()).add(singular(inside[1].lower().split()[-1]))
    found = {
        text: {
            singular(e.name.split()[-1])
            for e in split_elements(text)
            if e.type in ("object", "animal/human", "food", "location")
        }
        for text in wanted
    }
    hits = sum(len(found[text] & wanted[text]) for text in wanted)
    recall = hits / sum(map(len, wanted.values()))
    precision = hits / sum(map(len, found.values()))
    assert recall > 0.85 and precision > 0.55
