"""One coin for each annotator: right with some chance, else any other value; and MACE, where the wrong have habits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.result import Consensus, digamma, shrink, sums
from curate.annotators.consensus.votes import Candidates, candidates
from curate.choosing import generator
from curate.errors import InputError

__all__ = ["mace", "one_coin"]

Floats = npt.NDArray[np.float64]
TINY = 1e-12
CLEARLY = 1e-6
"""By how much a log-likelihood must be higher for a later start to replace an earlier one."""


class Belief(NamedTuple):
    """`voted` (C,) the probability of each candidate, `rest` (N,) what is left for values nobody voted for,
    `log_likelihood` of all answers."""

    voted: Floats
    rest: Floats
    log_likelihood: float


def weigh(answers: Answers, chosen: Candidates, base: Floats, gain: Floats, pi: Floats) -> Belief:
    """Bayes' rule where a value nobody voted for differs from the next only by its prior.

    `base` (n,) log-chance of each answer if something else is true, `gain` (n,) how much likelier (log) it is if it
    is right itself, `pi` (K,) priors.
    """
    n = len(answers.items)
    prior = pi[chosen.value]
    score = np.log(prior) + np.bincount(chosen.code, gain)
    left = np.maximum(1 - np.bincount(chosen.item, prior, minlength=n), 0)
    left[np.diff(chosen.start) == len(pi)] = 0
    top = np.maximum.reduceat(score, chosen.start[:-1])
    top = np.where(left > 0, np.maximum(top, 0), top)
    voted = np.exp(score - top[chosen.item])
    rest = left * np.exp(-top)
    total = np.bincount(chosen.item, voted, minlength=n) + rest
    evidence = float((np.bincount(answers.item, base, minlength=n) + top + np.log(total)).sum())
    return Belief(voted / total[chosen.item], rest / total, evidence)


def finish(
    answers: Answers,
    chosen: Candidates,
    belief: Belief,
    pi: Floats,
    how: tuple[str, int],
    quality: Floats,
    full: bool,
) -> Consensus:
    """A `Consensus` from what is believed of the candidates; `how` names the method and its iterations."""
    best = chosen.pick(belief.voted)
    value, sure = chosen.value[best].copy(), belief.voted[best].copy()
    # A value that nobody gave can win where those who answered are worse than chance.
    other, chance = _best_unvoted(chosen, belief, pi)
    wins = chance > sure
    value[wins], sure[wins] = other[wins], chance[wins]
    posterior = _posterior(answers, chosen, belief, pi) if full else None
    return Consensus(answers, value, sure, quality, how[0], None, posterior, belief.log_likelihood, how[1])


def _best_unvoted(chosen: Candidates, belief: Belief, pi: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """(N,) for each item the most frequent value that nobody voted for, and its probability (0: there is none)."""
    first, voted = chosen.start[:-1], np.diff(chosen.start)
    order = np.argsort(-pi, kind="stable")
    rank = np.empty(len(pi), np.int64)
    rank[order] = np.arange(len(pi))
    ranked = rank[chosen.value][np.lexsort((rank[chosen.value], chosen.item))]
    place = np.arange(len(ranked)) - first[chosen.item]
    gap = np.minimum.reduceat(np.where(ranked == place, len(pi), place), first)
    best = order[np.minimum(np.minimum(gap, voted), len(pi) - 1)]
    left = 1 - np.bincount(chosen.item, pi[chosen.value], minlength=len(first))
    chance = np.where(voted < len(pi), belief.rest * pi[best] / np.maximum(left, TINY), 0.0)
    return best, chance


def _posterior(answers: Answers, chosen: Candidates, belief: Belief, pi: Floats) -> npt.NDArray[np.float32]:
    n, _, k = answers.shape
    full = np.broadcast_to(pi.astype(np.float32), (n, k)).copy()
    full[chosen.item, chosen.value] = 0
    full *= (belief.rest / np.maximum(full.sum(1), TINY))[:, None].astype(np.float32)
    full[chosen.item, chosen.value] = belief.voted
    return full


def one_coin(
    answers: Any,
    *,
    iterations: int = 100,
    tolerance: float = 1e-5,
    prior: bool = True,
    posterior: bool = False,
) -> Consensus:
    """Annotator w is right with chance a_w, else gives any other value alike; by expectation-maximisation.

    `prior` draws a_w towards the mean of all, the more the fewer answers there are (else maximum likelihood, one
    imagined answer in all). All values are equally probable beforehand. Starts from vote shares; stops after
    `iterations`, or when no probability moves by more than `tolerance`. `posterior` keeps the (N, K) probabilities.
    `quality` is a_w. Time and memory O(n).
    Source: Dawid and Skene (1979) with the confusion tied to one number; Zhang et al., JMLR 17 (2016).
    """
    if iterations < 1:
        raise InputError(f"iterations={iterations}: at least 1 is meant")
    read = read_answers(answers)
    n, w, k = read.shape
    chosen = candidates(read)
    asked = np.bincount(read.annotator, minlength=w).astype(np.float64)
    pi = np.full(k, 1 / k)
    belief = Belief(np.bincount(chosen.code) / read.per_item[chosen.item], np.zeros(n), 0.0)
    used, moved = 0, np.inf
    while True:
        right = sums(read.annotator, belief.voted[chosen.code], w)
        a = np.clip(shrink(right, asked, None if prior else 0.01), TINY, 1 - TINY)
        if used == iterations or moved <= tolerance:
            break
        wrong = np.log((1 - a) / max(k - 1, 1))
        new = weigh(read, chosen, wrong[read.annotator], (np.log(a) - wrong)[read.annotator], pi)
        moved, belief, used = float(np.abs(new.voted - belief.voted).max()), new, used + 1
    return finish(read, chosen, belief, pi, ("one-coin", used), a, posterior)


def mace(
    answers: Any,
    *,
    restarts: int = 10,
    iterations: int = 50,
    alpha: float = 0.5,
    beta: float = 0.5,
    strategy: float = 1.0,
    shares: bool = True,
    seed: int = 0,
    posterior: bool = False,
) -> Consensus:
    """Annotator w knows the truth with chance theta_w, else answers by a habit xi_w of his own (MACE).

    Variational Bayes with priors Beta(`alpha`, `beta`) on guessing and knowing, Dirichlet(`strategy`) on the habits;
    the best of `restarts` random starts of `iterations` rounds each, by its log-likelihood; one is tried from vote
    shares first. `seed` starts the generator. `quality` is the chance to give the right value, by knowledge or by
    habit. `posterior` keeps the (N, K) probabilities. Time O(n) a round, memory O(n).
    Source: Hovy et al., "Learning whom to trust with MACE", NAACL 2013.
    """
    if min(restarts, iterations) < 1 or min(alpha, beta, strategy) <= 0:
        raise InputError("restarts and iterations are at least 1; alpha, beta and strategy above 0")
    read = read_answers(answers)
    model = _Mace.of(read, (alpha, beta, strategy), shares)
    rng = generator(seed, "seed")
    best: tuple[Belief, _State] | None = None
    for restart in range(restarts):
        state = model.start(rng if restart else None)
        for _ in range(iterations):
            belief, state = model.round(state)
        if best is None or belief.log_likelihood > best[0].log_likelihood + CLEARLY:
            best = belief, state
    assert best is not None
    how = ("mace", restarts * iterations)
    return finish(read, model.chosen, best[0], best[1].pi, how, best[1].quality, posterior)


class _State(NamedTuple):
    """Log-chances of guessing and knowing (2, W), of each habit (P,); shares (K,); how often each is right (W,)."""

    spam: Floats
    habit: Floats
    pi: Floats
    quality: Floats


class _Mace(NamedTuple):
    answers: Answers
    chosen: Candidates
    pair: npt.NDArray[np.int64]
    pair_annotator: npt.NDArray[np.int64]
    asked: Floats
    priors: tuple[float, float, float]
    shares: bool

    @staticmethod
    def of(answers: Answers, priors: tuple[float, float, float], shares: bool) -> _Mace:
        _, w, k = answers.shape
        distinct, pair = np.unique(answers.annotator * k + answers.value, return_inverse=True)
        asked = np.bincount(answers.annotator, minlength=w).astype(np.float64)
        return _Mace(answers, candidates(answers), pair, distinct // k, asked, priors, shares)

    def start(self, rng: np.random.Generator | None) -> _State:
        w, k, p = len(self.asked), len(self.answers.values), len(self.pair_annotator)
        knows = np.full(w, 0.5) if rng is None else rng.uniform(0.1, 0.9, w)
        jitter = np.ones(p) if rng is None else rng.uniform(0.5, 1.5, p)
        spam = np.log(np.stack([1 - knows, knows]))
        return _State(spam, np.log(jitter / k), np.full(k, 1 / k), knows)

    def round(self, state: _State) -> tuple[Belief, _State]:
        """What the state makes one believe of the items, and the state that follows from it."""
        alpha, beta, strategy = self.priors
        w, k = len(self.asked), len(self.answers.values)
        who = self.answers.annotator
        guessed = np.exp(state.spam[0][self.pair_annotator] + state.habit)  # (P,) this answer by guessing
        known = np.exp(state.spam[1])[self.pair_annotator]
        gain, base = np.log1p(known / guessed), np.log(guessed)
        belief = weigh(self.answers, self.chosen, base[self.pair], gain[self.pair], state.pi)
        right = belief.voted[self.chosen.code]
        knew = right * (known / (known + guessed))[self.pair]
        knowing = np.bincount(who, knew, minlength=w)
        guessing = self.asked - knowing
        by_habit = np.bincount(self.pair, 1 - knew, minlength=len(state.habit))
        spam = np.stack([digamma(guessing + alpha), digamma(knowing + beta)]) - digamma(
            self.asked + alpha + beta
        )
        habit = digamma(by_habit + strategy) - digamma(guessing + k * strategy)[self.pair_annotator]
        quality = (np.bincount(who, right, minlength=w) + 0.5) / (self.asked + 1)
        return belief, _State(spam, habit, self._shares(belief, state.pi), quality)

    def _shares(self, belief: Belief, pi: Floats) -> Floats:
        if not self.shares:
            return pi
        voted = np.bincount(self.chosen.value, belief.voted, minlength=len(pi))
        shares: Floats = (voted + 1) / (voted + 1).sum()
        return shares
