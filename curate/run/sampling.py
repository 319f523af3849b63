"""Score a few rows of what is to do, keep nothing, and say what the rest will take."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from curate.choosing import peak_memory
from curate.run.progress import duration
from curate.run.scoring import BATCH_ROWS, ScoreTask, answer
from curate.store import PartStore, StoreView

__all__ = ["Sample", "take_sample"]


@dataclass(frozen=True)
class Sample:
    """What scoring `rows` rows took, once what is loaded once was loaded: `seconds` on one worker, whose process then held
    `memory` bytes at its peak. `loading` are the seconds that the first row cost more."""

    rows: int
    seconds: float
    loading: float
    memory: int

    def foretell(self, rows: int, parts: int, workers: int) -> str:
        """What scoring `rows` rows in `parts` parts would take on so many workers, in words."""
        busy = max(1, min(workers, parts))
        rounds = -(-parts // busy) / parts  # the last round of parts may leave workers idle
        seconds = self.loading + rows * rounds * self.seconds / max(self.rows, 1)
        held = f"{self.memory / 1e6:.0f} MB a worker"
        rate = self.rows / max(self.seconds, 1e-9)
        return (
            f"{parts:,} part{'s' * (parts != 1)}, about {duration(max(1.0, seconds))} on {busy} worker{'s' * (busy != 1)} "
            f"({rate:,.0f} rows/s each in a sample of {self.rows}), {held}"
        )


def take_sample(store: PartStore, tasks: Sequence[ScoreTask], rows: int) -> Sample:
    """Score `rows` rows spread over the tasks in this process, a first one for what is loaded once. Writes nothing.

    Raises what the scorer raises: a model that cannot be loaded is told before a run begins.
    """
    picked = _spread(tasks, rows)
    first, rest = _seconds(store, [replace(picked[0], rows=picked[0].rows[:1])]), _seconds(store, picked)
    scored = sum(len(task.rows) for task in picked)
    return Sample(scored, rest, max(0.0, first - rest / scored), peak_memory())


def _spread(tasks: Sequence[ScoreTask], rows: int) -> list[ScoreTask]:
    """A few rows of a few tasks, evenly from the first to the last: one part may be unlike the others."""
    chosen = [tasks[i] for i in np.unique(np.linspace(0, len(tasks) - 1, min(4, len(tasks))).astype(int))]
    each = -(-rows // len(chosen))
    return [
        replace(
            t, rows=t.rows[np.unique(np.linspace(0, len(t.rows) - 1, min(each, len(t.rows))).astype(int))]
        )
        for t in chosen
    ]


def _seconds(store: PartStore, tasks: Sequence[ScoreTask]) -> float:
    started = time.perf_counter()
    for task in tasks:
        view = StoreView.over(store, task.excerpt).at(task.base.seq_lo + task.rows)
        for batch in view.batches(["id", *task.scorer.needs], rows=BATCH_ROWS):
            answer(task.scorer, batch, task.column_set)
    return time.perf_counter() - started


def default_workers() -> int:
    """What a run takes where it is not told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
