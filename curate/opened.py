"""An open store: its rows, its upkeep, and the session in which steps are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from curate.choosing import read_seed
from curate.recipe.model import Step
from curate.store import PartStore, StoreView

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.run.context import RunContext
    from curate.run.ledger import StepRecord
    from curate.selected import StoredSelection
    from curate.store import AnswersView, CompactReport, PublishReport

__all__ = ["OpenStore"]


class OpenStore:
    """What is in a store and how it is kept well; `curate.api.Store` adds the steps."""

    def __init__(self, parts: PartStore, *, seed: int = 0) -> None:
        self.parts = parts
        self.seed = read_seed(seed)
        self._session: RunContext | None = None

    # --- Rows -------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Where the store lies."""
        return self.parts.path

    @property
    def items(self) -> StoreView:
        """All live items with all their columns, lazily: `store.items.where("width > 200").to_polars()`."""
        return self.parts.view()

    def at(self, version: int | str) -> StoreView:
        """The items as they were at a version, or at a tag."""
        return self.parts.view(version)

    def __len__(self) -> int:
        return self.parts.snapshot().rows

    @property
    def selections(self) -> dict[str, StoredSelection]:
        """Named selections: what `select` and `keep` stored."""
        from curate.selected import StoredSelection

        return {name: StoredSelection(self.parts, name) for name in self.parts.snapshot().selections}

    @property
    def rejected(self) -> pa.Table:
        """Every row that an import refused: source, row, id, code, reason and the row itself, shortened."""
        return self.parts.rejected()

    @property
    def answers(self) -> AnswersView:
        """Every answer of annotators: item, annotator, round, control, value, skipped, created_at, touched, model_version
        and where it came from. Each version of each answer is a row; `store.answers.latest()` leaves the newest.
        """
        return self.parts.answers()

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """Records of the steps that were taken through this object, the newest last, those that were stopped too."""
        return tuple(self._session.run.steps) if self._session else ()

    @property
    def id(self) -> str:
        """The identity of the store, which a clone shares."""
        return self.parts.uuid

    def failed(self, scorer: str) -> StoreView:
        """Items that a scorer could not score; the reason is in the column `<scorer>_reason`."""
        from curate.contracts import reason_name

        name = reason_name(scorer)
        return self.items.where(f"{name} is not null and {name} <> 'not asked'")

    def sql(self, query: str) -> pa.Table:
        """Run a read-only DuckDB query over `items`, `answers`, every score by its name and every selection by its name.

        `store.sql("select label, avg(clip_score) from items join clip_score using (id) group by label")`
        """
        from curate.run.tables import query_tables

        return query_tables(self.parts, query)

    # --- Answers ----------------------------------------------------------------------------------------------

    def record_answers(
        self,
        answers: Any,
        *,
        columns: Mapping[str, str] | None = None,
        control: str = "label",
        source: str = "table",
    ) -> dict[str, int]:
        """Add answers of annotators; how many were `new`, how many `present`. None is ever changed.

        `answers` is a frame, or a .csv, .tsv, .parquet or .jsonl file, with a row for each answer: `item`, `annotator`,
        `value` (null: skipped), and where known `time`, `round`, `seconds`, `touched`, `skipped`, `control` (the question;
        `control` where the frame does not say); other columns are not looked at, `columns` maps these names to theirs.
        `source` says where the answers come from. Rows with all of `curate.records.ANSWERS` are taken as they are.
        Raises InputError naming items that are not in the store and answers that contradict each other.
        """
        from curate.store.answer_tables import complete_answers, is_complete, read_table
        from curate.store.answers import as_table

        table = as_table(read_table(answers) if isinstance(answers, (str, Path)) else answers)
        if columns or not is_complete(table):
            table = complete_answers(self.parts, table, columns=columns, control=control, source=source)
        return self.parts.record_answers(table)

    def gather_answers(self, *, control: str | None = None, name: str = "answers") -> StepRecord:
        """Bring what each annotator says in the end to the items: a column of lists that `consensus` and `annotators` read.

        `control` picks the question where there are several. Gathered again after more answers, the column is brought up to date.
        Raises InputError where nothing was answered.
        """
        from curate.run.steps.gathering import run_gather

        return run_gather(self._context(), control=control, name=name)

    # --- Keeping it well --------------------------------------------------------------------------------------

    def verify(self) -> list[Any]:
        """Re-read every part and compare it with what was committed; an empty list means all is well."""
        return list(self.parts.verify())

    def delete(self, ids: Sequence[object] | None = None, *, where: str | None = None) -> StepRecord:
        """Take items out of the store: those with these ids, or those for which an expression holds.

        Scores and stored selections no longer have them. Versions before still do, until `compact` and `gc` erase what
        the items held (docs/store.md). An import whose source still has them adds them again. Raises InputError for an id
        that is no item: then nothing is deleted.
        """
        from curate.run.steps.deleting import run_delete

        return run_delete(self._context(), [ids] if isinstance(ids, str) else ids, where)

    def gc(self, *, grace_seconds: float = 86400.0, keep_versions: int = 20, dry_run: bool = False) -> Any:
        """Delete files that none of the newest versions, no tag and no running process needs, and that are older than
        the grace period."""
        return self.parts.gc(grace_seconds=grace_seconds, keep_versions=keep_versions, dry_run=dry_run)

    def compact(
        self, *, part_rows: int = 8192, alongside: bool = False, dry_run: bool = False
    ) -> CompactReport:
        """Merge small parts into ones of at most `part_rows` rows, and leave out the content of deleted items.

        Nothing else changes: items, order, scores, selections and finished steps stay; old versions can be read until
        `gc` collects them. Raises BusyError while other processes write, unless `alongside`.
        """
        return self.parts.compact(part_rows=part_rows, alongside=alongside, dry_run=dry_run)

    def publish(self, url: str) -> PublishReport:
        """Upload what is new to a folder, s3://, gs://, az:// or another fsspec address, for `curate.clone`.

        Credentials come from the environment. Of two who publish different versions the slower gets ConflictError. A
        publication that was interrupted goes on when it is run again. Needs the extra `remote` for object stores.
        """
        return self.parts.publish(url)

    def tag(self, name: str, version: int | None = None) -> None:
        """Give the present version (or another) a name that keeps it from being collected."""
        self.parts.tag(name, version)

    def close(self) -> None:
        """Close the catalog and end worker processes."""
        if self._session is not None:
            self._session.runner.close()
            self.parts.end_run(self._session.run.run_id, "session", 0.0)
            self._session = None
        self.parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _context(self) -> RunContext:
        from curate.run.engine import begin

        if self._session is None:
            self._session = begin(self.parts, seed=self.seed)
        return self._session

    def _run(self, step: Step) -> StepRecord:
        from curate.run.engine import handler

        return handler(step.verb)(self._context(), step)

    def _known_selection(self, selection: str | StoredSelection | None) -> str | None:
        name: str | None = getattr(selection, "name", selection)  # type: ignore[arg-type]
        if name is not None:
            self._context().selection(name)
        return name
