"""Whatever is read from a store reads the same after a compaction: any parts, deletions, scores and selections."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import store_examples as ex
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from curate.store import PartStore

PARTS = st.lists(st.integers(1, 5), min_size=2, max_size=6)


def build(folder: Path, sizes: list[int], data: st.DataObject) -> PartStore:
    """Parts of these sizes, some of them scored, some items deleted, a few selected."""
    store, total = ex.new_store(folder), sum(sizes)
    word = st.one_of(st.none(), st.sampled_from(["a", "ü", "", "long " * 20]))
    for number, size in enumerate(sizes):
        texts = data.draw(st.lists(word, min_size=size, max_size=size))
        kind = data.draw(st.sampled_from(["int", "dictionary"]))
        extra = pa.array([str(i % 2) for i in range(size)])
        more = extra.dictionary_encode() if kind == "dictionary" else extra
        ex.add(store, ex.captions(texts, [f"p{number}-{i}" for i in range(size)], extra=more))
    scored = data.draw(st.integers(1, len(sizes)))
    schema, vectors = ex.column_set(ex.SCORES), ex.column_set(ex.VECTORS, "pixels", "set-v")
    for part in store.snapshot().items[:scored]:
        values = data.draw(
            st.lists(st.one_of(st.none(), st.floats(-1, 1, width=32)), min_size=part.rows, max_size=part.rows)
        )
        ex.give(store, schema, {part.part_id: {"clip_score": pa.array(values, pa.float32())}})
    for part in store.snapshot().items:
        rows = np.arange(part.rows * 3, dtype=np.float32).reshape(-1, 3) + part.seq_lo
        ex.give(
            store,
            vectors,
            {part.part_id: {"pixels": ex.rows_of_vectors(rows, [i != 1 for i in range(part.rows)])}},
        )
    gone = data.draw(st.lists(st.integers(0, total - 1), unique=True, max_size=total - 1))
    if gone:
        ex.remove(store, gone)
    left = sorted(set(range(total)) - set(gone))
    ex.select(store, "core", data.draw(st.permutations(left))[: data.draw(st.integers(1, len(left)))])
    return store  # fmt: skip


def answers(store: PartStore, at: int | None = None) -> list[str]:
    """What can be asked of a store."""
    view = store.view(at)
    n = len(view)
    picked = np.arange(n)[::-2].copy()
    views = [
        view,
        view.within("core"),
        view.within("core", inside=False),
        view.distinct("caption"),
        view.where("caption = 'a' or clip_score > 0").limit(3),
        view.at(view.seqs()[: n // 2 + 1]),
    ]
    answers: list[Any] = [[v.to_arrow().to_pylist(), v.digest, v.seqs().tolist()] for v in views]
    answers.append([b.to_pylist() for b in view.batches(["id", "text", "pixels"], rows=3)])
    answers.append(view.take(picked, ["id", "image", "clip_score", "extra"]).to_pylist())
    answers.append(view.compute("clip_score * 2").to_pylist())
    answers.append(
        view.sql("select caption, count(*) as n from view group by all order by all", ["caption"]).to_pylist()
    )
    vectors = view.vectors("pixels")
    answers += [vectors.to_numpy().tolist(), vectors.valid.tolist(), vectors.take(picked).tolist()]
    answers.append(store.selection_table("core", at).to_pylist())
    return [repr(answer) for answer in answers]  # nan equals nan here


@given(sizes=PARTS, part_rows=st.integers(2, 20), data=st.data())
@settings(
    max_examples=8,
    deadline=None,
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # an example takes a second: shrinking would take minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_every_question_has_the_same_answer(sizes: list[int], part_rows: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, build(Path(folder), sizes, data) as store:
        version, before, schema = store.snapshot().version, answers(store), store.view().schema
        store.compact(part_rows=part_rows)
        assert answers(store) == before and store.view().schema.equals(schema)
        assert answers(store, version) == before
        store.gc(grace_seconds=0, keep_versions=1)
        store.compact()
        assert answers(store) == before and store.verify() == []
