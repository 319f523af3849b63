"""How many of something, in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, one: str, many: str = "") -> str:
    """1, "row" -> '1 row'; 1797, "row" -> '1,797 rows'.

    `many` is what is said of all numbers but 1, where it is not `one` with an s: counted(n, "class", "classes"),
    counted(n, "row is", "rows are").
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"
