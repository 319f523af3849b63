"""The store against a dictionary: any sequence of operations, failures and reopenings gives what the model gives."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import store_workload
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from curate.errors import ConflictError, StoreError, UnknownNameError
from curate.store import Changes, Commit, PartStore, Snapshot, failpoints
from curate.store.parts import Part

SALTS = st.sampled_from(["", "other"])
SHIFTS = {"": 0.0, "other": 100.0}


class StoreAgainstDict(RuleBasedStateMachine):
    """Parts have names; `parts` maps the name of a live one to its items, in order: id -> seq. What was scored is kept
    by id; a part made by compaction bears the names of those it was made of."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = PartStore.create(self.folder / "store")
        self.counter = 0
        self.next_seq = 0
        self.parts: dict[str, dict[str, int]] = {}  # live parts: id -> seq
        self.dropped: list[str] = []
        self.sizes: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.bound: str | None = None
        self.scored: dict[str, set[str]] = {salt: set() for salt in SHIFTS}  # parts scored so far
        self.values: dict[str, dict[str, tuple[Any, ...]]] = {salt: {} for salt in SHIFTS}  # by id
        self.versions: dict[int, dict[str, tuple[Any, ...]]] = {0: {}}
        self.tags: dict[str, int] = {}
        self.last: Changes | None = None
        self.last_version = 0

    def teardown(self) -> None:
        failpoints.arm(None)
        assert self.store.verify() == []
        self.store.close()
        shutil.rmtree(self.folder)

    # --- the model ---

    def state(self) -> dict[str, tuple[Any, ...]]:
        found = {}
        for name, items in self.parts.items():
            for id_ in items:
                if id_ in self.deleted:
                    continue
                values: tuple[Any, ...] = (None, None)
                if self.bound is not None and name in self.scored[self.bound]:
                    values = self.values[self.bound][id_]
                origin, _, i = id_.rpartition("-")
                found[id_] = (f"caption {i} of {origin}", *values)
        return found

    def commit(self, op: str, **changes: Any) -> Commit:
        self.counter += 1
        self.last = Changes(op, f"token {self.counter}", **changes)
        done = self.store.commit(self.last)
        assert not done.replayed and done.version == max(self.versions) + 1
        self.last_version = done.version
        return done

    def remember(self) -> None:
        self.versions[self.store.snapshot().version] = self.state()

    def part_of(self, name: str) -> tuple[Snapshot, Part]:
        snapshot = self.store.snapshot()
        first = next(iter(self.parts[name].values()))
        return snapshot, next(p for p in snapshot.items if p.seq_lo == first)

    def enter(self, names: list[str]) -> None:
        for name in names:
            self.parts[name] = {f"{name}-{i}": self.next_seq + i for i in range(self.sizes[name])}
            self.next_seq += self.sizes[name]

    # --- what can happen ---

    @initialize(rows=st.integers(1, 4))
    def begin(self, rows: int) -> None:
        self.ingest([rows])

    @rule(rows=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def ingest(self, rows: list[int]) -> None:
        names = [f"part{self.counter}.{i}" for i in range(len(rows))]
        self.sizes |= dict(zip(names, rows, strict=True))
        with self.store.writer() as writer:
            added = [writer.items(store_workload.item_table(n, self.sizes[n]), "instruction") for n in names]
            self.commit("import", add=added, items_at=max(self.versions))
        self.enter(names)
        self.remember()

    @rule(salt=SALTS)
    def score(self, salt: str) -> None:
        snapshot, made = self.store.snapshot(), store_workload.column_set(salt)
        todo = [p for p in snapshot.items if (made.digest, p.part_id) not in snapshot.aligned]
        with self.store.writer() as writer:
            new = [x for p in todo for x in store_workload.score_part(writer, p, made, SHIFTS[salt])]
            self.commit("score", add=new, columns=[made])
        for name in set(self.parts) - self.scored[salt]:
            for i, (id_, seq) in enumerate(self.parts[name].items()):
                self.values[salt][id_] = (SHIFTS[salt] + i / 8, [float(seq), SHIFTS[salt]] if i else None)
        self.bound, self.scored[salt] = salt, set(self.parts)
        self.remember()

    @rule(part_rows=st.integers(1, 12))
    def compact(self, part_rows: int) -> None:
        before = self.store.snapshot()
        report = self.store.compact(part_rows=part_rows)
        after = self.store.snapshot()
        assert (after.digest, after.rows) == (before.digest, before.rows)
        assert after.version == before.version + report.versions
        assert [i for p in after.items for i in p.originals] == [i for p in before.items for i in p.originals]
        for part in after.items:
            span = range(part.seq_lo, part.seq_lo + part.rows)
            self.unite([name for name, items in self.parts.items() if next(iter(items.values())) in span])
        self.versions |= {v: self.state() for v in range(before.version + 1, after.version + 1)}

    def unite(self, names: list[str]) -> None:
        """These parts, which lie side by side, are one."""
        if len(names) < 2:
            return
        names = sorted(names, key=lambda name: next(iter(self.parts[name].values())))
        whole = "+".join(names)
        self.parts[whole] = {id_: seq for name in names for id_, seq in self.parts.pop(name).items()}
        for scored in self.scored.values():
            assert len({name in scored for name in names}) == 1, "parts of which some were scored were merged"
            if names[0] in scored:
                scored.add(whole)
            scored.difference_update(names)

    @rule()
    def unbind(self) -> None:
        self.commit("drop", drop_columns=["quality"])
        self.bound = None
        self.remember()

    @precondition(lambda self: self.state())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        seqs = {id_: seq for items in self.parts.values() for id_, seq in items.items()}
        chosen = data.draw(
            st.lists(st.sampled_from(sorted(self.state())), min_size=1, max_size=3, unique=True)
        )
        with self.store.writer() as writer:
            part = writer.deleted(np.array([seqs[id_] for id_ in chosen]))
            self.commit("delete", add=[part])
            again = writer.deleted(np.array([*(seqs[id_] for id_ in chosen), *self.deleted_seqs(seqs)]))
            if again.part_id != part.part_id:
                with pytest.raises(ConflictError, match="deleted already"):
                    self.store.commit(Changes("delete", "never", add=[again]))
        self.deleted |= set(chosen)
        self.remember()

    def deleted_seqs(self, seqs: dict[str, int]) -> list[int]:
        return [seqs[id_] for id_ in self.deleted if id_ in seqs]

    @precondition(lambda self: len(self.parts) > 1)
    @rule(data=st.data())
    def drop_part(self, data: st.DataObject) -> None:
        """Remove a part and, with it, the tombstones of its items."""
        name = data.draw(st.sampled_from(sorted(self.parts)))
        snapshot, part = self.part_of(name)
        seqs = {
            p.part_id: store_workload.read_part(self.store, p)["seq"].to_numpy() for p in snapshot.deleted
        }
        inside = {k: (s >= part.seq_lo) & (s < part.seq_lo + part.rows) for k, s in seqs.items()}
        replaced = [k for k, mask in inside.items() if mask.any()]
        if replaced:
            with pytest.raises(ConflictError, match=r"tombstones? of its items stays? live"):
                self.store.commit(Changes("drop", "never", remove=[part.part_id]))
        kept = np.concatenate([seqs[k][~inside[k]] for k in replaced] or [np.array([], np.int64)])
        with self.store.writer() as writer:
            add = [writer.deleted(kept)] if len(kept) else []
            self.commit("drop", add=add, remove=[part.part_id, *replaced])
        self.deleted -= set(self.parts.pop(name))
        if "+" not in name:
            self.dropped.append(name)
        for scored in self.scored.values():
            scored.discard(name)
        self.remember()

    @precondition(lambda self: self.dropped)
    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(set(self.dropped))))
        self.dropped = [n for n in self.dropped if n != name]
        with self.store.writer() as writer:
            part = writer.items(store_workload.item_table(name, self.sizes[name]), "instruction")
            self.commit("import", add=[part])
        self.enter([name])
        self.remember()

    @rule()
    def repeat_the_last_commit(self) -> None:
        assert self.last is not None
        done = self.store.commit(self.last)
        assert done == Commit(self.last_version, replayed=True)

    @rule(name=st.sampled_from(["red", "green"]))
    def tag(self, name: str) -> None:
        self.tags[name] = self.store.tag(name)
        assert self.tags[name] == max(self.versions)

    @rule(keep=st.integers(1, 4), dry_run=st.booleans())
    def gc(self, keep: int, dry_run: bool) -> None:
        before = self.store.history()
        report = self.store.gc(grace_seconds=0, keep_versions=keep, dry_run=dry_run)
        available = {e["version"] for e in self.store.history() if e["available"]}
        assert {e["version"] for e in before if e["available"]} - available == set(
            () if dry_run else report.expired
        )
        newest = max(self.versions)
        kept = {*range(max(1, newest - keep + 1), newest + 1), *self.tags.values()}
        assert available >= kept & {e["version"] for e in before if e["available"]}
        # An unbound set's scores are gone once no kept version has it bound; scoring again makes them.
        snapshot = self.store.snapshot()
        for salt in SHIFTS:
            made = store_workload.column_set(salt).digest
            there = {p.seq_lo for p in snapshot.items if (made, p.part_id) in snapshot.aligned}
            wanted = {n for n in self.scored[salt] if next(iter(self.parts[n].values())) in there}
            assert salt != self.bound or wanted == self.scored[salt]
            self.scored[salt] = wanted

    @rule(
        place=st.sampled_from(
            ["part.fsync:1:eio", "part.write:1:lost", "commit.commit:1:eio", "commit.folder:1:enospc"]
        ),
        reopen=st.booleans(),
    )
    def fail(self, place: str, reopen: bool) -> None:
        failpoints.arm(place)
        try:
            with self.store.writer() as writer, pytest.raises(StoreError):
                part = writer.items(store_workload.item_table("never"), "instruction")
                self.store.commit(Changes("import", "never", add=[part]))
        finally:
            failpoints.arm(None)
        if reopen:
            self.reopen()

    @rule(rows=st.integers(1, 3))
    def fail_after_commit(self, rows: int) -> None:
        failpoints.arm("commit.after:1:eio,manifest.rename:1:enospc")
        try:
            self.ingest([rows])
        finally:
            failpoints.arm(None)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = PartStore.open(self.folder / "store")

    @rule()
    def rebuild(self) -> None:
        self.reopen()  # writes the manifest of a commit that could not
        self.store.close()
        (self.folder / "store" / "catalog.sqlite").unlink()
        self.store = PartStore.rebuild(self.folder / "store")

    # --- what must hold ---

    @invariant()
    def newest_is_as_the_model(self) -> None:
        assert store_workload.read_state(self.store) == self.state()
        assert self.store.tags() == self.tags

    @rule(data=st.data())
    def time_travel(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        available = {e["version"] for e in self.store.history() if e["available"]} | {0}
        if version in available:
            assert store_workload.read_state(self.store, version) == self.versions[version]
        else:
            with pytest.raises(UnknownNameError, match="deleted by gc"):
                self.store.snapshot(version)
        for name in self.tags:
            assert store_workload.read_state(self.store, name) == self.versions[self.tags[name]]

    @rule()
    def verify(self) -> None:
        assert self.store.verify() == []


StoreAgainstDict.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # explaining a failure takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestStoreAgainstDict = pytest.mark.slow(StoreAgainstDict.TestCase)
