"""Small stores with contents known by hand, for tests of what is read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.contracts import flag, score, vector
from curate.store import Changes, ColumnSet, Part, PartStore, SelectionInfo

_tokens = itertools.count()


def token() -> str:
    return f"test-{next(_tokens)}"


def new_store(folder: Path) -> PartStore:
    return PartStore.create(folder / "s")


def add(store: PartStore, columns: Mapping[str, Any] | pa.Table, kind: str = "image-text") -> Part:
    """Commit one item part and give it back as the snapshot has it."""
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    with store.writer() as writer:
        part = writer.items(table, kind)
        store.commit(Changes("add", token(), add=[part]))
    return next(p for p in store.snapshot().items if p.part_id == part.part_id)


def captions(texts: Sequence[str | None], ids: Sequence[str] | None = None, **more: Any) -> dict[str, Any]:
    """Columns of image-text items."""
    ids = ids or [f"i{n:04d}" for n in range(len(texts))]
    return {"id": ids, "image": [f"/m/{i}.png" for i in ids], "caption": pa.array(texts, pa.string()), **more}


def column_set(schema: pa.Schema, name: str = "clip-score", digest: str = "set-1") -> ColumnSet:
    return ColumnSet(name, digest, schema.serialize().to_pybytes(), name, 1)


SCORES = pa.schema([score("clip_score"), flag("near_duplicate"), pa.field("clip_score_reason", pa.string())])
VECTORS = pa.schema([vector("pixels"), pa.field("pixels_reason", pa.string())])


def give(store: PartStore, set_: ColumnSet, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Commit the columns of a set for some item parts (by part id)."""
    bases = {p.part_id: p for p in store.snapshot().items}
    schema = set_.schema()
    with store.writer() as writer:
        parts = []
        for part_id, columns in tables.items():
            n = bases[part_id].rows
            arrays = {
                f.name: columns[f.name] if f.name in columns else pa.nulls(n, f.type)
                for f in schema
                if f.name in columns or not pa.types.is_list(f.type)
            }
            parts += writer.columns(pa.table(arrays), bases[part_id], set_)
        store.commit(Changes("score", token(), add=parts, columns=[set_]))


def give_scores(
    store: PartStore, part: Part, values: Sequence[float | None], digest: str = "set-1"
) -> ColumnSet:
    set_ = column_set(SCORES, digest=digest)
    give(store, set_, {part.part_id: {"clip_score": pa.array(values, pa.float32())}})
    return set_


def rows_of_vectors(values: np.ndarray, valid: Sequence[bool] | None = None) -> pa.Array:
    mask = None if valid is None else pa.array([not v for v in valid])
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1], mask=mask)


def give_vectors(
    store: PartStore, part: Part, values: np.ndarray, valid: Sequence[bool] | None = None
) -> ColumnSet:
    set_ = column_set(VECTORS, "pixels", "set-v")
    give(store, set_, {part.part_id: {"pixels": rows_of_vectors(values, valid)}})
    return set_


def remove(store: PartStore, seqs: Sequence[int]) -> None:
    with store.writer() as writer:
        store.commit(Changes("remove", token(), add=[writer.deleted(np.array(seqs, np.int64))]))


def select(store: PartStore, name: str, seqs: Sequence[int], digest: str = "sel-1") -> None:
    n = len(seqs)
    table = pa.table(
        {
            "seq": pa.array(seqs, pa.int64()),
            "rank": pa.array(range(n), pa.int32()),
            "weight": pa.array([1.0] * n, pa.float32()),
            "gain": pa.nulls(n, pa.float32()),
            "reason": ["chosen"] * n,
        }
    )
    with store.writer() as writer:
        info = SelectionInfo(name, digest, n, 0, store.snapshot().version)
        part = writer.selection(table, digest)
        store.commit(Changes("select", token(), add=[part], selections=[info]))


def ids(view: Any) -> list[str]:
    return view.ids().to_pylist()


def six_captions(store: PartStore) -> Part:
    """Six captions; scores .9 .1 null .5 .5 .7."""
    texts = ["cat", "dog", "cat", None, "dog", "owl"]
    part = add(store, captions(texts, width=pa.array([5, 6, 7, 8, 9, 10], pa.int32())))
    give_scores(store, part, [0.9, 0.1, None, 0.5, 0.5, 0.7])
    return part
