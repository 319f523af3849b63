"""Rows of a view as cards: what is seen, what is said, the scores, and why the item is where it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.kinds import KINDS
from curate.report import words
from curate.report.decision import Condition, Decision
from curate.report.excerpts import Excerpts
from curate.report.model import Card
from curate.store import ColumnSet, PartStore, StoreView
from curate.store.layout import holds_texts

TEXT = 1_200
"""Characters of a text on a card."""

MEDIA_IN_CARD = 2

SUGGESTED = ("label_error_suggestion", "suggested_label")
"""Columns that suggest another label, the one to show first."""

CHANGES = ("labels_to_add", "labels_to_remove")
"""Columns that suggest another set of labels: what to add to it, and what to take away."""


@dataclass(frozen=True)
class Layout:
    """Which columns of a view are pictures, sounds, texts and labels, for the kinds of item in it. `sets` holds several labels
    of an item, `changes` are the columns that suggest others."""

    images: tuple[str, ...]
    sounds: tuple[str, ...]
    texts: tuple[str, ...]
    label: str | None
    suggested: str | None
    sets: str | None = None
    changes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """All of them, and the id."""
        rest = [name for name in (self.label, self.sets, self.suggested, *self.changes) if name]
        return list(dict.fromkeys(["id", *self.images, *self.sounds, *self.texts, *rest]))

    def said(self, record: Mapping[str, Any]) -> str:
        """The label of an item as text, or its labels."""
        one = words.plain(record[self.label], 120) if self.label else ""
        return one or (words.plain(record[self.sets], 120) if self.sets else "")

    def doubted(self, record: Mapping[str, Any]) -> str:
        """The label that is suggested, or what is to be changed in a set: `+dog −cat`."""
        if self.suggested and record[self.suggested]:
            return words.plain(record[self.suggested], 120)
        signed = zip("+−", self.changes, strict=False)
        return words.shorten(
            " ".join(f"{sign}{label}" for sign, c in signed for label in record[c] or ()), 120
        )


def judged_column(made: ColumnSet | None, role: str | None, present: Collection[str]) -> str | None:
    """The column of labels that a scorer judged: the one that its parameter `label` names, else the one of the role."""
    named = made.params.get("label") if made else None
    return named if isinstance(named, str) and named in present else role


def find_layout(view: StoreView, kinds: Sequence[str]) -> Layout:
    """The layout of a view that holds items of these kinds."""
    present = set(view.columns)

    def playing(role: str) -> tuple[str, ...]:
        found = [c for kind in kinds if kind in KINDS for c in KINDS[kind].roles.get(role, ())]
        return tuple(c for c in dict.fromkeys(found) if c in present)

    homes = view.snapshot.column_home
    role = next(iter(playing("label")), None)
    judging = {c: judged_column(homes.get(c), role, present) for c in SUGGESTED if c in present}
    label = role or next(iter(judging.values()), None)
    suggested = next((c for c, judged in judging.items() if judged == label), None)
    own = [c for kind in kinds if kind in KINDS for c in KINDS[kind].sets if c in present]
    sets = next((c for c in own if holds_texts(view.schema.field(c).type)), None)
    changes = CHANGES if sets and present.issuperset(CHANGES) else ()
    media = (playing("image"), playing("audio"), playing("text"))
    return Layout(*media, label, suggested, sets, changes)


@dataclass(frozen=True, eq=False)
class ChosenReasons:
    """Why a selector chose each item, looked up by seq (ascending in `seqs`)."""

    seqs: npt.NDArray[np.int64]
    reasons: pa.ChunkedArray

    @classmethod
    def of(cls, store: PartStore, decision: Decision) -> ChosenReasons | None:
        """The reasons of the selection that decided; None where there is none."""
        if decision.chosen is None:
            return None
        table = store.selection_table(decision.chosen, decision.snapshot.version).select(["seq", "reason"])
        table = table.sort_by("seq")
        return cls(table["seq"].to_numpy(), table["reason"])

    def look_up(self, seqs: npt.NDArray[np.int64]) -> list[str]:
        """The reason for each seq; empty where the selection does not hold it or says nothing."""
        if not len(self.seqs):
            return [""] * len(seqs)
        at = np.minimum(np.searchsorted(self.seqs, seqs), len(self.seqs) - 1)
        found = self.reasons.take(pa.array(at)).to_pylist()
        return [str(why or "") if hit else "" for why, hit in zip(found, self.seqs[at] == seqs, strict=True)]


@dataclass
class CardMaker:
    """Makes cards of rows of the view that a decision was made on."""

    decision: Decision
    layout: Layout
    excerpts: Excerpts
    chosen: ChosenReasons | None = None

    def make(
        self, rows: Sequence[int], scores: Sequence[str] = (), badges: Mapping[int, str] | None = None
    ) -> tuple[Card, ...]:
        """A card for each row, in this order; `scores` are columns to show, `badges` a few words for some rows."""
        if not len(rows):
            return ()
        view = self.decision.view
        present = set(view.columns)
        asked = [c for c in self._judged(rows) if c in present]
        shown = list(dict.fromkeys([*scores, *asked]))
        columns = list(dict.fromkeys([*self.layout.columns, *shown]))
        table: pa.Table = view.take(np.asarray(rows, dtype=np.int64), columns)
        records: list[dict[str, Any]] = table.to_pylist()
        self.excerpts.prepare(r[c] for r in records for c in self.layout.images if r[c])
        said = (
            self.chosen.look_up(view.seqs()[np.asarray(rows, dtype=np.int64)])
            if self.chosen
            else [""] * len(rows)
        )
        return tuple(
            self._card(row, record, scores, (badges or {}).get(row, ""), why)
            for row, record, why in zip(rows, records, said, strict=True)
        )

    def _judged(self, rows: Sequence[int]) -> list[str]:
        """Columns whose values decided about these rows."""
        found: dict[str, None] = {}
        for row in rows:
            condition = self.decision.dropped_by(row)
            found.update(dict.fromkeys(condition.columns if condition else ()))
        return list(found)

    def _card(self, row: int, record: Mapping[str, Any], scores: Sequence[str], badge: str, why: str) -> Card:
        layout = self.layout
        images = [record[c] for c in layout.images if record[c]][:MEDIA_IN_CARD]
        sounds = [record[c] for c in layout.sounds if record[c]][:MEDIA_IN_CARD]
        return Card(
            id=words.shorten(record["id"], 200),
            status=self.decision.status(row),
            reason=self._reason(row, record, scores, why),
            pictures=tuple(self.excerpts.picture(uri) for uri in images),
            sounds=tuple(self.excerpts.sound(uri) for uri in sounds),
            texts=tuple((c, words.shorten(record[c], TEXT)) for c in layout.texts if record[c]),
            label=layout.said(record),
            suggested=layout.doubted(record),
            scores=tuple((c, words.plain(record[c], 60) or "–") for c in scores),
            badge=badge,
        )

    def _reason(self, row: int, record: Mapping[str, Any], scores: Sequence[str], why: str) -> str:
        condition = self.decision.dropped_by(row)
        if condition is not None:
            text = f"{condition.text}{_values(condition, record, scores)}"
            return text if self.decision.status(row) == "not selected" else f"dropped: {text}"
        if not self.decision.decided:
            return ""
        if self.decision.chosen:
            return f"selected for {self.decision.chosen}" + (f": {words.shorten(why, 160)}" if why else "")
        return "met every condition"


def _values(condition: Condition, record: Mapping[str, Any], shown: Sequence[str]) -> str:
    """The values a condition looked at, unless the card shows them as scores anyway: ` (blur is 3.1)`."""
    found = [
        f"{name} is {words.plain(record[name], 40) or 'null'}"
        for name in condition.columns
        if name in record and name not in shown and name != condition.text
    ]
    return f" ({', '.join(found)})" if found else ""
