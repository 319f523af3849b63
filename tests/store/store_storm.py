"""Processes that write, merge, collect garbage and read one store, killed at random moments.

python store_storm.py FOLDER SECONDS SEED     prints a JSON report; `wrong` must be empty
python store_storm.py once FOLDER             one commit, for a system call trace
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from store_workload import ROWS, column_set, hash_of, item_table, read_part, read_state, score_part

from curate.errors import BusyError, ConflictError
from curate.store import Changes, PartStore

WRITERS = ("red", "green")


def write_on(path: Path, name: str, log: Path) -> None:
    """Commit item parts `name-1`, `name-2`, ... and scores; note each that was acknowledged in a synced log."""
    store = PartStore.open(path)
    number = len(read_log(log))  # the next may be committed already without our knowing: its token tells
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        number += 1
        try:
            with store.writer() as writer:
                part = writer.items(item_table(f"{name}-{number}"), "instruction")
                version = store.commit(Changes("import", f"{name}-{number}", add=[part])).version
        except ConflictError:  # swept between write and commit
            number -= 1
            continue
        os.write(fd, f"{name}-{number} {version}\n".encode())
        os.fsync(fd)
        if number % 3 == 0:
            score(store, f"score {name}-{number}")


def score(store: PartStore, token: str) -> None:
    """Score the parts without one; the other writer may do the same at the same time."""
    snapshot, made = store.snapshot(), column_set()
    todo = [p for p in snapshot.items if (made.digest, p.part_id) not in snapshot.aligned][:5]
    with store.writer() as writer:
        parts = [new for part in todo for new in score_part(writer, part, made)]
        try:
            store.commit(Changes("score", token, add=parts, columns=[made]))
        except ConflictError:
            return


def collect(path: Path, log: Path) -> None:
    """Collect garbage without any grace period, over and over."""
    store = PartStore.open(path)
    while True:
        store.gc(grace_seconds=0, keep_versions=3)
        with log.open("ab") as file:
            file.write(b"x\n")
        time.sleep(0.02)


def compact(path: Path, log: Path) -> None:
    """Merge parts while others write, over and over."""
    store = PartStore.open(path)
    while True:
        try:
            done = store.compact(part_rows=4 * ROWS, alongside=True).versions
        except BusyError:  # in the way of others five times in a row
            continue
        with log.open("ab") as file:
            file.write(b"x\n" * bool(done))
        time.sleep(0.05)


def read(path: Path) -> None:
    """Read everything in a pinned version, over and over."""
    store = PartStore.open(path)
    while True:
        with store.pin() as version:
            snapshot = store.snapshot(version)
            aligned = [p for parts in snapshot.aligned.values() for p in parts]
            for part in random.sample([*snapshot.items, *aligned], min(20, len(snapshot.items))):
                assert read_part(store, part).num_rows == part.rows
            ends = [0, *(p.seq_lo + p.rows for p in snapshot.items)]
            assert [p.seq_lo for p in snapshot.items] == ends[:-1] and ends[-1] % ROWS == 0


def read_log(log: Path) -> dict[str, int]:
    """What was acknowledged: token -> version. A kill may have cut the last line."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return {token: int(version) for token, version in (line.split() for line in lines)}


class Storm:
    """Starts the processes, kills them, starts them again."""

    def __init__(self, path: Path) -> None:
        self.path, self.kills, self.wrong = path, 0, list[str]()
        self.logs = {name: path.parent / f"{name}.log" for name in (*WRITERS, "gc", "compact")}
        self.work: dict[str, Callable[[], None]] = {
            **{name: lambda name=name: write_on(path, name, self.logs[name]) for name in WRITERS},
            "gc": lambda: collect(path, self.logs["gc"]),
            "compact": lambda: compact(path, self.logs["compact"]),
            "reader": lambda: read(path),
        }
        self.running = {self.start(name): name for name in self.work}

    def start(self, name: str) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                self.work[name]()
            except BaseException:
                import traceback

                traceback.print_exc()
            os._exit(3)
        return pid

    def blow(self, seconds: float, rng: random.Random) -> None:
        """Kill one of them at a random moment, but let something get done between two kills."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before, patience = self.progress(), time.monotonic() + 3
            while self.progress() == before and time.monotonic() < patience:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
            pid = rng.choice(sorted(self.running))
            self.kill(pid)
            name = self.running.pop(pid)
            self.running[self.start(name)] = name
        for pid in list(self.running):
            self.kill(pid)
            self.running.pop(pid)

    def progress(self) -> int:
        return sum(log.stat().st_size for name in WRITERS if (log := self.logs[name]).exists())

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.kills += 1
        if code != -signal.SIGKILL:
            self.wrong.append(f"{self.running[pid]} had ended by itself with {code}")


def judge(storm: Storm) -> dict[str, object]:
    """Nothing acknowledged is lost, nothing is there twice, nothing is damaged."""
    store, wrong = PartStore.open(storm.path), storm.wrong
    wrong += [f"{p.kind} {p.path}: {p.message}" for p in store.verify()]
    versions = {entry["token"]: entry["version"] for entry in store.history()}
    acked: dict[str, int] = {}
    for name in WRITERS:
        acked |= read_log(storm.logs[name])
    wrong += [f"lost {t} of version {v}" for t, v in acked.items() if versions.get(t) != v]
    ids: list[str] = []
    for part in store.snapshot().items:
        ids += read_part(store, part)["id"].to_pylist()
    names = [e["token"] for e in store.history() if e["op"] == "import"]
    if sorted(ids) != sorted(f"{name}-{i}" for name in names for i in range(ROWS)):
        wrong.append("the items are not those of the commits, each once")
    extra = len(names) - len(acked)
    if not 0 <= extra <= len(WRITERS):
        wrong.append(f"{extra} imports were committed but not acknowledged: at most one per writer can be")
    times = {
        n: len(storm.logs[n].read_bytes().split()) if storm.logs[n].exists() else 0 for n in ("gc", "compact")
    }
    state = read_state(store)
    store.compact(part_rows=4 * ROWS)
    if read_state(store) != state or store.verify():
        wrong.append("a last compaction changed what the store holds")
    counts = {"collections": times["gc"], "compactions": times["compact"]}
    return {"wrong": wrong, "kills": storm.kills, "acked": len(acked), **counts}


def once(path: Path) -> None:
    """One commit between two lines on standard output."""
    store = PartStore.create(path)
    os.write(1, b"BEGIN THE COMMIT\n")
    with store.writer() as writer:
        part = writer.items(item_table("a"), "instruction")
        store.commit(Changes("import", "a", add=[part]))
        os.write(1, b"THE COMMIT IS ACKED\n")


if __name__ == "__main__":
    assert pa.array([hash_of("a", 0)], pa.uint64())  # has pyarrow look for pandas once, not in every child
    if sys.argv[1] == "once":
        once(Path(sys.argv[2]))
    else:
        PartStore.create(sys.argv[1]).close()
        storm = Storm(Path(sys.argv[1]).absolute())
        storm.blow(float(sys.argv[2]), random.Random(int(sys.argv[3])))
        print(json.dumps(judge(storm)))
