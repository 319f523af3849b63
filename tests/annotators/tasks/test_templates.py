"""Templates: what they ask, and that answers come back as they were said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.annotators.tasks import (
    TEMPLATES,
    ImageClassification,
    ImageTextAlignment,
    MultiLabel,
    PairwisePreference,
    Template,
    TextClassification,
    TranscriptCheck,
    build_template,
    check_result,
)
from curate.errors import InputError, UnknownNameError
from curate.testing import ArrayView

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)
HOSTILE = [
    '<img src=x onerror="alert(1)">',
    "{{idx}} ${caption} $caption {% if %}",
    "]]></Text><Choices/>",
    "\u202eright to left\u202c 👩‍👩‍👧 ﷽",
    "a\x00b\x1f",
    "x" * 1_000_000,
]

EXAMPLES: dict[str, tuple[Template, dict[str, object], dict[str, object]]] = {
    "image-text-alignment": (
        ImageTextAlignment(elements="elements"),
        {"id": "a", "image": "x.png", "caption": "a dog", "elements": ["a dog", "red"]},
        {"overall": "4", "element_0": "yes", "element_1": "unsure", "comment": "fine"},
    ),
    "image-classification": (
        ImageClassification(labels=("cat", "dog")),
        {"id": "a", "image": "x.png"},
        {"label": "cat"},
    ),
    "text-classification": (
        TextClassification(labels=("good", "bad")),
        {"id": "a", "text": "hm"},
        {"label": "bad", "comment": "c"},
    ),
    "multilabel": (
        MultiLabel(labels=("red", "big", "old"), shows="audio"),
        {"id": "a", "audio": "x.wav"},
        {"labels": '["red","old"]'},
    ),
    "transcript-check": (
        TranscriptCheck(),
        {"id": "a", "audio": "x.wav", "text": "hello"},
        {
            "verdict": "wrong",
            "transcript": "hallo",
            "problems": '[{"end":1.5,"id":"r1","labels":["noise"],"start":0.5}]',
        },
    ),
    "pairwise-preference": (
        PairwisePreference(),
        {"id": "a", "prompt": "p", "chosen": "x", "rejected": "y"},
        {"preference": "rejected"},
    ),
    "custom": (
        build_template(
            "custom",
            {
                "xml": '<View><Text name="t" value="$words"/><Ranker name="r" toName="t"/></View>',
                "fields": {"words": "text"},
            },
        ),
        {"id": "a", "text": "x"},
        {"r": '{"best":["a","b"]}'},
    ),
}


def test_there_is_an_example_of_each() -> None:
    assert set(EXAMPLES) == set(TEMPLATES)
    assert all(EXAMPLES[name][0].name == name for name in TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_said_comes_back(name: str) -> None:
    template, row, said = EXAMPLES[name]
    task = template.task(row, dataset="set", round=2)
    result = template.result(said, task.data)
    assert json.loads(json.dumps(result)) == result
    parsed = template.answers(result, task.data)
    assert parsed.values == said and not parsed.rejected
    assert check_result(template.parsed, result, task.data) == []
    assert set(template.parsed.fields) <= set(task.data)
    assert build_template(template) is template


@settings(max_examples=60, deadline=None)
@given(TEXT, st.lists(TEXT.filter(bool), max_size=4), TEXT.filter(bool), st.integers(1, 5))
def test_any_text_survives_task_and_answer(
    caption: str, elements: list[str], comment: str, stars: int
) -> None:
    template = ImageTextAlignment(elements="elements")
    row = {"id": caption, "image": "x.png", "caption": caption, "elements": elements}
    task = template.task(row, dataset="set")
    there = json.loads(json.dumps(task.to_json()))
    assert there["data"]["caption"] == caption and there["data"]["cur_item"] == caption
    assert [e["text"] for e in there["data"]["elements"]] == elements
    said = {"overall": str(stars), "comment": comment} | {f"element_{i}": "no" for i in range(len(elements))}
    back = template.answers(json.loads(json.dumps(template.result(said, there["data"]))), there["data"])
    assert back.values == said and not back.rejected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="$"), min_size=1)
        .map(str.strip)
        .filter(bool),
        min_size=2,
        unique=True,
        max_size=6,
    )
)
def test_any_label_survives_the_configuration(labels: list[str]) -> None:
    template = MultiLabel(labels=tuple(labels), shows="text")
    assert template.controls["labels"].values == tuple(labels)
    for label in labels:
        result = template.result({"labels": [label]})
        assert template.answers(result).values == {"labels": json.dumps([label], ensure_ascii=False)}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_text_is_data_and_never_configuration(text: str) -> None:
    template = ImageTextAlignment()
    before = template.config()
    task = template.task({"id": "a", "image": "x.png", "caption": text}, dataset="set")
    assert json.loads(json.dumps(task.to_json()))["data"]["caption"] == text
    assert template.config() == before and text not in before


@pytest.mark.parametrize("label", ["", " a", "$price", "a\x00"])
def test_labels_that_a_tool_would_misread_are_refused(label: str) -> None:
    with pytest.raises(InputError):
        ImageClassification(labels=("ok", label)).controls  # noqa: B018


def test_labels_are_taken_from_the_data_where_nobody_names_them() -> None:
    view = ArrayView({"id": list("abcd"), "image": ["x.png"] * 4, "label": ["dog", "cat", None, "dog"]})
    fitted = build_template("image-classification").fit(view)
    assert fitted.controls["label"].values == ("cat", "dog")
    assert fitted.fit(view) is fitted
    with pytest.raises(InputError, match="name the labels"):
        build_template("image-classification", {"label": "class"}).fit(view)
    with pytest.raises(InputError, match="no labels"):
        build_template("multilabel").config()


def test_the_better_answer_is_now_left_now_right_and_comes_back_by_its_column() -> None:
    template = PairwisePreference()
    rows = [{"id": str(i), "prompt": "p", "chosen": "x", "rejected": "y"} for i in range(200)]
    tasks = [template.task(row, dataset="set") for row in rows]
    left = np.array([task.data["left"] == "x" for task in tasks])
    assert 70 < left.sum() < 130
    for task in tasks[:10]:
        side = "left" if task.data["left"] == "x" else "right"
        result = [
            {"from_name": "preference", "to_name": "left", "type": "choices", "value": {"choices": [side]}}
        ]
        assert template.answers(result, task.data).values == {"preference": "chosen"}
        assert template.result({"preference": "chosen"}, task.data)[0]["value"] == {"choices": [side]}
    assert template.answers(result, {}).rejected["preference"][0] == side
    swapped = [template.task(row, dataset="set", round=2).data["left"] == "x" for row in rows]
    assert (np.array(swapped) != left).any()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"from_name": "mood", "type": "choices", "value": {"choices": ["x"]}}, "unknown control 'mood'"),
        ({"from_name": "overall", "type": "rating", "value": {"rating": 6}}, "no rating from 1 to 5"),
        ({"from_name": "overall", "type": "rating", "value": {"rating": 2.5}}, "no rating from 1 to 5"),
        ({"from_name": "overall", "type": "rating", "value": {"rating": True}}, "no finite number"),
        ({"from_name": "overall", "type": "rating", "value": {}}, "has no 'rating'"),
        ({"from_name": "overall", "type": "rating"}, "has no 'rating'"),
        ({"from_name": "overall", "type": "choices", "value": {"choices": ["x"]}}, "'rating' is meant"),
        ({"from_name": "element_0", "type": "choices", "value": {"choices": ["maybe"]}}, "none of 'yes'"),
        ({"from_name": "element_0", "type": "choices", "value": {"choices": ["yes", "no"]}}, "2 choices"),
        ({"from_name": "element_0", "type": "choices", "value": {"choices": []}}, "no choice"),
        ({"from_name": "element_2", "type": "choices", "value": {"choices": ["yes"]}}, "2 are shown"),
        ({"from_name": "comment", "type": "textarea", "value": {"text": ["a", "b"]}}, "2 texts"),
        ({"from_name": "comment", "type": "textarea", "value": {"text": 3}}, "no text"),
    ],
)
def test_what_nobody_could_say_is_rejected_with_a_reason(entry: dict[str, object], message: str) -> None:
    template, row, said = EXAMPLES["image-text-alignment"]
    data = template.task(row, dataset="set").data
    parsed = template.answers([entry], data)
    assert not parsed.values and message in parsed.rejected[str(entry["from_name"])][1]
    good = template.answers([entry, *template.result({"problem": ["prompt makes no sense"]}, data)], data)
    assert good.values == {"problem": '["prompt makes no sense"]'}  # the rest of the answer counts
    assert check_result(template.parsed, [entry], data)


def test_a_result_about_something_else_is_a_problem_of_a_prediction() -> None:
    template, row, _ = EXAMPLES["image-text-alignment"]
    data = template.task(row, dataset="set").data
    result = template.result({"element_1": "yes"}, data)
    result[0]["to_name"] = "image"
    assert "'element_text_1' is meant" in check_result(template.parsed, result, data)[0]


@pytest.mark.parametrize("result", ["text", 3, [3], [None], {"a": 1}])
def test_a_result_that_is_none_is_rejected_and_never_raises(result: object) -> None:
    parsed = ImageTextAlignment().answers(result)
    assert not parsed.values and "" in parsed.rejected


def test_regions_keep_their_ids_and_relations_are_kept() -> None:
    template = TranscriptCheck()
    entries = [
        {
            "id": "b",
            "from_name": "problems",
            "type": "labels",
            "value": {"start": 2, "end": 3, "labels": ["noise"]},
        },
        {
            "id": "a",
            "from_name": "problems",
            "type": "labels",
            "value": {"start": 1, "end": 2, "labels": ["noise"]},
        },
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
    ]
    parsed = template.answers(entries)
    assert [r["id"] for r in json.loads(parsed.values["problems"])] == ["a", "b"]
    assert json.loads(parsed.values["relations"])[0]["to_id"] == "b"
    assert template.answers(entries[::-1]).values == parsed.values
    wrong = template.answers([{**entries[0], "value": {"start": 1, "labels": ["music"]}}])
    assert "none of" in wrong.rejected["problems"][1]


def test_names_and_parameters_that_do_not_exist_are_answered_with_those_that_do() -> None:
    with pytest.raises(UnknownNameError, match="image-text-alignment"):
        build_template("image-text")
    with pytest.raises(UnknownNameError, match="labels"):
        build_template("image-classification", {"classes": ("a",)})
    with pytest.raises(InputError, match="'limit'"):
        build_template("image-text-alignment", {"limit": "many"})
    with pytest.raises(InputError, match=r'a list is meant, such as \["good", "bad"\], got'):
        build_template("text-classification", {"labels": "good,bad"})
    with pytest.raises(InputError, match="limit=1"):
        build_template("image-text-alignment", {"limit": 1})
    with pytest.raises(UnknownNameError, match="caption"):
        ImageTextAlignment().columns(["id", "image"])
    with pytest.raises(InputError, match="has no caption"):
        ImageTextAlignment().task({"id": "a", "image": "x.png", "caption": None}, dataset="s")


def test_content_hashes_tell_media_apart_where_they_are_known() -> None:
    template = ImageTextAlignment()
    assert template.columns(["id", "image", "image_sha256", "caption"]) == [
        "id",
        "image",
        "caption",
        "image_sha256",
    ]
    row = {"id": "a", "image": "x.png", "caption": "c"}
    one = template.task({**row, "image_sha256": b"\x01" * 32}, dataset="s")
    moved = template.task(
        {**row, "image": "y.png", "image_sha256": b"\x01" * 32}, dataset="s", serve=lambda a: f"/d/{a}"
    )
    other = template.task({**row, "image_sha256": b"\x02" * 32}, dataset="s")
    assert one.hash == moved.hash != other.hash
    assert moved.data["image"] == "/d/y.png"
