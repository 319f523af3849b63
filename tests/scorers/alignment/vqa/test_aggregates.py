"""TIFA and DSG over answers that are there, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import InputError, SchemaError
from curate.scorers.alignment.vqa.aggregates import Dsg, Tifa, match_answers
from curate.scorers.alignment.vqa.questions import QUESTIONS
from curate.testing import ArrayView, check_scorer, score_all


def ask(answer: str | None = None, depends: list[int] | None = None) -> dict[str, Any]:
    return {"question": "Is it?", "answer": answer, "type": None, "depends": depends}


TREE = [ask(), ask(depends=[0]), ask(depends=[1]), ask("two")]
ROWS = {
    "questions": pa.array([TREE, TREE, TREE, [], TREE, TREE, [ask(depends=[0])]], QUESTIONS),
    "answers": [
        ["yes", "Yes.", " YES", "two"],
        ["no", "yes", "yes", "two"],
        ["yes", "no", "yes", "three"],
        [],
        None,
        ["yes", None, "yes", "two"],
        ["yes"],
    ],
}


def test_by_hand() -> None:
    view = ArrayView(ROWS)
    tifa = score_all(Tifa(answers="answers"), view)
    assert tifa["tifa"].to_pylist() == [1.0, 0.75, 0.5, None, None, None, None]
    assert tifa["tifa_reason"].to_pylist() == [
        *[None] * 3,
        "no questions",
        "no answers",
        "an answer is missing",
        "question 0 rests on itself in a circle",
    ]
    dsg = score_all(Dsg(answers="answers"), view)
    assert dsg["dsg"].to_pylist() == [1.0, 0.25, 0.25, None, None, None, None]
    counted = [row and [a["counted"] for a in row] for row in dsg["dsg_answers"].to_pylist()]
    assert counted[:4] == [[1, 1, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0], None]
    assert dsg["dsg_reason"].equals(tifa["tifa_reason"])
    direct = score_all(Dsg(answers="answers", rests_on="parents"), view)
    assert direct["dsg"].to_pylist() == [1.0, 0.5, 0.25, None, None, None, None]
    with pytest.raises(InputError, match="'ancestors' or 'parents'"):
        Dsg(rests_on="siblings")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Tifa, Dsg])
def test_they_keep_the_contract(kind: type) -> None:
    check_scorer(kind(answers="answers"), ArrayView(ROWS), planted=("0", "1"))
    numbers = [[0.9, 0.2, 0.8, 0.6], [0.9, 0.9, 0.9, 0.9], [0.1] * 4, [], [0.5] * 3, [None] * 4, [1.0]]
    check_scorer(kind(), ArrayView({**ROWS, "pn_vqa_answers": numbers}), planted=("1", "0"))


def test_numbers_are_how_surely_the_expected_answer_was_given() -> None:
    view = ArrayView({"asks": pa.array([TREE], QUESTIONS), "pn_vqa_answers": [[0.9, 0.4, 0.8, 0.6]]})

    def both(**fields: Any) -> list[float]:
        found = (score_all(kind(questions="asks", **fields), view) for kind in (Tifa, Dsg))
        return [table.column(0)[0].as_py() for table in found]

    assert both() == [0.75, 0.5]
    structs = [[{"answer": value, "positive": 0.0} for value in (0.9, 0.4, 0.8, 0.6)]]
    kept = ArrayView({"questions": pa.array([TREE], QUESTIONS), "pn_vqa_answers": structs})
    assert score_all(Dsg(), kept)["dsg"].to_pylist() == [0.5]
    words = [[{"answer": word} for word in ("yes", "no", "yes", "two")]]
    kept = ArrayView({"questions": pa.array([TREE], QUESTIONS), "vq2_answers": words})
    assert score_all(Tifa(answers="vq2_answers"), kept)["tifa"].to_pylist() == [0.75]
    assert both(threshold=0.4) == [1.0, 1.0]
    assert both(threshold=0.7) == [0.5, 0.25]
    assert np.allclose(both(threshold=None), [2.7 / 4, (0.9 + 0.4 + 0 + 0.6) / 4])


def test_answers_that_do_not_fit() -> None:
    view = ArrayView({"questions": pa.array([TREE], QUESTIONS), "answers": [["yes", "no"]]})
    assert score_all(Tifa(answers="answers"), view)["tifa_reason"].to_pylist() == ["2 answers to 4 questions"]
    for column, error, message in (
        (pa.array(["yes"]), SchemaError, "'answers' is string"),
        (pa.array([[True] * 4]), SchemaError, "list of bool"),
        (pa.array([[0.5, 0.5, 2.0, 0.5]]), InputError, "holds 2.0"),
    ):
        wrong = ArrayView({"questions": pa.array([TREE], QUESTIONS), "answers": column})
        with pytest.raises(error, match=message):
            score_all(Tifa(answers="answers"), wrong)
    with pytest.raises(InputError, match=r"threshold 1\.5"):
        Dsg(threshold=1.5)


def test_matching_by_hand() -> None:
    given = pa.array(["Two. ", "2", None, "", "NO!"])
    matched = match_answers(given, pa.array(["two", "two", "two", "two", "no"]))
    assert matched[[0, 1, 3, 4]].tolist() == [1, 0, 0, 1]
    assert np.isnan(matched[2])
