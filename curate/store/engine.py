"""A DuckDB that can do nothing but read one store's parts.

DuckDB is the query engine, never the system of record. Its connection is in memory, sees the files under `parts/`
and its own spill folder, and nothing else: no other path, no extension, no Python variable, and its configuration
is locked. That is the second line of defence behind the allow-list of `expression.py`.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.errors import CorruptionError, CurateError, InputError, StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PER_CORE = 100
"""MB that DuckDB may hold for each core it works on: with less its threads get in each other's way."""
PER_TEN_MILLION = 200
"""MB that it may hold for every ten million rows: a sort that spills needs a block of each run at once, and fails without."""

MANY = 64
"""Files after which memory is handed back: that takes about as long as opening a few."""


def default_memory(rows: int = 0) -> str:
    """What DuckDB may hold before it spills to `tmp/`: CURATE_MEMORY where that is set, else 100 MB a core, 200 at least;
    for more than ten million `rows` 200 MB for every ten million, up to half of the machine's. The process needs about
    120 MB beside it. Small on purpose: a longer table takes time rather than memory.

    Raises InputError where CURATE_MEMORY is no amount.
    """
    asked = os.environ.get("CURATE_MEMORY", "").strip()
    if asked and not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", asked, re.IGNORECASE):
        raise InputError(f"CURATE_MEMORY={asked!r} is no amount of memory; write it like 500MB or 2GB")
    usual = max(2, _cores()) * PER_CORE
    long = min(-(-rows // 10_000_000) * PER_TEN_MILLION, _machine_memory() // 2)
    return asked or f"{max(usual, long)}MB"


class Engine:
    """The DuckDB of one store. `cursor()` gives one thread a connection of its own onto the shared instance."""

    def __init__(self, root: Path, memory: str) -> None:
        self.root = Path(os.path.realpath(root))
        self.memory = memory
        self._lock = threading.Lock()
        self._connection: DuckDBPyConnection | None = None
        self._files = 0

    def closed(self, files: int) -> None:
        """So many item parts were read and are not read any more: hand memory back where they are many by now."""
        self._files += files
        if self._files >= MANY:
            self._files = 0
            give_back_memory()

    @contextmanager
    def cursor(self) -> Iterator[DuckDBPyConnection]:
        """A connection whose temporary views and variables are its own; DuckDB's errors come out as ours."""
        with translated():
            cursor = self.connect().cursor()
            try:
                yield cursor
            finally:
                cursor.close()

    def connect(self) -> DuckDBPyConnection:
        """The shared connection, made at the first call."""
        with self._lock:
            if self._connection is None:
                self._connection = _locked_down(self.root, self.memory)
            return self._connection

    def forget(self) -> None:
        """Start anew in a forked child. DuckDB's threads are gone there: even closing it would wait for them."""
        if self._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))  # never destroyed
        self._lock, self._connection = threading.Lock(), None


def _locked_down(root: Path, memory: str) -> DuckDBPyConnection:
    import duckdb

    spill = str(root / "tmp" / f"query-{os.getpid()}")
    seen = [quote_text(str(root / "parts")), quote_text(spill)]
    connection = duckdb.connect(":memory:")
    settings: Mapping[str, str] = {
        "memory_limit": quote_text(memory),
        "threads": str(_cores()),
        "temp_directory": quote_text(spill),
        "allowed_directories": f"[{', '.join(seen)}]",
        "preserve_insertion_order": "true",
        "python_enable_replacements": "false",
        "TimeZone": "'UTC'",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }
    with suppress(duckdb.Error):  # in a notebook without widgets there is no bar, and even "off" is refused
        connection.execute("SET enable_progress_bar = false")
    for name, value in settings.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _machine_memory() -> int:
    """MB that the machine has; those that do not tell are taken to have 4 GB."""
    names = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= names.keys():
        return 4096
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


_engines: dict[tuple[str, str], Engine] = {}
_engines_lock = threading.Lock()


def engine(root: Path, memory: str | None = None, rows: int = 0) -> Engine:
    """The process's one engine for this store and memory limit, by default that for `rows`: many views share it, and its
    limit."""
    key = (os.path.realpath(root), memory or default_memory(rows))
    with _engines_lock:
        if key not in _engines:
            _engines[key] = Engine(Path(key[0]), key[1])
        return _engines[key]


_blank = Engine(Path(os.devnull), "100MB")  # nothing lies under a file


@contextmanager
def blank_cursor() -> Iterator[DuckDBPyConnection]:
    """A connection that sees no file at all, for asking DuckDB about types. Its errors are DuckDB's own."""
    with _interruptible():
        cursor = _blank.connect().cursor()
        try:
            yield cursor
        finally:
            cursor.close()


def _after_fork() -> None:
    global _engines_lock
    _engines_lock = threading.Lock()
    for instance in (_blank, *_engines.values()):
        instance.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def translated() -> Iterator[None]:
    """Turn DuckDB's errors into curate's, each with the next step."""
    import duckdb

    try:
        with _interruptible():
            yield
    except duckdb.OutOfMemoryException as error:
        raise _too_little(error) from error
    except duckdb.PermissionException as error:
        raise InputError(f"a query may only read this store's parts: {_first_line(error)}") from error
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        # A file that is no Parquet file is an "invalid input" to DuckDB; for us it is a damaged part.
        damaged = isinstance(error, duckdb.InvalidInputException) and "arquet" in _first_line(error)
        raise (_damaged(error) if damaged else _refused(error)) from error
    except duckdb.IOException as error:
        raise _damaged(error) from error
    except duckdb.Error as error:
        raise StoreError(f"the query failed: {_first_line(error)}") from error
    except pa.ArrowException as error:
        raise _refused(error) from error  # the same errors, met half-way through a stream
    except OSError as error:
        raise (_too_little(error) if "Out of Memory" in str(error) else _damaged(error)) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C while DuckDB works comes out of it as an error of its own: make it what it is."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from error
        raise


def _too_little(error: Exception) -> CurateError:
    return CurateError(
        f"the query needs more memory than DuckDB may use here, and could not spill it: {_first_line(error)} "
        "Ask for fewer columns, or allow more: set CURATE_MEMORY, as in CURATE_MEMORY=2GB."
    )


def _damaged(error: Exception) -> CurateError:
    return CorruptionError(
        f"a part cannot be read: {_first_line(error)} Run `curate verify` to list what is damaged or missing."
    )


def _refused(error: Exception) -> CurateError:
    reason = re.sub(r" when casting from source column \w+", "", _first_line(error))
    hint = "; try_cast(... as ...) gives null instead" if "Could not convert" in reason else ""
    return InputError(f"the query cannot be run: {reason}{hint}")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def give_back_memory() -> None:
    """Hand freed memory back to the system, where the C library can: it keeps tens of MB of what queries over many files
    have freed, in pieces too small for it to let go of by itself."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def quote_text(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def duckdb_types(cursor: DuckDBPyConnection, schema: pa.Schema) -> list[str]:
    """DuckDB's name for the type of each field, found by asking DuckDB rather than by a table of our own."""
    if not len(schema):
        return []
    cursor.register(
        "_types", empty_table(pa.schema([pa.field(f"c{i}", f.type) for i, f in enumerate(schema)]))
    )
    try:
        rows: list[tuple[Any, ...]] = cursor.execute("DESCRIBE _types").fetchall()
    finally:
        cursor.unregister("_types")
    return [row[1] for row in rows]


def empty_table(schema: pa.Schema) -> pa.Table:
    """A table without rows that DuckDB can be shown. It reads half floats from Parquet, as floats, not from Arrow."""
    half = pa.types.is_float16
    fields = [pa.field(f.name, pa.float32() if half(f.type) else f.type) for f in schema]
    return pa.Table.from_batches([], pa.schema(fields))  # `Schema.empty_table` would import pandas
