"""Ways to choose from a pool for a target: each takes what may be seen and a count, and gives rows, or rows and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints
from curate.contracts import Selection
from curate.scorers.influence import gist, less
from curate.selectors.coreset import craig, grad_match
from curate.selectors.pursuit import information_projection, pursue, usual_product

Array = npt.NDArray[Any]
RIDGE = 1.0
"""Of pursuits, whose rows have squared length T: DeepCore's default for the same objective; not fitted to any of the tasks."""
TYPICAL = 0.5
"""Rows are to be more like their target than half of its own items are, while there are enough."""


class Seen(NamedTuple):
    """What methods may see of the pool (n) and of the wanted items (m)."""

    train: Array
    """(n, T dim) gradients at T checkpoints."""
    wanted: Array
    plain: Array
    """(n, T' dim) gradients without a preconditioner, and those of the wanted: GIST's."""
    plain_wanted: Array
    dim: int
    groups: Array
    """(n,) a pool item's class or template; `tasks` (m,) the wanted items' class or sub-task."""
    tasks: Array
    x: Array
    """(n, d) inputs or embeddings, and those of the wanted."""
    wanted_x: Array
    drop: Array
    """(n,) by what share the loss falls where a network is trained on the wanted items for a while."""
    seed: int
    rates: tuple[float, ...]
    """(T,) the learning rate at each checkpoint, of mean 1."""
    as_pool: Array | None = None
    """(m, T dim) gradients of the wanted items of the kind that the pool's are, where `wanted` are of another."""

    @property
    def checkpoints(self) -> int:
        return self.train.shape[1] // self.dim


def _unit(seen: Seen, rows: Array) -> Array:
    """Each checkpoint's gradient at length 1."""
    parts = rows.reshape(len(rows), -1, seen.dim)
    lengths = np.linalg.norm(parts, axis=2, keepdims=True)
    return (parts / np.where(lengths > 0, lengths, 1)).reshape(len(rows), -1).astype(np.float32)


def _means(rows: Array, tasks: Array) -> Array:
    return np.stack([rows[tasks == c].mean(0) for c in np.unique(tasks)])


def _top(score: Array, k: int) -> Array:
    return np.argsort(-score, kind="stable")[:k]


def _chosen(found: Selection) -> tuple[Array, Array]:
    weight = np.ones(len(found)) if found.weight is None else found.weight
    return found.index, np.asarray(weight, np.float32)


def at_random(seen: Seen, k: int) -> Any:
    return np.random.default_rng(seen.seed).permutation(len(seen.train))[:k]


def top_less(seen: Seen, k: int) -> Any:
    return _top(less(seen.train, seen.wanted, checkpoints=seen.checkpoints, rates=seen.rates).score, k)


def _less_by_task(seen: Seen) -> Any:
    return less(
        seen.train,
        seen.wanted,
        checkpoints=seen.checkpoints,
        rates=seen.rates,
        groups=list(seen.tasks),
    )


def top_less_by_task(seen: Seen, k: int) -> Any:
    return _top(_less_by_task(seen).score, k)


def top_less_shared(seen: Seen, k: int) -> Any:
    """An equal share for each sub-task of the wanted: LESS without its preference for one of them."""
    order = np.argsort(
        -_less_by_task(seen).by_task, axis=0, kind="stable"
    )  # in turn, the next best of each that is not taken
    return np.array(list(dict.fromkeys(order.ravel().tolist()))[:k])


def top_gist(seen: Seen, k: int) -> Any:
    checkpoints = seen.plain.shape[1] // seen.dim
    found = gist(seen.plain, seen.plain_wanted, checkpoints=checkpoints, rank=32, groups=list(seen.tasks))
    return _top(found.score, k)


def top_loss_drop(seen: Seen, k: int) -> Any:
    return _top(seen.drop, k)


def match(seen: Seen, k: int) -> Any:
    return _chosen(grad_match(seen.train, k, target=seen.wanted.mean(0), ridge=0.1))


def match_pool(seen: Seen, k: int) -> Any:
    """GradMatch as published: of the whole pool, each class by itself."""
    return _chosen(grad_match(seen.train, k, within=Constraints(group=seen.groups)))


def cover_pool(seen: Seen, k: int) -> Any:
    """CRAIG as published: of the whole pool, each class by itself, at the last checkpoint."""
    return _chosen(craig(seen.train[:, -seen.dim :], k, within=Constraints(group=seen.groups)))


def _pursue(
    seen: Seen, k: int, tasks: Array, *, ridge: float = RIDGE, typical: float | None = TYPICAL
) -> tuple[Array, Array]:
    wanted, least = _unit(seen, seen.wanted), None
    if typical is not None:
        as_pool = wanted if seen.as_pool is None else _unit(seen, seen.as_pool)
        own = (tasks == c for c in np.unique(tasks))
        least = [usual_product(wanted[one], typical, as_pool=as_pool[one], rates=seen.rates) for one in own]
    targets = _means(wanted, tasks)
    return _chosen(pursue(_unit(seen, seen.train), targets, k, rates=seen.rates, ridge=ridge, least=least))


def gtp(seen: Seen, k: int) -> Any:
    return _pursue(seen, k, seen.tasks)


def gtp_open(seen: Seen, k: int) -> Any:
    return _pursue(seen, k, seen.tasks, typical=None)


def gtp_unweighted(seen: Seen, k: int) -> Any:
    return gtp(seen, k)[0]


def gtp_unridged(seen: Seen, k: int) -> Any:
    return _pursue(seen, k, seen.tasks, ridge=0.0, typical=None)


def gtp_one_target(seen: Seen, k: int) -> Any:
    return _pursue(seen, k, np.zeros_like(seen.tasks))


def projected(seen: Seen, k: int) -> Any:
    """Information projection on inputs or embeddings alone: no gradients, no labels."""
    return information_projection(seen.x, seen.wanted_x, k).index


METHODS: dict[str, Callable[[Seen, int], Any]] = {
    "random": at_random,
    "top-k LESS": top_less,
    "top-k LESS, by task": top_less_by_task,
    "top-k LESS, a share for each task": top_less_shared,
    "top-k GIST": top_gist,
    "top-k loss drop": top_loss_drop,
    "GradMatch of the pool": match_pool,
    "GradMatch of the target": match,
    "CRAIG of the pool": cover_pool,
    "information projection": projected,
    "GTP": gtp,
    "GTP, weights unused": gtp_unweighted,
    "GTP, ridge alone": gtp_open,
    "GTP, no ridge": gtp_unridged,
    "GTP, one target": gtp_one_target,
}
"""GTP pursues a target for each sub-task (class) of the wanted items, with an equal share of the budget each."""
GTPS = [name for name in METHODS if name.startswith("GTP")]
SHARED = "top-k LESS, a share for each task"
RIVALS = {
    "top-k as published": [name for name in METHODS if name.startswith("top-k") and name != SHARED],
    "top-k LESS as published": ["top-k LESS", "top-k LESS, by task"],
    "LESS, a share for each task": [SHARED],
}


def choose(name: str, seen: Seen, k: int) -> tuple[Array, Array]:
    """Rows and the weights of their losses."""
    found = METHODS[name](seen, k)
    return found if isinstance(found, tuple) else (found, np.ones(len(found), np.float32))
