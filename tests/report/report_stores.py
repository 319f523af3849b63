"""Ten pictures of which four are kept, and what tests ask of a report."""

from __future__ import annotations

from curate.report.contents import ReportData

KEEP = "sharp > 0.3 and not near_duplicate"
SHARP = [0.9, 0.1, 0.5, None, 0.3, 0.7, 0.31, 0.2, 0.8, 0.4]
DUPLICATE = [False, False, True, False, False, False, True, False, False, False]
# Kept: 0 (0.9), 5 (0.7), 8 (0.8), 9 (0.4). Not sharp > 0.3: 1, 3 (null), 4, 7. Sharp, but duplicates: 2, 6.
KEPT = ["i0", "i5", "i8", "i9"]


def tiles(data: ReportData) -> dict[str, int]:
    return {tile.label: tile.value for tile in data.tiles}


def shown(data: ReportData, title: str) -> list[str]:
    found = [g for s in data.galleries for g in s.galleries if g.title == title]
    return [card.id for g in found for card in g.cards]
