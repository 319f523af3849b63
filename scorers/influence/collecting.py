"""From a model and its checkpoints to a folder of projected gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.contracts import digest
from curate.errors import InputError
from curate.scorers.influence.adam import AdamMoments
from curate.scorers.influence.gradient_store import GradientStore
from curate.scorers.influence.header import Header
from curate.scorers.influence.parameters import (
    digest_of_model,
    digest_of_values,
    holding,
    select_parameters,
    values_of,
)
from curate.scorers.influence.per_sample import Loss, Method, PerSample
from curate.scorers.influence.precision import Precision
from curate.scorers.influence.projection import Kind, Projection

__all__ = ["Checkpoint", "Collected", "Plan", "collect_gradients", "project_named"]

Rows = npt.NDArray[np.int64]
Batch = Callable[[Rows], Any]
_COMMIT = 2.0
"""Seconds between commits: so much work a kill can lose."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The model at one moment of its training: `values` of its parameters by name (None: as it is), the mean learning `rate`
    around then, and Adam's `moments` for preconditioned gradients."""

    values: Mapping[str, Any] | None = None
    rate: float = 1.0
    moments: AdamMoments | None = None


@dataclass(frozen=True)
class Plan:
    """How gradients are taken and kept.

    `dim`, `seed`, `projection` as in `Projection` (`dim` None: not projected); `precision` and `normalised` as in
    `GradientStore`; `parameters` patterns of the names that count (none: those that are trained); `method` as in
    `PerSample`; `batch_size` items at a time: memory is that many gradients.
    """

    dim: int | None = 8192
    seed: int = 0
    projection: Kind = "count-sketch"
    precision: Precision = "fp16"
    normalised: bool = True
    parameters: tuple[str, ...] = field(default=())
    method: Method = "auto"
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size}: at least 1 is meant")


class Collected(NamedTuple):
    """The `store`; `method` "vmap" or "backward", "" where nothing was left to do, and `reason` why not vmap; `computed`
    gradients, those of an earlier run not counted."""

    store: GradientStore
    method: str
    reason: str
    computed: int


def collect_gradients(
    model: Any,
    batch: Batch,
    path: str | Path,
    *,
    rows: int,
    loss: Loss,
    checkpoints: Sequence[Checkpoint] = (Checkpoint(),),
    plan: Plan | None = None,
    ids: Sequence[str] | None = None,
    dataset: str = "",
) -> Collected:
    """The gradient of each item's loss at each checkpoint, projected on the fly, in the folder `path`; it goes on where it was.

    `model` is a torch module; `batch(rows)` gives the items of these rows (m,) as a tensor, or tuples and dicts of tensors, with m rows
    on the model's device; `loss(model, batch)` of one item is a scalar. `ids` (n,) name the rows; `dataset` tells one set
    of items from another where there are none. With moments in the checkpoints gradients are Adam-preconditioned.
    The model is in evaluation mode meanwhile, and as it was afterwards.
    Raises InputError where the checkpoints are of another model, the folder holds other gradients, or some checkpoints have moments and
    others none; CorruptionError where the folder is damaged.
    """
    plan = plan or Plan()
    parameters = select_parameters(model, plan.parameters)
    store = GradientStore.create(path, _header(parameters, rows, checkpoints, plan, ids, dataset), ids=ids)
    per_sample = PerSample(model, loss, parameters, plan.method)
    was_training, computed = model.training, 0
    model.eval()
    try:
        for number, checkpoint in enumerate(checkpoints):
            with holding(parameters, checkpoint.values):
                computed += _fill(store, number, per_sample, batch, plan, checkpoint.moments)
    finally:
        store.commit()
        model.train(was_training)
    return Collected(store, per_sample.used, per_sample.reason, computed)


def project_named(
    gradients: Mapping[str, Any], projection: Projection | None, moments: AdamMoments | None = None
) -> npt.NDArray[np.float32]:
    """Gradients (n, *shape) by name of parameter as projected rows (n, dim), or all coordinates if there is no projection."""
    first = next(iter(gradients.values()))
    running = None if projection is None else projection.start(first.shape[0])
    whole, offset = [], 0
    for name, gradient in gradients.items():
        stepped = gradient if moments is None else moments.step(name, gradient)
        block = stepped.detach().reshape(stepped.shape[0], -1)
        if running is None:
            whole.append(block.float().cpu().numpy())
        else:
            running.add(block, offset)
        offset += block.shape[1]
    return np.concatenate(whole, axis=1) if running is None else running.finish()


def _fill(
    store: GradientStore,
    number: int,
    per_sample: PerSample,
    batch: Batch,
    plan: Plan,
    moments: AdamMoments | None,
) -> int:
    todo, committed = store.todo(number), time.monotonic()
    for low in range(0, len(todo), plan.batch_size):
        rows = todo[low : low + plan.batch_size]
        gradients = per_sample.gradients(batch(rows))
        store.write(rows, number, project_named(gradients, store.header.projection, moments))
        if time.monotonic() - committed > _COMMIT:
            store.commit()
            committed = time.monotonic()
    store.commit()
    return len(todo)


def _header(
    parameters: Mapping[str, Any],
    rows: int,
    checkpoints: Sequence[Checkpoint],
    plan: Plan,
    ids: Sequence[str] | None,
    dataset: str,
) -> Header:
    adam = [c.moments is not None for c in checkpoints]
    if any(adam) and not all(adam):
        raise InputError(
            f"checkpoint {adam.index(False)} has no moments and others have: give them for all, or none"
        )
    count = sum(p.numel() for p in parameters.values())
    digests = [digest_of_values(values_of(parameters, checkpoint.values)) for checkpoint in checkpoints]
    return Header(
        rows,
        plan.dim or count,
        tuple(digests),
        count,
        model=digest_of_model(parameters),
        dataset=dataset or (digest("ids", list(ids)) if ids is not None else ""),
        projection=None if plan.dim is None else Projection(plan.dim, plan.seed, plan.projection),
        kind="adam" if any(adam) else "sgd",
        precision=plan.precision,
        normalised=plan.normalised,
        rates=tuple(float(c.rate) for c in checkpoints),
    )
