"""The second line of defence: what DuckDB itself refuses, had something passed the allow-list."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest
from store_examples import add, captions, ids, new_store

from curate.errors import CorruptionError, CurateError, InputError
from curate.store import PartStore
from curate.store.engine import Engine, blank_cursor, default_memory, engine, translated
from curate.store.view import StoreView


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    store = new_store(tmp_path)
    add(store, captions(["a", "b"]))
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    return store


READS = [
    "SELECT * FROM read_text('{outside}/secret.txt')",
    "SELECT * FROM read_blob('{outside}/secret.txt')",
    "SELECT * FROM read_csv('{outside}/secret.csv')",
    "SELECT * FROM sniff_csv('{outside}/secret.csv')",
    "SELECT * FROM '{outside}/secret.csv'",
    "SELECT * FROM read_json('{outside}/secret.txt')",
    "SELECT * FROM read_parquet('{outside}/x.parquet')",
    "SELECT * FROM glob('{outside}/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_text('{root}/parts/../../secret.txt')",
    "SELECT * FROM read_text('{root}/parts/items/../../../secret.txt')",
    "SELECT * FROM read_text('{root}/catalog.sqlite')",
    "SELECT * FROM read_text('{root}/STORE.json')",
    "SELECT * FROM read_text('{root}/parts/link.txt')",
    "SELECT * FROM read_text('{root}/parts/folder/secret.txt')",
    "SELECT * FROM read_text('file://{outside}/secret.txt')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
]
WRITES = [
    "COPY (SELECT 1) TO '{outside}/written.csv'",
    "COPY (SELECT 1) TO '{root}/catalog.sqlite'",
    "COPY (SELECT 1) TO '{root}/parts/../manifests/1.json'",
    "EXPORT DATABASE '{outside}/export'",
    "ATTACH '{outside}/new.db'",
    "ATTACH '{root}/catalog.sqlite' (TYPE sqlite)",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{outside}/x.duckdb_extension'",
]
SETTINGS = [
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET allowed_directories = ['/']",
    "SET memory_limit = '64GB'",
    "SET temp_directory = '/tmp'",
    "SET python_enable_replacements = true",
    "RESET allowed_directories",
    "PRAGMA threads = 64",
]


@pytest.mark.parametrize("query", READS + WRITES + SETTINGS)
def test_duckdb_itself_refuses(store: PartStore, tmp_path: Path, query: str) -> None:
    (store.path / "parts" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (store.path / "parts" / "folder").symlink_to(tmp_path, target_is_directory=True)
    catalog = (store.path / "catalog.sqlite").read_bytes()
    with pytest.raises(CurateError), engine(store.path).cursor() as cursor:
        cursor.execute(query.format(outside=tmp_path, root=os.path.realpath(store.path))).fetchall()
    assert (store.path / "catalog.sqlite").read_bytes() == catalog
    assert {p.name for p in tmp_path.iterdir()} == {"s", "secret.txt", "secret.csv"}


def test_a_query_over_a_view_cannot_leave_the_store(store: PartStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="may only read this store's parts"):
        store.view().sql(f"select * from view, read_text('{tmp_path}/secret.txt')", ["id"])


def test_python_variables_are_out_of_sight(store: PartStore) -> None:
    frame = store.view().to_polars()
    assert len(frame) == 2
    with pytest.raises(InputError, match="frame does not exist"):
        store.view().sql("select * from frame", ["id"])


def test_views_of_one_call_are_gone_in_the_next(store: PartStore) -> None:
    store.view().sql("select 1 from view", ["id"])
    with pytest.raises(InputError, match="view does not exist"), engine(store.path).cursor() as cursor:
        cursor.execute("select * from view")


def test_memory_limit_is_a_parameter(store: PartStore) -> None:
    with Engine(store.path, "64MB").cursor() as cursor:
        assert cursor.execute("select current_setting('memory_limit')").fetchone() == ("61.0 MiB",)
    n = 400_000
    add(store, captions([f"caption {i:09d}" * 10 for i in range(n)], [f"n{i:07d}" for i in range(n)]))
    small = StoreView.over(store, store.snapshot(), memory="40MB")
    query = "select count(*) as n from (select distinct caption || 'x', caption || 'y' from view)"
    try:  # either it fits by spilling, or the error says what to do
        assert small.sql(query, ["caption"]).to_pylist() == [{"n": n + 2}]
        spilled = True
    except CurateError as error:
        assert "CURATE_MEMORY" in str(error)
        spilled = False
    assert spilled or StoreView.over(store, store.snapshot()).sql(query, ["caption"]).to_pylist() == [
        {"n": n + 2}
    ]


def test_memory_is_an_amount_for_each_core_or_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATE_MEMORY", raising=False)
    monkeypatch.setattr("curate.store.engine._cores", lambda: 1)
    monkeypatch.setattr("curate.store.engine._machine_memory", lambda: 8000)
    assert default_memory() == default_memory(10_000_000) == "200MB"
    assert default_memory(10_000_001) == "400MB" and default_memory(95_000_000) == "2000MB"
    assert default_memory(10**9) == "4000MB"
    monkeypatch.setattr("curate.store.engine._cores", lambda: 64)
    assert default_memory() == default_memory(95_000_000) == "6400MB"
    monkeypatch.setenv("CURATE_MEMORY", "2GB")
    assert default_memory() == "2GB"
    monkeypatch.setenv("CURATE_MEMORY", "plenty")
    with pytest.raises(InputError, match="'plenty' is no amount of memory"):
        default_memory()


def test_too_little_memory_half_way_through_a_stream_says_what_to_do() -> None:
    with pytest.raises(CurateError, match="set CURATE_MEMORY"), translated():
        raise OSError("Out of Memory Error: failed to pin block of size 256.0 KiB")
    with pytest.raises(CorruptionError), translated():
        raise OSError("read error")


def test_ctrl_c_while_duckdb_works_is_no_failed_query() -> None:
    with pytest.raises(KeyboardInterrupt), translated():
        raise RuntimeError("Query interrupted")
    with pytest.raises(KeyboardInterrupt), blank_cursor():
        raise RuntimeError("Query interrupted")
    with pytest.raises(RuntimeError, match="another"), translated():
        raise RuntimeError("another")


def test_one_engine_per_store(store: PartStore) -> None:
    assert engine(store.path) is engine(Path(f"{store.path}/../{store.path.name}"))
    assert engine(store.path) is not engine(store.path, "1GB")


def test_a_store_reached_through_a_link(store: PartStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store.path, target_is_directory=True)
    assert ids(PartStore.open(tmp_path / "link").view()) == ["i0000", "i0001"]


def test_a_missing_part_is_damage_not_a_mistake_of_the_caller(store: PartStore) -> None:
    shutil.rmtree(store.path / "parts" / "items")
    with pytest.raises(CorruptionError, match="curate verify"):
        store.view().to_arrow()


def test_a_damaged_part_is_damage_too(store: PartStore) -> None:
    part = store.snapshot().items[0]
    (store.path / part.path).write_bytes(b"no parquet")
    with pytest.raises(CorruptionError, match="curate verify"):
        store.view().to_arrow()


def test_values_that_cannot_be_read_as_numbers(store: PartStore) -> None:
    with pytest.raises(InputError, match=r"Could not convert string 'a' to INT32; try_cast"):
        store.view().where("cast(caption as int) > 1").to_arrow()
    with pytest.raises(InputError, match="Could not convert string 'a'"):
        list(store.view().where("cast(caption as int) > 1").batches())
    assert len(store.view().where("try_cast(caption as int) > 1")) == 0


def test_importing_views_does_not_import_duckdb() -> None:
    import subprocess
    import sys

    code = (
        "import sys, curate.store.view, curate.store.expression; "
        "sys.exit(any(m in sys.modules for m in ('duckdb', 'sqlglot', 'polars', 'pandas', 'datasets')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
    assert duckdb.__version__
