"""Answers on their way home: rows, in any number of copies, as one table of `curate.records.ANSWERS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from curate.errors import InputError
from curate.records import ANSWER_KEY, ANSWERS
from curate.records import ANSWER_STATUSES as STATUSES

__all__ = ["ANSWERS", "ANSWER_KEY", "STATUSES", "answer_table"]


def answer_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table of `ANSWERS`, each once by `ANSWER_KEY`, in an order that depends on their content alone.

    Missing columns are null, but `skipped` and `gold` are false and `status` is `ok`. Raises InputError for a row
    without item, annotator, source, answer id or moment, or with an unknown status.
    """
    unique: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for given in rows:
        row = {"skipped": False, "gold": False, "status": "ok", "control": "", **given}
        missing = [
            n for n in ("item", "annotator", "source", "answer_id", "updated_at") if row.get(n) is None
        ]
        if missing:
            raise InputError(f"an answer without {', '.join(missing)}: {dict(given)}")
        if row["status"] not in STATUSES:
            raise InputError(f"status {row['status']!r} of an answer: one of {', '.join(STATUSES)} is meant")
        unique.setdefault(tuple(row[name] for name in ANSWER_KEY), row)
    order = sorted(unique.values(), key=lambda r: tuple(str(r[n]) for n in ("updated_at", *ANSWER_KEY)))
    import polars as pl

    types = pl.Schema(ANSWERS)  # by Polars: pyarrow makes arrays of lists by importing pandas, where it can
    frame = pl.DataFrame({name: [row.get(name) for row in order] for name in types}, schema=types)
    return frame.to_arrow().cast(ANSWERS)
