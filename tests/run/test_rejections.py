"""What is listed as refused: every row once, as its source was read last; the ledger keeps each import's own count."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.report.collector import collect
from curate.report.notebook import store_html
from curate.run.history import summary

BAD = (3, 5, 7)


@pytest.fixture
def write(tmp_path) -> Any:
    """Writes twenty rows, of which some lack their answer, and gives the path."""
    times = iter(range(1, 100))

    def rows(bad: tuple[int, ...] = BAD, name: str = "rows.jsonl") -> str:
        path: Path = tmp_path / name
        lines = [
            {"id": f"i{n}", "instruction": f"q{n}", "output": "" if n in bad else "a"} for n in range(20)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        os.utime(path, (when := next(times), when))  # another file than before, whatever it holds
        return str(path)

    return rows


def listed(store: Any) -> list[int]:
    """Row numbers of what is listed; the report says as many."""
    rows = sorted(
        row["row"] for row in store.rejected.to_pylist() if row["code"] not in ("changed", "unknown-id")
    )
    tiles = {tile.label: tile.value for tile in collect(store.parts).tiles}
    assert tiles["Rejected"] == len(rows)
    assert (f"{len(rows)} rows were rejected at import" in store_html(store.parts)) == (len(rows) > 1)
    return rows


def test_a_source_read_again_is_listed_as_it_is_now(store, write) -> None:
    assert store.add(write(), kind="instruction").counts["rejected"] == 3
    assert listed(store) == [3, 5, 7]
    again = store.add(write(), kind="instruction", part_rows=4)
    assert (again.counts["rejected"], listed(store)) == (3, [3, 5, 7])
    store.parts.tag("before")
    assert store.add(write((5, 9)), kind="instruction").counts["rejected"] == 2
    assert listed(store) == [5, 9]
    assert store.parts.rejected("before")["row"].to_pylist() == [3, 5, 7]
    store.add(write(()), kind="instruction")
    assert listed(store) == []
    store.add(write(), kind="instruction")  # as once before
    assert listed(store) == [3, 5, 7] and store.verify() == []


def test_other_sources_and_other_ways_to_read_keep_their_own(store, write) -> None:
    store.add(write(), kind="instruction")
    store.add(write((1,), "more.jsonl"), kind="instruction")
    path = write((0,))
    store.add(path, kind="instruction")
    assert listed(store) == [0, 1]
    pairs = {"chosen": "instruction", "rejected": "output", "number": "id"}
    store.add(path, kind="preference", columns=pairs)  # what is no instruction need not be a pair
    assert listed(store) == [0, 0, 1]
    store.add(write(()), kind="preference", columns=pairs)
    assert listed(store) == [0, 1]


def test_merged_lists_forget_what_is_read_anew(store, write) -> None:
    store.add(write(), kind="instruction")
    store.add(write((1,), "more.jsonl"), kind="instruction")
    store.compact()
    store.add(write((4,)), kind="instruction")
    assert listed(store) == [1, 4] and store.verify() == []


def test_frames_of_one_type_are_not_one_source(store) -> None:
    for row in ("x", "y"):
        store.add([{"id": row, "instruction": "", "output": row}], kind="instruction")
    assert sorted(store.rejected["id"].to_pylist()) == ["x", "y"]


def test_a_run_counts_a_row_once_and_the_ledger_each_import(store, write) -> None:
    path = write()
    run = store.run(
        {"steps": [{"import": path, "kind": "instruction", "part_rows": rows} for rows in (20, 7)]}
    )
    assert [step.counts["rejected"] for step in run.steps] == [3, 3]
    assert summary(run)["rejected"] == 3 and listed(store) == [3, 5, 7]


def test_what_was_kept_or_attached_to_nothing_is_listed_apart(store, write) -> None:
    store.add(write(), kind="instruction")
    changed = pa.table({"id": ["i0"], "instruction": ["another"], "output": ["a"]})
    assert store.add(changed, kind="instruction").counts["rejected"] == 0
    store.attach([[1.0], [2.0]], name="v", ids=["i0", "nobody"])
    assert listed(store) == [3, 5, 7] and store.rejected.num_rows == 5
    titles = [(found.title, found.total) for found in collect(store.parts).failures]
    assert titles[:3] == [("Rejected at import", 3), ("Kept as they were", 1), ("Attached to nothing", 1)]
