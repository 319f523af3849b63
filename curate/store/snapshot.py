"""The store at one version: an immutable list of live parts, and the names bound at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from curate.contracts import digest
from curate.store.parts import ColumnSet, Part, SelectionInfo


@dataclass(frozen=True)
class Snapshot:
    """What was live at `version`. Cheap to make, safe to keep: parts never change.

    `items`       item parts in seq order
    `aligned`     (column set digest, base part id) -> its parts (one `column` part and/or `vector` parts)
    `sets`        column sets by the name they are bound to
    `selections`  named selections; their parts are in `selection_parts` by digest
    """

    version: int
    items: tuple[Part, ...]
    deleted: tuple[Part, ...]
    aligned: Mapping[tuple[str, str], tuple[Part, ...]]
    sets: Mapping[str, ColumnSet]
    selections: Mapping[str, SelectionInfo]
    selection_parts: Mapping[str, tuple[Part, ...]]
    rejected: tuple[Part, ...] = ()
    answers: tuple[Part, ...] = ()

    @cached_property
    def rows(self) -> int:
        """Items that are live (deleted ones not counted)."""
        return sum(p.rows for p in self.items) - sum(p.rows for p in self.deleted)

    @cached_property
    def digest(self) -> str:
        """Identity of the set of live items (not of their scores); compaction does not change it."""
        return digest(
            [i for p in self.items for i in p.originals], [i for p in self.deleted for i in p.originals]
        )

    @cached_property
    def item_schema(self) -> pa.Schema:
        """Union of the item parts' schemas, in order of first appearance."""
        schemas = {p.schema: p for p in self.items}
        return (
            pa.unify_schemas([p.arrow_schema() for p in schemas.values()], promote_options="permissive")
            if schemas
            else pa.schema([])
        )

    @cached_property
    def column_home(self) -> Mapping[str, ColumnSet | None]:
        """Every visible column -> the set that gives it, or None for a column of the items themselves."""
        homes: dict[str, ColumnSet | None] = dict.fromkeys(self.item_schema.names)
        for column_set in self.sets.values():
            homes.update(dict.fromkeys(column_set.schema().names, column_set))
        return homes

    def kinds(self) -> tuple[str, ...]:
        """Kinds of item that are present, in order of first appearance."""
        return tuple(dict.fromkeys(p.kind for p in self.items if p.kind))
