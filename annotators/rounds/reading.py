"""`Rounds` from the plain values of a command line or a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from curate.annotators.rounds.plan import Rounds
from curate.annotators.rounds.rules import Agreement, Rule, Spread, Sure
from curate.errors import InputError, UnknownNameError

__all__ = ["read_rounds"]

RULES: dict[str, type[Any]] = {"spread": Spread, "agreement": Agreement, "sure": Sure}
"""What a rule is called there; its value is the rule's threshold."""


def read_rounds(values: Mapping[str, Any]) -> Rounds:
    """A plan by the names of its fields; rules by their names: `{"control": "overall", "spread": 2, "first": 3}`.

    Raises UnknownNameError for other names, InputError for values that cannot be.
    """
    known = {f.name: f for f in dataclasses.fields(Rounds) if f.name != "rules"}
    given: dict[str, Any] = {}
    rules: list[Rule] = []
    for name, value in values.items():
        if name in RULES:
            rules.append(_rule(name, value))
        elif name not in known:
            raise UnknownNameError("parameter of rounds", name, [*known, *RULES])
        else:
            given[name] = tuple(map(str, value)) if isinstance(value, list) else value
    if "control" not in given:
        raise InputError("which question? Name its `control`")
    if rules:
        given["rules"] = tuple(rules)
    try:
        return Rounds(**given)
    except TypeError as error:
        raise InputError(f"rounds: {error}") from None


def _rule(name: str, value: Any) -> Rule:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"rounds: {name}={value!r}: a number is meant")
    made: Rule = RULES[name](float(value))
    return made
