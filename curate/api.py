"""The store as users hold it: every step of a recipe as a method, every result as a view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.counting import counted
from curate.opened import OpenStore
from curate.recipe.model import (
    AnalyseStep,
    AttachStep,
    CompareStep,
    ExportStep,
    KeepStep,
    ScoreStep,
    SelectStep,
)
from curate.store import PartStore

if TYPE_CHECKING:
    from curate.analysed import Analysed
    from curate.compared import Compared
    from curate.formats.export import ExportResult
    from curate.recipe import Recipe
    from curate.run.explain import Explanation
    from curate.run.ledger import RunRecord, StepRecord
    from curate.selected import StoredSelection


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


class Store(OpenStore):
    """A store of items and everything known about them. Close it, or use it as a context manager.

    Methods that change something return a record of what they did (`StepRecord`); `items` is a lazy view of all rows
    and columns. Several processes may hold the same store open.
    """

    # --- Steps ------------------------------------------------------------------------------------------------

    def add(
        self,
        source: Any,
        *,
        kind: str,
        format: str | None = None,
        columns: Mapping[str, str | Sequence[str]] | None = None,
        id: str | None = None,
        texts: str | None = None,
        on_conflict: Literal["skip", "update", "error"] = "skip",
        check: Literal["decode", "header", "none"] = "decode",
        hosts: Sequence[str] = (),
        part_rows: int = 8192,
    ) -> StepRecord:
        """Import items: a path, a glob, a folder, a URL, a `datasets.Dataset`, or a pandas, Polars or Arrow frame.

        New items are added; rows whose id is known and whose content changed replace the old ones only with
        `on_conflict="update"`. Rows that cannot be taken are listed in `rejected`. `columns` maps ours to theirs; for several
        `labels` of an item it may name columns of 0 and 1, as "is_*" or ["cat", "dog"].
        Raises InputError and SchemaError with a suggestion where columns do not fit.
        """
        from curate.recipe.model import ImportStep
        from curate.run.steps.importing import name_source, run_import

        text, data = name_source(source)
        step = ImportStep.of(
            {
                "import": text,
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
        return run_import(self._context(), step, data)

    def attach(self, vectors: Any, *, name: str, ids: Any = None, key: str | None = None) -> StepRecord:
        """Join vectors (predicted probabilities, embeddings) to items by id: an array, .npy, .npz or Parquet file.

        `ids` is a list or a file of ids row by row, or "rows" where the rows are in the order of import.
        """
        from curate.run.steps.attaching import run_attach
        from curate.run.steps.importing import name_source

        text, data = name_source(vectors)
        step = AttachStep.of(
            {
                "attach": text,
                "as": name,
                "ids": str(ids) if isinstance(ids, (str, Path)) else None,
                "key": key,
            }
        )
        return run_attach(self._context(), step, data, None if isinstance(ids, (str, Path)) else ids)

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
        return self._run(ScoreStep.of({"score": scorer, "with": params, "as": name, "where": where}))

    def keep(
        self, expression: str, *, name: str | None = None, within: str | StoredSelection | None = None
    ) -> StoredSelection:
        """The items for which an expression over columns holds, as a stored selection that remembers why."""
        context = self._context()
        context.kept = self._known_selection(within)
        try:
            record = self._run(KeepStep.of({"keep": expression, "as": name}))
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
        within: str | StoredSelection | None = None,
        after: str | StoredSelection | None = None,
        **params: Any,
    ) -> StoredSelection:
        """Choose items by a registered selector: `budget` is a count, a fraction or "10%".

        `after` names a selection to continue: its items come first, in its order, and count in the budget.
        """
        context = self._context()
        context.kept = self._known_selection(within)
        try:
            fields = {"select": selector, "budget": budget, "with": params, "as": name, "where": where}
            fields |= {"after": self._known_selection(after)}
            record = self._run(SelectStep.of(fields))
        finally:
            context.kept = None
        return self.selections[str(record.selection)]

    def analyse(
        self,
        analysis: str,
        *,
        where: str | None = None,
        within: str | StoredSelection | None = None,
        **params: Any,
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
            record = self._run(AnalyseStep.of(fields))
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
        within: str | StoredSelection | None = None,
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
            record = self._run(CompareStep.of(fields))
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
        selection: str | StoredSelection | None = None,
        columns: Sequence[str] = (),
        media: str | None = None,
        chat: bool = False,
        overwrite: bool = False,
    ) -> StepRecord:
        """Write all items, or a selection with its weights, as a data set with manifest, card and Croissant metadata;
        with `chat` instructions and preferences as conversations."""
        fields = {
            "export": str(path),
            "format": format,
            "selection": self._known_selection(selection),
            "columns": tuple(columns),
            "media": media,
            "chat": chat,
            "overwrite": overwrite,
        }
        return self._run(ExportStep.of(fields))

    def compress(
        self,
        path: str | Path,
        predict: Callable[[Any], Any],
        *,
        selection: str | StoredSelection | None = None,
        label: str = "label",
        format: Literal["parquet", "jsonl", "csv", "datasets", "webdataset"] = "parquet",
        quality: int | None = None,
        overwrite: bool = False,
        per_class: int = 10,
        grid: int = 2,
        side: int = 64,
        crops: int = 5,
        smallest: float = 1.0,
        candidates: int = 300,
    ) -> ExportResult:
        """Write a few pictures for each class, stitched from the patches that `predict` is surest of, with soft labels of each.

        `predict` gives probabilities (b, C), classes sorted, for images (b, side, side, 3) uint8; the other
        parameters are those of `make_mosaics` and `write_mosaics` in `curate.formats.mosaic`, drawn by the store's
        seed. Train on cuts within patches: `draw_cuts` and `label_cuts` of `curate.formats.patches`.
        """
        from curate.formats.mosaic import compress_view

        named = self._known_selection(selection)
        view = self._context().selection(named) if named else self.items
        return compress_view(
            view,
            path,
            predict,
            label=label,
            format=format,
            quality=quality,
            overwrite=overwrite,
            per_class=per_class,
            grid=grid,
            side=side,
            crops=crops,
            smallest=smallest,
            candidates=candidates,
            seed=self.seed,
        )

    def run(
        self,
        recipe: Recipe | str | Path | Mapping[str, Any],
        *,
        on: str = "local",
        workers: int | None = None,
        gpus: float = 0.0,
        through: str | None = None,
    ) -> RunRecord:
        """Run a recipe (a file, or its plain values) on this store, whatever store it names.

        `on` says where parts are worked on: here, or by Ray (`curate.run.runner.choose_runner`), with so many `workers`, each
        with `gpus`. The outcome is the same. Machines that do not see the store's folder work `through` the address (s3://, gs://,
        az://, a folder) at which the store is published, before and after: ConflictError if others were faster there.
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
        context = begin(
            self.parts, recipe=recipe.plain(), seed=recipe.seed, base=base, runner=runner, through=through
        )
        return execute(context, recipe.steps)

    # --- Why, and showing it ----------------------------------------------------------------------------------

    def explain(self, id: str) -> Explanation:
        """Why this item is where it is: where it came from, its scores, and which step decided what, with values."""
        from curate.run.explain import explain

        return explain(self.parts, id)

    def report(
        self,
        path: str | Path,
        *,
        selection: str | StoredSelection | None = None,
        title: str | None = None,
        map_of: str | None = None,
        map_by: Literal["pca", "t-sne"] = "pca",
    ) -> Path:
        """Write the report: one HTML file that needs neither network nor server.

        `map_of`: the column of vectors that its map of items shows, laid out by two principal directions or by t-SNE.
        """
        from curate.report import write_report
        from curate.run.history import what_happened

        run = what_happened(self.parts)
        return write_report(
            self.parts,
            path,
            run=run,
            selection=self._known_selection(selection),
            title=title,
            map_of=map_of,
            map_by=map_by,
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
        return f"Store({str(self.path)!r}, {counted(snapshot.rows, 'item')}, {kinds}, version {snapshot.version})"


__all__ = ["Store", "clone", "open"]
