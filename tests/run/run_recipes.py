"""Rows, and steps that tests of what is checked ahead begin with."""

from __future__ import annotations

import pyarrow as pa

ITEMS = [{"id": f"i{n}", "text": f"text number {n}", "label": "ab"[n % 2]} for n in range(6)]
ROWS = pa.table(
    {
        "id": ["a", "b", "c"],
        "sentence": ["one", "two", "three"],
        "label": ["x", "y", "x"],
        "rating": [1, 2, 3],
    }
)
IMPORT = {"import": "rows.parquet", "kind": "label", "columns": {"text": "sentence"}}
FIRST = [IMPORT, {"score": "text-basics"}, {"score": "exact-duplicate", "as": "same"}]
ATTACH = {"attach": "v.npy", "as": "vec", "ids": "rows"}
