"""Stores to be labelled, and people who label them through the API, as the pages of the server do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from label_studio_server import LabelStudioServer
from PIL import Image

import curate
from curate.annotators.label_studio import LabelStudio
from curate.annotators.tasks import PreAnnotations, PushReceipt

TEMPLATE = "text-classification"
PARAMS = {"labels": ("good", "bad")}
GUESSES = PreAnnotations({"label": "guess"}, "guesser-1", score="sure")


def push(studio: LabelStudio, store: curate.Store, where: Any = None, **more: Any) -> PushReceipt:
    """A push that asks for one of two labels."""
    return studio.push(store, where, **{"template": TEMPLATE, "params": PARAMS, **more})


def text_store(path: Path, texts: Mapping[str, str]) -> curate.Store:
    """A store of texts with a guess for each."""
    store = curate.open(path, create=True)
    rows = {
        "id": list(texts),
        "text": list(texts.values()),
        "label": ["good"] * len(texts),
        "guess": ["good" if i % 2 else "bad" for i in range(len(texts))],
        "sure": [0.5 + (i % 5) / 10 for i in range(len(texts))],
    }
    store.add(pa.table(rows), kind="label")
    return store


def many_texts(n: int) -> dict[str, str]:
    return {f"item-{i:05d}": f"text number {i}" for i in range(n)}


def image_store(path: Path, n: int) -> curate.Store:
    """A store of small pictures with captions, each picture another."""
    folder = path.parent / f"{path.name}-pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{i}.png")
    store = curate.open(path, create=True)
    rows = {
        "id": [f"pair-{i}" for i in range(n)],
        "image": [str(folder / f"{i}.png") for i in range(n)],
        "caption": [f"picture {i}" for i in range(n)],
    }
    store.add(pa.table(rows), kind="image-text")
    return store


def tasks_on(server: LabelStudioServer, project: int) -> dict[int, dict[str, Any]]:
    """All tasks of a project by id, read one export page after the other, independent of the code under test."""
    found: dict[int, dict[str, Any]] = {}
    for one in server.call("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true"):
        found[int(one["id"])] = one
    return found


def by_item(server: LabelStudioServer, project: int) -> dict[str, list[int]]:
    """Task ids by item: more than one is a duplicate."""
    found: dict[str, list[int]] = {}
    for number, one in tasks_on(server, project).items():
        found.setdefault(one["data"].get("cur_item", ""), []).append(number)
    return found


def said(value: str, control: str = "label", to: str = "text") -> list[dict[str, Any]]:
    """The result of one choice."""
    value_ = {"choices": [value]}
    return [{"from_name": control, "to_name": to, "type": "choices", "value": value_}]


def answer(
    server: LabelStudioServer, task: int, result: list[dict[str, Any]], token: str, **more: Any
) -> dict[str, Any]:
    """Answer a task as the owner of this token."""
    body = {"result": result, "lead_time": 2.5, **more}
    made: dict[str, Any] = server.call("POST", f"/api/tasks/{task}/annotations/", body, token)
    return made


def project_of(place: str) -> int:
    """The number of a project by where a receipt says it is."""
    return int(place.rsplit("/projects/", 1)[1].split("/")[0])
