"""Any chain of steps over a store with gaps gives what the same chain gives over a list of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_examples import SCORES, add, captions, column_set, give, new_store, remove, select

from curate.store import PartStore

Row = dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[PartStore, list[Row], set[int]]:
    """Nine parts, two of them of another kind, half of them scored; a fifth of the rows removed."""
    store = new_store(tmp_path_factory.mktemp("model"))
    rng = np.random.default_rng(7)
    rows: list[Row] = []
    tables = {}
    for number in range(9):
        n = int(rng.integers(1, 12))
        ids = [f"{x:03d}" for x in rng.permutation(1000)[:n] + 1000 * number]
        words = [str(w) for w in rng.choice(["a", "b", "c", "d"], n)]
        kind = "instruction" if number in (3, 4) else "image-text"
        columns = (
            {"id": ids, "instruction": words, "output": words}
            if kind == "instruction"
            else captions(words, ids)
        )
        part = add(store, columns, kind)
        scores = [None if rng.random() < 0.2 else float(np.float32(rng.random())) for _ in range(n)]
        if number % 2:
            tables[part.part_id] = {"clip_score": pa.array(scores, pa.float32())}
        rows += [
            {
                "seq": part.seq_lo + i,
                "id": ids[i],
                "kind": kind,
                "part": part.part_id,
                "caption": words[i] if kind == "image-text" else None,
                "score": scores[i] if number % 2 else None,
            }
            for i in range(n)
        ]
    give(store, column_set(SCORES), tables)
    gone = {r["seq"] for r in rows if rng.random() < 0.2}
    remove(store, sorted(gone))
    chosen = [int(s) for s in rng.choice([r["seq"] for r in rows], len(rows) // 2, replace=False)]
    select(store, "core", chosen)
    return store, [r for r in rows if r["seq"] not in gone], set(chosen)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("where"), st.floats(0, 1)),
        st.tuples(st.just("limit"), st.integers(0, 40)),
        st.tuples(st.just("distinct"), st.booleans()),
        st.tuples(st.just("within"), st.booleans()),
        st.tuples(st.just("of_kind"), st.sampled_from(["image-text", "instruction"])),
        st.tuples(st.just("at"), st.integers(1, 4)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=6,
)


def best(rows: list[Row], prefer: bool) -> list[Row]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["caption"], []).append(row)

    def key(row: Row) -> tuple[Any, ...]:
        score = row["score"]
        return (score is None, -(score or 0), row["id"]) if prefer else (row["id"],)

    kept = {min(group, key=key)["seq"] for group in groups.values()}
    return [r for r in rows if r["seq"] in kept]


@settings(max_examples=150, deadline=None)
@given(chain=steps, piece=st.sampled_from([1, 7, 1000]))
def test_chains(
    world: tuple[PartStore, list[Row], set[int]], chain: list[tuple[str, Any]], piece: int
) -> None:
    """`piece`: a chain gives the same in one query and in many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curate.store.query.PIECE", piece)
        _check_chain(*world, chain)


def _check_chain(store: PartStore, rows: list[Row], core: set[int], chain: list[tuple[str, Any]]) -> None:
    view = store.view()
    for step, value in chain:
        if step == "where":
            view = view.where(f"clip_score > {value!r}")
            rows = [r for r in rows if r["score"] is not None and r["score"] > value]
        elif step == "limit":
            view, rows = view.limit(value), rows[:value]
        elif step == "distinct":
            view, rows = view.distinct("caption", prefer="clip_score" if value else None), best(rows, value)
        elif step == "within":
            view, rows = view.within("core", value), [r for r in rows if (r["seq"] in core) == value]
        elif step == "of_kind":
            view, rows = view.of_kind(value), [r for r in rows if r["kind"] == value]
        elif step == "at":
            rows = rows[::value]
            view = view.at(np.array([r["seq"] for r in reversed(rows)], np.int64))
        else:
            assert len(view) == len(rows)  # from here on the rows are known
    table = view.to_arrow(["id", "caption", "clip_score"])
    assert table.column("id").to_pylist() == [r["id"] for r in rows]
    assert table.column("caption").to_pylist() == [r["caption"] for r in rows]
    assert table.column("clip_score").to_pylist() == [r["score"] for r in rows]
    assert view.seqs().tolist() == [r["seq"] for r in rows] and len(view) == len(rows)
    streamed = [i for b in view.batches(["id"], 5) for i in b.column(0).to_pylist()]
    assert streamed == [r["id"] for r in rows]
    numbered = view.sql("select _row, id from view", ["id"]).to_pydict()
    assert numbered == {"_row": list(range(len(rows))), "id": [r["id"] for r in rows]}


def test_the_model_is_not_trivial(world: tuple[PartStore, list[Row], set[int]], tmp_path: Path) -> None:
    _, rows, core = world
    assert len(rows) > 20 and sum(r["score"] is not None for r in rows) > 5
    assert 5 < sum(r["seq"] in core for r in rows) < len(rows) - 5
