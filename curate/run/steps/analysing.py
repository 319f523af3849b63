"""`analyse`: what an analysis finds in the current set, remembered so that a report can show it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.contracts import Finding, Findings, component_digest, digest
from curate.recipe.model import AnalyseStep
from curate.run.components import columns_digest, configure, supply
from curate.run.context import RunContext, plain_params
from curate.run.ledger import StepRecord
from curate.run.steps.scoring import bring_up
from curate.store import PartStore

MOST_ROWS = 500
"""Rows of a table that are remembered: findings are read by people."""


def run_analyse(context: RunContext, step: AnalyseStep) -> StepRecord:
    """Execute one `analyse` step. The current set stays as it is."""
    view = context.view(step.where)
    analysis = configure("analyses", step.analyse, step.params, view)
    supply(analysis, view, lambda needed: bring_up(context, needed, where=step.where))
    view = context.view(step.where)  # the needs may just have been made
    title = f"analyse {step.analyse}" + (f" where {step.where}" if step.where else "")
    with context.record("analyse", step.analyse, title, params=plain_params(analysis)) as record:
        read = columns_digest(context.store.snapshot(), analysis.needs)
        record.digest = digest("analyse", component_digest(analysis), view.digest, read)
        found = recall_findings(context.store, record.digest)
        if found is not None:
            record.reused = True
        else:
            found = analysis.analyse(view)
            record.computed = len(view)
            context.commit("analyse", step=(record.digest, {"findings": to_plain(found)}))
        record.counts = {
            "rows": len(view),
            "findings": len(found.findings),
            "serious": sum(f.serious for f in found.findings),
        }
        record.notes = [found.summary]
    return record


def recall_findings(store: PartStore, identity: str) -> Findings | None:
    """What the analysis with this digest found; None where it was not made."""
    known = store.recall(identity)
    return from_plain(known["findings"]) if known and "findings" in known else None


def to_plain(found: Findings) -> dict[str, Any]:
    """Findings as values for JSON; of long tables the first rows."""
    return {
        "summary": found.summary,
        "findings": [
            {
                "title": f.title,
                "text": f.text,
                "chart": f.chart,
                "serious": f.serious,
                "table": None if f.table is None else _table_to_plain(f.table),
            }
            for f in found.findings
        ],
    }


def from_plain(data: Mapping[str, Any]) -> Findings:
    """Inverse of `to_plain`."""
    findings = [
        Finding(**{**f, "table": None if f["table"] is None else _table_from_plain(f["table"])})
        for f in data["findings"]
    ]
    return Findings(data["summary"], tuple(findings))


def _table_to_plain(table: pa.Table) -> dict[str, Any]:
    return {
        "names": table.column_names,
        "types": [_kind(field.type) for field in table.schema],
        "columns": [[_value(v) for v in c.slice(0, MOST_ROWS).to_pylist()] for c in table.columns],
    }


def _table_from_plain(data: Mapping[str, Any]) -> pa.Table:
    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
    columns = [pa.array(c, types[t]) for c, t in zip(data["columns"], data["types"], strict=True)]
    return pa.Table.from_arrays(columns, names=data["names"])


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "bool"
    if pa.types.is_integer(type_):
        return "int"
    return "float" if pa.types.is_floating(type_) else "text"


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
