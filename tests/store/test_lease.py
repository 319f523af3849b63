"""Who is alive, and what forks, old leases, re-used process ids and clocks set back do to a store."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import store_workload

from curate.errors import BusyError, StoreError
from curate.store import Changes, PartStore, catalog, lease


def ended_process() -> tuple[int, str]:
    """A process id that was in use a moment ago, and when that process started."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read, 1)
        os._exit(0)
    start = lease.process_start(pid)
    assert start is not None
    os.write(write, b"x")
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    return pid, start


def owner(**changes: object) -> lease.Owner:
    return lease.Owner(**{**vars(lease.this_process()), **changes})  # type: ignore[arg-type]


def test_this_process_is_alive_and_an_ended_one_is_not() -> None:
    assert lease.is_live(lease.this_process(), taken=0.0)
    pid, start = ended_process()
    assert not lease.is_live(owner(pid=pid, pid_start=start), taken=time.time())


def test_a_process_id_used_again_is_another_process() -> None:
    here = lease.this_process()
    assert not lease.is_live(owner(pid_start=str(int(here.pid_start) - 100)), taken=time.time())


def test_a_zombie_is_not_alive() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    deadline = time.monotonic() + 10
    while lease.process_start(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert lease.process_start(pid) is None, "a child that has ended but was not waited for"
    os.waitpid(pid, 0)


def test_a_lease_from_before_a_restart_is_dead() -> None:
    assert not lease.is_live(owner(boot_id="another"), taken=time.time())


@pytest.mark.parametrize("place", [{"pid_space": "pid:[1]"}, {"host": "elsewhere", "boot_id": "another"}])
def test_what_cannot_be_looked_at_lives_for_a_day(place: dict[str, str]) -> None:
    assert lease.is_live(owner(pid=1, pid_start="0", **place), taken=time.time() - lease.FOREIGN_SECONDS + 60)
    assert not lease.is_live(
        owner(pid=1, pid_start="0", **place), taken=time.time() - lease.FOREIGN_SECONDS - 60
    )


def orphan(store: PartStore, name: str) -> Path:
    """A part that was written and never committed, made to look a minute old."""
    with store.writer() as writer:
        path = store.path / writer.items(store_workload.item_table(name), "instruction").path
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


def test_gc_spares_what_a_live_writer_may_commit(store: PartStore) -> None:
    old = orphan(store, "old")
    with store.writer() as writer:
        part = writer.items(store_workload.item_table("new"), "instruction")
        assert (store.path / "tmp" / writer.writer_id).is_dir()
        report = store.gc(grace_seconds=0)
        assert (report.orphans, report.folders) == (1, 0)
        assert not old.exists() and (store.path / part.path).exists()
        assert (store.path / "tmp" / writer.writer_id).is_dir()
        store.commit(Changes("import", "new", add=[part]))
    assert not list((store.path / "tmp").iterdir())
    assert store.verify() == []


def test_gc_sweeps_up_after_a_killed_writer(store: PartStore) -> None:
    def write_and_die() -> None:
        with store.writer() as writer:
            writer.items(store_workload.item_table("never"), "instruction")
            (writer.folder / "half.parquet").write_bytes(b"half")
            os._exit(9)

    assert store_workload.in_child(write_and_die) == 9
    assert len(list((store.path / "tmp").iterdir())) == 1
    assert store.gc().folders == 1  # at once: its process is gone
    assert not list((store.path / "tmp").iterdir())
    assert store.gc(grace_seconds=0).orphans == 1
    assert store.verify() == []


def test_a_pin_ends_with_its_process(store: PartStore) -> None:
    with store.writer() as writer:
        part = writer.items(store_workload.item_table("a"), "instruction")
        store.commit(Changes("import", "a", add=[part]))
    store.commit(Changes("drop", "b", remove=[part.part_id]))

    def pin_and_die() -> None:
        with store.pin(1):
            os._exit(9)

    with store.pin(1):
        assert store.gc(grace_seconds=0, keep_versions=1).parts == 0
    assert store_workload.in_child(pin_and_die) == 9
    assert store.gc(grace_seconds=0, keep_versions=1).expired == [1]
    assert not (store.path / part.path).exists()


def test_a_clock_set_back_deletes_nothing_too_early(
    store: PartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    with store.writer() as writer:
        part = writer.items(store_workload.item_table("a"), "instruction")
        store.commit(Changes("import", "a", add=[part]))
        loose = writer.items(store_workload.item_table("loose"), "instruction")
    store.commit(Changes("drop", "b", remove=[part.part_id]))
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    with store.writer():  # its lease seems older than every file
        report = store.gc(grace_seconds=600, keep_versions=1)
    assert (report.parts, report.orphans, report.expired) == (0, 0, [])
    with store.writer() as writer:
        other = writer.items(store_workload.item_table("c"), "instruction")
        store.commit(Changes("import", "c", add=[other]))
    times = [entry["time"] for entry in store.history()]
    assert times[0] < times[1]  # versions count, times only inform
    assert [entry["version"] for entry in store.history()] == [3, 2, 1]
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    report = store.gc(grace_seconds=600, keep_versions=1)
    assert (report.parts, report.orphans) == (1, 1)
    assert not (store.path / loose.path).exists()
    assert store.verify() == []


# --- Forks ------------------------------------------------------------------------------------------------------


def test_a_forked_child_uses_the_store_it_inherited(store: PartStore) -> None:
    with store.writer() as writer:
        store.commit(
            Changes("import", "a", add=[writer.items(store_workload.item_table("a"), "instruction")])
        )

        def work() -> None:
            part = writer.items(store_workload.item_table("b"), "instruction")
            store.commit(Changes("import", "b", add=[part]))
            store.commit(Changes("delete", "d", add=[writer.deleted(np.array([0]))]))

        assert store_workload.in_child(work) == 0
        assert sorted(store_workload.read_state(store)) == sorted(
            [*(f"a-{i}" for i in range(1, 6)), *(f"b-{i}" for i in range(6))]
        )
        store.commit(
            Changes("import", "c", add=[writer.items(store_workload.item_table("c"), "instruction")])
        )
    assert store.snapshot().version == 4
    assert store.verify() == []


class ChildLeaves(BaseException):
    """Unwinds a forked child out of a `with` block."""


def test_a_child_that_leaves_the_block_does_not_end_the_lease(store: PartStore) -> None:
    try:
        with store.writer() as writer, store.pin():
            part = writer.items(store_workload.item_table("a"), "instruction")
            pid = os.fork()
            if pid == 0:
                raise ChildLeaves
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            assert (store.path / "tmp" / writer.writer_id).is_dir()
            assert store.gc(grace_seconds=0).orphans == 0
            store.commit(Changes("import", "a", add=[part]))
    except ChildLeaves:
        os._exit(7)


def test_the_parents_open_transaction_survives_a_child(store: PartStore) -> None:
    """Closing an inherited connection in the child would roll the parent's transaction back on disk."""
    with store._catalog.write() as con:
        con.execute("INSERT INTO tag VALUES ('t', 0, 'x')")

        def work() -> None:
            store._catalog.close()

        assert store_workload.in_child(work) == 0
    assert store.tags() == {"t": 0}


def test_a_lock_held_too_long_is_a_busy_error(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = catalog.Catalog(store.path / "catalog.sqlite")
    monkeypatch.setattr(catalog, "BUSY_SECONDS", 0.05)
    second = PartStore.open(store.path)
    with other.write(), pytest.raises(BusyError, match="another process has held the catalog"):
        second.commit(Changes("note", "n"))
    other.close()
    assert second.commit(Changes("note", "n")).version == 1


def test_threads_have_their_own_connections(store: PartStore) -> None:
    def work(i: int) -> int:
        with store.writer() as writer:
            part = writer.items(store_workload.item_table(f"t{i}"), "instruction")
            return store.commit(Changes("import", f"t{i}", add=[part])).version

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(work, range(12))) == list(range(1, 13))
    assert len(store_workload.read_state(store)) == 12 * store_workload.ROWS
    assert store.verify() == []


def test_an_unknown_outcome_is_looked_up(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """COMMIT raises although the transaction is on the disk: the caller must hear of success."""
    plain = catalog.Catalog.write

    @contextmanager
    def failing(self: catalog.Catalog) -> object:
        with plain(self) as con:
            yield con
        raise catalog.CommitUnknown("disk I/O error")

    monkeypatch.setattr(catalog.Catalog, "write", failing)
    done = store.commit(Changes("note", "n"))
    assert (done.version, done.replayed) == (1, False)
    monkeypatch.setattr(catalog.Catalog, "read", failing)
    with pytest.raises(StoreError, match=r"is unknown: .* exactly once"):
        store.commit(Changes("note", "m"))
    monkeypatch.undo()
    assert store.commit(Changes("note", "m")) == type(done)(2, replayed=True)
