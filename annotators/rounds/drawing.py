"""A status as HTML: bars of what is settled, a table of rounds, and the curve of what more answers would buy."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from curate.counting import counted
from curate.errors import InputError

if TYPE_CHECKING:
    from curate.annotators.rounds.status import RoundStatus
    from curate.annotators.rounds.worth import Worth

__all__ = ["draw"]

COLOURS = {
    "settled": "#3f7f5f",
    "adjudicated": "#6aa584",
    "gold": "#c9a227",
    "aside": "#9a9a9a",
    "waiting": "#7aa6c2",
    "again": "#d08a3e",
    "expert": "#b5654a",
    "undecided": "#8c3b3b",
}
SAID = {
    "again": "to ask again",
    "expert": "for an expert",
    "aside": "set aside",
    "waiting": "waiting for answers",
}
"""How a state is called, where not by its name."""
UNITS = {"pace": "pace (s)"}
WIDTH, HEIGHT = 480, 120


def draw(status: RoundStatus) -> str:
    """One piece of HTML that needs nothing else."""
    head = f"<h4>{escape(status.plan.control)}</h4>{_bar(status.counts)}{_rounds(status)}"
    try:
        worth = status.worth()
    except InputError:
        return f'<div style="font-family:sans-serif">{head}</div>'
    return f'<div style="font-family:sans-serif">{head}<p>{escape(str(worth))}</p>{_curve(worth)}</div>'


def _bar(counts: dict[str, int]) -> str:
    """One bar of all items, a piece for each state, and what the pieces are."""
    total = sum(counts.values())
    if not total:
        return "<p>nothing was asked yet</p>"
    pieces, legend, x = [], [], 0.0
    for state, n in counts.items():
        width = n / total * 600
        pieces.append(
            f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="18" fill="{COLOURS[state]}"><title>{state}: {n:,}</title></rect>'
        )
        legend.append(
            f'<span style="margin-right:1em"><span style="color:{COLOURS[state]}">&#9632;</span> {n:,} {SAID.get(state, state)}</span>'
        )
        x += width
    said = ", ".join(f"{n} {state}" for state, n in counts.items())
    return (
        f'<svg role="img" aria-label="{said}" width="600" height="18" viewBox="0 0 600 18">{"".join(pieces)}</svg>'
        f"<p>{''.join(legend)}</p>"
    )


def _rounds(status: RoundStatus) -> str:
    table = status.by_round
    if not table.height:
        return ""
    padded = 'style="padding: 2px 10px; text-align: right"'
    head = "".join(f"<th {padded}>{escape(UNITS.get(name, name))}</th>" for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td {padded}>{_cell(v)}</td>" for v in row) + "</tr>" for row in table.iter_rows()
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return (
        f"{value:,.2f}"
        if isinstance(value, float)
        else escape(f"{value:,}" if isinstance(value, int) else str(value))
    )


def _curve(worth: Worth) -> str:
    """What is expected over further answers, and where asking at random would end."""
    answers, values = worth.curve["answers"].to_list(), worth.curve["value"].to_list()
    ends = (worth.now, worth.then, worth.random)
    low, high = min(ends), max(ends)
    if high - low < 1e-9:
        return ""
    last = max(answers[-1], 1)

    def at(n: float, value: float) -> str:
        return f"{40 + n / last * (WIDTH - 60):.1f},{HEIGHT - 25 - (value - low) / (high - low) * (HEIGHT - 40):.1f}"

    line = " ".join(at(n, value) for n, value in zip(answers, values, strict=True))
    chance = f"{at(0, worth.now)} {at(last, worth.random)}"
    shown = "{:.1%}" if worth.measure == "right" else "{:.2f}"
    what = "expected share right" if worth.measure == "right" else "expected error of the mean rating"
    return (
        f'<svg role="img" aria-label="{what} by further answers" width="{WIDTH}" height="{HEIGHT}">'
        f'<polyline points="{line}" fill="none" stroke="#3f7f5f" stroke-width="2"/>'
        f'<polyline points="{chance}" fill="none" stroke="#9a9a9a" stroke-dasharray="4"/>'
        f'<text x="2" y="{HEIGHT - 22}" font-size="10" fill="currentColor">{shown.format(low)}</text>'
        f'<text x="2" y="16" font-size="10" fill="currentColor">{shown.format(high)}</text>'
        f'<text x="40" y="{HEIGHT - 6}" font-size="10" fill="currentColor">{what}, 0 to {counted(last, "more answer")}; dashed: at random</text></svg>'
    )
