"""Several labels of an item, however a source writes them, as lists of strings: each label once, in the order given."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from curate.errors import SchemaError, UnknownNameError
from curate.formats.arrays import Bad, plain, to_text

__all__ = ["SETS", "find_marks", "laid_out", "marked", "to_sets"]

SETS = pa.list_(pa.string())
_MARKS = ("|", ";")
"""What separates labels in one text. A comma is none: labels have commas of their own."""

_VECTOR = (
    "if its numbers are yes and no, one a class, write the names of the classes that hold, or keep each class in a "
    'column of its own and name these: columns={"labels": "cat, dog"}'
)


def to_sets(column: pa.ChunkedArray, theirs: str) -> tuple[pa.Array, Bad]:
    """A column as lists of strings. An empty list is a set; a missing one is null.

    Lists may be of texts or whole numbers. A text is a JSON list, or labels separated by `|` or `;`. What is no set is
    null and reported: a null or an empty text among the labels, a text that is cut at commas alone.
    Raises SchemaError for a column of single values, of lists of yes and no, or of anything else.
    """
    array = plain(column)
    if pt.is_null(array.type):
        return pa.nulls(len(array), SETS), {}
    if pt.is_string(array.type):
        return _from_texts(array)
    if not (pt.is_list(array.type) or pt.is_fixed_size_list(array.type)):
        raise SchemaError(
            f"column {theirs!r} is to be 'labels' but holds {array.type}: lists are meant, or texts such as 'cat|dog'. "
            f'If it is the one label of each item: columns={{"label": "{theirs}"}}'
        )
    return _from_lists(array, theirs)


def _from_texts(array: pa.Array) -> tuple[pa.Array, Bad]:
    """Each distinct text is read once."""
    text, bad = to_text(array)
    coded = pc.dictionary_encode(pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text))
    read = [_read(text) for text in coded.dictionary.to_pylist()]
    sets = pa.array([None if isinstance(one, str) else one for one in read], SETS)
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    wrong = np.array([isinstance(one, str) for one in read] + [False])
    bad |= {int(row): ("type", str(read[codes[row]])) for row in np.flatnonzero(wrong[codes])}
    lists, found = _from_lists(sets.take(coded.indices), "labels")
    return lists, found | bad


def _read(text: str) -> list[str | None] | str:
    """The labels that a text names, or why it names none."""
    if text.lstrip().startswith("["):
        return _read_list(text.strip())
    if text.lstrip().startswith("{"):
        return f"holds {text[:80]!r}, an object: a list of labels is meant"
    mark = next((mark for mark in _MARKS if mark in text), None)
    if mark is None and "," in text:
        return f"holds {text[:80]!r}: a comma may be part of a label. Separate labels by | or ;, or write a JSON list"
    return [label for label in map(str.strip, text.split(mark) if mark else [text]) if label]


def _read_list(text: str) -> list[str | None] | str:
    """JSON, or a list as Python writes it."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, list) and all(
            one is None or (isinstance(one, (str, int)) and not isinstance(one, bool)) for one in found
        ):
            return [one if one is None else str(one) for one in found]
    return f'holds {text[:80]!r}, which is no list of labels: JSON such as ["cat", "dog"] is meant'


def _from_lists(array: pa.Array, theirs: str) -> tuple[pa.Array, Bad]:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    owner, values = np.repeat(np.arange(len(array)), lengths), plain(pc.list_flatten(array))
    _check_type(values.type, array.type, theirs)
    text, found = to_text(values)
    bad: Bad = {}
    for at, (code, reason) in found.items():
        bad.setdefault(int(owner[at]), (code, f"has a label that {reason}"))
    for row in np.unique(owner[np.asarray(text.is_null(), bool)]).tolist():
        bad.setdefault(row, ("type", "has a null among its labels"))
    for row in np.unique(owner[np.asarray(pc.equal(text, "").fill_null(False), bool)]).tolist():
        bad.setdefault(row, ("type", "has an empty text among its labels"))
    first = _first_of_each(owner, text)
    if len(first) < len(owner):
        if not pt.is_string(values.type):
            row = int(owner[np.setdiff1d(np.arange(len(owner)), first)[0]])
            raise SchemaError(
                f"column {theirs!r} holds lists of numbers with the same number twice, as {array[row].as_py()}: no set of "
                f"labels; {_VECTOR}"
            )
        owner, text = owner[first], text.take(pa.array(first))
    keep = np.asarray(array.is_valid(), bool)
    keep[list(bad)] = False
    held = keep[owner]
    return laid_out(text.filter(pa.array(held)), np.bincount(owner[held], minlength=len(array)), keep), bad


def _check_type(inner: pa.DataType, whole: pa.DataType, theirs: str) -> None:
    if pt.is_boolean(inner) or pt.is_floating(inner):
        raise SchemaError(
            f"column {theirs!r} is to be 'labels' but holds {whole}, no names of labels: {_VECTOR}"
        )
    if not (pt.is_string(inner) or pt.is_integer(inner) or pt.is_null(inner)):
        raise SchemaError(f"column {theirs!r} is to be 'labels' but holds {whole}: lists of texts are meant")


def _first_of_each(owner: npt.NDArray[np.int64], text: pa.Array) -> npt.NDArray[np.int64]:
    """Places of the labels without those that their list has named before."""
    codes = pc.dictionary_encode(text).indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    _, first = np.unique(owner * (int(codes.max(initial=0)) + 2) + codes, return_index=True)
    return np.sort(first)


def laid_out(values: pa.Array, lengths: npt.NDArray[Any], there: Any) -> pa.ListArray:
    """Labels laid end to end, cut into a list a row; null where nothing is `there` (n,) bool."""
    there = np.asarray(there, bool)
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    mask = pa.array(~there) if len(there) else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=SETS, mask=mask)


# --- A column for each label -----------------------------------------------------------------------------------------


def find_marks(names: Sequence[str], asked: str) -> dict[str, str]:
    """Label -> the column that says yes or no to it, for what is asked in place of one column: names of columns, or
    patterns with one `*`, separated by commas. A label is what the star stands for, or else the column's name.

    Raises UnknownNameError for what no column is called like, SchemaError where two columns stand for one label.
    """
    found: dict[str, str] = {}
    for part in map(str.strip, asked.split(",")):
        pattern = part.replace("[", "[[]")
        hits = [part] if part in names else [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            raise UnknownNameError("column of the source", part, names)
        before, _, after = part.partition("*")
        for name in hits:
            label = name if name == part else name[len(before) : len(name) - len(after)]
            if found.setdefault(label, name) != name:
                raise SchemaError(f"columns {found[label]!r} and {name!r} both stand for the label {label!r}")
    return found


def marked(table: pa.Table, marks: Mapping[str, str]) -> tuple[pa.Array, Bad]:
    """The labels whose columns say yes, row by row, in the order of the columns: 1, true and yes, or 0, false and no.

    A row in which one of them says neither is null and reported.
    """
    bad: Bad = {}
    held = np.zeros((table.num_rows, len(marks)), bool)
    for place, theirs in enumerate(marks.values()):
        text, _ = to_text(plain(table.column(theirs)))
        lower = pc.fill_null(pc.utf8_lower(text), "nothing")
        yes, no = (
            pc.is_in(lower, pa.array(words)).to_numpy(zero_copy_only=False)
            for words in (["1", "true", "yes"], ["0", "false", "no"])
        )
        held[:, place] = yes
        for row in np.flatnonzero(~yes & ~no).tolist():
            bad.setdefault(
                row, ("type", f"cannot be told: {theirs!r} is {text[row].as_py()!r}, neither 0 nor 1")
            )
    there = np.ones(table.num_rows, bool)
    there[list(bad)] = False
    held &= there[:, None]
    names = pa.array(list(marks), pa.string()).take(pa.array(np.nonzero(held)[1]))
    return laid_out(names, held.sum(1), there), bad
