"""What is shown to a person: one item in one round, with a key that survives every copy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.contracts import digest
from curate.errors import InputError

__all__ = ["MARKS", "Task", "make_task", "shown_hash", "task_key"]

MARKS = ("cur_key", "cur_item", "cur_round", "cur_hash")
"""Fields of a task's data that are ours: they travel with it and come back with its answers."""

_written = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Task:
    """One item to be shown in one round.

    `key` (24 hex digits) is the same whenever the same item of the same data set is shown in the same round; `hash` is the
    digest of what is shown, another as soon as the item changes. `data` is JSON-able and holds both, as `MARKS`.
    `predictions` are pre-annotations: `model_version`, `score` (or None), `result` (as Label Studio writes it).
    """

    key: str
    item: str
    round: int
    hash: str
    data: Mapping[str, Any]
    predictions: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The task as Label Studio imports it."""
        meta = {name: self.data[name] for name in MARKS}
        return {"data": dict(self.data), "meta": meta, "predictions": [dict(p) for p in self.predictions]}


def task_key(dataset: str, item: str, round: int) -> str:
    """24 hex digits that name this item of this data set in this round: a SHA-256, cut."""
    text = _written([dataset, item, int(round)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def shown_hash(shown: Mapping[str, Any]) -> str:
    """32 hex digits of what is shown. Media count by their content hash or address, not by where a tool finds them."""
    return digest("shown", {name: shown[name] for name in sorted(shown)})


def make_task(
    dataset: str,
    item: str,
    round: int,
    shown: Mapping[str, Any],
    *,
    served: Mapping[str, Any] | None = None,
    content: Mapping[str, str] | None = None,
    predictions: Sequence[Mapping[str, Any]] = (),
) -> Task:
    """A task that shows these fields. `served` holds, by field, the addresses under which the tool finds the same media,
    and `content` what identifies a medium (its SHA-256) where that is known: key and hash depend on neither address.

    Raises InputError where a field of ours is in the way, or the data is not JSON.
    """
    if taken := [name for name in MARKS if name in shown]:
        raise InputError(
            f"item {item!r} has a field {taken[0]!r}: names beginning with cur_ are ours, rename it"
        )
    if round < 1:
        raise InputError(f"round {round}: rounds are counted from 1")
    key, hash_ = task_key(dataset, item, round), shown_hash({**shown, **(content or {})})
    marks = {"cur_key": key, "cur_item": item, "cur_round": int(round), "cur_hash": hash_}
    data = {**shown, **(served or {}), **marks}
    try:
        _written(data)
    except (TypeError, ValueError) as error:
        raise InputError(f"item {item!r} cannot be written as JSON: {error}") from None
    return Task(key, item, int(round), hash_, data, tuple(dict(p) for p in predictions))
