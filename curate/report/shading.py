"""Where the elements of a text stand in it, and how strongly each stretch is shaded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from curate.report.model import Element, Stretch

__all__ = ["locate", "shade", "strip_type"]

_WORD = re.compile(r"\w+")
_TYPE = re.compile(r"\s*\([^()]*\)\s*$")

Span = tuple[int, int]


def strip_type(element: str) -> str:
    """`guitar (object)` -> `guitar`; an element that is nothing but brackets stays."""
    return _TYPE.sub("", element).strip() or element.strip()


def locate(phrase: str, text: str) -> list[Span]:
    """Where a phrase stands in a text: one stretch, the first, whatever the case of letters and what lies between words.

    Failing that, the stretches of its words if they all stand there in their order ("dogs on grass" in "dogs run on wet
    grass"). Empty where it is not there.
    """
    words = [word.casefold() for word in _WORD.findall(phrase)]
    there = [(m.group().casefold(), m.span()) for m in _WORD.finditer(text)]
    if not words:
        return []
    for i in range(len(there) - len(words) + 1):
        if all(there[i + k][0] == word for k, word in enumerate(words)):
            return [(there[i][1][0], there[i + len(words) - 1][1][1])]
    if not phrase.isascii():  # languages that put no spaces between words
        at = text.casefold().find(phrase.casefold())
        if at >= 0:
            return [(at, at + len(phrase))]
    found: list[Span] = []
    rest = iter(there)
    for word in words:
        span = next((span for other, span in rest if other == word), None)
        if span is None:
            return []
        found.append(span)
    return found


def shade(text: str, elements: Sequence[Element]) -> tuple[Stretch, ...]:
    """The text in stretches, each shaded by the mean tone of the elements that cover it.

    A stretch that only elements without a score cover has no tone and says why; one that none covers has no words.
    """
    spans = [(span, element) for element in elements for span in locate(element.phrase, text)]
    cuts = sorted({0, len(text), *(edge for span, _ in spans for edge in span)})
    return tuple(_join(_stretch(text, low, high, spans) for low, high in itertools.pairwise(cuts)))


def _stretch(text: str, low: int, high: int, spans: Sequence[tuple[Span, Element]]) -> Stretch:
    over = [element for (start, end), element in spans if start <= low and high <= end]
    known = [element.tone for element in over if element.tone is not None]
    tone = sum(known) / len(known) if known else None
    said = "; ".join(f"{one.name}: {one.score or one.note or 'no score'}" for one in over)
    return Stretch(text[low:high], tone, said)


def _join(stretches: Iterator[Stretch]) -> Iterator[Stretch]:
    """Neighbours that say the same become one."""
    for (tone, said), alike in itertools.groupby(stretches, lambda one: (one.tone, one.said)):
        yield Stretch("".join(one.text for one in alike), tone, said)
