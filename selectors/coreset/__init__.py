"""Coresets: few items that stand for all, as functions on arrays; the registered selectors lie beside them.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.selectors.coreset.asking import query
    from curate.selectors.coreset.centres import k_center
    from curate.selectors.coreset.clustered import prototypes, semdedup
    from curate.selectors.coreset.cut import graph_cut
    from curate.selectors.coreset.facility import facility_location
    from curate.selectors.coreset.gradients import el2n, forgetting_events, grand, last_layer_gradients
    from curate.selectors.coreset.herd import herding
    from curate.selectors.coreset.matching import grad_match
    from curate.selectors.coreset.message import d2
    from curate.selectors.coreset.middle import moderate
    from curate.selectors.coreset.strata import ccs, hardest
    from curate.selectors.coreset.weighted import craig

_HOMES = {
    "ccs": "strata",
    "craig": "weighted",
    "d2": "message",
    "el2n": "gradients",
    "facility_location": "facility",
    "forgetting_events": "gradients",
    "grad_match": "matching",
    "grand": "gradients",
    "graph_cut": "cut",
    "hardest": "strata",
    "herding": "herd",
    "k_center": "centres",
    "last_layer_gradients": "gradients",
    "moderate": "middle",
    "prototypes": "clustered",
    "query": "asking",
    "semdedup": "clustered",
}

__all__ = [
    "ccs",
    "craig",
    "d2",
    "el2n",
    "facility_location",
    "forgetting_events",
    "grad_match",
    "grand",
    "graph_cut",
    "hardest",
    "herding",
    "k_center",
    "last_layer_gradients",
    "moderate",
    "prototypes",
    "query",
    "semdedup",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
