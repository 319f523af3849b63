"""Publishing and cloning: nobody sees half of it, nobody overwrites anybody, and what comes is what was committed."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import store_workload
from store_workload import ROWS, add_items, add_scores, read_all, read_state

import curate
from curate.errors import (
    ConflictError,
    StoreError,
    StoreNotFoundError,
)
from curate.store import Changes, PartStore, failpoints
from curate.store import publish as publishing
from curate.store.remote import FolderRemote, open_remote


@pytest.fixture
def store(played: Path, tmp_path: Path) -> PartStore:
    """A store of one's own."""
    return PartStore.open(shutil.copytree(played, tmp_path / "store"))


def tokens(store: PartStore) -> list[str]:
    return [entry["token"] for entry in reversed(store.history())]


def cloned(url: str, path: Path) -> PartStore:
    store, _ = PartStore.clone(url, path)
    assert store.verify() == []
    return store


# --- There and back --------------------------------------------------------------------------------------


def test_a_clone_is_the_store(store: PartStore, url: str, tmp_path: Path) -> None:
    report = store.publish(url)
    assert (report.version, report.manifests, report.there) == (7, 7, 0) and report.files > 5
    clone = cloned(url, tmp_path / "clone")
    assert read_all(clone) == read_all(store)
    image = clone.view().to_arrow(["image"])["image"][0].as_py()
    path, _, place = image.partition("#bytes=")
    offset, length = map(int, place.split(","))
    assert Path(path).is_relative_to(clone.path)
    assert Path(path).read_bytes()[offset : offset + length] == b"bytes of item 0"
    assert clone.recall("digest of score") == {"scored": 6}


def test_again_only_what_is_new_goes_and_comes(store: PartStore, url: str, tmp_path: Path) -> None:
    first = store.publish(url)
    clone = cloned(url, tmp_path / "clone")
    assert str(store.publish(url)) == "version 7 is published already"
    assert str(PartStore.clone(url, clone.path)[1]) == "version 7: nothing new"
    add_items(store, "new")
    add_scores(store, "new scores")
    store.tag("later")
    again = store.publish(url)
    assert (again.version, again.manifests, again.files, again.there) == (9, 2, 3, first.files)
    _, came = PartStore.clone(url, clone.path)
    assert (came.version, came.manifests, came.files, came.later) == (9, 2, 3, 0)
    assert read_all(clone) == read_all(store) and clone.verify() == []


def test_a_clone_goes_on_and_publishes(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    clone = cloned(folder, tmp_path / "clone")
    add_items(clone, "theirs")
    clone.publish(folder)
    with pytest.raises(
        ConflictError, match=r"has version 8 already, 'import', committed .*ends at 7. Clone it again"
    ):
        store.publish(folder)
    PartStore.clone(folder, store.path)
    assert read_all(store) == read_all(clone) and store.verify() == []


def test_compaction_and_gc_go_along(store: PartStore, folder: str, tmp_path: Path) -> None:
    add_items(store, *"xyz")
    store.publish(folder)
    clone = cloned(folder, tmp_path / "clone")
    store.compact()
    store.untag("done")
    store.gc(grace_seconds=0, keep_versions=1)
    before = read_state(store)
    store.publish(folder)
    PartStore.clone(folder, clone.path)
    assert read_state(clone) == before and clone.snapshot().digest == store.snapshot().digest
    assert clone.compact().versions == 0 and clone.verify() == []
    fresh = cloned(folder, tmp_path / "fresh")
    assert read_state(fresh) == before
    assert len(list((fresh.path / "parts/items").iterdir())) == len(
        fresh.snapshot().items
    )  # nothing old came along


def test_what_gc_gave_up_here_comes_back_when_it_is_needed(
    store: PartStore, folder: str, tmp_path: Path
) -> None:
    add_scores(store, "one", "one", 1.0)
    store.publish(folder)
    clone = cloned(folder, tmp_path / "clone")
    add_scores(store, "two", "two", 2.0)
    store.publish(folder)
    PartStore.clone(folder, clone.path)
    clone.untag("done")
    clone.gc(grace_seconds=0, keep_versions=1)
    store.commit(Changes("back", "back", columns=[store_workload.column_set("one")]))
    store.publish(folder)
    PartStore.clone(folder, clone.path)
    assert read_state(clone) == read_state(store) and clone.verify() == []


def test_a_missing_file_is_fetched_again(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    clone = cloned(folder, tmp_path / "clone")
    (clone.path / clone.snapshot().items[0].path).unlink()
    _, report = PartStore.clone(folder, clone.path)
    assert report.files == 1 and clone.verify() == [] and read_all(clone) == read_all(store)


def test_an_empty_store_has_nothing_to_publish(folder: str, tmp_path: Path) -> None:
    empty = PartStore.create(tmp_path / "empty")
    assert str(empty.publish(folder)) == "version 0 is published already"
    with pytest.raises(StoreNotFoundError, match="nothing is published"):
        PartStore.clone(folder, tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


def test_it_works_from_the_front_door(store: PartStore, folder: str, tmp_path: Path) -> None:
    with curate.open(store.path) as opened:
        assert opened.publish(folder).version == 7
    with curate.clone(folder, tmp_path / "clone") as opened:
        assert len(opened) == store.snapshot().rows


# --- Two at once -----------------------------------------------------------------------------------------


def rival(store: PartStore, url: str, tmp_path: Path) -> PartStore:
    """A clone and its original, each with a version 8 of its own."""
    store.publish(url)
    other = cloned(url, tmp_path / "rival")
    add_items(store, "mine")
    add_items(other, "theirs")
    return other


def test_the_slower_of_two_publishers_is_told(
    store: PartStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rival(store, url, tmp_path)
    plain = publishing._upload

    def upload(*args: Any) -> None:
        plain(*args)
        monkeypatch.setattr(publishing, "_upload", plain)
        other.publish(url)  # between our files and our manifest

    monkeypatch.setattr(publishing, "_upload", upload)
    with pytest.raises(
        ConflictError, match=r"another publisher was faster: version 8 at .* is 'import', committed"
    ):
        store.publish(url)
    with pytest.raises(ConflictError, match="went different ways: version 8 there is"):
        store.publish(url)
    with pytest.raises(ConflictError, match="went different ways"):
        PartStore.clone(url, store.path)
    assert read_all(cloned(url, tmp_path / "clone")) == read_all(other)
    assert "mine-1" in read_state(store) and store.verify() == []


def test_of_many_publishers_one_makes_the_version(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    stores = [cloned(folder, tmp_path / f"clone{n}") for n in range(4)]
    for n, each in enumerate(stores):
        add_items(each, f"by{n}")
    gate, ends = threading.Barrier(len(stores)), list[str]()

    def run(each: PartStore) -> None:
        gate.wait()
        try:
            each.publish(folder)
            ends.append("done")
        except ConflictError:
            ends.append("conflict")

    threads = [threading.Thread(target=run, args=(each,)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["conflict", "conflict", "conflict", "done"]
    last = cloned(folder, tmp_path / "last")
    assert sum(read_all(last) == read_all(each) for each in stores) == 1


def test_an_answer_that_was_lost_is_no_conflict(
    store: PartStore, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FolderRemote.create
    monkeypatch.setattr(FolderRemote, "create", lambda self, key, data: plain(self, key, data) and False)
    assert store.publish(folder).manifests == 7


def test_another_store_is_not_overwritten(store: PartStore, folder: str, tmp_path: Path) -> None:
    store.publish(folder)
    other = PartStore.create(tmp_path / "other")
    with pytest.raises(ConflictError, match="holds another store"):
        other.publish(folder)
    add_items(other, "a")
    with pytest.raises(ConflictError, match="holds another store"):
        other.publish(folder)
    with pytest.raises(ConflictError, match="holds another store"):
        PartStore.clone(folder, other.path)
    assert len(read_state(other)) == ROWS


# --- Interrupted -----------------------------------------------------------------------------------------

PUBLISHING = {"publish.part": 5, "publish.manifest": 7, "publish.write": 20, "publish.fsync": 20}
CLONING = {"clone.part": 5, "clone.commit": 1, "part.write": 5, "part.rename": 5, "manifest.rename": 3}


@pytest.mark.crash
@pytest.mark.parametrize(
    "place", [f"{name}:{n}" for name, most in PUBLISHING.items() for n in sorted({1, most})]
)
def test_publishing_goes_on_after_a_kill(store: PartStore, folder: str, tmp_path: Path, place: str) -> None:
    store.publish(folder)
    add_items(store, "new")
    add_scores(store, "new scores")
    if not place.endswith(":1"):  # begin anew, so that every place is come by often enough
        shutil.rmtree(folder)

    def fail() -> None:
        failpoints.arm(f"{place}:exit")
        PartStore.open(store.path).publish(folder)

    assert store_workload.in_child(fail) == 99
    try:
        seen = cloned(folder, tmp_path / "meanwhile")
        assert tokens(seen) == tokens(store)[: seen.snapshot().version]
    except (StoreNotFoundError, StoreError):
        pass  # nothing whole is there yet
    store.publish(folder)
    assert read_all(cloned(folder, tmp_path / "clone")) == read_all(store)


@pytest.mark.crash
@pytest.mark.parametrize(
    "place", [f"{name}:{n}" for name, most in CLONING.items() for n in sorted({1, most})]
)
def test_cloning_goes_on_after_a_kill(store: PartStore, folder: str, tmp_path: Path, place: str) -> None:
    store.publish(folder)

    def fail() -> None:
        failpoints.arm(f"{place}:exit")
        PartStore.clone(folder, tmp_path / "clone")

    assert store_workload.in_child(fail) == 99
    assert read_all(cloned(folder, tmp_path / "clone")) == read_all(store)


def test_a_clone_takes_the_newest_version_that_is_whole(store: PartStore, url: str, tmp_path: Path) -> None:
    store.publish(url)
    old = read_all(store)
    add_items(store, "new")
    remote = open_remote(url)
    publishing._create_manifest(store, remote, 8)  # no honest publisher does that before the parts are there
    clone, report = PartStore.clone(url, tmp_path / "clone")
    assert report.version == 7 and "1 later one is not whole yet" in str(report)
    assert read_all(clone) == old and clone.verify() == []
    store.publish(url)
    PartStore.clone(url, clone.path)
    assert read_all(clone) == read_all(store)


def test_a_file_that_was_cut_short_is_sent_again(store: PartStore, url: str, tmp_path: Path) -> None:
    store.publish(url)
    key = store.snapshot().items[0].path
    remote = open_remote(url)
    remote.put(key, remote.read(key)[:-1])
    with pytest.raises(StoreError, match=f"no published version is whole; {key} is missing"):
        PartStore.clone(url, tmp_path / "clone")
    assert store.publish(url).files == 1
    assert read_all(cloned(url, tmp_path / "clone")) == read_all(store)
