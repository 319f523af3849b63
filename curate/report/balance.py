"""How classes and sources are represented before and after."""

from __future__ import annotations

import pyarrow as pa

from curate.report import words
from curate.report.cards import Layout
from curate.report.decision import Decision
from curate.report.model import Balance
from curate.report.scores import quote
from curate.store import StoreView
from curate.store.layout import holds_texts

SHOWN = 20
"""Values of a column that are listed; the rest are summed."""

MOST_VALUES = 20_000
"""A column with more values than this is no class and no source."""

NAMES = (
    "source",
    "split",
    "language",
    "lang",
    "dataset",
    "domain",
    "speaker",
    "gender",
    "licence",
    "license",
)
"""Columns of the user's that say where an item comes from, if they are there."""

MISSING = "(none)"


def collect_balances(decision: Decision, layout: Layout) -> tuple[Balance, ...]:
    """The label, the source and what else tells items apart; columns with one value, or one for each item, say nothing."""
    fields = {f.name: f.type for f in decision.view.schema}
    names = [name for name in (layout.label, layout.sets) if name]
    names += ["_source", *(n for n in NAMES if n in fields and _is_text(fields[n]))]
    made = (collect_balance(decision, name) for name in dict.fromkeys(names) if _has(decision, name))
    return tuple(b for b in made if b is not None)


def _is_text(type_: pa.DataType) -> bool:
    value = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value))


def _has(decision: Decision, name: str) -> bool:
    return name in decision.snapshot.column_home or name in decision.view.columns


def collect_balance(decision: Decision, column: str) -> Balance | None:
    """Items per value before and after; None where the column does not group items."""
    total = len(decision.view)
    c, rows = _each(decision.view, column)
    distinct = (
        decision.view.sql(
            f"select count(distinct {c}) + coalesce(max(({c} is null)::int), 0) as n from {rows}", [column]
        )["n"][0].as_py()
        if total
        else 0
    )
    if distinct < 2 or distinct > MOST_VALUES or (distinct > 20 and distinct > total / 2):
        return None
    before = count_values(decision.view, column)
    after = count_values(decision.kept, column) if decision.decided else before
    order = sorted(before, key=lambda value: (-before[value], value))
    shown, rest = order[:SHOWN], order[SHOWN:]
    return Balance(
        column.lstrip("_"),
        tuple((words.shorten(v, 80), before[v], after.get(v, 0)) for v in shown),
        len(order),
        (sum(before[v] for v in rest), sum(after.get(v, 0) for v in rest)),
        total,
        len(decision.kept) if decision.decided else total,
    )


def _each(view: StoreView, column: str) -> tuple[str, str]:
    """SQL for a value of a column and for the rows it is taken from: of lists each member, null where there is none."""
    c = quote(column)
    if column not in view.columns or not holds_texts(view.schema.field(column).type):  # hidden ones hold none
        return c, "view"
    return "value", f"(select unnest(case when length({c}) > 0 then {c} else [null] end) as value from view)"


def count_values(view: StoreView, column: str) -> dict[str, int]:
    """Items per value, as text, of lists per member; missing ones under `(none)`."""
    value, rows = _each(view, column)
    query = f"select coalesce({value}::varchar, '{MISSING}') as value, count(*) as n from {rows} group by 1"
    found = (
        view.sql(query, [column]) if len(view) else pa.table({"value": pa.array([], pa.string()), "n": []})
    )
    return dict(zip(found["value"].to_pylist(), found["n"].to_pylist(), strict=True))
