"""Elements and yes/no questions of a caption, by rules.

Small rules over a small lexicon of English, no parser: things, how many, of what color, material or shape, what they do,
and where they are to each other. They miss what is said in other ways, take unknown words for things, and know nothing of
the world. What they give is meant to be looked at and edited.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from curate.errors import InputError
from curate.scorers.alignment.elements.lexicon import (
    ADJECTIVES,
    BACKGROUND,
    BREAKS,
    DETERMINERS,
    KINDS,
    MASS,
    NOUNS_IN_LY,
    NUMBERS,
    PREPOSITIONS,
)
from curate.scorers.alignment.elements.words import article, is_plural, kept_verb, singular
from curate.scorers.alignment.vqa.questions import QUESTIONS

__all__ = ["Element", "ask_elements", "split_elements"]

_WORD = re.compile(r"[A-Za-z0-9]+(?:['’-][A-Za-z0-9]+)*|[.!?;:,]")
_ADVERBS = re.compile(r".{2,}ly$")
_QUALITIES = ("color", "material", "shape")
_MOST_WORDS = 200


class Element(NamedTuple):
    """One thing that a caption says: `name` in its words, `type` among EvalMuse's twelve, a yes/no `question` whose
    `answer` is expected, and in `depends` the positions of the elements that must hold for the question to make sense."""

    name: str
    type: str
    question: str
    answer: str
    depends: tuple[int, ...]


@dataclass
class _Thing:
    """A noun with what stands before it. `at` is its position among the elements."""

    name: str
    kind: str
    plural: bool
    count: str = ""
    qualities: list[tuple[str, str]] = field(default_factory=list)
    at: int = -1

    @property
    def be(self) -> str:
        return "Are" if self.plural else "Is"


class _Link(NamedTuple):
    """What stands between things: `kind` is place, deed, be (a form of "to be"), stop (the end of a sentence) or pause."""

    kind: str
    words: str


def split_elements(caption: str, limit: int = 30) -> list[Element]:
    """What a caption says, as elements in the order of its words, at most `limit`; of 200 words at most.

    Types are those of EvalMuse: object, animal/human, food, location, color, material, shape, attribute, counting,
    activity, spatial (no rule gives other). An element depends on the things it is about. An empty list where the
    caption names nothing.
    """
    if limit < 1:
        raise InputError(f"limit {limit}, at least 1")
    elements: list[Element] = []
    known: dict[str, _Thing] = {}
    parts = _merge(_read(caption), known)
    for thing in known.values():
        _add_thing(thing, elements)
    _add_links(parts, elements)
    return elements[:limit]


def ask_elements(captions: Sequence[str | None], limit: int = 30) -> pa.Array:
    """A column of questions (see `QUESTIONS`) from captions: that of each caption's elements; null where there are none."""
    rows: list[list[dict[str, object]] | None] = []
    for caption in captions:
        found = split_elements(caption, limit) if caption else []
        rows.append(
            [
                {
                    "question": e.question,
                    "answer": e.answer,
                    "type": e.type,
                    "depends": list(e.depends),
                    "element": e.name,
                }
                for e in found
            ]
            or None
        )
    return pa.array(rows, QUESTIONS)


# --- Reading ----------------------------------------------------------------------------------------------------


def _read(caption: str) -> list[_Thing | _Link]:
    """Things and what stands between them, in the order of the words."""
    words = [w.lower().replace("’", "'") for w in _WORD.findall(caption)[:_MOST_WORDS]]
    parts: list[_Thing | _Link] = []
    chunk: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        skipped = next((len(p) for p in BACKGROUND if tuple(words[at : at + len(p)]) == p), 0)
        place = next((n for n in (4, 3, 2, 1) if tuple(words[at : at + n]) in PREPOSITIONS), 0)
        noun = bool(chunk) and not _is_quality(chunk[-1])
        verb = kept_verb(word, noun, noun and is_plural(chunk[-1]))
        before_noun = (
            at + 1 < len(words) and bool(chunk or (at and words[at - 1] in DETERMINERS)) and not noun
        )
        joined = word == "and" and bool(chunk) and all(map(_is_quality, chunk))  # black and white
        if joined and at + 1 < len(words) and _is_quality(words[at + 1]):
            at += 1
            continue
        if skipped or place:
            _flush(chunk, parts)
            if place >= skipped:
                parts.append(_Link("place", PREPOSITIONS[tuple(words[at : at + place])]))
            at += max(skipped, place)
            continue
        if word in ".!?;:,":
            _flush(chunk, parts)
            parts.append(_Link("pause" if word == "," else "stop", word))
        elif word in BREAKS or word in DETERMINERS:
            _flush(chunk, parts)
            parts += [_Link("be", word)] if word in ("is", "are", "was", "were") else []
        elif verb and not before_noun:
            _flush(chunk, parts)
            parts.append(_Link("deed", verb))
        elif not (_ADVERBS.match(word) and word not in NOUNS_IN_LY):
            chunk.append(word)
        at += 1
    _flush(chunk, parts)
    return parts


def _is_quality(word: str) -> bool:
    if word in ADJECTIVES or KINDS.get(word) in _QUALITIES or word in NUMBERS or word.isdigit():
        return True
    return len(word) > 4 and word.endswith(("ed", "ful", "ous", "ish", "less", "ing")) and word not in KINDS


def _flush(chunk: list[str], parts: list[_Thing | _Link]) -> None:
    """The words since the last break as a thing; or, where they name none, as qualities of the one before."""
    words, chunk[:] = list(chunk), []
    if not words:
        return
    count = next((w for w in words if w in NUMBERS or w.isdigit()), "")
    words = [w for w in words if w != count]
    begin = 0
    while begin < len(words) and _is_quality(words[begin]):
        begin += 1
    nouns, trailing = words[begin:], []
    while nouns and len(nouns) > 1 and nouns[-1].endswith("ed") and _is_quality(nouns[-1]):  # a car parked
        trailing.append(nouns.pop())
    qualities = [(w, _quality_type(w)) for w in (*words[:begin], *trailing)]
    if nouns:
        name = " ".join(nouns[-3:])
        kind = KINDS.get(nouns[-1], KINDS.get(singular(nouns[-1]), "object"))
        kind = "object" if kind in _QUALITIES else kind
        parts.append(_Thing(name, kind, is_plural(nouns[-1]), count, qualities))
        return
    said = len(parts) > 1 and isinstance(parts[-1], _Link) and parts[-1].kind == "be"
    before = parts[-2] if said else None
    if isinstance(before, _Thing):
        before.qualities += qualities
    elif words and singular(words[-1]) in (
        "orange",
        "square",
        "glass",
        "gold",
    ):  # a quality that is a thing as well
        parts.append(
            _Thing(words[-1], "food" if words[-1] == "orange" else "object", False, count, qualities[:-1])
        )


def _quality_type(word: str) -> str:
    kind = KINDS.get(word, "attribute")
    return kind if kind in _QUALITIES else "attribute"


def _merge(parts: Sequence[_Thing | _Link], known: dict[str, _Thing]) -> list[_Thing | _Link]:
    """The same parts, things of one name made one: the dog that is named again is the same dog."""
    merged: list[_Thing | _Link] = []
    for part in parts:
        if isinstance(part, _Thing):
            first = known.setdefault(part.name, part)
            first.qualities += [q for q in part.qualities if q not in first.qualities and first is not part]
            first.count = first.count or part.count
            part = first
        merged.append(part)
    return merged


# --- Asking -----------------------------------------------------------------------------------------------------


def _add_thing(thing: _Thing, elements: list[Element]) -> None:
    """A thing, how many it is, and its qualities."""
    thing.at = len(elements)
    there = f"{thing.be} there {article(thing.name)}{thing.name}?"
    elements.append(Element(thing.name, thing.kind, there, "yes", ()))
    if thing.count:
        plural = "Is" if thing.count in ("one", "1") else "Are"
        asked = f"{plural} there {thing.count} {thing.name}?"
        elements.append(Element(f"{thing.count} {thing.name}", "counting", asked, "yes", (thing.at,)))
    for word, kind in thing.qualities:
        made = {"wooden": "wood", "woolen": "wool", "metallic": "metal"}.get(word, word)
        said = f"made of {made}" if kind == "material" else word
        asked = f"{thing.be} the {thing.name} {said}?"
        elements.append(Element(f"{word} {thing.name}", kind, asked, "yes", (thing.at,)))


def _add_links(parts: Sequence[_Thing | _Link], elements: list[Element]) -> None:
    """What things do, and where they are."""
    actor: _Thing | None = None
    last: _Thing | None = None
    seen: set[str] = set()
    for part, after in zip(parts, [*parts, None][1:], strict=True):
        found: Element | None = None
        if isinstance(part, _Thing):
            last = part
            actor = part if part.kind == "animal/human" or actor is None else actor
            continue
        if part.kind == "stop":
            actor = last = None
        elif part.kind == "deed" and actor is not None:
            found = _deed(actor, part.words, after)
            last = actor
        elif part.kind == "place" and last is not None and isinstance(after, _Thing) and after is not last:
            place = f"{part.words} the {after.name}"
            name = f"{last.name} {part.words} {after.name}"
            found = Element(
                name, "spatial", f"{last.be} the {last.name} {place}?", "yes", (last.at, after.at)
            )
        if found is not None and found.question not in seen:
            seen.add(found.question)
            elements.append(found)


def _deed(actor: _Thing, verb: str, after: _Thing | _Link | None) -> Element:
    """What a thing does, and to which other."""
    if isinstance(after, _Thing) and after is not actor:
        what = "" if after.name.rpartition(" ")[2] in MASS else "the "
        asked = f"{actor.be} the {actor.name} {verb} {what}{after.name}?"
        return Element(f"{actor.name} {verb} {after.name}", "activity", asked, "yes", (actor.at, after.at))
    return Element(
        f"{actor.name} {verb}", "activity", f"{actor.be} the {actor.name} {verb}?", "yes", (actor.at,)
    )
