"""Wrong labels and other noise: what finds them, as functions on arrays; the registered scorers lie beside them.

Names are imported when they are used, so that what needs torch costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.noise.confident.batches import confident_learning_batches
    from curate.scorers.noise.confident.issues import confident_learning
    from curate.scorers.noise.confident.joint import confident_joint
    from curate.scorers.noise.confident.quality import ensemble_quality, label_quality
    from curate.scorers.noise.dynamics.callback import LogitCallback
    from curate.scorers.noise.dynamics.head import Head, train_head
    from curate.scorers.noise.dynamics.log import LogitLog
    from curate.scorers.noise.dynamics.measures import training_dynamics
    from curate.scorers.noise.dynamics.memorisation import influence, memorisation, subset_runs
    from curate.scorers.noise.dynamics.rescaling import self_taught_weights
    from curate.scorers.noise.dynamics.thresholds import aum_cut, aum_errors, threshold_samples
    from curate.scorers.noise.expected.people import Expectation, expected_answers
    from curate.scorers.noise.label_noise.audit import audit_curve, audit_size, estimate_errors, plan_audit
    from curate.scorers.noise.label_noise.finder import LabelIssues, label_errors
    from curate.scorers.noise.label_noise.transition import fit_transition
    from curate.scorers.noise.losses.criteria import AldrKl, Elr
    from curate.scorers.noise.losses.elr import elr
    from curate.scorers.noise.losses.ldr import aldr_kl, aldr_lambda, ldr_kl, ldr_kl_multilabel
    from curate.scorers.noise.losses.values import class_margins
    from curate.scorers.noise.neighbours.agreement import knn_agreement
    from curate.scorers.noise.neighbours.gaussian import class_gaussian
    from curate.scorers.noise.neighbours.lemon import lemon
    from curate.scorers.noise.neighbours.noise_rates import estimate_noise_rates
    from curate.scorers.noise.neighbours.outlier import energy, knn_distance, mahalanobis_distance
    from curate.scorers.noise.neighbours.search import nearest
    from curate.scorers.noise.neighbours.shapley import knn_shapley, shapley_of_neighbours
    from curate.scorers.noise.out_of_fold import out_of_fold_probabilities
    from curate.scorers.noise.structure.label_probs import label_probabilities
    from curate.scorers.noise.structure.mixture import positive_unlabelled
    from curate.scorers.noise.structure.multilabel import multilabel_errors
    from curate.scorers.noise.structure.outre import outre
    from curate.scorers.noise.structure.plausible import missing_labels
    from curate.scorers.noise.structure.predictions import out_of_fold_predictions
    from curate.scorers.noise.structure.residuals import regression_errors
    from curate.scorers.noise.structure.sets import label_targets
    from curate.scorers.noise.structure.tokens import token_errors

_HOMES = {
    "Head": "dynamics.head",
    "LogitCallback": "dynamics.callback",
    "LogitLog": "dynamics.log",
    "aum_cut": "dynamics.thresholds",
    "aum_errors": "dynamics.thresholds",
    "influence": "dynamics.memorisation",
    "memorisation": "dynamics.memorisation",
    "self_taught_weights": "dynamics.rescaling",
    "subset_runs": "dynamics.memorisation",
    "threshold_samples": "dynamics.thresholds",
    "train_head": "dynamics.head",
    "training_dynamics": "dynamics.measures",
    "aldr_kl": "losses.ldr",
    "aldr_lambda": "losses.ldr",
    "class_gaussian": "neighbours.gaussian",
    "class_margins": "losses.values",
    "elr": "losses.elr",
    "energy": "neighbours.outlier",
    "estimate_noise_rates": "neighbours.noise_rates",
    "knn_agreement": "neighbours.agreement",
    "knn_distance": "neighbours.outlier",
    "knn_shapley": "neighbours.shapley",
    "Expectation": "expected.people",
    "expected_answers": "expected.people",
    "LabelIssues": "label_noise.finder",
    "audit_curve": "label_noise.audit",
    "audit_size": "label_noise.audit",
    "confident_joint": "confident.joint",
    "confident_learning": "confident.issues",
    "confident_learning_batches": "confident.batches",
    "ensemble_quality": "confident.quality",
    "estimate_errors": "label_noise.audit",
    "fit_transition": "label_noise.transition",
    "label_errors": "label_noise.finder",
    "label_probabilities": "structure.label_probs",
    "label_quality": "confident.quality",
    "label_targets": "structure.sets",
    "plan_audit": "label_noise.audit",
    "ldr_kl": "losses.ldr",
    "ldr_kl_multilabel": "losses.ldr",
    "lemon": "neighbours.lemon",
    "mahalanobis_distance": "neighbours.outlier",
    "missing_labels": "structure.plausible",
    "multilabel_errors": "structure.multilabel",
    "nearest": "neighbours.search",
    "out_of_fold_predictions": "structure.predictions",
    "out_of_fold_probabilities": "out_of_fold",
    "outre": "structure.outre",
    "positive_unlabelled": "structure.mixture",
    "regression_errors": "structure.residuals",
    "shapley_of_neighbours": "neighbours.shapley",
    "token_errors": "structure.tokens",
    "AldrKl": "losses.criteria",
    "Elr": "losses.criteria",
}
"""Public function -> the module it lies in."""

__all__ = [
    "AldrKl",
    "Elr",
    "Expectation",
    "Head",
    "LabelIssues",
    "LogitCallback",
    "LogitLog",
    "aldr_kl",
    "aldr_lambda",
    "audit_curve",
    "audit_size",
    "aum_cut",
    "aum_errors",
    "class_gaussian",
    "class_margins",
    "confident_joint",
    "confident_learning",
    "confident_learning_batches",
    "elr",
    "energy",
    "ensemble_quality",
    "estimate_errors",
    "estimate_noise_rates",
    "expected_answers",
    "fit_transition",
    "influence",
    "knn_agreement",
    "knn_distance",
    "knn_shapley",
    "label_errors",
    "label_probabilities",
    "label_quality",
    "label_targets",
    "ldr_kl",
    "ldr_kl_multilabel",
    "lemon",
    "mahalanobis_distance",
    "memorisation",
    "missing_labels",
    "multilabel_errors",
    "nearest",
    "out_of_fold_predictions",
    "out_of_fold_probabilities",
    "outre",
    "plan_audit",
    "positive_unlabelled",
    "regression_errors",
    "self_taught_weights",
    "shapley_of_neighbours",
    "subset_runs",
    "threshold_samples",
    "token_errors",
    "train_head",
    "training_dynamics",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
