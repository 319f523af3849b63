"""Vectors from files and memory, with or without ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from curate.errors import InputError, UnknownNameError
from curate.formats import read_vectors

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)
IDS = ["a", "b/c", "🦀"]


def check(source: Any, expected: list[str] | None = None, **options: Any) -> None:
    found, values = read_vectors(source, **options)
    assert (None if found is None else found.to_pylist()) == expected
    assert np.array_equal(values, VALUES)
    assert values.dtype == np.float32


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    check(tmp_path / "x.npy")
    assert isinstance(read_vectors(tmp_path / "x.npy")[1], np.memmap)
    np.savez(tmp_path / "x.npz", probs=VALUES, ids=np.array(IDS), note=np.zeros(4))
    check(tmp_path / "x.npz", IDS)
    np.savez(tmp_path / "y.npz", a=VALUES, b=VALUES + 1, true=np.zeros(3))
    check(tmp_path / "y.npz", key="a")
    with pytest.raises(InputError, match=r"a \(3, 2\), b \(3, 2\).*key="):
        read_vectors(tmp_path / "y.npz")
    with pytest.raises(UnknownNameError, match="Did you mean 'true'"):
        read_vectors(tmp_path / "y.npz", key="tru")
    with pytest.raises(InputError, match="key="):
        read_vectors(tmp_path / "x.npy", key="a")


def test_tables(tmp_path: Path) -> None:
    lists = pa.table({"id": IDS, "vector": pa.array(VALUES.tolist(), pa.list_(pa.float32()))})
    fixed = pa.table({"id": IDS, "vector": pa.FixedSizeListArray.from_arrays(VALUES.ravel(), 2)})
    wide = pa.table(
        {"id": IDS, "p1": VALUES[:, 1], "p0": VALUES[:, 0], "label": ["x", "y", "z"], "n": [1, 2, 3]}
    )
    for table in (lists, fixed, wide):
        pq.write_table(table, tmp_path / "x.parquet")
        check(tmp_path / "x.parquet", IDS)
        pyarrow.feather.write_feather(table, tmp_path / "x.arrow")
        check(tmp_path / "x.arrow", IDS)
        check(table, IDS)
        check(pa.concat_tables([table.slice(0, 1), table.slice(1)]), IDS)
    check(lists, IDS, column="vector")
    check(wide, IDS, key="p")
    both = lists.append_column("p0", pa.array(VALUES[:, 0])).append_column("p1", pa.array(VALUES[:, 1]))
    check(both, IDS, key="p")
    check(both, IDS, key="vector")
    with pytest.raises(InputError, match=r"vector, p0\.\."):
        read_vectors(both)
    with pytest.raises(UnknownNameError, match="vector"):
        read_vectors(both, key="vectr")
    with pytest.raises(InputError, match="no vector column"):
        read_vectors(pa.table({"id": IDS, "p0": [1.0, 2.0, 3.0], "p2": [1.0, 2.0, 3.0]}))


def test_polars_and_pandas() -> None:
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    check(
        polars.DataFrame(
            {"id": IDS, "vector": VALUES.tolist()},
            schema={"id": polars.String, "vector": polars.List(polars.Float32)},
        ),
        IDS,
    )
    check(pandas.DataFrame({"id": IDS, "p0": VALUES[:, 0], "p1": VALUES[:, 1]}), IDS)


def test_memory() -> None:
    check(VALUES)
    check(VALUES, IDS, ids=IDS)
    check({"ids": IDS, "probs": VALUES}, IDS)
    check({"id": IDS, "a": VALUES, "b": VALUES * 2}, IDS, key="a")
    assert read_vectors([[1, 2], [3, 4]])[1].tolist() == [[1, 2], [3, 4]]
    assert read_vectors(VALUES, ids=np.array([7, 8, 9]))[0].to_pylist() == ["7", "8", "9"]


def test_ids_from_files(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(IDS) + "\n", "utf-8")
    (tmp_path / "ids.csv").write_text("n,id\n" + "".join(f"{i},{v}\n" for i, v in enumerate(IDS)), "utf-8")
    np.save(tmp_path / "ids.npy", np.array(IDS))
    pq.write_table(pa.table({"other": [1, 2, 3], "id": IDS}), tmp_path / "ids.parquet")
    for name in ("ids.txt", "ids.csv", "ids.npy", "ids.parquet"):
        check(VALUES, IDS, ids=tmp_path / name)
    with pytest.raises(InputError, match="3 rows, and 2 ids are given for them"):
        read_vectors(VALUES, ids=["a", "b"])
    with pytest.raises(InputError, match=r"ids\.zip"):
        (tmp_path / "ids.zip").write_text("")
        read_vectors(VALUES, ids=tmp_path / "ids.zip")


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(3),
        np.zeros((3, 2, 2)),
        np.zeros((0, 2)),
        np.zeros((3, 0)),
        np.array([["a", "b"]]),
        np.zeros((2, 2), complex),
    ],
)
def test_what_is_no_table_of_numbers(wrong: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        read_vectors(wrong)


def test_lists_of_different_length_and_nulls() -> None:
    for column in ([[1.0, 2.0], [3.0]], [[1.0, 2.0], None]):
        with pytest.raises(InputError, match="'vector'"):
            read_vectors(pa.table({"vector": pa.array(column, pa.list_(pa.float32()))}))


def test_nan_is_kept_for_the_step_to_judge() -> None:
    assert np.isnan(read_vectors(np.array([[np.nan, 1.0]]))[1][0, 0])


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    objects = np.empty((1, 1), object)
    objects[0, 0] = Payload()
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", probs=objects)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(InputError, match="never loaded"):
            read_vectors(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_files_that_are_not_there_or_not_readable(tmp_path: Path) -> None:
    for name, content in {
        "x.npy": b"\x93NUMPY junk",
        "x.npz": b"PK junk",
        "x.parquet": b"junk",
        "x.arrow": b"junk",
        "x.pt": b"junk",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_vectors(tmp_path / name)
    with pytest.raises(InputError, match="there is no file"):
        read_vectors(tmp_path / "none.npy")
    with pytest.raises(InputError, match="a int holds no vectors"):
        read_vectors(5)


def test_real_probabilities(data_dir: Path) -> None:
    ids, values = read_vectors(data_dir / "led_pred_probs" / "cifar10n_worst_resnet18.npz")
    assert ids is None
    assert values.shape == (50000, 10)
    assert np.allclose(values.sum(1), 1, atol=1e-3)


def test_tensors_are_arrays() -> None:
    torch = pytest.importorskip("torch", reason="extra train not installed")
    values = np.array([[1.0, 2.5], [-3.0, 4.0]], np.float32)
    for tensor in (torch.tensor(values, requires_grad=True), torch.tensor(values).bfloat16()):
        ids, read = read_vectors(tensor, ids=["a", "b"])
        assert (
            ids is not None
            and ids.to_pylist() == ["a", "b"]
            and read.dtype == np.float32
            and np.array_equal(read, values)
        )
