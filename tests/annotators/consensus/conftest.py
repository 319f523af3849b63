"""Crowds to try aggregators on: small ones with a planted truth, and the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest


class Crowd(NamedTuple):
    """Answers, and the truth as a frame `item`, `truth`."""

    answers: pl.DataFrame
    truth: pl.DataFrame

    def accuracy(self, settled: pl.DataFrame) -> float:
        joined = self.truth.join(settled, "item", "left")
        return float((joined["value"] == joined["truth"]).fill_null(False).mean())  # type: ignore[arg-type]


def simulate(accuracy: list[float], items: int = 200, each: int = 3, k: int = 3, seed: int = 0) -> Crowd:
    """Annotators w0, w1 ... of these accuracies, wrong answers spread evenly, `each` of them asked about each item."""
    rng = np.random.default_rng(seed)
    w = len(accuracy)
    truth = rng.integers(0, k, items)
    item = np.repeat(np.arange(items), each)
    who = np.argsort(rng.random((items, w)), axis=1)[:, :each].ravel()
    right = rng.random(len(item)) < np.array(accuracy)[who]
    value = np.where(right, truth[item], (truth[item] + rng.integers(1, k, len(item))) % k)
    answers = pl.DataFrame(
        {"item": [f"i{i:04d}" for i in item], "annotator": [f"w{i:02d}" for i in who], "value": value}
    )
    return Crowd(answers, pl.DataFrame({"item": [f"i{i:04d}" for i in range(items)], "truth": truth}))


@pytest.fixture(scope="session")
def crowd_of() -> Callable[..., Crowd]:
    return simulate


@pytest.fixture(scope="session")
def real_crowd(data_dir: Path) -> Callable[[str], Crowd]:
    """Loads rte, bluebird, face, product or pos."""

    def load(name: str) -> Crowd:
        if name == "rte":
            path = data_dir / "crowd_snow2008" / "all_collected_data" / "rte.standardized.tsv"
            frame = pl.read_csv(path, separator="\t")
            names = {"orig_id": "item", "!amt_worker_ids": "annotator", "response": "value"}
            truth = frame.select(item="orig_id", truth="gold").unique()
            return Crowd(frame.rename(names).select("item", "annotator", "value"), truth)
        if name == "pos":
            lines = (data_dir / "crowd_pos" / "gimpel_crowdsourced-tf.tsv").read_text().splitlines()
            cells = [line.split("\t") for line in lines if line.count("\t") >= 3]
            rows = [(i, w, v) for i, cell in enumerate(cells) for w, v in enumerate(cell[2].split(",")) if v]
            answers = pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")
            return Crowd(answers, pl.DataFrame({"item": range(len(cells)), "truth": [c[3] for c in cells]}))
        folder = data_dir / "crowd_truth_infer" / name
        answers = pl.read_csv(folder / "answer.csv").rename({"question": "item", "worker": "annotator"})
        truth = pl.read_csv(folder / "truth.csv").rename({"question": "item"})
        return Crowd(answers.rename({"answer": "value"}), truth)

    return load
