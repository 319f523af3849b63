"""Influence through EK-FAC, the Kronecker-factored curvature corrected in its eigenbasis: by the package kronfluence."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.influence.matching import Influence
from curate.scorers.influence.reading import group_codes

__all__ = ["ekfac"]

Loss = Callable[[Any, Any], Any]


def ekfac(
    model: Any,
    train: Sequence[Any],
    target: Sequence[Any],
    *,
    loss: Loss,
    sampled_loss: Loss | None = None,
    damping: float | None = None,
    groups: Sequence[Any] | None = None,
    batch_size: int = 64,
) -> Influence:
    """The effect of each training item on the target's loss through EK-FAC; higher = keep.

    `model` a torch module with linear or convolutional layers (a copy is worked on); `train` and `target` torch data sets;
    `loss(model, batch)` the **sum** over the items of a collated batch. `sampled_loss`, the same with labels drawn from the model's own
    answers, gives the true Fisher matrix; without it that of the labels at hand is taken. `damping` lambda of each layer, None: a
    tenth of its mean eigenvalue. `groups` (m,) sub-tasks of the target. Two passes over the items, and eigenvectors of each layer's
    two covariances, O(d_in^3 + d_out^3).
    Raises MissingExtraError without the extra `influence`, InputError for empty data or a model without such layers.
    Source: Grosse et al., "Studying Large Language Model Generalization with Influence Functions", 2023, section 3.
    """
    if not len(train) or not len(target):
        raise InputError(
            f"{len(train)} training and {counted(len(target), 'target item')}: at least one of each is needed"
        )
    analyser: Any = require("kronfluence.analyzer", "influence")
    arguments: Any = require("kronfluence.arguments", "influence")
    errors: Any = require("kronfluence.utils.exceptions", "influence")
    task = _task(loss, sampled_loss)
    try:
        wrapped = analyser.prepare_model(copy.deepcopy(model), task)
    except errors.IllegalTaskConfigurationError as error:
        raise InputError(f"EK-FAC finds no linear or convolutional layer to work on: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        work = analyser.Analyzer(
            "influence", wrapped, task, cpu=not _on_gpu(model), output_dir=folder, disable_tqdm=True
        )
        factors = arguments.FactorArguments(strategy="ekfac", use_empirical_fisher=sampled_loss is None)
        work.fit_all_factors("factors", train, per_device_batch_size=batch_size, factor_args=factors)
        work.compute_pairwise_scores(
            "scores",
            "factors",
            target,
            train,
            per_device_query_batch_size=batch_size,
            per_device_train_batch_size=batch_size,
            score_args=arguments.ScoreArguments(damping_factor=damping),
        )
        pairs = np.asarray(work.load_pairwise_scores("scores")["all_modules"].float().numpy())
    codes, tasks = group_codes(groups, len(target))
    by_task = np.stack([pairs[codes == task].mean(axis=0) for task in range(len(tasks))], axis=1)
    by_task = by_task.astype(np.float32)
    return Influence(by_task.max(axis=1), by_task, tasks)


def _task(loss: Loss, sampled_loss: Loss | None) -> Any:
    base: Any = require("kronfluence.task", "influence")

    class Task(base.Task):  # type: ignore[misc]  # the package is imported only here
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Any:
            return (sampled_loss if sample and sampled_loss is not None else loss)(model, batch)

        def compute_measurement(self, batch: Any, model: Any) -> Any:
            return loss(model, batch)

    return Task()


def _on_gpu(model: Any) -> bool:
    return bool(next(model.parameters()).device.type == "cuda")
