"""Lines and a band around them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from curate.report.bins import choose_ticks
from curate.report.evidence import Curve
from curate.report.words import clean, number

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 26, 38
Points = Sequence[tuple[float, float]]


def draw_curve(curve: Curve) -> Markup:
    """The lines as one SVG element with axes and, where there is one, the band; every line is named."""
    values = [v for _, line in curve.lines for v in line if v is not None]
    values += [
        v
        for ends in (curve.band, *(e for _, e in curve.intervals))
        for pair in ends
        for v in pair
        if v is not None
    ]
    frame = _Frame(curve.x, values)
    parts = [
        Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, clean(_spoken(curve))
        ),
        *frame.axes(curve.x_name),
        *_band(curve, frame),
        *_bars(curve, frame),
        *_lines(curve, frame),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


_STYLE = """
text { font: 11px system-ui, sans-serif; fill: #596273; } .line { fill: none; stroke: #2f6bd8; stroke-width: 2; }
.line-1 { stroke: #e08a3c; } .line-2 { stroke: #596273; stroke-dasharray: 5 3; } .line-3 { stroke: #c02f3c; }
.line-4 { stroke: #171a21; } .line-5 { stroke: #a9c4f2; } .bar { stroke-width: 1.5; stroke-dasharray: none; opacity: .6; } .band { fill: #2f6bd8; opacity: .16; } .grid { stroke: #e2e5ea; }
"""


def draw_curve_alone(curve: Curve) -> Markup:
    """The same as a file of its own, on white."""
    size = Markup('<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}"').format(
        2 * WIDTH, 2 * HEIGHT
    )
    ground = Markup('<style>{}</style><rect width="{}" height="{}" fill="#fff"/>').format(
        Markup(_STYLE), WIDTH, HEIGHT
    )
    start, end, rest = draw_curve(curve).partition(">")
    return start.replace(Markup("<svg"), size, 1) + end + ground + rest + Markup("\n")


class _Frame:
    """Where values lie, in SVG units. Budgets and the like, each some times the one before, are a step apart each."""

    def __init__(self, x: Sequence[float], y: Sequence[float]) -> None:
        self.x, self.by_factors = sorted(set(x)), _by_factors(x)
        self.left, self.right = self._along(min(x)), self._along(max(x))
        self.low, self.high = _reach(y)
        if self.right == self.left:
            self.right = self.left + 1
        if self.high == self.low:
            self.high = self.low + 1

    def _along(self, x: float) -> float:
        return math.log(x) if self.by_factors else x

    def point(self, x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (self._along(x) - self.left) / (self.right - self.left)
        up = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - self.low) / (self.high - self.low)
        return across, up

    def axes(self, name: str) -> Iterator[Markup]:
        for tick in choose_ticks(self.low, self.high, 5):
            _, y = self.point(self.x[0], tick)
            yield Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 3.5, number(tick))
        last = -math.inf
        for tick in self.x if self.by_factors else choose_ticks(self.left, self.right):
            x, _ = self.point(tick, self.low)
            if x - last < 36:
                continue
            last = x
            yield Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                x, HEIGHT - BOTTOM + 16, number(tick)
            )
        yield Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
            WIDTH - RIGHT, HEIGHT - 5, clean(name)
        )


def _by_factors(x: Sequence[float]) -> bool:
    """Whether these are spread over a factor of ten or more, most of them among the small ones."""
    return min(x) > 0 and max(x) >= 10 * min(x) and sorted(x)[len(x) // 2] <= 0.35 * max(x)


def _reach(y: Sequence[float]) -> tuple[float, float]:
    """From zero, unless the lines lie so far from it that they would look like one: accuracies between 0.9 and 0.95."""
    low, high = min(y, default=0.0), max(y, default=0.0)
    span = high - low
    if span > 0 and low > 2 * span:
        return low - 0.1 * span, high
    return min(0.0, low), max(0.0, high)


def _band(curve: Curve, frame: _Frame) -> Iterator[Markup]:
    pairs = [(x, low, high) for x, (low, high) in zip(curve.x, curve.band, strict=False)]
    known = [(x, low, high) for x, low, high in pairs if low is not None and high is not None]
    if known:
        around = [frame.point(x, high) for x, _, high in known]
        around += [frame.point(x, low) for x, low, _ in reversed(known)]
        yield Markup('<polygon class="band" points="{}"/>').format(_points(around))


def _bars(curve: Curve, frame: _Frame) -> Iterator[Markup]:
    """The intervals of lines as upright bars, side by side where they would hide each other."""
    places = {name: i for i, (name, _) in enumerate(curve.lines[:6])}
    for name, ends in curve.intervals:
        if name not in places:
            continue
        aside = 3.0 * (places[name] - (len(places) - 1) / 2)
        for x, (low, high) in zip(curve.x, ends, strict=True):
            if low is not None and high is not None:
                (across, bottom), (_, top) = frame.point(x, low), frame.point(x, high)
                yield Markup(
                    '<line class="line bar line-{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
                ).format(places[name], across + aside, across + aside, bottom, top)


def _lines(curve: Curve, frame: _Frame) -> Iterator[Markup]:
    across = LEFT
    for i, (name, line) in enumerate(curve.lines[:6]):
        points = [frame.point(x, y) for x, y in zip(curve.x, line, strict=True) if y is not None]
        yield Markup('<polyline class="line line-{}" points="{}"/>').format(i, _points(points))
        yield Markup('<line class="line line-{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            i, across, across + 16, TOP - 14, TOP - 14
        )
        yield Markup('<text class="tick" x="{}" y="{}">{}</text>').format(across + 21, TOP - 10, clean(name))
        across += 34 + 7 * len(name)


def _points(points: Points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _spoken(curve: Curve) -> str:
    names = ", ".join(name for name, _ in curve.lines)
    return f"{curve.title}: {names} over {curve.x_name}, {number(min(curve.x))} to {number(max(curve.x))}"
