"""Exports whose process is killed, whose disk is full, or that two processes write at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest
from formats_exporting import hashes, write_texts

from curate.errors import InputError, RunError
from curate.formats.export import export
from curate.formats.manifest import check_export, read_manifest

ROOT = Path(__file__).parents[2]


@pytest.mark.crash
def test_a_truly_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs privileges")
    try:
        noise = pa.table(
            {"id": [f"{n}" for n in range(5000)], "text": [os.urandom(40).hex() for _ in range(5000)]}
        )
        for name in ("parquet", "jsonl"):
            with pytest.raises(RunError, match="no space left"):
                export(noise.to_batches(), small / "out", format=name, kind="speech", manifest={"input": "d"})
            assert list(small.iterdir()) == []
        assert write_texts(small / "out", count=3).written
    finally:
        subprocess.run(["umount", small], check=True)


CHILD = textwrap.dedent(
    """
    import os, signal, sys
    import polars
    import pyarrow as pa
    from curate.formats.export import export

    digest, count, overwrite, *places = sys.argv[1:]  # places: <folder>=<system call to die at, 0 for none>
    rows = pa.table({"id": [f"{n}" for n in range(int(count))], "text": [f"text {n}" for n in range(int(count))]})
    calls = 0

    def counted(function, kill_at):
        def call(*args, **kwargs):
            global calls
            calls += 1
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call

    def run(out, kill_at):
        for name in ("rename", "fsync", "mkdir", "unlink", "rmdir"):
            setattr(os, name, counted(getattr(os, name), kill_at))
        export(rows.to_batches(), out, format="jsonl", kind="speech", manifest={"input": digest}, shard_rows=4,
               overwrite=overwrite == "yes")
        print(calls, flush=True)

    for place in places:  # a process for each, without paying for the imports again
        out, _, kill_at = place.rpartition("=")
        child = os.fork()
        if not child:
            run(out, int(kill_at))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run_killed(digest: str, count: int, overwrite: str, places: dict[Path, int]) -> list[int]:
    """What was printed: of an undisturbed run its calls and 0, of a killed one -9."""
    command = [
        sys.executable,
        "-c",
        CHILD,
        digest,
        str(count),
        overwrite,
        *(f"{p}={k}" for p, k in places.items()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.crash
def test_killed_at_any_system_call_the_next_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    calls, status = run_killed("d1", 10, "no", {tmp_path / "undisturbed": 0})
    assert status == 0 and calls > 10
    homes = {n: tmp_path / f"{n}" for n in range(1, calls + 1)}
    for home in homes.values():
        home.mkdir()
    assert run_killed("d1", 10, "no", {home / "out": n for n, home in homes.items()}) == [-9] * calls
    for home in homes.values():
        if (home / "out").exists():  # never half of one
            assert check_export(home / "out") == []
        write_texts(home / "out", "d1", format="jsonl", shard_rows=4)
        assert hashes(home / "out") == hashes(tmp_path / "undisturbed")
        assert [p.name for p in home.iterdir()] == ["out"]


@pytest.mark.crash
def test_killed_while_replacing_there_is_the_old_or_the_new_one_after_the_next_run(tmp_path: Path) -> None:
    write_texts(tmp_path / "old", "d1", count=3, format="jsonl", shard_rows=4)
    shutil.copytree(tmp_path / "old", tmp_path / "quiet")
    calls, status = run_killed("d2", 10, "yes", {tmp_path / "quiet": 0})
    assert status == 0
    homes = {n: tmp_path / f"{n}" for n in range(1, calls + 1)}
    for home in homes.values():
        shutil.copytree(tmp_path / "old", home / "out")
    assert run_killed("d2", 10, "yes", {home / "out": n for n, home in homes.items()}) == [-9] * calls
    seen = set()
    for home in homes.values():
        there = read_manifest(home / "out")["input"] if (home / "out").exists() else "absent"
        seen.add(there)
        if there == "absent":  # between the two renames: any next run puts the old one back first
            with pytest.raises(InputError, match="different export"):
                write_texts(home / "out", "d3", format="jsonl")
            assert read_manifest(home / "out")["input"] == "d1"
        assert check_export(home / "out") == []
        write_texts(home / "out", "d2", format="jsonl", shard_rows=4, overwrite=True)
        assert hashes(home / "out") == hashes(tmp_path / "quiet")
        assert [p.name for p in home.iterdir()] == ["out"]
    assert seen == {"d1", "d2", "absent"}


@pytest.mark.crash
def test_two_processes_at_once_end_with_one_whole_export(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, "d1", "20000", "no", f"{tmp_path / 'out'}=0"]
    both = [
        subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    whole = [output for output, _ in said if output.split()[-1:] == ["0"]]
    assert whole, said
    assert all("BusyError" in error for output, error in said if output not in whole)
    assert check_export(tmp_path / "out") == []
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
