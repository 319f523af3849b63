"""Which items are meant: by an expression, by a selection, by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from curate.counting import counted
from curate.errors import InputError

__all__ = ["chosen_items", "rows_of", "why_not"]

ROWS = 2048
"""So many rows are held as Python objects at once."""


def chosen_items(
    store: Any, *, where: str | None = None, within: Any = None, ids: Iterable[Any] | None = None
) -> Any:
    """The view of a store's items for which all that is given holds: an expression, a stored selection (or its name), ids.

    `ids` may be a column of a frame. Raises InputError where an id is no item, or nothing is left; what the store raises
    for an expression or a name.
    """
    view = store.items
    if ids is not None:
        wanted = list(dict.fromkeys(str(id) for id in ids))
        place = {id: row for row, id in enumerate(view.to_arrow(["id"]).column(0).to_pylist())}
        if unknown := [id for id in wanted if id not in place]:
            raise InputError(
                f"{len(unknown):,} of {counted(len(wanted), 'id')} are no items of {store!r}, such as "
                f"{unknown[0]!r}"
            )
        view = view.at(view.seqs()[np.array(sorted(place[id] for id in wanted), np.int64)])
    if within is not None:
        view = view.within(within if isinstance(within, str) else within.name)
    if where is not None:
        view = view.where(where)
    if not len(view):
        raise InputError("no item is meant: nothing is left of what was asked for")
    return view


def rows_of(view: Any, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The rows of a view as mappings, a few at a time."""
    for batch in view.batches(list(columns), ROWS):
        yield from batch.to_pylist()


def why_not(error: Exception, item: Any) -> str:
    """What an error says of an item, without its name: the same reason for all of which it holds."""
    return str(error).replace(f"item {item!r} ", "the item ")
