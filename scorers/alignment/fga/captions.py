"""Captions and elements as FGA-BLIP2 reads them: how a text is cleaned, and where an element lies in it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from curate.errors import InputError

__all__ = ["MAX_WORDS", "clean_caption", "element_text", "find_span"]

MAX_WORDS = 50
"""Words of a caption that are read; what follows is cut off, as it was when the model was trained."""

_BLANKED = re.compile(r"[.!\"()*#:;~]")


def clean_caption(text: str, max_words: int = MAX_WORDS) -> str:
    """The caption as the model is shown it: lower case, `. ! " ( ) * # : ; ~` and runs of space become one space, and
    only the first `max_words` words are kept.

    Elements are cleaned by the same function, so that "St. Bernard" is found in "a St. Bernard".
    Raises InputError for `max_words` below 1. Source: the caption processor BLIP-2 was trained with.
    """
    if max_words < 1:
        raise InputError(f"max_words={max_words}: at least one word is read")
    # A caption of a million words need not be split to the end: a word is followed by a space.
    words = _BLANKED.sub(" ", text.lower()).split(maxsplit=max_words)
    return " ".join(words[:max_words])


def element_text(element: str) -> str:
    """The words of an element without its type: `guitar (object)` gives `guitar`. Not yet cleaned."""
    head, bracket, tail = element.rpartition("(")
    return (head if bracket and tail.rstrip().endswith(")") else element).strip()


def find_span(
    tokens: Sequence[str], element: Sequence[str], continuation: str = "##"
) -> tuple[int, int] | None:
    """Where an element lies in a caption: the first run of `tokens` that equals `element`, as (begin, end), or None.

    Both are pieces of words; a piece that goes on with a word begins with `continuation`. A run that ends within a word
    is none: `car` is not in `car ##pet`. An element of no tokens is nowhere.
    """
    width = len(element)
    if not width:
        return None
    wanted = list(element)
    for begin in range(len(tokens) - width + 1):
        end = begin + width
        whole = end == len(tokens) or not tokens[end].startswith(continuation)
        if whole and list(tokens[begin:end]) == wanted:
            return begin, end
    return None
