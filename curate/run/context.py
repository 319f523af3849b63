"""What every step of a run has at hand: the store, the current set, the runner, and the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.contracts import component_params
from curate.errors import UnknownNameError
from curate.run.crew import RunCrew
from curate.run.ledger import RunRecord, StepRecord
from curate.run.progress import Progress
from curate.run.runner import LocalRunner, Runner
from curate.store import Changes, Commit, PartStore, StoreView

SHARE_EVERY = 300.0
"""Seconds between two publications of a run that goes through a published place: what the driver's disk can cost."""


@dataclass
class RunContext:
    """One run in flight. `kept` names the selection that is the current set, None means all items; `scored` are the
    column sets that this run has told of, by digest, each with the extents of the views it was asked for. `through` is
    where the store is published for workers on machines that do not see its folder."""

    store: PartStore
    runner: Runner
    progress: Progress
    run: RunRecord
    base: Path
    kept: str | None = None
    commits: int = 0
    scored: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict, repr=False)
    through: str | None = None
    shared: float = 0.0
    published: int = -1

    def view(self, where: str | None = None, *, everything: bool = False) -> StoreView:
        """The current set at the head of the store, optionally narrowed by an expression."""
        view = self.store.view().worked_by(RunCrew(self), self.place)
        if self.kept and not everything:
            view = view.within(self.kept)
        return view.where(where) if where else view

    def count(self) -> int:
        """Items in the current set."""
        if self.kept is None:
            return self.store.snapshot().rows
        return self.store.snapshot().selections[self.kept].rows

    def selection(self, name: str) -> StoreView:
        """The rows of a named selection; UnknownNameError lists those there are."""
        known = self.store.snapshot().selections
        if name not in known:
            raise UnknownNameError("selection", name, [n for n in known if not n.startswith("keep-")])
        return self.store.view().within(name)

    def commit(self, op: str, **changes: Any) -> Commit:
        """Commit with a token of this run, so that a retry after an unknown outcome is exactly-once."""
        self.commits += 1
        token = f"{self.run.run_id}:{self.commits}"
        done = self.store.commit(Changes(op=op, token=token, run_id=self.run.run_id, **changes))
        if self.through and time.monotonic() - self.shared > SHARE_EVERY:
            self.share()
        return done

    @property
    def place(self) -> str:
        """Where workers find the store: its folder, or where it is published."""
        local = self.through is None or isinstance(self.runner, LocalRunner)
        return str(self.store.path) if local else str(self.through)

    def share(self) -> None:
        """Publish the newest version where this run goes through such a place. Raises ConflictError if others were faster."""
        if self.through:
            self.published = self.store.publish(self.through).version
            self.shared = time.monotonic()

    def share_news(self) -> None:
        """`share`, if workers read what is published and there is something new."""
        if self.place == self.through and self.published != self.store.snapshot().version:
            self.share()

    def path(self, text: str) -> str:
        """A path of the recipe; see `located`."""
        return located(self.base, text)

    @contextmanager
    def record(self, kind: str, name: str, title: str, **values: Any) -> Iterator[StepRecord]:
        """Open a step's record; it is timed, completed and logged when the step ends, failed ones included."""
        record = StepRecord(len(self.run.steps) + 1, kind, name, title, before=self.count(), **values)
        self.run.steps.append(record)
        started = time.perf_counter()
        try:
            yield record
        except BaseException as error:
            record.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise
        finally:
            record.seconds = time.perf_counter() - started
            record.after = self.count()
            record.version = self.store.snapshot().version
            self.store.log_step(self.run.run_id, record.ordinal, record.to_dict())


def plain_params(component: Any) -> dict[str, Any]:
    """A component's configuration as JSON-able values."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in component_params(component).items()}


def located(base: Path, text: str) -> str:
    """A path as a recipe writes it: relative ones start from `base`; URLs and absolute paths stay as they are."""
    if "://" in text or Path(text).is_absolute():
        return text
    return str(base / Path(text).expanduser())
