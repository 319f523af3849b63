"""What never became an item, and what could not be scored, with reasons."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.report import words
from curate.report.decision import Decision
from curate.report.model import Listing, Reason
from curate.report.scores import NOT_ASKED, quote, reason_columns
from curate.run.ledger import RunRecord
from curate.store import Part, PartStore, Snapshot

LISTED = 100
"""Rows that a list shows; the total is said beside it."""

_REFUSED = ("Rejected at import", "These rows never became items.")
_OTHERS = {
    "changed": (
        "Kept as they were",
        "The store holds these ids with other content; an import with on_conflict: update replaces it.",
    ),
    "unknown-id": ("Attached to nothing", "No item has the id of these vectors."),
}
"""Codes of rows that are listed, but were not refused as items: what is said of them."""


def collect_failures(store: PartStore, decision: Decision, run: RunRecord | None) -> tuple[Listing, ...]:
    """Rejected rows, items that a scorer could not score, and steps that failed; only those lists that have rows."""
    lists = [*list_rejected(store, decision.snapshot), *list_unscored(decision), list_errors(run)]
    return tuple(found for found in lists if found is not None and found.total)


def count_rejected(store: PartStore, snapshot: Snapshot) -> int:
    """Rows that imports refused, each once; what an import kept as it was is none, nor what was attached to nothing."""
    return sum(n for code, n in _codes(store, snapshot.rejected).items() if code not in _OTHERS)


def list_rejected(store: PartStore, snapshot: Snapshot) -> list[Listing]:
    """Rows that imports refused: where they stood, and why; beside them those that are told for another reason."""
    counts, lists = _codes(store, snapshot.rejected), []
    every = dict.fromkeys(_OTHERS.get(code, _REFUSED) for code in counts)
    for told in sorted(every, key=lambda told: told != _REFUSED):
        own = {code: n for code, n in counts.items() if _OTHERS.get(code, _REFUSED) == told}
        reasons = tuple(Reason(c, n) for c, n in sorted(own.items(), key=lambda item: (-item[1], item[0])))
        names = ("source", "row", "id", "reason", "data")
        rows = _first(store, snapshot.rejected, own)
        lines = tuple(tuple(words.plain(row.get(name), 200) for name in names) for row in rows)
        lists.append(Listing(*told, sum(own.values()), reasons, names, lines))
    return lists


def _codes(store: PartStore, parts: Sequence[Part]) -> dict[str, int]:
    """How many rows bear each code, in order of first appearance."""
    counts: dict[str, int] = {}
    for part in parts:
        codes = pq.ParquetFile(Path(store.path) / part.path).read(["code"])["code"]
        for code in codes.value_counts().to_pylist():
            counts[str(code["values"])] = counts.get(str(code["values"]), 0) + code["counts"]
    return counts


def _first(store: PartStore, parts: Sequence[Part], codes: Collection[str]) -> list[dict[str, Any]]:
    """The first rows with one of these codes, at most LISTED; no more is read than it takes to find them."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        for batch in pq.ParquetFile(Path(store.path) / part.path).iter_batches(1024):
            if len(rows) >= LISTED:
                return rows
            mine = pc.is_in(batch["code"].cast(pa.string()), value_set=pa.array(sorted(codes), pa.string()))
            rows += batch.filter(mine).slice(0, LISTED - len(rows)).to_pylist()
    return rows


def count_unscored(decision: Decision) -> int:
    """Items that at least one scorer was asked about and could not score."""
    columns = list(reason_columns(decision).values())
    if not columns or not len(decision.view):
        return 0
    failed = " or ".join(f"({quote(c)} is not null and {quote(c)} <> '{NOT_ASKED}')" for c in columns)
    found: int = decision.view.sql(f"select count(*) as n from view where {failed}", columns)["n"][0].as_py()
    return found


def list_unscored(decision: Decision) -> list[Listing]:
    """For every scorer, the items it could not score."""
    lists = []
    for name, column in reason_columns(decision).items() if len(decision.view) else ():
        c = quote(column)
        failed = f"where {c} is not null and {c} <> '{NOT_ASKED}'"
        found = decision.view.sql(
            f"select {c} as why, count(*) as n from view {failed} group by 1 order by 2 desc, 1", [column]
        )
        if not len(found):
            continue
        reasons = tuple(
            Reason(words.shorten(row["why"], 160), row["n"]) for row in found.slice(0, 50).to_pylist()
        )
        rows = decision.view.sql(
            f"select id, {c} as why from view {failed} order by _row limit {LISTED}", ["id", column]
        )
        lines = tuple((words.shorten(r["id"], 200), words.shorten(r["why"], 300)) for r in rows.to_pylist())
        total = sum(found["n"].to_pylist())
        lists.append(Listing(f"Not scored by {name}", "", total, reasons, ("id", "reason"), lines))
    return lists


def list_errors(run: RunRecord | None) -> Listing | None:
    """Steps of the run that ended with an error."""
    failed = [step for step in run.steps if step.error] if run else []
    lines = tuple((str(s.ordinal), s.title, words.shorten(str(s.error), 600)) for s in failed)
    return Listing("Failed steps", "", len(lines), (), ("step", "title", "error"), lines)
