"""A compaction that fails, or is killed, anywhere: nothing reads otherwise, and running it again does the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import store_compact_workload as workload
from test_crash import run_script

from curate.store import PartStore, failpoints

# Every place a compaction comes by, and how often in that of store_compact_workload.py.
PLACES = {
    "compact.begin": 1,
    "compact.group": 3,
    "part.write": 50,
    "part.fsync": 11,
    "part.rename": 11,
    "commit.begin": 2,
    "commit.folder": 5,
    "commit.commit": 2,
    "commit.after": 2,
    **{f"manifest.{step}": 2 for step in ("write", "fsync", "rename", "folder")},
}
STREAMED = ("part.write",)  # pyarrow decides how many writes a file takes: only that there are many is known


def test_no_place_is_left_out(tmp_path: Path) -> None:
    workload.prepare(tmp_path / "store")
    store = PartStore.open(tmp_path / "store")
    failpoints.arm("")
    try:
        store.compact(part_rows=workload.PART_ROWS)
        hits = failpoints.hits()
    finally:
        failpoints.arm(None)
    assert hits.keys() == PLACES.keys() and hits["part.write"] > PLACES["part.write"]
    assert {k: n for k, n in hits.items() if k not in STREAMED} == {
        k: n for k, n in PLACES.items() if k not in STREAMED
    }


@pytest.mark.crash
def test_fail_at_every_place_then_run_again(tmp_path: Path) -> None:
    cases = []
    for place, count in PLACES.items():
        errors = ["enospc"] if not place.startswith("compact.") else []
        actions = ["exit", *errors, *(["short", "lost"] if place.endswith(".write") else [])]
        cases += [f"{place}:1:{action}" for action in actions]
        cases += [f"{place}:{count}:exit"] if count > 1 else []
    done = run_script("store_compact_workload.py", str(tmp_path), *cases)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["failpoint"] for r in results] == cases, done.stderr[-3000:]
    for result in results:
        assert result["wrong"] == [], result
        name, _, action = result["failpoint"].split(":")
        forgiven = name.startswith("manifest.") or name == "commit.after"
        expected = {"exit": 99, "short": 0}.get(action, 0 if forgiven else 1)
        assert result["first"] == expected, (result, done.stderr[-3000:])
