"""Whatever fails, wherever: nothing half-done is visible, and running again does the rest, once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import store_workload

from curate.store import failpoints

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# Every place where the store can be made to fail, and how often the work in store_workload.py comes by.
PLACES = {
    **{f"store.{step}": 1 for step in ("write", "fsync", "rename", "folder")},
    "pack.write": 6,
    "pack.fsync": 1,
    "pack.rename": 1,
    "pack.folder": 1,
    **{f"part.{step}": 14 for step in ("write", "fsync", "rename")},
    "commit.folder": 9,
    **{f"commit.{step}": 7 for step in ("begin", "commit", "after")},
    **{f"manifest.{step}": 9 for step in ("write", "fsync", "rename", "folder")},
    "gc.begin": 1,
    "gc.mark": 1,
    "gc.marked": 1,
    "gc.unlink": 5,
}


def run_script(
    script: str, *arguments: str, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    command = [*prefix, sys.executable, str(HERE / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def test_no_place_is_left_out(tmp_path: Path) -> None:
    failpoints.arm("")
    try:
        store_workload.play(tmp_path / "store")
        assert failpoints.hits() == PLACES
    finally:
        failpoints.arm(None)


@pytest.mark.crash
@pytest.mark.parametrize("place", PLACES)
def test_fail_at_every_place_then_run_again(tmp_path: Path, place: str) -> None:
    actions = ["exit", "enospc", "eio", *(["short", "lost"] if place.endswith(".write") else [])]
    times = sorted({1, min(2, PLACES[place]), PLACES[place]})
    cases = [f"{place}:{nth}:{action}" for nth in times for action in actions]
    done = run_script("store_workload.py", str(tmp_path), *cases)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["failpoint"] for r in results] == cases, done.stderr[-3000:]
    for result in results:
        assert result["wrong"] == [], result
        action = result["failpoint"].rpartition(":")[2]
        # A manifest is a copy: failing to write it does not fail the commit. A commit that is on the disk when
        # something fails afterwards has succeeded.
        forgiven = place.startswith("manifest.") or place == "commit.after"
        expected = {"exit": 99, "short": 0}.get(action, 0 if forgiven else 1)
        assert result["first"] == expected, (result, done.stderr[-3000:])


@pytest.mark.crash
@pytest.mark.slow
def test_kill_writers_and_gc_at_random_moments(tmp_path: Path) -> None:
    seconds = float(os.environ.get("CURATE_STORM_SECONDS", "12"))
    done = run_script("store_storm.py", str(tmp_path / "store"), str(seconds), "1")
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["wrong"] == []
    assert report["kills"] >= 8 and report["acked"] >= 8 and report["collections"] >= 2, report
    assert report["compactions"] >= 1, report


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_order_of_system_calls(tmp_path: Path) -> None:
    """fsync(data) -> rename -> fsync(folder) -> catalog fsync -> the caller hears of it."""
    trace, store = tmp_path / "trace", tmp_path / "store"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write"
    prefix = ("strace", "-f", "-y", "-s", "64", "-e", calls, "-o", str(trace))
    done = run_script("store_storm.py", "once", str(store), prefix=prefix)
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = trace.read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if "BEGIN THE COMMIT" in line)
    lines = lines[begin:]

    def first(pattern: str, after: int = 0) -> int:
        found = (i for i in range(after, len(lines)) if re.search(pattern, lines[i]))
        index = next(found, None)
        assert index is not None, f"no {pattern} in\n" + "\n".join(lines)
        return index

    data = first(r"f(data)?sync\(\d+<.*/tmp/.*\.parquet>")
    rename = first(r"rename.*/tmp/.*\.parquet.*/parts/items/.*\.parquet")
    folder = first(r"fsync\(\d+<.*/parts/items>")
    catalog = first(r"f(data)?sync\(\d+<.*/catalog\.sqlite>", after=folder)
    acked = first(r"write\(1.*THE COMMIT IS ACKED")
    assert data < rename < folder < catalog < acked
    before_rename = [line for line in lines[:rename] if re.search(r"sync\(\d+<.*/catalog\.sqlite>", line)]
    assert len(before_rename) <= 1  # the writer's lease, and nothing of the commit
