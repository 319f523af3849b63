"""D2 pruning: difficulty passed on among neighbours, and taken back from those of what was chosen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.choosing import Constraints, Meter, Rng, at_random, generator
from curate.contracts import Budget, Selection
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.coreset.exact import purse_of
from curate.selectors.coreset.heaps import pass_messages
from curate.selectors.coreset.kernels import Graph
from curate.selectors.coreset.loops import compiled
from curate.selectors.coreset.neighbours import nearest_rows
from curate.selectors.coreset.similarity import Likeness
from curate.vectors.sources import Source

__all__ = ["Together", "d2"]

Together = Literal["sum", "product"]


def d2(
    x: npt.NDArray[Any] | Source,
    score: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    neighbours: int = 10,
    forward: float = 1.0,
    reverse: float = 1.0,
    together: Together = "sum",
) -> Selection:
    """Choose rows that are hard, in dense places, and apart: `score` (n,), **higher = harder**, over `x` (n, d).

    Each item first adds to its score those of its `neighbours` nearest, by e^(-`forward` distance) s_j (`together`
    "product": times its own score too). Then the highest is chosen, and each of its neighbours loses e^(-`reverse`
    distance) times its score; and so on. Distances are Euclidean over the median distance of a nearest neighbour, so
    that the two rates mean the same at any scale; the lower `reverse`, the more a choice stands for its surroundings.
    Neighbours as in `facility_location`'s "sparse", each both ways: i's are those it is nearest to, or that to it.

    Returns a Selection: `gain` (k,) the score at which each was chosen, falling, where there are no costs; `random` the
    sum of what was chosen's gains, here and at random in a random order, over the number. Scores must be 0 or more.
    Equal ones go to the lower row. Raises InputError as `Constraints.terms` does, and for scores below 0 or not finite.
    Source: Maharana, Yadav and Bansal (2024), arXiv 2310.07931.
    """
    meter, rng = Meter(), generator(rng)
    likeness = Likeness(x, "euclidean")
    score = as_floats(score, "score")
    if score.shape != (len(likeness),) or not (np.isfinite(score) & (score >= 0)).all():
        raise InputError(
            f"score {score.shape}: a number from 0 on for each of {counted(len(likeness), 'row')}, higher = harder"
        )
    if not (neighbours >= 1 and forward >= 0 and reverse >= 0 and together in ("sum", "product")):
        raise InputError(
            f"neighbours {neighbours}, forward {forward}, reverse {reverse}, together {together!r}: at least 1, rates of 0 "
            "or more, 'sum' or 'product'"
        )
    terms = (within or Constraints()).terms(len(likeness), budget)
    graph = _both_ways(likeness, neighbours, rng)
    sources = np.repeat(np.arange(len(score)), np.diff(graph.starts))
    told = np.exp(-forward * graph.values) * score[graph.items]
    if together == "product":
        told *= score[sources]
    full = score + np.bincount(sources, told, len(score))
    taken = graph._replace(values=np.exp(-reverse * graph.values).astype(np.float32))
    run = compiled(pass_messages)
    index, gain = run(taken, full.copy(), purse_of(terms), (terms.first, terms.most, np.empty(0, np.int64)))
    other = at_random(terms, rng)
    chance = run(taken, full.copy(), purse_of(terms), (terms.first, terms.most, other))[1]
    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=gain.astype(np.float32),
        random={"objective": float(gain.mean()), "random": float(chance.mean())},
        **meter.read(),
    )


def _both_ways(likeness: Likeness, count: int, rng: np.random.Generator) -> Graph:
    """Neighbours of each row but itself, and who has it for one, each once; values are distances over the median's."""
    names, values = nearest_rows(likeness, min(count + 1, len(likeness)), rng)
    rows = np.repeat(np.arange(len(names)), names.shape[1])
    others, far = names.reshape(-1).astype(np.int64), likeness.metric.top - values.reshape(-1)
    real = (others != rows) & (others >= 0)
    a, b, far = rows[real], others[real], np.maximum(far[real], 0)
    pairs = np.concatenate([a * len(names) + b, b * len(names) + a])
    pairs, first = np.unique(pairs, return_index=True)
    far = np.concatenate([far, far])[first].astype(np.float32)
    source, item = np.divmod(pairs, len(names)) if len(pairs) else (pairs, pairs)
    starts = np.searchsorted(source, np.arange(len(names) + 1))
    near = np.minimum.reduceat(far, starts[:-1][np.diff(starts) > 0]) if len(far) else far
    scale = float(np.median(near)) if len(near) else 1.0
    return Graph(starts, item.astype(np.int32), far / np.float32(scale if scale > 0 else 1.0))
