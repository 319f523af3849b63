"""Items in groups, wherever the pieces of a view are: which groups there are, and of each the rows with the lowest keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.choosing import ceilings, places_to_ask
from curate.contracts import Held, View
from curate.selectors.threshold.order import ViewIds, ascending, numbers
from curate.selectors.threshold.uniform import hash_ids, keys_of_hashes

__all__ = [
    "PIECE",
    "Candidates",
    "GroupedPiece",
    "Groups",
    "Merged",
    "SomeIds",
    "bin_numbers",
    "drawn_groups",
    "lowest_rows",
]

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[Any]

PIECE = 1 << 18
"""Rows, about, of a piece."""


class Groups(NamedTuple):
    """The groups of a piece: `values` (g rows), one column each of what they agree in, and how many items each has."""

    values: pa.Table
    sizes: Ints


class Candidates(NamedTuple):
    """Rows of the view, their keys and their groups."""

    rows: Ints
    keys: Keys
    groups: Ints


@dataclass(eq=False)
class _Ordered:
    """Items by group and key: `at` (m,) places in the piece, their `keys`, and where each group begins, (g + 1,)."""

    at: Ints
    keys: Keys
    starts: Ints

    def heads(self, places: Ints) -> Keys:
        """The keys at these places of each group (g, h), the highest there can be where it has fewer."""
        at = self.starts[:-1, None] + places - 1
        there = at < self.starts[1:, None]
        most = np.inf if self.keys.dtype.kind == "f" else np.iinfo(self.keys.dtype).max
        found = np.full(places.shape, most, self.keys.dtype)
        found[there] = self.keys[at[there]]
        return found

    def upto(self, most: Keys) -> Ints:
        """Where the keys are that are no higher than `most` (g,) of their group."""
        return np.flatnonzero(self.keys <= np.repeat(most, np.diff(self.starts)))


@dataclass(eq=False)
class _Unordered:
    """The same of a single group of which few are asked for: not sorted for that."""

    at: Ints
    keys: Keys

    def heads(self, places: Ints) -> Keys:
        found = np.full(places.shape, np.iinfo(self.keys.dtype).max, self.keys.dtype)
        there = places <= len(self.keys)
        found[there] = np.partition(self.keys, places[there] - 1)[places[there] - 1]
        return found

    def upto(self, most: Keys) -> Ints:
        return np.flatnonzero(self.keys <= most[0])


@dataclass(eq=False)
class GroupedPiece:
    """A piece of a view: items that agree in the columns `by`, with random keys drawn by `seed`, or keys that put the highest
    value of the expression `prefer` first; items without one are left out. A second draw, by `seed + 1`, is for comparison.
    Told to `group` before it is asked."""

    by: tuple[str, ...]
    seed: int
    prefer: str | None
    piece: View
    first: int
    order: dict[str, _Ordered | _Unordered] = field(default_factory=dict)

    def group(self, cuts: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Find the groups; columns of numbers with `cuts` agree where they are between the same two of them."""
        import polars as pl

        table = self.piece.to_arrow(["id", *(name for name in self.by if name != "id")])
        for name, edges in cuts.items():
            binned = pa.array(bin_numbers(numbers(table.column(name), name).astype(np.float64), edges))
            table = table.set_column(table.column_names.index(name), name, binned)
        frame = pl.DataFrame(pl.from_arrow(table.select(list(self.by))))
        groups = frame.unique(maintain_order=True).with_row_index("_group")
        joined = frame.join(groups, on=list(self.by), how="left", nulls_equal=True, maintain_order="left")
        codes = joined["_group"].to_numpy().astype(np.int64)
        hashes = hash_ids(table.column("id"))
        usable, chance = np.arange(len(codes)), keys_of_hashes(hashes, self.seed + 1)
        if self.prefer:
            keys: Keys = -numbers(self.piece.compute(self.prefer), self.prefer)
            usable = np.flatnonzero(~np.isnan(keys))
        else:
            keys = keys_of_hashes(hashes, self.seed)
        self.order = {
            "own": _order(keys, codes, usable, len(groups)),
            "chance": _Unordered(usable, chance[usable]),
        }
        self.codes, self.values = codes, groups.drop("_group").to_arrow()

    def groups(self) -> Groups:
        """What groups there are."""
        return Groups(self.values, np.bincount(self.codes[self.order["own"].at], minlength=len(self.values)))

    def heads(self, which: str, places: Ints) -> Keys:
        """Keys that tell how far to look (`curate.choosing.ceilings`)."""
        return self.order[which].heads(places)

    def upto(self, which: str, most: Keys) -> Candidates:
        """The rows with keys that are no higher than `most` of their group; the groups are those of the piece."""
        ordered = self.order[which]
        within = ordered.upto(most)
        at = ordered.at[within]
        return Candidates(at + self.first, ordered.keys[within], self.codes[at])


def _order(keys: Keys, codes: Ints, usable: Ints, groups: int) -> _Ordered:
    at = usable[np.argsort(keys[usable], kind="stable")]
    at = at[np.argsort(codes[at].astype(np.min_scalar_type(groups)), kind="stable")]
    return _Ordered(at, keys[at], np.searchsorted(codes[at], np.arange(groups + 1)))


def bin_numbers(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> Ints:
    """Bins from 1 on, equal values in one; 0 where there is none."""
    return np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="left"))


@dataclass(frozen=True, eq=False)
class Merged:
    """Groups of all pieces as one: `code` of each piece's groups, and how many items each of all has, `sizes` (h,)."""

    codes: Sequence[Ints]
    sizes: Ints

    @classmethod
    def of(cls, groups: Sequence[Groups], code: Callable[[pa.Table], Ints]) -> Merged:
        """`code` numbers the rows of a table that has all the pieces' groups, the same for the same, from 0."""
        if not groups:
            return cls([], np.zeros(0, np.int64))
        codes = code(pa.concat_tables([one.values for one in groups]))
        sizes = np.concatenate([one.sizes for one in groups])
        parts = np.split(codes, np.cumsum([len(one.sizes) for one in groups])[:-1])
        return cls(parts, np.bincount(codes, sizes).astype(np.int64))


def lowest_rows(held: Held, merged: Merged, quotas: Ints) -> Candidates:
    """Of each group of all `GroupedPiece`s at least the rows with the lowest keys, as many as `quotas` (h,) says, and few more."""
    return _candidates(held, "own", (merged.codes, quotas), merged.codes)


def drawn_groups(held: Held, merged: Merged, count: int, view: View) -> Ints:
    """The groups of so many items that are drawn at random from all."""
    one = [np.zeros(1, np.int64) for _ in merged.codes]
    found = _candidates(held, "chance", (one, np.array([count])), merged.codes)
    return found.groups[ascending(found.keys, SomeIds(view, found.rows), count)]


def _candidates(
    held: Held, which: str, wanted: tuple[Sequence[Ints], Ints], codes: Sequence[Ints]
) -> Candidates:
    """`wanted`: which group of all each group of a piece is, where keys are counted, and how many are wanted of each."""
    (own, quotas), nothing = wanted, np.zeros(0, np.int64)
    if not len(own):
        return Candidates(nothing, nothing.astype(np.uint64), nothing)
    places = places_to_ask(quotas, len(own))
    heads = held.ask_some("heads", {i: (which, places[mine]) for i, mine in enumerate(own)})
    most = _ceilings([heads[i] for i in range(len(own))], own, places, quotas)
    found = held.ask_some("upto", {i: (which, most[mine]) for i, mine in enumerate(own)})
    parts = [(one.rows, one.keys, codes[i][one.groups]) for i, one in found.items()]
    return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _ceilings(heads: Sequence[Keys], own: Sequence[Ints], places: Ints, quotas: Ints) -> Keys:
    dtype = heads[0].dtype
    top = np.inf if dtype.kind == "f" else np.iinfo(dtype).max
    spread = []
    for mine, values in zip(own, heads, strict=True):
        one = np.full(places.shape, top, dtype)
        one[mine] = values
        spread.append(one)
    return ceilings(spread, places, quotas)


@dataclass(frozen=True, eq=False)
class SomeIds:
    """Ids of some rows of a view, by their place among these."""

    view: View
    rows: Ints

    def take(self, indices: pa.Array) -> Any:
        """Ids at these places."""
        return ViewIds(self.view).take(pa.array(self.rows[indices.to_numpy()], pa.int64()))
