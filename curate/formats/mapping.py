"""Which column of the source is which column of the kind: explicit when names differ, suggested when they are near."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from curate.errors import SchemaError, UnknownNameError
from curate.formats.rows import Asked, Hints
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
    """Our name -> the source's: `fields` for the columns of the kind, `extra` for the user's own; `id` if it has one."""

    kind: Kind
    fields: Mapping[str, str]
    extra: Mapping[str, str]
    id: str | None

    def hints(self) -> Hints:
        """What readers need to know of it."""
        images, sounds = (
            frozenset(self.fields[c] for c in self.kind.roles.get(role, ()) if c in self.fields)
            for role in ("image", "audio")
        )
        text = frozenset(self.fields.values()) | ({self.id} if self.id else set())
        return Hints(text=text, images=images, sounds=sounds)


def plan_columns(names: Sequence[str], asked: Asked, implied: Mapping[str, str]) -> Plan:
    """Decide every column's place. `columns` maps our names to the source's, and may rename the user's own columns too.

    Raises SchemaError where a required column is absent (with the argument to pass, where one is near) or where a
    name clashes, UnknownNameError for a column that the source has not.
    """
    kind, given = asked.kind, dict(asked.columns)
    own_id = given.pop("id", None)
    id_column = own_id if asked.id is None else asked.id
    for theirs in [*given.values(), *([id_column] if id_column else [])]:
        if theirs not in names:
            raise UnknownNameError("column of the source", theirs, names)
    id_column = id_column or ("id" if "id" in names and "id" not in given.values() else None)
    fields: dict[str, str] = {}
    for ours in kind.content:
        if ours in given:
            fields[ours] = given[ours]
        elif ours in names and ours not in given.values():
            fields[ours] = ours
        elif ours in implied and implied[ours] in names and implied[ours] not in given.values():
            fields[ours] = implied[ours]
    _check_required(names, kind, fields, given)
    used = {*fields.values(), *given.values(), id_column}
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
    return Plan(kind, fields, extra, id_column)


def _check_required(
    names: Sequence[str], kind: Kind, fields: Mapping[str, str], given: Mapping[str, str]
) -> None:
    missing = [name for name in kind.required if name not in fields]
    if kind.one_of and not any(name in fields for name in kind.one_of):
        missing.append(" or ".join(kind.one_of))
    if not missing:
        return
    # a column given to a name that the kind has not ("text" for "caption") may be the one that is missing
    ours = {name: theirs for name, theirs in given.items() if name in kind.content}
    found = suggest_columns(names, kind, fields, ours)
    kept = {name: theirs for name, theirs in given.items() if name in ours or theirs not in found.values()}
    what = " and ".join(missing)
    has = ", ".join(map(str, names[:40])) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
    one_of = any(name in found for name in kind.one_of)
    blank = {
        name.split(" or ")[0]: "<its name in the source>"
        for name in missing
        if name not in found and not (" or " in name and one_of)
    }
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
    wanted = [name for name in kind.required if name not in fields]
    for ours in wanted:
        near = _nearest(ours, kind, free)
        if near is not None:
            found[ours] = near
            free.remove(near)
    if kind.one_of and not any(name in fields or name in found for name in kind.one_of):
        for ours in kind.one_of:
            near = _nearest(ours, kind, free)
            if near is not None:
                found[ours] = near
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
