"""A map of items as plain values: where each lies, what became of it, and which selections hold it; raw like all of `model`."""

from __future__ import annotations

from dataclasses import dataclass

from curate.report.model import Card

__all__ = ["HEIGHT", "WIDTH", "Group", "Highlight", "Point", "PointMap"]

WIDTH, HEIGHT = 900.0, 600.0
"""The frame of a map in units of its drawing."""


@dataclass(frozen=True)
class Point:
    """One item: where it lies in the frame, its card, and whether people were asked about it."""

    x: float
    y: float
    card: Card
    asked: bool = False


@dataclass(frozen=True)
class Group:
    """Items of one status (empty: all, where nothing was decided): how many are on the map, and how many there are."""

    status: str
    shown: int
    total: int


@dataclass(frozen=True)
class Highlight:
    """A stored selection: (number of the point, why it was chosen) for its items on the map; `total` counts all."""

    name: str
    total: int
    points: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class PointMap:
    """Items by one column of vectors. `note` says how they were laid out and sampled; `asked` are (shown, all)."""

    column: str
    note: str
    points: tuple[Point, ...]
    groups: tuple[Group, ...]
    asked: tuple[int, int] = (0, 0)
    highlights: tuple[Highlight, ...] = ()
