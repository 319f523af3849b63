"""The map of items: who is on it, where, with what said of them; counted and placed by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.contracts import score, vector
from curate.errors import InputError, SchemaError, UnknownNameError
from curate.report import write_report
from curate.report.collector import collect
from curate.report.maps import MapOptions
from curate.report.points import Group, PointMap
from curate.run.ledger import RunRecord, StepRecord
from curate.store import PartStore

Vectors = Sequence[Sequence[float] | None]


def fill(maker: Any, vectors: Vectors, name: str = "emb", **columns: list[Any]) -> Any:
    """Texts with ids i00, i01 ..., and a column of vectors."""
    ids = [f"i{i:02d}" for i in range(len(vectors))]
    maker.items("label", {"id": ids, "text": ids, "label": ["x"] * len(ids), **columns})
    return maker.score(name, [(vector(name, 2), list(vectors))])


def answer(store: PartStore, items: Sequence[str]) -> None:
    """One person says something about each of these items."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rows = {"item": list(items), "answer_id": [f"a-{i}" for i in items]}
    same = {"annotator": "ann", "round": 1, "control": "c", "value": "1", "created_at": now, "updated_at": now, "source": "s"}  # fmt: skip
    store.record_answers(pa.table({**rows, **{k: [v] * len(items) for k, v in same.items()}}))


def drawn(store: PartStore, *given: Any, options: MapOptions | None = None, most: int = 1000) -> PointMap:
    from curate.report.collector import Limits

    made = collect(store, *given, limits=Limits(points=most), map_options=options).map
    assert made is not None
    return made


def test_items_lie_where_their_vectors_are(make_store: Callable[..., Any]):
    store = fill(make_store(), [[0, 0], [20, 0], [10, 4], [10, -4]]).store
    made = drawn(store)
    assert made.column == "emb" and [p.card.id for p in made.points] == ["i00", "i01", "i02", "i03"]
    # 20 wide becomes 900; 8 high then 360, in the middle of 600. A direction's sign is free: the first is on the right.
    assert [p.x for p in made.points] == [900, 0, 450, 450]
    assert sorted(p.y for p in made.points) == [120, 300, 300, 480]
    assert "100 %" in made.note and "sample" not in made.note.lower()
    assert made.groups == (Group("", 4, 4),) and made.asked == (0, 0)


def test_what_became_of_each_item_and_who_was_asked(
    make_store: Callable[..., Any], make_run: Callable[..., RunRecord]
):
    maker = fill(make_store(), [[i, i % 3] for i in range(6)])
    maker.score("s", [(score("s"), [0.0, 0.1, 0.6, 0.7, 0.8, 0.9])]).select("core", [5, 3], reason="why")
    answer(maker.store, ["i02", "i05"])
    keep = StepRecord(1, "keep", "k", "keep s > 0.5", before=6, after=4, expression="s > 0.5")
    choose = StepRecord(2, "select", "top", "select", before=4, after=4, selection="core")
    made = drawn(maker.store, make_run(keep, choose))
    assert [p.card.status for p in made.points] == ["dropped"] * 2 + ["not selected", "selected"] * 2
    assert made.groups == (Group("selected", 2, 2), Group("not selected", 2, 2), Group("dropped", 2, 2))
    assert [p.card.id for p in made.points if p.asked] == ["i02", "i05"] and made.asked == (2, 2)
    assert made.points[0].card.reason == "dropped: fails s > 0.5"
    assert made.points[5].card.reason == "selected for core: why 0"
    assert made.points[5].card.scores == (("s", "0.9"),)


def test_a_sample_shows_as_many_of_small_groups_as_of_large_ones_and_says_so(make_store: Callable[..., Any]):
    maker = fill(make_store(), [[i % 9, i % 7] for i in range(90)]).select("core", [40, 41, 42])
    answer(maker.store, ["i07"])
    made = drawn(maker.store, None, "core", most=12)
    ids = [p.card.id for p in made.points]
    assert len(ids) == 12 and {"i40", "i41", "i42", "i07"} <= set(ids) and ids == sorted(ids)
    assert made.groups == (Group("selected", 3, 3), Group("not selected", 9, 87))
    assert "A sample: 12 of 90 items" in made.note


def test_other_selections_can_be_shown_with_their_reasons(make_store: Callable[..., Any]):
    maker = fill(make_store(), [[i % 9, i % 7] for i in range(60)])
    maker.select("mine", [30, 31], reason="first").select("core", [1, 2, 3]).select("keep-1", [5])
    made = drawn(maker.store, None, "core", most=10)
    assert [h.name for h in made.highlights] == ["mine", "core"]
    shown = {made.points[i].card.id: why for i, why in made.highlights[0].points}
    assert shown == {"i30": "first 0", "i31": "first 1"}  # shown though they are two of sixty
    assert made.highlights[0].total == 2


def test_items_without_a_vector_are_counted(make_store: Callable[..., Any]):
    made = drawn(fill(make_store(), [[0, 0], None, [float("nan"), 1], [1, 1], [2, 5]]).store)
    assert [p.card.id for p in made.points] == ["i00", "i03", "i04"]
    assert "2 items without a vector are not on it." in made.note
    assert collect(fill(make_store("none.curate"), [None, None]).store).map is None


def test_the_column_is_the_one_that_was_selected_by_or_named(make_store: Callable[..., Any]):
    maker = fill(make_store(), [[0, 0], [1, 1]], "gradients")
    assert drawn(maker.store).column == "gradients"  # there is no other
    for name in ("first", "second"):
        maker.score(name, [(vector(name, 2), [[0, 0], [1, 3]])])
    maker.score("minhash", [(vector("minhash", 2, pa.uint32()), [[0, 0], [1, 3]])])
    assert drawn(maker.store).column == "first"
    assert drawn(maker.store, options=MapOptions("gradients")).column == "gradients"
    maker.select("core", [1], params={"embedding": "second"})
    assert drawn(maker.store, None, "core").column == "second"
    with pytest.raises(UnknownNameError, match="Did you mean 'second'") as refused:
        drawn(maker.store, options=MapOptions("secnd"))
    assert "minhash" not in str(refused.value)  # whole numbers have no directions


def test_without_vectors_there_is_no_map(make_store: Callable[..., Any], tmp_path: Path):
    store = make_store().items("instruction", {"id": ["a"], "instruction": ["x"], "output": ["y"]}).store
    assert collect(store).map is None
    assert 'id="map"' not in write_report(store, tmp_path / "r.html").read_text()
    with pytest.raises(UnknownNameError, match="unknown column of vectors 'emb'"):
        write_report(store, tmp_path / "r.html", map_of="emb")


def test_the_map_is_in_the_file_with_pictures_and_the_same_bytes(
    make_store: Callable[..., Any], picture: Callable[[str, int], str], tmp_path: Path
):
    pictures = [picture(f"p{i}", 40 * i) for i in range(5)]
    store = fill(make_store(), [[i, i * i] for i in range(5)], image=pictures).store
    page = write_report(store, tmp_path / "r.html").read_text()
    assert len(re.findall(r'<circle class="p all" data-i="\d"', page)) == 5
    points = json.loads(re.search(r'id="map-data">(.*?)</script>', page)[1])["points"]  # type: ignore[index]
    assert [p["id"] for p in points] == [f"i{i:02d}" for i in range(5)]
    assert all(p["picture"]["uri"].startswith("data:image/webp;base64,") for p in points)
    assert (points[0]["picture"]["width"], points[0]["picture"]["height"]) == (300, 200)
    assert write_report(store, tmp_path / "again.html").read_text() == page
    assert 'id="map"' not in write_report(store, tmp_path / "r.html", max_points=0).read_text()
    three = write_report(store, tmp_path / "r.html", max_points=3).read_text()
    assert "A sample: 3 of 5 items" in three and three.count('class="p all" data-i') == 3


def test_sounds_are_not_put_on_the_map(make_store: Callable[..., Any], tone: Callable[[str, float], str]):
    maker = make_store().items(
        "speech", {"id": ["a", "b"], "audio": [tone("a", 0.2)] * 2, "text": ["x", "y"]}
    )
    maker.score("emb", [(vector("emb", 2), [[0, 1], [1, 0]])])
    assert [p.card.sounds for p in drawn(maker.store).points] == [(), ()]


def test_the_way_it_is_laid_out_can_be_chosen(make_store: Callable[..., Any], tmp_path: Path):
    pytest.importorskip("sklearn", reason="extra noise not installed")
    store = fill(make_store(), [[i % 4, i % 5] for i in range(20)]).store
    plain, near = drawn(store), drawn(store, options=MapOptions(by="t-sne"))
    assert "t-SNE" in near.note and "t-SNE" not in plain.note
    assert [(p.x, p.y) for p in near.points] != [(p.x, p.y) for p in plain.points]
    with pytest.raises(UnknownNameError, match="unknown way to lay out a map 'umap'"):
        write_report(store, tmp_path / "r.html", map_by="umap")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_points is -1"):
        write_report(store, tmp_path / "r.html", max_points=-1)


def test_a_recipe_and_the_command_line_name_its_column(make_store: Callable[..., Any], tmp_path: Path):
    maker = fill(make_store(), [[0, 0], [20, 0], [10, 4], [10, -4]])
    maker.score("other", [(vector("other", 2), [[0, 0], [1, 0], [2, 0], [3, 0]])])
    path = maker.store.path
    maker.store.close()
    with curate.open(path) as store:
        store.run({"steps": [{"report": str(tmp_path / "r.html"), "map_of": "other"}]})
        assert "by other, along" in (tmp_path / "r.html").read_text()
        assert "by emb, along" in store.report(tmp_path / "r.html").read_text()
        with pytest.raises(InputError, match="'map_by': Input should be 'pca' or 't-sne', got 'umap'"):
            store.run({"steps": [{"report": "r.html", "map_by": "umap"}]})
    asked = ["report", str(path), str(tmp_path / "c.html"), "--map-of"]
    assert CliRunner().invoke(app, [*asked, "other"]).exit_code == 0
    assert "by other, along" in (tmp_path / "c.html").read_text()
    refused = CliRunner().invoke(app, [*asked, "othr"]).exception
    assert isinstance(refused, UnknownNameError) and "Did you mean 'other'" in str(refused)
    unknown = CliRunner().invoke(app, [*asked, "other", "--map-by", "umap"]).exception
    assert isinstance(unknown, UnknownNameError)


def test_columns_that_cannot_be_drawn_are_passed_over_and_refused_by_name(make_store: Callable[..., Any]):
    maker = make_store()
    for ids in (["a", "b"], ["c", "d"]):
        maker.items("label", {"id": ids, "text": ids, "label": ["x", "y"]})
    maker.score("uneven", [(vector("uneven"), [[0, 0], [1, 1], [0, 0, 0], [1, 1, 1]])])
    assert collect(maker.store).map is None
    with pytest.raises(SchemaError, match="uneven"):
        drawn(maker.store, options=MapOptions("uneven"))
    maker.score("even", [(vector("even"), [[0, 0], [1, 1], [0, 1], [1, 0]])])
    assert drawn(maker.store).column == "even"
    maker.items("label", {"id": ["e"], "text": ["e"], "label": ["x"]})  # not scored yet
    assert collect(maker.store).map is None
