"""`score`: a scorer's columns for every item of the current set; new items only, part by part.

A scorer of single items is asked for the rows that have no answer yet. A scorer that must see everything is fitted
again when the set changed; of its parts, those that came out the same are left as they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from curate import registry
from curate.contracts import FittingScorer, Scorer, column_name, component_digest, digest, reason_name
from curate.counting import counted
from curate.errors import RunError, SchemaError
from curate.recipe.model import ScoreStep
from curate.run.aligned import asked_rows
from curate.run.components import Homes, applies, columns_digest, configure, rows_by_part, supply
from curate.run.context import RunContext, plain_params
from curate.run.ledger import StepRecord
from curate.run.scoring import ScoredPart, ScoreTask, fit_tasks, score_part
from curate.store import ColumnSet, NewPart, PartStore, PartWriter, Snapshot, StoreView
from curate.store.excerpt import excerpts
from curate.store.places import receive
from curate.store.remote import Remote, open_remote

COMMIT_EVERY = 1.0
"""Seconds of work between two commits: what a kill can cost."""


def run_score(context: RunContext, step: ScoreStep) -> StepRecord:
    """Execute one `score` step; see the module."""
    view = context.view(step.where, everything=step.all)
    scorer = configure("scorers", step.score, step.params, view)
    supply(scorer, view, lambda needed: bring_up(context, needed, step))
    view = context.view(step.where, everything=step.all)  # the needs may just have been made
    column_set = bind(scorer, step.name, context.store.snapshot())
    return _run(context, step, view, scorer, column_set)


def bring_up(
    context: RunContext, needed: ScoreStep, by: ScoreStep | None = None, *, where: str | None = None
) -> None:
    """Bring a column that another step needs up to date; told as a step of its own the first time in a run.

    It is asked of the rows that the scoring step `by` is for, or of those for which `where` holds that a select or an
    analysis looks at; where a scorer judges each item by all others it goes on seeing all.
    """
    step = needed.model_copy(update={"where": by.where, "all": by.all}) if by else needed
    view = context.view(step.where, everything=step.all)
    scorer = configure("scorers", step.score, step.params, view)
    if where is not None and not isinstance(scorer, FittingScorer):
        step = step.model_copy(update={"where": where})
        view = context.view(where)
    snapshot = context.store.snapshot()
    column_set = bind(scorer, step.name, snapshot)
    # A column that was never made has nothing pending either where what it needs must be made first.
    if _bound(snapshot, column_set) and not any(
        True for _ in pending(context.store, view, snapshot, scorer, column_set)
    ):
        told = _covers(context.scored.get(column_set.digest, ()), view)
        # Answers fitted on other rows stand: fitting again on fewer would change them under the user's hands.
        fitted = isinstance(scorer, FittingScorer)
        if told or (fitted and not is_done(context.store, snapshot, scorer, column_set, view)):
            return
    run_score(context, step)


def _run(
    context: RunContext, step: ScoreStep, view: StoreView, scorer: Any, column_set: ColumnSet
) -> StepRecord:
    title = f"score {step.score}" + (f" as {step.name}" if step.name else "")
    names = [f for f in column_set.schema().names if f != reason_of(column_set)]
    with context.record("score", step.score, title, params=plain_params(scorer), columns=names) as record:
        snapshot = context.store.snapshot()
        record.digest = score_digest(snapshot, scorer, column_set, view)
        known = context.store.recall(record.digest)
        if known and _stands(snapshot, scorer, column_set, known):
            record.counts, record.reasons, record.reused = known["counts"], known["reasons"], True
            record.notes = known.get("notes", [])
        else:
            _score(context, view, scorer, column_set, record)
        context.scored.setdefault(column_set.digest, []).append(_extent(view))
    return record


def _extent(view: StoreView) -> tuple[Any, ...]:
    """Which rows a view shows, as the run came to them: the newest there was, and each narrowing."""
    items = view.snapshot.items
    return (items[-1].seq_lo + items[-1].rows if items else 0, *view.steps)


def _covers(told: Iterable[tuple[Any, ...]], view: StoreView) -> bool:
    """Whether one of the views that were scored showed all rows of this one, by how both were narrowed. Of others a step is
    told also where no row is left to score: a run that is repeated must tell the very same steps."""
    extent = _extent(view)
    return any(extent[: len(one)] == one for one in told)


def score_digest(snapshot: Snapshot, scorer: Any, column_set: ColumnSet, view: StoreView) -> str:
    """Identity of scoring these rows with this scorer over these inputs."""
    return digest("score", column_set.digest, view.digest, columns_digest(snapshot, scorer.needs))


def is_done(
    store: PartStore, snapshot: Snapshot, scorer: Any, column_set: ColumnSet, view: StoreView
) -> bool:
    """Whether this scoring was done before and still stands."""
    known = store.recall(score_digest(snapshot, scorer, column_set, view))
    return bool(known) and _stands(snapshot, scorer, column_set, known or {})


def _stands(snapshot: Snapshot, scorer: Any, column_set: ColumnSet, known: Mapping[str, Any]) -> bool:
    """Whether a remembered step still describes the store: a scorer fitted on other rows since has replaced it."""
    if not _bound(snapshot, column_set):
        return False
    return not isinstance(scorer, FittingScorer) or known.get("parts") == _parts_digest(snapshot, column_set)


def _parts_digest(snapshot: Snapshot, column_set: ColumnSet) -> str:
    return columns_digest(snapshot, column_set.schema().names)


def _bound(snapshot: Snapshot, column_set: ColumnSet) -> bool:
    bound = snapshot.sets.get(column_set.name)
    return bound is not None and bound.digest == column_set.digest


def reason_of(column_set: ColumnSet) -> str:
    """The reason column of a set."""
    return reason_name(column_set.name)


# --- Names and identity -----------------------------------------------------------------------------------------


def bind(scorer: Any, alias: str | None, snapshot: Homes) -> ColumnSet:
    """The column set a configured scorer writes, under its own name or an alias.

    Raises SchemaError if one of its columns exists already and is not its own, or the alias is another scorer's name.
    """
    base, name = column_name(scorer.name), alias.replace("-", "_") if alias else column_name(scorer.name)
    if name != base and name in map(column_name, registry.names("scorers")):
        raise SchemaError(
            f"{alias!r} is the name of another scorer, and {scorer.name}'s columns would be taken for its; give them another "
            "name with `as`"
        )
    fields = [f.with_name(renamed(f.name, base, name)) for f in scorer.gives]
    fields.append(pa.field(reason_name(name), pa.string()))
    for field in fields:
        home = snapshot.column_home.get(field.name)
        if field.name in snapshot.column_home and (home is None or home.name != name):
            owner = f"scorer {home.scorer!r}" if home else "the items themselves"
            raise SchemaError(
                f"{scorer.name} would write the column {field.name!r}, which belongs to {owner}; "
                "give its columns another name with `as`"
            )
    reads = [home.digest for need in scorer.needs if (home := snapshot.column_home.get(need))]
    identity = digest("column-set", name, component_digest(scorer), sorted(set(reads)))
    schema = pa.schema(fields).serialize().to_pybytes()
    return ColumnSet(name, identity, schema, scorer.name, scorer.version, plain_params(scorer))


def renamed(field: str, base: str, name: str) -> str:
    """A scorer's field under an alias: its own name replaced where it begins with it, otherwise prefixed."""
    if base == name:
        return field
    return name + field[len(base) :] if field.startswith(base) else f"{name}_{field}"


# --- Work -------------------------------------------------------------------------------------------------------


def _score(
    context: RunContext, view: StoreView, scorer: Any, column_set: ColumnSet, record: StepRecord
) -> None:
    snapshot = context.store.snapshot()
    with context.progress.step(record.title, len(view)) as meter:
        if isinstance(scorer, FittingScorer):
            started = time.perf_counter()
            fitted = scorer.fit(view)
            record.spend(None, {"model": time.perf_counter() - started})
            record.notes = [str(note) for note in getattr(fitted, "notes", ())]
            for note in record.notes:
                context.progress.note(f"{scorer.name}: {note}")
            results = fit_tasks(context.store, view, snapshot, fitted, column_set)
            _commit_all(context, results, snapshot, column_set, record, meter, atomic=True)
        else:
            tasks = list(pending(context.store, view, snapshot, scorer, column_set))
            if tasks:
                context.share()  # workers read what is published
            with context.store.writer() as writer:
                leased = [replace(task, writer=writer.writer_id, store=context.place) for task in tasks]
                results = _answers(context, leased, scorer, writer, record)
                _commit_all(context, results, snapshot, column_set, record, meter, atomic=False)
    if record.error is None:
        _count(context, view, scorer, column_set, record)
    failed_parts = record.counts.pop("failed_parts", 0)
    if failed_parts:
        first = next(iter(record.reasons))
        raise RunError(
            f"{scorer.name}: {counted(failed_parts, 'part')} could not be scored; the first said: {first}"
        )
    result = {"counts": record.counts, "reasons": record.reasons, "notes": record.notes}
    result["parts"] = _parts_digest(context.store.snapshot(), column_set)
    context.commit("score", step=(record.digest, result), columns=[column_set])


def pending(
    store: PartStore, view: StoreView, snapshot: Snapshot, scorer: Scorer, column_set: ColumnSet
) -> Iterator[ScoreTask]:
    """The parts, and the rows in them, that this scorer has not been asked about yet."""
    excerpt = excerpts(snapshot, scorer.needs)
    for part, rows in rows_by_part(view, snapshot):
        if not applies(scorer, part, snapshot):
            continue
        old = snapshot.aligned.get((column_set.digest, part.part_id), ())
        if old:
            if all(p.stats.get("asked") == part.rows for p in old):
                continue
            rows = rows[~asked_rows(store.path, old, reason_of(column_set))[rows]]
            if not len(rows):
                continue
        yield ScoreTask(str(store.path), excerpt(part), part, rows, scorer, column_set, tuple(old))


def _answers(
    context: RunContext, tasks: list[ScoreTask], scorer: Scorer, writer: PartWriter, record: StepRecord
) -> Iterator[ScoredPart]:
    at_hand, remote = context.place == str(context.store.path), open_remote(context.place)
    for outcome in context.runner.map(score_part, tasks, processes=bool(getattr(scorer, "processes", False))):
        if outcome.value is not None:
            yield outcome.value if at_hand else _received(outcome.value, writer, remote)
        else:
            record.counts["failed_parts"] = record.counts.get("failed_parts", 0) + 1
            record.reasons[f"part {outcome.task.base.part_id}: {outcome.error}"] = outcome.task.base.rows


def _received(made: ScoredPart, writer: PartWriter, remote: Remote) -> ScoredPart:
    """What a worker made elsewhere, once its files are in this store."""
    started = time.perf_counter()
    receive(writer, remote, made.parts)
    transfer = made.times["transfer"] + time.perf_counter() - started
    return replace(made, times={**made.times, "transfer": transfer})


def _commit_all(
    context: RunContext,
    results: Iterator[ScoredPart],
    snapshot: Snapshot,
    column_set: ColumnSet,
    record: StepRecord,
    meter: Any,
    *,
    atomic: bool,
) -> None:
    """Commit finished parts, every second or (atomic) all at once.

    Atomic is one fit: answers of an earlier fit for parts that this one did not see go, for two fits must not be read
    as one column.
    """
    add: list[NewPart] = []
    remove: list[str] = []
    seen: set[str] = set()
    # how a person is told of a part
    rows_of = {p.part_id: f"rows {p.seq_lo:,} to {p.seq_lo + p.rows - 1:,}" for p in snapshot.items}
    last = time.monotonic()
    for result in results:
        seen.add(result.base)
        live = {part.part_id for part in snapshot.aligned.get((column_set.digest, result.base), ())}
        fresh = {part.part_id for part in result.parts}
        add += [part for part in result.parts if part.part_id not in live]
        remove += sorted(live - fresh)
        record.computed += result.rows
        meter.advance(result.rows)
        if result.times:
            record.spend(None if atomic else rows_of[result.base], result.times)
        if not atomic and time.monotonic() - last > COMMIT_EVERY:
            _commit(context, record, add=add, remove=remove, columns=[column_set])
            add, remove, last = [], [], time.monotonic()
    if atomic:
        for (owner, base), parts in snapshot.aligned.items():
            if owner == column_set.digest and base not in seen:
                remove += sorted(part.part_id for part in parts)
    if add or remove:
        _commit(context, record, add=add, remove=remove, columns=[column_set])


def _commit(context: RunContext, record: StepRecord, **changes: Any) -> None:
    started = time.perf_counter()
    context.commit("score", **changes)
    record.spend(None, {"commit": time.perf_counter() - started})


def _count(
    context: RunContext, view: StoreView, scorer: Any, column_set: ColumnSet, record: StepRecord
) -> None:
    """Exact counts of how things stand, read back from what was committed."""
    reason = reason_of(column_set)
    if not _bound(context.store.snapshot(), column_set):
        context.commit("score", columns=[column_set])
    fresh = context.store.view().at(view.seqs()) if len(view) else context.store.view()
    query = f'select "{reason}" as why, count(*) as n from view group by 1 order by 2 desc, 1'
    counted: Mapping[str, list[Any]] = (
        fresh.sql(query, [reason]).to_pydict() if len(view) else {"why": [], "n": []}
    )
    reasons = {why: n for why, n in zip(counted["why"], counted["n"], strict=True) if why is not None}
    no_part = reasons.pop("not asked", 0)
    rows = sum(counted["n"])
    failed = sum(reasons.values())
    not_applicable = no_part + _uncovered(context, view, column_set)
    record.counts |= {
        "rows": rows,
        "scored": rows - failed - not_applicable,
        "failed": failed,
        "not_applicable": not_applicable,
    }
    record.reasons |= reasons


def _uncovered(context: RunContext, view: StoreView, column_set: ColumnSet) -> int:
    snapshot = context.store.snapshot()
    return sum(
        len(rows)
        for part, rows in rows_by_part(view, snapshot)
        if (column_set.digest, part.part_id) not in snapshot.aligned
    )
