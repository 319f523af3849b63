"""What the catalog knows of one immutable file: a part.

Tables:
    items      one row per item: `id`, the kind's columns, media facts, and the user's own columns     Parquet
    column     scalar columns a scorer gave, row i belonging to row i of the base item part            Parquet
    vector     one vector column, aligned the same way, memory-mapped                                  Arrow IPC
    selection  seq, rank, weight, gain, reason of a named selection                                    Parquet
    deleted    seq of items that were removed or superseded (alignment stays)                          Parquet
    rejected   rows that an import refused, with the reason                                            Parquet
    answers    annotators' answers, append-only                                                        Parquet
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

TABLES = ("items", "column", "vector", "selection", "deleted", "rejected", "answers")


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part whose file is durable on disk (fsynced, renamed into place) but not yet committed. Picklable.

    `part_id` is content-addressed: the same rows for the same place always give the same id.
    `base` is the item part a `column` or `vector` part is aligned to; `column_set` the digest of its ColumnSet.
    `owner` is the digest of the selection that a `selection` part belongs to.
    """

    part_id: str
    table: str
    path: str
    rows: int
    bytes: int
    blake3: str
    schema: builtins.bytes
    kind: str | None = None
    base: str | None = None
    column_set: str | None = None
    owner: str | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)

    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of the file."""
        return pa.ipc.read_schema(pa.py_buffer(self.schema))

    @property
    def originals(self) -> tuple[str, ...]:
        """Ids of the parts that this one stands for, in row order: those compaction merged into it, or its own."""
        return tuple(self.stats.get("of", ())) or (self.part_id,)


@dataclass(frozen=True, slots=True)
class Part(NewPart):
    """A committed part. For item parts, item `seq` = `seq_lo` + row; it is assigned by the commit.

    A store of ten million rows has thousands of them in memory: they have slots, and share what is the same in many.
    """

    seq_lo: int = 0
    added: int = 0
    removed: int | None = None


@dataclass(frozen=True)
class ColumnSet:
    """The columns that one configured scorer gives, under the name they are bound to.

    `digest` identifies scorer, version, parameters, name and, for fitted scorers, what it was fitted on.
    `fields` is the serialised Arrow schema of all columns (scalars, vectors and the reason column).
    """

    name: str
    digest: str
    fields: bytes
    scorer: str
    scorer_version: int
    params: Mapping[str, Any] = field(default_factory=dict)

    def schema(self) -> pa.Schema:
        """The Arrow schema of the columns, roles in the field metadata (`contracts.role_of`)."""
        return pa.ipc.read_schema(pa.py_buffer(self.fields))


@dataclass(frozen=True)
class SelectionInfo:
    """A named, stored selection. `digest` identifies how it was made; `rows` how many items it holds."""

    name: str
    digest: str
    rows: int
    seed: int | None
    at_version: int
    stats: Mapping[str, Any] = field(default_factory=dict)
