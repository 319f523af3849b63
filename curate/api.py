"""The store as users hold it: every step of a recipe as a method, every result as a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from curate.recipe.model import (
    AnalyseStep,
    AttachStep,
    CompareStep,
    ExportStep,
    KeepStep,
    ScoreStep,
    SelectStep,
    Step,
)
from curate.store import PartStore, StoreView

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.analysed import Analysed
    from curate.compared import Compared
    from curate.recipe import Recipe
    from curate.run.context import RunContext
    from curate.run.explain import Explanation
    from curate.run.ledger import RunRecord, StepRecord
    from curate.selected import StoredSelection
    from curate.store import AnswersView, CompactReport, PublishReport


def open(path: str | Path, *, create: bool = False, seed: int = 0) -> Store:
    """Open the store at `path`; with `create`, make it where there is none.

    Raises StoreNotFoundError where there is none and `create` is false, StoreFormatError where it is not a store.
    """
    if create:
        return Store(PartStore.create(path, exist_ok=True), seed=seed)
    return Store(PartStore.open(path), seed=seed)


def clone(url: str, path: str | Path, *, seed: int = 0) -> Store:
    """A local store at `path` of what `Store.publish` published at `url`; again: what is new there comes too.

    Every file is compared with its hash. Raises StoreNotFoundError where nothing is published, ConflictError where the
    store at `path` went its own way, CorruptionError where what is published is damaged.
    """
    return Store(PartStore.clone(url, path)[0], seed=seed)


class Store:
    """A store of items and everything known about them. Close it, or use it as a context manager.

    Methods that change something return a record of what they did (`StepRecord`); `items` is a lazy view of all rows
    and columns. Several processes may hold the same store open.
    """

    def __init__(self, parts: PartStore, *, seed: int = 0) -> None:
        self.parts = parts
        self.seed = seed
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

    # --- Steps ------------------------------------------------------------------------------------------------

    def add(
        self,
        source: Any,
        *,
        kind: str,
        format: str | None = None,
        columns: Mapping[str, str] | None = None,
        id: str | None = None,
        texts: str | None = None,
        on_conflict: Literal["skip", "update", "error"] = "skip",
        check: Literal["decode", "header", "none"] = "decode",
        hosts: Sequence[str] = (),
        part_rows: int = 8192,
    ) -> StepRecord:
        """Import items: a path, a glob, a folder, a URL, a `datasets.Dataset`, or a pandas, Polars or Arrow frame.

        New items are added; rows whose id is known and whose content changed replace the old ones only with
        `on_conflict="update"`. Rows that cannot be taken are listed in `rejected`. `columns` maps ours to theirs.
        Raises InputError and SchemaError with a suggestion where columns do not fit.
        """
        from curate.recipe.model import ImportStep
        from curate.run.steps.importing import run_import

        text = source if isinstance(source, (str, Path)) else f"<{type(source).__name__}>"
        step = ImportStep.model_validate(
            {
                "import": str(text),
                "kind": kind,
                "format": format,
                "columns": dict(columns or {}),
                "id": id,
                "texts": texts,
                "on_conflict": on_conflict,
                "check": check,
                "hosts": tuple(hosts),
                "part_rows": part_rows,
            }
        )
        return run_import(self._context(), step, None if isinstance(source, (str, Path)) else source)

    def attach(self, vectors: Any, *, name: str, ids: Any = None, key: str | None = None) -> StepRecord:
        """Join vectors (predicted probabilities, embeddings) to items by id: an array, .npy, .npz or Parquet file.

        `ids` is a list or a file of ids row by row, or "rows" where the rows are in the order of import.
        """
        from curate.run.steps.attaching import run_attach

        is_path = isinstance(vectors, (str, Path))
        step = AttachStep.model_validate(
            {
                "attach": str(vectors) if is_path else f"<{type(vectors).__name__}>",
                "as": name,
                "ids": str(ids) if isinstance(ids, (str, Path)) else None,
                "key": key,
            }
        )
        return run_attach(
            self._context(), step, None if is_path else vectors, None if isinstance(ids, (str, Path)) else ids
        )

    def join(
        self, columns: Any, *, name: str, key: str = "id", origin: Mapping[str, Any] | None = None
    ) -> StepRecord:
        """Join plain columns of a frame (labels, ratings) to items by the ids in its column `key`; others are null.

        Under the same `name` again they replace what was there (`at` shows it). `origin` says how they were made.
        """
        from curate.run.steps.joining import run_join

        return run_join(self._context(), columns, name=name, key=key, origin=origin)

    def score(
        self, scorer: str, *, name: str | None = None, where: str | None = None, **params: Any
    ) -> StepRecord:
        """Run a registered scorer on the items (those for which `where` holds) that it has not answered yet.

        `params` are the scorer's own; an unknown one is refused with those there are. `curate list` shows all.
        """
        return self._run(
            ScoreStep.model_validate({"score": scorer, "with": params, "as": name, "where": where})
        )

    def keep(self, expression: str, *, name: str | None = None, within: str | None = None) -> StoredSelection:
        """The items for which an expression over columns holds, as a stored selection that remembers why."""
        context = self._context()
        context.kept = self._known_selection(within)
        try:
            record = self._run(KeepStep.model_validate({"keep": expression, "as": name}))
        finally:
            context.kept = None
        return self.selections[str(record.selection)]

    def select(
        self,
        selector: str,
        *,
        budget: int | float | str | None = None,
        name: str | None = None,
        where: str | None = None,
        within: str | None = None,
        after: str | None = None,
        **params: Any,
    ) -> StoredSelection:
        """Choose items by a registered selector: `budget` is a count, a fraction or "10%".

        `after` names a selection to continue: its items come first, in its order, and count in the budget.
        """
        context = self._context()
        context.kept = self._known_selection(within)
        try:
            fields = {"select": selector, "budget": budget, "with": params, "as": name, "where": where}
            fields |= {"after": after}
            record = self._run(SelectStep.model_validate(fields))
        finally:
            context.kept = None
        return self.selections[str(record.selection)]

    def analyse(
        self, analysis: str, *, where: str | None = None, within: str | None = None, **params: Any
    ) -> Analysed:
        """Let a registered analysis look at all items (those for which `where` holds, those of a selection `within`).

        What it finds is remembered, drawn in a notebook and shown by the report.
        """
        from curate.analysed import Analysed
        from curate.run.steps.analysing import recall_findings

        context = self._context()
        context.kept = self._known_selection(within)
        try:
            fields = {"analyse": analysis, "where": where, "with": params}
            record = self._run(AnalyseStep.model_validate(fields))
        finally:
            context.kept = None
        found = recall_findings(self.parts, record.digest)
        assert found is not None  # the step has just stored or found it
        return Analysed(analysis, found, record)

    def compare(
        self,
        selectors: Sequence[str] | Mapping[str, Mapping[str, Any]],
        *,
        budgets: Sequence[int | float | str] = ("1%", "5%", "10%", "30%"),
        embedding: str = "pixel_embedding",
        label: str = "label",
        test: str | None = None,
        model: Literal["logistic-regression", "mlp"] = "logistic-regression",
        seeds: int = 5,
        where: str | None = None,
        within: str | None = None,
    ) -> Compared:
        """Train the same small model on what each selector chooses at each budget, random beside, and draw the curves.

        `selectors`: registered names, or names of your own, each with its parameters and, under `select`, its selector.
        `test`: an expression for the items that measure, which are never chosen from; by default a quarter, others for
        each seed. What is found is remembered and shown by the report. For a model of your own: `curate.compare`.
        """
        from curate.compared import Compared
        from curate.run.steps.analysing import recall_findings

        asked = dict(selectors) if isinstance(selectors, Mapping) else tuple(selectors)
        fields = {
            "compare": asked,
            "budgets": tuple(budgets),
            "embedding": embedding,
            "label": label,
            "test": test,
            "model": model,
            "seeds": seeds,
            "where": where,
        }
        context = self._context()
        context.kept = self._known_selection(within)
        try:
            record = self._run(CompareStep.model_validate(fields))
        finally:
            context.kept = None
        found = recall_findings(self.parts, record.digest)
        assert found is not None  # the step has just stored or found it
        return Compared(found)

    def export(
        self,
        path: str | Path,
        *,
        format: str = "parquet",
        selection: str | None = None,
        columns: Sequence[str] = (),
        media: str | None = None,
        overwrite: bool = False,
    ) -> StepRecord:
        """Write all items, or a selection with its weights, as a data set with manifest, card and Croissant metadata."""
        fields = {
            "export": str(path),
            "format": format,
            "selection": selection,
            "columns": tuple(columns),
            "media": media,
            "overwrite": overwrite,
        }
        return self._run(ExportStep.model_validate(fields))

    def run(
        self,
        recipe: Recipe | str | Path | Mapping[str, Any],
        *,
        on: str = "local",
        workers: int | None = None,
        gpus: float = 0.0,
    ) -> RunRecord:
        """Run a recipe (a file, or its plain values) on this store, whatever store it names.

        `on` says where parts are worked on: here, or by Ray (`curate.run.runner.choose_runner`), with so many `workers`, each
        with `gpus`. The outcome is the same.
        """
        from curate.recipe import Recipe, read_recipe
        from curate.recipe.reader import build_recipe
        from curate.run.engine import begin, execute
        from curate.run.runner import choose_runner

        runner = choose_runner(on, workers, gpus)
        base = Path(recipe).parent if isinstance(recipe, (str, Path)) else Path()
        if isinstance(recipe, (str, Path)):
            recipe = read_recipe(recipe)
        elif not isinstance(recipe, Recipe):
            recipe = build_recipe({"store": str(self.path), **recipe})
        context = begin(self.parts, recipe=recipe.plain(), seed=recipe.seed, base=base, runner=runner)
        return execute(context, recipe.steps)

    def record_answers(self, answers: Any) -> dict[str, int]:
        """Add answers of annotators (a frame with the columns of `curate.contracts.ANSWERS`); how many were `new`, how
        many `present`. An answer that is there already is not added again, and none is ever changed.
        """
        return self.parts.record_answers(answers)

    # --- Why, and showing it ----------------------------------------------------------------------------------

    def explain(self, id: str) -> Explanation:
        """Why this item is where it is: where it came from, its scores, and which step decided what, with values."""
        from curate.run.explain import explain

        return explain(self.parts, id)

    def report(self, path: str | Path, *, selection: str | None = None, title: str | None = None) -> Path:
        """Write the report: one HTML file that needs neither network nor server."""
        from curate.report import write_report
        from curate.run.history import what_happened

        return write_report(
            self.parts, Path(path), run=what_happened(self.parts), selection=selection, title=title
        )

    def last_run(self) -> RunRecord | None:
        """The newest recipe run that ended well."""
        from curate.run.history import load_run

        return load_run(self.parts)

    def _repr_html_(self) -> str:
        from curate.report import store_html

        return store_html(self.parts)

    def __repr__(self) -> str:
        snapshot = self.parts.snapshot()
        kinds = ", ".join(snapshot.kinds()) or "empty"
        return f"Store({str(self.path)!r}, {snapshot.rows:,} items, {kinds}, version {snapshot.version})"

    # --- Keeping it well --------------------------------------------------------------------------------------

    def verify(self) -> list[Any]:
        """Re-read every part and compare it with what was committed; an empty list means all is well."""
        return list(self.parts.verify())

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

    def __enter__(self) -> Store:
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

    def _known_selection(self, name: str | None) -> str | None:
        if name is not None:
            self._context().selection(name)
        return name


__all__ = ["Store", "clone", "open"]
