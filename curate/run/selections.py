"""Store a selection: its rows as one part, its name bound, its step remembered, in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.run.context import RunContext
from curate.spool import forget
from curate.store import SelectionInfo
from curate.store.streams import GROUP_ROWS, write_rows
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

    def rows(low: int, high: int) -> pa.Table:
        size = high - low
        for values in (seqs, weight, gain):  # what was read of them before is written by now
            if values is not None:
                forget(values)
        return pa.table(
            {
                "seq": pa.array(seqs[low:high], pa.int64()),
                "rank": pa.array(np.arange(low, high, dtype=np.int32)),
                "weight": _numbers(weight, low, high),
                "gain": _numbers(gain, low, high),
                "reason": _repeat(reason, size)
                if isinstance(reason, str)
                else pa.array(list(reason[low:high]), pa.string()),
            },
            schema=SELECTION,
        )

    version = context.store.snapshot().version
    info = SelectionInfo(name, identity, k, seed, version, {"kind": kind, **(stats or {})})
    with context.store.writer() as writer:
        if k <= GROUP_ROWS:
            part = writer.selection(rows(0, k), identity)
        else:  # what is written of each row takes several times what is held of it
            runs = (rows(low, min(low + GROUP_ROWS, k)) for low in range(0, k, GROUP_ROWS))
            part = write_rows(writer, "selection", runs, {}, {"owner": identity})
        context.commit(kind, add=[part], selections=[info], step=(identity, dict(result)))


def _numbers(values: npt.NDArray[np.float32] | None, low: int, high: int) -> pa.Array:
    return pa.nulls(high - low, pa.float32()) if values is None else pa.array(values[low:high], pa.float32())


def _repeat(text: str, times: int) -> pa.Array:
    one = pa.array([text], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), one).cast(pa.string())
