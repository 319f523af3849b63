"""Confident learning (Northcutt, Jiang and Chuang 2021) in exact numpy: thresholds, joint, filters, scores; by batches."""

from curate.scorers.noise.confident.batches import Batches, Options, confident_learning_batches
from curate.scorers.noise.confident.filters import Filter
from curate.scorers.noise.confident.issues import ConfidentIssues, confident_learning
from curate.scorers.noise.confident.joint import calibrate_joint, class_thresholds, confident_joint
from curate.scorers.noise.confident.quality import Method, Weighting, ensemble_quality, label_quality
from curate.scorers.noise.confident.scorer import ConfidentLearning

__all__ = [
    "Batches",
    "ConfidentIssues",
    "ConfidentLearning",
    "Filter",
    "Method",
    "Options",
    "Weighting",
    "calibrate_joint",
    "class_thresholds",
    "confident_joint",
    "confident_learning",
    "confident_learning_batches",
    "ensemble_quality",
    "label_quality",
]
