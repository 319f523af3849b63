"""The conformance suite of annotators: nothing lost, nothing doubled, every answer as it was given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from curate.counting import counted
from curate.records import ANSWERS

__all__ = ["HOSTILE", "People", "check_annotator"]

HOSTILE = {
    "plain": "a dog",
    "markup": "<script>alert('x')</script> & \"quotes\" ]]>",
    "braces": "{{idx}} ${text} $text {% raw %} \\u0041",
    "lines": "first\nsecond\ttab \u2028 odd \u00a0 spaces ",
    "right-to-left": "\u202eevil\u202c שלום مرحبا",
    "faces": "👩\u200d👩\u200d👧 e\u0301 \U0001f9d1\U0001f3fd",
    "long": "word " * 20_000,
}
"""Texts that tools trip over, by the id of the item that bears each. They must arrive and come back unchanged."""

CLASSES = ("good", "bad", "unsure <&>")


class People(Protocol):
    """Makes people answer where the annotator shows its tasks; written by whoever tries an annotator.

    `names` are two people as they will be called in the answers. `values` are by control, as they will come back.
    """

    names: tuple[str, str]

    def answer(self, item: str, person: str, values: Mapping[str, str], round: int) -> None: ...
    def change(self, item: str, person: str, values: Mapping[str, str], round: int) -> None: ...
    def skip(self, item: str, person: str, round: int) -> None: ...


@dataclass
class _Trial:
    """One annotator on one store, and what must be in the answers by now."""

    annotator: Any
    store: Any
    people: People

    def push(self, **more: Any) -> Mapping[str, Any]:
        return self.annotator.push(  # type: ignore[no-any-return]
            self.store, template="text-classification", params={"labels": CLASSES}, **more
        )

    def pull(self) -> Mapping[str, Any]:
        receipt: Mapping[str, Any] = self.annotator.pull(self.store)
        assert receipt["new"] + receipt["known"] >= 0 and isinstance(receipt, Mapping), f"receipt {receipt}"
        return receipt

    def rows(self, latest: bool = False) -> list[dict[str, Any]]:
        answers = self.store.answers.latest() if latest else self.store.answers
        table: pa.Table = answers.to_arrow()
        assert table.schema.equals(ANSWERS), f"answers have the columns {table.schema.names}"
        return table.to_pylist()  # type: ignore[no-any-return]

    def said(self, latest: bool = False) -> set[tuple[Any, ...]]:
        return {
            (r["item"], r["annotator"], r["round"], r["control"], r["value"], r["skipped"], r["status"])
            for r in self.rows(latest)
        }


def check_annotator(annotator: Any, store: Any, people: People) -> None:
    """Every promise of `Annotator`, with items and answers of the suite's own.

    `store` is an empty store (`curate.open(path, create=True)`), and nothing was pushed before. Raises AssertionError.
    """
    _check_itself(annotator)
    assert len(store) == 0 and len(store.answers) == 0, "give an empty store"
    _fill(store, HOSTILE)
    trial = _Trial(annotator, store, people)
    _check_push(trial)
    _check_answers(trial)
    _check_edits(trial)
    _check_second_round(trial)
    _check_changed_items(trial)


def _fill(store: Any, texts: Mapping[str, str]) -> None:
    rows = {"id": list(texts), "text": list(texts.values()), "label": ["good"] * len(texts)}
    store.add(pa.table(rows), kind="label", id="id", on_conflict="update")


def _check_itself(annotator: Any) -> None:
    name = annotator.name
    assert isinstance(name, str) and name == name.lower() and "_" not in name, f"name {name!r}: kebab-case"
    assert dataclasses.is_dataclass(annotator), (
        f"{type(annotator)} is no dataclass: its fields are its configuration"
    )
    for method in ("push", "pull", "status"):
        assert callable(getattr(annotator, method, None)), f"{name!r} has no {method}"


def _check_push(trial: _Trial) -> None:
    planned = trial.push(dry_run=True)
    assert planned["created"] == len(HOSTILE), (
        f"a dry run plans {planned['created']} of {counted(len(HOSTILE), 'task')}"
    )
    some = trial.push(ids=["plain", "markup"])
    assert (some["created"], some["present"]) == (2, 0), f"the first push after a dry run: {dict(some)}"
    whole = trial.push()
    counts = (whole["created"], whole["present"], whole["failed"])
    assert counts == (len(HOSTILE) - 2, 2, 0), f"a push of all after a push of two: {dict(whole)}"
    again = trial.push()
    assert (again["created"], again["present"]) == (0, len(HOSTILE)), f"pushing twice: {dict(again)}"
    receipt = trial.pull()
    assert receipt["new"] == 0 and not trial.rows(), "there are answers before anybody answered"
    assert len(list(trial.annotator.status(trial.store))) >= 1, "status knows no round"


def _check_answers(trial: _Trial) -> None:
    ann, bob = trial.people.names
    expected: set[tuple[Any, ...]] = set()
    for i, (item, text) in enumerate(HOSTILE.items()):
        values = {"label": CLASSES[i % 3], "comment": text.strip() or "none"}
        trial.people.answer(item, ann, values, 1)
        expected |= {(item, ann, 1, control, value, False, "ok") for control, value in values.items()}
    trial.people.answer("plain", bob, {"label": "bad"}, 1)
    trial.people.skip("markup", bob, 1)
    expected |= {("plain", bob, 1, "label", "bad", False, "ok"), ("markup", bob, 1, "", None, True, "ok")}
    receipt = trial.pull()
    said = trial.said()
    assert said == expected, f"lost {_some(expected - said)}; not given {_some(said - expected)}"
    assert receipt["new"] == len(trial.rows()) == len(expected), f"{receipt['new']} new of {len(expected)}"
    assert receipt["skips"] == 1, f"{receipt['skips']} skips, there was one"
    for row in trial.rows():
        assert row["key"] and row["hash"] and row["source"] and row["answer_id"], (
            f"an answer from nowhere: {row}"
        )
        assert row["created_at"] is not None and row["updated_at"] >= row["created_at"], f"no time: {row}"
    again = trial.pull()
    assert again["new"] == 0 and trial.said() == expected, "pulling twice changes the answers"
    pushed = trial.push()
    assert (pushed["created"], pushed["present"]) == (0, len(HOSTILE)), (
        f"a push after answers: {dict(pushed)}"
    )


def _check_edits(trial: _Trial) -> None:
    ann, _ = trial.people.names
    before = trial.said()
    trial.people.change("faces", ann, {"label": "bad"}, 1)
    receipt = trial.pull()
    assert receipt["edited"] == 1, f"{counted(receipt['edited'], 'answer')} edited, there was one"
    assert before <= trial.said(), "an edit overwrote an answer: answers are only ever added"
    now = [s for s in trial.said(latest=True) if s[:2] == ("faces", ann)]
    assert now == [("faces", ann, 1, "label", "bad", False, "ok")], f"after the edit: {now}"


def _check_second_round(trial: _Trial) -> None:
    _, bob = trial.people.names
    before = trial.said()
    pushed = trial.push(ids=["plain", "lines"], round=2)
    assert (pushed["created"], pushed["present"]) == (2, 0), f"the second round: {dict(pushed)}"
    assert trial.push(ids=["plain", "lines"], round=2)["created"] == 0, "the second round twice"
    trial.people.answer("plain", bob, {"label": "good"}, 2)
    trial.pull()
    new = trial.said() - before
    assert new == {("plain", bob, 2, "label", "good", False, "ok")}, f"the second round brought {new}"
    assert before <= trial.said(), "the second round took answers of the first away"


def _check_changed_items(trial: _Trial) -> None:
    _, bob = trial.people.names
    _fill(trial.store, {"braces": "another text"})
    trial.people.answer("braces", bob, {"label": "bad"}, 1)
    trial.people.answer("long", bob, {"label": "purple"}, 1)
    receipt = trial.pull()
    new = [s for s in trial.said() if s[1] == bob and s[0] in ("braces", "long")]
    assert sorted(s[6] for s in new) == ["rejected", "stale"], (
        f"an answer to an item that changed, and a label that does not exist: {new}"
    )
    assert (receipt["stale"], receipt["rejected"]) == (1, 1) and receipt["reasons"], (
        f"receipt: {dict(receipt)}"
    )
    assert all(r["reason"] for r in trial.rows() if r["status"] != "ok"), "not ok, and nobody says why"


def _some(rows: set[tuple[Any, ...]]) -> str:
    shown = [tuple(str(v)[:40] for v in row) for row in sorted(rows, key=str)[:3]]
    return f"{len(rows)} such as {shown}" if rows else "none"
