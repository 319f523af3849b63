"""Wrong labels and other noise: what finds them, as functions on arrays; the registered scorers lie beside them.

Names are imported when they are used, so that what needs torch costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.noise.losses.criteria import AldrKl, Elr
    from curate.scorers.noise.losses.elr import elr
    from curate.scorers.noise.losses.ldr import aldr_kl, aldr_lambda, ldr_kl, ldr_kl_multilabel
    from curate.scorers.noise.losses.values import class_margins
    from curate.scorers.noise.out_of_fold import out_of_fold_probabilities

_HOMES = {
    "AldrKl": "losses.criteria",
    "Elr": "losses.criteria",
    "aldr_kl": "losses.ldr",
    "aldr_lambda": "losses.ldr",
    "class_margins": "losses.values",
    "elr": "losses.elr",
    "ldr_kl": "losses.ldr",
    "ldr_kl_multilabel": "losses.ldr",
    "out_of_fold_probabilities": "out_of_fold",
}
"""Public function -> the module it lies in."""

__all__ = [
    "AldrKl",
    "Elr",
    "aldr_kl",
    "aldr_lambda",
    "class_margins",
    "elr",
    "ldr_kl",
    "ldr_kl_multilabel",
    "out_of_fold_probabilities",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
