"""Questions go to a file, people change it, and they come back."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import InputError, SchemaError
from curate.scorers.alignment import ask_elements, load_questions, save_questions
from curate.scorers.alignment.vqa.questions import QUESTIONS

ROWS = [
    [
        {
            "question": "Is there a “car”\u2028?",
            "answer": "yes",
            "type": "object",
            "depends": [],
            "element": "car",
        }
    ],
    None,
    [],
]


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    save_questions(path, ["a", "b", "c"], pa.array(ROWS, QUESTIONS))
    assert load_questions(path).to_pydict() == {"id": ["a", "b", "c"], "questions": ROWS}
    save_questions(path, ["x"], pa.chunked_array([ask_elements(["two red cars"])]))
    assert len(load_questions(path)["questions"][0]) > 1
    assert [p.name for p in tmp_path.iterdir()] == ["questions.jsonl"]


def test_what_a_person_leaves_out_is_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('\n{"id": "a", "questions": [{"question": "Is it red?"}]}\n\n{"id": "b"}\n')
    table = load_questions(path)
    assert table["questions"].to_pylist() == [
        [{"question": "Is it red?", "answer": "yes", "type": None, "depends": [], "element": None}],
        None,
    ]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("{", "line 2"),
        ('{"id": 3}', "line 2: id"),
        ('{"id": "a"}', "line 2: id 'a' stands in line 1"),
        ('{"id": "b", "question": []}', "line 2: question"),
        ('{"id": "b", "questions": [{"question": ""}]}', "line 2: questions.0.question"),
        ('{"id": "b", "questions": [{"question": "x?", "depends": [4]}]}', "line 2: question 0 depends"),
        ('{"id": "b", "questions": [{"question": "x?", "depends": [0]}]}', "line 2: question 0 rests"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, match: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"id": "a", "questions": []}) + "\n" + line)
    with pytest.raises(InputError, match=match):
        load_questions(path)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 ids and 1"):
        save_questions(tmp_path / "q", ["a", "b"], pa.array([[]], QUESTIONS))
    with pytest.raises(SchemaError):
        save_questions(tmp_path / "q", ["a"], pa.array([1]))
    with pytest.raises(InputError, match="cannot be read"):
        load_questions(tmp_path / "gone")
