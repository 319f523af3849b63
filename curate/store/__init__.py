"""What is on disk, and the only code that writes there.

    parts        what the catalog knows of one immutable file
    snapshot     the parts that were live at one version
    store        `PartStore`: open, read, commit, tag, clean up, check
    writer       `PartWriter`: makes durable files in any process; `packs` the same for many small media
    commit       the one transaction that makes files part of the store
    view         rows of a snapshot: filter, read, compute
    answers      what annotators said: read, and add each once
    gc, compaction, verify, rebuild   housekeeping
    publish, clone   a store elsewhere, in a folder or an object store (`remote`)

Names are imported when they are first used: a worker that only writes parts never loads the query engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.store.answers import AnswersView
    from curate.store.changes import Changes, Commit
    from curate.store.clone import CloneReport
    from curate.store.compaction import CompactReport
    from curate.store.expression import Expression
    from curate.store.gc import GcReport
    from curate.store.packs import PackWriter
    from curate.store.parts import ColumnSet, NewPart, Part, SelectionInfo
    from curate.store.publish import PublishReport
    from curate.store.snapshot import Snapshot
    from curate.store.store import PartStore
    from curate.store.verify import Problem
    from curate.store.view import StoreView
    from curate.store.writer import PartWriter

_HOMES = {
    "AnswersView": "answers",
    "Changes": "changes",
    "CloneReport": "clone",
    "ColumnSet": "parts",
    "Commit": "changes",
    "CompactReport": "compaction",
    "Expression": "expression",
    "GcReport": "gc",
    "NewPart": "parts",
    "PackWriter": "packs",
    "Part": "parts",
    "PartStore": "store",
    "PartWriter": "writer",
    "Problem": "verify",
    "PublishReport": "publish",
    "SelectionInfo": "parts",
    "Snapshot": "snapshot",
    "StoreView": "view",
}

__all__ = [
    "AnswersView",
    "Changes",
    "CloneReport",
    "ColumnSet",
    "Commit",
    "CompactReport",
    "Expression",
    "GcReport",
    "NewPart",
    "PackWriter",
    "Part",
    "PartStore",
    "PartWriter",
    "Problem",
    "PublishReport",
    "SelectionInfo",
    "Snapshot",
    "StoreView",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
