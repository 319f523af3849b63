"""Build a scorer or selector for a set of rows: parameters checked, `auto` resolved, what it needs made first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from curate import registry
from curate.contracts import column_name, digest
from curate.errors import InputError, SchemaError, UnknownNameError
from curate.kinds import KINDS, ROLES
from curate.recipe.model import ScoreStep
from curate.store import ColumnSet, Part, Snapshot, StoreView

SETS = "labels"
"""The column that holds several labels of an item."""

_CHOOSES = "Items with sets of labels can be chosen by their scores, as top by multilabel_errors does"
_JUDGES = (
    "Of sets of labels multilabel-errors says which are wrong and which are lacking, missing-labels makes soft labels, "
    "label-probs predicts each label for both, ldr-loss learns them, and positive-unlabelled takes one of the labels by itself"
)


class Columns(Protocol):
    """What a component has to go on: the columns and kinds of a view, or those that there will be."""

    @property
    def columns(self) -> Sequence[str]: ...
    def kinds(self) -> tuple[str, ...]: ...


class Homes(Protocol):
    """Which column set gives each column, None for those of the items: a snapshot knows, or what is foreseen."""

    @property
    def column_home(self) -> Mapping[str, ColumnSet | None]: ...


def configure(group: str, name: str, params: Mapping[str, Any], view: Columns) -> Any:
    """A configured component, settled for this data."""
    return settle(registry.build(group, name, params), view)


def settle(component: Any, view: Columns) -> Any:
    """A component for this data: one that has `resolve(columns, kind)` decides there what `auto` means."""
    if not hasattr(component, "resolve"):
        return component
    kinds = view.kinds()
    return component.resolve(view.columns, kinds[0] if kinds else "")


def supply(component: Any, view: StoreView, make: Callable[[ScoreStep], object]) -> None:
    """See to it that every column a component needs is there for every row, new ones included.

    A column that a scorer gave is brought up to date by that scorer, as it was configured; a missing one is made by the
    scorer of that name with its defaults. `make(step)` runs one. UnknownNameError for a column that nothing gives.
    """
    homes = view.snapshot.column_home
    for need in component.needs:
        home = homes.get(need)
        if home is not None and home.scorer in registry.names("scorers"):
            alias = None if home.name == column_name(home.scorer) else home.name
            make(ScoreStep.model_validate({"score": home.scorer, "with": dict(home.params), "as": alias}))
        elif not has(view, need):
            giver = giver_of(need)
            if giver is None:
                refuse(component, need, view)
            else:
                with made_for(component, need):
                    make(ScoreStep.model_validate({"score": giver}))


def has(view: Columns, need: str) -> bool:
    """Whether a view has this column, or one that plays this role for its kinds: texts with labels have no image."""
    if need in view.columns:
        return True
    playing = {column for kind in view.kinds() for column in KINDS[kind].roles.get(need, ())}
    return need in ROLES and bool(playing & set(view.columns))


def applies(component: Any, part: Part, snapshot: Snapshot) -> bool:
    """Whether the items of a part have what a component needs: speech has no image, whatever other items have."""
    roles = KINDS[part.kind].roles if part.kind else {}
    own = set(part.arrow_schema().names)
    return all(need in own or need in roles or snapshot.column_home.get(need) for need in component.needs)


def giver_of(column: str) -> str | None:
    """The registered scorer whose main column this is: `phash` is given by `phash`, `clip_score` by `clip-score`."""
    name = column.replace("_", "-")
    return name if name in registry.names("scorers") else None


def refuse(component: Any, need: str, view: Columns) -> None:
    """Say that a component needs what is not there. Raises SchemaError for a role, UnknownNameError for a column."""
    name = component.name
    who_reads = _CHOOSES if hasattr(component, "select") else _JUDGES
    check_single(name, need, view, f". {who_reads}{_another(component, need)}")
    if need in ROLES:
        kinds = ", ".join(view.kinds()) or "no items at all"
        raise SchemaError(
            f"{name} needs {need}, which these items do not have (they are: {kinds}){_another(component, need)}"
        )
    hint = f"{name} needs it: import it, attach it from a file, or run the scorer that gives it"
    if need == "answers":
        hint += "; of answers that were recorded `gather_answers` (curate annotate gather) makes it"
    raise UnknownNameError("column", need, view.columns, hint=f"{hint}{_another(component, need)}.")


def check_single(name: str, column: str, view: Columns, hint: str = "") -> None:
    """Raises SchemaError where a column of single labels is meant, and items have sets of labels in its place."""
    if column == "label" and column not in view.columns and SETS in view.columns:
        raise SchemaError(
            f"{name} needs one label of each item, and these items have several (the column {SETS!r}){hint}"
        )


@contextmanager
def made_for(component: Any, need: str) -> Iterator[None]:
    """Say whose need it was where a column cannot be made of these items, and how to name another column."""
    try:
        yield
    except InputError as error:
        if type(error) not in (InputError, SchemaError):
            raise  # it names what is unknown or wrong by itself
        raise type(error)(
            f"{component.name} needs the column {need!r}, and {error}{_another(component, need)}"
        ) from error


def _another(component: Any, need: str) -> str:
    """How to name another column in place of this one; nothing where no parameter says it."""
    for field in dataclasses.fields(component) if dataclasses.is_dataclass(component) else ():
        value = getattr(component, field.name)
        if value == need or (isinstance(value, tuple) and need in value):
            encoders = (
                ", as sound_embedding of sounds or minilm of texts" if need == "pixel_embedding" else ""
            )
            return f"; or name another column by the parameter {field.name!r}{encoders}"
    return ""


def columns_digest(snapshot: Snapshot, columns: Sequence[str]) -> str:
    """Identity of the values in these columns: which scorer gave them, and its live parts. Scans nothing."""
    homes = {home.digest for column in columns if (home := snapshot.column_home.get(column))}
    parts = sorted(
        i
        for (owner, _), parts in snapshot.aligned.items()
        if owner in homes
        for p in parts
        for i in p.originals
    )
    return digest(sorted(homes), parts)


def rows_by_part(view: StoreView, snapshot: Snapshot) -> Iterator[tuple[Part, Any]]:
    """Item parts that hold rows of a view, with the rows' numbers within the part."""
    seqs = np.sort(view.seqs())
    for part in snapshot.items:
        low, high = np.searchsorted(seqs, [part.seq_lo, part.seq_lo + part.rows])
        if high > low:
            yield part, seqs[low:high] - part.seq_lo
