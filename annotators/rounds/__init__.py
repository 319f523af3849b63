"""Asking again until people agree: rules, gold items, adjudication, and the consensus back in the data set.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.annotators.rounds.gold import gold_table
    from curate.annotators.rounds.judging import STATES, judge
    from curate.annotators.rounds.plan import Rounds
    from curate.annotators.rounds.rules import Agreement, Rule, Spread, Sure
    from curate.annotators.rounds.status import RoundStatus
    from curate.annotators.rounds.votes import read_votes
    from curate.annotators.rounds.worth import Worth, worth_of_asking, worth_of_rating

_HOMES = {
    "Agreement": "rules",
    "RoundStatus": "status",
    "Rounds": "plan",
    "Rule": "rules",
    "STATES": "judging",
    "Spread": "rules",
    "Sure": "rules",
    "Worth": "worth",
    "gold_table": "gold",
    "judge": "judging",
    "read_votes": "votes",
    "worth_of_asking": "worth",
    "worth_of_rating": "worth",
}
"""Public name -> the module it lies in."""

__all__ = [
    "STATES",
    "Agreement",
    "RoundStatus",
    "Rounds",
    "Rule",
    "Spread",
    "Sure",
    "Worth",
    "gold_table",
    "judge",
    "read_votes",
    "worth_of_asking",
    "worth_of_rating",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
