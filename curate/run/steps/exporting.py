"""`export`: the current set or a selection, written as a data set of its own with manifest, card and metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curate.contracts import digest
from curate.errors import InputError, UnknownNameError
from curate.formats import export
from curate.formats.chats import as_chats, chat_sources, check_chat
from curate.kinds import KINDS
from curate.media import MediaPolicy
from curate.recipe.model import ExportStep
from curate.run.components import columns_digest, rows_by_part
from curate.run.context import RunContext
from curate.run.history import manual_steps
from curate.run.ledger import StepRecord
from curate.store import StoreView
from curate.store.writer import SELECTION

SELECTION_COLUMNS = ("rank", "weight", "gain", "reason")

_LOOKING = ("analyse", "compare", "report", "export")
"""Steps that leave every item as it is: an export is the same one whoever looked at the items meanwhile."""


def run_export(context: RunContext, step: ExportStep) -> StepRecord:
    """Execute one `export` step: complete or absent; what is there already and intact is left alone."""
    name = step.selection or context.kept
    view = context.selection(step.selection) if step.selection else context.view()
    kinds = item_kinds(view)
    check_kinds(kinds, view.columns)
    kinds = kinds or list(view.kinds())[:1]  # an empty selection is a data set too, of no rows
    if not kinds:
        raise InputError("there is nothing to export: the store holds no items")
    kind, columns = KINDS[kinds[0]], chosen_columns(view, step.columns)
    if step.chat:
        check_chat(step.format, kind)
        columns = list(dict.fromkeys([*columns, *chat_sources(kind, view.columns)]))
    out = context.path(step.export)
    title = f"export {step.export} ({step.format})"
    with context.record("export", step.export, title, selection=name, columns=columns) as record:
        manifest = describe(context, step, name, columns, view)
        record.digest = digest("export", manifest, step.format, step.media)
        schema = row_schema(view, columns, selected=name is not None)
        batches = rows(context, view, name, columns, schema)
        if step.chat:
            batches = (as_chats(batch, kind) for batch in batches)
            schema = as_chats(pa.RecordBatch.from_pylist([], schema=schema), kind).schema
        result = export(
            batches,
            out,
            format=step.format,
            kind=kind,
            manifest=manifest,
            media=step.media,
            schema=schema,
            policy=MediaPolicy(hosts=allowed_hosts(context)),
            overwrite=step.overwrite,
        )
        record.counts = {
            "rows": result.rows,
            "files": result.files,
            "bytes": result.bytes,
            "failed": result.failed,
        }
        record.computed, record.reused = (result.rows, False) if result.written else (0, True)
    return record


def _telling(kinds: Sequence[str], there: Sequence[str]) -> str:
    """A column that items of one of these kinds need and those of the others do not have."""
    for kind in kinds:
        others = {column for other in kinds if other != kind for column in KINDS[other].columns}
        for column in (column for those in KINDS[kind].needed.values() for column in those):
            if column in there and column not in others:
                return column
    return "label"


def item_kinds(view: StoreView) -> list[str]:
    """The kinds of the items of a view, in order of first appearance."""
    if len(view.kinds()) < 2:
        return list(view.kinds()) if len(view) else []
    return list(dict.fromkeys(part.kind for part, _ in rows_by_part(view, view.snapshot) if part.kind))


def check_kinds(kinds: Sequence[str], columns: Sequence[str]) -> None:
    """Raises InputError for items of several kinds: a data set has one schema."""
    if len(kinds) > 1:
        raise InputError(
            f"the items to export are of several kinds ({', '.join(kinds)}): keep one first, "
            f"as with keep: {_telling(kinds, columns)} is not null"
        )


def allowed_hosts(context: RunContext) -> frozenset[str]:
    """Hosts that the recipe's imports may fetch media from: an export may do so too."""
    steps = (context.run.recipe or {}).get("steps", [])
    return frozenset(host for step in steps for host in step.get("hosts", ()))


def chosen_columns(view: StoreView, asked: tuple[str, ...]) -> list[str]:
    """The columns to export: those asked for, or all that are not hidden; `id` comes first."""
    for column in asked:
        if column not in view.columns:
            raise UnknownNameError("column", column, view.columns)
    return list(dict.fromkeys(["id", *(asked or view.columns)]))


def rows(
    context: RunContext, view: StoreView, name: str | None, columns: list[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Batches of the rows in import order, with rank, weight, gain and reason if selected."""
    lookup = _selected(context, name) if name else None
    start, seqs = 0, view.seqs()
    for batch in view.batches(columns, rows=8192):
        out: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
        if lookup is not None:
            order, table = lookup
            position = np.searchsorted(order, seqs[start : start + batch.num_rows])
            picked = table.take(pa.array(position))
            out |= {c: picked[c].combine_chunks() for c in SELECTION_COLUMNS if c not in out}
        start += batch.num_rows
        yield pa.record_batch([out[field.name] for field in schema], schema=schema)


def _told(step: StepRecord) -> dict[str, Any]:
    """A step as the manifest tells it. An import's own history (what was there already, when files were touched) says
    nothing about the rows and is left out: the same rows must give the same manifest."""
    common = {"step": step.title, "kind": step.kind, "reasons": step.reasons, "expression": step.expression}
    if step.kind == "import":
        counts = {key: step.counts.get(key, 0) for key in ("read", "rejected")}
        return {**common, "counts": counts, "after": step.after}
    return {
        **common,
        "digest": step.digest,
        "counts": step.counts,
        "before": step.before,
        "after": step.after,
    }


def row_schema(view: StoreView, columns: list[str], *, selected: bool) -> pa.Schema:
    """The fields of the batches that `rows` gives."""
    fields = [view.schema.field(column) for column in columns]
    if selected:
        fields += [
            field for field in SELECTION if field.name in SELECTION_COLUMNS and field.name not in columns
        ]
    return pa.schema(fields)


def _selected(context: RunContext, name: str) -> tuple[np.ndarray[Any, Any], pa.Table]:
    table = context.store.selection_table(name).sort_by("seq")
    return table["seq"].to_numpy(), table


def describe(
    context: RunContext, step: ExportStep, name: str | None, columns: list[str], view: StoreView
) -> dict[str, Any]:
    """What the manifest says about how this data set came to be. Holds nothing that differs between two equal runs."""
    snapshot = context.store.snapshot()
    info = snapshot.selections.get(name) if name else None
    told = context.run.steps if context.run.recipe else manual_steps(context.store)
    steps = [_told(step) for step in told if step.kind not in _LOOKING]
    return {
        "recipe": context.run.recipe,
        "recipe_digest": context.run.recipe_digest,
        "seed": context.run.seed,
        "input": digest(snapshot.digest, info.digest if info else None, columns_digest(snapshot, columns)),
        "selection": name,
        "selection_digest": info.digest if info else None,
        "selection_stats": {
            k: v for k, v in (info.stats if info else {}).items() if k not in ("seconds", "memory")
        },
        "scores": {
            s.name: {
                "scorer": s.scorer,
                "version": s.scorer_version,
                "params": dict(s.params),
                "digest": s.digest,
            }
            for s in snapshot.sets.values()
            if set(s.schema().names) & set(columns)
        },
        "rows": len(view),
        "steps": steps,
        **({"chat": True} if step.chat else {}),
    }
