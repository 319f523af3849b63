"""Annotations of Label Studio as rows of answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from curate.annotators.tasks import (
    ANSWERS,
    ImageTextAlignment,
    annotator_of,
    answer_table,
    read_annotation,
    read_time,
)
from curate.errors import InputError

PAIR = ImageTextAlignment(elements="elements")
DATA = PAIR.task({"id": "a", "image": "x", "caption": "c", "elements": ["dog"]}, dataset="s", round=2).data


def annotation(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {
        "id": 7,
        "completed_by": 3,
        "created_at": "2026-01-02T03:04:05.5Z",
        "updated_at": "2026-01-02T04:04:05Z",
    }
    return {**base, "result": list(entries), "lead_time": 4.5, **more}


def stars(n: int, **more: Any) -> dict[str, Any]:
    return {**PAIR.result({"overall": n})[0], **more}


def test_a_row_for_each_control_with_all_that_is_known() -> None:
    yes = {**PAIR.result({"element_0": "yes"}, DATA)[0]}
    rows = read_annotation(annotation(stars(4), yes), PAIR, DATA, source="ls", people={"3": "ann@x.org"})
    table = answer_table(rows)
    assert table.schema == ANSWERS
    assert [(r["control"], r["value"]) for r in table.to_pylist()] == [("element_0", "yes"), ("overall", "4")]
    row = table.to_pylist()[1]
    assert row == {
        "item": "a",
        "annotator": "ann@x.org",
        "round": 2,
        "control": "overall",
        "value": "4",
        "skipped": False,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, 500000, UTC),
        "touched": None,
        "model_version": None,
        "updated_at": datetime(2026, 1, 2, 4, 4, 5, tzinfo=UTC),
        "seconds": 4.5,
        "status": "ok",
        "reason": None,
        "source": "ls",
        "key": DATA["cur_key"],
        "answer_id": "7",
        "gold": False,
        "hash": DATA["cur_hash"],
    }


def test_a_skip_answers_nothing_though_it_drags_the_guess_along() -> None:
    rows = read_annotation(annotation(stars(4), was_cancelled=True), PAIR, DATA, source="ls")
    assert [(r["control"], r["value"], r["skipped"], r["status"]) for r in rows] == [("", None, True, "ok")]


@pytest.mark.parametrize(
    ("origin", "touched"),
    [("prediction", False), ("prediction-changed", True), ("manual", True), (None, None)],
)
def test_whether_the_guess_was_touched(origin: str | None, touched: bool | None) -> None:
    guess = {"model_version": "m@1", "result": [stars(3)]}
    given = annotation(stars(4, **({"origin": origin} if origin else {})), parent_prediction=9)
    row = read_annotation(given, PAIR, DATA, source="ls", predictions={9: guess})[0]
    assert (row["touched"], row["model_version"]) == (touched, "m@1")
    unshown = read_annotation(annotation(stars(4, origin="manual")), PAIR, DATA, source="ls")[0]
    assert (unshown["touched"], unshown["model_version"]) == (None, None)


def test_an_answer_beside_the_guess_was_not_its() -> None:
    guess = {"model_version": "m@1", "result": PAIR.result({"element_0": "yes"}, DATA)}
    given = annotation(stars(4, origin="manual"), parent_prediction=9)
    assert read_annotation(given, PAIR, DATA, source="ls", predictions={9: guess})[0]["touched"] is None


def test_what_is_rejected_is_kept_with_its_reason() -> None:
    rows = read_annotation(annotation(stars(4), stars(2) | {"from_name": "mood"}), PAIR, DATA, source="ls")
    assert [(r["control"], r["status"]) for r in rows] == [("overall", "ok"), ("mood", "rejected")]
    assert rows[1]["value"] == '{"rating":2}' and "unknown control" in rows[1]["reason"]
    empty = read_annotation(annotation(), PAIR, DATA, source="ls")
    assert [(r["control"], r["status"], r["reason"]) for r in empty] == [
        ("", "rejected", "it answers nothing")
    ]
    stale = read_annotation(
        annotation({**stars(4), "value": {"rating": 9}}),
        PAIR,
        DATA,
        source="ls",
        status="stale",
        reason="changed",
    )
    assert [(r["status"], r["reason"]) for r in stale] == [("stale", "changed")]


@pytest.mark.parametrize(
    ("who", "name"),
    [(3, "3"), ("b@x.org", "b@x.org"), ({"id": 3, "email": "b@x.org"}, "b@x.org"), ({"id": 3}, "3")],
)
def test_who_answered(who: Any, name: str) -> None:
    assert annotator_of(who) == name
    assert annotator_of(3, {"3": "ann"}) == "ann"
    for nobody in (None, "", {}):
        with pytest.raises(InputError, match="nobody"):
            annotator_of(nobody)


def test_times_are_utc() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for text in ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00", "2026-01-01T13:00:00+01:00", noon):
        assert read_time(text) == noon
    with pytest.raises(InputError, match="no time"):
        read_time("yesterday")


def test_rows_become_a_table_once_and_in_one_order() -> None:
    rows = read_annotation(annotation(stars(4)), PAIR, DATA, source="ls")
    rows += read_annotation(
        annotation(stars(5), id=8, updated_at="2026-01-01T00:00:00Z"), PAIR, DATA, source="ls"
    )
    table = answer_table([*rows, *rows])
    assert table.equals(answer_table(rows[::-1])) and table["value"].to_pylist() == ["5", "4"]
    assert answer_table([]).schema == ANSWERS
    with pytest.raises(InputError, match="annotator"):
        answer_table([{**rows[0], "annotator": None}])
    with pytest.raises(InputError, match="status"):
        answer_table([{**rows[0], "status": "good"}])
