"""A scorer as what Label Studio calls an ML backend: it asks, when a task is opened, what we would say.

Pushing pre-annotations (`push(guesses=...)`) is simpler and survives us; this is for scorers that are too slow to ask about
everything, or that change while people work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from curate.annotators.label_studio.listening import Route
from curate.annotators.tasks import PreAnnotations, Template
from curate.annotators.tasks.items import chosen_items
from curate.contracts import Scorer
from curate.errors import InputError

__all__ = ["Backend"]


@dataclass(frozen=True)
class Backend:
    """Answers with what `guesses` makes of the columns of the items, those that `scorer` gives included.

    `scorer` may be None: then the columns are those of the store. Raises InputError for a scorer that must see everything
    first: run it on the store, and serve its column.
    """

    store: Any
    template: Template
    guesses: PreAnnotations
    scorer: Scorer | None = None
    _columns: tuple[str, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        if self.scorer is not None and not hasattr(self.scorer, "score"):
            name = getattr(self.scorer, "name", type(self.scorer).__name__)
            raise InputError(
                f"{name!r} must see all items before it scores one: run it on the store, and serve its column without it"
            )
        given = {f.name for f in self.scorer.gives} if self.scorer else set()
        needed = [
            *(self.scorer.needs if self.scorer else ()),
            *(c for c in self.guesses.needs if c not in given),
        ]
        shown = self.template.columns(self.store.items.columns)
        object.__setattr__(self, "_columns", tuple(dict.fromkeys([*shown, *needed])))

    @property
    def routes(self) -> dict[tuple[str, str], Route]:
        """The protocol of an ML backend."""
        version = {"model_version": self.guesses.model_version}
        return {
            ("GET", "/"): lambda *_: (200, {"status": "UP"}),
            ("GET", "/health"): lambda *_: (200, {"status": "UP", "model_class": "curate"}),
            ("POST", "/setup"): lambda *_: (200, version),  # it brings a token, at which nobody looks
            ("GET", "/versions"): lambda *_: (200, {"versions": [self.guesses.model_version]}),
            ("POST", "/predict"): lambda asked, _: (200, {"results": self.predict(asked.get("tasks") or [])}),
            ("POST", "/webhook"): lambda *_: (200, {}),
        }

    def predict(self, tasks: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A prediction for each task, in their order; an empty one for tasks that are not ours, or of which nothing can
        be said."""
        wanted = [str(task.get("data", {}).get("cur_item", "")) for task in tasks]
        rows = self._rows(wanted)
        nothing = {"result": [], "score": 0.0, "model_version": self.guesses.model_version}
        found = []
        for item, task in zip(wanted, tasks, strict=True):
            made = self.guesses.guess(self.template, rows[item], task["data"])[0] if item in rows else []
            found.append({"score": 0.0, **made[0]} if made else nothing)
        return found

    def _rows(self, wanted: list[str]) -> dict[str, Mapping[str, Any]]:
        """What is known, and what the scorer says, of these items."""
        there = set(self.store.items.to_arrow(["id"])["id"].to_pylist())
        ids = [item for item in dict.fromkeys(wanted) if item in there]
        if not ids:
            return {}
        table: pa.Table = chosen_items(self.store, ids=ids).to_arrow(list(self._columns))
        rows = table.to_pylist()
        if self.scorer is not None:
            (batch,) = table.combine_chunks().to_batches()
            scored = self.scorer.score(batch).to_pylist()
            rows = [{**row, **said, "id": row["id"]} for row, said in zip(rows, scored, strict=True)]
        return {row["id"]: row for row in rows}
