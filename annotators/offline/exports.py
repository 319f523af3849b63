"""What came back, whoever wrote it: Label Studio's JSON exports and snapshots, and lines of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.contracts import digest
from curate.errors import InputError

__all__ = ["Came", "Returned", "read_returned"]

LOSSY = (
    "It leaves out skips, drafts of edits and which pre-annotation was shown, and a field of the data named like a control "
    "overwrites the answer. Export as JSON"
)


@dataclass(frozen=True)
class Came:
    """One annotation that came back: `data` of its task as the file has it (None where it only has the key), `key`, and
    the annotation as Label Studio writes it."""

    key: str
    data: Mapping[str, Any] | None
    annotation: Mapping[str, Any]
    values: Mapping[str, Any] | None = None


@dataclass
class Returned:
    """Everything in a folder of answers: annotations, pre-annotations by id, how many answers are not to tasks of ours."""

    came: list[Came] = field(default_factory=list)
    predictions: dict[Any, Mapping[str, Any]] = field(default_factory=dict)
    foreign: int = 0


def read_returned(folder: Path) -> Returned:
    """All files below a folder, `.json` and `.jsonl`, in the order of their names.

    Raises InputError naming the file, and the row where that helps, for what cannot be read, for JSON_MIN, CSV and TSV
    (they lose answers), and for lines without what a line needs.
    """
    found = Returned()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        if path.suffix.lower() in (".csv", ".tsv"):
            raise InputError(f"{path} is {path.suffix[1:].upper()}, which loses answers. {LOSSY}")
        if path.suffix.lower() == ".json":
            _read_export(path, found)
        elif path.suffix.lower() in (".jsonl", ".ndjson"):
            _read_lines(path, found)
    return found


def _read_export(path: Path, found: Returned) -> None:
    try:
        read = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}. Was the download cut off?") from None
    tasks = read if isinstance(read, list) else [read]
    for row, task in enumerate(tasks):
        _take_task(task, f"{path}, task {row}", found)


def _take_task(task: Any, where: str, found: Returned) -> None:
    if not isinstance(task, Mapping):
        raise InputError(f"{where}: {str(task)[:80]!r} is no task of a Label Studio export")
    if "data" not in task:
        if "annotation_id" in task or "annotator" in task:
            raise InputError(f"{where}: this is a JSON_MIN export, which loses answers. {LOSSY}")
        raise InputError(f"{where}: no 'data': this is no task of a Label Studio export")
    for prediction in task.get("predictions") or ():
        if isinstance(prediction, Mapping) and "id" in prediction:
            found.predictions[prediction["id"]] = prediction
    annotations = task.get("annotations", task.get("completions"))
    if annotations is None:
        return  # a file of tasks, not of answers
    key = (task["data"] or {}).get("cur_key")
    for annotation in annotations:
        if not isinstance(annotation, Mapping):
            raise InputError(
                f"{where}: its annotations are listed by id only. Export with annotations in full"
            )
        if key is None:
            found.foreign += 1
        else:
            found.came.append(Came(str(key), task["data"], annotation))


def _read_lines(path: Path, found: Returned) -> None:
    for row, line in enumerate(path.read_bytes().split(b"\n")):
        if not line.strip():
            continue
        where = f"{path}, line {row + 1}"
        try:
            read = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where} is no JSON: {error}") from None
        if isinstance(read, Mapping) and "data" in read:
            _take_task(read, where, found)
        else:
            found.came.append(_line(read, where))


def _line(read: Any, where: str) -> Came:
    """An answer in our own words: key, annotator, created_at; answers by control, or skipped."""
    if not isinstance(read, Mapping):
        raise InputError(f"{where}: a mapping is meant, not {str(read)[:60]!r}")
    missing = [name for name in ("key", "annotator", "created_at") if read.get(name) in (None, "")]
    values = read.get("answers")
    if not isinstance(values, Mapping) and not read.get("skipped"):
        missing.append("answers (values by control)")
    if missing:
        raise InputError(f"{where}: no {', '.join(missing)}")
    key, who = str(read["key"]), str(read["annotator"])
    annotation = {
        "id": read.get("id") or digest("answer", key, who),  # one person's later lines replace the earlier
        "completed_by": {"email": who},
        "created_at": read["created_at"],
        "updated_at": read.get("updated_at") or read["created_at"],
        "was_cancelled": bool(read.get("skipped")),
        "lead_time": read.get("seconds"),
        "ground_truth": bool(read.get("gold")),
        "hash": read.get("hash"),
        "touched": read.get("touched") or {},
        "model_version": read.get("model_version"),
    }
    return Came(key, None, annotation, dict(values) if isinstance(values, Mapping) else {})
