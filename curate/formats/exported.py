"""A folder that `export` wrote, as a source of items: its manifest says which files hold rows, and which columns are not
the data's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from curate.errors import InputError
from curate.formats.locate import find_files, is_url
from curate.formats.manifest import MANIFEST, read_manifest
from curate.formats.mapping import media_facts
from curate.formats.rows import Asked

__all__ = ["Exported", "find_export"]

DEPTH = 2
"""Folders above a file of an export in which its manifest may lie."""

_SELECTION = ("rank", "weight", "gain", "reason")
_MEMBERS = frozenset({"txt", "cls", "label.txt"})
_GUARDED = r"^'('*[=+\-@\t\r\n])"


@dataclass(frozen=True)
class Exported:
    """What is known of an export before its rows are read: its `format`, its `folder`, the `files` that hold the rows."""

    format: str
    folder: str
    files: tuple[str, ...]
    columns: frozenset[str]

    def own(self, names: Sequence[str], asked: Asked) -> list[str]:
        """The columns without the facts about media, which every import finds out anew, and without what members of tars
        say a second time; but with all that are asked for by name."""
        again = _MEMBERS - self.columns if self.format == "webdataset" else frozenset[str]()
        left_out = {*again, *media_facts(asked.kind, asked.kind.media)} - set(asked.columns.values())
        return [name for name in names if name not in left_out]

    def renamed(self, names: Sequence[str], asked: Asked) -> Asked:
        """What is asked, with the columns of the selection that was exported as `selection_rank` and so on."""
        taken = {*asked.columns, *asked.columns.values()}
        more = {f"selection_{name}": name for name in _SELECTION if name in names and name not in taken}
        return replace(asked, columns={**asked.columns, **more})

    def plain(self, table: pa.Table) -> pa.Table:
        """The texts as they were before CSV guarded them against spreadsheets."""
        if self.format != "csv":
            return table
        for at, field in enumerate(table.schema):
            if pt.is_string(field.type) and not field.name.startswith("_"):
                values = pc.replace_substring_regex(table.column(at), _GUARDED, r"\1")
                table = table.set_column(at, field, values)
        return table


def find_export(source: str) -> Exported | None:
    """The export that a local folder is, or that a file, a glob or a folder within one is part of, with those files alone;
    None where no manifest of ours lists them."""
    if is_url(source):
        return None
    place = Path(source)
    for folder in (place, *list(place.parents)[:DEPTH]):
        if (folder / MANIFEST).is_file():
            found = _read_export(folder)
            return found if found is None or folder == place else _part(found, place)
    return None


def _read_export(folder: Path) -> Exported | None:
    try:
        manifest = read_manifest(folder)
    except InputError:
        return None  # another tool's file of that name
    files = [str(file["path"]) for file in manifest["files"] if file.get("rows") is not None]
    columns = frozenset(str(column["name"]) for column in manifest.get("columns", ()))
    return Exported(
        str(manifest["format"]), str(folder), tuple(f"{folder}/{n}" for n in sorted(files)), columns
    )


def _part(export: Exported, place: Path) -> Exported | None:
    """The files of an export that are meant; None where others are, too."""
    try:
        meant = (
            [str(file) for file in place.rglob("*") if file.is_file()]
            if place.is_dir()
            else find_files(str(place))
        )
    except InputError:
        return None  # that there is nothing is told by who reads it
    if export.format == "datasets" and set(meant) <= set(export.files) and meant:
        raise InputError(
            f"{place} is a part of the saved dataset {export.folder}, which is read as a whole: import that folder"
        )
    return replace(export, files=tuple(sorted(meant))) if meant and set(meant) <= set(export.files) else None
