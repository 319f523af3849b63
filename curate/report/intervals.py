"""Points with their intervals on one scale, as SVG: a ranking that shows what it does not know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from curate.counting import counted
from curate.report.bins import choose_ticks
from curate.report.evidence import Interval
from curate.report.words import clean, number

__all__ = ["draw_intervals"]

WIDTH, ROW = 640, 24
LEFT, RIGHT, TOP, BOTTOM = 190, 66, 6, 28
NAME = 28
"""Characters of a name; the whole of it is in the tooltip."""


def draw_intervals(lines: Sequence[Interval]) -> Markup:
    """One line per interval, in their order, as one SVG element. The scale spans the intervals and need not hold 0."""
    low, high = min(one.low for one in lines), max(one.high for one in lines)
    room = 0.04 * (high - low) or max(abs(low) * 0.05, 0.5)
    low, high = low - room, high + room
    height = TOP + ROW * len(lines) + BOTTOM
    said = f"{counted(len(lines), 'value')} with intervals, from {number(low)} to {number(high)}"
    parts = [
        Markup('<svg class="intervals" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, height, said
        ),
        *_axis(low, high, height),
        *(mark for i, one in enumerate(lines) for mark in _line(one, TOP + ROW * (i + 0.5), low, high)),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)


def _axis(low: float, high: float, height: int) -> Iterator[Markup]:
    for tick in choose_ticks(low, high):
        x = _x(tick, low, high)
        yield Markup(
            '<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>'
            '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
        ).format(x, x, TOP, height - BOTTOM + 4, x, height - 8, number(tick))


def _line(one: Interval, y: float, low: float, high: float) -> Iterator[Markup]:
    name = clean(one.name if len(one.name) <= NAME else one.name[: NAME - 1] + "…")
    title = clean(f"{one.name}: {one.text}, interval {number(one.low)} to {number(one.high)}")
    yield Markup(
        '<g class="interval"><title>{}</title><text class="who" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        '<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
        '<circle class="point" cx="{:.1f}" cy="{:.1f}" r="4.5"/>'
        '<text class="value" x="{}" y="{:.1f}" text-anchor="end">{}</text></g>'
    ).format(
        title, LEFT - 12, y + 4, name, _x(one.low, low, high), _x(one.high, low, high), y, y,
        _x(one.value, low, high), y, WIDTH - 4, y + 4, clean(one.text),
    )  # fmt: skip
