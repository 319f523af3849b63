"""The conformance suites themselves: they accept good parts, and catch every broken promise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from curate.contracts import ROW, Selection, View, detail, reason_name, score, vector
from curate.errors import InputError, SchemaError, UnknownNameError
from curate.memory import ArrayView
from curate.testing import _assert_close, check_scorer, check_selector, score_all


@dataclass(frozen=True)
class Shortness:
    """The example of the README: short texts are good."""

    scale: float = 10.0

    name: ClassVar[str] = "shortness"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), detail("length", pa.int32()))

    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else self.scale / (self.scale + len(t)) for t in texts]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column("text").to_pylist()
        arrays = [
            pa.array(self.values(texts), pa.float32()),
            pa.array([None if t is None else len(t) for t in texts], pa.int32()),
            pa.array(["no text" if t is None else None for t in texts], pa.string()),
        ]
        return pa.record_batch(arrays, ["shortness", "length", reason_name(self.name)])


WORDS = ArrayView({"id": list("abcd"), "text": ["ab", "a", "abcd", None]})


def test_a_good_scorer_passes() -> None:
    check_scorer(Shortness(), WORDS, planted=("b", "c"))


@dataclass(frozen=True)
class NeverReady(Shortness):
    def ready(self) -> None:
        raise InputError("there is no address")


def test_a_scorer_that_is_not_ready_is_told_as_a_recipe_would() -> None:
    with pytest.raises(InputError, match="there is no address"):
        check_scorer(NeverReady(), WORDS)


@dataclass(frozen=True)
class WrongWayRound(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else float(len(t)) for t in texts]


@dataclass(frozen=True)
class LooksAround(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else len(t) / len(texts) for t in texts]


@dataclass(frozen=True)
class NeedsTheFirst(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else float(t == texts[0]) for t in texts]


@dataclass(frozen=True)
class HidesNulls(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [len(t or "") / 10 for t in texts]


@dataclass(frozen=True)
class GivesNaN(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else float("nan") if t == "a" else 0.5 for t in texts]


@dataclass(frozen=True)
class Silent(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t in (None, "a") else 0.5 for t in texts]


@dataclass(frozen=True)
class Moody(Shortness):
    calls: ClassVar[list[int]] = []

    def values(self, texts: list[str | None]) -> list[float | None]:
        self.calls.append(1)
        return [None if t is None else len(self.calls) / 1000 for t in texts]


@dataclass(frozen=True)
class OpensFiles(Shortness):
    def __post_init__(self) -> None:
        Path(__file__).read_bytes()


@dataclass(frozen=True)
class FailsWhenEmpty(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        _ = texts[0]
        return super().values(texts)


@dataclass(frozen=True)
class OtherName(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("brevity"), detail("length", pa.int32()))


@dataclass(frozen=True)
class TwoScores(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), score("length"))


@dataclass(frozen=True)
class OtherType(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), detail("length", pa.int64()))


@dataclass(frozen=True)
class Missing(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), detail("length", pa.int32()), vector("more", 3))


@dataclass(frozen=True)
class SnakeCase(Shortness):
    name: ClassVar[str] = "text_basics"


@dataclass(frozen=True)
class Impostor(Shortness):
    name: ClassVar[str] = "image-basics"


@dataclass
class Loose:
    name: ClassVar[str] = "loose"


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (WrongWayRound(), "good 'b' and bad 'c'"),
        (LooksAround(), "batches of 1"),
        (NeedsTheFirst(), "batches of 1|another order"),
        (HidesNulls(), "has a value where the reason"),
        (GivesNaN(), "holds NaN"),
        (Silent(), "null without a reason"),
        (Moody(), "two results"),
        (OpensFiles(), "touches the outside"),
        (FailsWhenEmpty(), "list index out of range"),
        (OtherName(), "writes its score to 'brevity'"),
        (TwoScores(), "more than one main score"),
        (OtherType(), "promised int64"),
        (Missing(), "columns .* promised"),
        (SnakeCase(), "kebab-case"),
        (Impostor(), "registered for another class"),
        (Loose(), "no frozen dataclass"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_broken_promise_is_caught(scorer: Any, message: str) -> None:
    with pytest.raises((AssertionError, IndexError), match=message):
        check_scorer(scorer, WORDS, planted=("b", "c"))


@dataclass(frozen=True)
class Rank:
    """A fitting scorer: the share of texts that are longer. `order` spoils it on purpose."""

    order: bool = False

    name: ClassVar[str] = "rank"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("rank"),)

    def fit(self, view: ArrayView) -> Any:
        lengths = [None if t is None else len(t) for t in view.to_arrow(["text"]).column(0).to_pylist()]
        known = sorted(x for x in lengths if x is not None)
        ranks = [None if x is None else float(len(known) - known.index(x)) for x in lengths]
        return RankFitted(ranks[::-1] if self.order and None not in ranks else ranks)


@dataclass(frozen=True)
class RankFitted:
    ranks: list[float | None]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        picked = [self.ranks[row] for row in batch.column(ROW).to_pylist()]
        reasons = pa.array(["no text" if x is None else None for x in picked], pa.string())
        return pa.record_batch([pa.array(picked, pa.float32()), reasons], ["rank", "rank_reason"])


def test_a_fitting_scorer_is_fitted_first_and_asked_by_position() -> None:
    view = ArrayView({"id": list("abc"), "text": ["abc", "a", "ab"]})
    check_scorer(Rank(), view, planted=("b", "a"))
    assert score_all(Rank(), view)["rank"].to_pylist() == [1, 3, 2]
    with pytest.raises(AssertionError, match="another order of rows"):
        check_scorer(Rank(order=True), view)
    check_scorer(Rank(order=True), view, order_free=False)


@dataclass(frozen=True)
class First:
    """A selector that is wrong in the way asked for."""

    fault: str = "order"

    name: ClassVar[str] = "first"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("id",)

    def select(self, view: ArrayView, budget: Any, rng: np.random.Generator) -> Selection:
        if self.fault != "budget" and (not isinstance(budget, int) or not 0 < budget <= len(view)):
            raise InputError("no such budget")
        ids = np.array(view.to_arrow(["id"]).column(0).to_pylist())
        index = np.argsort(ids)[: budget if isinstance(budget, int) else 2]
        if self.fault == "order":
            index = np.arange(len(index))
        if self.fault == "twice":
            index = np.zeros(len(index), np.int64)
        if self.fault == "seed":
            index = np.random.default_rng().permutation(len(view))[: len(index)]
        if self.fault == "more":
            index = np.argsort(ids)[: len(index) + 1]
        gain = np.full(len(index), np.nan, np.float32) if self.fault == "gain" else None
        weight = np.zeros(len(index), np.float32) if self.fault == "weight" else None
        return Selection(index, weight=weight, gain=gain, reason=["x"] if self.fault == "reason" else "x")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("order", "do ties break by id"),
        ("twice", "chosen twice"),
        ("seed", "same seed gives another"),
        ("more", "the budget is 4"),
        ("gain", "gain is not finite"),
        ("weight", "weights are positive"),
        ("reason", "one reason for each item"),
        ("budget", "budget 0 of 40 items is accepted"),
    ],
)
def test_a_selectors_broken_promise_is_caught(fault: str, message: str) -> None:
    view = ArrayView({"id": [f"{i:02d}" for i in range(40)]})
    with pytest.raises(AssertionError, match=message):
        check_selector(First(fault), view, 4)


def test_a_good_selector_passes() -> None:
    view = ArrayView({"id": [f"{i:02d}" for i in range(40)]})
    assert check_selector(First("none"), view, 4).index.tolist() == [0, 1, 2, 3]


# --- The view in memory -----------------------------------------------------------------------------------------------


def test_a_view_of_arrays_is_a_view() -> None:
    view: View = ArrayView({"x": [3, 1, 2]}, {"v": np.arange(6.0).reshape(3, 2)})
    assert len(view) == 3 and list(view.columns) == ["id", "x", "v"]
    assert view.to_arrow(["id"]).column(0).to_pylist() == ["0", "1", "2"]
    assert view.take(np.array([2, 0]), ["x"]).column(0).to_pylist() == [2, 3]
    assert view.compute("x * 10").to_pylist() == [30, 10, 20]
    assert view.sql("select max(x) as m, max(_row) as r from view", ["x"]).to_pylist() == [{"m": 3, "r": 2}]
    assert [batch.num_rows for batch in view.batches(["x"], rows=2)] == [2, 1]
    vectors = view.vectors("v")
    assert vectors.shape == (3, 2) and len(vectors) == 3 and vectors.dtype == np.float64
    assert vectors.take(np.array([1])).tolist() == [[2, 3]]
    np.testing.assert_array_equal(np.concatenate(list(vectors.chunks())), vectors.to_numpy())


def test_a_vector_of_nan_is_null_and_a_column_of_lists_a_vector() -> None:
    view = ArrayView({"id": ["a", "b"]}, {"v": np.array([[1.0, 2.0], [np.nan, np.nan]], np.float32)})
    assert view.to_arrow(["v"]).column(0).to_pylist() == [[1, 2], None]
    lists = ArrayView({"v": pa.array([[1, 2], None], pa.list_(pa.float32()))})
    np.testing.assert_array_equal(lists.vectors("v").to_numpy(), [[1, 2], [np.nan, np.nan]])
    whole = pa.array([[0, 0], [2**32 - 1, 1], None], pa.list_(pa.uint32(), 2)).slice(1)
    integers = ArrayView({"v": whole}).vectors("v").to_numpy()
    assert integers.dtype == np.uint32 and integers.tolist() == [[2**32 - 1, 1], [0, 0]]


def test_a_view_refuses_what_it_does_not_have() -> None:
    view = ArrayView({"id": ["a"], "text": ["x"]})
    with pytest.raises(UnknownNameError, match="'txt'"):
        view.to_arrow(["txt"])
    with pytest.raises(SchemaError, match="not a vector"):
        view.vectors("text")
    with pytest.raises(SchemaError, match="has shape"):
        ArrayView({"id": ["a"]}, {"v": np.zeros((2, 3))})


def test_a_view_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(Exception, match=r"(?i)disabled|permission"):
        ArrayView({"x": [1]}).sql(f"select * from '{tmp_path}/secret.csv'", ["x"])


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ([[{"a": 0.1 + 1e-7, "b": "x"}], None], True),
        ([[{"a": 0.2, "b": "x"}], None], False),
        ([[{"a": 0.1, "b": "y"}], None], False),
        ([[{"a": None, "b": "x"}], None], False),
        ([[{"a": 0.1, "b": "x"}], []], False),
        ([[{"a": 0.1, "b": "x"}] * 2, None], False),
    ],
)
def test_numbers_within_lists_of_structs_may_differ_by_rounding_and_no_more(other: list, same: bool) -> None:
    one = pa.table({"x": pa.array([[{"a": 0.1, "b": "x"}], None])})
    changed = pa.table({"x": pa.array(other, one["x"].type)})
    if same:
        _assert_close(changed, one, 1e-5, "message")
    else:
        with pytest.raises(AssertionError, match="message: 'x'"):
            _assert_close(changed, one, 1e-5, "message")
