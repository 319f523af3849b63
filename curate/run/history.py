"""The ledger read back: one run, or the steps that were done by hand, and totals."""

from __future__ import annotations

from curate.contracts import digest
from curate.run.ledger import RunRecord, StepRecord
from curate.store import PartStore


def load_run(store: PartStore, run_id: str | None = None) -> RunRecord | None:
    """A run of the ledger: that one, or the newest recipe run that ended well."""
    for row in store.runs():
        if row["run_id"] == run_id or (run_id is None and row["status"] == "done" and row["recipe"]):
            steps = [StepRecord.from_dict(step) for step in store.steps(row["run_id"])]
            return RunRecord(
                row["run_id"],
                row["status"],
                row["started"],
                row["seconds"] or 0.0,
                row["recipe"],
                row["recipe_digest"],
                row["seed"] or 0,
                steps,
            )
    return None


def summary(run: RunRecord) -> dict[str, int]:
    """Exact totals of a run: items kept, dropped, failed, rejected, and steps that were already done."""
    # A source that is read twice refuses its rows once.
    imports = {s.name: s for s in run.steps if s.kind == "import"}
    return {
        "kept": run.steps[-1].after if run.steps else 0,
        "dropped": sum(s.counts.get("dropped", 0) for s in run.steps if s.kind == "keep"),
        "failed": sum(s.counts.get("failed", 0) for s in run.steps),
        "rejected": sum(s.counts.get("rejected", 0) for s in imports.values()),
        "reused": sum(s.reused for s in run.steps),
    }


def manual_steps(store: PartStore) -> list[StepRecord]:
    """Steps done one by one (in a notebook, by commands), oldest first; a step done again is told once."""
    told: dict[str, StepRecord] = {}
    for row in reversed(store.runs()):
        if not row["recipe"]:
            for step in (StepRecord.from_dict(data) for data in store.steps(row["run_id"])):
                if not step.error:
                    told.setdefault(step.digest or step.title, step)
    return list(told.values())


def what_happened(store: PartStore) -> RunRecord | None:
    """What a report tells: the newest recipe run, or, where steps were done by hand since, all of those."""
    rows = [row for row in store.runs() if row["recipe"] is None or row["status"] == "done"]
    rows = [row for row in rows if row["recipe"] or store.steps(row["run_id"])]
    if not rows:
        return None
    if rows[0]["recipe"]:
        return load_run(store, rows[0]["run_id"])
    newest = rows[0]
    return RunRecord(
        newest["run_id"],
        "session",
        newest["started"],
        0.0,
        None,
        digest("session"),
        newest["seed"],
        manual_steps(store),
    )
