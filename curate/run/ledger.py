"""What happened: one record per run, one per step, kept in the store's catalog and shown by reports and `explain`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from curate import registry
from curate.counting import counted

TELL_TIMES = 10.0
"""Seconds of a step from which on it tells where they went."""

SHARES = ("transfer", "read", "decode", "model", "write", "commit")
"""What the time of a scoring step is made of, in the order in which a part passes through it."""


_MOST = 6
"""Reasons that a step tells one by one."""

_COUNTS = (
    *("read", "added", "unchanged", "changed", "updated", "rejected"),
    *("rows", "scored", "joined", "without_a_row", "findings", "serious", "files", "bytes"),
    *("failed", "not_applicable", "kept", "dropped"),
)
"""In which order counts are told: those that are remembered come in another."""


def _place(count: str) -> tuple[int, str]:
    return (_COUNTS.index(count) if count in _COUNTS else len(_COUNTS), count)


@dataclass
class StepRecord:
    """One step of a run, as it ended.

    `before`/`after` are the items in the run's current set before and after (only `import` and `keep` change it).
    `counts` are exact and say how things stand after the step, whoever did the work and when:
    import: read, added, unchanged, changed, updated, rejected; score: rows, scored, failed, not_applicable; join: rows, joined,
    without_a_row;
    keep and select: kept, dropped; analyse: rows, findings, serious; export: rows, files, bytes, failed. A run that was
    killed and taken up again ends with the same counts as one that was not. `computed` is what this run did itself; `reused` that it did nothing.
    `times` are seconds of all workers together: `transfer` (parts and media from other machines), `read` (parts), `decode` (media
    waited for), `model`, `write`; of the driver: `commit`, and its share of `transfer`. `opening` is no share: what opening media
    took over all threads, waited for or not. Of a scorer that sees everything `model` is all that the run waits for until it has
    its answers. `slowest` are the parts that took longest, by the rows of the import that they hold, and how long.
    `reasons` counts why: the conjunct that dropped an item, the reason a row could not be scored, a rejection's code.
    """

    ordinal: int
    kind: str
    name: str
    title: str
    digest: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    before: int = 0
    after: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    expression: str | None = None
    selection: str | None = None
    seconds: float = 0.0
    computed: int = 0
    reused: bool = False
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)

    def spend(self, part: str | None, times: Mapping[str, float]) -> None:
        """Add what one part took (or none in particular), and keep the slowest three."""
        for name, seconds in times.items():
            self.times[name] = self.times.get(name, 0.0) + seconds
        if part is None:
            return
        self.slowest[part] = sum(seconds for name, seconds in times.items() if name != "opening")
        self.slowest = dict(sorted(self.slowest.items(), key=lambda item: -item[1])[:3])

    def __str__(self) -> str:
        """The step in a line: what came of it, in numbers, and whether that was done before; then reasons and notes."""
        counts = ", ".join(
            f"{name.replace('_', ' ')} {self.counts[name]:,}"
            for name in sorted(self.counts, key=_place)
            if self.counts[name]
        )
        stopped = "interrupted" if (self.error or "").startswith("KeyboardInterrupt") else "failed"
        state = stopped if self.error else "already done" if self.reused else f"{self.seconds:.1f} s"
        lines = [f"{self.ordinal:>2}. {self.title}: {counts or 'nothing'} ({state})"]
        reasons = list(self.reasons.items())
        lines += [f"      {count:,} x {reason}" for reason, count in reasons[:_MOST]]
        if others := reasons[_MOST:]:
            lines.append(
                f"      {sum(count for _, count in others):,} x {counted(len(others), 'other reason')}"
            )
        lines += [f"      note: {note}" for note in self.notes]
        if self.seconds >= TELL_TIMES and self.times:
            lines.append(f"      {self._time_spent()}")
        return "\n".join(lines)

    def _time_spent(self) -> str:
        whole = sum(seconds for name, seconds in self.times.items() if name != "opening") or 1.0
        shares = [f"{name} {self.times[name] / whole:.0%}" for name in SHARES if name in self.times]
        opened = self.times.get("opening", 0.0)
        beside = f"; opening media took {opened:.1f} s over all threads" if opened else ""
        slow = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in self.slowest.items())
        return f"time: {', '.join(shares)}{beside}{'; slowest parts: ' * bool(slow)}{slow}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepRecord:
        """Inverse of `to_dict`; keys of later versions are ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})


@dataclass
class RunRecord:
    """One run: the recipe as resolved, its steps, and how it ended (`running`, `done`, `failed`, `interrupted`)."""

    run_id: str
    status: str
    started: float
    seconds: float
    recipe: dict[str, Any] | None
    recipe_digest: str
    seed: int
    steps: list[StepRecord] = field(default_factory=list)

    def _repr_html_(self) -> str:
        return registry.draw("run", self)
