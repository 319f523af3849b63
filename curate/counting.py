"""How many of something, in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, thing: str) -> str:
    """1, "row" -> '1 row'; 1797, "row" -> '1,797 rows'. `thing` is one whose plural ends in s."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"
