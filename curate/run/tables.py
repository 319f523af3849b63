"""`store.sql`: a read-only query over `items`, `answers`, every score and every selection by its name."""

from __future__ import annotations

import pyarrow as pa

from curate.contracts import role_of
from curate.errors import InputError, UnknownNameError
from curate.run.chosen import still_chosen
from curate.store import PartStore
from curate.store.engine import engine


def query_tables(store: PartStore, query: str) -> pa.Table:
    """Run a DuckDB SELECT. `items` has the columns of the items, `answers` every answer of annotators; a score's table
    has `id` and its columns; a selection's table has `id`, rank, weight, gain and reason. Nothing outside the store can be read.

    Raises InputError for anything but one SELECT, UnknownNameError for a table that is not there.
    """
    snapshot = store.snapshot()
    known = {"items", "answers", *snapshot.sets, *(n.replace("-", "_") for n in snapshot.selections)}
    names, columns = _referenced(query, known)
    with engine(store.path).cursor() as cursor:
        for name in names:
            cursor.register(name, _table(store, name, columns))
        return cursor.sql(query).to_arrow_table()


def _referenced(query: str, known: set[str]) -> tuple[list[str], set[str] | None]:
    """Tables that a query reads, and the columns it names (None where a star asks for all)."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(query, dialect="duckdb")
    except sqlglot.errors.ParseError as error:
        raise InputError(f"this is not a query: {error}") from None
    if not isinstance(tree, exp.Query):
        raise InputError(f"store.sql takes one SELECT, not {tree.key.upper()}")
    within = {cte.alias for cte in tree.find_all(exp.CTE)}
    names = {table.name for table in tree.find_all(exp.Table) if table.name} - within
    for name in sorted(names):
        if name not in known:
            raise UnknownNameError("table", name, known)
    columns = None if tree.find(exp.Star) else {column.name for column in tree.find_all(exp.Identifier)}
    return sorted(names), columns


def _table(store: PartStore, name: str, columns: set[str] | None) -> pa.Table:
    snapshot, view = store.snapshot(), store.view()
    if name == "items":
        own = [f.name for f in view.schema if snapshot.column_home.get(f.name) is None]
        return view.to_arrow(_named(own, columns))
    if name == "answers":
        return store.answers().to_arrow()
    if name in snapshot.sets:
        fields = snapshot.sets[name].schema()
        return view.to_arrow([*_named(["id", *(f.name for f in fields if role_of(f) != "vector")], columns)])
    selection = next(n for n in snapshot.selections if n.replace("-", "_") == name)
    table, position = still_chosen(store, selection, view)
    return table.drop_columns(["seq"]).add_column(0, "id", view.take(position, ["id"])["id"])


def _named(names: list[str], columns: set[str] | None) -> list[str]:
    """Those that the query may mean: DuckDB folds case, so do we. `id` is always there: a table needs a column."""
    if columns is None:
        return names
    wanted = {column.lower() for column in columns}
    return [name for name in names if name == "id" or name.lower() in wanted]
