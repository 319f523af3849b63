"""Questions as a file that people edit: one item a line, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curate.counting import counted
from curate.errors import InputError
from curate.scorers.alignment.vqa.questions import QUESTIONS, read_questions

__all__ = ["load_questions", "save_questions"]


class _Asked(BaseModel):
    """One question, as a person may write it."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1)
    answer: str | None = "yes"
    type: str | None = None
    depends: list[int] | None = []
    element: str | None = None


class _Line(BaseModel):
    """The questions of one item."""

    model_config = ConfigDict(extra="forbid")

    id: str
    questions: list[_Asked] | None = None


def save_questions(
    path: str | os.PathLike[str], ids: Sequence[str], questions: pa.Array | pa.ChunkedArray
) -> None:
    """Writes ids and a column of questions as JSON Lines: `{"id": "a", "questions": [{"question": ..., ...}]}`.

    An existing file is replaced whole. Raises InputError for lengths that differ, SchemaError for another type.
    """
    column = questions.combine_chunks() if isinstance(questions, pa.ChunkedArray) else questions
    read_questions(column)  # for the error alone
    if len(ids) != len(column):
        raise InputError(f"{counted(len(ids), 'id')} and {counted(len(column), 'list')} of questions")
    lines = [
        json.dumps({"id": id_, "questions": asked}, ensure_ascii=False)
        for id_, asked in zip(ids, column.to_pylist(), strict=True)
    ]
    target = Path(path)
    part = target.with_name(target.name + ".part")
    part.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    part.replace(target)


def load_questions(path: str | os.PathLike[str]) -> pa.Table:
    """A table of `id` and `questions` (see `QUESTIONS`) from such a file, as people left it; empty lines do not count.

    Ready to be attached to a store. Raises InputError naming the line: no JSON, an unknown or missing field, an id that
    is there twice, a question that depends on one that is not there or on itself in a circle.
    """
    rows: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"questions cannot be read from {str(path)!r}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = _Line.model_validate_json(line, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise InputError(f"{path}, line {number}: {where}: {first['msg']}") from None
        if read.id in numbers:
            raise InputError(
                f"{path}, line {number}: id {read.id!r} stands in line {numbers[read.id]} as well"
            )
        numbers[read.id] = number
        rows.append(read.model_dump())
    table = pa.Table.from_pylist(rows, schema=pa.schema([("id", pa.string()), ("questions", QUESTIONS)]))
    faults = read_questions(table.column("questions").combine_chunks()).faults() if rows else []
    for row, fault in zip(rows, faults, strict=True):
        if fault is not None and fault != "no questions":
            raise InputError(f"{path}, line {numbers[row['id']]}: {fault}, counted from 0")
    return table
