"""Facility location: every item should have something like it among those chosen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, Rng, Terms, at_random, effort, generator
from curate.contracts import Budget, Selection
from curate.errors import InputError
from curate.selectors.coreset.exact import Picks, exact_greedy, finish_sparse, gains_of
from curate.selectors.coreset.neighbours import neighbour_graph
from curate.selectors.coreset.similarity import Likeness, Similarity
from curate.vectors.rows import Floats, Ints
from curate.vectors.sources import Source

__all__ = ["Method", "facility_location", "group_sizes", "planned"]

Method = Literal["auto", "exact", "sparse", "stochastic"]

_EXACT = 5e11
"""Multiplications of all pairs up to which "auto" is exact: some ten seconds of one core."""
_SHOWN = 2e10
"""Multiplications spent on the objective at most: beyond, it is that of a sample of the items."""


def facility_location(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    similarity: Similarity = "cosine",
    method: Method = "auto",
    neighbours: int | None = None,
    epsilon: float = 0.01,
    reweight: bool = False,
) -> Selection:
    """Choose rows S of `x` (n, d) so that sum over i of max over j in S of s_ij is high: greedily, which is at least
    1 - 1/e of the best there is.

    `budget`     a count, a fraction or a percentage; of cost, if `within` gives costs.
    `similarity` "cosine" (negative ones count as 0), or "euclidean": c - |x_i - x_j|, c twice the greatest distance
                 from the mean (CRAIG).
    `method`     "exact": the greedy choice over all pairs, which are never held: memory is some times that of x, time
                 goes with n^2 d. "sparse": each item counts only the `neighbours` most like it, found in nearby
                 clusters: time goes with n. "stochastic": at each step only (n / k) log(1 / `epsilon`) candidates,
                 drawn with `rng`, are looked at, over all pairs (Mirzasoleiman et al. 2015): 1 - 1/e - epsilon in
                 expectation, and slower than "exact" here unless items have hardly anything in common. "auto": exact
                 where n^2 d is at most 5e11 (some ten seconds) and no `neighbours` are given, else sparse.
    `neighbours` of "sparse"; default two for each item that one chosen stands for, 64 to 256.
    `reweight`   weigh each chosen item by how many it stands for, mean 1; otherwise all weigh 1.
    `within`     mandatory and forbidden rows, costs, groups; mandatory rows come first, with what they add.

    Returns a Selection: `index` (k,) in the order chosen; `gain` (k,) what each added, falling (per cost, where there are
    costs); `random` the objective per item, in [0, 1] for cosine, here and for a random choice (of a sample of the items
    where n k d is above 2e10). Equal gains go to the lower row. Raises InputError as `Constraints.terms` does, and for
    rows that are not finite; rows of zeros are like nothing. Needs the extra `select`.
    """
    meter, rng = Meter(), generator(rng)
    likeness = Likeness(x, similarity)
    n, d = len(likeness), likeness.width
    terms = (within or Constraints()).terms(n, budget)
    reach = neighbours or _reach(n, terms.most)
    if neighbours is not None and neighbours < 1:
        raise InputError(f"neighbours {neighbours}: at least 1, the item itself")
    method = _settled(method, n, d, neighbours)
    if method == "exact":
        rows, gains = exact_greedy(likeness.brought(), terms)
    elif method == "sparse":
        picks = Picks(likeness, terms)
        rows, gains = finish_sparse(neighbour_graph(likeness, reach, rng), picks, terms.most)
    elif method == "stochastic":
        rows, gains = _stochastic(likeness.brought(), terms, epsilon, rng)
    else:
        raise InputError(f"method {method!r}: 'auto', 'exact', 'sparse' or 'stochastic'")
    weight = group_sizes(likeness, rows) if reweight else np.ones(len(rows), np.float32)
    return Selection(
        rows,
        weight=(weight / weight.mean()).astype(np.float32),
        gain=gains.astype(np.float32),
        random=_objective(likeness, rows, terms, rng),
        **meter.read(),
    )


def _reach(n: int, k: int) -> int:
    return min(256, max(64, 2 * n // max(1, k)))


def _settled(method: Method, n: int, d: int, neighbours: int | None) -> Method:
    """What "auto" means."""
    if method != "auto":
        return method
    return "exact" if neighbours is None and float(n) * n * d <= _EXACT else "sparse"


def planned(n: int, d: int, k: int, method: Method, neighbours: int | None) -> dict[str, float]:
    """Seconds and bytes that `facility_location` will take, "sparse" where there are clusters."""
    method, pairs = _settled(method, n, d, neighbours), float(n) * n
    shown = min(2 * float(n) * k * d, 2 * _SHOWN)
    if method == "sparse":
        reach = neighbours or _reach(n, k)
        looked, clusters = n * float(min(n, max(2000, 16 * reach))), 1.4 * n**0.5
        products = (looked + clusters * (n + 8 * min(n, 64 * clusters))) * d + shown
        held = n * (64.0 + 16.0 * reach) + 12.0 * min(n, 64 * clusters) * d + 2e8
        return effort(products=products, touched=8 * looked + 160.0 * n * reach, held=held)
    if method == "exact":
        return effort(
            products=3 * pairs * d + shown, touched=5 * pairs, held=n * (8.0 * d + 160.0 * max(d, 32)) + 1e8
        )
    return effort(products=5 * pairs * d + shown, touched=5 * pairs, held=8.0 * n * d + 4e8)


def _stochastic(
    likeness: Likeness, terms: Terms, epsilon: float, rng: np.random.Generator
) -> tuple[Ints, npt.NDArray[np.float64]]:
    if not 0 < epsilon < 1:
        raise InputError(f"epsilon {epsilon}: between 0 and 1; 0.01 looks at 4.6 n / k candidates a step")
    picks = Picks(likeness, terms)
    count = max(1, round(len(likeness) / max(1, terms.most) * float(np.log(1 / epsilon))))
    while (free := np.flatnonzero(picks.affordable())).size:
        drawn = np.sort(rng.choice(free, min(count, len(free)), replace=False))
        columns = likeness.columns(drawn)
        gains = gains_of(columns, picks.cover)
        best = int((gains / terms.cost[drawn]).argmax())
        picks.add(int(drawn[best]), float(gains[best]), columns[best])
    return np.array(picks.rows, np.int64), np.array(picks.gains)


def group_sizes(likeness: Likeness, rows: Ints) -> Floats:
    """How many items each of these rows stands for: those more like it than like any other, and itself. (k,)."""
    nearest = likeness.coverage(rows)[1]
    nearest[rows] = np.arange(len(rows))
    return np.bincount(nearest, minlength=len(rows)).astype(np.float32)


def _objective(likeness: Likeness, rows: Ints, terms: Terms, rng: np.random.Generator) -> dict[str, float]:
    """Coverage per item of the choice and of one at random."""
    n, d = len(likeness), likeness.width
    size = max(1000, int(_SHOWN / (max(1, len(rows)) * d)))
    items = np.sort(rng.choice(n, size, replace=False)) if size < n else None
    other = at_random(terms, rng)
    pairs = (("objective", rows), ("random", other))
    return {name: float(likeness.coverage(s, items)[0].mean(dtype=np.float64)) for name, s in pairs}
