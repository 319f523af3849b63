"""Conformance suites that anyone runs on their own scorer, selector, annotator or analysis, and a view in memory to run them on.

    from curate.testing import ArrayView, check_scorer
    check_scorer(Sharpness(), ArrayView({"id": ["a", "b"], "image": ["a.png", "b.png"]}), planted=("a", "b"))

A failed check raises AssertionError saying which promise of `curate.contracts` was broken and by what.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import registry
from curate.contracts import (
    ROW,
    Budget,
    Finding,
    Findings,
    Selection,
    column_name,
    component_digest,
    component_params,
    reason_name,
    role_of,
)
from curate.counting import counted
from curate.errors import CurateError, InputError
from curate.memory import ArrayVectors, ArrayView
from curate.testing.annotators import People, check_annotator

__all__ = [
    "ArrayVectors",
    "ArrayView",
    "People",
    "check_analysis",
    "check_annotator",
    "check_scorer",
    "check_selector",
    "score_all",
]


# --- What scorers and selectors have in common ------------------------------------------------------------------

_watch = {"installed": False, "on": False}
_touched: list[str] = []
_TOUCHING = ("open", "socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen", "import")


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch["on"] and event in _TOUCHING:
        _touched.append(f"{event} {arguments[0] if arguments else ''}")


def _touches(call: Callable[[], Any]) -> list[str]:
    """What a call opens, connects to, starts or imports. An audit hook cannot be removed, so it is switched."""
    if not _watch["installed"]:
        sys.addaudithook(_record)
        _watch["installed"] = True
    _touched.clear()
    _watch["on"] = True
    try:
        call()
    finally:
        _watch["on"] = False
    return list(_touched)


def _check_component(component: Any, group: str) -> None:
    cls: Any = type(component)
    frozen = getattr(getattr(cls, "__dataclass_params__", None), "frozen", False)
    assert frozen, f"{cls} is no frozen dataclass"
    assert isinstance(component.name, str) and component.name == component.name.lower(), (
        f"name {component.name!r}"
    )
    assert "_" not in component.name, f"name {component.name!r}: registry names are kebab-case"
    assert isinstance(component.version, int) and component.version >= 1, f"version {component.version!r}"
    assert all(isinstance(n, str) for n in component.needs) and isinstance(component.needs, tuple), "needs"
    for field in fields(cls):
        assert field.name not in ("name", "version", "needs", "gives"), (
            f"field {field.name!r} hides the contract"
        )
    params = component_params(component)
    if hasattr(component, "ready"):
        component.ready()  # what works must not be refused before it is tried
    touched = _touches(lambda: cls(**params))
    assert not touched, f"constructing {cls.__name__} touches the outside: {touched}"
    twin = cls(**params)
    assert component_digest(twin) == component_digest(component), "the digest is not a function of the fields"
    assert component_digest(pickle.loads(pickle.dumps(component))) == component_digest(component), "pickling"  # noqa: S301
    if component.name in registry.names(group):
        assert registry.load(group, component.name) is cls, (
            f"{component.name!r} is registered for another class"
        )
        built = registry.build(group, component.name, params)
        assert component_digest(built) == component_digest(component), (
            "parameters do not survive the registry"
        )


# --- Scorers ----------------------------------------------------------------------------------------------------


def score_all(scorer: Any, view: ArrayView, rows: int = 1 << 30, fit: bool = True) -> pa.Table:
    """Every row of a view scored as the runner does it: fitted first if need be, `rows` at a time.

    Returns the fields of `gives` and the reason, in the order of the view.
    """
    fitted = scorer.fit(view) if fit and hasattr(scorer, "fit") else scorer
    if hasattr(scorer, "fit"):
        table = view.to_arrow(["id"]).append_column(ROW, pa.array(np.arange(len(view)), pa.int64()))
    else:
        table = view.to_arrow(list(dict.fromkeys(("id", *scorer.needs))))
    empty = pa.RecordBatch.from_pylist([], schema=table.schema)
    batches = table.combine_chunks().to_batches(max_chunksize=rows) or [empty]
    return pa.Table.from_batches([fitted.score(batch) for batch in batches])


def check_scorer(
    scorer: Any,
    view: ArrayView,
    planted: tuple[str, str] | None = None,
    tolerance: float = 1e-4,
    order_free: bool = True,
    kind: str = "",
) -> None:
    """Every promise of `Scorer` or `FittingScorer`, on these rows (at least three).

    `planted` names the ids of a good and a bad item: the good one must score higher (or the bad one be flagged).
    `tolerance` is relative, for floats computed in batches of another size. `order_free=False` for a scorer whose
    fit depends on the order of import by design. `kind` is the kind of item told to a scorer that has a `resolve`.
    Raises AssertionError.
    """
    assert len(view) >= 3, "give at least three rows"
    _check_component(scorer, "scorers")
    if hasattr(scorer, "resolve"):
        scorer = scorer.resolve(view.columns, kind)
        _check_component(scorer, "scorers")
    _check_gives(scorer)
    whole = score_all(scorer, view)
    _check_shape(scorer, whole, len(view))
    _check_reasons(scorer, whole)
    assert whole.equals(score_all(scorer, view)), "scoring the same rows twice gives two results"
    for rows in (1, 2):
        _assert_close(score_all(scorer, view, rows), whole, tolerance, f"batches of {rows} give other values")
    order = np.random.default_rng(0).permutation(len(view))
    if order_free or not hasattr(scorer, "fit"):
        shuffled = score_all(scorer, view.rearranged(order))
        _assert_close(shuffled, whole.take(order), tolerance, "another order of rows gives other values")
    _check_null(scorer, view)
    _check_empty(scorer, view)
    if planted is not None:
        _check_planted(scorer, view, whole, planted)


def _check_gives(scorer: Any) -> None:
    roles = [role_of(f) for f in scorer.gives]
    assert len({f.name for f in scorer.gives}) == len(roles), "two fields of one name"
    assert reason_name(scorer.name) not in {f.name for f in scorer.gives}, "the reason is added by itself"
    assert roles.count("score") <= 1, "more than one main score"
    assert {"score", "vector", "flag"} & set(roles), "neither a score, a flag nor a vector"
    for field in scorer.gives:
        if role_of(field) == "score":
            assert field.type == pa.float32(), f"score {field.name!r} is {field.type}, not float32"
            assert field.name == column_name(scorer.name), (
                f"{scorer.name!r} writes its score to {field.name!r}"
            )
        if role_of(field) == "flag":
            assert field.type == pa.bool_(), f"flag {field.name!r} is {field.type}, not bool"


def _check_shape(scorer: Any, scored: pa.Table, rows: int) -> None:
    expected = [*(f.name for f in scorer.gives), reason_name(scorer.name)]
    assert scored.column_names == expected, f"columns {scored.column_names}, promised {expected}"
    assert len(scored) == rows, f"{counted(len(scored), 'row')} for {rows}"
    for field in scorer.gives:
        got = scored.schema.field(field.name).type
        if role_of(field) == "vector":
            assert got.value_type == field.type.value_type, f"{field.name!r} is {got}, promised {field.type}"
            wanted = getattr(field.type, "list_size", -1)
            assert wanted == -1 or getattr(got, "list_size", -1) == wanted, f"{field.name!r} is {got}"
        else:
            assert got == field.type, f"{field.name!r} is {got}, promised {field.type}"
    assert scored.schema.field(reason_name(scorer.name)).type == pa.string(), "the reason is no string"


def _check_reasons(scorer: Any, scored: pa.Table) -> None:
    unscored = pc.is_valid(scored[reason_name(scorer.name)]).to_numpy()
    main = [f.name for f in scorer.gives if role_of(f) != "vector"] + [f.name for f in scorer.gives][:1]
    for field in scorer.gives:  # a second vector may be missing by itself: an image without a text
        valid = pc.is_valid(scored[field.name]).to_numpy()
        assert not (valid & unscored).any(), f"{field.name!r} has a value where the reason says it has none"
        if role_of(field) != "detail" and field.name in main:
            assert (valid | unscored).all(), f"{field.name!r} is null without a reason"
        if pa.types.is_floating(field.type):
            values = scored[field.name].drop_null().to_numpy()
            assert not np.isnan(values).any(), f"{field.name!r} holds NaN: null and a reason are meant"


def _assert_close(got: pa.Table, expected: pa.Table, tolerance: float, message: str) -> None:
    assert got.column_names == expected.column_names, message
    for name in expected.column_names:
        left, right = got[name].combine_chunks(), expected[name].combine_chunks()
        _assert_arrays_close(left, right, tolerance, f"{message}: {name!r}")


def _assert_arrays_close(left: pa.Array, right: pa.Array, tolerance: float, message: str) -> None:
    """Floats within the tolerance, wherever they lie: in lists, in structs, in lists of structs."""
    assert left.is_null().equals(right.is_null()), f"{message}: other nulls"
    left, right = left.drop_null(), right.drop_null()
    if pa.types.is_list(right.type) or pa.types.is_fixed_size_list(right.type):
        assert pc.list_value_length(left).equals(pc.list_value_length(right)), f"{message}: other lengths"
        _assert_arrays_close(left.flatten(), right.flatten(), tolerance, message)
    elif pa.types.is_struct(right.type):
        for field, a, b in zip(right.type, left.flatten(), right.flatten(), strict=True):
            _assert_arrays_close(a, b, tolerance, f"{message}, {field.name!r}")
    elif pa.types.is_floating(right.type):
        a, b = (side.to_numpy(zero_copy_only=False) for side in (left, right))
        assert np.allclose(a, b, rtol=tolerance, atol=tolerance), f"{message}: {a} != {b}"
    else:
        assert left.equals(right), f"{message}: {left} != {right}"


def _check_null(scorer: Any, view: ArrayView) -> None:
    grown = view.with_null_row("~null", [c for c in scorer.needs if c != "id"])
    scored = score_all(scorer, grown)
    _check_reasons(scorer, scored)
    assert scored[reason_name(scorer.name)][len(view)].is_valid, (
        "a row of nulls is not left null with a reason"
    )


def _check_empty(scorer: Any, view: ArrayView) -> None:
    none = view.rearranged(np.arange(0))
    try:
        scored = score_all(scorer, none)
    except CurateError:
        assert hasattr(scorer, "fit"), "an empty batch is an error"
        return
    _check_shape(scorer, scored, 0)


def _check_planted(scorer: Any, view: ArrayView, scored: pa.Table, planted: tuple[str, str]) -> None:
    ids = view.to_arrow(["id"]).column(0).to_pylist()
    good, bad = (ids.index(id) for id in planted)
    for field in scorer.gives:
        values = scored[field.name]
        if role_of(field) == "score":
            pair = values[good].as_py(), values[bad].as_py()
            assert None not in pair and pair[0] > pair[1], (
                f"good {planted[0]!r} and bad {planted[1]!r}: {pair}"
            )
            return
    flags = [f.name for f in scorer.gives if role_of(f) == "flag"]
    assert flags, "a planted pair needs a score or a flag"
    pair = scored[flags[0]][good].as_py(), scored[flags[0]][bad].as_py()
    assert pair == (False, True), f"{flags[0]!r} of {planted}: {pair}"


# --- Selectors --------------------------------------------------------------------------------------------------


def check_selector(selector: Any, view: ArrayView, budget: Budget | None = None, seed: int = 0) -> Selection:
    """Every promise of `Selector`, on these rows, with this budget (None only where the selector needs none).

    Returns the selection, so that a test can go on with it. Raises AssertionError.
    """
    _check_component(selector, "selectors")
    chosen: Selection = selector.select(view, budget, np.random.default_rng(seed))
    _check_selection(chosen, len(view))
    if isinstance(budget, int):
        assert len(chosen) <= budget, f"{counted(len(chosen), 'item')} chosen, the budget is {budget}"
    again = selector.select(view, budget, np.random.default_rng(seed))
    _assert_same(again, chosen, np.arange(len(view)), "the same seed gives another selection")
    order = np.random.default_rng(1).permutation(len(view))
    moved = selector.select(view.rearranged(order), budget, np.random.default_rng(seed))
    _assert_same(moved, chosen, order, "another order of rows gives another selection (do ties break by id?)")
    for wrong in (0, -1, len(view) + 1, 1.5, "many"):
        try:
            selector.select(view, wrong, np.random.default_rng(seed))
        except InputError:
            continue
        raise AssertionError(f"budget {wrong!r} of {counted(len(view), 'item')} is accepted")
    return chosen


def _check_selection(chosen: Selection, n: int) -> None:
    index = chosen.index
    assert index.dtype == np.int64 and index.ndim == 1, f"index is {index.dtype}, {index.ndim}-d"
    assert len(np.unique(index)) == len(index), "an item is chosen twice"
    assert len(index) == 0 or (index.min() >= 0 and index.max() < n), "index out of range"
    for name in ("weight", "gain"):
        values = getattr(chosen, name)
        if values is not None:
            assert values.shape == index.shape and values.dtype == np.float32, f"{name}: {values.dtype}"
            assert np.isfinite(values).all(), f"{name} is not finite"
    if chosen.weight is not None:
        assert (chosen.weight > 0).all(), "weights are positive"
    assert isinstance(chosen.reason, str) or len(chosen.reason) == len(index), "one reason for each item"
    assert all(np.isfinite(v) for v in chosen.random.values()), f"random: {chosen.random}"


def _assert_same(got: Selection, expected: Selection, order: npt.NDArray[np.int64], message: str) -> None:
    assert np.array_equal(order[got.index], expected.index), message
    for name in ("weight", "gain"):
        a, b = getattr(got, name), getattr(expected, name)
        assert (a is None and b is None) or np.allclose(a, b), f"{message}: {name}"
    same = got.reason if isinstance(got.reason, str) else list(got.reason)
    assert same == (expected.reason if isinstance(expected.reason, str) else list(expected.reason)), message


# --- Analyses ---------------------------------------------------------------------------------------------------


def check_analysis(analysis: Any, view: ArrayView) -> Findings:
    """Every promise of `Analysis`, on these rows. Returns the findings. Raises AssertionError."""
    _check_component(analysis, "analyses")
    found: Findings = analysis.analyse(view)
    assert found.summary.strip(), "no summary"
    for finding in found.findings:
        _check_finding(finding)
    assert _plain(analysis.analyse(view)) == _plain(found), "analysing the same rows twice gives two results"
    order = np.random.default_rng(0).permutation(len(view))
    moved = analysis.analyse(view.rearranged(order))
    assert _plain(moved) == _plain(found), "another order of rows gives other findings"
    return found


def _check_finding(finding: Finding) -> None:
    assert finding.title.strip() and finding.text.strip(), f"a finding without words: {finding}"
    assert finding.chart in ("", "bars", "line", "matrix"), f"chart {finding.chart!r}"
    if finding.chart:
        assert finding.table is not None, f"{finding.title!r} draws a table that is not there"
        types = [field.type for field in finding.table.schema]
        assert len(types) >= 2, f"{finding.title!r}: a chart needs two columns"
        numbers = types[1:2] if finding.chart == "bars" else types[1:]
        for type_ in numbers:
            assert pa.types.is_integer(type_) or pa.types.is_floating(type_), f"{finding.title!r}: {types}"


def _plain(found: Findings) -> list[Any]:
    parts = [
        (f.title, f.text, f.chart, f.serious, f.table.to_pydict() if f.table else None)
        for f in found.findings
    ]
    return [found.summary, repr(parts)]
