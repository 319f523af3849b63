"""A report of a selection: who has the last word on what was kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_stores import KEEP, KEPT, shown, tiles

from curate.errors import UnknownNameError
from curate.report import write_report
from curate.report.collector import collect
from curate.report.decision import decide
from curate.run.ledger import RunRecord, StepRecord
from curate.store import PartStore


def test_a_selection_has_the_last_word(selected: PartStore, run: RunRecord):
    run.steps.append(
        StepRecord(4, "select", "top", "select top 2 as core", before=4, after=4, selection="core", counts={"kept": 2, "dropped": 2})
    )  # fmt: skip
    data = collect(selected, run)
    assert tiles(data) == {
        "Items in": 10,
        "Dropped": 6,
        "Kept": 4,
        "Selected": 2,
        "Not scored": 1,
        "Rejected": 3,
    }
    assert "of these, 2 are in the selection core" in data.sentence
    step = data.steps[3]
    assert (step.before, step.after, step.bar) == (4, 2, True)
    assert step.note == "seed 7; objective 0.85, the same budget at random 0.65"
    (histogram,) = data.histograms
    assert (sum(histogram.kept), sum(histogram.passed), sum(histogram.dropped)) == (2, 2, 5)
    assert shown(data, "Highest selected") == ["i0", "i8"]
    assert data.table is not None
    assert [row[0] for row in data.table.rows if row[1] in KEPT] == [
        "selected",
        "not selected",
        "selected",
        "not selected",
    ]
    # seq 8 was stored first, so it has rank 0.
    assert data.galleries[0].galleries[-1].cards[1].reason == "selected for core: rank 0"


def test_a_selection_without_a_run(selected: PartStore):
    data = collect(selected, selection="core")
    assert tiles(data)["Selected"] == 2 and tiles(data)["Dropped"] == 0
    assert [(s.kind, s.before, s.after) for s in data.steps] == [("items", 10, 10), ("select", 10, 2)]
    assert shown(data, "Borderline: not selected")[0] == "i5"
    assert shown(data, "Borderline: selected") == ["i8", "i0"]


def test_an_unknown_selection_is_refused(selected: PartStore, tmp_path: Path):
    with pytest.raises(UnknownNameError, match="Did you mean 'core'"):
        write_report(selected, tmp_path / "r.html", selection="cores")
    assert not (tmp_path / "r.html").exists()


def test_the_stored_set_of_a_keep_decides_where_scores_changed_since(
    photos: PartStore, make_store: Callable[..., Any], run: RunRecord
):
    maker = object.__new__(type(make_store("unused.curate")))
    maker.store, maker._tokens = photos, 200
    maker.select("keep-1", [0, 1])  # as if i1 had been sharp, and i5, i8 and i9 not, when the step ran
    run.steps[2].selection, run.steps[2].after = "keep-1", 2
    decision = decide(photos, run)
    assert [decision.status(row) for row in (0, 1, 5)] == ["kept", "kept", "dropped"]
    condition = decision.dropped_by(5)
    assert condition is not None and condition.text == f"not kept by keep {KEEP}"
