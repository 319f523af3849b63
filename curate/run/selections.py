"""Store a selection: its rows as one part, its name bound, its step remembered, in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.run.context import RunContext
from curate.store import SelectionInfo
from curate.store.writer import SELECTION


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
        schema=SELECTION,
    )
    version = context.store.snapshot().version
    info = SelectionInfo(name, identity, k, seed, version, {"kind": kind, **(stats or {})})
    with context.store.writer() as writer:
        part = writer.selection(table, identity)
        context.commit(kind, add=[part], selections=[info], step=(identity, dict(result)))


def _repeat(text: str, times: int) -> pa.Array:
    one = pa.array([text], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), one).cast(pa.string())
