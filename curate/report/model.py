"""What the sections of a report say, as plain values: the collector fills them, the page draws them, and neither knows the
other.

Every string in here is untrusted and raw; escaping is the page's business. Counts are exact unless a field says
that it holds a sample. Status is `kept` and `dropped`; where a selection decides, `selected`, `not selected` (met every
condition) and `dropped`; empty where nothing has been decided.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Balance",
    "Card",
    "Confusion",
    "DuplicateGroup",
    "Duplicates",
    "Element",
    "ElementSet",
    "Flag",
    "Gallery",
    "GallerySet",
    "Histogram",
    "Listing",
    "Picture",
    "Provenance",
    "Reason",
    "Section",
    "Sound",
    "Step",
    "Stretch",
    "Table",
    "TableColumn",
    "Threshold",
    "Tile",
]


@dataclass(frozen=True)
class Tile:
    """One headline number. `tone` is `plain`, `kept`, `dropped` or `bad`; `note` is a few words below it."""

    label: str
    value: int
    note: str = ""
    tone: str = "plain"


@dataclass(frozen=True)
class Reason:
    """Why, and how many items."""

    text: str
    count: int


@dataclass(frozen=True)
class Step:
    """One step of the run. `before`/`after` are items in the current set; `total` scales the bar (items at most).

    `bar` says whether the step can change the set (import, keep, select); the others are one line of text.
    """

    kind: str
    title: str
    before: int
    after: int
    total: int
    bar: bool
    note: str = ""
    reasons: tuple[Reason, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Threshold:
    """A comparison of a column with a constant, e.g. `>` 0.2."""

    op: str
    value: float


@dataclass(frozen=True)
class Histogram:
    """Counts per bin: bin i is [edges[i], edges[i+1]), the last one closed. `edges` has one more value than the counts.

    `nulls` items have no value (`why` says why); `below`/`above` items lie outside the drawn range and are counted in
    the first/last bin. `passed` counts items that met every condition and were not selected; empty where no selection
    decides. `kept` are then the selected. `decided` is false where no item was dropped or kept by anything.
    """

    column: str
    edges: tuple[float, ...]
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    passed: tuple[int, ...] = ()
    nulls: int = 0
    why: tuple[Reason, ...] = ()
    below: int = 0
    above: int = 0
    thresholds: tuple[Threshold, ...] = ()
    decided: bool = True
    source: str = ""
    median: float | None = None


@dataclass(frozen=True)
class Flag:
    """A verdict column: how many items it holds for, does not hold for, and is unknown for."""

    column: str
    true: int
    false: int
    null: int
    source: str = ""


@dataclass(frozen=True)
class Picture:
    """A thumbnail as a data URI, or the reason why there is none. Width and height are those of the original."""

    uri: str
    width: int = 0
    height: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Sound:
    """An excerpt as a data URI with its envelope (0 to 1), or the reason why there is none."""

    uri: str
    seconds: float = 0.0
    total_seconds: float = 0.0
    envelope: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Element:
    """A part of an item and how well it fits. `phrase` is looked for in the text, `name` is what is shown.

    `score` as text, empty where there is none; `tone` from -1 (worst) to 1 (best), None without a score. `note` is what
    was seen, or why there is no score; `box` is where in the picture: left, top, right, bottom in per cent.
    """

    name: str
    phrase: str
    score: str = ""
    tone: float | None = None
    type: str = ""
    note: str = ""
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Stretch:
    """A piece of a text: shaded by `tone` (-1 to 1; None: not), `said` names the elements that cover it, if any do."""

    text: str
    tone: float | None = None
    said: str = ""


@dataclass(frozen=True)
class Card:
    """One item as shown: `texts` are (column, text) pairs, `scores` (column, value as text) pairs.

    With `elements`, `shaded` are the same texts in stretches, and `note` what the scorer says of the elements.
    """

    id: str
    status: str = ""
    reason: str = ""
    pictures: tuple[Picture, ...] = ()
    sounds: tuple[Sound, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    label: str = ""
    suggested: str = ""
    scores: tuple[tuple[str, str], ...] = ()
    badge: str = ""
    elements: tuple[Element, ...] = ()
    shaded: tuple[tuple[str, tuple[Stretch, ...]], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Cards that belong together; `note` says how they were chosen."""

    title: str
    note: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class GallerySet:
    """The galleries of one score (or of none: a sample)."""

    title: str
    note: str
    galleries: tuple[Gallery, ...]


@dataclass(frozen=True)
class ElementSet:
    """Items whose elements one column scores. `low` and `high` are the values of the palest and the strongest shades."""

    column: str
    note: str
    low: str
    high: str
    galleries: tuple[Gallery, ...]


@dataclass(frozen=True)
class DuplicateGroup:
    """The item that stands for the group, then those like it (similarity in each card's badge); `size` counts all."""

    cards: tuple[Card, ...]
    size: int


@dataclass(frozen=True)
class Duplicates:
    """Groups found by one scorer, largest first; `items` are all members besides the representatives."""

    name: str
    groups: int
    items: int
    shown: tuple[DuplicateGroup, ...]


@dataclass(frozen=True)
class Confusion:
    """Items whose label the scorer `name` doubts, by (given, suggested): `cells[i][j]` for `given[i]` and `suggested[j]`.

    Where there are too many labels the most frequent are shown and `left_out` items are not in the table.
    """

    name: str
    given: tuple[str, ...]
    suggested: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    total: int
    left_out: int
    gallery: Gallery
    caption: str = "given label (rows) → suggested label (columns)"


@dataclass(frozen=True)
class Balance:
    """Items per value of a column before and after, most frequent first; `others` sums the values not listed."""

    column: str
    values: tuple[tuple[str, int, int], ...]
    distinct: int
    others: tuple[int, int] = (0, 0)
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class TableColumn:
    """`type` is `number`, `text` or `status`."""

    name: str
    type: str


@dataclass(frozen=True)
class Table:
    """Rows as shown: numbers are float or int or None, all else strings. `note` says how they were sampled;
    `statuses` are those a row may have.
    """

    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    total: int
    note: str
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A list that may be cut: `total` items exist, by reason, and `rows` are the first of them under `head`."""

    title: str
    note: str
    total: int
    reasons: tuple[Reason, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A titled table of plain facts."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Provenance:
    """Where all of it comes from: facts as pairs, the recipe as YAML, tables of columns, selections and libraries."""

    facts: tuple[tuple[str, str], ...] = ()
    recipe: str = ""
    sections: tuple[Section, ...] = ()
