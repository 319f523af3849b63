"""Why one item is where it is: where it came from, its scores, and what every step decided, with values."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import registry
from curate.counting import counted
from curate.errors import InputError, UnknownNameError
from curate.run.ledger import StepRecord
from curate.store import Expression, PartStore, StoreView

_WRITES = ("score", "join")
"""Steps that give columns."""


@dataclass(frozen=True)
class Decision:
    """What one step decided about the item: `verdict` is kept, dropped, selected, not selected, scored, not scored, joined or
    not joined.
    """

    step: str
    verdict: str
    because: str


@dataclass(frozen=True)
class Explanation:
    """The story of one item, in the order in which things happened. `str()` is made for reading, a notebook draws it.

    `view` and `row` say where the item lies.
    """

    id: str
    kind: str
    source: str
    values: dict[str, Any]
    scores: dict[str, Any]
    reasons: dict[str, str]
    decisions: list[Decision] = field(default_factory=list)
    view: StoreView | None = field(default=None, repr=False, compare=False)
    row: int = field(default=0, repr=False, compare=False)

    def __str__(self) -> str:
        lines = [f"{self.id}  ({self.kind}, from {self.source or 'memory'})"]
        lines += [f"  {name} = {_short(value)}" for name, value in self.values.items()]
        lines += [f"  {name} = {_short(value)}" for name, value in self.scores.items() if value is not None]
        lines += [f"  no {name}: {why}" for name, why in self.reasons.items()]
        lines += [f"{i}. {d.step}: {d.verdict}. {d.because}" for i, d in enumerate(self.decisions, start=1)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>" if self.view is None else registry.draw("item", self)


def explain(store: PartStore, item: str) -> Explanation:
    """The story of the item with this id.

    Raises InputError with the reason where an import refused it, else UnknownNameError with the nearest ids.

    Decisions are those of the newest run of every step that is in the ledger; steps that were run again with the
    same digest are told once.
    """
    view, item = store.view(), str(item)  # ids are texts, whatever they were when they came
    try:
        position = find(view, item)
    except UnknownNameError:
        _check_refused(store, item)
        raise
    row = view.take(np.array([position]), [*view.columns, "_source"]).to_pylist()[0]
    seq = int(view.seqs()[position])
    snapshot = store.snapshot()
    part = next(p for p in snapshot.items if p.seq_lo <= seq < p.seq_lo + p.rows)
    given = [name for name, home in snapshot.column_home.items() if home is not None and name in row]
    reasons = {n.removesuffix("_reason"): row[n] for n in given if n.endswith("_reason") and row[n]}
    scores = {n: row[n] for n in given if not n.endswith("_reason") and not _is_vector(row[n])}
    values = {n: row[n] for n in row if n not in given and not n.startswith("_") and n != "id"}
    return Explanation(
        item,
        part.kind or "",
        row.get("_source") or "",
        values,
        scores,
        reasons,
        decisions(store, view, position, row),
        view,
        position,
    )


def find(view: StoreView, item: str) -> int:
    """The position of an id in a view."""
    found = view.sql(f"select _row from view where id = {_quote(item)}", ["id"])["_row"]
    if len(found):
        return int(found[0].as_py())
    if not len(view):
        raise InputError(f"no item {item!r}: the store holds no items")
    pattern = f"select id from view order by jaro_winkler_similarity(id, {_quote(item)}) desc, id limit 3"
    near = view.sql(pattern, ["id"])["id"].to_pylist()
    raise UnknownNameError(
        "item", item, near, hint=f"Only the nearest of {counted(len(view), 'id')} are shown."
    )


def _check_refused(store: PartStore, item: str) -> None:
    refused = store.rejected()
    found = refused.filter(pc.equal(refused["id"], item))
    if found.num_rows:
        last = found.slice(found.num_rows - 1).to_pylist()[0]
        raise InputError(
            f"{item!r} is no item: the import of {last['source']} refused it, row {last['row']}: {last['code']}, "
            f"{last['reason']}"
        )


def decisions(store: PartStore, view: StoreView, position: int, row: dict[str, Any]) -> list[Decision]:
    """What each step in the ledger decided about one row, oldest first, each distinct step once.

    Of steps that wrote the same columns only the last is told: what the others said is not there any more.
    """
    seq, told, seen = int(view.seqs()[position]), list[Decision](), set[str]()
    steps = [StepRecord.from_dict(s) for run in reversed(store.runs()) for s in store.steps(run["run_id"])]
    steps = [step for step in steps if not step.error]
    last = {column: step.digest for step in steps for column in step.columns if step.kind in _WRITES}
    for step in steps:
        replaced = step.kind in _WRITES and step.columns and last[step.columns[0]] != step.digest
        if replaced or step.digest in seen:
            continue
        seen.add(step.digest)
        decision = _decide(store, view, position, row, seq, step)
        if decision:
            told.append(decision)
    return told


def _decide(
    store: PartStore, view: StoreView, position: int, row: dict[str, Any], seq: int, step: StepRecord
) -> Decision | None:
    if step.kind in _WRITES:
        given = [c for c in step.columns if row.get(c) is not None and not _is_vector(row[c])]
        said = ", ".join(f"{c} = {_short(row[c])}" for c in given[:8])
        why = next(
            (row[c] for c in row if c.endswith("_reason") and c.startswith(step.name.replace("-", "_"))), None
        )
        answered = any(row.get(c) is not None for c in step.columns)
        verdict = "joined" if step.kind == "join" else "scored"
        return Decision(step.title, verdict if answered else f"not {verdict}", said or str(why or "a vector"))
    if step.kind == "keep" and step.expression:
        return _judged(view, position, row, step)
    if step.kind == "select" and step.selection and step.selection in store.snapshot().selections:
        table = store.selection_table(step.selection)
        index = pc.index(table["seq"], pa.scalar(seq, pa.int64())).as_py()
        if index < 0:
            others = f"{counted(len(table), 'other was', 'others were')}, under the name {step.selection!r}"
            return Decision(step.title, "not selected", others + _beside(view, position, step, table))
        chosen = table.slice(index, 1).to_pylist()[0]
        parts = [f"rank {chosen['rank']} of {len(table):,}"]
        parts += [f"{k} {chosen[k]:.4g}" for k in ("weight", "gain") if chosen[k] is not None]
        return Decision(
            step.title, "selected", ", ".join(parts) + (f"; {chosen['reason']}" if chosen["reason"] else "")
        )
    if step.kind == "import" and row.get("_source") is not None:
        return None  # told in the headline: the row's own source is more exact than the step's
    return None


def _beside(view: StoreView, position: int, step: StepRecord, table: pa.Table) -> str:
    """What `top` went by: the item's own value, and those of the chosen. Of other selectors no number says so much."""
    by = step.params.get("by")
    if step.name != "top" or not by or any(c not in view.columns for c in Expression(by).columns):
        return ""
    own = view.at(view.seqs()[position : position + 1]).compute(by)[0].as_py()
    ends = pc.min_max(table["gain"]).as_py()
    there = "" if ends["min"] is None else f"; theirs lie from {_short(ends['min'])} to {_short(ends['max'])}"
    return f": {by} is {'unknown' if own is None else _short(own)}{there}"


def _judged(view: StoreView, position: int, row: dict[str, Any], step: StepRecord) -> Decision | None:
    """Which condition of a `keep` the item failed, with the values it was judged by."""
    expression = Expression(str(step.expression))
    if any(column not in view.columns for column in expression.columns):
        return None
    one = view.at(view.seqs()[position : position + 1])
    for text in expression.conjuncts:
        part = Expression(text)
        verdict = one.compute(text)[0].as_py()
        if verdict is not True:
            values = ", ".join(f"{c} = {_short(row.get(c))}" for c in sorted(part.columns))
            return Decision(
                step.title, "dropped", f"{text} is {'unknown' if verdict is None else 'false'}: {values}"
            )
    values = ", ".join(f"{c} = {_short(row.get(c))}" for c in sorted(expression.columns))
    return Decision(step.title, "kept", values)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _is_vector(value: Any) -> bool:
    """Whether a value is a list of numbers: nobody reads those. Lists of what was found or answered are read."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], int | float | list)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value + 0.0:.4g}"  # -0 is 0
    if isinstance(value, bytes):
        return value.hex()[:16] + "…"
    if isinstance(value, list) and value and all(_is_answer(one) for one in value):
        value = "; ".join(f"{one['annotator']}: {_short(one['value'])}" for one in value)
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "…"


def _is_answer(value: Any) -> bool:
    """Whether this is what somebody said; when and how fast is told by the table of answers."""
    return isinstance(value, dict) and {"annotator", "value"} <= value.keys()
