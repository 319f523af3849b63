"""Rounds on a store: pushed, answered, settled, and back in the data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.annotators.offline import Offline
from curate.annotators.rounds import Agreement, Rounds
from curate.errors import InputError

ITEMS = [f"i{i}" for i in range(6)]
ASK = {"template": "text-classification", "params": {"labels": ("good", "bad")}}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        frame = pl.DataFrame({"id": ITEMS, "text": [f"text {i}" for i in ITEMS], "label": ["good"] * 6})
        opened.add(frame, kind="label")
        yield opened


def answer(folder: Path, round: int, says: Any) -> None:
    """Three people of this round answer every task that is there."""
    lines = []
    for path in sorted((folder / f"round-{round}").glob("tasks-*.jsonl")):
        for task in map(json.loads, path.read_text().splitlines()):
            for k in range(3):
                who = f"p{round}{k}"
                value = says(task["data"]["cur_item"], k, round)
                said = {"skipped": True} if value is None else {"answers": {"label": value}}
                time = {"created_at": f"2026-03-0{round}T10:00:0{k}Z", "seconds": 6.0}
                lines.append({"key": task["data"]["cur_key"], "annotator": who, **time, **said})
    (folder / "answers" / f"round-{round}.jsonl").write_text("\n".join(map(json.dumps, lines)))


def test_rounds_go_on_until_people_agree_and_the_consensus_comes_back(store: Any, tmp_path: Path) -> None:
    folder = Offline(tmp_path / "folder", format="jsonl")
    plan = Rounds("label", rules=(Agreement(0.9),), most=2, method="majority", price=1.0)
    assert folder.push(store, **ASK).created == 6
    answer(
        tmp_path / "folder",
        1,
        lambda item, k, _: "bad" if item == "i1" or (item in "i2i3" and k == 0) else "good",
    )
    assert folder.pull(store).new == 18
    status = plan.judge(store.answers)
    assert status.counts == {"settled": 4, "again": 2} and status.next() == {2: ["i2", "i3"]}
    receipts = plan.advance(store, folder, **ASK)
    assert [(r.round, r.created) for r in receipts] == [(2, 2)]
    assert [(r.round, r.created, r.present) for r in plan.advance(store, folder, **ASK)] == [(2, 0, 2)]
    answer(tmp_path / "folder", 2, lambda item, k, _: "good" if item == "i2" or k else "bad")
    assert folder.pull(store).new == 6
    done = plan.judge(store.answers)
    assert done.counts == {"settled": 4, "undecided": 2}  # of all six answers a share below 0.9 say the same
    newest = Rounds("label", rules=(Agreement(0.6),), most=2, method="majority", price=1.0)
    assert newest.judge(store.answers).counts == {"settled": 6}
    record = newest.settle(store, "checked")
    assert record.counts["joined"] == 6
    rows = store.items.to_polars(
        ["id", "checked", "checked_probability", "checked_answers", "checked_rounds"]
    )
    assert rows["checked"].to_list() == ["good", "bad", "good", "good", "good", "good"]
    assert rows["checked_probability"].to_list() == pytest.approx([1, 1, 5 / 6, 2 / 3, 1, 1])
    assert rows["checked_rounds"].to_list() == [1, 1, 2, 2, 1, 1]
    origin = store.parts.snapshot().sets["checked"].params
    assert origin["made_by"] == "annotation rounds" and origin["answer_rows"] == 24
    assert origin["rules"] == [{"rule": "Agreement", "least": 0.6}] and len(origin["sources"]) == 1
    assert done.by_round["cost"].to_list() == [18.0, 6.0]
    kept = store.keep("checked = 'good' and checked_probability > 0.9", name="sure")
    assert len(kept.items) == 3


def test_what_is_open_has_a_state_and_no_label_and_settling_again_replaces(
    store: Any, tmp_path: Path
) -> None:
    folder = Offline(tmp_path / "folder", format="jsonl")
    plan = Rounds("label", rules=(Agreement(0.9),), method="majority")
    with pytest.raises(InputError, match="nothing to settle"):
        plan.settle(store, "checked")
    folder.push(store, ids=["i0", "i1"], **ASK)
    answer(tmp_path / "folder", 1, lambda item, k, _: None if item == "i1" else "good" if k else "bad")
    folder.pull(store)
    plan.settle(store, "checked")
    rows = store.items.to_polars(["checked", "checked_state", "checked_why", "checked_reason"])
    assert rows["checked"].null_count() == 6
    assert rows["checked_state"].to_list() == ["again", "undecided", None, None, None, None]
    assert rows["checked_why"][:2].to_list() == ["only 2 of 3 say the same", "everybody skipped it"]
    assert rows["checked_reason"][2] is not None and rows["checked_reason"][0] is None
    version = store.parts.snapshot().version
    Rounds("label", rules=(Agreement(0.5),), method="majority").settle(store, "checked")
    assert store.items.to_polars(["checked"])["checked"].to_list()[:2] == ["good", None]
    assert store.at(version).to_polars(["checked"])["checked"].null_count() == 6
    assert not list(store.verify())


def test_ratings_come_back_as_numbers_and_elements_as_a_list(store: Any) -> None:
    moment = "2026-03-01T10:00:00Z"
    rows = [
        {
            "item": i,
            "annotator": a,
            "round": 1,
            "control": c,
            "value": v,
            "source": "s",
            "answer_id": f"{i}{a}",
        }
        for i in ("i0", "i1")
        for a, stars in (("a", "3"), ("b", "4"), ("c", "4"))
        for c, v in (("overall", stars), ("element_0", "yes"), ("element_1", "yes" if a == "a" else "no"))
    ]
    from curate.annotators.tasks import answer_table, read_time

    times = {"created_at": read_time(moment), "updated_at": read_time(moment)}
    store.record_answers(answer_table({**row, **times} for row in rows))
    Rounds("overall", method="mean").settle(store, "overall")
    got = store.items.where("overall > 3.5").to_polars(["id", "overall"])
    assert got.rows() == [("i0", pytest.approx(11 / 3)), ("i1", pytest.approx(11 / 3))]
    Rounds("element_*", rules=(Agreement(0.9),)).settle(store, "elements_checked")
    row = store.items.to_polars(["elements_checked", "elements_checked_decided"]).row(0, named=True)
    assert [(e["control"], e["value"], e["state"]) for e in row["elements_checked"]] == [
        ("element_0", "yes", "settled"),
        ("element_1", None, "again"),
    ]
    assert row["elements_checked_decided"] is False


def test_experts_are_asked_through_their_own_annotator(store: Any, tmp_path: Path) -> None:
    crowd, expert = Offline(tmp_path / "crowd", format="jsonl"), Offline(tmp_path / "expert", format="jsonl")
    plan = Rounds("label", rules=(Agreement(0.9),), most=1, experts=("p20",), method="majority")
    crowd.push(store, ids=["i0", "i1"], **ASK)
    answer(tmp_path / "crowd", 1, lambda item, k, _: "good" if k or item == "i1" else "bad")
    crowd.pull(store)
    assert plan.judge(store.answers).counts == {"settled": 1, "expert": 1}
    receipts = plan.advance(store, crowd, expert=expert, **ASK)
    assert [(r.round, r.created) for r in receipts] == [(2, 1)] and not (
        tmp_path / "crowd" / "round-2"
    ).exists()
    answer(tmp_path / "expert", 2, lambda item, k, _: "bad" if k == 0 else None)
    expert.pull(store)
    row = plan.judge(store.answers).units.row(0, named=True)
    assert (row["state"], row["value"]) == ("adjudicated", "bad")
