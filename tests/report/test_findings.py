"""Findings in the report: charts worked out from tables, everything escaped."""

from __future__ import annotations

import re

import pyarrow as pa

from curate.contracts import Finding, Findings
from curate.report import findings_html
from curate.report.curves import draw_curve
from curate.report.evidence import Curve, Interval
from curate.report.findings import MOST_ROWS, make_set, serious
from curate.report.intervals import draw_intervals


def one(table: pa.Table, chart: str) -> object:
    return make_set("a", Findings("s", (Finding("t", "x", table, chart),))).findings[0]  # type: ignore[arg-type]


def test_bars_are_drawn_against_the_longest() -> None:
    made = one(pa.table({"class": ["cat", "dog"], "rate": [0.1, 0.4]}), "bars")
    assert [(b.name, b.text, b.percent) for b in made.bars] == [("cat", "0.1", 25.0), ("dog", "0.4", 100.0)]


def test_values_with_low_and_high_are_drawn_as_intervals() -> None:
    table = pa.table(
        {
            "model": ["flux", "<sd>", "none"],
            "mean": [3.5, 2.0, None],
            "low": [3.0, None, None],
            "high": [4.0, 2.5, None],
        }
    )
    made = one(table, "bars")
    assert made.bars == ()
    assert [(i.name, i.value, i.low, i.high) for i in made.intervals] == [
        ("flux", 3.5, 3.0, 4.0),
        ("<sd>", 2.0, 2.0, 2.5),
    ]
    svg = str(draw_intervals(made.intervals))
    assert svg.count("<circle") == 2 and "&lt;sd&gt;" in svg
    # the scale runs from 2 - 0.08 to 4 + 0.08 over 190 to 574, so 3.5 lies at 190 + 384 * 1.58 / 2.16
    assert f'cx="{190 + 384 * 1.58 / 2.16:.1f}"' in svg
    assert "interval 3 to 4" in svg


def test_intervals_of_one_value_can_be_drawn() -> None:
    assert "<svg" in draw_intervals(
        [Interval("a", "1", 1.0, 1.0, 1.0), Interval("b" * 90, "1", 1.0, 1.0, 1.0)]
    )


def test_a_matrix_is_coloured_by_what_lies_off_the_diagonal() -> None:
    made = one(pa.table({"given": ["cat", "dog"], "cat": [90, 3], "dog": [6, 80]}), "matrix")
    assert made.heat.columns == ("cat", "dog") and made.heat.rows == ("cat", "dog")
    assert made.heat.cells == ((("90", 100.0), ("6", 100.0)), (("3", 50.0), ("80", 100.0)))


def test_a_line_has_its_band_and_leaves_gaps_out() -> None:
    table = pa.table(
        {"checked": [0, 10, 20], "found": [0.0, None, 8.0], "low": [0.0, 2.0, 5.0], "high": [1.0, 6.0, 9.0]}
    )
    curve = one(table, "line").curve
    assert curve.x == (0.0, 10.0, 20.0) and curve.lines == (("found", (0.0, None, 8.0)),)
    assert curve.band == ((0.0, 1.0), (2.0, 6.0), (5.0, 9.0))
    svg = str(draw_curve(curve))
    assert svg.count("<polyline") == 1 and svg.count("<polygon") == 1
    assert svg.split('points="')[2].split('"')[0].count(",") == 2  # the gap has no point


def test_lines_have_their_own_intervals_side_by_side() -> None:
    ends = {"a low": [0.0, 1.0], "a high": [2.0, None], "b low": [1.0, 1.0], "b high": [4.0, 3.0]}
    curve = one(pa.table({"x": [0, 10], "a": [1.0, 2.0], "b": [2.0, 2.0], **ends}), "line").curve
    assert [name for name, _ in curve.lines] == ["a", "b"] and curve.band == ()
    assert curve.intervals == (("a", ((0.0, 2.0), (1.0, None))), ("b", ((1.0, 4.0), (1.0, 3.0))))
    bars = re.findall(
        r'class="line bar line-(\d)" x1="([\d.]+)" x2="([\d.]+)" y1="([\d.]+)" y2="([\d.]+)"',
        str(draw_curve(curve)),
    )
    assert [bar[0] for bar in bars] == ["0", "1", "1"]  # an interval without an end is not drawn
    # x from 56 to 546, and 1.5 to either side; y from 0 at 212 to 4 at 26
    assert bars[0][1:] == ("54.5", "54.5", "212.0", "119.0") and bars[1][1:] == (
        "57.5",
        "57.5",
        "165.5",
        "26.0",
    )


def test_budgets_are_steps_apart_as_their_factors() -> None:
    def ticks(*x: float) -> list[tuple[float, str]]:
        svg = str(draw_curve(Curve("t", "budget", x, (("y", (0.5,) * len(x)),))))
        return [
            (float(at), text)
            for at, text in re.findall(r'x="([\d.]+)" y="228" text-anchor="middle">([^<]*)<', svg)
        ]

    assert ticks(0.01, 0.1, 1.0) == [(56, "0.01"), (301, "0.1"), (546, "1")]
    assert ticks(0.01, 0.0101, 0.1, 1.0) == ticks(0.01, 0.1, 1.0)  # too near each other to be read
    assert [text for _, text in ticks(*range(1, 11))] == [
        "2",
        "4",
        "6",
        "8",
        "10",
    ]  # one after the other: as they are
    assert next(text for _, text in ticks(0.0, 0.1, 1.0)) == "0"


def test_lines_far_from_zero_fill_the_picture() -> None:
    def heights(*y: float) -> list[float]:
        svg = str(draw_curve(Curve("t", "x", tuple(range(len(y))), (("y", y),))))
        points = svg.partition('points="')[2].partition('"')[0].split()
        return [float(p.partition(",")[2]) for p in points]

    close = heights(0.90, 0.95, 0.92)
    assert max(close) - min(close) > 120
    wide = heights(0.2, 0.9, 0.5)  # those are seen from zero, as lengths are
    assert abs((wide[0] - wide[1]) / (250 - 26 - 38) - (0.9 - 0.2) / 0.9) < 0.01


def test_a_curve_of_one_point_and_of_zeros_can_be_drawn() -> None:
    assert "<svg" in draw_curve(Curve("t", "x", (1.0,), (("y", (0.0,)),)))


def test_long_tables_say_what_is_left_out() -> None:
    made = one(pa.table({"n": list(range(MOST_ROWS + 7))}), "")
    assert (len(made.rows), made.left_out) == (MOST_ROWS, 7)


def test_names_and_words_are_escaped_wherever_they_stand() -> None:
    evil = "<script>alert(1)</script>"
    table = pa.table({evil: [evil], "n": [1.0]})
    findings = tuple(Finding(evil, evil, table, chart) for chart in ("", "bars", "matrix"))
    line = Finding(evil, evil, pa.table({evil: [1.0, 2.0], evil + "2": [1.0, 2.0]}), "line")
    html = findings_html(evil, Findings(evil, (*findings, line)))
    assert "<script" not in html and "&lt;script&gt;" in html


def test_serious_findings_are_notices() -> None:
    made = make_set(
        "health", Findings("s", (Finding("Leak", "3 % of rows.", serious=True), Finding("Fine", "ok")))
    )
    assert serious([made]) == ("health: Leak. 3 % of rows.",)
