"""Compaction: many small parts become few, and what was deleted is written no more.

Item parts that lie side by side in the order of items, are of one kind and schema, and have been given the same
columns, become one part of at most `part_rows` rows, and the parts aligned to them likewise. Items keep their ids,
their order and their seqs; what a part stands for goes with it (`Part.originals`), so digests stay, finished steps
stay finished, and only items without an answer are scored. The old files are there until gc collects their versions.

Grouping goes from the first item to the last and depends on what the parts were made of, not on what was merged
before: a compaction that was killed and begun again ends with the same parts, and one that is repeated does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.contracts import digest
from curate.counting import counted
from curate.errors import BusyError, ConflictError, InputError
from curate.store import failpoints, lease, merge
from curate.store.changes import Changes
from curate.store.merge import Group, Rows
from curate.store.parts import NewPart, Part
from curate.store.snapshot import Snapshot

if TYPE_CHECKING:
    from curate.store.store import PartStore

PART_ROWS = 8192
FILE_BYTES = 64 << 20
"""Parts are merged while all files of one kind come to at most this: what is held in memory depends on it."""

COMMIT_EVERY = 30.0
"""Seconds of work between two commits: what a kill can cost."""

LIST_ROWS = 65_536
ROUNDS = 5
MANY, SMALL = 64, 0.25
"""From that many parts on, of which most hold less than this share of `PART_ROWS`, compaction is worth it."""


@dataclass
class CompactReport:
    """What a compaction did: live parts before and after, item parts written and those they replace, deleted items
    whose content was left out, bytes written, versions committed."""

    before: int = 0
    after: int = 0
    merged: int = 0
    written: int = 0
    erased: int = 0
    bytes: int = 0
    versions: int = 0

    def __str__(self) -> str:
        if not (self.merged or self.versions):
            return f"{counted(self.before, 'part')}: nothing to merge"
        if not self.versions:
            return f"{counted(self.before, 'part')} would become {self.after:,}: {counted(self.merged, 'item part')} {self.written:,}"
        text = f"{counted(self.before, 'part')} became {self.after:,} ({self.bytes / 1e6:,.1f} MB written)"
        return text + (
            f"; the content of {counted(self.erased, 'deleted item')} was left out" if self.erased else ""
        )


def compact(
    store: PartStore, *, part_rows: int = PART_ROWS, alongside: bool = False, dry_run: bool = False
) -> CompactReport:
    """Run one compaction; see `PartStore.compact`."""
    if part_rows < 1:
        raise InputError(f"compact(part_rows={part_rows}): a part holds 1 row or more")
    failpoints.hit("compact.begin")
    if not alongside and not dry_run:
        refuse_writers(store)
    report = CompactReport(before=live_parts(store.snapshot()))
    for _ in range(ROUNDS):
        with store.pin() as version:
            snapshot = store.snapshot(version)
            groups = list(plan(store, snapshot, part_rows))
            if dry_run:
                report.merged = sum(len(g.items) for g in groups)
                report.written = len(groups)
                report.after = report.before - sum(len(g.sources) - 1 - len(g.slots) for g in groups)
                return report
            done = _merge_all(store, groups, report) and _merge_lists(store, report)
        if done:
            report.after = live_parts(store.snapshot())
            return report
    raise BusyError(
        f"other processes changed {store.path} each of the {ROUNDS} times that parts were to be replaced. What was "
        "merged so far stays; run it again when they are done"
    )


def refuse_writers(store: PartStore) -> None:
    """Raise BusyError if somebody is writing: what they work out from a replaced part would be refused at the end."""
    with store._catalog.read() as con:
        writers = lease.writers(con)
    if writers:
        raise BusyError(
            f"{', '.join(writers[:3])} {'is' if len(writers) == 1 else 'are'} writing to {store.path}. Run compact when "
            "they are done, or with alongside=True (--alongside): nothing is lost then, but they may have to run again"
        )


def live_parts(snapshot: Snapshot) -> int:
    """Live parts of a snapshot."""
    aligned = sum(map(len, snapshot.aligned.values()))
    selected = sum(map(len, snapshot.selection_parts.values()))
    plain = len(snapshot.deleted) + len(snapshot.rejected) + len(snapshot.answers)
    return len(snapshot.items) + aligned + plain + selected


def hint(snapshot: Snapshot) -> str | None:
    """A sentence for a store that compaction would make faster, None for others."""
    small = sum(p.rows < PART_ROWS * SMALL for p in snapshot.items)
    if len(snapshot.items) < MANY or small * 2 < len(snapshot.items):
        return None
    return f"{small:,} of {counted(len(snapshot.items), 'item part')} are small: `curate compact` merges them"


# --- What to merge ----------------------------------------------------------------------------------------------


def plan(store: PartStore, snapshot: Snapshot, part_rows: int) -> Iterator[Group]:
    """Groups of item parts to be written anew: two and more as one, or one from which items were deleted."""
    aligned: dict[str, list[Part]] = {}
    for (_, base), parts in snapshot.aligned.items():
        aligned.setdefault(base, []).extend(parts)
    gone = deleted_seqs(store, snapshot)
    run: list[tuple[Part, list[Part]]] = []
    for part in snapshot.items:
        mine = sorted(aligned.get(part.part_id, ()), key=_slot)
        if run and not _fits(run, part, mine, part_rows):
            yield from _group(run, gone)
            run = []
        run.append((part, mine))
    yield from _group(run, gone)


def deleted_seqs(store: PartStore, snapshot: Snapshot) -> Rows:
    """Seqs of all deleted items, ascending."""
    found = [np.empty(0, np.int64)]
    for part in snapshot.deleted:
        merge.check_source(store.path, part)
        with pa.OSFile(str(store.path / part.path)) as source:
            found.append(pq.read_table(source)["seq"].to_numpy())
    return np.sort(np.concatenate(found))


def _slot(part: Part) -> tuple[str, str, bytes]:
    return (part.column_set or "", part.table, part.schema)


def _fits(
    run: Sequence[tuple[Part, list[Part]]], part: Part, aligned: Sequence[Part], part_rows: int
) -> bool:
    """Whether a part can join those before it: alike, next to them, and not too much."""
    (first, theirs), (last, _) = run[0], run[-1]
    if last.seq_lo + last.rows != part.seq_lo or (first.kind, first.schema) != (part.kind, part.schema):
        return False
    if [_slot(p) for p in theirs] != [_slot(p) for p in aligned]:
        return False
    if sum(p.rows for p, _ in run) + part.rows > part_rows:
        return False
    files = [[p, *mine] for p, mine in (*run, (part, list(aligned)))]
    return all(sum(map(merge.size_before, column)) <= FILE_BYTES for column in zip(*files, strict=True))


def _group(run: Sequence[tuple[Part, list[Part]]], gone: Rows) -> Iterator[Group]:
    if not run:
        return
    items = tuple(part for part, _ in run)
    edges = [np.searchsorted(gone, [p.seq_lo, p.seq_lo + p.rows]) for p in items]
    dead = tuple(gone[lo:hi] - p.seq_lo for p, (lo, hi) in zip(items, edges, strict=True))
    erase = any(len(d) != p.stats.get("erased", 0) for p, d in zip(items, dead, strict=True))
    if any(p.rows for p in items) and (len(items) > 1 or erase):
        yield Group(items, tuple(zip(*(mine for _, mine in run), strict=True)), dead)


# --- Doing it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Merged:
    group: Group
    parts: list[NewPart]


def _merge_all(store: PartStore, groups: Sequence[Group], report: CompactReport) -> bool:
    """Write all groups, commit them together (or twice a minute); whether nobody was in the way."""
    waiting: list[_Merged] = []
    last, clear = time.monotonic(), True
    with store.writer() as writer:
        for group in groups:
            failpoints.hit("compact.group")
            waiting.append(_Merged(group, merge.merge_group(writer, group)))
            if time.monotonic() - last > COMMIT_EVERY:
                clear &= _commit(store, waiting, report)
                waiting, last = [], time.monotonic()
        return _commit(store, waiting, report) and clear


def _commit(store: PartStore, merged: Sequence[_Merged], report: CompactReport) -> bool:
    """Commit some groups as one version; where others were in the way, each by itself. Whether all went in."""
    if not merged:
        return True
    try:
        _replace(store, merged, report)
    except ConflictError:
        alone = [len(merged) > 1 and _commit(store, [one], report) for one in merged]  # every one is tried
        return all(alone)
    return True


def _replace(store: PartStore, merged: Sequence[_Merged], report: CompactReport) -> None:
    sources = [p for one in merged for p in one.group.sources]
    made = [p for one in merged for p in one.parts]
    changes = Changes(
        "compact",
        _token(sources),
        add=made,
        remove=[p.part_id for p in sources],
        replaces={one.parts[0].part_id: one.group.items[0].seq_lo for one in merged},
        stats={"parts": len(sources), "became": len(made)},
    )
    store.commit(changes)
    report.versions += 1
    report.merged += sum(len(one.group.items) for one in merged)
    report.written += len(merged)
    report.erased += sum(_newly_erased(one.group) for one in merged)
    report.bytes += sum(p.bytes for p in made)


def _newly_erased(group: Group) -> int:
    return sum(len(d) - p.stats.get("erased", 0) for p, d in zip(group.items, group.dead, strict=True))


def _token(sources: Sequence[Part]) -> str:
    return digest("compact", [(p.part_id, p.added) for p in sources])


def _merge_lists(store: PartStore, report: CompactReport) -> bool:
    """Merge the parts of tombstones into one, and those of rejections and answers into few; whether nobody was in the
    way."""
    snapshot = store.snapshot()
    old = list(snapshot.deleted) if len(snapshot.deleted) > 1 else []
    groups = [*_list_groups(snapshot.rejected), *_list_groups(snapshot.answers)]
    listed = [part for group in groups for part in group]
    if not old and not listed:
        return True
    with store.writer() as writer:
        made: list[NewPart] = []
        if old:
            made.append(writer.deleted(deleted_seqs(store, snapshot), merge.merged_stats(old)))
        made += [merge.merge_plain(writer, g) if len(g) > 1 else g[0] for g in groups]
        changes = Changes(
            "compact",
            _token([*old, *listed]),
            add=made,
            remove=[p.part_id for p in (*old, *listed)],
            stats={"parts": len(old) + len(listed), "became": len(made)},
            items_at=snapshot.version if old else None,  # their order is part of the identity of the items
        )
        try:
            store.commit(changes)
        except ConflictError:
            return False
    report.versions += 1
    report.bytes += sum(p.bytes for p in made if "of" in p.stats)
    return True


def _list_groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Runs of parts to be merged, from the first that has two on: what follows it is written after it again, so that
    rows stay in order."""
    groups: list[list[Part]] = []
    for part in parts:
        rows = sum(p.rows for p in groups[-1]) if groups else 0
        if groups and groups[-1][0].schema == part.schema and rows + part.rows <= LIST_ROWS:
            groups[-1].append(part)
        else:
            groups.append([part])
    at = next((i for i, group in enumerate(groups) if len(group) > 1), len(groups))
    return groups[at:]
