"""element-judge, against a server that answers as planted."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from judge_work import batch, text_of

from curate.contracts import parallel_to
from curate.scorers.alignment.judges.grounded import ElementJudge
from curate.scorers.alignment.vqa.aggregates import Dsg

QUESTIONS = [
    {"question": "Is there a car?", "answer": "yes", "depends": []},
    {"question": "How many cars are there?", "answer": "two", "depends": [0]},
    {"question": "Is it night?", "answer": "no", "depends": []},
    {"question": "Is there a dog?", "answer": "yes", "depends": []},
]
SEEN = [
    {"question": 2, "evidence": "one car", "box": [0.1, 0.2, 0.5, 0.9], "answer": "one", "sure": 0.75},
    {"question": 1, "evidence": "a red car", "box": [0.5, 0.2, 0.1, 0.9], "answer": True},
    {"question": 3, "evidence": "a blue sky", "box": None, "answer": "No.", "sure": 0.5},
    {"question": 4, "evidence": "it is hidden", "box": "nowhere", "answer": "unsure", "sure": 0.9},
]


def test_elements_are_judged_with_their_evidence(chat_endpoint: Any, folder: str, image: str) -> None:
    chat_endpoint.answer = lambda body: "Here: " + json.dumps({"answers": SEEN})
    rows = batch(image=[image], questions=[QUESTIONS])
    found = ElementJudge(model="m", cache=folder, price_out=1.0).score(rows)
    scored = found.to_pylist()[0]
    assert [one["answer"] for one in scored["element_judge_answers"]] == [1, 0.25, 0.5, 0.5]
    assert scored["element_judge"] == pytest.approx(2.25 / 4)
    evidence = scored["element_judge_evidence"]
    assert [one["evidence"] for one in evidence] == ["a red car", "one car", "a blue sky", "it is hidden"]
    assert evidence[1]["box"] == pytest.approx([0.1, 0.2, 0.5, 0.9])
    assert [evidence[i]["box"] for i in (0, 2, 3)] == [None] * 3
    assert evidence[0]["question"] == "Is there a car?"
    assert [one["score"] for one in evidence] == [1, 0.25, 0.5, 0.5]
    field = ElementJudge(model="m", cache=folder, questions="asked").gives[2]
    assert parallel_to(field) == "asked"  # what the evidence is about
    assert scored["element_judge_cost"] == pytest.approx(10e-6)
    assert "2. How many cars are there?" in text_of(chat_endpoint.asked[0])
    dsg = Dsg(answers="answers").score(
        pa.record_batch(
            {"id": ["a"], "questions": rows["questions"], "answers": found["element_judge_answers"]}
        )
    )
    assert dsg["dsg"].to_pylist() == [pytest.approx(3 / 4)]  # what it gives is what DSG reads


@pytest.mark.parametrize(
    "rubbish",
    [
        "I see a car.",
        json.dumps({"answers": SEEN[:3]}),
        json.dumps({"answers": [*SEEN[:3], SEEN[0]]}),
        json.dumps({"answers": [{**one, "sure": 7} for one in SEEN]}),
        json.dumps({"answers": [{**one, "evidence": ""} for one in SEEN]}),
        json.dumps({"verdicts": SEEN}),
    ],
    ids=["words", "one left out", "one twice", "surer than sure", "no evidence", "other form"],
)
def test_answers_of_another_form_are_repaired(
    chat_endpoint: Any, folder: str, image: str, rubbish: str
) -> None:
    def answer(body: dict[str, Any]) -> str:
        return rubbish if len(body["messages"]) == 1 else json.dumps({"answers": SEEN})

    chat_endpoint.answer = answer
    rows = batch(image=[image], questions=[QUESTIONS])
    assert ElementJudge(model="m", cache=folder).score(rows)["element_judge"][0].is_valid
    none = ElementJudge(model="m", cache=folder, repairs=0).score(rows)
    assert (
        none["element_judge_reason"][0].as_py().startswith("the judge's answer cannot be read in its reply")
    )
    assert len(chat_endpoint.asked) == 2


def test_items_without_questions_say_so(chat_endpoint: Any, folder: str, image: str) -> None:
    chat_endpoint.answer = lambda body: json.dumps({"answers": [{**SEEN[1], "question": 1}]})
    rows = batch(image=[image, image, None], asked=[["Is there a car?"], [], ["Is there a car?"]])
    scorer = ElementJudge(model="m", cache=folder, questions="asked", template="Look: {questions}")
    scored = scorer.score(rows)
    assert scored["element_judge"].to_pylist() == [1, None, None]
    assert scored["element_judge_reason"].to_pylist() == [None, "no questions", "missing: no image"]
    assert text_of(chat_endpoint.asked[0]).startswith("Look: 1. Is there a car?\n")
