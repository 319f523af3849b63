"""EvalMuse-40K's files of human ratings: read as a table, written back; its messy types of elements made twelve.

    table = read("train_list.json")
    store.add(table, kind="image-text", columns={"image": "img_path", "caption": "prompt"})

with the folder that holds the images as the current one.

Each entry is an image made for a prompt, with one overall rating (1 to 5) and one yes or no for each element of the
prompt by each annotator. Schema: the data set's card and its authors' code (arXiv 2412.18150).
"""

from __future__ import annotations

import ast
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import InputError, SchemaError
from curate.formats.files import read_text

__all__ = ["ELEMENT_TYPES", "SCHEMA", "element_type", "read", "split_element", "write"]

ELEMENT_TYPES = (
    "attribute",
    "location",
    "color",
    "object",
    "material",
    "spatial",
    "animal/human",
    "food",
    "shape",
    "activity",
    "other",
    "counting",
)
"""The groups in which EvalMuse-40K reports accuracy."""

_SAME = {
    "animal": "animal/human",
    "human": "animal/human",
    "person": "animal/human",
    "people": "animal/human",
    "human/animal": "animal/human",
    "colour": "color",
    "count": "counting",
    "number": "counting",
    "attributes": "attribute",
    "objects": "object",
    "activities": "activity",
    "action": "activity",
    "spatial relation": "spatial",
    "others": "other",
}

_VOTES = pa.list_(pa.float64())
_ELEMENT = pa.struct(
    [
        ("element", pa.string()),
        ("name", pa.string()),
        ("type", pa.string()),
        ("votes", _VOTES),
        ("mean", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("img_path", pa.string()),
        ("generator", pa.string()),
        ("type", pa.string()),
        ("total_score", _VOTES),
        ("score", pa.float64()),
        ("element_score", pa.list_(_ELEMENT)),
        ("prompt_meaningless", _VOTES),
        ("split_confidence", _VOTES),
        ("attribute_confidence", _VOTES),
        ("fidelity_label", pa.list_(pa.string())),
        ("problem", pa.string()),
    ]
)
"""What `read` gives. `id` is `img_path`, with #2, #3 ... where a file lists an image again; `generator` the folder in it;
`total_score` one rating from 1 to 5 of each annotator and `score` their mean; `element_score` for each element its key as
written, its name, its type as one of `ELEMENT_TYPES`, the annotators' yes (1) or no (0), and their mean: null where not
published (test split). `prompt_meaningless` 1: too abstract to be judged. `split_confidence` 1: the split into elements
may be wrong. `attribute_confidence` 0: the annotator was unsure. `problem` says what of a row could not be read and is
null therefore."""

_FLAGS = ("prompt_meaningless", "split_confidence", "attribute_confidence")
_THEIRS = {"prompt_meaningless": "promt_meaningless"}  # the data set's own spelling


def element_type(written: str) -> str:
    """One of `ELEMENT_TYPES`: lower case, cut at the first "-", known variants merged; "other" for what is unknown.

    `object-vehicle` is an object, `Attribute-style-artist/works ` an attribute, `animal` animal/human.
    """
    plain = " ".join(written.lower().partition("-")[0].split())
    plain = _SAME.get(plain, plain)
    return plain if plain in ELEMENT_TYPES else "other"


def split_element(key: str) -> tuple[str, str]:
    """Name and type as written of a key like `guitar (object)`: what is before the last "(" and in it; "" without."""
    name, bracket, rest = key.rpartition("(")
    if not bracket:
        return key.strip(), ""
    return name.strip(), rest.rpartition(")")[0].strip() if ")" in rest else rest.strip()


def read(source: str | os.PathLike[str] | Iterable[Mapping[str, Any]]) -> pa.Table:
    """The ratings in a file (JSON: a list, or an object of entries by any key; or JSON lines), or in its entries.

    Lists may be written as strings, numbers as strings, a mean in place of a list; elements by name, or as a list of
    objects; unknown keys are left out. A field that makes no sense is null in its row, and `problem` says why.
    Raises InputError where there is no such file, it is no JSON, or an entry is no object; SchemaError where an entry
    has no prompt or no img_path.
    """
    if not isinstance(source, (str, os.PathLike, Iterable)):
        raise InputError(
            f"{source!r} holds no ratings: a path, or entries with prompt and img_path, are meant"
        )
    where = str(source) if isinstance(source, (str, os.PathLike)) else "the entries given"
    entries = _load(source) if isinstance(source, (str, os.PathLike)) else list(source)
    rows, seen = [], dict[str, int]()
    for i, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise InputError(
                f"{where}: entry {i} is {type(entry).__name__}, and an object with prompt and img_path is needed"
            )
        row = _row(entry, i, where)
        seen[row["img_path"]] = times = seen.get(row["img_path"], 0) + 1
        row["id"] = row["img_path"] if times == 1 else f"{row['img_path']}#{times}"
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write a table of `SCHEMA` as EvalMuse-40K's JSON, its spelling included: `read` gives the same table again.

    Whole numbers are written as such. Raises SchemaError for missing columns, InputError where `problem` is set: that
    row is not what its annotators said.
    """
    missing = [
        name for name in ("prompt_id", "prompt", "img_path", "total_score") if name not in table.column_names
    ]
    if missing:
        raise SchemaError(f"no column {', '.join(missing)}: a table as `read` gives it is needed")
    entries = []
    for i, row in enumerate(table.to_pylist()):
        if row.get("problem"):
            raise InputError(f"row {i} ({row['img_path']}): {row['problem']}. Mend it, or leave it out")
        entries.append(_entry(row))
    with Path(path).open("w", encoding="utf-8") as file:
        json.dump(entries, file, ensure_ascii=False, indent=1)


def _load(path: str | os.PathLike[str]) -> list[Any]:
    text = read_text(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        try:
            found = [json.loads(line) for line in text.split("\n") if line.strip()]
        except json.JSONDecodeError:
            raise InputError(f"{path} is no JSON: {error}") from error
    if isinstance(found, dict):
        return [found] if "img_path" in found else list(found.values())
    if not isinstance(found, list):
        raise InputError(f"{path} holds one {type(found).__name__}: a list of entries is needed")
    return found


def _row(entry: Mapping[str, Any], i: int, where: str) -> dict[str, Any]:
    problems: list[str] = []
    for name in ("prompt", "img_path"):
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise SchemaError(f"{where}: entry {i} has no {name}; it has {', '.join(map(str, entry))}")
    row: dict[str, Any] = {name: entry[name] for name in ("prompt", "img_path")}
    row["prompt_id"] = None if entry.get("prompt_id") is None else str(entry["prompt_id"])
    row["type"] = None if entry.get("type") is None else str(entry["type"])
    folder = row["img_path"].replace("\\", "/").strip("/").rpartition("/")[0]
    row["generator"] = folder.rpartition("/")[2] or None
    row["total_score"] = _votes(entry.get("total_score"), (1, 5), "total_score", problems)
    row["score"] = _mean(row["total_score"])
    row["element_score"] = _elements(entry.get("element_score"), problems)
    for name in _FLAGS:
        value = entry.get(_THEIRS.get(name, name), entry.get(name))
        row[name] = _votes(value, (0, 1), name, problems)
    row["fidelity_label"] = _labels(entry.get("fidelity_label"), problems)
    row["problem"] = "; ".join(problems) or None
    return row


def _parsed(value: Any) -> Any:
    """A list or mapping written as a string, as the value it stands for; anything else as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text in ("", "null", "None", "nan"):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def _votes(value: Any, bounds: tuple[int, int], what: str, problems: list[str]) -> list[float | None] | None:
    value = _parsed(value)
    if value is None:
        return None
    found: list[float | None] = []
    for one in value if isinstance(value, (list, tuple)) else [value]:
        number = _number(one)
        if number is None and one is not None:
            problems.append(f"{what}: {str(one)[:40]!r} is no number")
            return None
        if number is not None and not bounds[0] <= number <= bounds[1]:
            problems.append(f"{what}: {number:g} is not from {bounds[0]} to {bounds[1]}")
            return None
        found.append(number)
    return found


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _mean(votes: list[float | None] | None) -> float | None:
    known = [vote for vote in votes or () if vote is not None]
    return sum(known) / len(known) if known else None


def _elements(value: Any, problems: list[str]) -> list[dict[str, Any]] | None:
    value = _parsed(value)
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(one, Mapping) and "element" in one for one in value):
        value = {str(one["element"]): one.get("votes") for one in value}
    if not isinstance(value, Mapping):
        problems.append(f"element_score: {type(value).__name__} where elements and their votes are needed")
        return None
    found = []
    for key, votes in value.items():
        name, written = split_element(str(key))
        read_votes = _votes(votes, (0, 1), f"element {key!r}", problems)
        found.append(
            {
                "element": str(key),
                "name": name,
                "type": element_type(written),
                "votes": read_votes,
                "mean": _mean(read_votes),
            }
        )
    return found


def _labels(value: Any, problems: list[str]) -> list[str] | None:
    parsed = _parsed(value)
    if parsed is None:
        return None
    if isinstance(parsed, (list, tuple)):
        return [str(one) for one in parsed]
    return [str(value)]


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    elements = row.get("element_score")
    entry = {name: row.get(name) for name in ("prompt_id", "prompt", "type", "img_path")}
    entry["total_score"] = _whole(row["total_score"])
    entry["element_score"] = (
        None if elements is None else {one["element"]: _whole(one["votes"]) for one in elements}
    )
    for name in _FLAGS:
        entry[_THEIRS.get(name, name)] = _whole(row.get(name))
    entry["fidelity_label"] = row.get("fidelity_label")
    return entry


def _whole(votes: list[float | None] | None) -> list[float | int | None] | None:
    if votes is None:
        return None
    return [int(vote) if vote is not None and vote == int(vote) else vote for vote in votes]
