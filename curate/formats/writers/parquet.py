"""Parquet shards: zstd, page checksums, row groups that a reader can skip by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from curate.formats.writers.draft import Draft

__all__ = ["write_parquet"]


def write_parquet(shards: Iterable[tuple[int, Iterator[pa.Table]]], draft: Draft, schema: pa.Schema) -> None:
    """`data/train-00000.parquet` and so on: one row group per chunk."""
    for number, chunks in shards:
        with draft.file(f"data/train-{number:05d}.parquet") as file:
            file.count(0)
            with pq.ParquetWriter(
                file, schema, compression="zstd", write_page_index=True, write_page_checksum=True
            ) as writer:
                for table in chunks:
                    file.count(table.num_rows)
                    if table.num_rows:
                        writer.write_table(table.cast(schema), row_group_size=table.num_rows)
