"""Whichever column is named by `label` is what is judged or learnt, by every scorer and analysis of labels alike."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate import registry
from curate.api import Store
from curate.contracts import Findings
from curate.errors import CurateError, MissingExtraError, SchemaError, UnknownNameError
from curate.memory import ArrayView
from curate.recipe.model import AnalyseStep, ImportStep, ScoreStep
from curate.run.checking import check_steps

N = 60
CLASSES = ("0", "1", "2")
BRIEF = {"epochs": 1, "hidden": 4}
LAYER = {"features": "pixel_embedding"}

COMPONENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "aldr-loss": ("scorers", BRIEF),
    "aum": ("scorers", BRIEF),
    "class-gaussian": ("scorers", {}),
    "confident-learning": ("scorers", {}),
    "confident-learning of several": ("scorers", {"pred_probs": ("pred_probs", "others")}),
    "el2n": ("scorers", {}),
    "expected-answers": ("scorers", {"answers": "votes"}),
    "gradients": ("scorers", LAYER | {"dim": 8}),
    "grand": ("scorers", LAYER),
    "instance-density": ("scorers", {"method": "knn", "neighbours": 3}),
    "knn-agreement": ("scorers", {}),
    "knn-shapley": ("scorers", {}),
    "label-errors": ("scorers", {}),
    "label-errors of several": ("scorers", {"pred_probs": ("pred_probs", "others")}),
    "ldr-loss": ("scorers", BRIEF),
    "memorisation": ("scorers", {"runs": 6}),
    "out-of-fold": ("scorers", {"model": "knn"}),
    "self-rescaling": ("scorers", BRIEF | {"passes": 1}),
    "training-dynamics": ("scorers", BRIEF),
    "training-dynamics of logits": ("scorers", {"logits": "logits"}),
    "label-audit": ("analyses", {"items": 5}),
    "label-conflicts": ("analyses", {"group": "pairs"}),
    "label-health": ("analyses", {}),
}
"""Every component of which `label` is the column it reads, and how to try it."""


def build(case: str, **more: Any) -> Any:
    """The component, ready to be tried here."""
    group, params = COMPONENTS[case]
    made = registry.build(group, case.partition(" of ")[0], params | more)
    try:
        if hasattr(made, "ready"):
            made.ready()
    except MissingExtraError as error:
        pytest.skip(str(error))
    return made


def view_of(**labels: Any) -> ArrayView:
    """Three clusters, what models said of them, and columns of labels."""
    rng = np.random.default_rng(1)
    truth = np.arange(N) % 3
    x = np.eye(3, 4)[truth] * 3 + rng.normal(size=(N, 4))
    probs = np.eye(3)[truth] * 0.6 + rng.dirichlet(np.ones(3), N) * 0.4
    votes = [[{"annotator": f"a{j}", "value": CLASSES[truth[i]]} for j in range(i % 3)] for i in range(N)]
    return ArrayView(
        {
            "id": [f"i{i:02d}" for i in range(N)],
            "votes": votes,
            "pairs": [i // 2 for i in range(N)],
            **labels,
        },
        {
            "pixel_embedding": x.astype(np.float32),
            "pred_probs": probs.astype(np.float32),
            "others": (probs * 0.9 + 0.1 / 3).astype(np.float32),
            "logits": rng.normal(size=(N, 6)).astype(np.float32),
        },
    )


@pytest.fixture(scope="module")
def given() -> list[str]:
    """Labels of the clusters, a tenth of them wrong."""
    return [CLASSES[(i + (i % 10 == 7)) % 3] for i in range(N)]


def outcome(component: Any, view: ArrayView) -> Any:
    """All that it says, in a form that can be compared."""
    if hasattr(component, "analyse"):
        found: Findings = component.analyse(view)
        told = [
            (f.title, f.text, f.table and f.table.to_pydict(), f.chart, f.serious) for f in found.findings
        ]
        return found.summary, told
    fitted = component.fit(view)
    return fitted.table.to_pydict(), fitted.notes, fitted.classes, fitted.table.schema.names


def same(one: Any, other: Any) -> bool:
    """Whether two outcomes are equal, NaN being equal to itself."""
    return repr(one) == repr(other)


def test_no_scorer_or_analysis_has_the_column_fixed() -> None:
    tried = {case.partition(" of ")[0] for case in COMPONENTS}
    for group in ("scorers", "analyses"):
        for name in registry.names(group):
            try:
                made = registry.build(group, name, {})
            except CurateError:  # it cannot do without a parameter, and of those tried here none is like that
                continue
            named = [field.name for field in fields(made) if getattr(made, field.name) == "label"]
            assert named or "label" not in made.needs, f"{name} reads `label` and has no parameter for it"
            assert "label" not in named or name in tried, name


@pytest.mark.parametrize("case", COMPONENTS)
def test_another_column_is_judged_as_label_is(case: str, given: list[str]) -> None:
    misleading = [CLASSES[i // 20] for i in range(N)]
    plain = build(case)
    expected = outcome(plain, view_of(label=given))
    other = build(case, label="second")
    assert "label" in plain.needs and "label" not in other.needs and "second" in other.needs
    assert getattr(other, "gives", None) == getattr(plain, "gives", None)
    assert same(outcome(other, view_of(label=misleading, second=given)), expected)
    assert not same(outcome(plain, view_of(label=misleading)), expected)


@pytest.mark.parametrize(
    "case", ["confident-learning", "el2n", "knn-agreement", "memorisation", "label-audit"]
)
def test_whole_numbers_are_labels(case: str, given: list[str]) -> None:
    numbers = pa.array([int(label) for label in given])
    other = build(case, label="second")
    assert same(outcome(other, view_of(second=numbers)), outcome(other, view_of(second=given)))


@pytest.mark.parametrize("case", [case for case in COMPONENTS if case not in ("aldr-loss", "ldr-loss")])
def test_lists_are_no_labels(case: str, given: list[str]) -> None:
    """But for the losses, which have a form for sets."""
    other = build(case, label="second")
    for lists in ([[label] for label in given], np.eye(3)[np.array(given, int)].tolist()):
        with pytest.raises(
            SchemaError, match=r"column 'second' holds list<.*>: one label of each item is meant"
        ):
            outcome(other, view_of(second=lists))


@pytest.mark.parametrize("case", [case for case in COMPONENTS if COMPONENTS[case][0] == "scorers"])
def test_who_has_none_there_gets_the_reason(case: str, given: list[str]) -> None:
    component = build(case, label="second")
    table = component.fit(view_of(label=given, second=[None, *given[1:]])).table
    reasons = table[f"{component.name.replace('-', '_')}_reason"].to_pylist()
    assert reasons[0] == "no second" and "no second" not in reasons[1:]
    assert table.column(0)[0].as_py() is None


@pytest.mark.parametrize("case", COMPONENTS)
def test_a_column_that_is_not_there_is_named_with_those_that_are(case: str, given: list[str]) -> None:
    with pytest.raises(UnknownNameError, match=r"(?s)'secnod'.*second"):
        outcome(build(case, label="secnod"), view_of(second=given))


# --- In a store -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, given: list[str]) -> Store:
    """Texts with two columns of labels, the role's and one that came with the items."""
    made = curate.open(tmp_path_factory.mktemp("labels") / "s.curate", create=True)
    ids = [f"i{i:02d}" for i in range(N)]
    made.add(
        {
            "id": ids,
            "text": [f"t{i}" for i in ids],
            "label": [CLASSES[i % 2] for i in range(N)],
            "second": given,
        },
        kind="label",
    )
    view = view_of()
    for name in ("pixel_embedding", "pred_probs", "others", "logits"):
        made.attach({"id": ids, name: view.vectors(name).to_numpy().tolist()}, name=name)
    return made


@pytest.mark.parametrize("case", [case for case in COMPONENTS if case != "expected-answers"])
def test_a_store_says_what_is_missing_and_what_there_is(case: str, store: Store) -> None:
    group, params = COMPONENTS[case]
    name = case.partition(" of ")[0]
    ask = store.analyse if group == "analyses" else store.score
    with pytest.raises(UnknownNameError) as caught:
        ask(name, label="secnod", **params)
    told = str(caught.value)
    assert "'secnod'" in told and "second" in told and "the parameter 'label'" in told, told


def test_a_store_judges_the_column_that_is_named(store: Store, given: list[str]) -> None:
    store.score("label-errors", label="second")
    columns = ["label_errors", "label_error", "label_error_suggestion"]
    expected = registry.build("scorers", "label-errors", {}).fit(view_of(label=given)).table
    assert store.items.to_arrow(columns).to_pydict() == expected.select(columns).to_pydict()
    assert sum(expected["label_error"].to_pylist()) == 6


def test_items_of_a_kind_without_labels_are_judged_by_a_column_of_theirs(
    tmp_path: Path, given: list[str]
) -> None:
    made = curate.open(tmp_path / "s.curate", create=True)
    ids = [f"i{i:02d}" for i in range(N)]
    made.add(
        {"id": ids, "instruction": ["do"] * N, "output": [f"o{i}" for i in ids], "topic": given},
        kind="instruction",
    )
    made.attach(
        {"id": ids, "pred_probs": view_of().vectors("pred_probs").to_numpy().tolist()}, name="pred_probs"
    )
    with pytest.raises(
        SchemaError, match=r"label-errors needs label, .*or name another column by the parameter 'label'"
    ):
        made.score("label-errors")
    made.score("label-errors", label="topic")
    assert made.items.where("label_error").to_arrow(["id"]).num_rows == 6


def test_a_recipe_is_refused_before_its_first_step(tmp_path: Path, given: list[str]) -> None:
    source = tmp_path / "items.jsonl"
    row = {"text": "a", "label": "0", "second": "1", "votes": [], "pred_probs": [0.2, 0.8]}
    source.write_text(json.dumps(row))
    made = curate.open(tmp_path / "s.curate", create=True)
    bring = ImportStep.model_validate({"import": str(source), "kind": "label"})
    settle = ScoreStep.of({"score": "consensus", "with": {"answers": "votes"}})
    for label in ("second", "consensus_label"):
        check_steps(
            made.parts, [bring, settle, ScoreStep.of({"score": "label-errors", "with": {"label": label}})]
        )
    for step in (
        ScoreStep.of({"score": "label-errors", "with": {"label": "secnod"}}),
        AnalyseStep.of({"analyse": "label-audit", "with": {"label": "secnod"}}),
    ):
        with pytest.raises(UnknownNameError, match=r"'secnod'.*Did you mean 'second'.*the parameter 'label'"):
            check_steps(made.parts, [bring, step])
