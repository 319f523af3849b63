"""What a judge's reply says: a word of a scale, or JSON of a certain form; or why it says neither."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from curate.errors import InputError
from curate.scorers.alignment.judges.measures import expected_rating
from curate.scorers.alignment.judges.replies import Reply

__all__ = ["Rated", "Unreadable", "find_json", "find_rating", "scale_of"]

_EDGE = " \t\r\n\"'`*_.,:;!()[]"
_THOUGHT = "</think>"
_OF_MANY = re.compile(r"(\d)\s*(?:/|out of|of)\s*\d+", re.IGNORECASE)


class Unreadable(Exception):
    """A reply that is not of the form asked for; the message says so to the judge."""


class Rated(NamedTuple):
    """`value` in the unit of the scale, `spread` its standard deviation (0 where only the word is known), and whether it
    comes from `logprobs`."""

    value: float
    spread: float
    logprobs: bool


def scale_of(words: Sequence[str]) -> list[float]:
    """What the words of a scale mean, worst first: their own numbers, or even steps from 0 to 1.

    Raises InputError for fewer than two, words that are equal but for casing, blanks, and numbers that do not rise.
    """
    plain = [word.strip().lower() for word in words]
    if len(plain) < 2 or len(set(plain)) < len(plain) or not all(plain):
        raise InputError(f"ratings {tuple(words)}: two or more different words, worst first")
    try:
        values = [float(word) for word in plain]
    except ValueError:
        return [i / (len(plain) - 1) for i in range(len(plain))]
    if not all(math.isfinite(value) for value in values) or sorted(values) != values:
        raise InputError(f"ratings {tuple(words)}: numbers are to rise, worst first")
    return values


def find_rating(reply: Reply, words: Sequence[str]) -> Rated:
    """The rating in a reply: by expected value where it came with the likeliest tokens, else the word that stands there.

    Raises Unreadable where there is no rating, or more than one.
    """
    at = _find_word(_conclusion(reply.text), words)
    values = scale_of(words)
    plain = [word.strip().lower() for word in words]
    for place in _places(reply):
        if not place or place[0][0].strip().lower() != plain[at]:
            continue
        logs = np.full(len(words), -np.inf)
        for token, log in place:
            word = token.strip().lower()
            if word in plain:
                logs[plain.index(word)] = np.logaddexp(logs[plain.index(word)], min(log, 0.0))
        mean, spread = expected_rating(np.minimum(logs, 0.0), values)
        return Rated(float(mean), float(spread), True)
    return Rated(values[at], 0.0, False)


def _conclusion(text: str) -> str:
    """A reply without what a model thinks aloud before it."""
    return text.rpartition(_THOUGHT)[2]


def _places(reply: Reply) -> Sequence[tuple[tuple[str, float], ...]]:
    """The likeliest tokens of the places of the conclusion."""
    if _THOUGHT not in reply.text:
        return reply.top
    said, at = "", 0
    for i, place in enumerate(reply.top):
        said += place[0][0] if place else ""
        if _THOUGHT in said:
            said, at = "", i + 1
    return reply.top[at:]


def _find_word(text: str, words: Sequence[str]) -> int:
    """The position of the one word of a scale that a text holds."""
    plain = [word.strip().lower() for word in words]
    bare = text.strip(_EDGE).lower()
    if bare in plain:
        return plain.index(bare)
    text = _OF_MANY.sub(r"\1", text)
    found = set()
    for i, word in enumerate(words):
        same_case = 0 if len(word.strip()) == 1 else re.IGNORECASE  # "a" is an article, "A" an answer
        if re.search(rf"(?<![\w.-]){re.escape(word.strip())}(?![\w-]|\.\d)", text, same_case):
            found.add(i)
    if len(found) != 1:
        what = "none of them" if not found else "more than one of them"
        raise Unreadable(f"it holds {what}: {', '.join(words)}")
    return found.pop()


def find_json(text: str) -> dict[str, Any]:
    """The JSON object in a reply, whatever stands around it. Raises Unreadable where there is none."""
    text = _conclusion(text)
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    for match in re.finditer(r"\{", text):
        try:
            found, _ = decoder.raw_decode(text[match.start() :])
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    raise Unreadable("it holds no JSON object")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
