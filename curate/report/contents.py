"""The whole report as plain values: what its sections say, in their order; raw like all of `model`."""

from __future__ import annotations

from dataclasses import dataclass, field

from curate.report.evidence import FindingSet
from curate.report.model import (
    Balance,
    Confusion,
    Duplicates,
    ElementSet,
    Flag,
    GallerySet,
    Histogram,
    Listing,
    Provenance,
    Section,
    Step,
    Table,
    Tile,
)
from curate.report.points import PointMap

__all__ = ["ReportData"]


@dataclass(frozen=True)
class ReportData:
    """The whole report."""

    title: str
    sentence: str
    tiles: tuple[Tile, ...] = ()
    notices: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    histograms_left_out: int = 0
    flags: tuple[Flag, ...] = ()
    map: PointMap | None = None
    findings: tuple[FindingSet, ...] = ()
    galleries: tuple[GallerySet, ...] = ()
    elements: tuple[ElementSet, ...] = ()
    disagreements: tuple[GallerySet, ...] = ()
    duplicates: tuple[Duplicates, ...] = ()
    labels: tuple[Confusion, ...] = ()
    balances: tuple[Balance, ...] = ()
    table: Table | None = None
    failures: tuple[Listing, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    timings: Section | None = None
    thumbnail: int = 160
    decided: bool = True
    kept_word: str = "kept"
