"""`training-dynamics`, `ldr-loss`, `aldr-loss` and `aum`: planted noise, every parameter, logs, rows without an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch", reason="extra train not installed")

from curate.errors import InputError, UnknownNameError
from curate.memory import ArrayView
from curate.scorers.noise import Head, LogitLog, train_head
from curate.scorers.noise.dynamics.scorer import TrainingDynamics
from curate.scorers.noise.dynamics.trained import AldrLoss, AumScore, LdrLoss
from curate.testing import check_scorer, score_all

SHORT = {"epochs": 3, "hidden": 8}
CLASSES = ("cat", "dog", "eel")


@pytest.mark.parametrize("cls", [TrainingDynamics, LdrLoss, AldrLoss, AumScore])
def test_wrong_labels_score_low(planted: Any, cls: Any) -> None:
    scored = score_all(cls(), planted.view())
    assert planted.auroc(scored.column(0).to_numpy()) > 0.9  # 0.5 at random


@pytest.mark.parametrize("cls", [TrainingDynamics, AumScore])
def test_conformance(planted: Any, cls: Any) -> None:
    view = planted.view().rearranged(np.arange(60))
    wrong, right = (f"{np.flatnonzero(planted.wrong[:60] == w)[0]:03d}" for w in (True, False))
    check_scorer(cls(epochs=6, hidden=16), view, planted=(right, wrong))


@pytest.mark.parametrize("cls", [TrainingDynamics, LdrLoss, AldrLoss, AumScore])
def test_shared_parameters_show(planted: Any, cls: Any) -> None:
    view = planted.view()
    base = score_all(cls(**SHORT), view)
    changes: list[dict[str, Any]] = [{"hidden": 0}, {"epochs": 4}, {"batch_size": 8}]
    for change in [*changes, {"learning_rate": 0.1}, {"seed": 1}]:
        assert not score_all(cls(**SHORT | change), view).equals(base), change
    renamed = ArrayView(view.to_arrow(["id", "label"]), {"mine": planted.x})
    assert cls(embedding="mine").needs == ("label", "mine")
    assert score_all(cls(**SHORT, embedding="mine"), renamed).equals(base)
    with pytest.raises(InputError, match="learning_rate"):
        cls(learning_rate=0.0)


@pytest.mark.parametrize(
    ("cls", "change"),
    [
        (LdrLoss, {"lam": 5.0}),
        (LdrLoss, {"margin": 1.0}),
        (LdrLoss, {"prepare": "softplus-unit-mean"}),
        (AldrLoss, {"lam0": 1.0}),
        (AldrLoss, {"alpha": 4.0}),
        (AldrLoss, {"margin": 1.0}),
        (AldrLoss, {"prepare": "softplus-unit-mean"}),
        (AumScore, {"percentile": 30.0}),
        (AumScore, {"runs": 3}),
        (AumScore, {"loss": "ce"}),
        (TrainingDynamics, {"by": "margin"}),
        (TrainingDynamics, {"beta": 0.2}),
        (TrainingDynamics, {"loss": "ce"}),
    ],
    ids=str,
)
def test_own_parameters_show(planted: Any, cls: Any, change: dict[str, Any]) -> None:
    view = planted.view()
    assert not score_all(cls(**SHORT | change), view).equals(score_all(cls(**SHORT), view))


def test_the_score_is_the_measure_asked_for(planted: Any) -> None:
    view = planted.view()
    for cls, prefix in ((LdrLoss, "ldr"), (AldrLoss, "aldr")):
        for by, sign in (("margin", 1), ("mean_loss", -1), ("final_loss", -1)):
            scored = score_all(cls(**SHORT, by=by), view)
            np.testing.assert_array_equal(
                scored[f"{prefix}_loss"].to_numpy(), sign * scored[f"{prefix}_{by}"].to_numpy()
            )
    ambiguity = score_all(AldrLoss(**SHORT), view)["aldr_ambiguity"].to_numpy()
    assert ambiguity.min() >= 0.5 - 1e-6 and ambiguity.max() <= 1
    for by in ("confidence", "margin", "target", "correctness"):
        scored = score_all(TrainingDynamics(**SHORT, by=by), view)
        assert scored["training_dynamics"].equals(scored[f"dynamics_{by}"])


def test_details_of_training_dynamics(planted: Any) -> None:
    scored = score_all(TrainingDynamics(), planted.view())
    suggested = np.array(scored["dynamics_suggested_label"].to_pylist())
    truth = np.array(CLASSES)[planted.truth]
    assert (suggested[planted.wrong] == truth[planted.wrong]).mean() > 0.8
    learnt = scored["dynamics_learnt"].to_numpy()
    assert scored["dynamics_forgetting"].null_count == (~learnt).sum()
    assert set(scored["dynamics_epochs"].to_pylist()) == {30}


# --- From a log -----------------------------------------------------------------------------------------------------


def log_of(planted: Any, folder: Path, rows: np.ndarray) -> LogitLog:
    labels = planted.labels[rows]
    log = LogitLog.create(folder, [planted.ids[i] for i in rows], labels, CLASSES, dtype="float32")

    def record(_: int, logits: np.ndarray) -> None:
        with log.epoch() as epoch:
            epoch.record(np.arange(len(rows)), logits)

    train_head(planted.x[rows], labels, 3, head=Head(loss="elr", epochs=6), on_epoch=record)
    return log


def test_a_log_and_a_column_of_logits_give_what_training_here_gives(planted: Any, tmp_path: Path) -> None:
    log = log_of(planted, tmp_path / "log", np.arange(240))
    view = planted.view().rearranged(np.random.default_rng(0).permutation(240))
    here = score_all(TrainingDynamics(epochs=6), view)
    from_log = score_all(TrainingDynamics(log=str(tmp_path / "log")), view)
    assert TrainingDynamics(log="x").needs == ("label",)
    flat = np.concatenate(list(log), 1)[view.to_arrow(["id"])["id"].cast("int64").to_numpy()]
    columned = ArrayView(view.to_arrow(["id", "label"]), {"z": flat})
    from_column = score_all(TrainingDynamics(logits="z"), columned)
    for name in here.column_names:
        if here[name].type == "float":
            np.testing.assert_allclose(from_log[name].to_numpy(), here[name].to_numpy(), atol=1e-5)
            np.testing.assert_allclose(from_column[name].to_numpy(), here[name].to_numpy(), atol=1e-5)
        else:
            assert from_log[name].equals(here[name]) and from_column[name].equals(here[name]), name


def test_items_that_the_log_does_not_know_say_so(planted: Any, tmp_path: Path) -> None:
    log_of(planted, tmp_path, np.arange(200))
    labels = planted.view().to_arrow(["label"])["label"].to_pylist()
    labels[3], labels[5] = "eel" if labels[3] != "eel" else "cat", None
    view = ArrayView({"id": planted.ids, "label": labels})
    scored = score_all(TrainingDynamics(log=str(tmp_path)), view)
    reasons = scored["training_dynamics_reason"].to_pylist()
    assert set(reasons[200:]) == {"not in the log"}
    assert reasons[3] == f"the log was made with the label {CLASSES[planted.labels[3]]!r}, not {labels[3]!r}"
    assert reasons[5] == "no label"
    assert [i for i, r in enumerate(reasons[:200]) if r] == [3, 5]
    check_scorer(TrainingDynamics(log=str(tmp_path)), view.rearranged(np.arange(50)))


def test_a_log_of_other_items_is_an_error(planted: Any, tmp_path: Path) -> None:
    log_of(planted, tmp_path, np.arange(100))
    other = ArrayView({"id": ["x", "y", "z"], "label": ["cat", "dog", "eel"]})
    with pytest.raises(InputError, match=r"no item has the id and the label.*'x' \('cat'\).*'000'"):
        TrainingDynamics(log=str(tmp_path)).fit(other)
    with pytest.raises(InputError, match="no log of logits"):
        TrainingDynamics(log=str(tmp_path / "nothing")).fit(other)
    empty = tmp_path / "empty"
    LogitLog.create(empty, ["x", "y", "z"], [0, 1, 2], CLASSES)
    with pytest.raises(InputError, match="the log has no epoch"):
        TrainingDynamics(log=str(empty)).fit(other)
    with pytest.raises(InputError, match="not both"):
        TrainingDynamics(log="a", logits="b")


def test_logits_in_a_column_may_have_gaps() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    logits[1, :2], logits[2] = np.nan, np.nan
    view = ArrayView({"label": ["a", "b", "a", "b"]}, {"z": logits})
    fitted = TrainingDynamics(logits="z").fit(view)
    assert fitted.table["dynamics_epochs"].to_pylist() == [3, 2, None, 3]
    assert fitted.table["training_dynamics_reason"].to_pylist()[2] == "no z"
    assert any("1 item was seen in fewer epochs" in note for note in fitted.notes)
    wider = TrainingDynamics(logits="z", classes=("b", "a", "c"))
    assert wider.fit(view).table["dynamics_epochs"].to_pylist() == [2, 1, None, 2]
    turned = np.full((4, 6), -9.0, np.float32)
    turned[:, [0, 1, 3, 4]] = logits[:, [1, 0, 3, 2]]
    same = wider.fit(ArrayView(view.to_arrow(["id", "label"]), {"z": turned})).table["dynamics_margin"]
    two = TrainingDynamics(logits="z").fit(ArrayView(view.to_arrow(["id", "label"]), {"z": logits[:, :4]}))
    np.testing.assert_allclose(same.to_numpy()[[0, 3]], two.table["dynamics_margin"].to_numpy()[[0, 3]])
    strange = ArrayView({"label": ["a", "b", "a", "zebra"]}, {"z": logits})
    reasons = wider.fit(strange).table["training_dynamics_reason"].to_pylist()
    assert reasons == [None, None, "no z", "label 'zebra' is none of the 3 classes"]
    with pytest.raises(InputError, match="order of a column"):
        TrainingDynamics(classes=("a", "b"))
    three = ArrayView({"label": ["a", "b", "c", "d"]}, {"z": logits})
    with pytest.raises(InputError, match="6 numbers a row, which is no multiple of the 4 classes"):
        TrainingDynamics(logits="z").fit(three)


# --- What cannot be scored --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [TrainingDynamics, LdrLoss, AldrLoss, AumScore])
def test_rows_without_an_embedding_or_a_label_change_nothing_else(planted: Any, cls: Any) -> None:
    x, labels = planted.x.copy(), planted.view().to_arrow(["label"])["label"].to_pylist()
    x[3], x[5, 0], labels[7] = np.nan, np.inf, None
    view = ArrayView({"id": planted.ids, "label": labels}, {"pixel_embedding": x})
    scored = score_all(cls(**SHORT), view)
    reasons = scored[scored.column_names[-1]].to_pylist()
    assert [reasons[i] for i in (3, 5, 7)] == [
        "no pixel_embedding",
        "values of pixel_embedding are not finite",
        "no label",
    ]
    rest = np.setdiff1d(np.arange(240), [3, 5, 7])
    assert score_all(cls(**SHORT), view.rearranged(rest)).equals(scored.take(rest))


@pytest.mark.parametrize("cls", [TrainingDynamics, LdrLoss, AldrLoss, AumScore])
def test_what_is_wrong_as_a_whole_is_an_error(planted: Any, cls: Any) -> None:
    one = ArrayView({"label": ["cat"] * 9}, {"pixel_embedding": planted.x[:9]})
    with pytest.raises(InputError, match="all 9 labels are 'cat'"):
        cls(**SHORT).fit(one)
    nothing = ArrayView({"label": [None, None]}, {"pixel_embedding": planted.x[:2]})
    assert cls(**SHORT).fit(nothing).table.column(0).null_count == 2
    with pytest.raises(UnknownNameError, match="pixel_embedding"):
        cls(**SHORT).fit(ArrayView({"label": ["a", "b"]}))


def test_parameters_out_of_range_are_refused() -> None:
    for cls, wrong, message in (
        (AumScore, {"percentile": 101.0}, "percentile"),
        (AumScore, {"runs": 1}, "two runs"),
        (AldrLoss, {"alpha": 1.0}, "alpha"),
        (LdrLoss, {"epochs": 0}, "epochs"),
        (TrainingDynamics, {"beta": 1.0}, "beta"),
        (TrainingDynamics, {"loss": "mse"}, "loss"),
    ):
        with pytest.raises(InputError, match=message):
            cls(**wrong)


def test_notes_say_what_makes_the_answers_doubtful(planted: Any) -> None:
    noise = np.random.default_rng(0).normal(size=planted.x.shape).astype(np.float32)
    view = ArrayView(planted.view().to_arrow(["id", "label"]), {"pixel_embedding": noise})
    notes = TrainingDynamics(**SHORT).fit(view).notes
    assert any("it learnt little" in note for note in notes)
    assert any("only 2 epochs" in note for note in TrainingDynamics(epochs=2).fit(planted.view()).notes)
    assert TrainingDynamics().fit(planted.view()).notes == ()
    believing = AumScore(loss="ce", epochs=20, learning_rate=0.3).fit(view)
    assert any("of the labels are flagged" in note for note in believing.notes)


@pytest.mark.parametrize("cls", [LdrLoss, AldrLoss])
def test_wrong_sets_of_labels_score_low(cls: Any) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((200, 3)) < 0.4
    x = truth @ rng.normal(size=(3, 8)) * 3 + rng.normal(size=(200, 8))
    given = truth.copy()
    wrong = rng.choice(np.arange(10, 200), 12, replace=False)
    given[wrong, wrong % 3] ^= True
    sets: list[list[str] | None] = [[n for n, yes in zip("abc", row, strict=True) if yes] for row in given]
    sets[3], x[5] = None, np.nan
    rows = {"id": [f"{i:03d}" for i in range(200)], "labels": pa.array(sets, pa.list_(pa.string()))}
    view = ArrayView(rows, {"pixel_embedding": x})
    scorer = cls(epochs=10, hidden=0, by="margin").resolve(view.columns, "label")
    assert scorer.needs == ("labels", "pixel_embedding")
    assert scorer.fit(view).classes == ("a", "b", "c")
    table = score_all(scorer, view)
    reasons = table[f"{scorer.name.replace('-', '_')}_reason"].to_pylist()
    assert [(i, why) for i, why in enumerate(reasons) if why] == [
        (3, "no set of labels"),
        (5, "no pixel_embedding"),
    ]
    marks = table.column(0).to_numpy()
    known = np.flatnonzero(np.isfinite(marks))
    lowest = known[np.argsort(marks[known])[:12]]
    assert len(set(lowest) & set(wrong)) >= 8
    assert (
        cls().resolve(["label", "labels"], "label").label == "label"
    )  # items with one label are judged by it
    empty = np.flatnonzero(~given.any(1))
    with pytest.raises(InputError, match="same set of labels"):
        cls(epochs=2, label="labels").fit(view.rearranged(empty[empty > 5]))
