"""What a scorer, a selector and an annotator must be: the whole vocabulary between the engine and its parts.

The engine knows these protocols and nothing about any particular part; the parts know these protocols and
nothing about the store, a recipe or a runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.budgets import Budget, resolve_budget
from curate.identity import component_digest, component_params, digest

__all__ = [
    "PIECE_ROWS",
    "ROW",
    "Analysis",
    "Annotator",
    "Budget",
    "Finding",
    "Findings",
    "FittingScorer",
    "Held",
    "Scorer",
    "Selection",
    "Selector",
    "Vectors",
    "View",
    "column_name",
    "component_digest",
    "component_params",
    "detail",
    "digest",
    "flag",
    "parallel_to",
    "reason_name",
    "resolve_budget",
    "role_of",
    "score",
    "vector",
]

ROW = "_row"
"""Batches handed to a *fitted* scorer carry this int64 column: the row's position in the view it was fitted on."""

PIECE_ROWS = 1 << 16
"""Rows, or a few more, of the pieces in which a view is worked on (`View.spread`)."""

T = TypeVar("T")
R = TypeVar("R")


# --- Arrow fields that say what a column means --------------------------------------------------------------


def _field(name: str, type_: pa.DataType, role: str, **more: str) -> pa.Field:
    told = {f"curate.{key}": value for key, value in more.items() if value}
    return pa.field(name, type_, metadata={"curate.role": role, **told})


def score(name: str) -> pa.Field:
    """The main score of a scorer: float32, **higher = keep**; null where it cannot say."""
    return _field(name, pa.float32(), "score")


def flag(name: str) -> pa.Field:
    """A verdict that reads as English in an expression (`not near_duplicate`): bool, true = what the name says."""
    return _field(name, pa.bool_(), "flag")


def detail(name: str, type_: pa.DataType, of: str = "") -> pa.Field:
    """Anything else worth keeping beside the score: a count, the id of a representative, a suggested label.

    A list of structs with a number `score` (or `answer`), 0 to 1 and higher = better, tells of the parts of an item; a
    report shades them. What each is about it says itself (`element`, a phrase of the item's text, or `question`), or the
    column `of` does, to whose lists these run parallel.
    """
    return _field(name, type_, "detail", of=of)


def vector(name: str, dim: int | None = None, dtype: pa.DataType | None = None) -> pa.Field:
    """An embedding or a signature. `dim=None` where it is known only once the model is loaded."""
    return _field(name, pa.list_(dtype or pa.float32(), -1 if dim is None else dim), "vector")


def role_of(field_: pa.Field) -> str:
    """`score`, `flag`, `detail` or `vector`."""
    role: bytes = (field_.metadata or {}).get(b"curate.role", b"detail")
    return role.decode()


def parallel_to(field_: pa.Field) -> str:
    """The column to whose lists those of a detail run parallel (`detail(..., of=...)`); empty where there is none."""
    of: bytes = (field_.metadata or {}).get(b"curate.of", b"")
    return of.decode()


def column_name(registry_name: str) -> str:
    """The column of a registered name: `clip-score` writes `clip_score`."""
    return registry_name.replace("-", "_")


def reason_name(registry_name: str) -> str:
    """The column that says why a scorer left a row null; null where it did not."""
    return column_name(registry_name) + "_reason"


# --- Rows -------------------------------------------------------------------------------------------------------


class Vectors(Protocol):
    """Many rows of equal length, possibly memory-mapped in several pieces. NumPy arrays satisfy `as_vectors`."""

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        """The pieces in row order, each a 2-d array, zero-copy."""
        ...

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """A copy of these rows, in the order asked for."""
        ...

    def to_numpy(self) -> npt.NDArray[Any]:
        """All rows as one array: zero-copy if there is one piece, a copy otherwise."""
        ...


class View(Protocol):
    """Rows of a store at one moment. Row i is the same item in every method; the order is that of import."""

    def __len__(self) -> int: ...
    @property
    def columns(self) -> Sequence[str]: ...
    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table: ...
    def batches(
        self, columns: Sequence[str] | None = None, rows: int = 65536
    ) -> Iterator[pa.RecordBatch]: ...
    def vectors(self, column: str) -> Vectors: ...
    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str] | None = None) -> pa.Table:
        """These rows, in the order asked for."""
        ...

    def compute(self, expression: str) -> pa.ChunkedArray:
        """The value of a plain expression over columns (`clip_score * 2`), one per row."""
        ...

    def sql(self, query: str, columns: Sequence[str]) -> pa.Table:
        """Run a DuckDB query in which the relation `view` has these columns and `_row` (int64 position)."""
        ...

    @property
    def scratch(self) -> Path | None:
        """A folder for what is set aside while something is worked out (`curate.spool`); None where all is held in memory."""
        ...

    # Work by pieces. A piece is a view too: `rows` rows (PIECE_ROWS by default) or a few more, cut where parts end, whoever
    # works on it; `first` is the row of the whole view that is its row 0. Here pieces are worked on one after another, in
    # a run on a cluster by its workers: functions (module-level ones, or `functools.partial`s), arguments and results travel
    # pickled. What comes back in its order and is combined in it gives the same bytes everywhere. A function may be called
    # again for the same piece. Its CurateError is raised as it is; for any other a RunError names the rows.

    def spread(self, function: Callable[[View, int], R], rows: int | None = None) -> Iterator[R]:
        """`function(piece, first)` of every piece, lazily, in row order."""
        ...

    def share(self, function: Callable[[View, T], R], tasks: Iterable[T]) -> Iterator[R]:
        """`function(view, task)` of every task, with the whole view, lazily, in the order of the tasks."""
        ...

    def resident(
        self, make: Callable[[View, int], Any], rows: int | None = None
    ) -> AbstractContextManager[Held]:
        """`make(piece, first)` of every piece, kept where it was made while the block lasts, for work in rounds."""
        ...


class Held(Protocol):
    """What `View.resident` keeps of each piece. Pieces are numbered from 0 in row order, results come in this order.

    Where a worker dies its states are made anew and told again what they were told: they depend on nothing else.
    """

    @property
    def firsts(self) -> Sequence[int]:
        """The row of the view with which each piece begins."""
        ...

    def ask(self, method: str, *args: Any) -> list[Any]:
        """`state.method(*args)` of every piece, which must not change what it will answer."""
        ...

    def ask_some(self, method: str, given: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """The same of some pieces, by their numbers, each with arguments of its own."""
        ...

    def tell(self, method: str, *args: Any) -> list[Any]:
        """The same of every piece, where it does change it. The arguments are kept, for states made anew."""
        ...


# --- Scorers ----------------------------------------------------------------------------------------------------


@runtime_checkable
class Scorer(Protocol):
    """Gives every item a score, and possibly details or a vector. A frozen dataclass: its fields are its whole
    configuration; constructing one touches neither disk nor network.

    `needs` names columns or roles (`kinds.ROLES`); `gives` is one main score or vector plus flags and details.
    `score(batch)` gets a record batch with `id` and what it needs, and returns one with the fields of `gives`, rows
    in the same order, plus `reason_name(name)` (string): where a row cannot be scored all its values are null and
    the reason says why. It must not depend on what else is in the batch.

    `processes` says that `score` is Python-heavy and may run in worker processes.

    A scorer, like a selector or an analysis, may have `ready()`, which loads nothing and raises what it surely will for want of a
    package, of weights or of an address (`errors.check_installed`, `weights.check_model`): a recipe asks before its first
    step runs.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    processes: ClassVar[bool]

    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def gives(self) -> tuple[pa.Field, ...]: ...
    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch: ...


@runtime_checkable
class FittingScorer(Protocol):
    """A scorer that must see everything first (duplicates, k-NN, confident learning).

    `fit(view)` sees all rows that are to be scored, with the columns in `needs`, and returns a scorer whose batches
    carry `ROW` (the position in that view) beside `id`, and nothing else.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def gives(self) -> tuple[pa.Field, ...]: ...
    def fit(self, view: View) -> Scorer: ...


# --- Selections -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Selection:
    """Which items were chosen, in which order, with what weight, and why. It points at items, never copies them.

    `index`   (k,) int64: rows of the view (or array) selected from, best first. Where they are many, `index` and `gain` may
              be mapped from a file, and cannot be written to.
    `weight`  (k,) float32 training weight, mean 1 unless the selector says otherwise; None = all 1.
    `gain`    (k,) float32 what each item added when it entered; None where the notion does not apply.
    `reason`  (k,) strings, or one string for all, why each was kept.
    `seed`, `seconds`, `memory` (bytes, peak above the start): how it was made.
    `random`  how the same budget at random did on the selector's own objective, as {"objective": ..., "random": ...}.
    """

    index: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32] | None = None
    gain: npt.NDArray[np.float32] | None = None
    reason: Sequence[str] | str = ""
    seed: int | None = None
    seconds: float | None = None
    memory: int | None = None
    random: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)


@runtime_checkable
class Selector(Protocol):
    """Chooses items. A frozen dataclass like a scorer. `select` must be a pure function of its arguments;
    ties break by `id`, so that the same input gives the same bytes.

    A selector whose field `cost` is set takes the budget in units of that cost. One that is `budgeted` (a class variable, true)
    chooses nothing without a budget: a recipe that gives it none is refused before its first step runs. It may have a method
    `estimate(n, d, budget) -> {"seconds": ..., "bytes": ...}`: what choosing a count `budget` of `n` items, whose first
    vector among `needs` has `d` numbers, will take on one core; `plan` shows it before anything runs.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def needs(self) -> tuple[str, ...]: ...
    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection: ...


# --- Annotators -------------------------------------------------------------------------------------------------


@runtime_checkable
class Annotator(Protocol):
    """Sends items of a store to people and brings back every answer. A dataclass: its fields say where to.

    `push` (template, params, where, within, ids, round, guesses, dry_run) makes a task for each item meant that has none
    in this round; `pull` records every answer that is not recorded yet (`records.ANSWERS`). Both are idempotent, survive being
    killed and give receipts; `status` has a row for each round. `curate.testing.check_annotator` tries all that. Before the
    first step of a recipe runs it is asked what can be told then, where it has the methods: `ready()` raises where an address,
    a token or a folder is missing, `check(dataset, columns, template, params, round, guesses)` what `push` will raise
    whatever the items of the store `dataset` hold; `columns` are those that they will have, None where nobody knows.
    """

    name: ClassVar[str]

    def push(self, store: Any, **what: Any) -> Mapping[str, Any]: ...
    def pull(self, store: Any) -> Mapping[str, Any]: ...
    def status(self, store: Any) -> Any: ...


# --- Analyses ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One thing found about a whole data set: a sentence or two, and where useful a table and how to draw it.

    `text` says what was found and what follows from it, numbers with their units and intervals.
    `table` is the evidence. `chart` draws it: `bars` (first column the name, second the length; with columns `low` and
    `high` a point and its interval), `line` (first column x, each further one a line; columns `low` and `high` a band, `NAME low` and `NAME high` bars at line NAME),
    `matrix` (first column the row's name, the others counts or shares); empty shows the table alone.
    `serious` marks what would make results wrong if nobody acted.
    """

    title: str
    text: str
    table: pa.Table | None = None
    chart: Literal["", "bars", "line", "matrix"] = ""
    serious: bool = False


@dataclass(frozen=True)
class Findings:
    """What an analysis says: one sentence that sums it up, then the findings, most important first."""

    summary: str
    findings: tuple[Finding, ...] = ()


@runtime_checkable
class Analysis(Protocol):
    """Says something about a data set as a whole, where a scorer says something about each item: class overlap,
    drift, how far to trust each annotator. A frozen dataclass like a scorer; a pure function of the view's rows,
    whatever their order.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def needs(self) -> tuple[str, ...]: ...
    def analyse(self, view: View) -> Findings: ...
