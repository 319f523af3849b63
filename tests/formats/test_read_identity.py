"""Content hashes, derived ids, duplicate ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.formats.normalise import DerivedIds, DuplicateIds, finish
from curate.kinds import kind

PINNED_HASH = 10478071327716750239
PINNED_ID = "257813379d3a6350445daacd33b0561c"
LABEL, IMAGES = kind("label"), kind("image-text")


def rows(records: list[dict[str, Any]], schema: pa.Schema | None = None) -> pa.Table:
    table = pa.Table.from_pylist(records, schema)
    for name, values in {
        "id": pa.nulls(len(table), pa.string()),
        "_source": pa.repeat("s", len(table)),
        "_index": pa.array(range(len(table))),
    }.items():
        if name not in table.column_names:
            table = table.append_column(name, values)
    return table


def hashes(table: pa.Table, of: Any = LABEL) -> list[int]:
    return finish(table, of)["_hash"].to_pylist()


def test_the_hash_is_pinned() -> None:
    """A change here makes every item of every existing store look changed when it is imported again."""
    table = finish(
        rows([{"text": "a", "label": "b", "n": 1, "own": "x", "flag": True, "list": [1, 2]}]), LABEL
    )
    assert table["_hash"].to_pylist() == [PINNED_HASH]
    assert table["id"].to_pylist() == [PINNED_ID]


def test_what_does_not_change_the_hash() -> None:
    base = rows([{"text": "a", "label": "b", "n": 1, "own": "x"}])
    same = [
        base.select(["own", "n", "label", "text", "id", "_source", "_index"]),
        base.set_column(2, "n", pa.array([1], pa.int8())),
        base.set_column(2, "n", pa.array([1], pa.uint64())),
        base.set_column(2, "n", pa.array([1.0])),
        base.set_column(2, "n", pa.array([1.0], pa.float32())),
        base.set_column(0, "text", pa.array(["a"], pa.large_string())),
        base.set_column(0, "text", pa.array(["a"]).dictionary_encode()),
        base.append_column("empty", pa.nulls(1)),
        base.append_column("image", pa.nulls(1, pa.string())),
        base.set_column(base.column_names.index("_source"), "_source", pa.array(["elsewhere"])),
        base.set_column(base.column_names.index("id"), "id", pa.array(["given"])),
        pa.concat_tables([rows([{"text": "q", "label": "b", "n": 1, "own": "x"}]), base]).slice(1),
    ]
    expected = hashes(base)
    for table in same:
        assert hashes(table) == expected


def test_what_changes_the_hash() -> None:
    base = {"text": "a", "label": "b", "n": 1, "own": "x", "list": [1]}
    changed: list[dict[str, Any]] = [
        base, {**base, "text": "A"}, {**base, "label": None}, {**base, "n": 2}, {**base, "n": None}, {**base, "own": ""},
        {**base, "own": "x\0"}, {**base, "list": [1, 1]}, {**base, "list": []}, {**base, "more": 1}, {"text": "b", "label": "a"},
        {"text": "ab", "label": ""}, {"text": "", "label": "ab"}, {**base, "n": 1.5}, {**base, "n": -1}, {**base, "m": 1, "n": None},
    ]  # fmt: skip
    assert len({hashes(rows([record]))[0] for record in changed}) == len(changed)


def test_media_count_by_digest_where_it_is_known() -> None:
    def image(uri: str | None, sha: bytes | None, data: bytes | None = None) -> pa.Table:
        table = rows(
            [{"image": uri, "caption": "c"}], pa.schema([("image", pa.string()), ("caption", pa.string())])
        )
        table = table.append_column("image_sha256", pa.array([sha], pa.binary(32)))
        table = table.append_column("image_width", pa.array([None if sha is None else 5], pa.int32()))
        return table.append_column("image_data", pa.array([data], pa.binary()))

    def ident(table: pa.Table) -> tuple[Any, ...]:
        done = finish(table, IMAGES)
        return done["_hash"][0].as_py(), done["id"][0].as_py()

    a, b = b"a" * 32, b"b" * 32
    assert ident(image("/old/x.jpg", a)) == ident(image("/new/y.jpg", a)) == ident(image(None, a))
    assert ident(image("/x.jpg", a)) != ident(image("/x.jpg", b))
    assert ident(image("/x.jpg", None)) != ident(image("/y.jpg", None))
    assert ident(image(None, None, b"1")) != ident(image(None, None, b"2"))
    assert ident(image("/x.jpg", a)) == ident(image("/x.jpg", a).drop_columns(["image_width"]))


def test_ids_are_made_of_content_and_told_apart() -> None:
    derived = DerivedIds()
    records = [{"text": t, "label": "l", "n": i} for i, t in enumerate("abacaa")]
    first = finish(rows(records), LABEL, derived)["id"].to_pylist()
    a, b, c = first[0], first[1], first[3]
    assert first == [a, b, f"{a}~2", c, f"{a}~3", f"{a}~4"]
    assert len(a) == 32 and set(a) <= set("0123456789abcdef")
    again = finish(rows(records[::-1]), LABEL, derived)["id"].to_pylist()
    assert again == [f"{a}~5", f"{a}~6", f"{c}~2", f"{a}~7", f"{b}~2", f"{a}~8"]
    assert finish(rows(records), LABEL)["id"].to_pylist() == first


def test_given_ids_stay() -> None:
    table = rows([{"id": "mine", "text": "a", "label": "l"}, {"id": None, "text": "a", "label": "l"}])
    done = finish(table, LABEL)["id"].to_pylist()
    assert done[0] == "mine"
    assert len(done[1]) == 32


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab", max_size=2), max_size=40), st.integers(1, 9))
def test_derived_ids_do_not_depend_on_the_size_of_batches(texts: list[str], size: int) -> None:
    derived = DerivedIds()
    records = [{"text": t, "label": "l"} for t in texts]
    parts = [
        finish(rows(records[i : i + size]), LABEL, derived)["id"].to_pylist()
        for i in range(0, len(records), size)
    ]
    ids = [i for part in parts for i in part]
    assert len(set(ids)) == len(ids)
    if records:
        assert ids == finish(rows(records), LABEL)["id"].to_pylist()
    seen: dict[str, int] = {}
    for text, ident in zip(texts, ids, strict=True):
        seen[text] = seen.get(text, 0) + 1
        assert ident.partition("~")[2] == ("" if seen[text] == 1 else str(seen[text]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c/d", "🦀", "e" * 40]), max_size=40), st.integers(1, 9))
def test_the_first_of_equal_ids_is_kept_and_named(ids: list[str], size: int) -> None:
    duplicates = DuplicateIds()
    kept: list[tuple[str, int]] = []
    lost: list[dict[str, Any]] = []
    for start in range(0, len(ids), size):
        part = ids[start : start + size]
        table = pa.table(
            {
                "id": part,
                "x": [1] * len(part),
                "_source": [f"file{start % 2}"] * len(part),
                "_index": range(start, start + len(part)),
            }
        )
        good, bad = duplicates.split(table)
        kept += list(zip(good["id"].to_pylist(), good["_index"].to_pylist(), strict=True))
        lost += bad.to_pylist()
    first = {i: ids.index(i) for i in ids}
    assert kept == sorted(first.items(), key=lambda item: item[1])
    assert [(r["id"], r["row"]) for r in lost] == [(v, i) for i, v in enumerate(ids) if i != first[v]]
    for r in lost:
        at = first[r["id"]]
        assert r["code"] == "duplicate-id"
        assert r["reason"].startswith(f"row {at} of file{at // size * size % 2} has the id")


def test_a_hundred_thousand_ids_take_few_bytes() -> None:
    duplicates = DuplicateIds()
    for start in range(0, 100_000, 10_000):
        ids = [f"item-{i}" for i in range(start, start + 10_000)]
        table = pa.table({"id": ids, "_source": ["s"] * 10_000, "_index": range(start, start + 10_000)})
        assert duplicates.split(table)[1].num_rows == 0
    assert sum(run.nbytes for run in duplicates._seen._runs) == 100_000 * 24
    again = pa.table({"id": ["item-77"], "_source": ["s"], "_index": [100_000]})
    assert duplicates.split(again)[1]["reason"][0].as_py() == "row 77 of s has the id 'item-77' already"


@pytest.mark.parametrize("of", ["image-text", "speech", "label", "instruction", "preference"])
def test_empty_tables(of: str) -> None:
    table = pa.table(
        {
            "id": pa.array([], pa.string()),
            "_source": pa.array([], pa.string()),
            "_index": pa.array([], pa.int64()),
        }
    )
    done = finish(table, kind(of), DerivedIds())
    assert (done.num_rows, str(done.schema.field("_hash").type)) == (0, "uint64")
    assert DuplicateIds().split(done)[0].num_rows == 0


def test_numbers_mix_well() -> None:
    table = pa.table({"id": pa.nulls(100_000, pa.string()), "n": np.arange(100_000), "m": np.zeros(100_000)})
    assert len(set(finish(table, LABEL)["_hash"].to_pylist())) == 100_000
