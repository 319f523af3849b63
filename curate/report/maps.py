"""The map of a view's items by a column of vectors: which items are on it, where, and what is said of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.choosing import allot
from curate.contracts import role_of
from curate.errors import SchemaError, UnknownNameError
from curate.report import words
from curate.report.cards import CardMaker, ChosenReasons
from curate.report.decision import Decision
from curate.report.excerpts import Excerpts
from curate.report.galleries import spread
from curate.report.model import Card
from curate.report.plane import MapBy, place, to_frame
from curate.report.points import HEIGHT, WIDTH, Group, Highlight, Point, PointMap
from curate.store import PartStore

__all__ = ["MapOptions", "collect_map", "quiet_maker", "vector_columns"]

MOST_SELECTIONS = 8
SIDE = 112
"""Longest side of a picture on the map, in pixels."""
TEXT = 200

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MapOptions:
    """Which column of vectors is drawn (None: the one that was selected by, else the likeliest), and laid out how."""

    column: str | None = None
    by: MapBy = "pca"


def collect_map(
    store: PartStore, maker: CardMaker, scores: Sequence[str], *, options: MapOptions, most: int
) -> PointMap | None:
    """At most `most` items on the plane, of each status and each selection as many as of any other.

    `scores` are shown on the cards. None where no column holds vectors or there are no items. Raises UnknownNameError
    for a column that holds none, SchemaError where some of its items have not been scored yet.
    """
    decision = maker.decision
    if not len(decision.view) or not most:
        return None
    members, asked = dict(_members(store, decision)), _asked(store, decision)
    marks = [asked, *members.values()]
    found = _read(decision, options.column, lambda valid: _sample(decision, valid, marks, most))
    if found is None or not len(found.rows):
        return None
    rows, (xy, share) = found.rows, place(found.x, options.by)
    placed, outside = to_frame(xy, WIDTH, HEIGHT)
    cards = maker.make(rows.tolist(), scores)
    points = tuple(
        Point(round(float(a), 1), round(float(b), 1), _brief(card), bool(asked[row]))
        for (a, b), card, row in zip(placed, cards, rows.tolist(), strict=True)
    )
    counts = len(rows), len(decision.view), found.absent, outside
    return PointMap(
        found.column,
        " ".join(_note(found.column, options.by, share, counts)),
        points,
        tuple(_groups(decision, points)),
        (int(asked[rows].sum()), int(asked.sum())),
        tuple(_highlight(store, decision, held, rows) for held in members.items()),
    )


def quiet_maker(maker: CardMaker, budget: int) -> CardMaker:
    """A maker of cards for a map: one small picture each within `budget` bytes, no sound."""
    layout = replace(maker.layout, images=maker.layout.images[:1], sounds=())
    return replace(maker, layout=layout, excerpts=Excerpts(side=SIDE, budget=budget))


def _brief(card: Card) -> Card:
    return replace(card, texts=tuple((name, words.shorten(text, TEXT)) for name, text in card.texts))


# --- Which column ---------------------------------------------------------------------------------------------------


def vector_columns(decision: Decision) -> list[str]:
    """Columns of real vectors, the likeliest to be looked at first: those that selections were made by, the one that decided
    first of all; then embeddings; then gradients and probabilities."""
    floating = [f.name for f in decision.view.schema if role_of(f) == "vector" and _is_real(f.type)]
    infos = decision.snapshot.selections
    newest = sorted(infos, key=lambda name: name == decision.chosen)[::-1]
    used = [
        value
        for name in newest
        for value in (infos[name].stats.get("params") or {}).values()
        if value in floating
    ]
    plain = [c for c in floating if not any(word in c for word in ("gradient", "prob", "label"))]
    return list(dict.fromkeys([*used, *plain, *floating]))


def _is_real(type_: pa.DataType) -> bool:
    listed = pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_)
    return bool(listed and pa.types.is_floating(type_.value_type))


class _Found(NamedTuple):
    """Rows with a finite vector, their vectors, and how many items have none (of those not read: null ones)."""

    column: str
    rows: Ints
    x: npt.NDArray[np.float64]
    absent: int


def _read(decision: Decision, column: str | None, sample: Callable[[Mask], Ints]) -> _Found | None:
    """A sample of the rows that have a vector in `column`, or in the first column that can be read."""
    columns = vector_columns(decision)
    if column is not None and column not in columns:
        raise UnknownNameError("column of vectors", column, columns)
    for name in [column] if column else columns:
        try:
            vectors = decision.view.vectors(name)
            rows = sample(vectors.valid)
            x = vectors.take(rows).astype(np.float64)
        except SchemaError:  # not all of its items have been scored, or rows differ in length
            if column:
                raise
            continue
        finite = np.isfinite(x).all(1)
        absent = int((~vectors.valid).sum() + (~finite).sum())
        return _Found(name, rows[finite], x[finite], absent)
    return None


# --- Which items ----------------------------------------------------------------------------------------------------


def _members(store: PartStore, decision: Decision) -> Iterator[tuple[str, Mask]]:
    """Which rows each of the newest stored selections holds, (n,) each; without those that `keep` steps made by
    themselves."""
    seqs = decision.view.seqs()
    names = [name for name in decision.snapshot.selections if not name.startswith("keep-")]
    for name in names[-MOST_SELECTIONS:]:
        held = store.selection_table(name, decision.snapshot.version)["seq"].to_numpy()
        yield name, np.isin(seqs, held)


def _asked(store: PartStore, decision: Decision) -> Mask:
    """Which rows people have answered something about (n,)."""
    answers = store.answers()  # of today: answers come in after the run
    if not answers.parts:
        return np.zeros(len(decision.view), bool)
    items = pc.unique(answers.to_arrow(["item"])["item"])
    known = pc.is_in(decision.view.ids(), value_set=items.cast(pa.string()))
    return np.asarray(known.to_numpy(zero_copy_only=False), bool)


def _sample(decision: Decision, valid: Mask, marks: Sequence[Mask], most: int) -> Ints:
    """Rows with a vector, ascending: all, or so many that every status and mark has its share, evenly spaced in each."""
    code = np.minimum(decision.verdict, 1).astype(np.int64)
    if decision.chosen:
        code += decision.verdict == decision.unselected
    for mark in marks:
        code = 2 * code + mark
    rows = np.flatnonzero(valid)
    _, group, sizes = np.unique(code[rows], return_inverse=True, return_counts=True)
    quotas = allot(sizes.astype(np.int64), min(most, len(rows)), "equal")
    chosen = [spread(rows[group == g], quota) for g, quota in enumerate(quotas.tolist()) if quota]
    return np.sort(np.concatenate(chosen)).astype(np.int64) if chosen else np.empty(0, np.int64)


# --- What is said ---------------------------------------------------------------------------------------------------


def _note(column: str, by: MapBy, share: float | None, counts: tuple[int, int, int, int]) -> Iterator[str]:
    shown, total, absent, outside = counts
    if by == "t-sne":
        yield f"Items near each other are alike in {column} (t-SNE); how far groups lie apart means little."
    else:
        seen = words.share(round(1000 * (share or 0)), 1000)
        yield f"Items by {column}, along the two directions in which they differ most; these hold {seen} of its variance."
    if shown < total - absent:
        yield (
            f"A sample: {words.count(shown)} of {words.items(total)}, as many of each group as of any other, so that small "
            "groups are seen; evenly spaced in order of import."
        )
    if absent:
        yield f"{words.items(absent)} without a vector {'is' if absent == 1 else 'are'} not on it."
    if outside:
        yield f"{words.items(outside)} far outside {'is' if outside == 1 else 'are'} put on its edge."


def _groups(decision: Decision, points: Sequence[Point]) -> Iterator[Group]:
    for status in decision.statuses or ("",):
        shown = sum(p.card.status == status for p in points)
        total = decision.count(status) if status else len(decision.view)
        if total:
            yield Group(status, shown, total)


def _highlight(store: PartStore, decision: Decision, held: tuple[str, Mask], rows: Ints) -> Highlight:
    name, mask = held
    inside = np.flatnonzero(mask[rows])
    seqs = decision.view.seqs()[rows[inside]]
    reasons = ChosenReasons.of(store, replace(decision, chosen=name))
    said = reasons.look_up(seqs) if reasons else [""] * len(seqs)
    points = zip(inside.tolist(), (words.shorten(why, 160) for why in said), strict=True)
    return Highlight(name, int(mask.sum()), tuple(points))
