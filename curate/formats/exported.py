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
from curate.formats.locate import is_url
from curate.formats.manifest import MANIFEST, read_manifest
from curate.formats.mapping import media_facts
from curate.formats.rows import Asked
from curate.kinds import Kind

__all__ = ["Exported", "find_export"]

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

    def own(self, names: Sequence[str], kind: Kind) -> list[str]:
        """The columns without the facts about media, which every import finds out anew, and without what members of tars
        say a second time."""
        again = _MEMBERS - self.columns if self.format == "webdataset" else frozenset[str]()
        return [name for name in names if name not in again and name not in media_facts(kind, kind.media)]

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


def find_export(folder: str) -> Exported | None:
    """The export that a local folder is; None where it holds no manifest of ours."""
    if is_url(folder) or not (Path(folder) / MANIFEST).is_file():
        return None
    try:
        manifest = read_manifest(folder)
    except InputError:
        return None  # another tool's file of that name
    files = [str(file["path"]) for file in manifest["files"] if file.get("rows") is not None]
    place = folder.rstrip("/")
    columns = frozenset(str(column["name"]) for column in manifest.get("columns", ()))
    return Exported(str(manifest["format"]), place, tuple(f"{place}/{n}" for n in sorted(files)), columns)
