"""Exports against their peers in one run: Parquet against DuckDB's COPY, WebDataset against the library's TarWriter.

    python benchmarks/export.py [--rows 1000000] [--images FOLDER_OR_ZIP] [--markdown FILE]

Each measurement runs in a process of its own and reports wall seconds, CPU seconds and peak memory. What ours does in
addition, and the peers do not: BLAKE3 and SHA-256 of every byte, fsync of every file and folder, deterministic bytes,
manifest, card and Croissant metadata. The raw rate of one pass of SHA-256 and of writing the bytes is given beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20240101


def make_rows(path: Path, count: int) -> None:
    """Image-text metadata: id, caption, url, width, height, score."""
    rng = np.random.default_rng(SEED)
    words = np.array(
        [f"{a}{b}" for a in ("red", "old", "big", "wet", "tin") for b in ("cat", "car", "cup", "sea", "map")]
    )
    writer = None
    for start in range(0, count, 100_000):
        size = min(100_000, count - start)
        picks = rng.integers(0, len(words), (8, size))
        caption = words[picks[0]]
        for row in picks[1:]:
            caption = np.char.add(np.char.add(caption, " "), words[row])
        table = pa.table(
            {
                "id": [f"{n:08d}" for n in range(start, start + size)],
                "image": [f"https://example.org/images/{n:08d}.jpg" for n in rng.integers(0, 10**8, size)],
                "caption": caption,
                "width": rng.integers(64, 4096, size).astype(np.int32),
                "height": rng.integers(64, 4096, size).astype(np.int32),
                "clip_score": rng.random(size).astype(np.float32),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def ours_parquet(source: Path, out: Path) -> None:
    from curate.formats.export import export

    batches = pq.ParquetFile(source).iter_batches(65536)
    export(batches, out, format="parquet", kind="image-text", manifest={"input": "benchmark"})


def duckdb_copy(source: Path, out: Path) -> None:
    import duckdb

    out.mkdir()
    query = (
        f"copy (from read_parquet('{source}')) to '{out / 'data.parquet'}' (format parquet, compression zstd)"
    )
    duckdb.execute(query)


def duckdb_one_thread(source: Path, out: Path) -> None:
    import duckdb

    duckdb.execute("set threads = 1")
    duckdb_copy(source, out)


def pyarrow_write(source: Path, out: Path) -> None:
    out.mkdir()
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(out / "data.parquet", file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(65536):
            writer.write_batch(batch)


def image_table(source: Path) -> pa.Table:
    paths = sorted(str(p) for p in source.rglob("*.jpg"))
    return pa.table(
        {"id": [Path(p).stem for p in paths], "image": paths, "caption": [Path(p).parent.name for p in paths]}
    )


def ours_webdataset(source: Path, out: Path) -> None:
    from curate.formats.export import export

    export(
        image_table(source).to_batches(), out, format="webdataset", kind="image-text", manifest={"input": "b"}
    )


def library_webdataset(source: Path, out: Path) -> None:
    import webdataset

    out.mkdir()
    with webdataset.TarWriter(str(out / "shard-000000.tar"), mtime=0) as writer:
        for row in image_table(source).to_pylist():
            data = Path(row["image"]).read_bytes()
            writer.write({"__key__": row["id"], "jpg": data, "txt": row["caption"], "json": row})


JOBS: dict[str, Callable[[Path, Path], None]] = {
    f.__name__: f
    for f in (
        ours_parquet,
        duckdb_copy,
        duckdb_one_thread,
        pyarrow_write,
        ours_webdataset,
        library_webdataset,
    )
}


def run_here(job: str, source: Path, out: Path) -> None:
    """Run one job and print its numbers: what the parent process reads."""
    import polars  # noqa: F401  (imports are not what is measured)

    import curate.formats.export  # noqa: F401

    pa.array([0]).to_numpy()  # Arrow's first conversion imports pandas, for either side
    if job.startswith("duckdb"):
        import duckdb  # noqa: F401
    if "library" in job:
        import webdataset  # noqa: F401
    base, before = peak_memory(), resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    JOBS[job](source, out)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak_memory(), "base": base, "size": size}))


def peak_memory() -> float:
    """MiB, of this process alone: `ru_maxrss` would begin with what the parent had."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(job: str, source: Path, folder: Path, repeats: int) -> dict[str, float]:
    """The median run by wall time, each in a fresh process."""
    runs = []
    for _ in range(repeats):
        out = folder / "out"
        command = [sys.executable, __file__, "--job", job, "--source", str(source), "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        shutil.rmtree(out)
    return sorted(runs, key=lambda run: run["wall"])[len(runs) // 2]


def floor_seconds(size: int) -> float:
    """Seconds of one thread to hash that many bytes with SHA-256: no export with a checksum is faster."""
    block = os.urandom(1 << 24)
    start = time.perf_counter()
    hashlib.sha256(block).digest()
    return (time.perf_counter() - start) * size / len(block)


def unpack_images(given: Path, folder: Path, count: int) -> Path:
    """A folder with the first `count` JPEGs of a folder or zip, named by number."""
    target = folder / "images"
    target.mkdir()
    if given.is_file():
        with zipfile.ZipFile(given) as archive:
            names = [n for n in archive.namelist() if n.endswith(".jpg")][:count]
            contents = [(n, archive.read(n)) for n in names]
    else:
        contents = [(p.name, p.read_bytes()) for p in sorted(given.rglob("*.jpg"))[:count]]
    for number, (_, data) in enumerate(contents):
        (target / f"{number:06d}.jpg").write_bytes(data)
    return target


def report(title: str, jobs: list[str], source: Path, folder: Path, repeats: int) -> list[str]:
    lines = [
        f"### {title}",
        "",
        "| | wall s | CPU s | peak MB (at start) | output MB |",
        "|---|---|---|---|---|",
    ]
    for job in jobs:
        r = measure(job, source, folder, repeats)
        numbers = (
            f"{r['wall']:.2f} | {r['cpu']:.2f} | {r['peak']:.0f} ({r['base']:.0f}) | {r['size'] / 2**20:.1f}"
        )
        lines.append(f"| {job.replace('_', ' ')} | {numbers} |")
        print(lines[-1], flush=True)
        if job.startswith("ours"):
            floor = floor_seconds(int(r["size"]))
    return [*lines, "", f"One SHA-256 pass over our output takes {floor:.2f} s on one core.", ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--images", type=Path, help="a folder or zip of JPEGs; 5,000 of them are used")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--job", choices=sorted(JOBS), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.job:
        return run_here(asked.job, asked.source, asked.out)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_rows(folder / "rows.parquet", asked.rows)
        jobs = ["ours_parquet", "duckdb_copy", "duckdb_one_thread", "pyarrow_write"]
        lines = report(
            f"{asked.rows:,} rows of metadata to Parquet",
            jobs,
            folder / "rows.parquet",
            folder,
            asked.repeats,
        )
        if asked.images:
            images = unpack_images(asked.images, folder, 5000)
            jobs = ["ours_webdataset", "library_webdataset"]
            lines += report("5,000 JPEGs to WebDataset", jobs, images, folder, asked.repeats)
    if asked.markdown:
        asked.markdown.write_text("\n".join(lines))
    return None


if __name__ == "__main__":
    main()
