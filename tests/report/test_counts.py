"""The report of a store and a run: every number counted by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from report_stores import KEEP, KEPT, shown, tiles

from curate.contracts import score
from curate.report import write_report
from curate.report.collector import collect
from curate.report.decision import collect_thresholds, oppose
from curate.report.model import Reason, Threshold
from curate.run.ledger import RunRecord, StepRecord
from curate.store import PartStore


def test_counts_are_those_of_the_store(photos: PartStore, run: RunRecord):
    data = collect(photos, run)
    assert tiles(data) == {"Items in": 10, "Dropped": 6, "Kept": 4, "Not scored": 1, "Rejected": 3}
    assert data.sentence == (
        "10 items went in, 6 were dropped (60 %) and 4 kept. 1 item could not be scored by at least one scorer "
        "and 3 rows were rejected at import."
    )
    assert data.title == "Photos"
    assert len(photos.view().where(KEEP)) == 4


def test_every_dropped_item_is_counted_under_the_first_condition_it_failed(photos: PartStore, run: RunRecord):
    data = collect(photos, run)
    keep = data.steps[2]
    assert (keep.kind, keep.title, keep.before, keep.after, keep.bar) == ("keep", KEEP, 10, 4, True)
    assert keep.reasons == (
        Reason("unknown (null): sharp > 0.3", 1),
        Reason("fails sharp > 0.3", 3),
        Reason("near_duplicate", 2),
    )
    assert data.steps[0].note == "13 rows read, 3 rejected"
    assert data.steps[1].note == "9 scored, 1 could not be scored" and not data.steps[1].bar
    assert oppose("NOT near_duplicate") == "near_duplicate" and oppose("x > 1") == "fails x > 1"


def test_infinity_is_no_threshold():
    assert collect_thresholds(["sharp > 0.3 and sharp < 1e400"]) == {"sharp": (Threshold(">", 0.3),)}
    assert collect_thresholds(["sharp < 1e400"]) == {}


def test_the_histogram_tells_kept_from_dropped_on_both_sides_of_the_threshold(
    photos: PartStore, run: RunRecord
):
    (histogram,) = collect(photos, run).histograms
    assert (histogram.column, histogram.source, histogram.nulls) == ("sharp", "sharpness", 1)
    assert histogram.thresholds == (Threshold(">", 0.3),)
    assert histogram.why == (Reason("no picture: truncated", 1),)
    assert sum(histogram.kept) == 4 and sum(histogram.dropped) == 5
    cut = histogram.edges.index(0.3)
    assert sum(histogram.kept[:cut]) == 0  # nothing below the threshold was kept
    assert sum(histogram.dropped[:cut]) == 2  # 0.1 and 0.2; 0.3 as float32 lies just above 0.3
    assert histogram.median == pytest.approx(0.4)


def test_galleries_hold_the_worst_the_borderline_and_the_best(photos: PartStore, run: RunRecord):
    data = collect(photos, run)
    assert shown(data, "Lowest")[:3] == ["i1", "i7", "i4"]
    assert shown(data, "Borderline: just below 0.3") == ["i7", "i1"]
    assert shown(data, "Borderline: at or just above 0.3")[:3] == ["i4", "i6", "i9"]
    assert shown(data, "Highest kept") == ["i0", "i8", "i5", "i9"]
    lowest = data.galleries[0].galleries[0].cards[0]
    assert (lowest.status, lowest.reason, lowest.scores) == (
        "dropped",
        "dropped: fails sharp > 0.3",
        (("sharp", "0.1"),),
    )
    assert lowest.label == "cat"
    assert (lowest.pictures[0].width, lowest.pictures[0].height) == (300, 200)
    assert lowest.pictures[0].uri.startswith("data:image/webp;base64,")
    assert data.galleries[0].galleries[-1].cards[0].reason == "met every condition"


def test_ties_in_a_gallery_break_by_id(make_store: Callable[..., Any]):
    ids = ["d", "a", "c", "b"]
    store = make_store().items("instruction", {"id": ids, "instruction": ids, "output": ids})
    store.score("s", [(score("s"), [0.5, 0.5, 0.5, 0.5])])
    data = collect(store.store)
    assert shown(data, "Lowest") == shown(data, "Highest") == ["a", "b", "c", "d"]


def test_duplicates_stand_beside_their_representative(photos: PartStore, run: RunRecord):
    (found,) = collect(photos, run).duplicates
    assert (found.name, found.groups, found.items) == ("near_duplicate", 1, 2)
    (group,) = found.shown
    assert group.size == 3
    assert [(c.id, c.badge, c.status) for c in group.cards] == [
        ("i0", "representative", "kept"),
        ("i6", "0.9844", "dropped"),
        ("i2", "0.9688", "dropped"),
    ]


def test_balance_before_and_after(photos: PartStore, run: RunRecord):
    label, source = collect(photos, run).balances
    assert (label.column, label.values) == ("label", (("cat", 6, 2), ("dog", 4, 2)))
    assert (source.column, source.values, source.before, source.after) == (
        "source",
        (("a", 5, 1), ("b", 5, 3)),
        10,
        4,
    )


def test_the_table_says_what_became_of_every_item(photos: PartStore, run: RunRecord):
    table = collect(photos, run).table
    assert table is not None and table.total == 10 and table.note == "All 10 items, in order of import."
    assert [c.name for c in table.columns] == ["status", "id", "reason", "label", "sharp", "near_duplicate"]
    assert table.rows[0] == ("kept", "i0", "", "cat", 0.9, "no")
    assert table.rows[2] == ("dropped", "i2", "near_duplicate", "cat", 0.5, "yes")
    assert table.rows[3] == ("dropped", "i3", "unknown (null): sharp > 0.3", "cat", None, "no")
    assert [row[1] for row in table.rows if row[0] == "kept"] == KEPT


def test_a_table_of_a_sample_says_so(photos: PartStore, tmp_path: Path):
    page = write_report(photos, tmp_path / "r.html", max_table_rows=5).read_text()
    assert "A sample: 5 of 10 items, evenly spaced in order of import (every 2th)" in page
    rows = json.loads(re.search(r'id="rows">(.*?)</script>', page).group(1))["rows"]  # type: ignore[union-attr]
    assert [row[0] for row in rows] == ["i0", "i2", "i4", "i6", "i8"]


def test_rejections_and_failures_are_listed_with_reasons(photos: PartStore, run: RunRecord):
    rejected, unscored = collect(photos, run).failures
    assert (rejected.total, rejected.reasons) == (3, (Reason("empty", 2), Reason("truncated", 1)))
    assert rejected.rows[2] == ("x.csv", "2", "bad2", "why", "{}")
    assert (unscored.title, unscored.rows) == ("Not scored by sharp", (("i3", "no picture: truncated"),))


def test_rows_never_asked_about_are_not_failures(make_store: Callable[..., Any]):
    store = make_store().items(
        "instruction", {"id": ["a", "b"], "instruction": ["x", "y"], "output": ["x", "y"]}
    )
    store.score("s", [(score("s"), [1.0, None]), (pa.field("s_reason", pa.string()), [None, "not asked"])])
    data = collect(store.store)
    assert tiles(data)["Not scored"] == 0 and data.failures == ()
    assert data.histograms[0].why == (Reason("not scored: dropped before", 1),)


def test_many_reasons_are_counted_to_the_last(make_store: Callable[..., Any]):
    reasons = ["blank"] * 3 + [f"{n} words too many" for n in range(6)]
    columns = {name: [f"{n}" for n in range(9)] for name in ("id", "instruction", "output")}
    store = make_store().items("instruction", columns)
    store.score("s", [(score("s"), [None] * 9), (pa.field("s_reason", pa.string()), reasons)])
    (histogram,) = collect(store.store).histograms
    assert [(reason.text, reason.count) for reason in histogram.why] == [
        ("blank", 3),
        *((f"{n} words too many", 1) for n in range(3)),
        ("3 other reasons", 3),
    ]


def test_a_failed_step_is_told(photos: PartStore, run: RunRecord):
    run.steps.append(
        StepRecord(4, "score", "clip", "score clip", before=4, after=4, error="MissingExtraError: no torch")
    )
    data = collect(photos, run)
    assert any("stopped at step 4 (score clip): MissingExtraError: no torch" in n for n in data.notices)
    assert data.failures[-1].rows == (("4", "score clip", "MissingExtraError: no torch"),)


def test_a_store_that_changed_since_the_run_is_told(photos: PartStore, run: RunRecord):
    run.steps[-1].after = 5
    assert any("recorded 5 items" in n and "keep 4 of" in n for n in collect(photos, run).notices)
    run.steps[-1].after = 4
    assert collect(photos, run).notices == ()
