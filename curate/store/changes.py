"""What one commit changes, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curate.store.parts import ColumnSet, NewPart, SelectionInfo


@dataclass
class Changes:
    """One atomic change of the store: all of it becomes visible, in one new version, or nothing.

    `token`     names this piece of work: a second commit with the same token changes nothing and returns the first
                one's version, so that a retry after an unknown outcome is safe.
    `add`       durable parts; one that is live already stays as it is. Item parts get their `seq` in this order.
    `remove`    ids of parts that must still be live, else ConflictError. Parts aligned to a removed item part go too.
    `columns`   column sets to bind to their names; `drop_columns` names to unbind.
    `selections`, `drop_selections`   the same for selections (their parts come in `add`, `owner` = digest).
    `step`      digest of a finished step and the result that `PartStore.recall` gives for it.
    `replaces`  item parts (by id) that hold rows of removed ones, and the seq of their first row. Nothing but what is
                in `remove` goes then: ConflictError if another process has given a removed item part more columns.
    `items_at`  the version whose items this change was worked out from: ConflictError if items were added or
                removed since. None: it does not depend on them.
    `answers_at`   the same for answers.
    """

    op: str
    token: str
    add: list[NewPart] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    columns: list[ColumnSet] = field(default_factory=list)
    drop_columns: list[str] = field(default_factory=list)
    selections: list[SelectionInfo] = field(default_factory=list)
    drop_selections: list[str] = field(default_factory=list)
    step: tuple[str, Mapping[str, Any]] | None = None
    run_id: str | None = None
    message: str = ""
    stats: Mapping[str, Any] = field(default_factory=dict)
    replaces: Mapping[str, int] = field(default_factory=dict)
    items_at: int | None = None
    answers_at: int | None = None


@dataclass(frozen=True)
class Commit:
    """The version a commit made; `replayed` if its token had been committed before."""

    version: int
    replayed: bool = False
