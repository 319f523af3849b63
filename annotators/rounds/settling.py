"""The consensus back in the data set: a label column that knows where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.annotators.rounds.judging import DECIDED
from curate.annotators.rounds.sets import are_sets, as_lists
from curate.contracts import detail, score
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from curate.annotators.rounds.plan import Rounds

__all__ = ["settle"]


def settle(plan: Rounds, store: Any, name: str, items: Iterable[Any] | None = None) -> Any:
    """Join the consensus to the items; see `Rounds.settle`. Raises InputError where nothing was answered."""
    import polars as pl

    answers = store.answers
    units = plan.judge(answers, items).units
    there = set(store.items.to_arrow(["id"]).column(0).to_pylist())
    units = units.filter(pl.col("item").is_in(list(there)))  # answers to items that were removed stay answers
    if not units.height:
        raise InputError("no item was answered: there is nothing to settle")
    table = _several(units, name) if "*" in plan.control else _one(units, name, plan.numeric)
    return store.join(table, name=name, key="id", origin=_origin(plan, answers))


def _one(units: pl.DataFrame, name: str, numeric: bool) -> pa.Table:
    import polars as pl

    decided = pl.col("state").is_in(list(DECIDED))
    rows = units.with_columns(value=pl.when(decided).then("value"), number=pl.when(decided).then("number"))
    value, field = rows["value"], detail(name, pa.string())
    if numeric:
        value, field = rows["number"].cast(pl.Float32), score(name)
    elif are_sets(value):
        value, field = as_lists(value), detail(name, pa.list_(pa.string()))
    columns = {
        "id": (rows["item"], None),
        name: (value, field),
        f"{name}_probability": (
            rows["probability"].cast(pl.Float32),
            detail(f"{name}_probability", pa.float32()),
        ),
        f"{name}_answers": (rows["answers"].cast(pl.Int32), detail(f"{name}_answers", pa.int32())),
        f"{name}_rounds": (rows["round"].cast(pl.Int32), detail(f"{name}_rounds", pa.int32())),
        f"{name}_state": (rows["state"], detail(f"{name}_state", pa.string())),
        f"{name}_why": (rows["why"], detail(f"{name}_why", pa.string())),
    }
    fields = [f or pa.field("id", pa.string()) for _, f in columns.values()]
    arrays = [pa.array(s.to_arrow(), f.type) for (s, _), f in zip(columns.values(), fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _several(units: pl.DataFrame, name: str) -> pa.Table:
    """One list of structs for each item: control, value, probability, state."""
    import polars as pl

    decided = pl.col("state").is_in(list(DECIDED))
    one = pl.struct(
        "control",
        value=pl.when(decided).then("value"),
        probability="probability",
        state="state",
        answers="answers",
    )
    rows = units.group_by("item", maintain_order=True).agg(
        one.alias(name), decided.all().alias(f"{name}_decided")
    )
    return rows.rename({"item": "id"}).to_arrow()


def _origin(plan: Rounds, answers: Any) -> dict[str, Any]:
    """Where the columns come from, as plain values: the question, the rules, and which answers there were."""
    rules = [{"rule": type(rule).__name__, **_plain(rule)} for rule in plan.rules]
    sources = sorted(set(answers.to_arrow(["source"]).column(0).to_pylist()))
    kept = {
        f.name: getattr(plan, f.name)
        for f in dataclasses.fields(plan)
        if f.name not in ("rules", "price", "wage")
    }
    plain = {
        k: list(v) if isinstance(v, tuple) else dict(v) if hasattr(v, "items") else v for k, v in kept.items()
    }
    return {
        "made_by": "annotation rounds",
        **plain,
        "rules": rules,
        "answer_rows": len(answers),
        "sources": sources,
    }


def _plain(rule: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(rule):
        return {"is": repr(rule)}
    values = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
