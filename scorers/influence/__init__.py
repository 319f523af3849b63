"""What an item does to a model: gradients on disk, and what is concluded from them, as functions on arrays.

Names are imported when they are used, so that what needs torch or numba costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.influence.adam import AdamMoments, adam_moments
    from curate.scorers.influence.collecting import Checkpoint, Collected, Plan, collect_gradients
    from curate.scorers.influence.curvature import datainf, trak
    from curate.scorers.influence.gradient_store import GradientStore
    from curate.scorers.influence.header import Header
    from curate.scorers.influence.kronecker import ekfac
    from curate.scorers.influence.language import Texts, adapter_values, causal_loss, encode_pairs
    from curate.scorers.influence.last_layer import el2n, grand, last_layer_gradients
    from curate.scorers.influence.matching import grad_cos, less, self_influence, tracin
    from curate.scorers.influence.parameters import select_parameters
    from curate.scorers.influence.per_sample import PerSample
    from curate.scorers.influence.projection import Projection, project
    from curate.scorers.influence.subspace import gist, target_subspace
    from curate.scorers.influence.warm_up import loss_drop, warm_up_losses

_HOMES = {
    "AdamMoments": "adam",
    "Checkpoint": "collecting",
    "Collected": "collecting",
    "GradientStore": "gradient_store",
    "Header": "header",
    "PerSample": "per_sample",
    "Plan": "collecting",
    "Projection": "projection",
    "Texts": "language",
    "adam_moments": "adam",
    "adapter_values": "language",
    "causal_loss": "language",
    "collect_gradients": "collecting",
    "datainf": "curvature",
    "ekfac": "kronecker",
    "el2n": "last_layer",
    "encode_pairs": "language",
    "gist": "subspace",
    "grad_cos": "matching",
    "grand": "last_layer",
    "last_layer_gradients": "last_layer",
    "less": "matching",
    "loss_drop": "warm_up",
    "project": "projection",
    "select_parameters": "parameters",
    "self_influence": "matching",
    "target_subspace": "subspace",
    "tracin": "matching",
    "trak": "curvature",
    "warm_up_losses": "warm_up",
}
"""Public name -> the module it lies in."""

__all__ = [
    "AdamMoments",
    "Checkpoint",
    "Collected",
    "GradientStore",
    "Header",
    "PerSample",
    "Plan",
    "Projection",
    "Texts",
    "adam_moments",
    "adapter_values",
    "causal_loss",
    "collect_gradients",
    "datainf",
    "ekfac",
    "el2n",
    "encode_pairs",
    "gist",
    "grad_cos",
    "grand",
    "last_layer_gradients",
    "less",
    "loss_drop",
    "project",
    "select_parameters",
    "self_influence",
    "target_subspace",
    "tracin",
    "trak",
    "warm_up_losses",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
