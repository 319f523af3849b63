"""The registered selectors that read vectors alone: facility location, k-center, herding, graph cut and their like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from curate.choosing import Pool, effort
from curate.contracts import Budget, Selection, View
from curate.errors import check_installed
from curate.fitting import piece_rows
from curate.selectors.coreset.centres import choose_centres
from curate.selectors.coreset.choosers import Chosen, Embedded, Unscored
from curate.selectors.coreset.clustered import Keep, prototypes, semdedup
from curate.selectors.coreset.cut import graph_cut
from curate.selectors.coreset.facility import Method, facility_location, planned
from curate.selectors.coreset.herd import herding
from curate.selectors.coreset.matching import grad_match
from curate.selectors.coreset.middle import moderate
from curate.selectors.coreset.pieces import HeldCloud, PiecePoints
from curate.selectors.coreset.similarity import Similarity
from curate.selectors.coreset.weighted import craig
from curate.vectors.sources import Column, Source, mean

__all__ = [
    "Craig",
    "FacilityLocation",
    "GradMatch",
    "GraphCut",
    "Herding",
    "KCenter",
    "Moderate",
    "Prototypes",
    "SemDeDup",
]


@dataclass(frozen=True)
class FacilityLocation(Unscored):
    """Chooses items such that every item has something like it among them.

    `similarity`, `method`, `neighbours`, `epsilon` and `reweight` as in `facility_location`.
    """

    similarity: Similarity = "cosine"
    method: Method = "auto"
    neighbours: int | None = None
    epsilon: float = 0.01
    reweight: bool = False

    name: ClassVar[str] = "facility-location"
    version: ClassVar[int] = 1

    def ready(self) -> None:
        """Raises MissingExtraError where numba is not installed."""
        if self.method != "stochastic":
            check_installed("numba", "select")

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = facility_location(
            rows,
            pool.amount,
            rng=rng,
            within=pool.within,
            similarity=self.similarity,
            method=self.method,
            neighbours=self.neighbours,
            epsilon=self.epsilon,
            reweight=self.reweight,
        )
        return chosen, f"by facility location of {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return planned(n, d, budget, self.method, self.neighbours)


@dataclass(frozen=True)
class KCenter(Embedded):
    """Chooses items such that none is far from all of them: farthest first.

    Distances are taken where the pieces of the view are held: on a cluster by its workers, which are sent new centres.
    """

    name: ClassVar[str] = "k-center"
    version: ClassVar[int] = 1

    def ready(self) -> None:
        """Raises MissingExtraError where numba is not installed."""
        check_installed("numba", "select")

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        return self._select(view, (budget, rng), self._centres)

    def _centres(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        assert isinstance(rows, Column), "items are those of a view"
        middle = mean(rows).astype(np.float32)
        points = partial(PiecePoints, column=self.embedding, mean=middle)
        with rows.view.resident(points, piece_rows(rows.view, self.embedding)) as held:
            cloud, given = HeldCloud(held, rows.rows, len(middle)), np.empty((0, len(middle)), np.float32)
            chosen = choose_centres(cloud, given, pool.within.terms(len(pool), pool.amount), rng)
        return chosen, f"by k-center of {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return effort(products=2.0 * n * budget * d, touched=0.5 * n * budget, held=8.0 * n * d + 2e8)


@dataclass(frozen=True)
class Herding(Unscored):
    """Chooses items whose mean is that of all, one after the other."""

    name: ClassVar[str] = "herding"
    version: ClassVar[int] = 1

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = herding(rows, pool.amount, rng=rng, within=pool.within)
        return chosen, f"by herding {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return effort(touched=0.25 * n * budget * (d + 16), held=4.0 * n * d + 5e8)


@dataclass(frozen=True)
class GraphCut(Unscored):
    """Chooses items that stand for all, and not for one another.

    `redundancy` as in `graph_cut`: 0 takes the most typical, copies and all.
    """

    redundancy: float = 1.0

    name: ClassVar[str] = "graph-cut"
    version: ClassVar[int] = 1

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = graph_cut(rows, pool.amount, rng=rng, within=pool.within, redundancy=self.redundancy)
        return chosen, f"by graph cut of {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return effort(touched=0.25 * n * budget * (d + 32), held=4.0 * n * d + 5e8)


@dataclass(frozen=True)
class Craig(Unscored):
    """Chooses items whose gradients every other's has near by, weighing as many as each stands for.

    `embedding` holds gradients, or p - onehot(y); `group` the classes. `method` and `neighbours` as in `craig`.
    """

    method: Method = "auto"
    neighbours: int | None = None

    name: ClassVar[str] = "craig"
    version: ClassVar[int] = 1

    def ready(self) -> None:
        """Raises MissingExtraError where numba is not installed."""
        if self.method != "stochastic":
            check_installed("numba", "select")

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = craig(
            rows,
            pool.amount,
            rng=rng,
            within=pool.within,
            method=self.method,
            neighbours=self.neighbours,
        )
        return chosen, f"by CRAIG over {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take, without groups."""
        return planned(n, d, budget, self.method, self.neighbours)


@dataclass(frozen=True)
class GradMatch(Unscored):
    """Chooses items, and weights, whose weighted gradient is that of all.

    `embedding` holds gradients, or p - onehot(y); `group` the classes. `ridge` as in `grad_match`.
    """

    ridge: float = 0.0

    name: ClassVar[str] = "grad-match"
    version: ClassVar[int] = 1

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = grad_match(rows, pool.amount, rng=rng, within=pool.within, ridge=self.ridge)
        return chosen, f"by matching the mean of {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take, without groups."""
        active = min(budget, d)
        touched = 0.25 * n * budget * d + 2.0 * budget * active * (active + d)
        return effort(touched=touched, held=4.0 * n * d + 5e8 + 24.0 * active * (active + d))


@dataclass(frozen=True)
class Moderate(Unscored):
    """Chooses items at a middling distance from the centre of all, or of their `group`."""

    name: ClassVar[str] = "moderate"
    version: ClassVar[int] = 1

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = moderate(rows, pool.amount, rng=rng, within=pool.within)
        return chosen, f"at a middling distance in {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        return effort(touched=20.0 * n * d, held=16.0 * n * d)


@dataclass(frozen=True)
class Prototypes(Unscored):
    """Chooses items near the centres of a k-means, or far from them.

    `keep`, `clusters`, `sample` and `reweight` as in `prototypes`.
    """

    keep: Keep = "centres"
    clusters: int | None = None
    sample: int = 32
    reweight: bool = False

    name: ClassVar[str] = "prototypes"
    version: ClassVar[int] = 1

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = prototypes(
            rows,
            pool.amount,
            rng=rng,
            within=pool.within,
            keep=self.keep,
            clusters=self.clusters,
            sample=self.sample,
            reweight=self.reweight,
        )
        where = "far from" if self.keep == "far" else "near to"
        return chosen, f"{where} the centre of a cluster of {self.embedding}"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        count = self.clusters or (budget if self.keep == "centres" else min(512, round(n**0.5)))
        sample = min(n, max(4096, self.sample * count) if self.sample else n)
        begun = min(n, max(4096, 32 * count)) if count <= 1024 else 0
        work = float(count) * (8 * sample + n)
        return effort(
            products=work * d,
            touched=2 * work + 0.25 * count * begun * d,
            held=12.0 * sample * d + 64.0 * n + 32768.0 * count,
        )


@dataclass(frozen=True)
class SemDeDup(Unscored):
    """Chooses the items least like others of their cluster: near-duplicates leave first, until the budget is met.

    `clusters` and `keep` ("hard" or "easy") as in `semdedup`.
    """

    clusters: int | None = None
    keep: Literal["hard", "easy"] = "hard"

    name: ClassVar[str] = "semdedup"
    version: ClassVar[int] = 1

    def _choose(self, rows: Source, pool: Pool, rng: np.random.Generator) -> Chosen:
        chosen = semdedup(
            rows, pool.amount, rng=rng, within=pool.within, clusters=self.clusters, keep=self.keep
        )
        return chosen, f"no near-duplicate in {self.embedding} before it"

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that a choice will take."""
        count = self.clusters or (1 if n <= 8192 else round(n**0.5))
        pairs, sample = float(n) * n / count, min(n, max(4096, 32 * count))
        held = 12.0 * (sample + n / count) * d + 64.0 * n + 32768.0 * count
        return effort(products=(pairs + 10.0 * n * count) * d, touched=2 * pairs, held=held)
