"""The scorer `consensus`: lists of answers and plain columns, labels that disagree, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.annotators.consensus import aggregate
from curate.annotators.consensus.scorer import Consensus
from curate.annotators.consensus.viewing import view_answers
from curate.errors import InputError, SchemaError
from curate.testing import ArrayView, check_scorer, score_all


def rows(n: int = 12) -> dict[str, Any]:
    """Three annotators: a and b are right, c is wrong about every fourth item; item 03 has one answer, 05 two that
    differ, 07 none."""
    answers: list[Any] = []
    for i in range(n):
        truth = f"class-{i % 3}"
        third = truth if i % 4 else f"class-{(i + 1) % 3}"
        answers.append(
            [{"annotator": w, "value": v} for w, v in zip("abc", (truth, truth, third), strict=True)]
        )
    answers[3] = answers[3][:1]
    answers[5] = [{"annotator": "a", "value": "class-2"}, {"annotator": "b", "value": "class-1"}]
    answers[7] = []
    return {
        "id": [f"{i:02d}" for i in range(n)],
        "answers": answers,
        "label": [f"class-{i % 3}" for i in range(n)],
    }


def test_the_score_is_the_probability_of_the_consensus() -> None:
    view = ArrayView(rows())
    scored = score_all(Consensus(), view)
    long = view_answers(view, "answers")
    expected = aggregate(long)
    kept = [i for i in range(12) if i != 7]
    assert [scored["consensus_label"][i].as_py() for i in kept] == expected["value"].to_list()
    got = [scored["consensus"][i].as_py() for i in kept]
    assert got == pytest.approx(expected["probability"].to_list(), rel=1e-6)
    assert scored["consensus_answers"].to_pylist() == [3, 3, 3, 1, 3, 2, 3, None, 3, 3, 3, 3]
    assert scored["consensus_reason"].to_pylist() == [None] * 7 + ["no answers"] + [None] * 4
    assert scored["needs_more_answers"][5].as_py() and not scored["needs_more_answers"][1].as_py()


def test_conformance() -> None:
    check_scorer(Consensus(), ArrayView(rows()), planted=("01", "05"))
    check_scorer(Consensus(label="label", method="majority"), ArrayView(rows()), planted=("01", "05"))


def test_plain_columns_are_annotators() -> None:
    view = ArrayView({"id": ["0", "1", "2"], "a1": [1, 2, None], "a2": [1, 1, None], "a3": [1, 2, None]})
    scored = score_all(Consensus(columns=("a1", "a2", "a3"), method="majority"), view)
    assert scored["consensus_label"].to_pylist() == ["1", "2", None]
    assert scored["consensus"].to_pylist() == pytest.approx([1, 2 / 3, None])
    assert Consensus(columns=("a1", "a2")).needs == ("a1", "a2") and Consensus(answers="x").needs == ("x",)


def test_a_given_label_may_disagree() -> None:
    table = rows()
    table["label"][1], table["label"][2] = "class-0", None
    scorer = Consensus(label="label")
    scored = score_all(scorer, ArrayView(table))
    disagrees = scored["label_disagrees"].to_pylist()
    assert disagrees[:3] == [False, True, None] and disagrees[7] is None
    assert scorer.needs == ("answers", "label") and len(Consensus().gives) == 4


def test_parameters_have_their_effect() -> None:
    view = ArrayView(rows())
    assert score_all(Consensus(target=0.5), view)["needs_more_answers"].to_pylist().count(True) == 0
    strict = score_all(Consensus(target=0.999999), view)["needs_more_answers"].to_pylist().count(True)
    assert strict > score_all(Consensus(), view)["needs_more_answers"].to_pylist().count(True)
    auto, votes = (
        score_all(Consensus(method=m), view)["consensus"].to_pylist() for m in ("auto", "majority")
    )  # type: ignore[arg-type]
    assert auto != votes
    order = ("class-2", "class-1", "class-0")
    median = score_all(Consensus(method="ordinal-median", values=order), view)
    assert median["consensus_label"][5].as_py() == "class-2"
    assert score_all(Consensus(method="mace", seed=1), view).equals(
        score_all(Consensus(method="mace", seed=1), view)
    )
    with pytest.raises(InputError, match="none of `values`"):
        Consensus(values=("class-0", "class-1")).fit(view)
    with pytest.raises(InputError, match="target=2"):
        Consensus(target=2)
    with pytest.raises(InputError, match="needs `values`"):
        Consensus(method="ordinal-median")


def test_seconds_times_and_skips_in_the_list_are_understood() -> None:
    told = [
        [
            {"annotator": "a", "value": "x", "time": 1, "skipped": False},
            {"annotator": "a", "value": "y", "time": 2, "skipped": False},
        ],
        [{"annotator": "a", "value": "x", "time": 1, "skipped": True}],
    ]
    scored = score_all(Consensus(), ArrayView({"id": ["0", "1"], "answers": told}))
    assert scored["consensus_label"].to_pylist() == ["y", None]
    assert scored["consensus_answers"].to_pylist() == [1, None]


def test_nobody_answered_anything() -> None:
    view = ArrayView(rows()).rearranged(np.array([7, 7]))
    assert score_all(Consensus(), view)["consensus_reason"].to_pylist() == ["no answers"] * 2


def test_columns_that_are_no_answers() -> None:
    with pytest.raises(SchemaError, match="column 'answers' is string; a list of structs"):
        Consensus().fit(ArrayView({"id": ["0"], "answers": ["yes"]}))
    with pytest.raises(SchemaError, match="a list of structs"):
        Consensus().fit(ArrayView({"id": ["0"], "answers": [[{"who": "a", "value": "x"}]]}))
    with pytest.raises(InputError, match=r"without an annotator, of items \['0'\]"):
        Consensus().fit(ArrayView({"id": ["0"], "answers": [[{"annotator": None, "value": "x"}]]}))
    twice = [[{"annotator": "a", "value": "x"}, {"annotator": "a", "value": "y"}]]
    with pytest.raises(InputError, match="item '0' by 'a'"):
        Consensus().fit(ArrayView({"id": ["0"], "answers": twice}))


def test_many_different_numbers_may_be_ratings() -> None:
    def noted(votes: list[list[Any]], **parameters: Any) -> tuple[str, ...]:
        said = [[{"annotator": w, "value": v} for w, v in zip("abc", row, strict=True)] for row in votes]
        view = ArrayView({"id": [f"{i:02d}" for i in range(len(said))], "answers": said})
        return Consensus(**parameters).fit(view).notes

    rated = [[str(10 * i), str(10 * i + 2), str(10 * i + 3)] for i in range(6)]
    assert "18 different numbers" in noted(rated)[0] and "`rating-agreement`" in noted(rated)[0]
    assert noted([[str(i % 5)] * 3 for i in range(6)]) == ()  # stars
    assert noted([[f"class {v}" for v in row] for row in rated]) == ()
    inorder = tuple(value for row in rated for value in row)
    assert noted(rated, method="ordinal-median", values=inorder) == ()
