"""Items worth a look: the worst, those at the threshold, and the kept ones; chosen by score, ties by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from curate.contracts import role_of
from curate.report import words
from curate.report.cards import CardMaker
from curate.report.decision import Decision
from curate.report.model import Gallery, GallerySet
from curate.report.scores import is_number, quote
from curate.store import StoreView

MOST_SCORES = 3


def main_scores(decision: Decision, most: int = MOST_SCORES) -> list[str]:
    """The scores that decided: those with a threshold, then the main score beside a deciding verdict, then others.

    A column that holds no finite value is passed over.
    """
    view = decision.view
    fields = {f.name: f for f in view.schema if is_number(f.type)}
    scores = [name for name, f in fields.items() if role_of(f) == "score"]
    asked = {c for condition in decision.conditions for c in condition.columns}
    homes = decision.snapshot.column_home
    deciding = {home.name for c in asked if (home := homes.get(c))}
    ranked = [
        *(c for c in decision.thresholds if c in scores),
        *(c for c in scores if (home := homes.get(c)) and home.name in deciding),
        *(c for c in decision.thresholds if c in fields),
        *scores,
    ]
    found: list[str] = []
    for name in dict.fromkeys(ranked):
        if len(found) < most and has_values(view, name):
            found.append(name)
    return found


def has_values(view: StoreView, column: str) -> bool:
    """Whether a numeric column has any finite value."""
    c = quote(column)
    return bool(len(view.sql(f"select 1 from view where isfinite({c}::double) limit 1", [column])))


def collect_galleries(maker: CardMaker, scores: Sequence[str], most: int) -> tuple[GallerySet, ...]:
    """The galleries of each score; without scores, items spread evenly over the kept and the dropped."""
    if not len(maker.decision.view) or most < 1:
        return ()
    if not scores:
        return (_sample(maker, most),)
    return tuple(_of_score(maker, name, scores, most) for name in scores)


def _of_score(maker: CardMaker, name: str, scores: Sequence[str], most: int) -> GallerySet:
    decision = maker.decision
    shown = [name, *(s for s in scores if s != name)]
    kept = decision.kept_word if decision.decided else ""
    among = f"all {kept} items" if kept else "all items"
    lowest = find_rows(decision, decision.view, name, "asc", most)
    highest = find_rows(decision, decision.kept, name, "desc", most)
    galleries = (
        Gallery("Lowest", "The lowest values of all items, lowest first.", maker.make(lowest, shown)),
        *_borderline(maker, name, shown, max(1, most // 2)),
        Gallery(
            f"Highest {kept}".strip(),
            f"The highest values of {among}, highest first.",
            maker.make(highest, shown),
        ),
    )
    return GallerySet(name, "", galleries)


def _borderline(maker: CardMaker, name: str, shown: Sequence[str], half: int) -> Iterator[Gallery]:
    """Both sides of each threshold, nearest first; without one, the two sides of the decision."""
    decision = maker.decision
    values = dict.fromkeys(t.value for t in decision.thresholds.get(name, ()))
    for value in values:
        for side, where, order in (("<", "just below", "desc"), (">=", "at or just above", "asc")):
            rows = find_rows(decision, decision.view, name, order, half, f"{side} {value!r}")
            title = f"Borderline: {where} {words.number(value)}"
            yield Gallery(title, "The nearest first.", maker.make(rows, shown))
    for word, above, below in _sides(decision, name) if not values else ():
        rows = find_rows(decision, below, name, "desc", half)
        note = f"{name} has no threshold of its own: the highest values that were {word[0]}, highest first."
        yield Gallery(f"Borderline: {word[0]}", note, maker.make(rows, shown))
        rows = find_rows(decision, above, name, "asc", half)
        note = f"The lowest values that were {word[1]}, lowest first."
        yield Gallery(f"Borderline: {word[1]}", note, maker.make(rows, shown))


def _sides(decision: Decision, name: str) -> Iterator[tuple[tuple[str, str], StoreView, StoreView]]:
    """Where a score decided without a threshold: ((below, above) in words, the rows above, the rows below).

    That is where a verdict of the same scorer dropped items, and where the selector went by this score.
    """
    homes, view = decision.snapshot.column_home, decision.view
    home = homes.get(name)
    codes = [
        k
        for k, c in enumerate(decision.conditions, 1)
        if home and any(homes.get(x) == home for x in c.columns)
    ]
    stopped = np.isin(decision.verdict, codes)
    if stopped.any():
        yield ("dropped", "kept"), decision.candidates, view.at(view.seqs()[stopped])
    elif decision.chosen:
        params = decision.snapshot.selections[decision.chosen].stats.get("params") or {}
        if name in params.values():
            left = decision.candidates.within(decision.chosen, inside=False)
            yield ("not selected", "selected"), decision.kept, left


def find_rows(
    decision: Decision, among: StoreView, column: str, order: str, most: int, side: str = ""
) -> list[int]:
    """Rows of the decision's view: those of `among` with the lowest (`asc`) or highest values, ties by id."""
    c = f"{quote(column)}::double"
    condition = f"isfinite({c})" + (f" and {c} {side}" if side else "")
    query = f"select _row from view where {condition} order by {c} {order}, id limit {most}"
    found = among.sql(query, ["id", column])["_row"].to_numpy()
    if among is decision.view:
        return [int(row) for row in found]
    return to_rows(decision.view, among, found)


def to_rows(view: StoreView, among: StoreView, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    """Positions in `view` of rows of `among`, a part of it."""
    return [int(row) for row in _positions(view.seqs(), among.seqs()[rows])]


def _positions(
    seqs: np.ndarray[tuple[int], np.dtype[np.int64]], wanted: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if len(seqs) and np.all(seqs[1:] > seqs[:-1]):
        return np.searchsorted(seqs, wanted)
    order = np.argsort(seqs, kind="stable")
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = order[np.searchsorted(seqs, wanted, sorter=order)]
    return found


def _sample(maker: CardMaker, most: int) -> GallerySet:
    decision = maker.decision
    groups = [(decision.kept_word.capitalize() if decision.decided else "Items", decision.verdict == 0)]
    if decision.chosen:
        groups.append(("Not selected", decision.verdict == decision.unselected))
    if decision.decided:
        groups.append(("Dropped", (decision.verdict > 0) & (decision.verdict != decision.unselected)))
    galleries = tuple(
        Gallery(
            title, "Spread evenly over the order of import.", maker.make(spread(np.flatnonzero(mask), most))
        )
        for title, mask in groups
        if mask.any()
    )
    return GallerySet("A sample", "There is no score to order the items by.", galleries)


def spread(rows: np.ndarray[tuple[int], np.dtype[np.int64]], most: int) -> list[int]:
    """At most `most` of these rows, evenly spaced, the first always among them."""
    if len(rows) <= most:
        return [int(r) for r in rows]
    picks = (np.arange(most, dtype=np.int64) * len(rows)) // most
    return [int(r) for r in rows[picks]]
