"""Items worth a look: the worst, those at the threshold, and the kept ones; chosen by score, ties by id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.contracts import role_of
from curate.report import words
from curate.report.cards import CardMaker
from curate.report.decision import Decision
from curate.report.model import Card, Gallery, GallerySet, Threshold
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
    lowest = find_rows(decision, decision.view, name, "asc", most)
    galleries = [
        Gallery("Lowest", "The lowest values of all items, lowest first.", maker.make(lowest, shown))
    ]
    border = _borderline(maker, name, shown, most)
    if border is not None:
        galleries.append(border)
    title = "Highest kept" if decision.decided else "Highest"
    highest = find_rows(decision, decision.kept, name, "desc", most)
    galleries.append(
        Gallery(
            title,
            f"The highest values of all {'kept ' if decision.decided else ''}items, highest first.",
            maker.make(highest, shown),
        )
    )
    return GallerySet(name, "", tuple(galleries))


def _borderline(maker: CardMaker, name: str, shown: Sequence[str], most: int) -> Gallery | None:
    decision = maker.decision
    half = max(1, most // 2)
    thresholds = decision.thresholds.get(name, ())
    if thresholds:
        return _around(maker, name, thresholds, shown, half)
    if not decision.decided:
        return None
    kept = find_rows(decision, decision.kept, name, "asc", half)
    dropped = find_dropped(decision, name, half)
    cards = _in_order(maker, name, [*dropped, *kept], shown)
    note = f"The lowest kept and the highest dropped items by {name}, which has no threshold of its own; in order of value."
    return Gallery("Borderline", note, cards)


def _around(
    maker: CardMaker, name: str, thresholds: Sequence[Threshold], shown: Sequence[str], half: int
) -> Gallery:
    each = max(1, half // len(thresholds))
    rows: list[int] = []
    for threshold in thresholds:
        t = repr(threshold.value)
        for side, order in ((f"< {t}", "desc"), (f">= {t}", "asc")):
            rows += find_rows(maker.decision, maker.decision.view, name, order, each, side)
    at = " and ".join(dict.fromkeys(words.number(t.value) for t in thresholds))
    note = f"Nearest to {at} on both sides, in order of value."
    return Gallery("Borderline", note, _in_order(maker, name, list(dict.fromkeys(rows)), shown))


def _in_order(maker: CardMaker, name: str, rows: Sequence[int], shown: Sequence[str]) -> tuple[Card, ...]:
    if not rows:
        return ()
    table = maker.decision.view.take(np.asarray(rows, dtype=np.int64), ["id", name])
    keys = sorted(zip(table[name].to_pylist(), table["id"].to_pylist(), rows, strict=True))
    return maker.make([row for _, _, row in keys], shown)


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


def find_dropped(decision: Decision, column: str, most: int) -> list[int]:
    """Dropped rows with the highest values, ties by id: those not chosen where a selection decided."""
    if decision.chosen and len(decision.candidates) > len(decision.kept):
        among = decision.candidates.within(decision.chosen, inside=False)
    else:
        among = decision.view.at(decision.view.seqs()[decision.verdict != 0])
    return find_rows(decision, among, column, "desc", most) if len(among) else []


def _sample(maker: CardMaker, most: int) -> GallerySet:
    decision = maker.decision
    groups = [("Kept" if decision.decided else "Items", decision.verdict == 0)]
    if decision.decided:
        groups.append(("Dropped", decision.verdict != 0))
    galleries = tuple(
        Gallery(
            title, "Spread evenly over the order of import.", maker.make(spread(np.flatnonzero(mask), most))
        )
        for title, mask in groups
    )
    return GallerySet("A sample", "There is no score to order the items by.", galleries)


def spread(rows: np.ndarray[tuple[int], np.dtype[np.int64]], most: int) -> list[int]:
    """At most `most` of these rows, evenly spaced, the first always among them."""
    if len(rows) <= most:
        return [int(r) for r in rows]
    picks = (np.arange(most, dtype=np.int64) * len(rows)) // most
    return [int(r) for r in rows[picks]]
