"""CRAIG: facility location over gradients, each chosen item weighing as many as it stands for."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, Rng, generator
from curate.contracts import Budget, Selection
from curate.selectors.coreset.classes import in_classes
from curate.selectors.coreset.facility import Method, facility_location
from curate.vectors.sources import Source, rows_of

__all__ = ["craig"]


def craig(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    method: Method = "auto",
    neighbours: int | None = None,
) -> Selection:
    """Choose rows of `x` (n, d), gradients or what stands for them, of which every other has one near by.

    Facility location with s_ij = c - |x_i - x_j| in each group of `within` by itself (its classes, as the paper has it):
    an upper bound on how far the weighted gradient of the chosen is from that of all. Weights are the number of items
    each stands for, itself among them, mean 1. Options as in `facility_location`.

    For a last linear layer with softmax the gradients need no backward pass: `last_layer_gradients`.
    Source: Mirzasoleiman, Bilmes and Leskovec (2020), arXiv 1906.01827. (A well-known library counts every item once
    too often.)
    """
    meter, rng = Meter(), generator(rng)
    choose = partial(_choose, {"method": method, "neighbours": neighbours})
    chosen = in_classes(choose, rows_of(x), (budget, rng), within)
    assert chosen.weight is not None
    return dataclasses.replace(chosen, weight=chosen.weight / chosen.weight.mean(), **meter.read())


def _choose(
    options: dict[str, Any], rows: Source, within: Constraints, how: tuple[Budget, np.random.Generator]
) -> Selection:
    budget, rng = how
    found = facility_location(
        rows, budget, rng=rng, within=within, reweight=True, similarity="euclidean", **options
    )
    assert found.weight is not None
    scale = np.float32(len(rows) / max(1, len(found)))
    return dataclasses.replace(found, weight=found.weight * scale)
