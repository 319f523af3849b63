"""The report of a store and a run: every number counted by hand, for every kind of item."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.contracts import detail, flag, score
from curate.errors import InputError, UnknownNameError
from curate.report import write_report
from curate.report.collector import collect
from curate.report.contents import ReportData
from curate.report.decision import decide, oppose
from curate.report.model import Reason, Threshold
from curate.run.ledger import RunRecord, StepRecord
from curate.store import PartStore

KEEP = "sharp > 0.3 and not near_duplicate"
SHARP = [0.9, 0.1, 0.5, None, 0.3, 0.7, 0.31, 0.2, 0.8, 0.4]
DUPLICATE = [False, False, True, False, False, False, True, False, False, False]
# Kept: 0 (0.9), 5 (0.7), 8 (0.8), 9 (0.4). Not sharp > 0.3: 1, 3 (null), 4, 7. Sharp, but duplicates: 2, 6.
KEPT = ["i0", "i5", "i8", "i9"]


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


def tiles(data: ReportData) -> dict[str, int]:
    return {tile.label: tile.value for tile in data.tiles}


def shown(data: ReportData, title: str) -> list[str]:
    found = [g for s in data.galleries for g in s.galleries if g.title == title]
    return [card.id for g in found for card in g.cards]


# --- Counts ---------------------------------------------------------------------------------------------------------


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


# --- Selections -----------------------------------------------------------------------------------------------------


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


# --- Labels ---------------------------------------------------------------------------------------------------------


def test_doubtful_labels_are_tabulated(make_store: Callable[..., Any]):
    store = make_store().items(
        "label", {"id": list("abcdef"), "text": list("abcdef"), "label": ["10", "9", "9", "10", "9", "2"]}
    )
    store.score(
        "confident_learning",
        [
            (score("confident_learning"), [0.1, 0.2, 0.05, 0.9, 0.9, 0.9]),
            (flag("label_issue"), [True, True, True, False, False, False]),
            (detail("suggested_label", pa.string()), ["9", "2", "2", "10", "9", "2"]),
        ],
    )
    (labels,) = collect(store.store).labels
    assert labels.name == "confident_learning"
    assert (labels.given, labels.suggested) == (("9", "10"), ("2", "9"))  # in order of number
    assert (labels.cells, labels.total, labels.left_out) == (((2, 0), (0, 1)), 3, 0)
    assert [(c.id, c.label, c.suggested) for c in labels.gallery.cards] == [
        ("c", "9", "2"),
        ("a", "10", "9"),
        ("b", "9", "2"),
    ]


def test_a_score_without_a_threshold_is_borderline_where_its_verdict_decides(
    make_store: Callable[..., Any], make_run: Callable[..., RunRecord]
):
    store = make_store().items("label", {"id": list("abcd"), "text": list("abcd"), "label": ["x"] * 4})
    store.score(
        "confident_learning",
        [
            (score("confident_learning"), [0.1, 0.4, 0.3, 0.9]),
            (flag("label_issue"), [True, True, False, False]),
        ],
    )
    store.score("length", [(score("length"), [1.0, 2.0, 3.0, 4.0])])
    keep = StepRecord(1, "keep", "k", "keep not label_issue", before=4, after=2, expression="not label_issue")
    data = collect(store.store, make_run(keep))
    by_score = {s.title: {g.title: [c.id for c in g.cards] for g in s.galleries} for s in data.galleries}
    assert list(by_score) == ["confident_learning", "length"]  # the one that decided comes first
    assert by_score["confident_learning"]["Borderline: dropped"] == ["b", "a"]
    assert by_score["confident_learning"]["Borderline: kept"] == ["c", "d"]
    assert list(by_score["length"]) == ["Lowest", "Highest kept"]  # it decided nothing


# --- Kinds of item --------------------------------------------------------------------------------------------------


def test_sounds_have_a_player_and_an_envelope(
    make_store: Callable[..., Any], tone: Callable[[str, float], str], tmp_path: Path
):
    store = make_store().items(
        "speech",
        {"id": ["short", "long"], "audio": [tone("s", 0.5), tone("l", 11.0)], "text": ["hello", "a tale"]},
    )
    data = collect(store.store)
    short, long = data.galleries[0].galleries[0].cards
    assert (short.sounds[0].seconds, short.sounds[0].total_seconds) == (0.5, 0.5)
    assert (long.sounds[0].seconds, long.sounds[0].total_seconds) == (8.0, 11.0)
    assert len(short.sounds[0].envelope) == 64 and max(short.sounds[0].envelope) == 1.0
    page = write_report(store.store, tmp_path / "r.html").read_text()
    assert page.count('<audio controls preload="none" src="data:audio/flac;base64,') == 2
    assert "first 8.0 s of 11.0 s" in page


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("instruction", {"instruction": ["Add 1 and 2"], "input": ["numbers"], "output": ["3"]}),
        ("preference", {"prompt": ["Hi"], "chosen": ["Hello"], "rejected": ["No"]}),
        ("label", {"text": ["a good film"], "label": ["positive"]}),
    ],
)
def test_texts_are_shown_by_their_columns(
    make_store: Callable[..., Any], kind: str, columns: dict[str, list[str]]
):
    store = make_store().items(kind, {"id": ["x"], **columns})
    (card,) = collect(store.store).galleries[0].galleries[0].cards
    assert dict(card.texts) == {k: v[0] for k, v in columns.items() if k != "label"}
    assert card.label == columns.get("label", [""])[0] and card.pictures == ()


def test_a_store_of_two_kinds(make_store: Callable[..., Any], picture: Callable[[str, int], str]):
    maker = make_store().items(
        "image-text", {"id": ["p"], "image": [picture("p", 9)], "caption": ["a square"]}
    )
    maker.items("instruction", {"id": ["t"], "instruction": ["say a"], "output": ["a"]})
    first, second = collect(maker.store).galleries[0].galleries[0].cards
    assert (len(first.pictures), first.texts) == (1, (("caption", "a square"),))
    assert (second.pictures, second.texts) == ((), (("instruction", "say a"), ("output", "a")))


def test_an_empty_store(make_store: Callable[..., Any], tmp_path: Path):
    page = write_report(make_store().store, tmp_path / "r.html").read_text()
    assert "The store holds no items." in page and "There are no items." in page


def test_a_store_without_scores_shows_a_sample(make_store: Callable[..., Any]):
    n = 100
    ids = [f"{i:03d}" for i in range(n)]
    store = make_store().items("instruction", {"id": ids, "instruction": ids, "output": ids})
    data = collect(store.store)
    assert data.histograms == () and not data.decided
    assert shown(data, "Items") == [f"{i * n // 24:03d}" for i in range(24)]


def test_a_column_of_nulls_and_infinities_has_no_gallery(make_store: Callable[..., Any], tmp_path: Path):
    store = make_store().items(
        "instruction", {"id": ["a", "b"], "instruction": ["x", "y"], "output": ["x", "y"]}
    )
    store.score("s", [(score("s"), [None, float("inf")])])
    store.score("t", [(score("t"), [float("nan"), 1.0])])
    data = collect(store.store)
    assert [s.title for s in data.galleries] == ["t"]
    assert [(h.column, sum(h.kept), h.nulls) for h in data.histograms] == [("s", 0, 2), ("t", 1, 1)]
    assert "0 values" in write_report(store.store, tmp_path / "r.html").read_text()


def test_what_cannot_be_opened_is_told_without_its_path(make_store: Callable[..., Any], tmp_path: Path):
    empty = tmp_path / "secret-folder" / "empty.jpg"
    empty.parent.mkdir()
    empty.write_bytes(b"")
    addresses = [str(empty), str(tmp_path / "none.jpg"), "http://192.0.2.1/x.jpg"]
    store = make_store().items(
        "image-text", {"id": ["a", "b", "c"], "image": addresses, "caption": ["x", "y", "z"]}
    )
    page = write_report(store.store, tmp_path / "r.html").read_text()
    for words in ("no picture: empty", "no picture: missing", "no picture: remote, and nothing is fetched"):
        assert words in page
    assert "secret-folder" not in page


def test_hostile_texts_and_names(make_store: Callable[..., Any], tmp_path: Path):
    evil = "</script><script>alert(1)</script>\u202e\x00{{7*7}}"
    store = make_store().items(
        "label",
        {"id": [evil, "b"], "text": [evil, "x" * 1_000_000], "label": [evil, "b"], "_source": [evil, evil], evil: [evil, "u"], 'select "': [1, 2]},
    )  # fmt: skip
    store.score("s", [(score("s"), [0.1, None]), (pa.field("s_reason", pa.string()), [None, evil])])
    store.reject([{"source": evil, "row": 0, "id": evil, "code": evil, "reason": evil, "data": evil}])
    page = write_report(store.store, tmp_path / "r.html", title=evil).read_text()
    assert page.count("<script") == 2 and page.count("</script") == 2
    assert "<script>alert" not in page and "\u202e" not in page and "\x00" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩␀{{7*7}}" in page
    assert "(1,000,000 characters)" in page and len(page) < 200_000


# --- The file -------------------------------------------------------------------------------------------------------


def test_the_same_store_and_run_give_the_same_bytes(photos: PartStore, run: RunRecord, tmp_path: Path):
    one = write_report(photos, tmp_path / "1.html", run=run).read_bytes()
    # Another run of the same recipe: another id, other times, work taken over instead of done.
    run.run_id, run.seconds, run.started = "run-of-today", 99.0, 1.8e9
    for step in run.steps:
        step.seconds, step.reused, step.computed = 7.0, True, 0
    assert write_report(photos, tmp_path / "2.html", run=run).read_bytes() == one
    timed = write_report(photos, tmp_path / "3.html", run=run, timings=True).read_text()
    assert "run run-of-today, store version" in timed and "7.00 s" in timed
    assert b"run-of-today" not in one and b"store version" not in one


def test_a_report_replaces_the_old_one_whole_or_not_at_all(
    photos: PartStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_report(photos, tmp_path / "deep" / "r.html")
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_report(photos, path, title="Another")
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_the_file_never_exceeds_its_limit(make_store: Callable[..., Any], tmp_path: Path):
    n = 3000
    ids = [f"{i:05d}" for i in range(n)]
    texts = [f"{i} " * 150 for i in ids]
    store = make_store().items("instruction", {"id": ids, "instruction": texts, "output": texts})
    store.score("s", [(score("s"), [i / n for i in range(n)])])
    path = write_report(store.store, tmp_path / "r.html", max_bytes=200_000)
    assert 20_000 < path.stat().st_size <= 200_000
    assert "To stay within 200,000 bytes, galleries hold at most" in path.read_text()
    assert write_report(store.store, tmp_path / "r.html").stat().st_size > 200_000


@pytest.mark.parametrize(
    ("limit", "value"),
    [("max_table_rows", 0), ("max_gallery", -1), ("thumbnail", 5), ("max_bytes", 10)],
)
def test_limits_without_sense_are_refused(photos: PartStore, tmp_path: Path, limit: str, value: int):
    with pytest.raises(InputError, match=f"{limit} is {value}"):
        write_report(photos, tmp_path / "r.html", **{limit: value})


def test_limits_have_effect(photos: PartStore, tmp_path: Path):
    small = write_report(photos, tmp_path / "r.html", max_gallery=2, thumbnail=40).read_text()
    assert "--thumb: 40px" in small
    assert small.split("Highest")[1].split("</section>")[0].count("<article") == 2
    assert "Items to look at" not in write_report(photos, tmp_path / "r.html", max_gallery=0).read_text()


def test_the_recipe_and_its_digests_are_there(photos: PartStore, run: RunRecord, tmp_path: Path):
    run.recipe = {"store": "p.curate", "steps": [{"keep": "x > 1 # </pre><b>"}]}
    page = write_report(photos, tmp_path / "r.html", run=run).read_text()
    assert "- keep: &#39;x &gt; 1 # &lt;/pre&gt;&lt;b&gt;&#39;" in page
    for fact in (photos.snapshot().digest, "abc123", photos.snapshot().sets["sharp"].digest, "duckdb"):
        assert fact in page


def test_every_scorer_that_doubts_labels_is_shown_the_default_first(make_store: Callable[..., Any]):
    store = make_store().items("label", {"id": list("ab"), "text": list("ab"), "label": ["x", "y"]})
    for name, flags in (("confident_learning", ("label_issue", "suggested_label")),
                        ("knn_agreement", ("knn_label_issue", "knn_suggested_label")),
                        ("label_errors", ("label_error", "label_error_suggestion"))):  # fmt: skip
        store.score(
            name,
            [(flag(flags[0]), [True, False]), (detail(flags[1], pa.string()), [f"by {name}", None])],
        )
    store.score("outlier", [(flag("far"), [True, False])])  # doubts no label
    found = collect(store.store).labels
    assert [one.name for one in found] == ["label_errors", "confident_learning", "knn_agreement"]
    assert [c.suggested for one in found for c in one.gallery.cards] == [f"by {one.name}" for one in found]
