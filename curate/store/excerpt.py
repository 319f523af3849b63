"""What a worker must know of a snapshot to read a few columns of some item parts: small enough to travel with its task."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from curate.store.parts import ColumnSet, Part
from curate.store.snapshot import Snapshot


def excerpts(snapshot: Snapshot, columns: Iterable[str]) -> Callable[..., Snapshot]:
    """A function that gives, for item parts, the snapshot reduced to them and to `columns` (or roles) of them.

    A view over it reads those parts' rows as one over the whole would, and knows the same types: one part of each schema
    stays, and, of each set that gives vectors, one part that has them. Deleted items are not told: ask for live ones.
    """
    homes = {home.name: home for c in columns if (home := snapshot.column_home.get(c)) is not None}
    sets = {name: made for name, made in snapshot.sets.items() if name in homes}
    telling = _telling(snapshot, sets.values())

    def of(*bases: Part) -> Snapshot:
        items = sorted({p.part_id: p for p in (*telling, *bases)}.values(), key=lambda p: p.seq_lo)
        places = [(made.digest, part.part_id) for made in sets.values() for part in items]
        aligned = {place: snapshot.aligned[place] for place in places if place in snapshot.aligned}
        return Snapshot(snapshot.version, tuple(items), (), aligned, sets, selections={}, selection_parts={})

    return of


def files_of(snapshot: Snapshot, base: Part) -> list[Part]:
    """The item part and the parts beside it: the files that reading its rows may open."""
    return [base, *(p for (_, of), parts in snapshot.aligned.items() if of == base.part_id for p in parts)]


def _telling(snapshot: Snapshot, sets: Iterable[ColumnSet]) -> list[Part]:
    """The first part of each kind and schema, and the first with vectors of each set."""
    digests = [made.digest for made in sets]
    seen: set[object] = set()
    found = []
    for part in snapshot.items:
        given = [
            d for d in digests for p in snapshot.aligned.get((d, part.part_id), ()) if p.table == "vector"
        ]
        tells = {(part.kind, part.schema), *given}
        if not tells <= seen:
            found.append(part)
            seen |= tells
    return found
