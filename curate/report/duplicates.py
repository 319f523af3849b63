"""Groups of duplicates side by side, and labels that the scores doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.contracts import role_of
from curate.report import words
from curate.report.cards import CardMaker
from curate.report.model import Card, Confusion, DuplicateGroup, Duplicates, Gallery
from curate.report.scores import quote

MEMBERS = 5
"""Members of a group that are shown beside the one that stands for it."""

MOST_LABELS = 16


def collect_duplicates(maker: CardMaker, groups: int) -> tuple[Duplicates, ...]:
    """The largest groups of every scorer that names a representative: a text column `<name>_of`."""
    decision = maker.decision
    homes, names = decision.snapshot.column_home, set(decision.view.columns)
    found = []
    for field in decision.view.schema:
        if (
            not field.name.endswith("_of")
            or homes.get(field.name) is None
            or not pa.types.is_string(field.type)
        ):
            continue
        similarity = field.name.removesuffix("_of") + "_similarity"
        made = _collect_of(maker, field.name, similarity if similarity in names else None, groups)
        if made is not None:
            found.append(made)
    return tuple(found)


def _collect_of(maker: CardMaker, of: str, similarity: str | None, groups: int) -> Duplicates | None:
    view, o = maker.decision.view, quote(of)
    members = f"select _row, id, {o} as rep, {quote(similarity) if similarity else 'null'} as near from view where {o} is not null and {o} <> id"
    columns = ["id", of, *([similarity] if similarity else [])]
    totals = view.sql(
        f"select count(*) as items, count(distinct rep) as groups from ({members})", columns
    ).to_pylist()[0]
    if not totals["items"]:
        return None
    top = f"select rep, count(*) as size from ({members}) group by rep order by size desc, rep limit {groups}"
    query = (
        f"with members as ({members}), top as ({top}) "
        "select m._row, m.id, m.rep, m.near, top.size from members m join top using (rep) "
        f"qualify row_number() over (partition by m.rep order by m.near desc nulls last, m.id) <= {MEMBERS} "
        "order by top.size desc, m.rep, m.near desc nulls last, m.id"
    )
    rows = view.sql(query, columns).to_pylist()
    heads = view.sql(
        f"with top as ({top}) select view._row, view.id from view join top on view.id = top.rep",
        columns,
    ).to_pylist()
    shown = _make_groups(maker, rows, {h["id"]: h["_row"] for h in heads})
    return Duplicates(of.removesuffix("_of"), totals["groups"], totals["items"], shown)


def _make_groups(
    maker: CardMaker, rows: list[dict[str, Any]], heads: Mapping[str, int]
) -> tuple[DuplicateGroup, ...]:
    by_rep: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_rep.setdefault(row["rep"], []).append(row)
    badges = {r["_row"]: words.number(r["near"]) if r["near"] is not None else "duplicate" for r in rows}
    order = [
        row for rep, members in by_rep.items() for row in (heads.get(rep), *(m["_row"] for m in members))
    ]
    cards: dict[int, Card] = dict(
        zip(
            (r for r in order if r is not None),
            maker.make(
                [r for r in order if r is not None],
                (),
                {**badges, **dict.fromkeys(heads.values(), "representative")},
            ),
            strict=True,
        )
    )
    groups = []
    for rep, members in by_rep.items():
        head = heads.get(rep)
        # The representative may have been deleted since, or lie outside what was looked at.
        first = (cards[head],) if head is not None else (Card(id=rep, badge="no longer here"),)
        groups.append(DuplicateGroup((*first, *(cards[m["_row"]] for m in members)), members[0]["size"] + 1))
    return tuple(groups)


def collect_labels(maker: CardMaker, most: int) -> Confusion | None:
    """Given against suggested labels where a scorer flagged `label_issue`; None without such a scorer."""
    view, layout = maker.decision.view, maker.layout
    fields = {f.name: f for f in view.schema}
    if not {"label_issue", "suggested_label"} <= set(fields) or layout.label is None:
        return None
    if not pa.types.is_boolean(fields["label_issue"].type):
        return None
    given = quote(layout.label)
    columns = ["id", "label_issue", "suggested_label", layout.label]
    found = view.sql(
        f"select coalesce({given}::varchar, '–') as given, coalesce(suggested_label::varchar, '–') as suggested, "
        "count(*) as n from view where label_issue group by 1, 2 order by 3 desc, 1, 2",
        columns,
    ).to_pylist()
    total = sum(row["n"] for row in found)
    score = _score_beside(maker)
    gallery = Gallery("Most doubtful", "", ())
    if total:
        by = f"{quote(score)} asc nulls last, id" if score else "id"
        query = f"select _row from view where label_issue order by {by} limit {most}"
        rows = view.sql(query, [*columns, *([score] if score else [])])["_row"].to_pylist()
        note = f"Lowest {score} first: given label → suggested label." if score else "In order of id."
        gallery = Gallery("Most doubtful", note, maker.make(rows, [score] if score else []))
    return _tabulate(found, total, gallery)


def _score_beside(maker: CardMaker) -> str | None:
    """The main score of the scorer that flagged the labels."""
    home = maker.decision.snapshot.column_home.get("label_issue")
    fields = home.schema() if home else ()
    return next((f.name for f in fields if role_of(f) == "score"), None)


def _tabulate(found: list[dict[str, Any]], total: int, gallery: Gallery) -> Confusion:
    def frequent(key: str) -> list[str]:
        sums: dict[str, int] = {}
        for row in found:
            sums[row[key]] = sums.get(row[key], 0) + row["n"]
        kept = sorted(sums, key=lambda name: (-sums[name], name))[:MOST_LABELS]
        return sorted(kept, key=natural)

    given, suggested = frequent("given"), frequent("suggested")
    cells = {(row["given"], row["suggested"]): row["n"] for row in found}
    table = tuple(tuple(cells.get((g, s), 0) for s in suggested) for g in given)
    left_out = total - sum(map(sum, table))
    return Confusion(
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
