"""A map of items as SVG: a mark for each, its shape and colour by what became of it. Texts are escaped."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from curate.report.points import HEIGHT, WIDTH, Point, PointMap
from curate.report.words import clean, count

__all__ = ["draw_map", "draw_mark"]

EDGE = 12
"""Room around the frame, so that a mark on its edge is whole."""

_ORDER = ("not selected", "dropped", "", "kept", "selected")
"""What is drawn first lies below."""


def draw_map(drawn: PointMap, titles: bool = False) -> Markup:
    """The map as one SVG element; `data-i` is the number of a mark's point. `titles`: with a tooltip for every mark."""
    order = sorted(range(len(drawn.points)), key=lambda i: (_ORDER.index(drawn.points[i].card.status), i))
    parts = [
        Markup(
            '<svg class="map" viewBox="{} {} {} {}" role="img" aria-label="{}" preserveAspectRatio="xMidYMid meet">'
        ).format(-EDGE, -EDGE, round(WIDTH) + 2 * EDGE, round(HEIGHT) + 2 * EDGE, clean(_spoken(drawn))),
        *(_marked(i, drawn.points[i], titles) for i in order),
        *_rings(drawn),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def draw_mark(status: str) -> Markup:
    """The mark of a status: a disc for what was kept, a ring for what was not selected, a cross for what was dropped."""
    start, end = _mark(status, 0, 0)
    return start.format("") + end


def _marked(i: int, point: Point, titles: bool) -> Markup:
    title = Markup("<title>{}</title>").format(clean(_said(point))) if titles else Markup("")
    start, end = _mark(point.card.status, point.x, point.y)
    return start.format(Markup(' data-i="{}"').format(i)) + title + end


def _mark(status: str, x: float, y: float) -> tuple[Markup, Markup]:
    """Start, with room for more attributes, and end of an element."""
    if status == "dropped":
        path = Markup('<path class="p dropped"{{}} d="M{:.1f} {:.1f}l6.4 6.4m0-6.4l-6.4 6.4">')
        return path.format(x - 3.2, y - 3.2), Markup("</path>")
    circle = Markup('<circle class="p {}"{{}} cx="{:.1f}" cy="{:.1f}" r="{}">')
    return circle.format(
        status.replace(" ", "-") or "all", x, y, 3 if status == "not selected" else 4.5
    ), Markup("</circle>")


def _rings(drawn: PointMap) -> Iterator[Markup]:
    for point in drawn.points:
        if point.asked:
            yield Markup('<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="7.5"/>').format(point.x, point.y)


def _said(point: Point) -> str:
    card = point.card
    return ": ".join(part for part in (card.id, card.label, card.reason or card.status) if part)


def _spoken(drawn: PointMap) -> str:
    groups = ", ".join(f"{count(g.shown)} {g.status or 'items'}" for g in drawn.groups)
    return f"Map of items by {drawn.column}: {groups}"
