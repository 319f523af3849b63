"""What the sections on elements and on disagreements and the map of items add to a report of many items.

    python benchmarks/report_sections.py [--items 1000000]

Items with three scored elements each, two scores that judge the same, 64 numbers each and a selection of a thousandth of them;
pictures are remote, so that nothing is decoded.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from _measure import markdown

from curate.contracts import detail, digest, score, vector
from curate.report.cards import CardMaker, find_layout
from curate.report.decision import decide
from curate.report.disagreements import collect_disagreements
from curate.report.elements import collect_elements
from curate.report.excerpts import Excerpts
from curate.report.maps import MapOptions, collect_map
from curate.store import Changes, ColumnSet, PartStore, SelectionInfo

DIM = 64
ELEMENTS = pa.list_(pa.struct([("element", pa.string()), ("score", pa.float32())]))


def fill(path: Path, n: int) -> PartStore:
    """A store of one part of items and two sets of columns."""
    rng = np.random.default_rng(0)
    store = PartStore.create(path)
    items = {
        "id": pa.array([f"i{i:08}" for i in range(n)]),
        "image": pa.array(["https://example.org/x.png"] * n),
        "caption": pa.array(["a red car on a road"] * n),
    }
    structs = pa.StructArray.from_arrays(
        [pa.array(["red", "car", "road"] * n), pa.array(rng.random(3 * n, np.float32))], ["element", "score"]
    )
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, 3 * n + 1, 3), pa.int32()), structs)
    flat = rng.standard_normal(n * DIM, np.float32)
    sets = {
        "clip-score": [(score("clip_score"), pa.array(rng.random(n, np.float32)))],
        "fga-blip2": [
            (score("fga_blip2"), pa.array(rng.random(n, np.float32))),
            (detail("fga_blip2_elements", ELEMENTS), lists),
        ],
        "vectors": [(vector("vectors", DIM), pa.FixedSizeListArray.from_arrays(pa.array(flat), DIM))],
    }
    with store.writer() as writer:
        store.commit(Changes(op="fill", token="items", add=[writer.items(pa.table(items), "image-text")]))
        base = store.snapshot().items[0]
        for scorer, columns in sets.items():
            schema = pa.schema([field for field, _ in columns])
            name = scorer.replace("-", "_")
            made = ColumnSet(name, digest(name), schema.serialize().to_pybytes(), scorer, 1, {})
            table = pa.table([values.cast(field.type) for field, values in columns], schema=schema)
            parts = writer.columns(table, base, made)
            store.commit(Changes(op="fill", token=name, add=parts, columns=[made]))
        chosen = pa.table(
            {
                "seq": pa.array(np.arange(0, n, 1000), pa.int64()),
                "rank": pa.array(np.arange(len(range(0, n, 1000))), pa.int32()),
                "weight": pa.nulls(len(range(0, n, 1000)), pa.float32()),
                "gain": pa.nulls(len(range(0, n, 1000)), pa.float32()),
                "reason": pa.array(["because"] * len(range(0, n, 1000))),
            }
        )
        info = SelectionInfo("core", digest("core"), len(chosen), 0, store.snapshot().version, {})
        part = writer.selection(chosen, digest("core"))
        store.commit(Changes(op="fill", token="core", add=[part], selections=[info]))
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    n = parser.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        store = fill(Path(folder) / "many.curate", n)
        decision = decide(store, None, "core")
        maker = CardMaker(decision, find_layout(decision.view, ["image-text"]), Excerpts())
        sections: dict[str, Callable[[], object]] = {
            "elements": lambda: collect_elements(maker, 24),
            "map, pca": lambda: collect_map(store, maker, (), options=MapOptions(), most=1000),
            "map, t-sne": lambda: collect_map(store, maker, (), options=MapOptions(by="t-sne"), most=1000),
            "disagreements": lambda: collect_disagreements(maker, ["clip_score", "fga_blip2"], 24),
        }
        rows = []
        for name, collect in sections.items():
            wall, cpu = time.perf_counter(), time.process_time()
            collect()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
                1e6 if sys.platform == "darwin" else 1e3
            )
            seconds = time.perf_counter() - wall, time.process_time() - cpu
            rows.append([name, f"{n:,}", *(f"{s:.1f}" for s in seconds), f"{peak:.0f}"])
        store.close()
    print(markdown(["section", "items", "wall s", "CPU s", "peak MB, the filling included"], rows))


if __name__ == "__main__":
    main()
