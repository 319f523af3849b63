"""Rows that are kept beside the items: answers of annotators, and rows that an import refused, as Arrow schemas."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["ANSWERS", "ANSWER_KEY", "ANSWER_STATUSES", "REJECTED"]

_S, _T = pa.string(), pa.timestamp("us", "UTC")
ANSWERS = pa.schema([
    ("item", _S), ("annotator", _S), ("round", pa.int32()), ("control", _S), ("value", _S), ("skipped", pa.bool_()),
    ("created_at", _T), ("touched", pa.bool_()), ("model_version", _S), ("updated_at", _T), ("seconds", pa.float64()),
    ("status", _S), ("reason", _S), ("source", _S), ("key", _S), ("answer_id", _S), ("gold", pa.bool_()), ("hash", _S),
])  # fmt: skip
"""Answers of annotators, one row per control of each version of each answer; rows are only ever added.

`item`, `annotator`, `round` (from 1): who was asked what, when. `control`: the question; `value`: the answer as text, a
number in plain notation, several choices as a JSON list; null where there is none (`skipped`, or a mark was taken away).
`touched`: whether a shown pre-annotation was changed (null: none was shown, or unknown), `model_version` whose it was.
`created_at`, `updated_at`: UTC; every edit is a further row. Where nobody knows when, `created_at` is null and `updated_at`
the start of 1970. `seconds`: how long it took. `gold`: it is the truth.
`status`: `ok`; `stale`: the item has changed since it was asked; `quarantined`: the task is not what was sent;
`rejected`: the value does not fit the question; `withdrawn`: it was deleted where it lived; `reason` says why. `source`, `answer_id`: where the answer lives, and
its name there; `key`, `hash`: of the task, and of what was shown.
"""

ANSWER_KEY = ("source", "answer_id", "control", "updated_at")
"""What tells one row of `ANSWERS` from another: recorded twice, it is there once."""

ANSWER_STATUSES = ("ok", "stale", "quarantined", "rejected", "withdrawn")
"""What the `status` of an answer may be."""

REJECTED = pa.schema(
    [
        ("source", pa.string()),
        ("row", pa.int64()),
        ("id", pa.string()),
        ("code", pa.string()),
        ("reason", pa.string()),
        ("data", pa.string()),
    ]
)
"""Rows refused: where from (file or dataset), row number there (from 0; null: the file as a whole), id if it had one,
a short countable code, the sentence, and the row itself as JSON cut to 1000 characters."""
