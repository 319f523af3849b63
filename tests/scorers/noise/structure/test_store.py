"""Lists, lists of lists and numbers as they come out of a store, and what the scorers write back into it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("cleanlab", reason="extra noise not installed")

import curate
from curate.errors import SchemaError

N = 60


def items(folder: Path) -> Path:
    """A file with every kind of column: sets, sequences with their distributions, amounts, probabilities."""
    rng = np.random.default_rng(0)
    tags = rng.random((N, 3)) < 0.4
    tags[0], tags[1] = True, False
    given = tags.copy()
    given[7, 1] = not given[7, 1]
    lengths = rng.integers(1, 6, N)
    truth = [rng.integers(0, 2, length) for length in lengths]
    sure = [
        np.where(t[:, None] == [0, 1], 0.9, 0.1) + rng.normal(0, 0.01, (len(t), 1)) * [1, -1] for t in truth
    ]
    spoken = [[str(v) for v in t] for t in truth]
    spoken[9][0] = "1" if spoken[9][0] == "0" else "0"
    amount = rng.normal(0, 10, N)
    forecast = amount + rng.normal(0, 0.5, N)
    amount[11] += 20
    label = np.arange(N) % 3
    probs = np.full((N, 3), 0.05) + 0.85 * np.eye(3)[label]
    probs[13] = [0.48, 0.48, 0.04]
    table = pa.table(
        {
            "id": [f"{i:03d}" for i in range(N)],
            "text": [f"item {i}" for i in range(N)],
            "label": [str(i) for i in label],
            "tags": [[f"tag{j}" for j in np.flatnonzero(row)] for row in given],
            "tag_probs": pa.array((tags * 0.8 + 0.1).tolist(), pa.list_(pa.float32(), 3)),
            "spoken": spoken,
            "spoken_probs": [row.tolist() for row in sure],
            "amount": amount,
            "forecast": forecast,
            "probs": pa.array(probs.tolist(), pa.list_(pa.float32(), 3)),
            "chance": probs[:, 0],
            "ragged": pa.array([[0.5] * (2 + i % 2) for i in range(N)], pa.list_(pa.float32())),
            "some": pa.array([None if i == 5 else row.tolist() for i, row in enumerate(probs)]),
        }
    )
    pq.write_table(table, folder / "items.parquet")
    return folder / "items.parquet"


def test_every_scorer_reads_a_store_and_writes_into_it(tmp_path: Path) -> None:
    store = curate.open(tmp_path / "s.curate", create=True)
    store.add(str(items(tmp_path)), kind="label")
    store.score("multilabel-errors", labels="tags", pred_probs="tag_probs")
    store.score("token-errors", labels="spoken", pred_probs="spoken_probs", filter_by="predicted_neq_given")
    store.score("regression-errors", labels="amount", predictions="forecast")
    store.score("positive-unlabelled", positive="0", probabilities="chance")
    store.score("missing-labels", pred_probs=["probs"])
    rows = {row["id"]: row for row in store.items.to_arrow().to_pylist()}
    assert len(rows) == N
    assert rows["007"]["labels_to_add"] + rows["007"]["labels_to_remove"] == ["tag1"]
    assert [issue["position"] for issue in rows["009"]["token_issues"]] == [0]
    assert rows["010"]["token_issues"] == []
    assert rows["011"]["value_issue"] and rows["011"]["value_deviation"] > 5
    assert rows["000"]["positive_unlabelled"] == 1.0
    assert len(rows["013"]["soft_label"]) == 3 and sum(rows["013"]["soft_label"]) == pytest.approx(1)
    worst = store.items.where("label_missing").to_arrow(["id"])["id"].to_pylist()
    assert worst == ["013"]
    store.score("missing-labels", pred_probs=["some"], name="other")
    row = store.items.where("id = '005'").to_arrow().to_pylist()[0]
    assert row["other"] is None and row["other_reason"] == "some: no predicted probabilities"
    with pytest.raises(SchemaError, match=r"lists of \[2, 3\] numbers"):
        store.score("missing-labels", pred_probs=["ragged"], name="third")
    store.export(tmp_path / "out", format="parquet")
    written = pq.read_table(next((tmp_path / "out").rglob("*.parquet")))
    assert {"soft_label", "token_issues", "labels_to_add", "suggested_value"} <= set(written.column_names)
