"""Opening a store, its versions and runs, packs, and workers that write for it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import store_workload
from store_workload import ROWS, add_items, add_scores, item_table, read_state

from curate.errors import (
    InputError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
    UnknownNameError,
)
from curate.store import Changes, PartStore, PartWriter, filesystem, manifest

# --- Opening ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "with space", "qu'o\"te", "ünïcödé-猫", "hash#and?mark%20"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "store"
    add_items(PartStore.create(path), "a")
    assert len(read_state(PartStore.open(path))) == ROWS
    assert PartStore.open(path).verify() == []


def test_relative_and_home_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert PartStore.create("here").path == tmp_path / "here"
    assert PartStore.open("~/here").path == tmp_path / "here"
    with pytest.raises(InputError, match="empty"):
        PartStore.open("")


def test_create_twice(store: PartStore) -> None:
    add_items(store, "a")
    with pytest.raises(StoreError, match="already"):
        PartStore.create(store.path)
    assert PartStore.create(store.path, exist_ok=True).snapshot().rows == ROWS


def test_create_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"holds notes\.txt: a store needs a new or empty folder"):
        PartStore.create(tmp_path)
    with pytest.raises(StoreError, match="is a file"):
        PartStore.create(tmp_path / "notes.txt")


def test_open_what_is_not_there(tmp_path: Path, store: PartStore) -> None:
    with pytest.raises(StoreNotFoundError, match=f"Stores beside it: {store.path}"):
        PartStore.open(tmp_path / "other")


def test_a_newer_format_is_refused(store: PartStore) -> None:
    path = store.path / "STORE.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(
        StoreFormatError, match=r"format 99; this curate reads format 1.*pip install -U curate"
    ):
        PartStore.open(store.path)


def test_network_file_systems_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounts = "/dev/sda / ext4 rw 0 0\nsrv:/x /data/my\\040disk nfs4 rw 0 0\ntmpfs /data/my\\040disk/local tmpfs rw 0 0\n"
    assert filesystem.filesystem_of(Path("/data/my disk/store"), mounts) == "nfs4"
    assert filesystem.filesystem_of(Path("/data/my disk"), mounts) == "nfs4"
    assert filesystem.filesystem_of(Path("/data/my disk/local/store"), mounts) == "tmpfs"
    assert filesystem.filesystem_of(Path("/data/my disks"), mounts) == "ext4"
    with pytest.raises(StoreFormatError, match=r"network file system \(nfs4\).*local disk"):
        filesystem.refuse_network(Path("/data/my disk/store"), mounts)
    fake = tmp_path / "mounts"
    fake.write_text(f"remote {tmp_path} fuse.sshfs rw 0 0\n")
    store = PartStore.create(tmp_path / "store")
    monkeypatch.setattr(filesystem, "_MOUNTS", fake)
    for action in (PartStore.create, PartStore.open, PartStore.rebuild):
        with pytest.raises(StoreFormatError, match=r"fuse\.sshfs"):
            action(store.path)


def test_importing_the_store_does_not_load_the_query_engine() -> None:
    code = "import sys, curate.store as s; s.PartStore; s.PartWriter; print(sorted({'duckdb', 'polars'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]", done.stderr


# --- Versions and runs ------------------------------------------------------------------------------------------


def test_versions_and_tags(store: PartStore) -> None:
    assert store.snapshot(0).items == () and store.snapshot().version == 0
    add_items(store, "a")
    assert store.tag("first") == 1
    add_items(store, "b")
    assert store.snapshot("first").rows == ROWS and store.snapshot(1) == store.snapshot("first")
    assert store.tag("first", 2) == 2 and store.tag("v1.0-rc", 1) == 1
    assert store.tags() == {"first": 2, "v1.0-rc": 1}
    assert [entry["tags"] for entry in store.history()] == [["first"], ["v1.0-rc"]]
    store.untag("first")
    with pytest.raises(UnknownNameError, match=r"unknown tag 'first'.*Known: v1\.0-rc"):
        store.snapshot("first")
    with pytest.raises(UnknownNameError, match=r"unknown version '3'.*Known: 1, 2"):
        store.snapshot(3)
    with pytest.raises(UnknownNameError):
        store.snapshot(-1)
    for name in ("", "7", "a b", "a/b", "x" * 101, 3, None):
        with pytest.raises(InputError, match="a tag starts with a letter"):
            store.tag(name)
    assert store.verify() == []


def test_another_process_sees_a_commit_at_once(store: PartStore) -> None:
    other = PartStore.open(store.path)
    assert other.snapshot().rows == 0
    add_items(store, "a")
    assert other.snapshot().rows == ROWS


def test_listing_takes_one_query_and_none_when_nothing_changed(store: PartStore) -> None:
    add_items(store, *"abcdefgh")
    add_scores(store, "score")
    seen: list[str] = []
    other = PartStore.open(store.path)
    other._catalog.connection().set_trace_callback(seen.append)
    first = other.snapshot()
    assert sum("FROM part" in query for query in seen) == 1
    assert other.snapshot() is first
    assert sum("FROM part" in query for query in seen) == 1


def test_parts_share_what_is_the_same_in_many(store: PartStore) -> None:
    add_items(store, *"ab")
    add_scores(store, "score")
    snapshot = PartStore.open(store.path).snapshot()
    files = [file for files in snapshot.aligned.values() for file in files]
    ids = {id(part.part_id) for part in snapshot.items}
    assert len(snapshot.items) == 2 and {id(file.base) for file in files} == ids
    for name in ("table", "schema", "stats", "rows"):
        assert len({id(getattr(part, name)) for part in snapshot.items}) == 1, name
    assert not any(hasattr(part, "__dict__") for part in (*snapshot.items, *files))
    again = pickle.loads(pickle.dumps(files))  # noqa: S301
    assert again == files == [file for files in store.snapshot().aligned.values() for file in files]


def test_runs_and_steps(store: PartStore) -> None:
    store.begin_run("r1", {"steps": []}, "digest", 2**64)
    store.begin_run("r2", None, "", 0)
    store.log_step("r1", 1, {"title": "second"})
    store.log_step("r1", 0, {"title": "first"})
    store.log_step("r1", 1, {"title": "second, done"})
    store.end_run("r1", "done", 2.5)
    newest, oldest = store.runs()
    assert (newest["run_id"], newest["status"], newest["recipe"]) == ("r2", "running", None)
    del oldest["started"]
    wanted = {
        "run_id": "r1",
        "status": "done",
        "seconds": 2.5,
        "recipe": {"steps": []},
        "recipe_digest": "digest",
    }
    assert oldest == {**wanted, "seed": 2**64}
    assert [step["title"] for step in store.steps("r1")] == ["first", "second, done"]
    with pytest.raises(InputError, match="exists already"):
        store.begin_run("r1", None, "", 0)
    for call in (
        lambda: store.steps("r3"),
        lambda: store.log_step("r3", 0, {}),
        lambda: store.end_run("r3", "done", 0),
    ):
        with pytest.raises(UnknownNameError, match="unknown run 'r3'"):
            call()


def test_manifests_say_what_each_commit_did(store: PartStore) -> None:
    part = add_items(store, "a")[0]
    store.commit(Changes("drop", "drop", remove=[part.part_id], message="out"))
    first, second = (
        manifest.decode(p.read_bytes(), p) for p in sorted((store.path / "manifests").glob("*.json"))
    )
    assert [p["part_id"] for p in first["added"]] == [part.part_id] and first["removed"] == []
    assert second["added"] == [] and second["removed"] == [part.part_id]
    assert (second["version"], second["message"], second["token"]) == (2, "out", "drop")


# --- Packs ------------------------------------------------------------------------------------------------------


def test_a_pack_holds_bytes_once(store: PartStore) -> None:
    with store.pack() as pack:
        places = [pack.add(data) for data in (b"cat", b"", b"horse", b"cat", memoryview(b"horse"))]
        with pytest.raises(InputError, match="once it is closed"):
            pack.uri(0, 3)
    assert places == [(0, 3), (3, 0), (3, 5), (0, 3), (3, 5)]
    uri = pack.uri(3, 5)
    assert uri == f"store:blobs/{pack.name}.pack#bytes=3,5"
    resolved = store.resolve(pa.array([uri, "/elsewhere/x.jpg", None])).to_pylist()
    assert resolved == [f"{store.path}/blobs/{pack.name}.pack#bytes=3,5", "/elsewhere/x.jpg", None]
    assert (store.path / "blobs" / f"{pack.name}.pack").read_bytes() == b"cathorse"
    with pytest.raises(InputError, match="closed"):
        pack.add(b"more")
    with store.pack() as same:
        same.add(b"cathorse")
    assert same.name == pack.name


def test_a_pack_that_is_empty_or_given_up_leaves_nothing(store: PartStore) -> None:
    with store.pack() as pack:
        pass
    assert pack.name is None

    with pytest.raises(RuntimeError), store.pack() as pack:
        pack.add(b"x")
        raise RuntimeError
    assert not list((store.path / "blobs").iterdir()) and not list((store.path / "tmp").iterdir())


# --- Workers ----------------------------------------------------------------------------------------------------


def test_a_worker_writes_and_the_driver_commits(store: PartStore) -> None:
    with store.writer() as writer:
        code = (
            "import sys, pickle, store_workload as w; from curate.store import PartWriter;"
            "part = PartWriter(sys.argv[1], sys.argv[2]).items(w.item_table('a'), 'instruction');"
            "sys.stdout.buffer.write(pickle.dumps(part))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(store.path), writer.writer_id],
            capture_output=True,
            env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}"},
        )
        part = pickle.loads(done.stdout)  # noqa: S301
        store.commit(Changes("import", "a", add=[part]))
    assert part == PartWriter(store.path, "x").items(item_table("a"), "instruction")
    assert len(read_state(store)) == store_workload.ROWS
