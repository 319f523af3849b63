"""Weights for training items: functions on arrays; the registered selectors lie beside them.

Names are imported when they are used, so that what needs torch costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.selectors.reweighting.corewise import CoreWeighted, cw_erm
    from curate.selectors.reweighting.density import density_scores, instance_selection
    from curate.selectors.reweighting.dro import ClassDro, ClassWeights, class_dro, diffusion_losses
    from curate.selectors.reweighting.groups import group_weights, rake
    from curate.selectors.reweighting.importance import importance_resample, log_density_ratio
    from curate.selectors.reweighting.meta import MetaRun, MetaTraining, meta_weights
    from curate.selectors.reweighting.moderate import middle_rows, spread_weights
    from curate.selectors.reweighting.ngrams import HashedNgrams, hashed_ngrams, ngram_log_ratio
    from curate.selectors.reweighting.weighted import (
        Draw,
        Weighted,
        cap_weights,
        effective_size,
        normalise,
        weigh,
    )

_HOMES = {
    "ClassDro": "dro",
    "ClassWeights": "dro",
    "CoreWeighted": "corewise",
    "Draw": "weighted",
    "HashedNgrams": "ngrams",
    "MetaRun": "meta",
    "MetaTraining": "meta",
    "Weighted": "weighted",
    "cap_weights": "weighted",
    "class_dro": "dro",
    "cw_erm": "corewise",
    "density_scores": "density",
    "diffusion_losses": "dro",
    "effective_size": "weighted",
    "group_weights": "groups",
    "hashed_ngrams": "ngrams",
    "importance_resample": "importance",
    "instance_selection": "density",
    "log_density_ratio": "importance",
    "meta_weights": "meta",
    "middle_rows": "moderate",
    "ngram_log_ratio": "ngrams",
    "normalise": "weighted",
    "rake": "groups",
    "spread_weights": "moderate",
    "weigh": "weighted",
}
"""Public name -> the module it lies in."""

__all__ = [
    "ClassDro",
    "ClassWeights",
    "CoreWeighted",
    "Draw",
    "HashedNgrams",
    "MetaRun",
    "MetaTraining",
    "Weighted",
    "cap_weights",
    "class_dro",
    "cw_erm",
    "density_scores",
    "diffusion_losses",
    "effective_size",
    "group_weights",
    "hashed_ngrams",
    "importance_resample",
    "instance_selection",
    "log_density_ratio",
    "meta_weights",
    "middle_rows",
    "ngram_log_ratio",
    "normalise",
    "rake",
    "spread_weights",
    "weigh",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
