"""Pre-annotations from columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import curate
from curate.annotators.tasks import (
    ImageClassification,
    ImageTextAlignment,
    MultiLabel,
    PreAnnotations,
    read_guesses,
    read_question,
)
from curate.errors import InputError, UnknownNameError

PAIR = ImageTextAlignment(elements="elements")
ROW = {"id": "a", "image": "x.png", "caption": "c", "elements": ["dog", "cat", "sun"]}
DATA = PAIR.task(ROW, dataset="s").data


@pytest.fixture
def store(tmp_path: Path) -> Iterator[curate.Store]:
    with curate.open(tmp_path / "store", create=True) as opened:
        yield opened


def said(guess: PreAnnotations, row: dict[str, object]) -> dict[str, str]:
    predictions, problems = guess.guess(PAIR, {**ROW, **row}, DATA)
    assert not problems
    return PAIR.answers(predictions[0]["result"], DATA).values


@pytest.mark.parametrize(
    ("score", "stars"), [(0.1, "1"), (0.25, "3"), (0.4, "5"), (0.9, "5"), (-1.0, "1"), (0.32, "4")]
)
def test_a_score_becomes_a_rating_by_its_scale(score: float, stars: str) -> None:
    guess = PreAnnotations({"overall": "clip"}, "clip@1", scales={"overall": (0.1, 0.4)}, score="clip")
    predictions, _ = guess.guess(PAIR, {**ROW, "clip": score}, DATA)
    assert predictions[0]["model_version"] == "clip@1" and predictions[0]["score"] == score
    assert PAIR.answers(predictions[0]["result"], DATA).values == {"overall": stars}


def test_without_a_scale_a_rating_is_taken_as_it_is() -> None:
    assert said(PreAnnotations({"overall": "m"}, "m"), {"m": 3.6}) == {"overall": "4"}
    predictions, problems = PreAnnotations({"overall": "m"}, "m").guess(PAIR, {**ROW, "m": 9.0}, DATA)
    assert not predictions and "9 is no rating from 1 to 5 (no scale says" in problems[0]


def test_what_could_not_be_asked_is_refused_before_anything_is_sent(store: curate.Store) -> None:
    fill = {"id": ["a"], "text": ["lovely"], "label": ["good"]}
    store.add(pl.DataFrame(fill), kind="label")
    template, given = read_question(
        store.items, "text-classification", None, {"columns": {"label": "label"}, "model_version": "m"}
    )
    assert template.controls["label"].values == ("good",) and given is not None
    assert read_question(store.items, template)[1] is None
    with pytest.raises(UnknownNameError, match="Did you mean 'label'"):
        read_question(store.items, template, guesses=PreAnnotations({"lable": "label"}, "m"))
    with pytest.raises(InputError, match="XML"):
        read_question(store.items, "custom", {"xml": "<View>"})


def test_sets_of_labels_fill_a_question_with_several_choices(store: curate.Store) -> None:
    sets = {"id": ["a", "b"], "text": ["x", "y"], "labels": [["eel", "cat"], []]}
    store.add(sets, kind="label")
    template, given = read_question(
        store.items,
        "multilabel",
        {"shows": "text"},
        {"columns": {"labels": "labels"}, "model_version": "data"},
    )
    assert template.controls["labels"].values == ("cat", "eel") and given is not None
    task = template.task({"id": "a", "text": "x"}, dataset="s")
    predictions, problems = given.guess(template, {"id": "a", "labels": ["eel", "cat"]}, task.data)
    assert template.answers(predictions[0]["result"], task.data).values == {"labels": '["cat","eel"]'}
    assert not problems
    assert given.guess(template, {"id": "b", "labels": []}, task.data) == ([], [])
    none = read_question(store.items, "multilabel", {"shows": "text", "none": "none of these"})[0]
    assert none.controls["labels"].values == ("cat", "eel", "none of these")
    predictions, problems = given.guess(none, {"id": "b", "labels": []}, task.data)
    assert predictions[0]["result"][0]["value"] == {"choices": ["none of these"]} and not problems
    assert none.answers(predictions[0]["result"]).values == {"labels": "[]"}
    both = none.answers(none.result({"labels": ["cat", "none of these"]}))
    assert both.values == {} and "'none of these' and a label cannot both be" in both.rejected["labels"][1]
    store.add({"id": ["c"], "text": ["z"], "label": ["dog"]}, kind="label")
    assert read_question(store.items, "multilabel", {"shows": "text"})[0].controls["labels"].values == (
        "cat", "dog", "eel",
    )  # fmt: skip


def test_scores_of_elements_become_yes_no_and_unsure() -> None:
    guess = PreAnnotations({"element": "scores"}, "m")
    assert said(guess, {"scores": [0.9, 0.5, 0.1]}) == {
        "element_0": "yes",
        "element_1": "unsure",
        "element_2": "no",
    }
    assert said(guess, {"scores": [None, True, 0.1]}) == {"element_1": "yes", "element_2": "no"}
    predictions, problems = guess.guess(PAIR, {**ROW, "scores": [0.9, 0.9, 0.9, 0.9]}, DATA)
    assert len(predictions[0]["result"]) == 3 and "no repetition 3" in problems[0]


def test_labels_are_taken_as_they_are_and_unknown_ones_are_said() -> None:
    template = ImageClassification(labels=("1", "2"))
    data = template.task({"id": "a", "image": "x"}, dataset="s").data
    guess = PreAnnotations({"label": "suggestion"}, "m")
    assert template.answers(guess.guess(template, {"suggestion": 2}, data)[0][0]["result"]).values == {
        "label": "2"
    }
    predictions, problems = guess.guess(template, {"suggestion": "3"}, data)
    assert not predictions and "'3' is none of '1', '2'" in problems[0]
    assert guess.guess(template, {"suggestion": None}, data) == ([], [])
    several = MultiLabel(labels=("a", "b", "c"))
    found, _ = PreAnnotations({"labels": "tags"}, "m").guess(several, {"tags": ["c", "a"]}, {})
    assert several.answers(found[0]["result"]).values == {"labels": '["a","c"]'}


def test_what_is_not_finite_says_nothing() -> None:
    guess = PreAnnotations({"overall": "m"}, "m", score="sure")
    assert guess.guess(PAIR, {**ROW, "m": float("nan")}, DATA)[1]
    predictions, _ = guess.guess(PAIR, {**ROW, "m": 2, "sure": float("inf")}, DATA)
    assert "score" not in predictions[0]


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(InputError, match="model_version"):
        PreAnnotations({"overall": "m"}, "")
    with pytest.raises(InputError, match="two different finite numbers"):
        PreAnnotations({"overall": "m"}, "m", scales={"overall": (1, 1)})
    with pytest.raises(UnknownNameError):
        PreAnnotations({"overall": "m"}, "m", scales={"other": (0, 1)})
    with pytest.raises(UnknownNameError, match="mood"):
        PreAnnotations({"mood": "m"}, "m").guess(PAIR, ROW, DATA)
    assert PreAnnotations({"overall": "m", "comment": "m"}, "v", score="s").needs == ("m", "s")


def test_guesses_may_be_written_as_a_mapping() -> None:
    guess = PreAnnotations({"overall": "m"}, "v", scales={"overall": (0.0, 1.0)})
    plain = {"columns": {"overall": "m"}, "model_version": "v", "scales": {"overall": [0, 1]}}
    assert read_guesses(plain) == guess and read_guesses(guess) is guess and read_guesses(None) is None
    with pytest.raises(UnknownNameError, match="column"):
        read_guesses({"colums": {}})
    with pytest.raises(InputError, match="model_version"):
        read_guesses({"columns": {"overall": "m"}})
    with pytest.raises(InputError, match="no mapping"):
        read_guesses(["overall"])  # type: ignore[arg-type]
