"""Histograms and envelopes as SVG. Nothing here is taken from a user but numbers and names; names are escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from curate.counting import counted
from curate.report.bins import choose_ticks
from curate.report.model import Histogram, Threshold
from curate.report.words import clean, count, number

WIDTH, HEIGHT = 520, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 24
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


def scale_x(value: float, low: float, high: float) -> float:
    """Where a value lies, in SVG units, when [low, high] spans the plot."""
    return LEFT + PLOT_WIDTH * (value - low) / (high - low)


def scale_height(n: int, most: int) -> float:
    """Height of a bar in SVG units; a bin that is not empty is never invisible."""
    return max(PLOT_HEIGHT * n / most, 1.0) if n and most else 0.0


def draw_histogram(histogram: Histogram) -> Markup:
    """The histogram as one SVG element: stacked bars, thresholds as dashed lines, a tooltip for every bin."""
    low, high = histogram.edges[0], histogram.edges[-1]
    most = max((sum(n for _, _, n in bin_) for bin_ in _stacks(histogram)), default=0)
    parts = [
        Markup(
            '<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="xMidYMid meet">'
        ).format(WIDTH, HEIGHT, _spoken(histogram)),
        *_draw_axes(low, high, most),
        *_draw_bars(histogram, most),
        *_draw_thresholds(histogram.thresholds, low, high),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def _spoken(histogram: Histogram) -> str:
    total = sum(n for bin_ in _stacks(histogram) for _, _, n in bin_)
    text = (
        f"Histogram of {histogram.column}: {counted(total, 'value')} from "
        f"{number(histogram.edges[0])} to {number(histogram.edges[-1])}"
    )
    if histogram.thresholds:
        text += ", threshold " + " and ".join(f"{t.op} {number(t.value)}" for t in histogram.thresholds)
    return clean(text)


def _draw_axes(low: float, high: float, most: int) -> Iterator[Markup]:
    bottom = TOP + PLOT_HEIGHT
    for tick in _count_ticks(most):
        y = bottom - PLOT_HEIGHT * tick / most
        yield Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="tick" x="{}" y="{:.1f}" '
            'text-anchor="end">{}</text>'
        ).format(LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 3.5, _short_count(tick))
    yield Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        LEFT, WIDTH - RIGHT, bottom, bottom
    )
    for value in choose_ticks(low, high):
        x = scale_x(value, low, high)
        yield Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            x, HEIGHT - 7, number(value)
        )


def _count_ticks(most: int) -> list[int]:
    return sorted({int(t) for t in choose_ticks(0, most, 4) if t >= 1 and t == int(t)}) if most else []


def _short_count(n: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if n >= size:
            return f"{n / size:g}{unit}"
    return str(n)


def _draw_bars(histogram: Histogram, most: int) -> Iterator[Markup]:
    low, high = histogram.edges[0], histogram.edges[-1]
    for i, stack in enumerate(_stacks(histogram)):
        left, right = histogram.edges[i], histogram.edges[i + 1]
        x, x2 = scale_x(left, low, high), scale_x(right, low, high)
        gap = min(1.0, (x2 - x) * 0.12)
        title = _bin_title(left, right, stack)
        yield Markup('<g class="bin"><title>{}</title>').format(title)
        yield Markup('<rect class="hit" x="{:.2f}" y="{}" width="{:.2f}" height="{}"/>').format(
            x, TOP, x2 - x, PLOT_HEIGHT
        )
        y = float(TOP + PLOT_HEIGHT)
        for name, _, n in stack:
            if n:
                tall = scale_height(n, most)
                y -= tall
                yield Markup(
                    '<rect class="bar {}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>'
                ).format(name, x + gap / 2, y, x2 - x - gap, tall)
        yield Markup("</g>")


def _stacks(histogram: Histogram) -> list[list[tuple[str, str, int]]]:
    """For every bin, from the bottom up: (class of the bar, word, items)."""
    if not histogram.decided:
        return [[("all", "", n)] for n in histogram.kept]
    chosen = bool(histogram.passed)
    passed = histogram.passed or (0,) * len(histogram.kept)
    return [
        [
            ("dropped", "dropped", d),
            *([("passed", "not selected", p)] if chosen else []),
            ("kept", "selected" if chosen else "kept", k),
        ]
        for k, p, d in zip(histogram.kept, passed, histogram.dropped, strict=True)
    ]


def _bin_title(left: float, right: float, stack: Sequence[tuple[str, str, int]]) -> str:
    where = f"{number(left)} to {number(right)}"
    if right - left == 1 and left % 1 == 0.5:
        where = number(left + 0.5)
    return f"{where}: " + ", ".join(f"{count(n)} {word}".strip() for _, word, n in reversed(stack))


def _draw_thresholds(thresholds: Sequence[Threshold], low: float, high: float) -> Iterator[Markup]:
    drawn = sorted((t for t in thresholds if low <= t.value <= high), key=lambda t: (t.value, t.op))
    taken: list[float] = []
    for threshold in drawn:
        x = scale_x(threshold.value, low, high)
        row = 1 if any(abs(x - other) < 60 for other in taken) and len(taken) % 2 else 0
        taken.append(x)
        anchor = "end" if x > WIDTH - 80 else "start" if x < 80 else "middle"
        label = clean(f"{threshold.op} {number(threshold.value)}")
        yield Markup(
            '<line class="threshold" data-value="{}" x1="{:.2f}" x2="{:.2f}" y1="{}" y2="{}"/>'
            '<text class="threshold-label" x="{:.2f}" y="{}" text-anchor="{}">{}</text>'
        ).format(
            repr(threshold.value),
            x,
            x,
            TOP - 4 + 10 * row,
            TOP + PLOT_HEIGHT,
            x,
            TOP - 9 + 10 * row,
            anchor,
            label,
        )


def draw_envelope(envelope: Sequence[float]) -> Markup:
    """A sound's loudness over time as thin bars mirrored about the middle."""
    width, height = 160, 44
    step = width / max(len(envelope), 1)
    bars = Markup("").join(
        Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" rx="0.6"/>').format(
            i * step, (height - tall) / 2, step * 0.65, tall
        )
        for i, tall in enumerate(max(1.0, height * min(v, 1.0)) for v in envelope)
    )
    return Markup(
        '<svg class="envelope" viewBox="0 0 {} {}" aria-hidden="true" preserveAspectRatio="none">{}</svg>'
    ).format(width, height, bars)
