"""The column of questions as flat arrays, and what is wrong with it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curate.errors import SchemaError
from curate.scorers.alignment.vqa.questions import QUESTIONS, read_questions


def question(
    text: str | None, depends: list[int] | None = None, answer: str | None = None
) -> dict[str, object]:
    return {"question": text, "answer": answer, "type": "object", "depends": depends}


def test_reading_by_hand() -> None:
    rows = [[question("A?"), question("B?", [0], "no")], None, [], [question("C?"), question("D?", [0])]]
    for column in (pa.array(rows, QUESTIONS), pa.array([None, *rows], QUESTIONS)[1:]):
        read = read_questions(column)
        assert read.offsets.tolist() == [0, 2, 2, 2, 4]
        assert read.asked.to_pylist() == ["A?", "B?", "C?", "D?"]
        assert read.expected.to_pylist() == ["yes", "no", "yes", "yes"]
        assert read.types.to_pylist() == ["object"] * 4
        assert read.edges.tolist() == [[1, 0], [3, 2]]
        assert read.faults() == [None, "no questions", "no questions", None]


def test_only_the_question_is_needed_and_strings_will_do() -> None:
    for column in (pa.array([["A?", "B?"]]), pa.array([[{"question": "A?"}, {"question": "B?"}]])):
        read = read_questions(column)
        assert read.expected.to_pylist() == ["yes", "yes"]
        assert read.edges.shape == (0, 2)
        assert read.faults() == [None]
    assert read_questions(pa.nulls(2)).faults() == ["no questions"] * 2


def test_faults_name_the_question() -> None:
    rows = [
        [question("A?"), question(" ")],
        [question("A?"), question(None)],
        [question("A?", [1]), question("B?", [0])],
        [question("A?", [1])],
        [question("A?"), question("B?", [-1])],
        [question("A?"), question("B?", [0])],
    ]
    assert read_questions(pa.array(rows, QUESTIONS)).faults() == [
        "question 1 is empty",
        "question 1 is empty",
        "question 0 rests on itself in a circle",
        "question 0 depends on a question that is not there",
        "question 1 depends on a question that is not there",
        None,
    ]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["A?"]), "'asks' is string"),
        (pa.array([[1]]), "list of int64"),
        (pa.array([[{"text": "A?"}]]), r"no field 'question', only \['text'\]"),
        (pa.array([[{"question": "A?", "depends": "none"}]]), "field 'depends' is string"),
    ],
)
def test_other_columns_are_refused(column: pa.Array, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_questions(column, "asks")
