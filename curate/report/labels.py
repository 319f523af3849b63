"""Labels that the scores doubt: given against suggested, and the most doubtful items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa

from curate.contracts import role_of
from curate.report import words
from curate.report.cards import CHANGES, CardMaker, judged_column
from curate.report.model import Confusion, Gallery
from curate.report.scores import quote

MOST_LABELS = 16
MOST_SCORERS = 3
SAID_OF_SETS = ("lacking", "there wrongly")
"""What is said of a label that is to be added to a set, and of one that is to be taken away."""
FIRST = "label-errors"
"""The scorer that is shown first; the others in the order in which their columns were bound."""


class Doubt(NamedTuple):
    """Columns of a scorer that doubts labels: its flag, the label it suggests, its score, if it has one, and the
    column of labels that it judged."""

    name: str
    flag: str
    suggested: str
    score: str | None
    label: str | None = None


def doubts(maker: CardMaker) -> Iterator[Doubt]:
    """Scorers that flag labels and suggest others: a flag, and a text column whose name speaks of a suggestion."""
    sets = sorted(maker.decision.snapshot.sets.values(), key=lambda made: made.scorer != FIRST)
    present = set(maker.decision.view.columns)
    for made in sets:
        fields = list(made.schema())
        flags = [f.name for f in fields if role_of(f) == "flag"]
        texts = [
            f.name for f in fields if pa.types.is_string(f.type) and "suggest" in f.name and "label" in f.name
        ]
        if flags and texts:
            score = next((f.name for f in fields if role_of(f) == "score"), None)
            label = judged_column(made, maker.layout.label, present)
            yield Doubt(made.name, flags[0], texts[0], score, label)


def set_doubts(maker: CardMaker) -> Iterator[Doubt]:
    """Scorers that flag sets of labels and say what to add and to remove."""
    for made in maker.decision.snapshot.sets.values():
        fields = list(made.schema())
        flag = next((f.name for f in fields if role_of(f) == "flag"), None)
        if flag and {f.name for f in fields}.issuperset(CHANGES):
            yield Doubt(made.name, flag, "", next((f.name for f in fields if role_of(f) == "score"), None))


def collect_labels(maker: CardMaker, most: int) -> tuple[Confusion, ...]:
    """Given against suggested labels, for each scorer that doubts labels, or sets of them; none where items have no label."""
    found = [doubt for doubt in doubts(maker) if doubt.label][:MOST_SCORERS]
    sets = list(set_doubts(maker))[:MOST_SCORERS] if maker.layout.changes else []
    return (
        *(_collect(maker, doubt, most) for doubt in found),
        *(_collect_sets(maker, d, most) for d in sets),
    )


def _collect(maker: CardMaker, doubt: Doubt, most: int) -> Confusion:
    view, label = maker.decision.view, str(doubt.label)
    given, suggested, flag = quote(label), quote(doubt.suggested), quote(doubt.flag)
    columns = [doubt.flag, doubt.suggested, label]
    found = view.sql(
        f"select coalesce({given}::varchar, '–') as given, coalesce({suggested}::varchar, '–') as suggested, "
        f"count(*) as n from view where {flag} group by 1, 2 order by 3 desc, 1, 2",
        columns,
    ).to_pylist()
    total = sum(row["n"] for row in found)
    own = replace(maker, layout=replace(maker.layout, label=label, suggested=doubt.suggested))
    told = "given label" if label == maker.layout.label else label
    table = _tabulate(doubt.name, found, total, _gallery(own, doubt, most, f"{told} → suggested label"))
    return replace(table, caption=f"{told} (rows) → suggested label (columns)")


def _gallery(maker: CardMaker, doubt: Doubt, most: int, told: str) -> Gallery:
    """The most doubtful items."""
    by = f"{quote(doubt.score)} asc nulls last, id" if doubt.score else "id"
    query = f"select _row from view where {quote(doubt.flag)} order by {by} limit {most}"
    read = ["id", doubt.flag, *([doubt.score] if doubt.score else [])]
    rows = maker.decision.view.sql(query, read)["_row"].to_pylist()
    note = f"Lowest {doubt.score} first" if doubt.score else "In order of id"
    cards = maker.make(rows, [doubt.score] if doubt.score else [])
    return Gallery("Most doubtful", f"{note}: {told}.", cards)


def _collect_sets(maker: CardMaker, doubt: Doubt, most: int) -> Confusion:
    """How often each label is lacking, and how often it is there wrongly."""
    view, flag = maker.decision.view, quote(doubt.flag)
    total = view.sql(f"select count(*) as n from view where {flag}", [doubt.flag])["n"][0].as_py()
    asked = " union all ".join(
        f"select unnest({quote(column)}) as given, '{told}' as suggested from view where {flag}"
        for column, told in zip(CHANGES, SAID_OF_SETS, strict=True)
    )
    query = f"select given, suggested, count(*) as n from ({asked}) group by 1, 2 order by 3 desc, 1, 2"
    found = view.sql(query, [doubt.flag, *CHANGES]).to_pylist()
    gallery = _gallery(maker, doubt, most, "given labels → what to add (+) and to take away (−)")
    names = sorted({row["given"] for row in found}, key=natural)
    counts = {(row["given"], row["suggested"]): row["n"] for row in found}
    often = {name: sum(counts.get((name, told), 0) for told in SAID_OF_SETS) for name in names}
    shown = sorted(sorted(names, key=lambda name: -often[name])[:MOST_LABELS], key=natural)
    return Confusion(
        doubt.name,
        tuple(words.shorten(name, 60) for name in shown),
        SAID_OF_SETS,
        tuple(tuple(counts.get((name, told), 0) for told in SAID_OF_SETS) for name in shown),
        total,
        0,
        gallery,
        "sets in which a label (rows) is doubted",
    )


def _tabulate(name: str, found: list[dict[str, Any]], total: int, gallery: Gallery) -> Confusion:
    def frequent(key: str) -> list[str]:
        sums: dict[str, int] = {}
        for row in found:
            sums[row[key]] = sums.get(row[key], 0) + row["n"]
        kept = sorted(sums, key=lambda label: (-sums[label], label))[:MOST_LABELS]
        return sorted(kept, key=natural)

    given, suggested = frequent("given"), frequent("suggested")
    cells = {(row["given"], row["suggested"]): row["n"] for row in found}
    table = tuple(tuple(cells.get((g, s), 0) for s in suggested) for g in given)
    left_out = total - sum(map(sum, table))
    return Confusion(
        name,
        tuple(words.shorten(g, 60) for g in given),
        tuple(words.shorten(s, 60) for s in suggested),
        table,
        total,
        left_out,
        gallery,
    )


def natural(name: str) -> tuple[int, float, str]:
    """A sort key: numbers by value, then words."""
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    return (0, value, name) if math.isfinite(value) else (1, 0.0, name)
