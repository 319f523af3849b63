"""Which items were kept, and for every other what dropped it: read from the run's `keep` and `select` steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from curate.errors import UnknownNameError
from curate.report.model import Reason, Threshold
from curate.run.ledger import RunRecord, StepRecord
from curate.store import Expression, PartStore, Snapshot, StoreView

__all__ = ["Condition", "Decision", "decide", "find_version"]


@dataclass(frozen=True)
class Condition:
    """One reason why items were stopped: part of a `keep` expression failed, or a selection left them out.

    `failing` is the SQL that is true of the stopped; none for selections. `columns` are those it reads.
    """

    text: str
    ordinal: int
    failing: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Decision:
    """What became of every row of `view`.

    `verdict` (n,) int16: 0 kept (selected, where a selection decides), k > 0 stopped by `conditions[k - 1]`, the first that applies.
    `candidates` are the rows that met every `keep` (a selection chose among them); `kept` those with verdict 0.
    `chosen` names the selection that decides at the end, if one does.
    """

    snapshot: Snapshot
    view: StoreView
    candidates: StoreView
    kept: StoreView
    verdict: npt.NDArray[np.int16]
    conditions: tuple[Condition, ...] = ()
    thresholds: dict[str, tuple[Threshold, ...]] = field(default_factory=dict)
    chosen: str | None = None
    passed: int = 0

    @property
    def decided(self) -> bool:
        """Whether anything could have dropped an item."""
        return bool(self.conditions)

    @property
    def kept_word(self) -> str:
        """What became of the rows with verdict 0."""
        return "selected" if self.chosen else "kept"

    @property
    def statuses(self) -> tuple[str, ...]:
        """Every status that a row may have here."""
        if not self.decided:
            return ()
        return ("selected", "not selected", "dropped") if self.chosen else ("kept", "dropped")

    def status(self, row: int) -> str:
        """One of `statuses`, or nothing where nothing was decided."""
        if not self.decided:
            return ""
        code = int(self.verdict[row])
        if code == 0:
            return self.kept_word
        return "not selected" if code == self.unselected else "dropped"

    @property
    def unselected(self) -> int:
        """The verdict of rows that met every condition and were not selected; -1 where no selection decides."""
        return len(self.conditions) if self.chosen else -1

    def count(self, status: str) -> int:
        """Rows of that status."""
        if status == self.kept_word:
            return int(np.count_nonzero(self.verdict == 0))
        if status == "not selected":
            return int(np.count_nonzero(self.verdict == self.unselected))
        return int(np.count_nonzero((self.verdict > 0) & (self.verdict != self.unselected)))

    def dropped_by(self, row: int) -> Condition | None:
        """The first condition that stopped the row; None for a kept row."""
        code = int(self.verdict[row])
        return self.conditions[code - 1] if code else None

    def count_reasons(self, ordinal: int) -> tuple[Reason, ...]:
        """How many items the conditions of one step dropped, in the order of the conditions."""
        counts = np.bincount(self.verdict, minlength=len(self.conditions) + 1)
        found = [(c.text, int(counts[k + 1])) for k, c in enumerate(self.conditions) if c.ordinal == ordinal]
        return tuple(Reason(text, n) for text, n in found if n)


def find_version(store: PartStore, run: RunRecord | None, selection: str | None) -> int | None:
    """The version to report on: where the run left the store, or the head (None) without a run.

    A selection made after the run is looked up at the head too. Raises UnknownNameError if it is nowhere.
    """
    version = max((step.version for step in run.steps), default=0) if run else 0
    if selection is None:
        return version or None
    if version and selection in store.snapshot(version).selections:
        return version
    known = store.snapshot().selections
    if selection not in known:
        raise UnknownNameError(
            "selection", selection, [name for name in known if not name.startswith("keep-")]
        )
    return None


def decide(store: PartStore, run: RunRecord | None = None, selection: str | None = None) -> Decision:
    """Read the run's decisions back from the store; a named `selection` has the last word.

    Without a name, the run's last `select` step has it, if there is one. Without either nothing is decided and every
    item counts as kept.
    """
    version = find_version(store, run, selection)
    snapshot, view = store.snapshot(version), store.view(version)
    steps = run.steps if run else []
    keeps = [step for step in steps if step.kind == "keep" and step.expression and not step.error]
    if selection is None:
        made = [s.selection for s in steps if s.kind == "select" and s.selection in snapshot.selections]
        selection = made[-1] if made else None
    conditions = [condition for step in keeps for condition in split_conditions(step)]
    verdict = judge(view, conditions)
    candidates = _keep(view, keeps, snapshot)
    verdict = _correct(verdict, view, candidates, keeps, conditions)
    kept, passed = candidates, int(np.count_nonzero(verdict == 0))
    if selection is not None:
        kept = view.within(selection)
        ordinal = next((s.ordinal for s in steps if s.kind == "select" and s.selection == selection), 0)
        conditions.append(Condition(f"not selected for {selection}", ordinal))
        inside = np.isin(view.seqs(), kept.seqs())
        verdict[(verdict == 0) & ~inside] = len(conditions)
        verdict[inside] = 0
    thresholds = collect_thresholds(step.expression for step in keeps if step.expression)
    return Decision(
        snapshot, view, candidates, kept, verdict, tuple(conditions), thresholds, selection, passed
    )


def split_conditions(step: StepRecord) -> list[Condition]:
    """Why a `keep` step can drop an item: each of the conditions joined by AND can be unknown or false."""
    made = []
    for text in Expression(step.expression or "").conjuncts:
        part = Expression(text)
        columns = tuple(sorted(part.columns))
        made.append(Condition(f"unknown (null): {text}", step.ordinal, f"({part.sql}) is null", columns))
        made.append(Condition(oppose(text), step.ordinal, f"not ({part.sql})", columns))
    return made


def oppose(text: str) -> str:
    """What holds where a condition is false, as the ledger words it: `NOT near_duplicate` -> `near_duplicate`."""
    return text[4:] if text.upper().startswith("NOT ") else f"fails {text}"


def judge(view: StoreView, conditions: Sequence[Condition]) -> npt.NDArray[np.int16]:
    """The number of the first condition that stops each row; 0 where none does."""
    if not conditions or not len(view):
        return np.zeros(len(view), dtype=np.int16)
    columns = sorted({name for condition in conditions for name in condition.columns})
    cases = " ".join(f"when {c.failing} then {k}" for k, c in enumerate(conditions, 1))
    query = f"select (case {cases} else 0 end)::smallint as why from view order by _row"
    return np.array(view.sql(query, columns)["why"].to_numpy(), dtype=np.int16)


def collect_thresholds(expressions: Iterable[str]) -> dict[str, tuple[Threshold, ...]]:
    """Comparisons of a column with a finite number, by column, each once: nothing lies just below infinity."""
    found: dict[str, dict[Threshold, None]] = {}
    for text in expressions:
        for column, op, value in Expression(text).thresholds:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and math.isfinite(value):
                found.setdefault(column, {})[Threshold(op, float(value))] = None
    return {column: tuple(thresholds) for column, thresholds in found.items()}


def _keep(view: StoreView, keeps: Sequence[StepRecord], snapshot: Snapshot) -> StoreView:
    """The rows that the run went on with: its stored set where there is one, else the expressions again."""
    if keeps and keeps[-1].selection in snapshot.selections:
        return view.within(str(keeps[-1].selection))
    for step in keeps:
        view = view.where(str(step.expression))
    return view


def _correct(
    verdict: npt.NDArray[np.int16],
    view: StoreView,
    candidates: StoreView,
    keeps: Sequence[StepRecord],
    conditions: list[Condition],
) -> npt.NDArray[np.int16]:
    """Let the stored set have the last word where scores changed after the step was run."""
    if not keeps:
        return verdict
    inside = np.isin(view.seqs(), candidates.seqs())
    unexplained = ~inside & (verdict == 0)
    if unexplained.any():
        conditions.append(Condition(f"not kept by {keeps[-1].title}", keeps[-1].ordinal))
        verdict[unexplained] = len(conditions)
    verdict[inside] = 0
    return verdict
