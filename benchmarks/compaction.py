"""A store of many small parts before and after `compact`: 1,000 adds of 1,000 rows, three scores and a vector.

    python benchmarks/compaction.py [--adds 1000] [--rows 1000] [--markdown FILE]

Each measurement is a process of its own. "One file" is the same query by DuckDB alone over one Parquet file that holds
everything: no store can be faster, so it says what the parts cost.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _measure import best, markdown, measure

SCORES = ("one", "two", "three")
DIM = 64
FILTER = "one > 0.2 and two > 0.3 and three > 0.1"


def build(path: Path, adds: int, rows: int) -> None:
    """Commit `adds` item parts one by one, then three score columns and a vector for all of them; delete 1 %."""
    import numpy as np
    import pyarrow as pa

    from curate.contracts import score, vector
    from curate.store import Changes, ColumnSet, PartStore

    store = PartStore.create(path)
    for n in range(adds):
        ids = [f"{n:05d}-{i:05d}" for i in range(rows)]
        table = pa.table({"id": ids, "caption": [f"a picture of thing {i} in part {n}" for i in range(rows)]})
        with store.writer() as writer:
            store.commit(Changes("import", f"add {n}", add=[writer.items(table, "instruction")]))
    rng = np.random.default_rng(0)
    for name in (*SCORES, "embedding"):
        field = vector(name, DIM) if name == "embedding" else score(name)
        made = ColumnSet(name, name, pa.schema([field]).serialize().to_pybytes(), name, 1)
        with store.writer() as writer:
            parts = []
            for base in store.snapshot().items:
                if name == "embedding":
                    flat = pa.array(rng.standard_normal(base.rows * DIM, dtype=np.float32))
                    values = pa.FixedSizeListArray.from_arrays(flat, DIM)
                else:
                    values = pa.array(rng.random(base.rows, dtype=np.float32))
                parts += writer.columns(pa.table({name: values}), base, made, {"asked": base.rows})
            store.commit(Changes("score", name, add=parts, columns=[made]))
    with store.writer() as writer:
        gone = writer.deleted(np.arange(0, adds * rows, 100))
        store.commit(Changes("delete", "delete", add=[gone]))
    print(json.dumps({"parts": len(store.snapshot().items)}))


def query(path: Path) -> None:
    """Open, filter by three scores, and read the vectors of all items; seconds of each in a fresh process."""
    from curate.store import PartStore
    from curate.store.compaction import live_parts

    start = time.perf_counter()
    store = PartStore.open(path)
    view = store.view()
    opened = time.perf_counter()
    kept = len(view.where(FILTER))
    filtered = time.perf_counter()
    top = view.sql(
        "select _row from view order by one + two + three desc, id limit 1000", [*SCORES, "id"]
    ).num_rows
    sorted_ = time.perf_counter()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # before the vectors are mapped
    total = sum(float(chunk.sum()) for chunk in view.vectors("embedding").chunks())
    read = time.perf_counter()
    size = sum(p.stat().st_size for p in (path / "parts").rglob("*.*"))
    times = {
        "open": opened - start,
        "filter": filtered - opened,
        "top": sorted_ - filtered,
        "vectors": read - sorted_,
    }
    facts = {
        "parts": live_parts(view.snapshot),
        "items": len(view.snapshot.items),
        "kept": kept,
        "top_rows": top,
    }
    print(json.dumps({**times, **facts, "sum": total, "mb": size / 1e6, "held": held}))


def compact(path: Path) -> None:
    """Merge everything, then free the space."""
    from curate.store import PartStore

    store = PartStore.open(path)
    start = time.perf_counter()
    report = store.compact()
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {"seconds": seconds, "mb": report.bytes / 1e6, "erased": report.erased, "said": str(report)}
        )
    )


def collect(path: Path) -> None:
    """Delete what only old versions need."""
    from curate.store import PartStore

    print(json.dumps({"said": str(PartStore.open(path).gc(grace_seconds=0, keep_versions=1))}))


def plain(path: Path) -> None:
    """The same filter by DuckDB alone over one file."""
    import duckdb

    from curate.store import PartStore

    file = path.parent / "one.parquet"
    if not file.exists():
        import pyarrow.parquet as pq

        pq.write_table(PartStore.open(path).view().to_arrow(["id", *SCORES]), file, compression="zstd")
        print(json.dumps({}))
        return
    start = time.perf_counter()
    kept = duckdb.execute(f"select count(*) from '{file}' where {FILTER}").fetchone()
    print(json.dumps({"filter": time.perf_counter() - start, "kept": kept[0] if kept else 0}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adds", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work, path = options.work[0], Path(options.work[1])
        build(path, options.adds, options.rows) if work == "build" else globals()[work](path)
        return
    with tempfile.TemporaryDirectory() as folder:
        text = compare(Path(folder) / "store", options.adds, options.rows)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


def compare(path: Path, adds: int, rows: int) -> str:
    """Before, after, and one file, as Markdown."""

    def command(work: str) -> list[str]:
        sizes = ["--adds", str(adds), "--rows", str(rows)]
        return [sys.executable, __file__, *sizes, "--work", work, str(path)]

    built = measure(command("build"))
    before = best(command("query"), 3)
    merged = measure(command("compact"))
    measure(command("collect"))
    after = best(command("query"), 3)
    measure(command("plain"))
    one = best(command("plain"), 3)
    assert before.result["kept"] == after.result["kept"] == one.result["kept"]
    assert abs(before.result["sum"] - after.result["sum"]) < 1.0
    table = [
        [name, f"{r['items']:,}", f"{r['parts']:,}", *(f"{r[k]:.3f}" for k in ("open", "filter", "top", "vectors")),
         f"{m.cpu:.2f}", f"{r['held']:.0f}", f"{r['mb']:.0f}"]
        for name, m, r in (("before", before, before.result), ("after", after, after.result))
    ]  # fmt: skip
    table.append(["one file, DuckDB", "", "", "", f"{one.result['filter']:.3f}", "", "", "", "", ""])
    head = [
        "",
        "item parts",
        "parts",
        "open s",
        "filter s",
        "top s",
        "vectors s",
        "CPU s in all",
        "MB held",
        "MB disk",
    ]
    said = (
        f"Built by {adds:,} commits in {built.wall:.0f} s. Compaction: {merged.result['seconds']:.1f} s, {merged.cpu:.1f} "
        f"CPU s, {merged.pss:.0f} MB memory, {merged.result['mb']:.0f} MB written. {merged.result['said']}."
    )
    return f"{markdown(head, table)}\n\n{said}"


if __name__ == "__main__":
    main()
