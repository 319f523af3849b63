"""Small stores made by hand, so that every number of a report can be counted on paper."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from curate.contracts import detail, digest, flag, score
from curate.run.ledger import RunRecord, StepRecord
from curate.store import Changes, ColumnSet, PartStore, SelectionInfo

sys.path.insert(0, str(Path(__file__).parent))  # the tests share stores and pages

from report_stores import DUPLICATE, KEEP, SHARP

Fields = list[tuple[pa.Field, list[Any]]]


class StoreMaker:
    """Writes items, scores, selections and rejections into a store, one commit each."""

    def __init__(self, path: Path) -> None:
        self.store = PartStore.create(path)
        self._tokens = 0

    def _commit(self, **changes: Any) -> None:
        self._tokens += 1
        self.store.commit(Changes(op="test", token=f"t{self._tokens}", **changes))

    def items(self, kind: str, columns: Mapping[str, list[Any] | pa.Array]) -> StoreMaker:
        with self.store.writer() as writer:
            self._commit(add=[writer.items(pa.table(dict(columns)), kind)])
        return self

    def score(self, name: str, fields: Fields, scorer: str | None = None, **params: Any) -> StoreMaker:
        """Columns for all items, given as (field, values) over all item parts in order."""
        schema = pa.schema([field for field, _ in fields])
        scorer = scorer or name.replace("_", "-")
        made = ColumnSet(name, digest(name, params), schema.serialize().to_pybytes(), scorer, 1, params)
        parts, start = [], 0
        with self.store.writer() as writer:
            for base in self.store.snapshot().items:
                rows = slice(start, start + base.rows)
                table = pa.table([pa.array(v[rows], f.type) for f, v in fields], schema=schema)
                parts += writer.columns(table, base, made)
                start += base.rows
            self._commit(add=parts, columns=[made])
        return self

    def select(self, name: str, seqs: list[int], reason: str = "", **stats: Any) -> StoreMaker:
        identity = digest("selection", name, seqs)
        k = len(seqs)
        table = pa.table(
            {
                "seq": pa.array(seqs, pa.int64()),
                "rank": pa.array(range(k), pa.int32()),
                "weight": pa.nulls(k, pa.float32()),
                "gain": pa.nulls(k, pa.float32()),
                "reason": pa.array([f"{reason} {i}" if reason else "" for i in range(k)], pa.string()),
            }
        )
        info = SelectionInfo(name, identity, k, 7, self.store.snapshot().version, stats)
        with self.store.writer() as writer:
            self._commit(add=[writer.selection(table, identity)], selections=[info])
        return self

    def reject(self, rows: list[dict[str, Any]]) -> StoreMaker:
        with self.store.writer() as writer:
            self._commit(add=[writer.rejected(pa.Table.from_pylist(rows))])
        return self


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., StoreMaker]:
    """A maker of a store of a given name."""
    return lambda name="test.curate": StoreMaker(tmp_path / name)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str, int], str]:
    """Writes a picture of 300 x 200 pixels in one grey, and returns its address."""

    def write(name: str, grey: int) -> str:
        path = tmp_path / f"{name}.png"
        Image.fromarray(np.full((200, 300, 3), grey, np.uint8)).save(path)
        return str(path)

    return write


@pytest.fixture
def tone(tmp_path: Path) -> Callable[[str, float], str]:
    """Writes a tone of so many seconds at 8 kHz, and returns its address."""

    def write(name: str, seconds: float) -> str:
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, 0.5 * np.sin(np.arange(int(8000 * seconds)) / 5), 8000)
        return str(path)

    return write


@pytest.fixture
def make_run() -> Callable[..., RunRecord]:
    """A run record of the given steps; times and id can be varied."""

    def make(*steps: StepRecord, run_id: str = "r1", seconds: float = 1.5, **recipe: Any) -> RunRecord:
        return RunRecord(run_id, "done", 1.7e9, seconds, recipe or None, "abc123", 7, list(steps))

    return make


@pytest.fixture
def photos(make_store: Callable[..., Any], picture: Callable[[str, int], str]) -> PartStore:
    """Ten pictures with a score, a duplicate flag, labels, sources and three rejected rows."""
    maker = make_store().items(
        "label",
        {
            "id": [f"i{i}" for i in range(10)],
            "image": [picture(f"p{i}", 20 * i) for i in range(10)],
            "label": ["cat"] * 6 + ["dog"] * 4,
            "_source": ["a"] * 5 + ["b"] * 5,
        },
    )
    maker.score(
        "sharp",
        [
            (score("sharp"), SHARP),
            (pa.field("sharp_reason", pa.string()), [None, None, None, "no picture: truncated", *[None] * 6]),
        ],
        scorer="sharpness",
    )
    maker.score(
        "near_duplicate",
        [
            (flag("near_duplicate"), DUPLICATE),
            (detail("near_duplicate_of", pa.string()), [None, None, "i0", None, None, None, "i0", *[None] * 3]),
            (detail("near_duplicate_similarity", pa.float32()), [None, None, 0.96875, None, None, None, 0.984375, *[None] * 3]),
        ],
    )  # fmt: skip
    maker.reject(
        [
            {"source": "x.csv", "row": r, "id": f"bad{r}", "code": c, "reason": "why", "data": "{}"}
            for r, c in enumerate(["empty", "empty", "truncated"])
        ]
    )
    return maker.store


@pytest.fixture
def run(make_run: Callable[..., RunRecord]) -> RunRecord:
    return make_run(
        StepRecord(1, "import", "x.csv", "import x.csv", after=10, counts={"read": 13, "rejected": 3}),
        StepRecord(
            2, "score", "sharpness", "score sharpness", before=10, after=10, counts={"scored": 9, "failed": 1}
        ),
        StepRecord(3, "keep", "keep-1", f"keep {KEEP}", before=10, after=4, expression=KEEP),
        name="Photos",
    )


@pytest.fixture
def selected(photos: PartStore, make_store: Callable[..., Any]) -> PartStore:
    maker = object.__new__(type(make_store("unused.curate")))
    maker.store, maker._tokens = photos, 100
    maker.select(
        "core",
        [8, 0],
        reason="rank",
        selector="top",
        params={"by": "sharp"},
        random={"objective": 0.85, "random": 0.65},
    )
    return photos
