"""model-elements, against a server that answers as planted."""

from __future__ import annotations

import json
from typing import Any

from judge_work import batch, text_of

from curate.scorers.alignment.judges.splitting import ModelElements

PARTS = [
    {"element": "Car", "type": "Object-vehicle", "question": "Is there a car?", "negative": "No car?"},
    {"element": "dragon", "type": "animal/human", "question": "Is there a dragon?"},
    {"element": "red", "type": "color", "question": "Is the car red?", "depends": [1, 2, 3, 9]},
    {"element": "a red", "type": "mood", "question": "Is it so?", "depends": [3], "negative": " "},
]


def test_a_text_is_split_by_the_model(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: json.dumps({"elements": PARTS})
    rows = batch(text=["A red  car", "", None])
    scored = ModelElements(model="m", cache=folder).score(rows)
    first = scored.to_pylist()[0]
    assert first["model_elements"] == 3
    assert first["model_elements_left_out"] == 1  # there is no dragon in the text
    assert first["model_elements_names"] == ["Car (object)", "red (color)", "a red (other)"]
    questions = first["model_elements_questions"]
    assert [q["depends"] for q in questions] == [[], [0], [1]]
    assert {q["answer"] for q in questions} == {"yes"}
    assert scored["model_elements_reason"].to_pylist() == [None, "no text", "no text"]
    for option, count in (({"limit": 1}, 1), ({"negatives": True}, 4)):
        more = ModelElements(model="m", cache=folder, **option).score(rows).to_pylist()[0]
        assert len(more["model_elements_questions"]) == count
    assert more["model_elements_questions"][3] == {
        "question": "No car?",
        "answer": "no",
        "type": "object",
        "depends": [],
        "element": "Car",
    }


def test_a_split_that_is_none_is_null(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: json.dumps({"elements": PARTS[1:2]})
    scorer = ModelElements(model="m", cache=folder, repairs=1, template="Split {text} into {types}")
    scored = scorer.score(batch(text=["A red car"]))
    assert "2 replies" in scored["model_elements_reason"][0].as_py()
    assert "phrase of the text" in chat_endpoint.asked[1]["messages"][2]["content"]
    assert text_of(chat_endpoint.asked[0]).startswith("Split A red car into object, ")
