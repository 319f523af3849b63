"""Answers about some items tell of the rest: from a table of answers in a store to labels that people would contradict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytest.importorskip("sklearn", reason="extra noise not installed")

from sklearn.datasets import load_digits

import curate


def test_what_labels_and_their_models_get_wrong_together_people_tell(tmp_path: Path) -> None:
    """Half of the nines, those that lean one way, are called fours throughout: a model of the labels learns that. Of 700
    items drawn at random three people say what they see."""
    x, truth = load_digits(return_X_y=True)
    n, rng = len(truth), np.random.default_rng(0)
    lean = x @ np.tile(np.arange(8), 8) / x.sum(1)
    odd = (truth == 9) & (lean > np.median(lean[truth == 9]))
    labels = np.where(odd, 4, truth).astype(str)
    ids = np.array([f"{i:04d}" for i in range(n)])
    asked = rng.choice(n, 700, replace=False)
    said = [
        {
            "item": ids[i],
            "annotator": who,
            "value": str(truth[i] if rng.random() < 0.95 else rng.integers(10)),
        }
        for i in asked
        for who in ("ann", "ben", "cem")
    ]
    with curate.open(tmp_path / "digits.curate", create=True) as store:
        store.add(pl.DataFrame({"id": ids, "text": ids, "label": labels}), kind="label")
        store.attach(x.astype(np.float32), name="pixels", ids=list(ids))
        store.record_answers(pl.DataFrame(said))
        store.gather_answers()
        store.score("consensus")
        store.score("out-of-fold", embedding="pixels")
        store.score("label-errors")
        store.score("out-of-fold", embedding="pixels", label="consensus_label", unlabelled=True, name="said")
        store.score("expected-answers", pred_probs=("said_pred_probs", "pred_probs"))
        columns = ["id", "label_error", "label_disputed", "label_disputed_suggestion"]
        rows = store.items.to_polars(columns).sort("id")
    rest = np.ones(n, bool)
    rest[asked] = False
    silent, told = (rows[name].to_numpy()[rest] for name in ("label_error", "label_disputed"))
    wrong = odd[rest]
    assert (silent & wrong).sum() < 0.35 * wrong.sum()
    assert (told & wrong).sum() > 0.6 * wrong.sum()
    assert (told & wrong).sum() > 0.8 * told.sum()
    right = rows.filter(pl.col("label_disputed"))["label_disputed_suggestion"].to_list()
    assert right.count("9") > 0.8 * len(right)
