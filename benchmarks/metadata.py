"""Metadata work at a million rows and more: ours against plain DuckDB, Polars and, where given, other peers.

    python benchmarks/metadata.py [--rows 1000000] [--folder DIR] [--repeats 3] [--peer daft=/path/python] [--markdown FILE]

Synthetic image-text metadata: id, url, caption (15 % exact repeats), width, height, score; and five more scores.
    filter-dedup   caption >= 30 characters, width and height >= 200, then one row per caption: the lowest id
    top            join five score columns, keep the 30 % of rows with the highest sum, ties by the lowest id
    add-score      add one more score column
Each tool reads what it would have: ours its store (parts of 8,192 rows, one file per part and score); the others one
Parquet file, and for `top` either five score files joined by id ("join") or one file that holds all ("wide"). Every run
is a process of its own, start-up and imports included ("job" leaves the imports out), and writes its result to Parquet;
row sets are compared. Memory is the peak over the process tree, also for the job with its spilling at 10M rows.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _metadata_peers
from _metadata_peers import FILTER, SCORES, SUM

COLUMNS = ["id", "url", "caption", "width", "height", "score"]
PART_ROWS = 8192


# --- Data ----------------------------------------------------------------------------------------------------------


def make(folder: Path, rows: int) -> None:
    """one.parquet, wide.parquet, s0..s4.parquet and a store, from a hash of the row number: no randomness."""
    import duckdb

    con = duckdb.connect()
    view_rows(con, rows)
    scores = ", ".join(f"(hash(id, 1{k}) % 1000003 / 1000003.0)::FLOAT AS s{k}" for k in range(5))
    con.execute(f"COPY (FROM made) TO '{folder}/one.parquet' (COMPRESSION zstd)")
    con.execute(
        f"COPY (SELECT *, {scores} FROM '{folder}/one.parquet') TO '{folder}/wide.parquet' (COMPRESSION zstd)"
    )
    for name in SCORES:
        con.execute(
            f"COPY (SELECT id, {name} FROM '{folder}/wide.parquet') TO '{folder}/{name}.parquet' (COMPRESSION zstd)"
        )
    fill_store(folder)


def view_rows(con: Any, rows: int) -> None:
    """The view `made`: so many rows of metadata."""
    con.execute("SET preserve_insertion_order = true")
    words = "['red','old','ship','tree','window','river','a','the','painting','of','dog','cat','mountain','at','night']"
    con.execute(
        f"""CREATE VIEW made AS SELECT printf('%016x', hash(i, 1)) AS id,
        'https://example.org/images/' || printf('%016x', hash(i, 2)) || '.jpg' AS url,
        array_to_string(list_transform(range((4 + hash(k, 3) % 9)::BIGINT),
            lambda j: {words}[1 + (hash(k, j) % 15)::BIGINT]), ' ') || ' ' || printf('%x', k) AS caption,
        (64 + hash(i, 4) % 1984)::INTEGER AS width, (64 + hash(i, 5) % 1984)::INTEGER AS height,
        (hash(i, 6) % 1000003 / 1000003.0)::FLOAT AS score
        FROM (SELECT i, CASE WHEN hash(i, 7) % 100 < 15 THEN (hash(i, 8) % greatest(i, 1)::UBIGINT)::BIGINT ELSE i END AS k
              FROM range({rows}) r(i))"""
    )


def fill_store(folder: Path) -> None:
    """The store, from wide.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from curate.store import Changes, PartStore

    store = PartStore.create(folder / "store")
    with store.writer() as writer:
        items = [
            writer.items(t.select(COLUMNS).rename_columns({"url": "image"}), "image-text")
            for t in _slices(pq.ParquetFile(folder / "wide.parquet"))
        ]
        store.commit(Changes("add", "items", add=items))
        for name in SCORES:
            set_ = _column_set(name)
            values = (
                pa.table({name: t[name]}, schema=set_.schema())
                for t in _slices(pq.ParquetFile(folder / "wide.parquet"))
            )
            parts = [
                p
                for t, base in zip(values, store.snapshot().items, strict=True)
                for p in writer.columns(t, base, set_)
            ]
            store.commit(Changes("score", name, add=parts, columns=[set_]))
    store.close()


def _slices(file: Any) -> Iterator[Any]:
    import pyarrow as pa

    for batch in file.iter_batches(batch_size=PART_ROWS * 16):
        table = pa.Table.from_batches([batch])
        for start in range(0, len(table), PART_ROWS):
            yield table.slice(start, PART_ROWS)


def _column_set(name: str) -> Any:
    import pyarrow as pa

    from curate.contracts import score
    from curate.store import ColumnSet

    return ColumnSet(name, f"digest-{name}", pa.schema([score(name)]).serialize().to_pybytes(), name, 1)


# --- Ours -----------------------------------------------------------------------------------------------------------


def curate_filter_dedup(folder: Path, out: Path) -> int:
    from curate.store import PartStore

    view = PartStore.open(folder / "store").view().where(FILTER).distinct("caption")
    return _write(view.batches(["id", "image", "caption", "width", "height", "score"]), out)


def curate_top(folder: Path, out: Path) -> int:
    from curate.store import PartStore

    view = PartStore.open(folder / "store").view()
    columns = ["id", *SCORES]
    query = f"SELECT {', '.join(columns)} FROM view ORDER BY {SUM} DESC, id LIMIT {round(0.3 * len(view))}"
    return _write(view.sql_batches(query, columns), out)


def curate_top_selector(folder: Path, out: Path) -> int:
    import numpy as np

    from curate.selectors.threshold.top import Top
    from curate.store import PartStore

    view = PartStore.open(folder / "store").view()
    chosen = view.at(view.seqs_at(Top(by=SUM).select(view, 0.3, np.random.default_rng(0)).index))
    return _write(chosen.batches(["id", *SCORES]), out)


def curate_add_score(folder: Path, out: Path) -> int:
    import numpy as np
    import pyarrow as pa

    from curate.store import Changes, PartStore

    store = PartStore.open(folder / "store")
    set_ = _column_set(f"new_{time.time_ns()}")
    random, schema, done, parts = np.random.default_rng(0), set_.schema(), 0, []
    with store.writer() as writer:
        for base in store.snapshot().items:
            values = pa.array(random.random(base.rows, np.float32))
            parts += writer.columns(pa.table([values], schema=schema), base, set_)
            done += base.rows
        store.commit(Changes("score", set_.name, add=parts, columns=[set_]))
        store.commit(Changes("drop", f"drop-{set_.name}", drop_columns=[set_.name]))
    return done


def _write(batches: Iterator[Any], out: Path) -> int:
    import pyarrow.parquet as pq

    rows, writer = 0, None
    for batch in batches:
        # Dictionaries only where values repeat, as the store itself writes.
        repeat = [n for n in ("width", "height") if n in batch.schema.names]
        writer = writer or pq.ParquetWriter(out, batch.schema, compression="zstd", use_dictionary=repeat)
        writer.write_batch(batch)
        rows += len(batch)
    if writer:
        writer.close()
    return rows


# --- Measuring ----------------------------------------------------------------------------------------------------------

JOBS: dict[str, list[str]] = {
    "filter-dedup": ["curate", "duckdb", "polars", "daft", "datatrove", "datajuicer"],
    "top": [
        "curate",
        "curate_selector",
        "duckdb_wide",
        "duckdb_join",
        "polars_wide",
        "polars_join",
        "daft_join",
    ],
    "add-score": ["curate", "duckdb", "polars"],
}


IMPORTS = {
    "curate": [
        "curate.store.view",
        "curate.store.store",
        "curate.selectors.threshold.top",
        "duckdb",
        "sqlglot",
    ],
    "duckdb": ["duckdb"],
    "polars": ["polars", "numpy", "pyarrow.parquet"],
    "daft": ["daft", "pyarrow.parquet"],
    "datatrove": ["datatrove", "pyarrow.parquet"],
    "datajuicer": [],
}
MORE_IMPORTS = {
    ("filter-dedup", "curate"): ["curate.store.view", "duckdb", "sqlglot"],
    ("top", "curate"): ["curate.store.view", "duckdb"],
    ("top", "curate_selector"): ["curate.store.view", "duckdb", "sqlglot", "curate.selectors.threshold.top"],
    ("add-score", "curate"): ["curate.store.writer"],
}
"""What is loaded before the job alone is timed: what it would load itself."""


def _function(job: str, tool: str) -> Callable[[Path, Path], int]:
    name, _, variant = tool.partition("_")
    found: Callable[[Path, Path], int] = {**vars(_metadata_peers), **globals()}[
        "_".join([name, job.replace("-", "_"), *filter(None, [variant])])
    ]
    return found


def run_one(job: str, tool: str, folder: Path) -> None:
    """In the measured process: do the job once and print rows and the seconds of the job itself."""
    for module in [*IMPORTS[tool.partition("_")[0]], *MORE_IMPORTS.get((job, tool), [])]:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(os.environ.get("BENCH_OUT") or Path(scratch) / "out.parquet")
        wall, cpu = time.perf_counter(), time.process_time()
        rows = _function(job, tool)(folder, out)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"rows": rows, "wall": wall, "cpu": cpu}))


def compare(folder: Path) -> dict[str, bool]:
    """Whether ours and DuckDB's results hold the same ids."""
    import duckdb

    same = {}
    for job, other in (("filter-dedup", "duckdb"), ("top", "duckdb_wide"), ("top", "curate_selector")):
        paths = []
        for tool in ("curate", other):
            paths.append(folder / f"result-{job}-{tool}.parquet")
            _function(job, tool)(folder, paths[-1])
        a, b = (f"SELECT id FROM '{p}'" for p in paths)
        differing = duckdb.execute(
            f"SELECT count(*) FROM (({a} EXCEPT ALL {b}) UNION ALL ({b} EXCEPT ALL {a}))"
        )
        same[f"{job} ({other})"] = differing.fetchone()[0] == 0
        for path in paths:
            path.unlink()
    return same


def _line(tool: str, run: Any, base: Any) -> list[str]:
    job, base_job = run.result["cpu"], base.result["cpu"]
    return [
        tool,
        f"{run.result['rows']:,}",
        f"{run.wall:.2f}",
        f"{run.cpu:.2f}",
        f"{run.cpu / base.cpu:.2f} x",
        f"{job:.2f}",
        f"{job / base_job:.2f} x",
        f"{run.pss:.0f}",
        f"{run.rss:.0f}",
    ]


def report(folder: Path, repeats: int, peers: dict[str, str]) -> str:
    """Run everything; a Markdown table per job, CPU ratios against plain DuckDB."""
    from _measure import best, markdown

    texts = []
    for job, tools in JOBS.items():
        rows: list[list[str]] = []
        found = {}
        for tool in tools:
            name = tool.partition("_")[0]
            if name not in ("curate", "duckdb", "polars") and name not in peers:
                continue
            command = [
                peers.get(name, sys.executable),
                __file__,
                "--run",
                f"{job}:{tool}",
                "--folder",
                str(folder),
            ]
            try:
                found[tool] = best(command, repeats, **os.environ, PYTHONPATH=str(Path(__file__).parents[1]))
            except (RuntimeError, TimeoutError) as error:
                rows.append([tool, f"failed: {str(error).strip().splitlines()[-1][:80]}", *[""] * 6])
        base = next(m for t, m in found.items() if t.startswith("duckdb"))
        rows += [_line(tool, run, base) for tool, run in found.items()]
        header = ["tool", "rows", "wall s", "CPU s", "/ DuckDB", "job CPU s", "/ DuckDB", "PSS MB", "RSS MB"]
        texts.append(f"### {job}\n\n{markdown(header, rows)}")
    same = compare(folder)
    texts.append(
        "Same rows as ours: " + ", ".join(f"{job} {'yes' if ok else '**NO**'}" for job, ok in same.items())
    )
    return "\n\n".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, help="where the data is, or is made; kept (default: a temporary folder)"
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PYTHON", help="daft, datatrove or datajuicer"
    )
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_one(*options.run.split(":"), options.folder)
        return
    temporary = None if options.folder else tempfile.mkdtemp()
    folder = (options.folder or Path(temporary or "")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "store" / "STORE.json").exists():
        make(folder, options.rows)
    text = report(folder, options.repeats, dict(peer.split("=", 1) for peer in options.peer))
    print(text)
    if options.markdown:
        options.markdown.write_text(
            f"## Metadata, {_metadata_peers.rows_of(folder / 'one.parquet'):,} rows\n\n{text}\n"
        )
    if temporary:
        shutil.rmtree(temporary)


if __name__ == "__main__":
    main()
