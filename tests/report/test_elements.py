"""Element scores in the report: found by contract, ordered by the weakest, shaded, and said where there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.contracts import detail, score
from curate.report import write_report
from curate.report.cards import CardMaker, find_layout
from curate.report.decision import decide
from curate.report.elements import (
    ElementColumn,
    collect_elements,
    element_columns,
    extremes,
    lowest_rows,
    scaled,
)
from curate.report.excerpts import Excerpts

SCORED = pa.list_(pa.struct([("element", pa.string()), ("score", pa.float32())]))
ANSWERED = pa.list_(pa.struct([("answer", pa.float32()), ("positive", pa.float32())]))
ASKED = pa.list_(pa.struct([("question", pa.string()), ("answer", pa.string()), ("element", pa.string())]))


def parts(*pairs: tuple[str | None, float | None]) -> list[dict[str, Any]]:
    return [{"element": name, "score": value} for name, value in pairs]


@pytest.fixture
def maker(make_store: Callable[..., Any]) -> Any:
    return make_store().items(
        "image-text",
        {
            "id": ["d", "c", "b", "a"],
            "image": ["/nowhere/x.png"] * 4,
            "caption": ["a red car", "a dog", "<b>a cat</b>", "nothing"],
        },
    )


def cards(store: Any) -> CardMaker:
    decision = decide(store)
    return CardMaker(decision, find_layout(decision.view, ["image-text"]), Excerpts())


def scored(maker: Any) -> Any:
    lists = [
        parts(("red car (object)", 0.75), ("wheel", None)),
        parts(("dog", 0.25)),
        parts(("cat", 0.25), ("<i>", 0.5)),
        None,
    ]
    notes = ["'wheel' is not in the text", None, None, None]
    fields = [(score("fit"), [3.0, 2.0, 1.0, None]), (detail("fit_elements", SCORED), lists)]
    reasons = (pa.field("fit_reason", pa.string()), [None, None, None, "no image"])
    return maker.score("fit", [*fields, (detail("fit_notes", pa.string()), notes), reasons])


def test_the_weakest_come_first_and_ties_by_id(maker: Any) -> None:
    (made,) = collect_elements(cards(scored(maker).store), 4)
    assert (made.column, made.low, made.high) == ("fit_elements", "0", "1")
    weakest, best = made.galleries
    assert [c.id for c in weakest.cards] == ["b", "c"]
    assert [c.id for c in best.cards] == ["d", "b"]
    (red, wheel), note = best.cards[0].elements, best.cards[0].note
    assert (red.name, red.type, red.score, red.tone) == ("red car", "object", "0.75", 0.5)
    assert (wheel.score, wheel.tone, wheel.note) == ("", None, "no score")
    assert note == "'wheel' is not in the text"
    assert [(s.text, s.tone) for s in best.cards[0].shaded[0][1]] == [("a ", None), ("red car", 0.5)]
    assert best.cards[0].scores == (("fit", "3"),)


def test_few_items_are_shown_once(maker: Any) -> None:
    (made,) = collect_elements(cards(scored(maker).store), 24)
    assert [len(g.cards) for g in made.galleries] == [3]
    assert collect_elements(cards(maker.store), 0) == ()


def test_answers_are_told_by_the_questions_they_belong_to(maker: Any) -> None:
    asked = [
        [
            {"question": "Is the car red?", "answer": "yes", "element": "red car"},
            {"question": "How many dogs?", "answer": "two", "element": None},
        ],
        [{"question": "Is it a dog?", "answer": None, "element": "dog"}] * 2,
        None,
        None,
    ]
    answers = [
        [{"answer": 0.5, "positive": 0.1}, {"answer": 1.0, "positive": 0.9}],
        [{"answer": 0.1, "positive": 0.1}],
        None,
        [],
    ]
    maker.score("asked", [(score("asked"), [1.0] * 4), (detail("asked_questions", ASKED), asked)])
    field = detail("vqa_answers", ANSWERED, of="asked_questions")
    maker.score("vqa", [(score("vqa"), [0.5] * 4), (field, answers)])
    (made,) = collect_elements(cards(maker.store), 24)
    dog, car = made.galleries[0].cards
    assert [e.name for e in car.elements] == ["Is the car red?", "How many dogs? → two"]
    assert [e.tone for e in car.elements] == [0.0, 1.0]
    assert car.shaded[0][1][1].text == "red car"
    # one answer to two questions: they were asked anew since, and what it is about is not made up
    assert [(e.name, e.score) for e in dog.elements] == [("element 1", "0.10")]


def test_what_tells_nothing_of_parts_is_not_shown(maker: Any) -> None:
    maker.score("x", [(score("x"), [0.0] * 4), (detail("x_of", pa.list_(pa.float32())), [[1.0]] * 4)])
    maker.score("y", [(score("y"), [0.0] * 4), (detail("y_answers", ANSWERED), [None] * 4)])
    assert element_columns(decide(maker.store)) == []


def test_scores_beyond_one_are_shaded_over_their_range() -> None:
    column = ElementColumn("c", "score", "", "", "")
    nan = np.nan
    wide = scaled(column, np.array([1.0, nan, 2.0]), np.array([1.0, nan, 5.0]))
    assert (wide.low, wide.high) == (1.0, 5.0)
    assert [wide.tone(v) for v in (1, 3, 5, 9)] == [-1.0, 0.0, 1.0, 1.0]
    assert scaled(column, np.array([nan]), np.array([nan])) == column
    same = scaled(column, np.array([-2.0]), np.array([-2.0]))
    assert (same.low, same.high) == (-2.0, -1.0)


def test_extremes_are_those_of_a_slow_reading(maker: Any) -> None:
    rng = np.random.default_rng(0)
    lists: list[Any] = []
    for _ in range(4):
        values = rng.random(rng.integers(0, 4)).astype(np.float32).tolist()
        lists.append(parts(*(("e", v) for v in values)))
    lists[2] = None
    maker.score("z", [(score("z"), [0.0] * 4), (detail("z_elements", SCORED), lists)])
    decision = decide(maker.store)
    low, high = extremes(decision.view, element_columns(decision)[0])
    slow = [[p["score"] for p in one or []] for one in lists]
    assert np.array_equal(low, [min(v, default=np.nan) for v in slow], equal_nan=True)
    assert np.array_equal(high, [max(v, default=np.nan) for v in slow], equal_nan=True)
    ids = decision.view.to_arrow(["id"])["id"].to_pylist()
    order = [ids[i] for i in lowest_rows(decision.view, np.array([1.0, 1.0, np.nan, 0.0]), 2)]
    assert order == ["a", "c"]


def test_the_page_shows_them_escaped(maker: Any, tmp_path: Path) -> None:
    page = write_report(scored(maker).store, tmp_path / "r.html").read_text()
    section = page.split('<section id="elements">')[1].split("</section>")[0]
    assert (
        '<mark class="tone" style="--tone: var(--kept); --heat: 32%" title="red car: 0.75">red car</mark>'
        in section
    )
    assert "&lt;b&gt;a " in section and "<b>a " not in section and "&lt;i&gt;" in section
    assert "&#39;wheel&#39; is not in the text" in section
    assert '<a href="#elements">' in page
