"""Which items are to be shown: a condition, a selection, a list of ids, or what came out of asking again."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.errors import InputError

__all__ = ["chosen_items"]


def chosen_items(store: Any, where: Any = None, ids: Any = None, within: str | None = None) -> Any:
    """The view of these items of a store, in the order of import.

    `where` is an expression over columns, the name of a selection, a selection, a view, or a list of ids; `ids` a list, an
    array, or a frame with a column `item` or `id` (such as `ask_again` gives); `within` the name of a selection.
    What is given must hold together. Raises InputError for ids that are not there.
    """
    view = where if hasattr(where, "batches") and hasattr(where, "within") else store.items
    if within is not None:
        view = view.within(within)
    if where is None or view is where:
        pass
    elif isinstance(where, str):
        known = view.snapshot.selections
        view = view.within(where) if where in known else view.where(where)
    elif hasattr(where, "name") and hasattr(where, "stats"):
        view = view.within(where.name)
    elif ids is None:
        ids = where
    else:
        raise InputError("a list of ids in `where` and another in `ids`: give one")
    return view if ids is None else _of_ids(view, ids)


def _of_ids(view: Any, ids: Any) -> Any:
    wanted = _listed(ids)
    there = {item: at for at, item in enumerate(view.to_arrow(["id"])["id"].to_pylist())}
    if strange := [item for item in wanted if item not in there]:
        shown = ", ".join(map(repr, strange[:3]))
        raise InputError(
            f"{len(strange)} of {len(wanted)} ids are not among the {len(there)} items: {shown}"
            f"{' ...' if len(strange) > 3 else ''}"
        )
    rows = np.array(sorted({there[item] for item in wanted}), np.int64)
    return view.at(view.seqs_at(rows))


def _listed(ids: Any) -> list[str]:
    names = getattr(ids, "column_names", None) or getattr(ids, "columns", None)
    if names is not None:
        column = next((n for n in ("item", "id") if n in list(names)), None)
        if column is None:
            raise InputError(
                f"a frame of ids has a column 'item' or 'id'; this one has {', '.join(map(str, names))}"
            )
        ids = ids[column]
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(ids, method):
            ids = getattr(ids, method)()
            break
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
        raise InputError(f"{ids!r} is no list of ids")
    return list(dict.fromkeys(str(item) for item in ids))
