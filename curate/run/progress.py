"""Progress: a live bar on a terminal or in a notebook, plain log lines anywhere else."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Protocol

from curate.counting import counted

log = logging.getLogger("curate")

LOG_EVERY = 10.0
"""Seconds between two log lines of one step, off a terminal."""


class Meter(Protocol):
    """Counts rows of one step."""

    def advance(self, rows: int) -> None: ...


class Progress(Protocol):
    """Shows how far a run is."""

    @contextmanager
    def step(self, title: str, total: int | None) -> Iterator[Meter]: ...
    def note(self, text: str) -> None: ...


class SilentProgress:
    """Shows nothing: for library use inside other programs."""

    @contextmanager
    def step(self, title: str, total: int | None) -> Iterator[Meter]:
        """A meter that counts for nobody."""
        yield _LogMeter("", None, quiet=True)

    def note(self, text: str) -> None:
        """Drop the note into the log."""
        log.info(text)


class LogProgress:
    """One line when a step begins, one every ten seconds, one when it ends."""

    @contextmanager
    def step(self, title: str, total: int | None) -> Iterator[Meter]:
        """Log the rows that pass."""
        meter = _LogMeter(title, total)
        yield meter
        meter.end()

    def note(self, text: str) -> None:
        """Log it."""
        log.info(text)


class _LogMeter:
    def __init__(self, title: str, total: int | None, quiet: bool = False) -> None:
        self.title, self.total, self.quiet = title, total, quiet
        self.rows, self.started, self.logged = 0, time.monotonic(), time.monotonic()

    def advance(self, rows: int) -> None:
        self.rows += rows
        now = time.monotonic()
        if not self.quiet and now - self.logged >= LOG_EVERY:
            self.logged = now
            log.info("%s: %s", self.title, self.told(now - self.started))

    def told(self, seconds: float) -> str:
        """How far it is after so many seconds, how fast, and how long the rest will take at that rate."""
        rate = self.rows / max(seconds, 1e-9)
        if not self.total:
            return f"{counted(self.rows, 'row')}, {rate:,.0f} rows/s"
        left = duration((self.total - self.rows) / max(rate, 1e-9))
        return f"{self.rows:,} of {counted(self.total, 'row')}, {rate:,.0f} rows/s, {left} left"

    def end(self) -> None:
        if not self.quiet and self.rows:
            log.info("%s: %s rows in %.1f s", self.title, f"{self.rows:,}", time.monotonic() - self.started)


class RichProgress:
    """A bar per step, with rate and time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextmanager
    def step(self, title: str, total: int | None) -> Iterator[Meter]:
        """Show a bar while the step runs."""
        from rich import progress
        from rich.text import Text

        class Title(progress.ProgressColumn):
            def render(self, task: progress.Task) -> Text:
                # Text, not markup: a title may hold what a user wrote, brackets included.
                return Text(task.description[:60])

        columns = (
            Title(),
            progress.BarColumn(bar_width=30),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(compact=True),
        )
        with progress.Progress(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task(title, total=total)

            class Bar:
                def advance(self, rows: int) -> None:
                    bars.advance(task, rows)

            yield Bar()

    def note(self, text: str) -> None:
        """Print above the bar."""
        from rich.text import Text

        self.console.print(Text(text))


def default_progress() -> Progress:
    """A bar where somebody watches (a terminal, a notebook with widgets), log lines where nobody does."""
    notebook = "ipykernel" in sys.modules
    if find_spec("ipywidgets") is not None if notebook else sys.stderr.isatty():
        return RichProgress()
    return LogProgress()


def duration(seconds: float) -> str:
    """So long, in the unit that a person would say it in."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
