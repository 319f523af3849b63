"""Which column of the source is which column of the kind: explicit when names differ, suggested when they are near."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from curate.errors import SchemaError, UnknownNameError
from curate.formats.rows import Asked, Hints
from curate.formats.sets import find_marks
from curate.kinds import Kind

__all__ = ["Plan", "media_facts", "plan_columns", "suggest_columns"]

_RESERVED = ("id", "seq", "rank", "weight", "gain", "reason")
_FACTS = {
    "image": ("sha256", "bytes", "width", "height"),
    "audio": ("sha256", "bytes", "seconds", "rate", "channels"),
}
_PANDAS_INDEX = "__index_level_"


@dataclass(frozen=True)
class Plan:
    """Our name -> the source's: `fields` for the columns of the kind, `extra` for the user's own; `id` if it has one.

    `marks` are labels and the columns that say yes or no to them, where these were named in place of one column of sets.
    `asked` are our names that were asked for.
    """

    kind: Kind
    fields: Mapping[str, str]
    extra: Mapping[str, str]
    id: str | None
    marks: Mapping[str, str] = field(default_factory=dict)
    asked: Collection[str] = ()

    def hints(self) -> Hints:
        """What readers need to know of it."""
        images, sounds = (
            frozenset(self.fields[c] for c in self.kind.roles.get(role, ()) if c in self.fields)
            for role in ("image", "audio")
        )
        written = {
            theirs for ours, theirs in self.fields.items() if ours in self.asked or ours not in self.kind.sets
        }
        text = frozenset(written) | ({self.id} if self.id else set())
        sets = frozenset(self.fields[c] for c in self.kind.sets if c in self.fields and self.plays(c))
        return Hints(text=text, sets=sets, images=images, sounds=sounds)

    def plays(self, sets: str) -> bool:
        """Whether a column of sets holds the labels of all items: it was asked for, or there is none of single labels."""
        return sets in self.asked or "label" not in self.fields


def plan_columns(names: Sequence[str], asked: Asked, implied: Mapping[str, str]) -> Plan:
    """Decide every column's place. `columns` maps our names to the source's, and may rename the user's own columns too.

    Raises SchemaError where a required column is absent (with the argument to pass, where one is near) or where a
    name clashes, UnknownNameError for a column that the source has not.
    """
    kind, given = asked.kind, dict(asked.columns)
    own_id = given.pop("id", None)
    id_column = own_id if asked.id is None else asked.id
    marks = _marks(names, kind, given)
    for ours, theirs in [*given.items(), *([("id", id_column)] if id_column else [])]:
        if theirs not in names and not (marks and ours in kind.sets):
            raise UnknownNameError("column of the source", theirs, names)
    id_column = id_column or ("id" if "id" in names and "id" not in given.values() else None)
    fields: dict[str, str] = {}
    for ours in kind.columns:
        if ours in given:
            fields[ours] = given[ours]
        elif ours in names and ours not in given.values():
            fields[ours] = ours
        elif ours in implied and implied[ours] in names and implied[ours] not in given.values():
            fields[ours] = implied[ours]
    _check_required(names, kind, fields, given)
    used = {*fields.values(), *given.values(), *marks.values(), id_column}
    extra = {ours: theirs for ours, theirs in given.items() if ours not in fields}
    for name in names:
        if name in used or name.startswith(_PANDAS_INDEX):
            continue
        if name in extra or name in fields:
            raise SchemaError(
                f"two columns would be called {name!r}: the source's own, and {(extra | fields)[name]!r} by "
                f"columns={_write(given)}. Give the source's another name: "
                f"columns={_write({**given, f'source_{name}': name})}"
            )
        extra[name] = name
    _check_names(extra, fields, kind)
    return Plan(kind, fields, extra, id_column, marks, tuple(given))


def _marks(names: Sequence[str], kind: Kind, given: Mapping[str, str]) -> dict[str, str]:
    """Label -> its column, where columns of yes and no are named in place of one column of sets."""
    for ours in kind.sets:
        if ours in given and given[ours] not in names:
            return find_marks(names, given[ours])
    return {}


def _check_required(
    names: Sequence[str], kind: Kind, fields: Mapping[str, str], given: Mapping[str, str]
) -> None:
    missing = [those for those in kind.needed.values() if not set(those) & set(fields)]
    if not missing:
        return
    # a column given to a name that the kind has not ("text" for "caption") may be the one that is missing
    ours = {name: theirs for name, theirs in given.items() if name in kind.columns}
    found = suggest_columns(names, kind, fields, ours)
    kept = {name: theirs for name, theirs in given.items() if name in ours or theirs not in found.values()}
    what = " and ".join(" or ".join(those) for those in missing)
    has = ", ".join(map(str, names[:40])) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
    blank = {those[0]: "<its name in the source>" for those in missing if not set(those) & set(found)}
    advice = (
        f"Did you mean columns={_write({**kept, **found, **blank})}?"
        if found
        else f"Say which column it is with columns={_write(blank)}"
    )
    if not names:
        raise SchemaError(f"the source has no rows and no columns; items of kind {kind.name!r} need {what}")
    raise SchemaError(
        f"no column {what}, which items of kind {kind.name!r} need. The source has: {has}. {advice}"
    )


def suggest_columns(
    names: Sequence[str], kind: Kind, fields: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """Ours -> theirs for what is still missing, judged by case, known other names, and spelling; never applied."""
    free = [name for name in names if name not in fields.values() and name not in given.values()]
    found: dict[str, str] = {}
    for those in kind.needed.values():
        if set(those) & set(fields):
            continue
        for ours in those:
            near = _nearest(ours, kind, free)
            if near is not None:
                found[ours] = near
                free.remove(near)
                break
    return found


def _nearest(ours: str, kind: Kind, names: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    for candidate in (ours, *kind.aliases.get(ours, ())):
        if candidate in names:
            return candidate
        if candidate.lower() in lower:
            return lower[candidate.lower()]
    close = difflib.get_close_matches(ours, list(lower), n=1, cutoff=0.75)
    return lower[close[0]] if close else None


def _check_names(extra: Mapping[str, str], fields: Mapping[str, str], kind: Kind) -> None:
    reserved = {*_RESERVED, *media_facts(kind, kind.media), *(f"{column}_data" for column in kind.media)}
    _check_reserved({ours: theirs for ours, theirs in extra.items() if ours.lower() in reserved})
    seen: dict[str, str] = {name.lower(): name for name in fields}
    for ours, theirs in extra.items():
        if not ours:
            raise SchemaError(f"the source's column {theirs!r} needs a name: {_rename('column', theirs)}")
        if ours.startswith("_"):
            raise SchemaError(
                f"column {ours!r}: names that start with an underscore are the store's own. Give it another: "
                f"{_rename(ours.strip('_') or 'column', theirs)}"
            )
        if ours.lower() in seen:
            raise SchemaError(
                f"columns {seen[ours.lower()]!r} and {ours!r} differ in case only, which SQL does not tell apart. "
                f"Give one another name: {_rename(f'{ours}_2', theirs)}"
            )
        seen[ours.lower()] = ours


def _check_reserved(taken: Mapping[str, str]) -> None:
    if not taken:
        return
    one = len(taken) == 1
    what = f"column{'' if one else 's'} {', '.join(map(repr, taken))}"
    other = _write({f"source_{ours}": theirs for ours, theirs in taken.items()})
    raise SchemaError(
        f"{what}: the store and its exports use {'that name' if one else 'these names'} themselves. Give "
        f"{'it another' if one else 'them others'}: columns={other}; or, if this comes from an export, import its folder, "
        "of which such columns are left out"
    )


def media_facts(kind: Kind, columns: Collection[str]) -> list[str]:
    """The columns in which an import notes what it finds out about these columns of media: `image_width`, ..."""
    return [
        f"{column}_{fact}"
        for role, facts in _FACTS.items()
        for column in kind.roles.get(role, ())
        if column in columns
        for fact in facts
    ]


def _rename(ours: str, theirs: str) -> str:
    return f"columns={_write({ours: theirs})}"


def _write(columns: Mapping[str, str]) -> str:
    return json.dumps(dict(columns), ensure_ascii=False)
