"""Numbers and untrusted text as people read them."""

from __future__ import annotations

import math
import re
from typing import Any

from curate.counting import counted

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_UNSEEN = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff{_BIDI}]")


def count(n: int) -> str:
    """1797 -> '1,797'."""
    return f"{n:,}"


def items(n: int) -> str:
    """1 -> '1 item', 1797 -> '1,797 items'."""
    return counted(n, "item")


def share(part: int, whole: int) -> str:
    """A percentage with one decimal; '<0.1 %' and '>99.9 %' rather than a false 0 or 100."""
    if whole <= 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def number(value: float | int | None) -> str:
    """At most four significant digits below 10,000 (two below 0.0001), whole numbers with separators above."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10_000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    if 0 < abs(value) < 1e-4:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits}e{int(power)}"
    return f"{value:.4g}"


def clean(text: str) -> str:
    """Text in which nothing is invisible: control characters and text-direction overrides are spelled out.

    A NUL becomes ␀, a right-to-left override ⟨U+202E⟩; tabs and line breaks stay.
    """
    return _UNSEEN.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def shorten(text: str, limit: int) -> str:
    """The first `limit` characters, cleaned; what was cut is said: '… (1,000,000 characters)'."""
    if len(text) <= limit:
        return clean(text)
    return f"{clean(text[:limit])}… ({counted(len(text), 'character')})"


def plain(value: Any, limit: int = 300) -> str:
    """Any value of a table's cell as text; null is an empty string, and a list of texts is read out."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return shorten(", ".join(value), limit)
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 32 else f"{counted(len(value), 'byte')}"
    return shorten(str(value), limit)
