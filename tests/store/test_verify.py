"""Damage of any kind, to any file, is found; a lost catalog comes back."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import store_workload

from curate.errors import CorruptionError, StoreError, StoreFormatError
from curate.store import Changes, PartStore, Problem
from curate.store import manifest as manifests

FILES = {
    "items": "parts/items/*.parquet",
    "column": "parts/column/*.parquet",
    "vector": "parts/vector/*.arrow",
    "selection": "parts/selection/*.parquet",
    "deleted": "parts/deleted/*.parquet",
    "rejected": "parts/rejected/*.parquet",
    "pack": "blobs/*.pack",
    "manifest": "manifests/0000000003.json",
    "tags": "manifests/tags.json",
    "run": "manifests/runs/*.json",
    "format": "STORE.json",
    "catalog": "catalog.sqlite",
}
OPTIONAL = ("tags", "run")  # copies that nothing depends on: only rebuild reads them, if they are there


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("healthy") / "store"
    store_workload.play(root).close()
    return root


@pytest.fixture
def copy(healthy: Path, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        return Path(shutil.copytree(healthy, tmp_path / "store"))

    return make


def find(root: Path, what: str) -> Path:
    needed = {p.path for p in all_parts(root)} if what in ("items", "column", "vector") else None
    paths = sorted(root.glob(FILES[what]))
    return next(p for p in paths if needed is None or p.relative_to(root).as_posix() in needed)


def all_parts(root: Path) -> list[Any]:
    with PartStore.open(root) as store:
        snapshot = store.snapshot()
        return [*snapshot.items, *(p for parts in snapshot.aligned.values() for p in parts)]


def check(root: Path) -> list[Problem]:
    """What opening or verifying finds."""
    try:
        with PartStore.open(root) as store:
            return store.verify()
    except CorruptionError as error:
        return [Problem("catalog", "catalog.sqlite", str(error))]
    except StoreFormatError as error:
        return [Problem("store", "STORE.json", str(error))]


def truncate(data: bytes, keep: float) -> bytes:
    return data[: min(len(data) - 1, int(len(data) * keep))]


def flip(data: bytes, rng: random.Random) -> bytes:
    position = rng.randrange(len(data))
    return data[:position] + bytes([data[position] ^ (1 << rng.randrange(8))]) + data[position + 1 :]


def zero_tail(data: bytes, length: int) -> bytes:
    length = min(length, len(data))
    return data[:-length] + bytes(length)


def damages(data: bytes, seed: int) -> list[tuple[str, bytes]]:
    rng = random.Random(seed)
    found = [(f"cut to {keep}", truncate(data, keep)) for keep in (1.0, 0.5, 0.0)]
    found += [(f"last {n} zero", zero_tail(data, n)) for n in (16, len(data) // 2)]
    found += [(f"flip {i}", flip(data, rng)) for i in range(12)]
    return [*found, ("longer", data + b"\0")]


def test_a_healthy_store_has_no_problems(healthy: Path) -> None:
    assert check(healthy) == []
    assert store_workload.check(PartStore.open(healthy)) == []


@pytest.mark.parametrize("what", [w for w in FILES if w != "catalog"])
def test_every_damage_is_found(copy: Callable[[], Path], what: str) -> None:
    path = find(copy(), what)
    data = path.read_bytes()
    for name, bad in damages(data, seed=3):
        assert bad != data
        path.write_bytes(bad)
        found = check(path.parents[len(Path(FILES[what]).parts) - 1])
        assert [p.path for p in found] == [Path(FILES[what]).parent.joinpath(path.name).as_posix()], (
            name,
            found,
        )
        path.write_bytes(data)
    path.unlink()
    if what == "format":
        with pytest.raises(StoreError, match=r"no STORE\.json"):
            PartStore.open(path.parent)
    elif what not in OPTIONAL:
        assert len(check(path.parents[len(Path(FILES[what]).parts) - 1])) == 1


def test_shallow_verify_sees_size_but_not_bits(copy: Callable[[], Path]) -> None:
    root = copy()
    path = find(root, "items")
    data = path.read_bytes()
    path.write_bytes(flip(data, random.Random(1)))
    with PartStore.open(root) as store:
        assert store.verify(deep=False) == []
        assert [p.kind for p in store.verify()] == ["damaged"]
        path.write_bytes(data[:-1])
        assert [p.kind for p in store.verify(deep=False)] == ["size"]


def rows_of(path: Path) -> dict[str, list[Any]]:
    """All that the catalog says; who is writing does not matter."""
    con = sqlite3.connect(path)
    tables = [
        r[0] for r in con.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'lease'")
    ]
    rows = {t: sorted(map(repr, con.execute(f"SELECT * FROM {t}"))) for t in tables}
    con.close()
    return rows


def test_catalog_damage_is_found_or_without_effect(copy: Callable[[], Path]) -> None:
    """A flipped bit in a page's unused space changes nothing and cannot be found; every other one must be."""
    root = copy()
    path = root / "catalog.sqlite"
    data, rows, rng = path.read_bytes(), rows_of(path), random.Random(17)
    found = 0
    used = [i for i, byte in enumerate(data) if byte]
    flips = [(rng.choice(used), 1 << rng.randrange(8)) for _ in range(250)]
    damaged = [(f"flip at {i}", data[:i] + bytes([data[i] ^ bit]) + data[i + 1 :]) for i, bit in flips]
    damaged += [(n, d) for n, d in damages(data, seed=4) if not n.startswith("flip")]
    for name, bad in damaged:
        path.write_bytes(bad)
        (root / "catalog.sqlite-journal").unlink(missing_ok=True)
        if check(root):
            found += 1
        else:
            assert len(bad) == len(data) and rows_of(path) == rows, name
    assert found >= 150


@pytest.mark.parametrize("how", ["gone", "garbage", "cut", "flipped"])
def test_rebuild_brings_back_everything(copy: Callable[[], Path], how: str) -> None:
    root = copy()
    path = root / "catalog.sqlite"
    data, before = path.read_bytes(), rows_of(path)
    with PartStore.open(root) as store:
        history, state = store.history(), store_workload.read_state(store)
    path.unlink()
    bad = {
        "garbage": b"not a catalog",
        "cut": data[: len(data) // 3],
        "flipped": data[:100] + bytes(4096) + data[4196:],
    }
    if how != "gone":
        path.write_bytes(bad[how])
    (root / "catalog.sqlite-journal").write_bytes(b"a journal of the old catalog")
    with pytest.raises(CorruptionError, match="rebuild"):
        PartStore.open(root).snapshot()
    with PartStore.rebuild(root) as store:
        assert store.verify() == []
        assert store_workload.check(store) == []
        assert store.history() == history and store_workload.read_state(store) == state
        store.commit(Changes("note", "after the rebuild"))
        assert store.snapshot().version == history[0]["version"] + 1
    after = rows_of(path)
    assert {t: after[t] for t in ("schema", "part", "column_set", "binding", "selection", "step", "run")} == {
        t: before[t] for t in ("schema", "part", "column_set", "binding", "selection", "step", "run")
    }
    assert (root / "damaged-1.sqlite").exists() == (how != "gone")
    assert not (root / "catalog.sqlite-journal").exists()


def test_rebuild_refuses_to_lose_versions(copy: Callable[[], Path]) -> None:
    root = copy()
    (root / "catalog.sqlite").unlink()
    path = manifests.path_of(root, 4)
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    with pytest.raises(CorruptionError, match=r"0000000004\.json damaged or missing"):
        PartStore.rebuild(root)
    path.unlink()
    with pytest.raises(CorruptionError, match=r"0000000004\.json \(missing\)"):
        PartStore.rebuild(root)
    path.write_bytes(data)
    assert PartStore.rebuild(root).verify() == []


def test_rebuild_refuses_manifests_that_lag_behind(copy: Callable[[], Path]) -> None:
    root = copy()
    manifests.path_of(root, 7).unlink()
    with pytest.raises(CorruptionError, match="knows 7 versions, manifests/ describe 6"):
        PartStore.rebuild(root)
    shutil.rmtree(root / "manifests")
    (root / "catalog.sqlite").unlink()
    with pytest.raises(CorruptionError, match="manifests/ is empty"):
        PartStore.rebuild(root)


def test_a_lost_manifest_is_written_again(copy: Callable[[], Path]) -> None:
    root = copy()
    newest, older = manifests.path_of(root, 7), manifests.path_of(root, 2)
    kept = {path: path.read_bytes() for path in (newest, older)}
    newest.unlink()
    older.unlink()
    with PartStore.open(root) as store:
        assert newest.read_bytes() == kept[newest]  # opening looks at the newest
        assert [p.kind for p in store.verify()] == ["manifest"]
        store.gc()
        assert older.read_bytes() == kept[older]  # gc at all of them
        assert store.verify() == []


def test_rebuild_mends_store_json(copy: Callable[[], Path]) -> None:
    root = copy()
    good = (root / "STORE.json").read_bytes()
    (root / "STORE.json").write_text("{")
    with pytest.raises(StoreFormatError, match="damaged"):
        PartStore.open(root)
    assert PartStore.rebuild(root).verify() == []
    assert (root / "STORE.json").read_bytes() == good


def test_a_problem_reads_as_a_sentence() -> None:
    damaged = Problem(
        "size", "parts/items/a.parquet", "parts/items/a.parquet holds 3 bytes, 484 were committed"
    )
    assert str(damaged) == "size: parts/items/a.parquet holds 3 bytes, 484 were committed"
    assert str(Problem("catalog", "catalog.sqlite", "gone")) == "catalog: catalog.sqlite: gone"
    assert str(Problem("versions", "", "7 is missing")) == "versions: 7 is missing"
