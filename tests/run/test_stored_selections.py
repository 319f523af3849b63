"""A selection is stored in runs of rows; what is read of it does not tell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.run.selections import store_selection
from curate.spool import Spool
from curate.store import Changes, PartStore

SEQS = np.array([7, 0, 9, 3, 4, 1, 8], np.int64)
NUMBERS = np.arange(7, dtype=np.float32) / 4


def stored(folder: Path, seqs: npt.NDArray[np.int64] = SEQS, **given: Any) -> tuple[PartStore, pa.Table]:
    store = PartStore.create(folder)
    context = SimpleNamespace(
        store=store, commit=lambda op, **changes: store.commit(Changes(op=op, token="t", **changes))
    )
    store_selection(cast("Any", context), "core", "digest", seqs, result={}, kind="select", **given)
    return store, store.selection_table("core")


@pytest.mark.parametrize("rows, groups", [(3, [3, 3, 1]), (7, [7]), (6, [6, 1])])
@pytest.mark.parametrize(
    "given",
    [{"reason": "all"}, {"reason": list("abcdefg"), "gain": NUMBERS, "weight": NUMBERS[::-1]}],
    ids=["one reason", "all told"],
)
def test_runs_of_rows_make_the_same_selection(
    given: dict[str, Any], rows: int, groups: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = stored(tmp_path / "whole", **given)
    for place in ("curate.run.selections", "curate.store.streams"):
        monkeypatch.setattr(f"{place}.GROUP_ROWS", rows)
    store, table = stored(tmp_path / "runs", **given)
    assert table.equals(whole) and table["seq"].to_pylist() == SEQS.tolist()
    assert table["rank"].to_pylist() == list(range(7))
    assert table["reason"].to_pylist() == (
        ["all"] * 7 if isinstance(given["reason"], str) else given["reason"]
    )
    (part,) = store.snapshot().selection_parts["digest"]
    file = pq.ParquetFile(store.path / part.path)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == groups
    assert store.verify() == []


def test_what_is_mapped_makes_the_same_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.run.selections.GROUP_ROWS", 3)
    spools = Spool(np.int64, tmp_path, held=0), Spool(np.float32, tmp_path, held=0)
    for spool, values in zip(spools, (SEQS, NUMBERS), strict=True):
        spool.append(values)
    seqs, gain = (spool.array() for spool in spools)
    held, table = stored(tmp_path / "held", gain=NUMBERS)
    store, again = stored(tmp_path / "mapped", seqs, gain=gain)
    assert again.equals(table)
    ids = [[p.part_id for p in s.snapshot().selection_parts["digest"]] for s in (held, store)]
    assert ids[0] == ids[1]


def test_nothing_chosen_is_a_selection(tmp_path: Path) -> None:
    store, table = stored(tmp_path / "none", SEQS[:0], reason="none")
    assert table.num_rows == 0 and store.snapshot().selections["core"].rows == 0
