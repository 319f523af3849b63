"""One item as a notebook shows it: what it is, its elements, its scores, and what every step decided."""

from __future__ import annotations

import numpy as np

from curate.report import words
from curate.report.cards import CardMaker, find_layout
from curate.report.decision import Decision
from curate.report.elements import MOST_COLUMNS, element_columns, extremes, scaled, with_elements
from curate.report.excerpts import Excerpts
from curate.report.model import Card, Section
from curate.report.notebook import LARGEST, MEDIA, render_fragment
from curate.run.explain import Explanation
from curate.store import StoreView

__all__ = ["item_html"]

MOST_SCORES = 60


def item_html(told: Explanation) -> str:
    """The item of an explanation: picture beside text, shaded by each column of element scores; scores; decisions."""
    if told.view is None:
        raise ValueError("an explanation without its view has nothing to draw")
    scores = [
        (name, words.plain(value, 200))
        for name, value in told.scores.items()
        if value is not None and not _is_drawn(value)
    ]
    scores += [(name, f"none: {words.plain(why, 200)}") for name, why in told.reasons.items()]
    steps = [(d.step, d.verdict, words.plain(d.because, 300)) for d in told.decisions]
    sections = [
        Section("Scores", ("", ""), tuple(scores[:MOST_SCORES])),
        Section("What happened to it", ("", "", ""), tuple(steps)),
    ]
    sentence = f"{told.kind}, from {told.source or 'memory'}"
    page = ""
    for media in (MEDIA, 0):
        page = render_fragment(
            told.id,
            sentence,
            sections=[section for section in sections if section.rows],
            pairs=_cards(told.view, told.row, media),
        )
        if len(page.encode("utf-8", "replace")) <= LARGEST:
            break
    return page


def _is_drawn(value: object) -> bool:
    """Whether a value is a list of scored elements, which the cards show."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and ("score" in first or "answer" in first)


def _cards(view: StoreView, row: int, media: int) -> tuple[Card, ...]:
    """A card for each column of element scores that says something of the row; the plain card where none does."""
    snapshot = view.snapshot
    decision = Decision(snapshot, view, view, view, np.zeros(len(view), dtype=np.int16))
    maker = CardMaker(decision, find_layout(view, snapshot.kinds()), Excerpts(side=400, budget=media))
    made = []
    for column in element_columns(decision)[:MOST_COLUMNS]:
        card = with_elements(maker, scaled(column, *extremes(view, column)), [row])[0]
        made += [card] if card.elements else []
    return tuple(made) or maker.make([row])
