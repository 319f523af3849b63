"""A compaction that may fail anywhere: what the store must hold before, in between and afterwards.

As a script it compacts a copy of one store in a child process that fails at a given place, then again without failing:
    python store_compact_workload.py FOLDER 'compact.group:1:exit' 'commit.commit:2:eio' ...
prints one JSON line per failpoint: how the first child ended, and what was wrong after it and after the second.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from store_workload import ROWS, add_items, add_scores, in_child, read_state

from curate.store import Changes, PartStore, failpoints

PART_ROWS = 3 * ROWS


def prepare(path: Path) -> None:
    """Seven scored item parts, three deletions, two rejections."""
    store = PartStore.create(path)
    add_items(store, *"abcdefg")
    add_scores(store, "score")
    for number, seqs in enumerate(([1], [ROWS, 3 * ROWS], [6 * ROWS + 1])):
        with store.writer() as writer:
            rejected = writer.rejected(pa.table({"row": [number], "reason": ["no caption"]}))
            add = [writer.deleted(np.array(seqs)), *([rejected] if number else [])]
            store.commit(Changes("delete", f"delete {number}", add=add))
    store.close()


def identity(store: PartStore) -> list[Any]:
    """What no compaction, finished or not, may change."""
    snapshot = store.snapshot()
    aligned = sorted(i for parts in snapshot.aligned.values() for p in parts for i in p.originals)
    rejected = store.rejected()["row"].to_pylist()
    return [read_state(store), snapshot.digest, aligned, rejected]


def layout(store: PartStore) -> list[Any]:
    """Ids of all live parts, in order: a compaction ends with the same ones, however often it was begun."""
    snapshot = store.snapshot()
    aligned = [sorted(p.part_id for p in parts) for parts in snapshot.aligned.values()]
    listed = [*snapshot.items, *snapshot.deleted, *snapshot.rejected]
    return [[(p.part_id, p.seq_lo, dict(p.stats)) for p in listed], sorted(aligned)]


def run_case(folder: Path, prepared: Path, failpoint: str, wanted: list[Any]) -> dict[str, Any]:
    """Compact with a failpoint, look, compact again, compare with an undisturbed compaction."""
    path, answer = folder / "store", folder / "answer.json"
    shutil.copytree(prepared, path)
    with PartStore.open(path) as store:
        before = json.loads(json.dumps(identity(store)))

    def fail() -> None:
        failpoints.arm(failpoint)
        PartStore.open(path).compact(part_rows=PART_ROWS)

    def look() -> None:
        wrong = []
        store = PartStore.open(path)
        for when in ("after the failure", "after the second run"):
            wrong += [f"{when}: {p.kind} {p.path}: {p.message}" for p in store.verify()]
            if json.loads(json.dumps(identity(store))) != before:
                wrong.append(f"{when} the store holds something else")
            store.compact(part_rows=PART_ROWS)
        if json.loads(json.dumps(layout(store))) != wanted:
            wrong.append(f"the parts are {layout(store)}, not {wanted}")
        store.gc(grace_seconds=0, keep_versions=1)
        if json.loads(json.dumps(identity(store))) != before or store.verify():
            wrong.append("gc took something")
        wrong += [f"left in tmp/: {p.name}" for p in (path / "tmp").iterdir()]
        answer.write_text(json.dumps(wrong))

    first = in_child(fail)
    second = in_child(look)
    wrong = json.loads(answer.read_text()) if second == 0 else [f"the second run ended with {second}"]
    return {"failpoint": failpoint, "first": first, "wrong": wrong}


def undisturbed(folder: Path, prepared: Path) -> list[Any]:
    """The parts that a compaction ends with, as JSON gives them back."""
    answer = folder / "wanted.json"

    def work() -> None:
        store = PartStore.open(shutil.copytree(prepared, folder / "undisturbed"))
        store.compact(part_rows=PART_ROWS)
        answer.write_text(json.dumps(layout(store)))

    assert in_child(work) == 0
    wanted: list[Any] = json.loads(answer.read_text())
    return wanted


def main(folder: Path, cases: list[str]) -> None:
    pa.array([1])  # has pyarrow look for pandas once, not in every child
    prepared = folder / "prepared"
    assert in_child(lambda: prepare(prepared)) == 0
    wanted = undisturbed(folder, prepared)
    for number, failpoint in enumerate(cases):
        place = folder / str(number)
        place.mkdir()
        print(json.dumps(run_case(place, prepared, failpoint, wanted)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
