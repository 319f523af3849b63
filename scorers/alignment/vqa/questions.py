"""The column of questions: what is asked about an image, what is expected, and what rests on what.

    list<struct<question: string, answer: string, type: string, depends: list<int32>, element: string>>

`answer` is what is expected ("yes" where it is null or the field is absent), `type` is free (object, color, counting,
...), `depends` are the positions, from 0, of the questions in the same list that must hold first, `element` is what of
the text is asked about (reports shade it); every field but the first may be absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import SchemaError
from curate.scorers.alignment.vqa.measures import find_circles

__all__ = ["QUESTIONS", "Questions", "read_questions"]

QUESTIONS = pa.list_(
    pa.struct(
        [
            ("question", pa.string()),
            ("answer", pa.string()),
            ("type", pa.string()),
            ("depends", pa.list_(pa.int32())),
            ("element", pa.string()),
        ]
    )
)
"""The type of a column of questions."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Questions:
    """The questions of many items, one after another.

    `offsets` (n + 1,) says where each item begins; `asked` and `expected` (q,) strings, the latter without null;
    `depends` (q,) lists of positions within the item; `types` (q,) strings or null.
    """

    offsets: Ints
    asked: pa.StringArray
    expected: pa.StringArray
    depends: pa.ListArray
    types: pa.StringArray

    @cached_property
    def _links(self) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Rows (child, parent) over all questions, and which of them point outside their item."""
        counts = pc.list_value_length(self.depends).fill_null(0).to_numpy(zero_copy_only=False)
        children = np.repeat(np.arange(len(self.asked)), counts)
        positions = self.depends.flatten().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        items = np.searchsorted(self.offsets, children, side="right") - 1
        sizes = np.diff(self.offsets)[items] if len(items) else items
        outside = (positions < 0) | (positions >= sizes)
        return np.stack([children, positions + self.offsets[items]], 1), outside

    @property
    def edges(self) -> Ints:
        """Rows (child, parent), those that point outside their item left out."""
        links, outside = self._links
        return links[~outside]

    def faults(self) -> list[str | None]:
        """Per item, why its questions cannot be used; None where they can."""
        reasons: list[str | None] = [None] * (len(self.offsets) - 1)
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(self.asked)), 0).fill_null(True)
        links, outside = self._links
        faults = (
            (find_circles(self.edges, len(self.asked)), "rests on itself in a circle"),
            (
                np.isin(np.arange(len(self.asked)), links[outside, 0]),
                "depends on a question that is not there",
            ),
            (np.asarray(blank), "is empty"),
        )
        for mask, why in faults:
            for question in np.flatnonzero(mask)[::-1]:
                item = int(np.searchsorted(self.offsets, question, side="right")) - 1
                reasons[item] = f"question {question - self.offsets[item]} {why}"
        for none in np.flatnonzero(np.diff(self.offsets) == 0):
            reasons[none] = "no questions"
        return reasons


def read_questions(column: pa.Array, name: str = "questions") -> Questions:
    """A column of questions as flat arrays. A list of plain strings is read as questions whose answer is yes.

    Raises SchemaError where it is neither.
    """
    type_ = column.type
    is_list = any(
        test(type_) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    )
    if pa.types.is_null(type_):
        column, type_, is_list = pa.nulls(len(column), QUESTIONS), QUESTIONS, True
    if not is_list:
        raise SchemaError(f"column {name!r} is {type_}, and a list of questions is needed: {QUESTIONS}")
    counts = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    flat = column.flatten()
    if pa.types.is_struct(flat.type):
        asked = _field(flat, "question", pa.string(), name)
        expected = _field(flat, "answer", pa.string(), name, optional=True)
        types = _field(flat, "type", pa.string(), name, optional=True)
        depends = _field(flat, "depends", pa.list_(pa.int64()), name, optional=True)
    elif pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type) or pa.types.is_null(flat.type):
        asked = flat.cast(pa.string())
        expected = types = pa.nulls(len(flat), pa.string())
        depends = pa.nulls(len(flat), pa.list_(pa.int64()))
    else:
        raise SchemaError(f"column {name!r} is a list of {flat.type}, and questions are needed: {QUESTIONS}")
    return Questions(offsets, asked, expected.fill_null("yes"), depends, types)


def _field(
    flat: pa.StructArray, field: str, type_: pa.DataType, name: str, optional: bool = False
) -> pa.Array:
    found = flat.type.get_field_index(field)
    if found < 0:
        if optional:
            return pa.nulls(len(flat), type_)
        known = [flat.type.field(i).name for i in range(flat.type.num_fields)]
        raise SchemaError(
            f"column {name!r} has no field {field!r}, only {known}. Its type is to be {QUESTIONS}"
        )
    try:
        return pc.struct_field(flat, [found]).cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(
            f"column {name!r}: field {field!r} is {flat.type.field(found).type}: {error}"
        ) from error
