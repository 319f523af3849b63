"""`delete`: items are taken out of the store; older versions keep them until they are compacted and collected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import digest
from curate.counting import counted
from curate.errors import InputError
from curate.run.context import RunContext
from curate.run.identity import KnownIds
from curate.run.ledger import StepRecord
from curate.store import Changes, StoreView

__all__ = ["run_delete"]


def run_delete(context: RunContext, ids: Sequence[object] | None, where: str | None) -> StepRecord:
    """Delete the items with these ids, or those for which `where` holds: all of them in one version, or none.

    Raises InputError where neither or both are given, and where an id is that of no item; ConflictError where another
    process deleted or replaced one of them meanwhile.
    """
    if (ids is None) == (where is None):
        raise InputError("say which items to delete: by their ids, or by an expression as where=, not both")
    title = f"delete {where}" if where is not None else "delete by id"
    with context.record("delete", where or "", title, expression=None) as record:
        view = context.store.view()
        seqs = _named(view, ids) if ids is not None else view.where(str(where)).seqs()
        record.counts = {"rows": len(view), "deleted": len(seqs)}
        if not len(seqs):
            return record
        with context.store.writer() as writer:
            part = writer.deleted(np.sort(seqs))
            record.digest = digest("delete", part.part_id)
            context.store.commit(
                Changes("delete", record.digest, add=[part], run_id=context.run.run_id, message=title)
            )
        record.computed = len(seqs)
    return record


def _named(view: StoreView, ids: Sequence[object]) -> npt.NDArray[np.int64]:
    """The seqs of items by id, each once."""
    texts = pa.array([str(item) for item in ids], pa.string())
    known = KnownIds.of(view, contents=False)
    position = known.find(texts)
    strange = np.flatnonzero(position < 0)
    if len(strange):
        raise InputError(
            f"{len(strange):,} of {counted(len(texts), 'id')} are no items, such as "
            f"{texts[int(strange[0])].as_py()!r}; nothing was deleted"
        )
    found: npt.NDArray[np.int64] = np.sort(known.seq[position])
    return found[np.append(True, np.diff(found) > 0)] if len(found) else found
