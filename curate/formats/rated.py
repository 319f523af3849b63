"""Other files of human ratings of generated images, as one table each: TIFA, DSG, GenAI-Bench, RichHF, AVT.

All give `id`, `prompt`, `generator`, `ratings` (one of each annotator) and their mean `score`; `prompt_id` and `image`
where the file has them; then what else it holds of each item.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import InputError, SchemaError
from curate.formats.files import read_text

__all__ = ["read_avt", "read_dsg_answers", "read_dsg_ratings", "read_genai_bench", "read_richhf", "read_tifa"]

_Path = str | os.PathLike[str]
_FIRST = (
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("prompt", pa.string()),
    ("image", pa.string()),
    ("generator", pa.string()),
    ("ratings", pa.list_(pa.float64())),
    ("score", pa.float64()),
)


def read_tifa(path: _Path) -> pa.Table:
    """TIFA's human annotations (`human_annotations_with_scores.json`): two ratings (1 to 5) an image, and every metric
    of the file as a column of its own, "-" in its name made "_". `generator` is what follows the prompt's id in the key.
    """
    rows = []
    for key, entry in _object(path).items():
        _need(entry, ("text_id", "text", "human_scores"), path, key)
        prompt_id = str(entry["text_id"])
        metrics = {
            name.replace("-", "_"): value
            for name, value in entry.items()
            if name not in ("text_id", "text", "image_path", "human_scores", "human_avg")
        }
        generator = key.removeprefix(f"{prompt_id}_") if key.startswith(f"{prompt_id}_") else None
        rows.append(
            {
                **_rated(key, entry["text"], generator, entry["human_scores"], path),
                "prompt_id": prompt_id,
                "image": entry.get("image_path"),
                **metrics,
            }
        )
    return _table(rows)


def read_genai_bench(path: _Path) -> pa.Table:
    """GenAI-Bench's ratings, and others of that form (T2VScore, text to 3D): an object of prompts, each with the
    ratings of what every model made of it: {"0": {"prompt": ..., "models": {"DALLE_3": [5, 4, 5]}}}.

    One row for a prompt and a model, of id `<key>/<model>`; an empty list of ratings stays, with a null `score`.
    """
    rows = []
    for key, entry in _object(path).items():
        _need(entry, ("prompt", "models"), path, key)
        if not isinstance(entry["models"], Mapping):
            raise SchemaError(f"{path}: {key!r}: models is no object of ratings by model")
        rows += [
            {
                **_rated(f"{key}/{model}", entry["prompt"], str(model), ratings, path),
                "prompt_id": str(entry.get("id", key)),
            }
            for model, ratings in entry["models"].items()
        ]
    return _table(rows)


def read_richhf(path: _Path, *, prompts: Mapping[str, str] | None = None, maps: bool = False) -> pa.Table:
    """RichHF-18K: its TFRecord files, or an export as JSON lines or a JSON list. Four scores from 0 to 1 an image (already
    means over three annotators) and the words of the prompt that the image does not show.

    `score` and `ratings` are its `misalignment_score` (higher = better aligned, as the data set has it); the others
    (`artifact_score`, `aesthetics_score`, `overall_score`) are columns; `words` is the label of each word, 1 = shown.
    The files hold no prompts: `prompts` maps the names of images (without folder and ending: the ids of Pick-a-pic) to
    theirs; `richhf.label_words` joins them with `words`. With `maps`, `artifact_map` and `misalignment_map` are the heat
    maps, encoded as in the file: `richhf.heat_map` opens them.
    """
    rows = []
    for i, entry in enumerate(_examples(path) if _is_tfrecord(path) else _entries(path)):
        _need(entry, ("filename", "misalignment_score"), path, i)
        own = entry["misalignment_score"]
        words = entry.get("prompt_misalignment_label")
        prompt = entry.get("prompt") or (prompts or {}).get(Path(str(entry["filename"])).stem)
        row = _rated(str(entry["filename"]), prompt, None, [] if own is None else [own], path)
        row["image"] = str(entry["filename"])
        for name in ("artifact_score", "aesthetics_score", "overall_score"):
            row[name] = None if entry.get(name) is None else float(entry[name])
        words = words.split() if isinstance(words, str) else words
        row["words"] = None if words is None else [int(float(word)) for word in words]
        for name in ("artifact_map", "misalignment_map") if maps else ():
            row[name] = entry.get(name)
        rows.append(row)
    return _table(rows)


def read_avt(ratings: _Path, prompts: _Path, question: str = "range_prompt_matching") -> pa.Table:
    """AVT-AI-Image-Dataset: raw ratings (1 to 5) by user and their prompts, for one `question` of the file."""
    texts = {row["ID"]: row["prompts"] for row in _csv(prompts, ("ID", "prompts"))}
    answers: dict[str, dict[str, list[str]]] = {}
    known: set[str] = set()
    for row in _csv(ratings, ("user_ID", "stimuli_file", "rating_type", "rating")):
        known.add(row["rating_type"])
        if row["rating_type"] == question:
            stimulus = row["stimuli_file"].rpartition("stimuli/")[2].rpartition(".")[0]
            answers.setdefault(stimulus, {}).setdefault("rating", []).append(row["rating"])
            answers[stimulus].setdefault("annotator", []).append(row["user_ID"])
    if question not in known:
        raise InputError(f"{ratings} has no answers to {question!r}, but to {', '.join(sorted(known))}")
    rows = []
    for stimulus in sorted(answers):
        generator, _, prompt = stimulus.rpartition("/")
        row = _rated(stimulus, texts.get(prompt), generator, answers[stimulus]["rating"], ratings)
        rows.append({**row, "prompt_id": prompt, "annotators": answers[stimulus]["annotator"]})
    return _table(rows)


def read_dsg_ratings(path: _Path) -> pa.Table:
    """DSG's Likert ratings (`tifa160-likert-anns.csv`): one row for each image, with the ratings of its workers.

    `id` is `<item>/<model>`; `prompt_id` the id of the prompt in the data set it comes from, as in TIFA's file.
    """
    found: dict[tuple[str, str, str], dict[str, list[Any]]] = {}
    for row in _csv(path, ("item_id", "source_id", "t2i_model", "worker_id", "answer")):
        held = found.setdefault(
            (row["item_id"], row["t2i_model"], row["source_id"]), {"rating": [], "annotator": []}
        )
        held["rating"].append(row["answer"] or None)
        held["annotator"].append(row["worker_id"])
    rows = []
    for (item, model, source), held in found.items():
        row = _rated(f"{item}/{model}", None, model, held["rating"], path)
        rows.append({**row, "prompt_id": source, "annotators": held["annotator"]})
    return _table(rows)


def read_dsg_answers(path: _Path) -> pa.Table:
    """A model's answers to DSG's questions (`vqa_answers_release/*_dsg.csv`): one row for each image, of `id` as in
    `read_dsg_ratings`, with the numbers of its `questions`, whether each was answered yes (`right`), and the `children`
    and `parents` of its dependencies, as positions in these lists: what `dsg_score` asks for. A dependency on a
    question that was not asked is left out, and one on the question itself, of which the published files have some.
    """
    names = ("item_id", "t2i_model", "question_id", "dependency_id", "answer")
    images: dict[str, list[dict[str, str]]] = {}
    for row in _csv(path, names):
        images.setdefault(f"{row['item_id']}/{row['t2i_model']}", []).append(row)
    table = []
    for id, rows in images.items():
        place = {row["question_id"]: i for i, row in enumerate(rows)}
        edges = [
            (i, place[parent.strip()])
            for i, row in enumerate(rows)
            for parent in row["dependency_id"].split(",")
            if place.get(parent.strip(), i) != i
        ]
        table.append(
            {
                "id": id,
                "questions": [row["question_id"] for row in rows],
                "right": [float(row["answer"].strip().lower() == "yes") for row in rows],
                "children": [child for child, _ in edges],
                "parents": [parent for _, parent in edges],
            }
        )
    types = [
        pa.string(),
        pa.list_(pa.string()),
        pa.list_(pa.float64()),
        pa.list_(pa.int64()),
        pa.list_(pa.int64()),
    ]
    schema = pa.schema(list(zip(("id", "questions", "right", "children", "parents"), types, strict=True)))
    return pa.Table.from_pylist(table, schema=schema)


def _rated(id: str, prompt: Any, generator: str | None, ratings: Any, path: _Path) -> dict[str, Any]:
    try:
        values = [None if rating is None else float(rating) for rating in ratings]
    except (TypeError, ValueError):
        raise SchemaError(
            f"{path}: {id!r}: ratings are {str(ratings)[:60]}, and a list of numbers is needed"
        ) from None
    known = [value for value in values if value is not None]
    return {
        "id": id,
        "prompt": None if prompt is None else str(prompt),
        "generator": generator,
        "ratings": values,
        "score": sum(known) / len(known) if known else None,
    }


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    others = list(dict.fromkeys(name for row in rows for name in row if name not in dict(_FIRST)))
    columns = {name: pa.array([row.get(name) for row in rows], type_) for name, type_ in _FIRST}
    columns |= {name: pa.array([row.get(name) for row in rows]) for name in others}
    kept = [
        name for name in columns if columns[name].null_count < len(rows) or name in ("id", "ratings", "score")
    ]
    return pa.table({name: columns[name] for name in kept})


def _need(entry: Any, names: tuple[str, ...], path: _Path, key: object) -> None:
    missing = [name for name in names if not isinstance(entry, Mapping) or name not in entry]
    if missing:
        raise SchemaError(f"{path}: entry {key!r} has no {', '.join(missing)}: is it a file of another kind?")


def _object(path: _Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise SchemaError(f"{path} holds a {type(found).__name__}: an object of entries is needed")
    return found


def _entries(path: _Path) -> list[Any]:
    text = read_text(path)
    try:
        found = (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(t) for t in text.split("\n") if t.strip()]
        )
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is neither a JSON list nor JSON lines: {error}") from error
    return list(found)


def _is_tfrecord(path: _Path) -> bool:
    """By its content: JSON begins with a letter or a bracket, a record with its length in 8 bytes, or gzip."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
    except OSError:
        return False
    return head[:2] == b"\x1f\x8b" or (len(head) == 8 and head[5:] == b"\0\0\0")


def _examples(path: _Path) -> Iterator[dict[str, Any]]:
    """Records with one value for each name; words are text, other bytes stay."""
    from curate.formats.tfrecord import read_examples

    for example in read_examples(path):
        entry: dict[str, Any] = {name: values[0] for name, values in example.items() if values}
        for name in ("filename", "prompt", "prompt_misalignment_label"):
            if isinstance(entry.get(name), bytes):
                entry[name] = entry[name].decode("utf-8", "replace")
        yield entry


def _csv(path: _Path, names: tuple[str, ...]) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    if not rows or any(name not in rows[0] for name in names):
        raise SchemaError(f"{path} is no CSV with the columns {', '.join(names)}")
    return rows
