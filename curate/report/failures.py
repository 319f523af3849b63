"""What never became an item, and what could not be scored, with reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.report import words
from curate.report.decision import Decision
from curate.report.model import Listing, Reason
from curate.report.scores import NOT_ASKED, quote, reason_columns
from curate.run.ledger import RunRecord
from curate.store import PartStore, Snapshot

LISTED = 100
"""Rows that a list shows; the total is said beside it."""


def collect_failures(store: PartStore, decision: Decision, run: RunRecord | None) -> tuple[Listing, ...]:
    """Rejected rows, items that a scorer could not score, and steps that failed; only those lists that have rows."""
    lists = [list_rejected(store, decision.snapshot), *list_unscored(decision), list_errors(run)]
    return tuple(found for found in lists if found is not None and found.total)


def count_rejected(snapshot: Snapshot) -> int:
    """Rows that imports refused."""
    return sum(part.rows for part in snapshot.rejected)


def list_rejected(store: PartStore, snapshot: Snapshot) -> Listing | None:
    """Rows that imports refused: where they stood, and why."""
    codes: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for part in snapshot.rejected:
        file = pq.ParquetFile(Path(store.path) / part.path)
        for code in file.read(["code"])["code"].value_counts().to_pylist():
            codes[str(code["values"])] = codes.get(str(code["values"]), 0) + code["counts"]
        if len(rows) < LISTED:
            batch: pa.RecordBatch = next(file.iter_batches(LISTED), pa.record_batch([], names=[]))
            rows += batch.to_pylist()[: LISTED - len(rows)]
    reasons = tuple(Reason(c, n) for c, n in sorted(codes.items(), key=lambda item: (-item[1], item[0])))
    names = ("source", "row", "id", "reason", "data")
    lines = tuple(tuple(words.plain(row.get(name), 200) for name in names) for row in rows)
    return Listing(
        "Rejected at import",
        "These rows never became items.",
        count_rejected(snapshot),
        reasons,
        names,
        lines,
    )


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
