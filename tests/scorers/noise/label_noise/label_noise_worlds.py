"""Labels with planted noise, and how well it is found."""

from __future__ import annotations

import numpy as np


def world(
    n: int = 3000, k: int = 4, rate: float = 0.2, kind: str = "uniform", seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that an honest model of the *noisy* labels gives, those labels, and the truth.

    "uniform", "pair": noise by class alone. "people": an item is mislabelled as what it looks like, the more likely
    the more it does.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), truth] += 4
    clean = np.exp(logits - logits.max(1, keepdims=True))
    clean /= clean.sum(1, keepdims=True)
    if kind == "people":
        soft = clean**0.35
        noisy = soft / soft.sum(1, keepdims=True)
    else:
        other = np.full((k, k), rate / (k - 1)) if kind == "uniform" else rate * np.roll(np.eye(k), 1, 1)
        np.fill_diagonal(other, 1 - rate)
        noisy = clean @ other
        return noisy.astype(np.float32), _draw(other[truth], rng), truth
    return noisy.astype(np.float32), _draw(noisy, rng), truth


def _draw(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random((len(chances), 1)) > np.cumsum(chances, 1)[:, :-1]).sum(1).astype(np.int64)


def f1(flagged: np.ndarray, wrong: np.ndarray) -> float:
    return float(2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum()))


def auroc(score: np.ndarray, wrong: np.ndarray) -> float:
    rank = np.argsort(np.argsort(-score))
    return float((rank[wrong].mean() - rank[~wrong].mean()) / len(score) + 0.5)
