"""`import`: read a source batch by batch; each batch becomes one item part, or a list of rejections, or both.

A batch is read, checked, hashed, compared with what the store holds, and written; finished batches are committed
every second together with how far the source was read. A run that was killed goes on at the next batch and ends with
the same parts and the same counts as one that was not.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from curate.contracts import digest
from curate.errors import ConflictError, InputError
from curate.formats import open_source
from curate.kinds import kind as kind_of
from curate.recipe.model import ImportStep
from curate.run.context import RunContext
from curate.run.importer import Importer
from curate.run.ledger import StepRecord

COMMIT_EVERY = 1.0
"""Seconds of work between two commits: what a kill can cost."""


def name_source(source: Any) -> tuple[str, Any]:
    """What a step calls its source, and what lies in memory in place of a path: None where it is a path.

    Raises InputError for None, which is neither.
    """
    if source is None:
        raise InputError(
            "None is no source: a path, a frame, an array, a datasets.Dataset or a list is meant"
        )
    return (str(source), None) if isinstance(source, (str, Path)) else (f"<{type(source).__name__}>", source)


def run_import(context: RunContext, step: ImportStep, data: Any = None) -> StepRecord:
    """Execute one `import` step; `data` is a frame or dataset in memory in place of the step's path."""
    settings = step.plain()
    with context.record("import", step.source, f"import {step.source}", params=settings) as record:
        source = source_of(context, step, data)
        record.digest = identity(source, step) or ""
        known = context.store.recall(record.digest) if record.digest else None
        if known and known["done"]:
            record.counts, record.reasons, record.reused = known["counts"], known["reasons"], True
            record.before = known.get("before", record.before)
        else:
            _read(context, step, source, record, known)
    return record


def source_of(context: Any, step: ImportStep, data: Any = None) -> Any:
    """The opened source of a step; nothing but its listing is read yet."""
    return open_source(
        data if data is not None else context.path(step.source),
        kind_of(step.kind),
        format=step.format,
        columns=step.columns or None,
        id=step.id,
        texts=step.texts,
    )


def import_digest(context: Any, step: ImportStep) -> str:
    """Identity of importing a source as it is now; empty where only reading can tell (frames in memory)."""
    return identity(source_of(context, step), step) or ""


def identity(source: Any, step: ImportStep) -> str | None:
    """Digest of the source's fingerprint and of everything that changes what is read from it."""
    fingerprint = source.fingerprint()
    if fingerprint is None:
        return None
    settings = {k: v for k, v in step.plain().items() if k != "import"}
    return digest("import", fingerprint, settings)


def _read(context: RunContext, step: ImportStep, source: Any, record: StepRecord, known: Any) -> None:
    importer = Importer(context, step, record.digest, known)
    _tell(record, importer)
    done = known["batches"] if known else 0
    last = time.monotonic()
    with (
        context.progress.step(record.title, getattr(source, "rows", None)) as meter,
        context.store.writer() as writer,
    ):
        for number, batch in enumerate(source.batches(step.part_rows)):
            if number < done:
                importer.skip(batch)
                continue
            importer.take(batch, writer)
            record.computed += batch.table.num_rows
            meter.advance(batch.table.num_rows + batch.rejected.num_rows)
            if time.monotonic() - last > COMMIT_EVERY:
                _commit(context, importer, writer, number + 1, done=False)
                _tell(record, importer)
                last = time.monotonic()
        _commit(context, importer, writer, -1, done=True)
    _tell(record, importer)


def _tell(record: StepRecord, importer: Importer) -> None:
    """Note what is in the store by now: that is what stands where the import is interrupted."""
    record.counts, record.reasons, record.before = importer.counts, importer.reasons, importer.before


def _commit(context: RunContext, importer: Importer, writer: Any, batches: int, *, done: bool) -> None:
    """Commit the finished batches; if another process changed the items meanwhile, compare with them and try again."""
    for _ in range(5):
        try:
            changes = importer.changes(writer, {"batches": batches, "done": done, "before": importer.before})
            context.commit("import", **changes)
        except ConflictError:
            importer.compare_again(writer)
        else:
            importer.committed()
            return
    raise ConflictError(
        "the items were changed by another process five times in a row while importing; run again"
    )
