"""Which items a stored selection holds today: those that were deleted or replaced since are not among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.store import PartStore, StoreView

__all__ = ["still_chosen"]


def still_chosen(store: PartStore, name: str, view: StoreView) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The rows of a stored selection whose items are in the view, best first, and the items' places in it.

    An item that was deleted is not there any more, and one that was replaced by an update is not what was chosen.
    """
    version = view.snapshot.version
    table, own = store.selection_table(name, version).sort_by("rank"), view.seqs()
    if not len(own):
        return table.slice(0, 0), np.empty(0, np.int64)
    seqs = table["seq"].to_numpy()
    place = np.minimum(np.searchsorted(own, seqs), len(own) - 1)
    there = own[place] == seqs
    return table.filter(pa.array(there)), place[there]
