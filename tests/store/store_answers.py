"""Answers for tests, and a process that records them until it is killed.

As a script: python store_answers.py STORE LOG NAME records batches of answers, some of which others record as well, and
notes each batch in LOG once it is acknowledged.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.records import ANSWERS
from curate.store import PartStore

START = datetime(2026, 1, 1, tzinfo=UTC)


def answer(item: str, annotator: str = "ada", minute: int = 0, **more: Any) -> dict[str, Any]:
    """One row; `minute` is when it was last changed."""
    moment = START + timedelta(minutes=minute)
    row = {
        "item": item,
        "annotator": annotator,
        "round": 1,
        "control": "rating",
        "value": "4",
        "skipped": False,
        "created_at": START,
        "updated_at": moment,
        "status": "ok",
        "source": "test",
        "answer_id": f"{item}/{annotator}",
    }
    return row | more


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ANSWERS)


def batch(number: int) -> pa.Table:
    """Batch `number` shares half of its rows with the one after it."""
    return table(*(answer(f"item-{i}") for i in range(4 * number, 4 * number + 8)))


def storm(path: str, log: str, name: str) -> None:
    store = PartStore.open(path)
    with Path(log).open("a") as acknowledged:
        for number in range(1000):
            store.record_answers(batch(number))
            acknowledged.write(f"{number}\n")
            acknowledged.flush()
            os.fsync(acknowledged.fileno())


if __name__ == "__main__":
    storm(*sys.argv[1:4])
