"""Embeddings of three classes with planted wrong labels."""

from __future__ import annotations

import numpy as np
import pytest

from curate.memory import ArrayView


class Planted:
    """240 items of three overlapping classes in 6 dimensions, 24 of their labels flipped."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.truth = np.arange(240) % 3
        self.x = (np.eye(3, 6)[self.truth] * 3 + rng.normal(size=(240, 6))).astype(np.float32)
        self.wrong = np.zeros(240, bool)
        self.wrong[rng.choice(240, 24, replace=False)] = True
        self.labels = np.where(self.wrong, (self.truth + 1) % 3, self.truth)
        self.ids = [f"{i:03d}" for i in range(240)]

    def view(self) -> ArrayView:
        labels = [("cat", "dog", "eel")[i] for i in self.labels]
        return ArrayView({"id": self.ids, "label": labels}, {"pixel_embedding": self.x})

    def auroc(self, score: np.ndarray) -> float:
        """Chance that a wrong label scores lower than a right one; 0.5 at random."""
        low, high = np.asarray(score)[self.wrong][:, None], np.asarray(score)[~self.wrong]
        return float(((low < high) + 0.5 * (low == high)).mean())


@pytest.fixture(scope="session")
def planted() -> Planted:
    return Planted()
