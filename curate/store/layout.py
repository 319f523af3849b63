"""Where each column of each part of a snapshot lies: in the item file, in a file aligned to it, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import role_of
from curate.errors import SchemaError, UnknownNameError
from curate.kinds import KINDS, ROLES
from curate.store.excerpt import excerpts
from curate.store.parts import ColumnSet, NewPart, Part
from curate.store.snapshot import Snapshot

Place = Literal["item", "aligned", "vector", "role", "none"]


class Home(Protocol):
    """What a view needs of its store."""

    @property
    def path(self) -> Path: ...
    def resolve(self, uris: pa.Array) -> pa.Array: ...
    def bring(self, parts: Iterable[NewPart]) -> None:
        """See to it that the files of these parts are there."""


def resolve_inside(root: Path, uris: Any) -> Any:
    """Addresses (an array or chunked array) with `store:` replaced by the folder `root`; others, and nulls, stay."""
    texts = uris.cast(pa.string())
    inside = pc.starts_with(texts, "store:")
    moved = pc.binary_join_element_wise(f"{root}/", pc.utf8_slice_codeunits(texts, len("store:")), "")
    return pc.if_else(inside, moved, texts)


def packs_named(uris: Any) -> set[str]:
    """Names of the packs of a store that addresses point into."""
    found = pc.extract_regex(
        pc.drop_null(uris.cast(pa.string())), r"^store:blobs/(?P<name>[0-9a-f]{32})\.pack"
    )
    return set(pc.unique(pc.struct_field(pc.drop_null(found), "name")).to_pylist())


@dataclass(frozen=True, slots=True)
class Source:
    """Where one column of one item part lies.

    `place`   item: column `index` of the item file; aligned: of the Parquet file `file`; vector: of the Arrow file
              `file`; role: the columns `joined` of the item file, joined by newlines; none: null for every row.
    `owner`   digest of the column set that gives it.
    """

    place: Place
    file: Part | None = None
    index: int = -1
    type: pa.DataType | None = None
    owner: str = ""
    joined: tuple[int, ...] = ()

    def signature(self) -> tuple[object, ...]:
        """Equal for parts whose SQL for this column differs in nothing but the file's name."""
        schema = self.file.schema if self.file is not None else b""
        return (self.place, self.index, self.owner, self.joined, schema)


NOWHERE = Source("none")
_NO_ITEMS = pa.schema([("id", pa.string())])


@lru_cache(maxsize=4096)
def file_schema(serialised: bytes) -> pa.Schema:
    """The schema of a file, parsed once: a store has thousands of parts and a handful of schemas."""
    return pa.ipc.read_schema(pa.py_buffer(serialised))


@lru_cache(maxsize=4096)
def _positions(serialised: bytes) -> Mapping[str, int]:
    return {name: i for i, name in enumerate(file_schema(serialised).names)}


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type that a column has in a view: encodings (dictionary, large and view variants) are taken off."""
    if pa.types.is_dictionary(type_):
        return plain_type(type_.value_type)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_):
        return pa.binary()
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(plain_type(type_.value_type))
    return type_


def holds_texts(type_: pa.DataType) -> bool:
    """Whether a column of this type holds lists of texts, as sets of labels are."""
    return bool(pa.types.is_list(type_) and pa.types.is_string(type_.value_type))


def _is_numbers(type_: pa.DataType) -> bool:
    """Whether a column of this type is kept as vectors: a list of numbers."""
    types = pa.types
    if not (types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_)):
        return False
    return bool(types.is_floating(type_.value_type) or types.is_integer(type_.value_type))


class Layout:
    """The columns of a snapshot, and where to find them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    @cached_property
    def homes(self) -> Mapping[str, ColumnSet | None]:
        """Every column -> the set that gives it; None for a column of the items themselves."""
        homes: dict[str, ColumnSet | None] = dict.fromkeys(self._item_schema.names)
        for column_set in self.snapshot.sets.values():
            homes.update(dict.fromkeys(column_set.schema().names, column_set))
        return homes

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns, hidden ones included: id, the kinds' columns, other item columns, then what scorers gave."""
        items = {f.name: f for f in self._item_schema}
        first = [
            "id",
            *(f.name for kind in self.snapshot.kinds() for f in KINDS[kind].fields if kind in KINDS),
        ]
        names = dict.fromkeys([*(n for n in first if n in items), *items])
        given = [f for s in self.snapshot.sets.values() for f in self._set_fields(s)]
        overridden = {f.name for f in given}
        return pa.schema([*(items[n] for n in names if n not in overridden), *given])

    @cached_property
    def visible(self) -> pa.Schema:
        """The columns a person sees: those whose name does not begin with an underscore."""
        return pa.schema([f for f in self.schema if not f.name.startswith("_")])

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Roles that a kind that is present plays and that are not columns by themselves."""
        played = {r for kind in self.snapshot.kinds() if kind in KINDS for r in KINDS[kind].roles}
        return tuple(r for r in ROLES if r in played and r not in self.homes)

    @cached_property
    def media(self) -> frozenset[str]:
        """Columns (and roles) that hold addresses of images or sounds."""
        present = [KINDS[kind] for kind in self.snapshot.kinds() if kind in KINDS]
        return frozenset(c for kind in present for c in kind.media) | ({"image", "audio"} & set(self.roles))

    @cached_property
    def excerpt(self) -> Callable[..., Snapshot]:
        """The snapshot reduced to some item parts (`excerpts`), all columns."""
        return excerpts(self.snapshot, self.homes)

    def field(self, name: str) -> pa.Field:
        """The field of a column or role; UnknownNameError, with the nearest, where there is none."""
        index = self.schema.get_field_index(name)
        if index >= 0:
            return self.schema.field(index)
        if name in self.roles:
            return pa.field(name, pa.string(), metadata={"curate.role": "detail"})
        raise UnknownNameError("column", name, [*self.visible.names, *self.roles])

    def source(self, part: Part, name: str) -> Source:
        """Where `name` (a column or role, already known to exist) lies for the rows of `part`."""
        home = self.homes.get(name)
        if home is not None:
            return self._aligned(part, name, home)
        positions = _positions(part.schema)
        if name in positions:
            return Source("item", part, positions[name], file_schema(part.schema).field(positions[name]).type)
        joined = KINDS[part.kind].roles.get(name, ()) if part.kind in KINDS else ()
        found = tuple(positions[c] for c in joined if c in positions)
        return Source("role", part, type=pa.string(), joined=found) if found else NOWHERE

    def is_vector(self, name: str) -> bool:
        """Whether the column is kept in memory-mapped Arrow files, out of DuckDB's sight."""
        home = self.homes.get(name)
        return home is not None and (name, home.digest) in self._vector_columns

    def given(self, column_set: ColumnSet, part: Part) -> tuple[Part, ...]:
        """The files that hold what `column_set` gave for the rows of `part`; empty where it was not run."""
        return tuple(self.snapshot.aligned.get((column_set.digest, part.part_id), ()))

    @cached_property
    def _vector_columns(self) -> Mapping[tuple[str, str], pa.DataType]:
        """(column, set digest) -> type as written, for columns kept in Arrow files or declared as vectors."""
        found: dict[tuple[str, str], pa.DataType] = {}
        for column_set in self.snapshot.sets.values():
            declared = {f.name: f.type for f in column_set.schema() if role_of(f) == "vector"}
            lists = {n: t for n, t in declared.items() if _is_numbers(t)}
            found.update({(n, column_set.digest): t for n, t in lists.items()})
            for part in self.snapshot.items if lists else ():
                written = [
                    f
                    for p in self.given(column_set, part)
                    if p.table == "vector"
                    for f in file_schema(p.schema)
                ]
                found.update({(f.name, column_set.digest): f.type for f in written})
                if written:
                    break
        return found

    def _set_fields(self, column_set: ColumnSet) -> list[pa.Field]:
        written = self._vector_columns
        return [f.with_type(written.get((f.name, column_set.digest), f.type)) for f in column_set.schema()]

    def _aligned(self, part: Part, name: str, home: ColumnSet) -> Source:
        for file in self.given(home, part):
            index = _positions(file.schema).get(name, -1)
            if index >= 0:
                place: Place = "vector" if file.table == "vector" else "aligned"
                return Source(place, file, index, file_schema(file.schema).field(index).type, home.digest)
        return NOWHERE

    @cached_property
    def _item_schema(self) -> pa.Schema:
        schemas = [file_schema(s) for s in dict.fromkeys(p.schema for p in self.snapshot.items)]
        plain = [pa.schema([f.with_type(plain_type(f.type)) for f in s]) for s in schemas]
        try:
            return pa.unify_schemas(plain or [_NO_ITEMS], promote_options="permissive")
        except pa.ArrowException as error:
            raise SchemaError(
                f"item parts disagree about the type of a column: {error}. Import such data under another column name."
            ) from error
