"""Groups of duplicates side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.report import words
from curate.report.cards import CardMaker
from curate.report.model import Card, DuplicateGroup, Duplicates
from curate.report.scores import quote

MEMBERS = 5
"""Members of a group that are shown beside the one that stands for it."""


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
