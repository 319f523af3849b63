"""One piece of work that touches every kind of file, and what the store must hold afterwards.

As a script it plays the work in child processes that fail at a given place, then again without failing:
    python store_workload.py FOLDER 'part.rename:1:exit' 'commit.commit:2:eio' ...
prints one JSON line per failpoint: how the first child ended, and what was wrong after the second.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate import contracts
from curate.errors import StoreError
from curate.store import Changes, ColumnSet, PartStore, PartWriter, SelectionInfo, Snapshot, failpoints
from curate.store.parts import NewPart, Part

ROWS = 6
FIELDS = pa.schema([contracts.score("quality"), contracts.vector("embedding", 2)])


def item_table(name: str, rows: int = ROWS) -> pa.Table:
    """Items `name-0`, `name-1`, ... whose captions say so."""
    numbers = range(rows)
    return pa.table(
        {
            "id": [f"{name}-{i}" for i in numbers],
            "caption": [f"caption {i} of {name}" for i in numbers],
            "_hash": pa.array([hash_of(name, i) for i in numbers], pa.uint64()),
        }
    )


def hash_of(name: str, i: int) -> int:
    return int(contracts.digest(name, i), 16) % 2**64


def column_set(salt: str = "") -> ColumnSet:
    digest = contracts.digest("quality", salt)
    return ColumnSet("quality", digest, FIELDS.serialize().to_pybytes(), "quality", 1, {"salt": salt})


def score_part(writer: PartWriter, part: Part, made: ColumnSet, shift: float = 0.0) -> list[NewPart]:
    """Score of row i is `shift` + i / 8, its vector (seq, shift); row 0 has no vector."""
    n = part.rows
    vectors = [None, *([float(part.seq_lo + i), shift] for i in range(1, n))]
    table = pa.table(
        {
            "quality": pa.array([shift + i / 8 for i in range(n)], pa.float32()),
            "embedding": pa.array(vectors, pa.list_(pa.float32(), 2)),
        }
    )
    return writer.columns(table, part, made)


def add_items(store: PartStore, *names: str) -> list[NewPart]:
    with store.writer() as writer:
        parts = [writer.items(item_table(name), "instruction") for name in names]
        store.commit(Changes("import", f"import {names}", add=parts))
    return parts


def add_scores(store: PartStore, token: str, salt: str = "", shift: float = 0.0) -> list[NewPart]:
    made = column_set(salt)
    with store.writer() as writer:
        parts = [new for part in store.snapshot().items for new in score_part(writer, part, made, shift)]
        store.commit(Changes("score", token, add=parts, columns=[made]))
    return parts


def read_state(store: PartStore, version: int | str | None = None) -> dict[str, tuple[Any, ...]]:
    """id -> (caption, score, vector) of every live item, read from the files with Arrow alone."""
    snapshot = store.snapshot(version)
    gone = {seq for p in snapshot.deleted for seq in read_part(store, p)["seq"].to_pylist()}
    state: dict[str, tuple[Any, ...]] = {}
    for part in snapshot.items:
        items = read_part(store, part)
        scores = aligned_columns(store, snapshot, part)
        for i in range(part.rows):
            if part.seq_lo + i not in gone:
                assert items["id"][i].as_py() not in state, "an item is there twice"
                values = tuple(scores[c][i] if c in scores else None for c in FIELDS.names)
                state[items["id"][i].as_py()] = (items["caption"][i].as_py(), *values)
    assert len(state) == snapshot.rows
    return state


def layout(store: PartStore) -> list[tuple[int, int]]:
    """Where each item part begins, and its rows."""
    return [(p.seq_lo, p.rows) for p in store.snapshot().items]


def read_all(store: PartStore) -> list[Any]:
    """All that publishing carries."""
    snapshot = store.snapshot()
    history = [{k: v for k, v in e.items() if k != "available"} for e in store.history()]
    selections = {name: store.selection_table(name).to_pylist() for name in snapshot.selections}
    rest = [store.tags(), store.runs(), store.rejected().to_pylist(), history, selections]
    return [snapshot.version, snapshot.digest, read_state(store), rest]


def aligned_columns(store: PartStore, snapshot: Snapshot, part: Part) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for made in snapshot.sets.values():
        for aligned in snapshot.aligned.get((made.digest, part.part_id), ()):
            table = read_part(store, aligned)
            assert table.num_rows == part.rows
            columns |= {name: table[name].to_pylist() for name in table.column_names}
    return columns


def read_part(store: PartStore, part: Part) -> pa.Table:
    path = store.path / part.path
    if part.table == "vector":
        with pa.OSFile(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    return pq.read_table(pa.py_buffer(path.read_bytes()), page_checksum_verification=True)


# --- The work ---------------------------------------------------------------------------------------------------


def play(path: Path) -> PartStore:
    """Do all of it. Everything is deterministic and has a token, so doing it again changes nothing."""
    store = PartStore.create(path, exist_ok=True)
    _import(store)
    _score(store)
    _record_run(store)
    _change(store)
    store.tag("done")
    store.gc(grace_seconds=0, keep_versions=1)
    return store


def expected() -> dict[str, tuple[Any, ...]]:
    """What `read_state` must give after `play`: worked out by hand, part by part."""
    state: dict[str, tuple[Any, ...]] = {}
    for lo, name, shift in ((0, "a", 0.0), (ROWS, "b", 4.0)):
        for i in range(ROWS):
            vector = [float(lo + i), shift] if i else None
            state[f"{name}-{i}"] = (f"caption {i} of {name}", shift + i / 8, vector)
    del state["a-1"], state["b-2"]
    return state


def is_done(store: PartStore, token: str) -> bool:
    return any(entry["token"] == token for entry in store.history())


def _import(store: PartStore) -> None:
    with store.pack() as pack:
        places = [pack.add(f"bytes of item {i}".encode()) for i in range(ROWS)]
    table = item_table("a").append_column("image", pa.array([pack.uri(*place) for place in places]))
    with store.writer() as writer:
        part = writer.items(table, "image-text", {"packs": [pack.name]})
        store.commit(Changes("import", "import a", add=[part]))
        parts = [writer.items(item_table(name), "instruction") for name in ("b", "c")]
        refused = writer.rejected(pa.table({"row": [7], "reason": ["no caption"]}))
        store.commit(
            Changes("import", "import b and c", add=[*parts, refused], message="from ümlaut/'quoted'")
        )


def _score(store: PartStore) -> None:
    snapshot = store.snapshot("imported" if "imported" in store.tags() else None)
    with store.writer() as writer:
        parts = [new for part in snapshot.items for new in score_part(writer, part, column_set())]
        if not is_done(store, "score"):
            step = ("digest of score", {"scored": len(parts)})
            store.commit(Changes("score", "score", add=parts, columns=[column_set()], step=step))


def _record_run(store: PartStore) -> None:
    if not store.runs():
        store.begin_run("run-1", {"store": "x"}, "digest", 7)
    store.log_step("run-1", 0, {"title": "import a", "counts": {"added": ROWS}})
    store.end_run("run-1", "done", 1.5)


def _change(store: PartStore) -> None:
    """Score b anew, delete one of a and one of b, select two, remove c."""
    with store.writer() as writer:
        if not is_done(store, "rescore"):
            snapshot = store.snapshot()
            b, made = snapshot.items[1], column_set()
            old = [p.part_id for p in snapshot.aligned[made.digest, b.part_id]]
            store.commit(Changes("score", "rescore", add=score_part(writer, b, made, 4.0), remove=old))
        store.commit(Changes("delete", "delete", add=[writer.deleted(np.array([ROWS + 2, 1, 1]))]))
        rows = {
            "seq": [0, 7],
            "rank": [1, 0],
            "weight": [1.0, 0.5],
            "gain": [None, 0.25],
            "reason": ["x", "y"],
        }
        part = writer.selection(pa.table(rows), "digest of core")
        info = SelectionInfo("core", "digest of core", 2, 2**80, 4, {"random": {"objective": 0.5}})
        store.commit(Changes("select", "select", add=[part], selections=[info]))
        if not is_done(store, "remove c"):
            store.commit(Changes("remove", "remove c", remove=[store.snapshot().items[2].part_id]))


# --- In child processes -----------------------------------------------------------------------------------------


def check(store: PartStore) -> list[str]:
    """Everything that is wrong after `play`."""
    wrong = [f"{p.kind} {p.path}: {p.message}" for p in store.verify()]
    if read_state(store) != expected():
        wrong.append(f"holds {read_state(store)}")
    if [e["version"] for e in store.history()] != [7, 6, 5, 4, 3, 2, 1]:
        wrong.append(f"versions {store.history()}")
    if store.selection_table("core")["seq"].to_pylist() != [0, 7]:
        wrong.append("the selection is not what was stored")
    if store.recall("digest of score") != {"scored": 6}:
        wrong.append("the result of the step is lost")
    if store.rejected()["reason"].to_pylist() != ["no caption"] or not store.steps("run-1"):
        wrong.append("the rejected row or the run is lost")
    return wrong


def in_child(work: Any) -> int:
    """Run `work` in a fork; its exit code: 0 fine, 1 a StoreError (as it should be), 3 another error."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except StoreError:
            os._exit(1)
        except BaseException:
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_case(folder: Path, failpoint: str) -> dict[str, Any]:
    """Play with a failpoint, see that what is there is whole, play again, compare with the model."""
    path, answer = folder / "s t'ö\"re", folder / "answer.json"

    def fail() -> None:
        failpoints.arm(failpoint)
        play(path)

    def look() -> None:
        wrong = []
        if (path / "STORE.json").exists():
            store = PartStore.open(path)
            wrong = [f"after the failure: {p.kind} {p.path}: {p.message}" for p in store.verify()]
            read_state(store)
            store.close()
        wrong += check(play(path))
        left = sorted(p.name for p in (path / "tmp").iterdir())
        wrong += [f"left in tmp/: {left}"] if left else []
        answer.write_text(json.dumps(wrong))

    first = in_child(fail)
    second = in_child(look)
    wrong = json.loads(answer.read_text()) if second == 0 else [f"the second run ended with {second}"]
    return {"failpoint": failpoint, "first": first, "wrong": wrong}


def main(folder: Path, cases: list[str]) -> None:
    pa.array([1])  # has pyarrow look for pandas once, not in every child
    for number, failpoint in enumerate(cases):
        place = folder / str(number)
        place.mkdir(parents=True)
        print(json.dumps(run_case(place, failpoint)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
