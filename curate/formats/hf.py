"""Hugging Face datasets, in memory or saved: nothing is decoded, class numbers become class names."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from curate.counting import counted
from curate.errors import InputError, require
from curate.formats.arrays import cast_column, plain, unify_types
from curate.formats.locate import fingerprint_files, walk_folder
from curate.formats.rows import Chunk, Hints, slice_table
from curate.formats.sets import laid_out

__all__ = ["DatasetReader", "dataset_reader", "saved_reader"]

_READ = 1024


class DatasetReader:
    """Rows of one dataset, or of several splits with their name in the column `split`."""

    implied: Mapping[str, str] = {}

    def __init__(
        self, splits: Mapping[str, Any], what: str, base: str, *, named: bool, folder: str | None = None
    ) -> None:
        self._splits, self._what, self._base, self._named, self._folder = splits, what, base, named, folder
        for name, split in splits.items():
            if named and "split" in split.column_names:
                raise InputError(
                    f"split {name!r} has a column 'split' of its own: rename it with rename_column first"
                )

    @property
    def names(self) -> list[str]:
        """Columns of all splits, and `split`."""
        found = list(dict.fromkeys(c for split in self._splits.values() for c in split.column_names))
        return [*found, "split"] if self._named else found

    def describe(self) -> str:
        """One line for logs."""
        return f"{self._what} of {counted(sum(split.num_rows for split in self._splits.values()), 'row')}"

    def fingerprint(self) -> str | None:
        """That of the files of a saved dataset, else the one that `datasets` keeps."""
        if self._folder is not None:
            listing = walk_folder(self._folder)
            return fingerprint_files(
                [f"{self._folder}/{name}" for name, _ in listing], [stat for _, stat in listing]
            )
        marks = [getattr(split, "_fingerprint", None) for split in self._splits.values()]
        return None if None in marks else "+".join(cast("list[str]", marks))

    def chunks(self, rows: int, hints: Hints) -> Iterator[Chunk]:
        """Batches of at most `rows` rows and roughly 128 MB."""
        types = self._types(hints)
        for name, split in self._splits.items():
            source = f"{self._what}[{name}]" if self._named else self._what
            at = 0
            plain_split = split.with_format("arrow")
            for start in range(0, split.num_rows, min(rows, _READ) if hints.media else rows):
                stop = min(start + (min(rows, _READ) if hints.media else rows), split.num_rows)
                table = self._fit(plain_split[start:stop], split, types, (name, hints))
                for _, piece in slice_table(table, rows):
                    numbers = np.arange(at, at + len(piece), dtype=np.int64)
                    at += len(piece)
                    yield Chunk(piece, numbers, source, self._base)

    def _types(self, hints: Hints) -> dict[str, pa.DataType]:
        """One type for each column over all splits, class names counted as text."""
        types: dict[str, pa.DataType] = {}
        for split in self._splits.values():
            for field in split.features.arrow_schema:
                named = _class_names(split.features[field.name], field.name in hints.sets) is not None
                single = pa.list_(pa.string()) if field.name in hints.sets else pa.string()
                type_ = single if named else plain(pa.nulls(0, field.type)).type
                types[field.name] = unify_types(types.get(field.name, pa.null()), type_)
        return types

    def _fit(
        self, table: pa.Table, split: Any, types: Mapping[str, pa.DataType], known: tuple[str, Hints]
    ) -> pa.Table:
        name, hints = known
        columns: dict[str, pa.Array] = {}
        for column, type_ in types.items():
            if column not in table.column_names:
                columns[column] = pa.nulls(len(table), type_)
                continue
            names = _class_names(split.features[column], column in hints.sets)
            array = plain(table.column(column))
            columns[column] = cast_column(array, type_) if names is None else _name_classes(array, names)
        if self._named:
            columns["split"] = pa.repeat(name, len(table))
        return pa.table({n: columns[n] for n in self.names})


def _class_names(feature: Any, several: bool = False) -> Sequence[str] | None:
    """The names of the classes that a feature counts, or with `several` a list of it does."""
    if several:
        feature = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    names = getattr(feature, "names", None)
    return cast("Sequence[str]", names) if type(feature).__name__ == "ClassLabel" and names else None


def _name_classes(array: pa.Array, names: Sequence[str]) -> pa.Array:
    """-1 is how `datasets` writes an unknown class: null. A number without a name stays a number. Lists stay lists."""
    if pt.is_list(array.type) or pt.is_fixed_size_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        return laid_out(_name_classes(plain(pc.list_flatten(array)), names), lengths, array.is_valid())
    numbers = array.cast(pa.int64())
    inside = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, len(names)))
    found = pa.array(list(names), pa.string()).take(pc.if_else(inside, numbers, pa.scalar(None, pa.int64())))
    rest = pc.if_else(pc.equal(numbers, -1), pa.scalar(None, pa.string()), numbers.cast(pa.string()))
    return pc.if_else(inside, found, rest)


def dataset_reader(source: Any) -> DatasetReader | None:
    """A reader for `datasets.Dataset` and `DatasetDict`; None for anything else."""
    datasets = sys.modules.get("datasets")
    if datasets is None:
        return None
    if isinstance(source, datasets.DatasetDict):
        return DatasetReader(dict(source), "datasets.DatasetDict", _here(), named=True)
    if isinstance(source, datasets.Dataset):
        return DatasetReader({"all": source}, "datasets.Dataset", _here(), named=False)
    if isinstance(source, (datasets.IterableDataset, datasets.IterableDatasetDict)):
        raise InputError(
            "a streaming dataset cannot be read twice: load it without streaming=True, or save it first"
        )
    return None


def saved_reader(folder: str) -> DatasetReader:
    """A reader for a folder that `save_to_disk` wrote. Raises MissingExtraError, or InputError if it is none."""
    datasets: Any = require("datasets", "hf")
    try:
        saved = datasets.load_from_disk(folder)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise InputError(f"{folder} cannot be read as a saved dataset: {error}") from error
    if isinstance(saved, datasets.DatasetDict):
        return DatasetReader(dict(saved), folder, folder, named=True, folder=folder)
    return DatasetReader({"all": saved}, folder, folder, named=False, folder=folder)


def _here() -> str:
    from pathlib import Path

    return str(Path.cwd())
