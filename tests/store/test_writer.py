"""Part files: the same rows give the same bytes, rows come back as they were, and odd tables are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_workload import column_set, item_table

from curate import contracts
from curate.errors import SchemaError
from curate.store import NewPart, Part, PartWriter
from curate.store.encoding import parquet_bytes


@pytest.fixture
def writer(tmp_path: Path) -> PartWriter:
    return PartWriter(tmp_path / "store", "me")


def base_of(rows: int) -> Part:
    return Part("base", "items", "", rows, 0, "", b"")


def read(writer: PartWriter, part: NewPart) -> pa.Table:
    path = writer.store_path / part.path
    if path.suffix == ".arrow":
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    return pq.read_table(path)


def test_the_same_rows_give_the_same_file_whoever_writes_them(writer: PartWriter) -> None:
    table = item_table("a", 10).append_column("_source", pa.array(["x", "y"] * 5).dictionary_encode())
    first = writer.items(table, "instruction")
    data = (writer.store_path / first.path).read_bytes()
    halves = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    turned = pa.DictionaryArray.from_arrays(pa.array([1, 2] * 5, pa.int32()), pa.array(["unused", "x", "y"]))
    for other in (halves, table.set_column(3, "_source", turned), pa.concat_tables([table, table]).slice(10)):
        part = PartWriter(writer.store_path, "another").items(other, "instruction")
        assert part == first
        assert (writer.store_path / part.path).read_bytes() == data
    assert part.path == f"parts/items/{part.part_id}.parquet" and part.bytes == len(data)


def test_place_and_content_make_the_name(writer: PartWriter) -> None:
    table = pa.table({"quality": pa.array([1.0], pa.float32())})
    names = {
        writer.columns(table, base_of(1), column_set())[0].part_id,
        writer.columns(table, base_of(1), column_set("other"))[0].part_id,
        writer.columns(table, Part("b2", "items", "", 1, 0, "", b""), column_set())[0].part_id,
        writer.columns(pa.table({"quality": pa.array([2.0], pa.float32())}), base_of(1), column_set())[
            0
        ].part_id,
        writer.rejected(table).part_id,
        writer.items(item_table("a"), "instruction").part_id,
        writer.items(item_table("a"), "label").part_id,
    }
    assert len(names) == 7


def test_scalars_and_vectors_go_to_their_own_files(writer: PartWriter) -> None:
    fields = [contracts.score("s"), contracts.vector("v"), contracts.vector("w", 2, pa.float16())]
    fields += [contracts.detail("tags", pa.list_(pa.string()))]
    columns = [[0.5, None, 1.5], [[1, 2], None, [3, 4]], [[1, 2], [3, 4], [5, 6]], [["a"], [], None]]
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, fields, strict=True)], schema=pa.schema(fields)
    )
    scalars, v, w = writer.columns(table, base_of(3), column_set(), {"failed": 1})
    assert [p.table for p in (scalars, v, w)] == ["column", "vector", "vector"]
    assert (dict(scalars.stats), dict(v.stats)) == ({"failed": 1}, {})
    assert read(writer, scalars).to_pydict() == {"s": columns[0], "tags": columns[3]}
    assert read(writer, v)["v"].to_pylist() == columns[1]
    assert v.arrow_schema().field("v").type == pa.list_(pa.float32(), 2)
    assert w.arrow_schema().field("w").type == pa.list_(pa.float16(), 2)
    assert [contracts.role_of(p.arrow_schema().field(0)) for p in (scalars, v)] == ["score", "vector"]


def test_vectors_are_mapped_without_a_copy(writer: PartWriter) -> None:
    values = np.arange(1000 * 8, dtype=np.float32)
    array = pa.FixedSizeListArray.from_arrays(pa.array(values), 8)
    (part,) = writer.columns(pa.table({"v": array}), base_of(1000), column_set())
    before = pa.total_allocated_bytes()
    table = read(writer, part)
    found = table["v"].chunk(0).values.to_numpy(zero_copy_only=True)
    assert table["v"].num_chunks == 1 and np.array_equal(found, values)
    assert pa.total_allocated_bytes() - before < values.nbytes / 2


def test_what_lies_under_a_null_does_not_matter(writer: PartWriter) -> None:
    mask = pa.array([False, True])
    parts = [
        writer.columns(
            pa.table({"v": pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), 2, mask=mask)}),
            base_of(2),
            column_set(),
        )
        for values in ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 5.0, 6.0])
    ]
    assert parts[0] == parts[1]
    assert read(writer, parts[0][0])["v"].to_pylist() == [[1.0, 2.0], None]


def test_tables_that_are_refused(writer: PartWriter) -> None:
    with pytest.raises(SchemaError, match="a table of items lacks id: it has caption"):
        writer.items(pa.table({"caption": ["x"]}), "instruction")
    with pytest.raises(SchemaError, match="is int64: ids are strings"):
        writer.items(pa.table({"id": [1]}), "instruction")
    with pytest.raises(SchemaError, match="different in every row: 'b', 'a' are there more than once"):
        writer.items(pa.table({"id": ["c", "b", "b", "a", "a"]}), "instruction")
    with pytest.raises(SchemaError, match="1 are null"):
        writer.items(pa.table({"id": ["a", None]}), "instruction")
    for rows, said in (
        ([[1.0], [1.0, 2.0]], r"different lengths \(1, 2\)"),
        ([[1.0], [None]], "nulls inside"),
    ):
        with pytest.raises(SchemaError, match=said):
            writer.columns(pa.table({"v": pa.array(rows, pa.list_(pa.float32()))}), base_of(2), column_set())
    with pytest.raises(SchemaError, match="no columns to store for 'quality'"):
        writer.columns(pa.table({"v": [1]}).select([]), base_of(1), column_set())
    with pytest.raises(SchemaError, match="a selection lacks rank, weight, gain, reason"):
        writer.selection(pa.table({"seq": [1]}), "digest")
    assert not (writer.store_path / "parts").exists()


def test_empty_tables(writer: PartWriter) -> None:
    items = writer.items(item_table("a").slice(0, 0), "instruction")
    table = pa.table({"v": pa.array([], pa.list_(pa.float32(), 3)), "s": pa.array([], pa.float32())})
    scalars, vectors = writer.columns(table, base_of(0), column_set())
    assert [p.rows for p in (items, scalars, vectors)] == [0, 0, 0]
    assert [read(writer, p).num_rows for p in (items, scalars, vectors)] == [0, 0, 0]


def test_how_parquet_is_written() -> None:
    rows = 5000
    table = pa.table(
        {
            "id": [f"id {i}" for i in range(rows)],
            "lang": ["en", "de"] * (rows // 2),
            "s": np.random.default_rng(0).random(rows, dtype=np.float32),
        }
    )
    data = parquet_bytes(table)
    meta = pq.read_metadata(pa.BufferReader(data))
    columns = {meta.row_group(0).column(i).path_in_schema: meta.row_group(0).column(i) for i in range(3)}
    assert meta.num_row_groups == 1
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    assert "BYTE_STREAM_SPLIT" in columns["s"].encodings
    assert ["RLE_DICTIONARY" in columns[n].encodings for n in ("id", "lang", "s")] == [False, True, False]
    assert columns["id"].statistics.min == "id 0" and columns["s"].is_stats_set
    flipped = bytearray(data)
    flipped[columns["s"].data_page_offset + 400] ^= 1
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        pq.read_table(pa.BufferReader(bytes(flipped)), page_checksum_verification=True)


VALUES = st.one_of(
    st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=20).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))).map(lambda v: pa.array(v, pa.int64())),
    st.lists(st.one_of(st.none(), st.floats(allow_nan=False, width=32))).map(
        lambda v: pa.array(v, pa.float32())
    ),
    st.lists(st.one_of(st.none(), st.booleans())).map(lambda v: pa.array(v, pa.bool_())),
    st.lists(st.one_of(st.none(), st.sampled_from("ab"))).map(
        lambda v: pa.array(v, pa.string()).dictionary_encode()
    ),
    st.lists(st.one_of(st.none(), st.lists(st.text(max_size=2)))).map(
        lambda v: pa.array(v, pa.list_(pa.string()))
    ),
    st.lists(st.one_of(st.none(), st.binary(min_size=4, max_size=4))).map(
        lambda v: pa.array(v, pa.binary(4))
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, st.integers(0, 30))
def test_any_column_comes_back_as_it_was(values: pa.Array, cut: int) -> None:
    table = pa.table({"x": values})
    data = parquet_bytes(table)
    back = pq.read_table(pa.BufferReader(data))
    assert back["x"].to_pylist() == values.to_pylist() and back.schema == table.schema
    assert parquet_bytes(pa.concat_tables([table.slice(0, cut), table.slice(cut)])) == data
