"""Store a selection: its rows as one part, its name bound, its step remembered, in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import UnknownNameError
from curate.run.context import RunContext
from curate.store import PartStore, SelectionInfo

SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("rank", pa.int32()),
        ("weight", pa.float32()),
        ("gain", pa.float32()),
        ("reason", pa.string()),
    ]
)
REJECTED = pa.schema(
    [
        ("source", pa.string()),
        ("row", pa.int64()),
        ("id", pa.string()),
        ("code", pa.string()),
        ("reason", pa.string()),
        ("data", pa.string()),
    ]
)


def store_selection(
    context: RunContext,
    name: str,
    identity: str,
    seqs: npt.NDArray[np.int64],
    *,
    result: Mapping[str, Any],
    kind: str,
    weight: npt.NDArray[np.float32] | None = None,
    gain: npt.NDArray[np.float32] | None = None,
    reason: Sequence[str] | str = "",
    seed: int | None = None,
    stats: Mapping[str, Any] | None = None,
) -> None:
    """Commit a selection of items `seqs`, best first, under `name`; `identity` says how it was made."""
    k = len(seqs)
    table = pa.table(
        {
            "seq": pa.array(seqs, pa.int64()),
            "rank": pa.array(np.arange(k, dtype=np.int32)),
            "weight": pa.nulls(k, pa.float32()) if weight is None else pa.array(weight, pa.float32()),
            "gain": pa.nulls(k, pa.float32()) if gain is None else pa.array(gain, pa.float32()),
            "reason": _repeat(reason, k) if isinstance(reason, str) else pa.array(list(reason), pa.string()),
        },
        schema=SCHEMA,
    )
    version = context.store.snapshot().version
    info = SelectionInfo(name, identity, k, seed, version, {"kind": kind, **(stats or {})})
    with context.store.writer() as writer:
        part = writer.selection(table, identity)
        context.commit(kind, add=[part], selections=[info], step=(identity, dict(result)))


def _repeat(text: str, times: int) -> pa.Array:
    one = pa.array([text], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), one).cast(pa.string())


def read_selection(store: PartStore, name: str) -> pa.Table:
    """The rows of a stored selection: seq, rank, weight, gain, reason. Raises UnknownNameError."""
    snapshot = store.snapshot()
    info = snapshot.selections.get(name)
    if info is None:
        raise UnknownNameError("selection", name, snapshot.selections)
    parts = snapshot.selection_parts.get(info.digest, ())
    tables = [pq.read_table(store.path / part.path, page_checksum_verification=True) for part in parts]
    return pa.concat_tables(tables).combine_chunks() if tables else SCHEMA.empty_table()


def read_rejected(store: PartStore) -> pa.Table:
    """Every row that an import refused: source, row, id, code, reason, data."""
    parts = store.snapshot().rejected
    tables = [pq.read_table(store.path / part.path, page_checksum_verification=True) for part in parts]
    return pa.concat_tables(tables, promote_options="default") if tables else REJECTED.empty_table()
