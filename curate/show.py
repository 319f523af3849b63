"""What `curate show` shows: plain tables of what a store holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curate.contracts import reason_name, role_of
from curate.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from curate.api import Store

Rows = tuple[list[str], list[list[str]]]

_FACTS = ("bytes", "width", "height", "seconds", "rate", "channels")


def tables(
    store: Store,
    what: str,
    *,
    where: str | None,
    scorer: str | None,
    limit: int,
    named: Sequence[str] = (),
) -> Iterator[Rows]:
    """Tables of `what`, at most `limit` rows each, of items the columns `named`; UnknownNameError lists what can be shown."""
    shown = {
        "items": lambda: items(store, where, limit, named),
        "columns": lambda: columns(store),
        "selections": lambda: selections(store),
        "runs": lambda: runs(store, limit),
        "history": lambda: history(store, limit),
        "rejected": lambda: rejected(store, limit),
        "failed": lambda: failed(store, scorer, limit),
        "answers": lambda: answers(store, where, limit),
    }
    if what not in shown:
        raise UnknownNameError("thing to show", what, shown)
    yield shown[what]()


def items(store: Store, where: str | None, limit: int, named: Sequence[str] = ()) -> Rows:
    """The first rows: the columns `named`; without them all but vectors, what items hold first, then scores and verdicts,
    then everything else.
    """
    view = store.items.where(where) if where else store.items
    if named:
        table = view.limit(limit).to_arrow(list(dict.fromkeys(["id", *named])))
        return table.column_names, [[_cell(value) for value in row.values()] for row in table.to_pylist()]
    homes = store.parts.snapshot().column_home
    fields = [
        f for f in view.schema if role_of(f) != "vector" and not f.name.endswith(("_sha256", "_reason"))
    ]
    given = {f.name for f in fields}

    def place(name: str, role: str) -> int:
        if homes.get(name):
            return 1 if role in ("score", "flag") else 2
        stem, _, fact = name.rpartition("_")  # image_width and such tell less than a score
        return 2 if stem in given and fact in _FACTS else 0

    names = [f.name for f in sorted(fields, key=lambda f: place(f.name, role_of(f)))]
    table = view.limit(limit).to_arrow(names)
    return names, [[_cell(value) for value in row.values()] for row in table.to_pylist()]


def columns(store: Store) -> Rows:
    """Every column: its type, its role, and what gives it."""
    homes = store.parts.snapshot().column_home
    rows = []
    for field in store.items.schema:
        home = homes.get(field.name)
        rows.append(
            [field.name, str(field.type), role_of(field) if home else "item", home.scorer if home else ""]
        )
    return ["column", "type", "role", "from"], rows


def selections(store: Store) -> Rows:
    """Named selections and how the same budget at random did."""
    rows = []
    for name, info in store.parts.snapshot().selections.items():
        random = ", ".join(f"{k} {v:.4g}" for k, v in (info.stats.get("random") or {}).items())
        rows.append(
            [name, f"{info.rows:,}", str(info.stats.get("selector", info.stats.get("kind", ""))), random]
        )
    return ["selection", "items", "by", "objective, and at random"], rows


def runs(store: Store, limit: int) -> Rows:
    """Runs, newest first."""
    listed = store.parts.runs()[:limit]
    return ["run", "status", "seconds"], [
        [r["run_id"], r["status"], f"{r['seconds'] or 0:.1f}"] for r in listed
    ]


def history(store: Store, limit: int) -> Rows:
    """Versions of the store, newest first."""
    listed = store.parts.history()[:limit]
    return ["version", "what", "message"], [
        [str(h["version"]), h["op"], h.get("message") or ""] for h in listed
    ]


def rejected(store: Store, limit: int) -> Rows:
    """Rows that imports refused."""
    table = store.rejected
    names = [n for n in ("source", "row", "id", "code", "reason") if n in table.schema.names]
    rows = table.select(names).slice(0, limit).to_pylist()
    return names, [[_cell(value) for value in row.values()] for row in rows]


def failed(store: Store, scorer: str | None, limit: int) -> Rows:
    """Items that a scorer could not score."""
    if scorer is None:
        raise InputError("say which scorer: curate show STORE failed --scorer image-basics")
    name = reason_name(scorer)
    rows = store.failed(scorer).limit(limit).to_arrow(["id", name]).to_pylist()
    return ["id", "reason"], [[_cell(row["id"]), _cell(row[name])] for row in rows]


def answers(store: Store, where: str | None, limit: int) -> Rows:
    """What people answered in the end, newest versions alone."""
    view = store.answers.latest()
    names = ["item", "annotator", "round", "control", "value", "status"]
    table = (view.where(where) if where else view).to_arrow(names)
    return names, [[_cell(value) for value in row.values()] for row in table.slice(0, limit).to_pylist()]


def finding_table(table: Any, limit: int) -> Rows:
    """The first rows of a finding's table, and how many there are more."""
    rows = [[_cell(v) for v in row.values()] for row in table.slice(0, limit).to_pylist()]
    if len(table) > limit:
        rows.append([f"... {len(table) - limit:,} more", *[""] * (table.num_columns - 1)])
    return table.column_names, rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value.hex()[:12] if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
