"""ReportData -> one self-contained HTML page. Everything is escaped, nothing is loaded, one script runs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from curate.report import words
from curate.report.contents import ReportData
from curate.report.curves import draw_curve
from curate.report.drawing import draw_envelope, draw_histogram
from curate.report.intervals import draw_intervals
from curate.report.model import Picture, Table
from curate.report.points import Point, PointMap
from curate.report.scatter import draw_map, draw_mark

_MEDIA = re.compile(r"data:(?:image|audio)/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=]+")
TEMPLATES = Path(__file__).parent / "templates"

LONGEST = 200_000
"""No single string on a page is longer, wherever it came from."""


def render(data: ReportData) -> bytes:
    """The whole page as UTF-8. The same data give the same bytes."""
    js = asset("report.js") + asset("map.js")
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            policy=content_policy(js),
            css=Markup(asset("report.css") + asset("map.css")),
            js=Markup(js),
            rows=embed_rows(data.table),
            points=embed_points(data.map),
            sections=list_sections(data),
        )
    )
    return page.encode("utf-8", "replace")


def content_policy(script: str) -> str:
    """The Content-Security-Policy under which only this one script runs and nothing leaves or enters."""
    sha = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{sha}'; base-uri 'none'; form-action 'none'"
    )


def embed_rows(table: Table | None) -> Markup:
    """The table's rows as JSON that cannot end the element it stands in."""
    if table is None:
        return Markup("")
    columns = [{"name": c.name, "type": c.type} for c in table.columns]
    return _embed({"columns": columns, "rows": table.rows})


def embed_points(drawn: PointMap | None) -> Markup:
    """What a map says of each of its points, as JSON that cannot end the element it stands in."""
    if drawn is None:
        return Markup("")
    highlights = [{"name": h.name, "points": h.points} for h in drawn.highlights]
    return _embed({"points": [_plain_point(p) for p in drawn.points], "highlights": highlights})


def _plain_point(point: Point) -> dict[str, Any]:
    card = point.card
    return {
        "x": point.x,
        "y": point.y,
        "id": card.id,
        "status": card.status if _status_class(card.status) else "",
        "asked": point.asked,
        "why": card.reason,
        "label": card.label,
        "suggested": card.suggested,
        "texts": card.texts,
        "scores": card.scores,
        "picture": _plain_picture(card.pictures[0]) if card.pictures else None,
    }


def _plain_picture(picture: Picture) -> dict[str, Any]:
    uri = str(_trust_media(picture.uri))
    return {"uri": uri, "width": picture.width, "height": picture.height, "problem": picture.problem}


def _embed(value: Any) -> Markup:
    text = json.dumps(_cleaned(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _cleaned(value: Any) -> Any:
    """The same with every text in it cleaned of invisible characters."""
    if isinstance(value, str):
        return words.clean(value)
    if isinstance(value, dict):
        return {key: _cleaned(one) for key, one in value.items()}
    return [_cleaned(one) for one in value] if isinstance(value, (list, tuple)) else value


def list_sections(data: ReportData) -> list[tuple[str, str]]:
    """(anchor, name) of the sections that this report has."""
    present = [
        ("summary", "Summary", True),
        ("funnel", "What happened", data.steps),
        ("scores", "Scores", data.histograms or data.flags),
        ("map", "Map", data.map),
        ("findings", "Findings", data.findings),
        ("galleries", "Items to look at", data.galleries),
        ("elements", "Elements", data.elements),
        ("disagreements", "Where scores disagree", data.disagreements),
        ("duplicates", "Duplicates", data.duplicates),
        ("labels", "Doubtful labels", data.labels),
        ("balance", "Balance", data.balances),
        ("items", "Items", data.table),
        ("failures", "Rejected and failed", data.failures),
        ("provenance", "Provenance", True),
        ("timings", "Timings", data.timings),
    ]
    return [(anchor, name) for anchor, name, there in present if there]


@cache
def environment() -> Environment:
    """Templates with escaping on; plain strings are cleaned of invisible characters on their way out."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.filters.update(
        count=words.count,
        items=words.items,
        share=words.share,
        number=words.number,
        curve=draw_curve,
        histogram=draw_histogram,
        intervals=draw_intervals,
        envelope=draw_envelope,
        mark=draw_mark,
        scatter=draw_map,
        media=_trust_media,
        status_class=_status_class,
        tone=_tone_style,
    )
    return made


def _finalize(value: Any) -> Any:
    return (
        words.shorten(value, LONGEST) if type(value) is str else value
    )  # Markup is our own, and safe already


def _status_class(status: str) -> str:
    """The style of a status; of anything else, none."""
    return status.replace(" ", "-") if status in ("kept", "dropped", "selected", "not selected") else ""


def _tone_style(tone: float) -> Markup:
    """The colour of a tone from -1 (worst) to 1 (best), as CSS: its side, and how strong in per cent."""
    side = "kept" if tone >= 0 else "dropped"
    return Markup("--tone: var(--{}); --heat: {:.0f}%").format(side, 5 + 55 * min(abs(tone), 1.0))


def _trust_media(uri: str) -> Markup:
    """A data URI of a picture or a sound, or nothing at all."""
    return Markup(uri) if _MEDIA.fullmatch(uri) else Markup("")


@cache
def asset(name: str) -> str:
    """A style sheet or a script, as text."""
    return (TEMPLATES / name).read_text("utf-8")
