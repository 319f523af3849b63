"""The registered scorers say what the functions say, row by row, and why they leave one out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.influence import (
    datainf,
    el2n,
    gist,
    grand,
    last_layer_gradients,
    less,
    loss_drop,
    self_influence,
    tracin,
    trak,
)
from curate.scorers.influence.aligned import Gist, Less, TracIn
from curate.scorers.influence.curved import DataInf, Trak
from curate.scorers.influence.difficulty import El2n, Grand, LossDrop, SelfInfluence
from curate.scorers.influence.encoders import Gradients
from curate.testing import score_all

N, D = 12, 8
TARGET = np.arange(N) >= 9


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), N)
    return {
        "gradients": rng.standard_normal((N, D)).astype(np.float32),
        "embedding": rng.standard_normal((N, 4)).astype(np.float32),
        "pred_probs": probs.astype(np.float32),
    }


def view_of(columns, **changed):
    rng = np.random.default_rng(1)
    table = {
        "id": [f"{i:02}" for i in range(N)],
        "label": ["abc"[i % 3] for i in range(N)],
        "target": TARGET.tolist(),
        "task": ["x", "y", "z"] * 4,
        "loss_before": rng.uniform(1, 3, N),
        "loss_after": rng.uniform(0, 2, N),
        **changed,
    }
    return ArrayView(table, columns)


CASES = [
    (Less(checkpoints=2, rates=(3.0, 1.0)), less, {"checkpoints": 2, "rates": (3.0, 1.0)}),
    (Less(mean="gradient"), less, {"mean": "gradient"}),
    (TracIn(checkpoints=2, rates=(0.1, 0.2)), tracin, {"checkpoints": 2, "rates": (0.1, 0.2)}),
    (Gist(rank=2), gist, {"rank": 2}),
    (Gist(checkpoints=2, rates=(1.0, 0.0)), gist, {"checkpoints": 2, "rates": (1.0, 0.0)}),
    (DataInf(damping=0.5), datainf, {"damping": 0.5}),
    (Trak(damping=0.5, checkpoints=2), trak, {"damping": 0.5, "checkpoints": 2}),
]


@pytest.mark.parametrize(
    ("scorer", "function", "options"), CASES, ids=lambda value: getattr(value, "name", "")
)
@pytest.mark.parametrize("tasks", ["", "task"])
def test_scorers_by_target_are_the_functions(columns, scorer, function, options, tasks):
    import dataclasses

    scorer = dataclasses.replace(scorer, tasks=tasks)
    got = score_all(scorer, view_of(columns))
    g = columns["gradients"]
    groups = ["x", "y", "z"] if tasks else None
    expected = function(g[~TARGET], g[TARGET], groups=groups, **options)
    main, best, reason = got.columns
    assert np.allclose(main.to_pylist()[:9], expected.score, rtol=1e-4, atol=1e-6)
    assert best.to_pylist()[:9] == [expected.tasks[j] for j in expected.by_task.argmax(1)]
    assert main.to_pylist()[9:] == [None] * 3
    assert set(reason.to_pylist()[9:]) == {"is the target by which others are judged"}


def test_the_target_is_an_expression(columns):
    got = score_all(Less(target="label = 'c' and id > '04'"), view_of(columns))
    assert [r is not None for r in got["less_reason"].to_pylist()] == [i in (5, 8, 11) for i in range(N)]


def test_rows_without_a_gradient_are_told(columns):
    columns["gradients"][0] = np.nan
    columns["gradients"][1, 3] = np.inf
    columns["gradients"][2] = 0
    for scorer in (Less(), TracIn(), Gist(), DataInf(), Trak()):
        got = score_all(scorer, view_of(columns))
        assert got[f"{scorer.name}_reason"].to_pylist()[:3] == [
            "no gradients",
            "gradients is not finite",
            None,
        ]
        assert got[scorer.name].to_pylist()[2] == 0
    got = score_all(SelfInfluence(), view_of(columns))
    assert got["self_influence_reason"].to_pylist()[:3] == ["no gradients", "gradients is not finite", None]


def test_no_target_is_an_error(columns):
    with pytest.raises(InputError, match="none of 12 items is the target by"):
        Less(target="id = '99'").fit(view_of(columns))
    columns["gradients"][9:] = 0
    with pytest.raises(InputError, match="all zero"):
        TracIn().fit(view_of(columns))
    columns["gradients"][9:] = np.nan
    with pytest.raises(InputError, match="has finite gradients"):
        DataInf().fit(view_of(columns))


def test_closed_forms_are_the_functions(columns):
    labels, probs, seen = np.arange(N) % 3, columns["pred_probs"], columns["embedding"]
    view = view_of(columns)
    assert np.allclose(score_all(El2n(), view)["el2n"], el2n(probs, labels))
    assert np.allclose(score_all(Grand(), view)["grand"], grand(probs, labels, seen))
    assert np.allclose(score_all(Grand(bias=False), view)["grand"], grand(probs, labels, seen, bias=False))
    drop = loss_drop(*(np.asarray(view.to_arrow([c]).column(0)) for c in ("loss_before", "loss_after")))
    assert np.allclose(score_all(LossDrop(), view)["loss_drop"], drop)
    plain = score_all(LossDrop(after="loss_after / 2", normalise=False), view)["loss_drop"]
    assert not np.allclose(plain, drop)
    own = score_all(SelfInfluence(checkpoints=2, rates=(1.0, 2.0)), view)["self_influence"]
    assert np.allclose(own, -self_influence(columns["gradients"], checkpoints=2, rates=(1.0, 2.0)))


def test_gradients_are_the_closed_form(columns):
    pytest.importorskip("numba", reason="extra select not installed")
    labels = np.arange(N) % 3
    expected = last_layer_gradients(
        columns["pred_probs"], labels, columns["embedding"], dim=64, seed=2, kind="rademacher"
    )
    got = score_all(Gradients(dim=64, seed=2, projection="rademacher"), view_of(columns))["gradients"]
    assert np.allclose(np.stack(got.to_pylist()), expected, atol=1e-6)
    assert not np.allclose(score_all(Gradients(dim=64), view_of(columns))["gradients"].to_pylist(), expected)
    reordered = score_all(Gradients(dim=64, classes=("b", "a", "c"), bias=False), view_of(columns))[
        "gradients"
    ].to_pylist()
    swapped = last_layer_gradients(
        columns["pred_probs"], np.array([1, 0, 2])[labels], columns["embedding"], dim=64, bias=False
    )
    assert np.allclose(reordered, swapped, atol=1e-6)


def test_labels_and_classes_that_do_not_match(columns):
    view = view_of(columns)
    for make in (El2n, Grand, Gradients):
        with pytest.raises(InputError, match="3 columns, `classes` names 2 classes"):
            make(classes=("a", "b")).fit(view)
        with pytest.raises(InputError, match="labels are none of the classes"):
            make(classes=("A", "B", "C")).fit(view)
        with pytest.raises(InputError, match="named twice"):
            make(classes=("a", "a", "b")).fit(view)
        with pytest.raises(InputError, match="the labels have 2 classes"):
            make().fit(view_of(columns, label=["a", "b"] * 6))
    got = score_all(El2n(classes=("a", "b", "z")), view)["el2n_reason"].to_pylist()
    assert got[:3] == [None, None, "label 'c' is none of the 3 classes"]
    columns["pred_probs"][0] = 0.9
    columns["pred_probs"][1] = np.nan
    columns["pred_probs"][3] = [1.5, -1.0, 0.5]
    got = score_all(El2n(), view_of(columns))["el2n_reason"].to_pylist()
    assert got[:3] == ["predicted probabilities do not sum to 1", "no predicted probabilities", None]
    assert got[3] == "predicted probabilities outside [0, 1]"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Less(mean="median"),
        lambda: Less(checkpoints=2, rates=(1.0,)),
        lambda: TracIn(checkpoints=0),
        lambda: Gist(rank=0),
        lambda: DataInf(damping=0),
        lambda: Trak(damping=-1),
        lambda: SelfInfluence(checkpoints=2, rates=(1.0,)),
        lambda: Gradients(dim=0),
        lambda: Gradients(dim=100, projection="rademacher"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_from_predictions_to_influence_in_a_store(tmp_path):
    """Items of a class that the target holds are found among others, from embeddings and probabilities alone."""
    pytest.importorskip("numba", reason="extra select not installed")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    x = (np.eye(4, 10)[labels] * 4 + rng.standard_normal((300, 10))).astype(np.float32)
    logits = x[:, :4] * 0.3
    probs = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    wanted = np.flatnonzero(labels == 2)[:15]
    table = pa.table(
        {
            "id": [f"{i:03}" for i in range(300)],
            "text": [str(i) for i in range(300)],
            "label": [f"c{label}" for label in labels],
            "check": np.isin(np.arange(300), wanted),
        }
    )
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(table, kind="label")
        store.attach(x, name="embedding", ids="rows")
        store.attach(probs, name="pred_probs", ids="rows")
        store.score("gradients", dim=128)
        store.score("less", target='"check"')
        found = store.items.to_arrow(["less"]).column(0)
        best = np.argsort(-np.nan_to_num(np.array(found.to_pylist(), float), nan=-9))[:40]
    assert (labels[best] == 2).mean() > 0.95
