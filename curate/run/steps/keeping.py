"""`keep`: go on with the items for which an expression holds, and say for every other which condition it failed."""

from __future__ import annotations

import numpy as np

from curate.contracts import digest
from curate.recipe.model import KeepStep
from curate.run.context import RunContext
from curate.run.ledger import StepRecord
from curate.run.selections import store_selection
from curate.store import Expression, StoreView


def run_keep(context: RunContext, step: KeepStep) -> StepRecord:
    """Execute one `keep` step: the rows that hold become a stored selection, and the current set."""
    view = context.view()
    expression = Expression(step.keep)
    kept_digest = digest("keep", view.where(step.keep).digest)
    name = step.name or f"keep-{kept_digest[:12]}"
    with context.record("keep", name, f"keep {step.keep}", expression=step.keep, selection=name) as record:
        record.digest = kept_digest
        known = context.store.recall(kept_digest)
        stored = context.store.snapshot().selections.get(name)
        if known and stored and stored.digest == kept_digest:
            record.counts, record.reasons, record.reused = known["counts"], known["reasons"], True
        else:
            index, reasons = judge(view, expression)
            record.counts = {"kept": len(index), "dropped": len(view) - len(index)}
            record.reasons, record.computed = reasons, len(view)
            result = {"counts": record.counts, "reasons": reasons}
            store_selection(
                context,
                name,
                kept_digest,
                view.seqs()[index],
                reason=f"keep {step.keep}",
                result=result,
                kind="keep",
            )
        context.kept = name
    return record


def judge(
    view: StoreView, expression: Expression
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], dict[str, int]]:
    """Rows for which the expression holds, and for the others how many failed which condition first.

    A null is neither true nor false: such a row is not kept, and is counted as "... is unknown (null)".
    """
    conjuncts = [Expression(text) for text in expression.conjuncts]
    cases = " ".join(
        f"when ({c.sql}) is null then {2 * i + 1} when not ({c.sql}) then {2 * i + 2}"
        for i, c in enumerate(conjuncts)
    )
    query = f"select (case {cases} else 0 end)::utinyint as why from view"
    why = view.sql(query, sorted(expression.columns))["why"].to_numpy()
    counts = np.bincount(why, minlength=1)
    reasons: dict[str, int] = {}
    for i, text in enumerate(expression.conjuncts):
        failed = text[4:] if text.upper().startswith("NOT ") else f"fails {text}"
        for code, reason in ((2 * i + 1, f"unknown (null): {text}"), (2 * i + 2, failed)):
            if code < len(counts) and counts[code]:
                reasons[reason] = int(counts[code])
    return np.flatnonzero(why == 0), reasons
