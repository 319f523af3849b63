"""`analyse`: run, remembered, told in the ledger, brought up to date with what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pytest

import curate
from curate import registry
from curate.contracts import Finding, Findings, View
from curate.errors import InputError, UnknownNameError
from curate.recipe.reader import build_recipe
from curate.run.plan import plan
from curate.run.steps.analysing import MOST_ROWS, from_plain, to_plain

CALLS: list[int] = []


@dataclass(frozen=True)
class Lengths:
    """How long the texts are."""

    least: int = 2
    column: str = "text"

    name: ClassVar[str] = "lengths"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def analyse(self, view: View) -> Findings:
        CALLS.append(len(view))
        sizes = sorted(len(str(t)) for t in view.to_arrow([self.column]).column(0).to_pylist())
        table = pa.table({"size": [str(s) for s in sizes], "n": sizes})
        short = sum(size < self.least for size in sizes)
        findings = (
            Finding("Sizes", f"{len(sizes)} sizes.", table, "bars"),
            Finding("Short", f"{short} shorter than {self.least}.", serious=bool(short)),
        )
        return Findings(f"{len(view)} texts", findings)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    monkeypatch.setitem(registry.ANALYSES, "lengths", f"{__name__}:Lengths")
    monkeypatch.setattr(registry, "load", _loader(registry.load))


def _loader(load: Any) -> Any:
    return lambda group, name: Lengths if name == "lengths" else load(group, name)


def test_an_analysis_is_made_once_and_remembered(store: curate.Store, captions: Any) -> None:
    store.add(captions("a", "bb", "cccc"), kind="image-text")
    found = store.analyse("lengths", least=3)
    assert (found.summary, len(found.findings), found.params) == (
        "3 texts",
        2,
        {"least": 3, "column": "text"},
    )
    assert found.record.counts == {"rows": 3, "findings": 2, "serious": 1}
    assert found.record.notes == ["3 texts"] and not found.record.reused
    assert found.table("Sizes").to_pydict() == {"size": ["1", "2", "4"], "n": [1, 2, 4]}
    assert "! Short: 2 shorter than 3." in str(found)
    again = store.analyse("lengths", least=3)
    assert again.record.reused and again.found == found.found and CALLS == [3]
    with pytest.raises(UnknownNameError, match=r"'Short'.*Known: Sizes"):
        found.table("Short")


def test_other_rows_or_parameters_are_another_analysis(store: curate.Store, captions: Any) -> None:
    store.add(captions("a", "bb"), kind="image-text")
    store.analyse("lengths")
    store.analyse("lengths", least=5)
    store.add(captions("ccc", start=5), kind="image-text")
    assert store.analyse("lengths").summary == "3 texts"
    assert store.analyse("lengths", where="length(caption) > 1").summary == "2 texts"
    long = store.keep("length(caption) > 2", name="long")
    assert store.analyse("lengths", within=long.name).summary == "1 texts"
    assert CALLS == [2, 2, 3, 2, 1]


def test_what_an_analysis_needs_is_scored_first(store: curate.Store, captions: Any) -> None:
    store.add(captions("a", "bb"), kind="image-text")
    assert store.analyse("lengths", column="text_basics").findings
    assert "text_basics" in store.items.columns


def test_unknown_names_and_parameters_are_told(store: curate.Store, captions: Any) -> None:
    store.add(captions("a"), kind="image-text")
    with pytest.raises(UnknownNameError, match="unknown analysis 'length'"):
        store.analyse("length")
    with pytest.raises(UnknownNameError, match="unknown parameter of 'lengths' 'most'"):
        store.analyse("lengths", most=1)
    with pytest.raises(InputError, match="least"):
        store.analyse("lengths", least="few")


def test_in_a_recipe_it_leaves_the_set_and_is_planned(store: curate.Store, captions: Any) -> None:
    store.add(captions("a", "bb", "ccc"), kind="image-text")
    steps = [{"keep": "length(caption) > 1"}, {"analyse": "lengths", "with": {"least": 3}}]
    recipe = build_recipe({"store": str(store.path), "steps": steps})
    planned = plan(store.parts, recipe.steps)
    assert planned[1].title == "analyse lengths"
    run = store.run(recipe)
    assert run.steps[1].counts == {"rows": 2, "findings": 2, "serious": 1}
    assert (run.steps[1].before, run.steps[1].after) == (2, 2)
    assert store.run(recipe).steps[1].reused and CALLS == [2]


def test_findings_survive_the_way_to_disk_and_back() -> None:
    table = pa.table(
        {
            "a": ["x", None],
            "b": pa.array([1.5, float("nan")], pa.float32()),
            "c": pa.array([1, 2], pa.int8()),
            "d": [True, False],
            "e": pa.array([[1], [2]]),
        }
    )
    found = Findings("s", (Finding("t", "x", table, "matrix", True), Finding("u", "y")))
    back = from_plain(to_plain(found))
    assert back.findings[1] == found.findings[1] and back.findings[0].serious
    kept = back.findings[0].table
    assert kept is not None and kept.to_pydict() == {
        "a": ["x", None],
        "b": [1.5, None],
        "c": [1, 2],
        "d": [True, False],
        "e": ["[1]", "[2]"],
    }
    long = Findings("s", (Finding("t", "x", pa.table({"n": range(MOST_ROWS + 5)})),))
    assert len(from_plain(to_plain(long)).findings[0].table or []) == MOST_ROWS
