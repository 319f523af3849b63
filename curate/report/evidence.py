"""What analyses found, as plain values ready to be drawn; raw like all of `model`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bar", "Curve", "Evidence", "FindingSet", "Heat", "Interval"]


Ends = tuple[tuple[float | None, float | None], ...]


@dataclass(frozen=True)
class Bar:
    """One bar of a finding: its name, its value as text, and its length in per cent of the longest."""

    name: str
    text: str
    percent: float


@dataclass(frozen=True)
class Interval:
    """One line of a ranking: its name, the value and where it may lie, all on one scale; `text` is the value as text."""

    name: str
    text: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Heat:
    """A matrix: (text, strength of the colour in per cent) for each cell; `more` rows or columns are not shown."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[tuple[str, float], ...], ...]
    more: int = 0


@dataclass(frozen=True)
class Curve:
    """Lines over x, null where a value is missing, and a band of (low, high) for each x, if there is one.

    `intervals` are those of lines by their names: (low, high) for each x.
    """

    title: str
    x_name: str
    x: tuple[float, ...]
    lines: tuple[tuple[str, tuple[float | None, ...]], ...]
    band: Ends = ()
    intervals: tuple[tuple[str, Ends], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """One finding of an analysis: what was found, the table as text (`left_out` rows are not in it), and its chart."""

    title: str
    text: str
    serious: bool = False
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    numeric: tuple[bool, ...] = ()
    left_out: int = 0
    bars: tuple[Bar, ...] = ()
    intervals: tuple[Interval, ...] = ()
    heat: Heat | None = None
    curve: Curve | None = None


@dataclass(frozen=True)
class FindingSet:
    """What one analysis found."""

    name: str
    summary: str
    findings: tuple[Evidence, ...]
