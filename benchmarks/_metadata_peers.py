"""The jobs of metadata.py as other tools do them: plain DuckDB and Polars here, the rest by interpreters of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCORES = [f"s{k}" for k in range(5)]
FILTER = "length(caption) >= 30 AND width >= 200 AND height >= 200"
SUM = " + ".join(SCORES)


# --- DuckDB and Polars ------------------------------------------------------------------------------------------------


def _duckdb(query: str, folder: Path, out: Path) -> int:
    import duckdb

    con = duckdb.connect()
    con.execute(f"SET temp_directory = '{folder}/spill'")
    return int(con.execute(f"COPY ({query}) TO '{out}' (COMPRESSION zstd)").fetchone()[0])


def duckdb_filter_dedup(folder: Path, out: Path) -> int:
    one = f"'{folder}/one.parquet'"
    lowest = f"SELECT min(id) FROM {one} WHERE {FILTER} GROUP BY caption"
    return _duckdb(f"SELECT * FROM {one} WHERE id IN ({lowest})", folder, out)


def duckdb_top_join(folder: Path, out: Path) -> int:
    joins = " ".join(f"JOIN '{folder}/{s}.parquet' USING (id)" for s in SCORES)
    listed = f"SELECT id, {', '.join(SCORES)} FROM '{folder}/one.parquet' {joins}"
    return _duckdb(f"{listed} ORDER BY {SUM} DESC, id LIMIT {_third(folder)}", folder, out)


def duckdb_top_wide(folder: Path, out: Path) -> int:
    listed = f"SELECT id, {', '.join(SCORES)} FROM '{folder}/wide.parquet'"
    return _duckdb(f"{listed} ORDER BY {SUM} DESC, id LIMIT {_third(folder)}", folder, out)


def duckdb_add_score(folder: Path, out: Path) -> int:
    return _duckdb(f"SELECT *, random()::FLOAT AS new FROM '{folder}/one.parquet'", folder, out)


def _third(folder: Path) -> int:
    import duckdb

    return round(0.3 * duckdb.execute(f"SELECT count(*) FROM '{folder}/one.parquet'").fetchone()[0])


def polars_filter_dedup(folder: Path, out: Path) -> int:
    import polars as pl

    one = pl.scan_parquet(folder / "one.parquet")
    kept = one.filter(
        pl.col("caption").str.len_chars() >= 30, pl.col("width") >= 200, pl.col("height") >= 200
    )
    lowest = kept.group_by("caption").agg(pl.col("id").min()).select("id")
    one.join(lowest, on="id", how="semi").sink_parquet(out, compression="zstd")
    return rows_of(out)


def polars_top_join(folder: Path, out: Path) -> int:
    import polars as pl

    frame = pl.scan_parquet(folder / "one.parquet").select("id")
    for name in SCORES:
        frame = frame.join(pl.scan_parquet(folder / f"{name}.parquet"), on="id")
    _polars_top(frame, folder, out)
    return rows_of(out)


def polars_top_wide(folder: Path, out: Path) -> int:
    import polars as pl

    _polars_top(pl.scan_parquet(folder / "wide.parquet").select("id", *SCORES), folder, out)
    return rows_of(out)


def _polars_top(frame: Any, folder: Path, out: Path) -> None:
    import polars as pl

    total = frame.with_columns(total=sum((pl.col(s) for s in SCORES[1:]), pl.col(SCORES[0])))
    top = total.sort(["total", "id"], descending=[True, False]).head(
        round(0.3 * rows_of(folder / "one.parquet"))
    )
    top.drop("total").sink_parquet(out, compression="zstd")


def polars_add_score(folder: Path, out: Path) -> int:
    import numpy as np
    import polars as pl

    new = np.random.default_rng(0).random(rows_of(folder / "one.parquet"), np.float32)
    frame = pl.scan_parquet(folder / "one.parquet")
    frame.with_columns(pl.lit(pl.Series("new", new))).sink_parquet(out, compression="zstd")
    return rows_of(out)


def rows_of(path: Path) -> int:
    """Rows of a file, by its footer."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


# --- Peers: run by an interpreter of their own ------------------------------------------------------------------------


def daft_filter_dedup(folder: Path, out: Path) -> int:
    import daft

    one = daft.read_parquet(f"{folder}/one.parquet")
    c = daft.col
    long = c("caption").length() if hasattr(c("caption"), "length") else c("caption").str.length()
    kept = one.where((long >= 30) & (c("width") >= 200) & (c("height") >= 200))
    lowest = kept.groupby("caption").agg(c("id").min().alias("id")).select("id")
    return _daft_write(one.join(lowest, on="id", how="semi"), out)


def daft_top_join(folder: Path, out: Path) -> int:
    import daft

    frame = daft.read_parquet(f"{folder}/one.parquet").select("id")
    for name in SCORES:
        frame = frame.join(daft.read_parquet(f"{folder}/{name}.parquet"), on="id")
    total = daft.col("s0") + daft.col("s1") + daft.col("s2") + daft.col("s3") + daft.col("s4")
    frame = frame.with_column("total", total).sort(["total", "id"], desc=[True, False])
    return _daft_write(frame.limit(round(0.3 * rows_of(folder / "one.parquet"))).exclude("total"), out)


def _daft_write(frame: Any, out: Path) -> int:
    frame.write_parquet(str(out), compression="zstd")
    return sum(rows_of(p) for p in out.glob("**/*.parquet"))


def datatrove_filter_dedup(folder: Path, out: Path) -> int:
    """Its filter and its exact deduplication (an arbitrary survivor): 2 workers, and 2 files, as it shards by file."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        ExactDedupConfig,
        ExactDedupFilter,
        ExactDedupSignature,
        ExactFindDedups,
    )
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    _split(folder)
    out.mkdir(parents=True)
    config = ExactDedupConfig(content_getter=_caption_of)

    def run(name: str, *steps: Any) -> None:
        LocalPipelineExecutor(list(steps), tasks=2, workers=2, logging_dir=str(out / "log" / name)).run()

    def kept() -> list[Any]:
        return [
            ParquetReader(str(folder / "two"), text_key="caption", id_key="id"),
            LambdaFilter(_long_and_large),
        ]

    run("sig", *kept(), ExactDedupSignature(str(out / "sig"), finder_workers=2, config=config))
    run("find", ExactFindDedups(str(out / "sig"), str(out / "dup"), config=config))
    last = [ExactDedupFilter(str(out / "dup"), config=config), ParquetWriter(str(out / "kept"))]
    run("keep", *kept(), *last)
    return sum(rows_of(p) for p in (out / "kept").glob("*.parquet"))


def _caption_of(document: Any) -> bytes:
    return bytes(document.text, "utf-8")


def _long_and_large(document: Any) -> bool:
    meta = document.metadata
    return bool(len(document.text) >= 30 and meta["width"] >= 200 and meta["height"] >= 200)


def _split(folder: Path) -> None:
    import pyarrow.parquet as pq

    if not (folder / "two").exists():
        table = pq.ParquetFile(folder / "one.parquet").read()
        (folder / "two").mkdir()
        half = len(table) // 2
        pq.write_table(table.slice(0, half), folder / "two" / "0.parquet")
        pq.write_table(table.slice(half), folder / "two" / "1.parquet")


def datajuicer_filter_dedup(folder: Path, out: Path) -> int:
    """One filter per condition, then its exact deduplication (an arbitrary survivor), with `turbo`: 2 processes."""
    import subprocess

    out.mkdir(parents=True)
    recipe = {
        "project_name": "bench", "dataset_path": str(folder / "one.parquet"), "export_path": str(out / "out.jsonl"),
        "np": 2, "turbo": True, "text_keys": "caption", "use_cache": False, "open_tracer": False,
        "process": [
            {"text_length_filter": {"min_len": 30}},
            {"specified_numeric_field_filter": {"field_key": "width", "min_value": 200}},
            {"specified_numeric_field_filter": {"field_key": "height", "min_value": 200}},
            {"document_deduplicator": {"lowercase": False}},
        ],
    }  # fmt: skip
    (out / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
    tool = [sys.executable, "-m", "data_juicer.tools.process_data", "--config", str(out / "recipe.yaml")]
    subprocess.run(tool, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return sum(1 for _ in (out / "out.jsonl").open("rb"))
