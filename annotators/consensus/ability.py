"""GLAD: how able each annotator is, and how hard each item."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import read_answers
from curate.annotators.consensus.coins import Belief, finish, weigh
from curate.annotators.consensus.result import Consensus
from curate.annotators.consensus.votes import candidates
from curate.errors import InputError

__all__ = ["glad"]

Floats = npt.NDArray[np.float64]


def glad(
    answers: Any, *, iterations: int = 50, steps: int = 4, tolerance: float = 1e-4, posterior: bool = False
) -> Consensus:
    """Annotator w is right about item i with chance sigma(a_w b_i), b_i = exp(beta_i); else any other value alike.

    Ability a_w and ease beta_i both have the prior N(1, 1). Expectation-maximisation from vote shares; each round
    takes `steps` Newton steps, abilities and eases in turn. Stops after `iterations`, or when no probability moves by
    more than `tolerance`. `quality` is how often each annotator is right about what he saw, as the model has it.
    `posterior` keeps the (N, K) probabilities. Time O(n) a step, memory O(n).
    Source: Whitehill et al., "Whose vote should count more", NIPS 2009.
    """
    if iterations < 1 or steps < 1:
        raise InputError(f"iterations={iterations}, steps={steps}: at least 1 is meant")
    read = read_answers(answers)
    n, w, k = read.shape
    chosen = candidates(read)
    pi = np.full(k, 1 / k)
    ability, ease = np.ones(w), np.ones(n)
    belief = Belief(np.bincount(chosen.code) / read.per_item[chosen.item], np.zeros(n), 0.0)
    used, moved = 0, np.inf
    while used < iterations and moved > tolerance:
        right = belief.voted[chosen.code]
        for _ in range(steps):
            _fit(ability, ease, (read.annotator, read.item), right)
        product = ability[read.annotator] * np.exp(ease)[read.item]
        hit = -np.logaddexp(0, -product)
        miss = -np.logaddexp(0, product) - np.log(max(k - 1, 1))
        new = weigh(read, chosen, miss, hit - miss, pi)
        moved, belief, used = float(np.abs(new.voted - belief.voted).max()), new, used + 1
    hits = np.bincount(read.annotator, belief.voted[chosen.code], minlength=w)
    quality = (hits + 0.5) / (np.bincount(read.annotator, minlength=w) + 1)
    return finish(read, chosen, belief, pi, ("glad", used), quality, posterior)


def _fit(ability: Floats, ease: Floats, codes: tuple[npt.NDArray[np.int64], ...], right: Floats) -> None:
    """One Newton step (by Fisher's information, never more than 1) for each ability, then for each ease; in place."""
    who, what = codes
    b = np.exp(ease)[what]
    sure = 1 / (1 + np.exp(-ability[who] * b))
    slope = np.bincount(who, b * (right - sure), minlength=len(ability)) - (ability - 1)
    curve = np.bincount(who, b * b * sure * (1 - sure), minlength=len(ability)) + 1
    ability += np.clip(slope / curve, -1, 1)
    a = ability[who]
    z = a * b
    sure = 1 / (1 + np.exp(-z))
    slope = np.bincount(what, z * (right - sure), minlength=len(ease)) - (ease - 1)
    curve = np.bincount(what, z * z * sure * (1 - sure), minlength=len(ease)) + 1
    ease += np.clip(slope / curve, -1, 1)
