"""SPIRAL (SpeechPrune's benchmark): long recordings with a question each, read as a table of speech.

    table = read("data.jsonl", folder="/data", hard="data_h.jsonl")
    store.add(table, kind="speech")
    store.score("speech-relevance", query="question")

Each line is a synthesised lecture, meeting or conversation of about 90 seconds, with its transcript by speaker, the one
sentence that the question is about, and four choices. Schema: as published with the data (arXiv 2412.12009).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.errors import InputError, SchemaError
from curate.formats.files import read_text

__all__ = ["SCHEMA", "read"]

_TURN = pa.struct([("speaker", pa.string()), ("text", pa.string())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("audio", pa.string()),
        ("text", pa.string()),
        ("turns", pa.list_(_TURN)),
        ("sentences", pa.list_(pa.string())),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.int32()),
        ("key_sentence", pa.string()),
        ("key_begin", pa.int32()),
        ("key_end", pa.int32()),
        ("topic", pa.string()),
        ("subtopic", pa.string()),
        ("type", pa.string()),
        ("hard", pa.bool_()),
    ]
)
"""What `read` gives. `text` is all that is said, `turns` by whom; `sentences` as they were synthesised, of which those from
`key_begin` up to `key_end` (not included) hold `key_sentence`, the one that answers. `choices` are without their letters,
`answer` is the position of the right one, from 0. `type`: lecture, meeting or conversation. `hard`: whether it is in the
hard part; null where that was not given."""


def read(
    path: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    hard: str | os.PathLike[str] | None = None,
) -> pa.Table:
    """The items of `data.jsonl` (or `data_h.jsonl`), one a row, in its order.

    `folder` holds the data set's own folder, `spiral/wavs/...`: sounds are then addressed there; without it as the file
    has them. `hard` is the file of the hard part. Fields that are missing are null.
    Raises InputError where a file cannot be read or a line is no JSON object, SchemaError where a line has no id, no
    question or no sound.
    """
    difficult = None if hard is None else {_id(entry, where) for where, entry in _lines(hard)}
    rows = []
    for where, entry in _lines(path):
        row = _row(entry, where, "" if folder is None else os.fspath(folder))
        row["hard"] = None if difficult is None else row["id"] in difficult
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: no JSON: {error}") from error
        if not isinstance(entry, dict):
            raise InputError(f"{where}: {type(entry).__name__} where an object is needed")
        yield where, entry


def _part(entry: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """An object inside objects; an empty one where it is not there."""
    found: Any = entry
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _id(entry: Mapping[str, Any], where: str) -> str:
    value = _part(entry, "metadata").get("id")
    if value is None:
        raise SchemaError(f"{where}: no metadata.id: is it a file of another kind?")
    return str(value)


def _row(entry: Mapping[str, Any], where: str, folder: str) -> dict[str, Any]:
    told, asked = _part(entry, "metadata"), _part(entry, "test_question")
    sound, key = _part(entry, "audio_data", "combined"), _part(entry, "audio_data", "key_sentences")
    files = sound.get("audio_files")
    if not asked.get("question") or not isinstance(files, list) or not files:
        raise SchemaError(f"{where}: no test_question.question, or no audio_data.combined.audio_files")
    turns = list(_turns(entry.get("transcript")))
    choices = [str(one) for one in asked.get("choices") or ()]
    begin, end = _span(key.get("indices"))
    return {
        "id": _id(entry, where),
        "audio": "/".join(part for part in (folder, sound.get("audio_folder"), files[0]) if part),
        "text": " ".join(turn["text"] for turn in turns) or None,
        "turns": turns or None,
        "sentences": sound.get("sentences"),
        "question": asked["question"],
        "choices": [_without_letter(one) for one in choices] or None,
        "answer": _answer(choices, asked.get("correct_answer")),
        "key_sentence": entry.get("original_key_sentence") or key.get("text"),
        "key_begin": begin,
        "key_end": end,
        "topic": told.get("main_topic"),
        "subtopic": told.get("subtopic"),
        "type": told.get("transcript_type"),
    }


def _turns(transcript: Any) -> Iterator[dict[str, str]]:
    for turn in transcript if isinstance(transcript, list) else ():
        said = turn.get("text") if isinstance(turn, Mapping) else None
        if said:
            text = said if isinstance(said, str) else " ".join(str(one) for one in said)
            yield {"speaker": str(turn.get("speaker")), "text": text}


def _span(indices: Any) -> tuple[int | None, int | None]:
    if isinstance(indices, list) and len(indices) == 2 and all(isinstance(i, int) for i in indices):
        return indices[0], indices[1]
    return None, None


def _without_letter(choice: str) -> str:
    """`B. Drone technology` -> `Drone technology`."""
    letter, dot, rest = choice.partition(".")
    return rest.strip() if dot and len(letter.strip()) == 1 else choice.strip()


def _answer(choices: Sequence[str], correct: Any) -> int | None:
    """The position of the right choice, given as it is written, or by its letter alone."""
    said = str(correct).strip() if correct is not None else ""
    for i, choice in enumerate(choices):
        if said and said in (choice.strip(), _without_letter(choice), chr(ord("A") + i)):
            return i
    return None
