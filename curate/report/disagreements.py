"""Items on which scorers that judge the same thing disagree most, by rank.

No scorer is known by name: two judge the same thing if they read, directly or through what other scorers made, the same
parts of the items, at least two of them (an image and its text, an image and its label).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import registry
from curate.contracts import role_of
from curate.errors import CurateError
from curate.kinds import KINDS, ROLES
from curate.report import words
from curate.report.cards import CardMaker
from curate.report.elements import lowest_rows
from curate.report.galleries import has_values
from curate.report.model import Gallery, GallerySet
from curate.report.scores import as_floats
from curate.store import ColumnSet, Snapshot, StoreView

__all__ = ["Lineage", "collect_disagreements", "comparable_scores"]

Floats = npt.NDArray[np.float64]
MOST_PAIRS = 3
MOST_SCORES = 6


class Lineage:
    """What every set of columns was made from."""

    def __init__(self, view: StoreView) -> None:
        self.view, self.snapshot = view, view.snapshot

    @cached_property
    def _needs(self) -> Mapping[str, tuple[str, ...]]:
        return {name: _needs(made) for name, made in self.snapshot.sets.items()}

    def ancestors(self, name: str) -> frozenset[str]:
        """The sets that a set was made from, and those they were made from."""
        found: set[str] = set()
        ahead = [name]
        while ahead:
            for need in self._needs.get(ahead.pop(), ()):
                home = self.snapshot.column_home.get(need)
                if home is not None and home.name not in found:
                    found.add(home.name)
                    ahead.append(home.name)
        return frozenset(found)

    def sources(self, name: str) -> frozenset[str]:
        """The columns and roles of the items themselves that a set was made from in the end."""
        homes = self.snapshot.column_home
        every = (need for one in (name, *self.ancestors(name)) for need in self._needs.get(one, ()))
        return frozenset(need for need in every if homes.get(need) is None)

    def subject(self, name: str) -> frozenset[str]:
        """The roles (image, text, label ...) of what a set was made from in the end.

        Questions about an item count as its text; other columns (what is trusted, how items are grouped) as nothing.
        """
        return frozenset(role for need in self.sources(name) if (role := self._role(need)))

    def _role(self, need: str) -> str:
        if need in ROLES:
            return need
        for kind in self.snapshot.kinds():
            roles = KINDS[kind].roles if kind in KINDS else {}
            if played := next((role for role, columns in roles.items() if need in columns), ""):
                return played
        at = self.view.schema.get_field_index(need)
        type_ = self.view.schema.field(at).type if at >= 0 else pa.null()
        inner = type_.value_type if pa.types.is_list(type_) else type_
        return "text" if pa.types.is_struct(inner) and inner.get_field_index("question") >= 0 else ""


def _needs(made: ColumnSet) -> tuple[str, ...]:
    """What the scorer of a set reads; nothing where that cannot be told: it is no longer installed, or was attached."""
    try:
        component = registry.build("scorers", made.scorer, made.params)
    except (CurateError, ImportError):
        return ()
    return tuple(component.needs)


def comparable_scores(maker: CardMaker, first: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Pairs of main scores that judge the same thing, none made from the other; those of `first` before others."""
    snapshot, view = maker.decision.snapshot, maker.decision.view
    mains = {f.name: home for f in view.schema if role_of(f) == "score" and (home := _home(snapshot, f.name))}
    ordered = [n for n in dict.fromkeys([*first, *mains]) if n in mains and has_values(view, n)]
    lineage = Lineage(view)
    pairs = []
    for a, b in combinations(ordered[:MOST_SCORES], 2):
        one, other = mains[a], mains[b]
        made = one in lineage.ancestors(other) or other in lineage.ancestors(one)
        shared = lineage.subject(one)
        if one != other and not made and len(shared) >= 2 and shared == lineage.subject(other):
            pairs.append((a, b))
    return pairs


def _home(snapshot: Snapshot, column: str) -> str:
    home = snapshot.column_home.get(column)
    return home.name if home else ""


def collect_disagreements(maker: CardMaker, first: Sequence[str], most: int) -> tuple[GallerySet, ...]:
    """For at most three such pairs, the items that one ranks high and the other low, both ways round."""
    if most < 1 or not len(maker.decision.view):
        return ()
    pairs = comparable_scores(maker, first)[:MOST_PAIRS]
    return tuple(made for a, b in pairs if (made := _compare(maker, a, b, max(1, most // 2))) is not None)


def _compare(maker: CardMaker, a: str, b: str, most: int) -> GallerySet | None:
    values = _values(maker.decision.view, [a, b])
    both = np.isfinite(values).all(0)
    n = int(np.count_nonzero(both))
    if n < 3:
        return None
    places = np.full(values.shape, np.nan)
    places[:, both] = [_shares_below(one[both]) for one in values]
    galleries = []
    for high, low, gap in ((a, b, places[0] - places[1]), (b, a, places[1] - places[0])):
        rows = lowest_rows(maker.decision.view, np.where(gap > 0, -gap, np.nan), most)
        badges = {row: _badge(*places[:, row]) for row in rows}
        note = f"Ranked high by {high} and low by {low}; the widest gap first."
        galleries.append(Gallery(f"{high} says keep, {low} does not", note, maker.make(rows, [a, b], badges)))
    note = (
        f"Both judge the same thing. Over the {words.items(n)} that have both scores their rank correlation "
        f"{_agreement(places[:, both])} (1: the same order, 0: as chance has it). The badge says what per cent of the items "
        f"each ranks below: {a} | {b}."
    )
    return GallerySet(f"{a} and {b}", note, tuple(galleries))


def _values(view: StoreView, columns: Sequence[str]) -> Floats:
    """Numbers of these columns, (columns, n) float64, NaN where there is none."""
    pieces = [
        np.stack([as_floats(batch.column(name)) for name in columns])
        for batch in view.batches(list(columns), rows=262_144)
    ]
    return np.concatenate(pieces, axis=1)


def _shares_below(values: Floats) -> Floats:
    """For each value the share of all that lie below it, itself and its equals counted by half."""
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    shares: Floats = (np.cumsum(sizes) - sizes / 2) / len(values)
    return shares[place]


def _agreement(places: Floats) -> str:
    first, second = places - places.mean(axis=1, keepdims=True)
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return f"is {float((first * second).sum()) / spread:.2f}" if spread > 0 else "cannot be told"


def _badge(first: float, second: float) -> str:
    return f"{100 * first:.0f} % | {100 * second:.0f} %"
