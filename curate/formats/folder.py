"""Folders of images or sounds: texts beside them, in a metadata table, or in the names of subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.formats.locate import absolute, fingerprint_files, folder_of, is_url, suffix_of
from curate.formats.rows import Asked, Chunk, Hints, Rejection
from curate.formats.sidecars import TABLES, SidecarTexts, TableTexts, Texts
from curate.kinds import Kind
from curate.media.address import has_range

__all__ = ["AUDIO_SUFFIXES", "IMAGE_SUFFIXES", "FolderReader", "is_medium"]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
)
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au"})
_SPLITS = ("train", "test", "val", "valid", "validation", "dev")


def suffix_plain(name: str) -> str:
    """The lower-case suffix as it is written; os.path.splitext takes three times as long."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") + 1 else ""


def is_medium(name: str) -> bool:
    """Whether the name says image or sound."""
    return suffix_plain(name) in IMAGE_SUFFIXES or suffix_plain(name) in AUDIO_SUFFIXES


class FolderReader:
    """One row for each image or sound (and each of its texts, where a table gives several), in order of path.

    Texts come from `texts` (a table, or the suffix of sidecars); else from `metadata.{csv,tsv,jsonl,parquet}` in the
    folder; else from sidecars `x.txt`, `x.json` beside `x.jpg`. For kind `label` without these, the subfolder is the
    label, and a first folder called train, test and the like becomes the column `split`.
    `path` (relative) can be mapped to any column or used as id.
    """

    def __init__(
        self,
        root: str | None,
        files: Sequence[str],
        facts: Sequence[os.stat_result | None],
        asked: Asked,
    ) -> None:
        kind, columns = asked.kind, asked.columns
        self.root = (root or _common_folder(files)).rstrip("/")
        self._files = list(files)
        self._facts = facts or None
        names = [file[len(self.root) + 1 :] for file in files]
        self._media = {
            column: [n for n in names if suffix_plain(n) in s] for column, s in _wanted(kind).items()
        }
        self._media = {column: found for column, found in self._media.items() if found}
        if not self._media:
            raise InputError(
                f"{self.root} holds no {' or '.join(_wanted(kind)) or 'media'} files for kind {kind.name!r}"
            )
        self._table: str | None = None
        self._texts = self._find_texts(names, asked)
        # Where the user says which column of the table names the file, that name is the address's.
        key = self._texts.key if isinstance(self._texts, TableTexts) else None
        self._called = {c: key if key and columns.get(c) == key else c for c in self._media}
        own = self._called.values()
        self._names = [*own, *(n for n in self._texts.names if n not in own)]
        given = {"label", *kind.sets} & set(columns)
        self._labels = "label" in kind.content and "label" not in self._texts.names and not given
        self._labels = self._labels and not self._texts.gives(kind, "label")
        if self._labels and any("/" in n for found in self._media.values() for n in found):
            self._names += ["label"] + (["split"] if self._splits() else [])
        _check_texts(kind, self._names, columns, self.root)
        if asked.names("path") and "path" not in self._names:
            self._names.append("path")

    def _find_texts(self, names: Sequence[str], asked: Asked) -> Texts:
        texts = asked.texts
        media = sorted(name for found in self._media.values() for name in found)
        if texts is not None:
            given = os.fspath(texts)
            beside = absolute(f"{self.root}/{given}")
            table = beside if _is_file(beside) else absolute(given)
            if suffix_of(given) not in TABLES and not (suffix_of(given) == ".json" and _is_file(table)):
                # a suffix: "txt", ".txt", ".caption"
                return SidecarTexts(self.root, names, media, asked, suffix="." + given.lstrip("."))
            self._table = table
        else:
            found = [name for name in names if name in {f"metadata{suffix}" for suffix in TABLES}]
            if len(found) > 1:
                raise InputError(f"{self.root} holds {' and '.join(found)}: say which with texts=")
            self._table = f"{self.root}/{found[0]}" if found else None
        if self._table is not None:
            return TableTexts(self._table, media, asked)
        return SidecarTexts(self.root, names, media, asked)

    def _splits(self) -> bool:
        firsts = [n.split("/")[0].lower() for found in self._media.values() for n in found]
        return all(first in _SPLITS for first in firsts)

    @property
    def names(self) -> list[str]:
        """Media columns, the columns of the texts, and what folder names give."""
        return self._names

    @property
    def implied(self) -> Mapping[str, str]:
        """The texts' column plays the kind's text where there is no doubt."""
        return self._texts.implied

    def describe(self) -> str:
        """One line for logs."""
        size = sum(map(len, self._media.values()))
        return f"{self.root}, {counted(size, ' and '.join(self._media) + ' file')}"

    def fingerprint(self) -> str | None:
        """Changes when any file under the folder does, or the table of texts."""
        own = fingerprint_files(self._files, self._facts)
        if own is None or self._table is None or self._table in self._files:
            return own
        table = fingerprint_files([self._table])
        return None if table is None else own + table

    def chunks(self, rows: int, hints: Hints) -> Iterator[Chunk]:
        """Batches of at most `rows` rows."""
        items = sorted((name, column) for column, found in self._media.items() for name in found)
        numbered = list(enumerate(items))
        for start in range(0, len(numbered), rows):
            yield self._chunk(numbered[start : start + rows], "path" in self._names)
        lost = self._texts.unused()
        if lost:
            empty = pa.table({name: pa.nulls(0, pa.string()) for name in self._names})
            yield Chunk(empty, np.zeros(0, np.int64), self.root, self.root, lost)

    def _chunk(self, items: Sequence[tuple[int, tuple[str, str]]], with_path: bool) -> Chunk:
        rejected: list[Rejection] = []
        good = []
        for number, (name, column) in items:
            problem = _unaddressable(name)
            if problem:
                rejected.append(Rejection(self.root, number, "unaddressable", problem, {column: name}))
            else:
                good.append((number, name, column))
        # A file may have several texts: `source` says which of the files each row belongs to.
        table, source = self._texts.take(
            [name for _, name, _ in good], rejected, [number for number, _, _ in good]
        )
        rows = [good[i] for i in source.tolist()]
        columns: dict[str, Any] = {}
        for column in self._media:
            columns[self._called[column]] = pa.array(
                [f"{self.root}/{n}" if c == column else None for _, n, c in rows], pa.string()
            )
        for name in table.column_names:
            if name not in columns:
                columns[name] = table.column(name)
        if self._labels and "label" in self._names:
            columns["label"] = pa.array(
                [folder_of(n).rpartition("/")[2] if "/" in n else None for _, n, _ in rows]
            )
            if "split" in self._names:
                columns["split"] = pa.array([n.split("/")[0].lower() for _, n, _ in rows], pa.string())
        if with_path:
            columns["path"] = pa.array([n for _, n, _ in rows], pa.string())
        numbers = np.fromiter((number for number, _, _ in rows), np.int64, len(rows))
        return Chunk(pa.table({n: columns[n] for n in self._names}), numbers, self.root, self.root, rejected)


def _is_file(place: str) -> bool:
    return not is_url(place) and Path(place).is_file()


def _wanted(kind: Kind) -> dict[str, frozenset[str]]:
    """Media columns of the kind and the suffixes of their files."""
    images = dict.fromkeys(kind.roles.get("image", ()), IMAGE_SUFFIXES)
    return images | dict.fromkeys(kind.roles.get("audio", ()), AUDIO_SUFFIXES)


def _common_folder(files: Sequence[str]) -> str:
    parts = [folder_of(file).split("/") for file in files]
    same = 0
    while all(len(p) > same and p[same] == parts[0][same] for p in parts):
        same += 1
    return "/".join(parts[0][:same])


def _unaddressable(name: str) -> str | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the file's name is not UTF-8: rename it"
    if has_range(name):
        return "the file's name ends like a byte range (#bytes=...): rename it"
    return None


def _check_texts(kind: Kind, names: Sequence[str], columns: Mapping[str, str], root: str) -> None:
    """Raise SchemaError with what to do where no file would have the text or label its kind needs."""
    there = {*kind.media, *names, *columns}
    needed = [those[0] for those in kind.needed.values() if not there & set(those)]
    if not needed or len(names) > len(kind.media):
        return  # what the texts' columns are called is for the mapping to say
    if "label" in needed:
        raise SchemaError(
            f"{root}: no labels found: put the files of each class into a folder of its own, or a metadata.csv with "
            "the columns file_name and label (or labels, where a file has several) into the folder, or name a table with "
            "texts="
        )
    raise SchemaError(
        f"{root}: no {' or '.join(needed)} found: put x.txt beside x.jpg, or a metadata.csv with the columns file_name "
        f"and {needed[0]} into the folder, or name a table with texts="
    )
