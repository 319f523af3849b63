"""What a worker sees of a store: the excerpt that its task brings, and files that come from where it is published."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import store_workload
from store_workload import add_items, add_scores, column_set

from curate.errors import CorruptionError, StoreError
from curate.store import Changes, PartStore, PartWriter, StoreView, places
from curate.store.excerpt import excerpts, files_of
from curate.store.places import PublishedPlace, StoreFolder, open_place, open_shared
from curate.store.remote import open_remote

NAMES = ["id", "text", "quality", "embedding"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartStore]:
    """Eight parts of two schemas; the second has no scores at all, the others scores and vectors."""
    with PartStore.create(tmp_path / "store") as made:
        add_items(made, "bare")
        add_items(made, "a", "b", "c")
        with made.writer() as writer:
            odd = store_workload.item_table("odd").append_column("width", pa.array(range(6), pa.int64()))
            made.commit(Changes("import", "odd", add=[writer.items(odd, "instruction")]))
        made_set = column_set()
        with made.writer() as writer:
            scored = [store_workload.score_part(writer, p, made_set) for p in made.snapshot().items[1:]]
            made.commit(
                Changes("score", "s", add=[new for some in scored for new in some], columns=[made_set])
            )
        yield made


@pytest.fixture
def url(store: PartStore, tmp_path: Path) -> str:
    found = places.address(str(tmp_path / "published"))
    store.publish(found)
    return found


@pytest.fixture
def place(url: str) -> Iterator[PublishedPlace]:
    made = PublishedPlace(url)
    yield made
    places._remove(made.path, os.getpid())


def read(home: object, snapshot: object, part: object, names: list[str]) -> list[pa.RecordBatch]:
    rows = np.array([0, 2, 5])
    return list(StoreView.over(home, snapshot).at(part.seq_lo + rows).batches(names))  # type: ignore[arg-type,attr-defined]


def test_an_excerpt_reads_as_the_whole_does(store: PartStore) -> None:
    whole = store.snapshot()
    for names in (NAMES, ["text"], ["id", "quality"], ["width", "embedding"]):
        of = excerpts(whole, names)
        for part in whole.items:
            small = pickle.loads(pickle.dumps(of(part)))  # noqa: S301
            assert read(StoreFolder(store.path), small, part, names) == read(store, whole, part, names)


def test_an_excerpt_is_small_however_large_the_store_is(store: PartStore) -> None:
    add_items(store, *(f"more{i}" for i in range(30)))
    add_scores(store, "again")
    whole = store.snapshot()
    last = whole.items[-1]
    small = excerpts(whole, ["text", "embedding"])(last)
    assert len(small.items) <= 4 and last in small.items
    assert [p.seq_lo for p in small.items] == sorted(p.seq_lo for p in small.items)
    assert {p.table for p in files_of(small, last)} == {"items", "column", "vector"}
    assert [p.table for p in files_of(excerpts(whole, ["text"])(last), last)] == ["items"]


def test_rows_are_read_and_parts_handed_in_where_the_store_is_published(
    store: PartStore, url: str, place: PublishedPlace
) -> None:
    whole, made = store.snapshot(), column_set("other")
    for part in whole.items[1:3]:
        small = excerpts(whole, NAMES)(part)
        with place.holding(files_of(small, part)):
            assert read(place, small, part, NAMES) == read(store, whole, part, NAMES)
            new = store_workload.score_part(PartWriter(place.path, "w"), part, made, 9.0)
        place.hand_in(new)
        with store.writer() as writer:
            assert not any((store.path / p.path).exists() for p in new)
            places.receive(writer, open_remote(url), new)
            store.commit(Changes("score", part.part_id, add=new, columns=[made]))
    assert store.verify() == []
    assert [p for p in place.path.rglob("*") if p.is_file()] == [], "nothing is kept between tasks"


def test_packed_media_come_along(tmp_path: Path) -> None:
    store = store_workload.play(tmp_path / "store")
    url = places.address(str(tmp_path / "published"))
    store.publish(url)
    whole = store.snapshot()
    part = next(p for p in whole.items if p.stats.get("packs"))
    place = PublishedPlace(url)
    small = excerpts(whole, ["image"])(part)
    with place.holding(files_of(small, part)):
        (batch,) = StoreView.over(place, small).at(np.array([part.seq_lo])).batches(["image"])
        path, _, where = batch.column("image")[0].as_py().partition("#bytes=")
        offset, length = map(int, where.split(","))
        assert Path(path).is_relative_to(place.path)
        assert Path(path).read_bytes()[offset : offset + length] == b"bytes of item 0"
    assert not Path(path).exists()
    (table,) = StoreView.over(place, small).at(np.array([part.seq_lo])).to_arrow(["image"]).to_pylist()
    assert table["image"] == f"{path}#bytes={where}" and Path(path).exists(), "also where nobody holds them"
    places._remove(place.path, os.getpid())


def test_what_is_read_comes_and_stays_while_there_is_room(
    store: PartStore, url: str, place: PublishedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def there() -> set[str]:
        return {str(p.relative_to(place.path)) for p in (place.path / "parts").rglob("*") if p.is_file()}

    whole = store.snapshot()
    first, second = whole.items[1:3]
    assert read(place, whole, first, ["id", "text"]) == read(store, whole, first, ["id", "text"])
    assert there() == {first.path}, "of what was asked for alone"
    files = {p.path: p.bytes for p in files_of(whole, first)}
    view = StoreView.over(place, whole).at(np.array([first.seq_lo]))
    mapped = view.vectors("embedding")
    assert there() == {first.path}, "nor before it is touched"
    assert mapped.to_numpy().shape == (1, mapped.shape[1])
    assert read(place, whole, first, NAMES) == read(store, whole, first, NAMES)
    assert there() == set(files) and len(files) == 3
    read(place, whole, second, ["text"])
    with place.holding(files_of(whole, first)):
        read(place, whole, first, NAMES)
    place.tidy()
    assert there() == {*files, second.path}, "holding takes nothing away that was there"
    monkeypatch.setattr(places, "KEEP", sum(files.values()))
    places.tidy()
    place.tidy()
    assert there() == set(files), "the one unused for longest went"
    assert mapped.take(np.array([0])).shape[0] == 1
    monkeypatch.setattr(places, "KEEP", 0)
    place.tidy()
    assert there() == set()
    assert mapped.take(np.array([0])).shape[0] == 1, "what is mapped stays"


def test_what_was_damaged_on_the_way_is_not_worked_on(
    store: PartStore, tmp_path: Path, place: PublishedPlace
) -> None:
    part = store.snapshot().items[0]
    file = tmp_path / "published" / part.path
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptionError, match="is not what was published"), place.holding([part]):
        raise AssertionError("it came")
    file.unlink()
    with pytest.raises(StoreError, match=f"{part.path} is not at file://"), place.holding([part]):
        raise AssertionError("it came")
    assert not any(p.is_file() for p in place.path.rglob("*"))


def test_what_a_worker_hands_in_is_checked(store: PartStore, url: str, tmp_path: Path) -> None:
    with store.writer() as writer:
        (new, *_) = store_workload.score_part(writer, store.snapshot().items[0], column_set("x"))
        (store.path / new.path).rename(tmp_path / "kept")
        target = tmp_path / "published" / new.path
        target.write_bytes(b"x" * new.bytes)
        with pytest.raises(CorruptionError, match="is not what was published"):
            places.receive(writer, open_remote(url), [new])
        (tmp_path / "kept").rename(target)
        places.receive(writer, open_remote(url), [new])
        assert (store.path / new.path).read_bytes() == target.read_bytes()
        outside = replace(new, path="parts/column/../../../../x.parquet")
        with pytest.raises(CorruptionError, match="where no part lies"):
            places.receive(writer, open_remote(url), [outside])


def test_the_folder_of_a_worker_that_was_killed_is_removed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = PublishedPlace(url)
    name = first.path.name
    gone = first.path.with_name(name.replace(f"-{os.getpid()}-", "-999999999-"))
    (gone / "parts").mkdir(parents=True)
    foreign = first.path.with_name("curate-worker-00000000-1-2-x")
    foreign.mkdir()
    second = PublishedPlace(url)
    assert first.path.exists() and second.path.exists() and first.path != second.path
    assert not gone.exists() and foreign.exists()
    foreign.rmdir()
    for place in (first, second):
        places._remove(place.path, os.getpid() + 1)
        assert place.path.exists(), "a child does not take its parent's"
        places._remove(place.path, os.getpid())
        assert not place.path.exists()
    assert first.path.parent == Path(tempfile.gettempdir())


def test_places_by_their_names(tmp_path: Path, url: str) -> None:
    assert isinstance(open_place(str(tmp_path)), StoreFolder)
    assert open_place(str(tmp_path)).path == tmp_path
    assert places.address("s3://b/x") == "s3://b/x"
    assert places.address(str(tmp_path / "p")) == f"file://{tmp_path.resolve()}/p"


def test_a_shared_store_is_made_cloned_or_brought_up_to_date(
    store: PartStore, url: str, tmp_path: Path
) -> None:
    with (
        open_shared(tmp_path / "none", None) as new,
        open_shared(tmp_path / "new", str(tmp_path / "x")) as other,
    ):
        assert new.snapshot().version == other.snapshot().version == 0
    with open_shared(tmp_path / "clone", url) as clone:
        assert clone.snapshot().digest == store.snapshot().digest
    add_items(store, "later")
    store.publish(url)
    with open_shared(tmp_path / "clone", url) as clone:
        assert clone.snapshot().digest == store.snapshot().digest and clone.verify() == []
