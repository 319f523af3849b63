"""`store.sql`: a read-only query over `items`, every score and every selection by its name."""

from __future__ import annotations

import pyarrow as pa

from curate.store import PartStore


def query_tables(store: PartStore, query: str) -> pa.Table:
    """Run a DuckDB query. `items` has the columns of the items; a score's table has `id` and its columns; a
    selection's table has `id`, rank, weight, gain and reason. Nothing outside the store can be read."""
    from curate.store.engine import query_store

    return query_store(store, query)
