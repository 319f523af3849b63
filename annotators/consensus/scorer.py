"""`consensus`: how sure several people's answers together are about each item's label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from curate.annotators.consensus.aggregation import consensus
from curate.annotators.consensus.answers import Answers, numeric, read_answers
from curate.annotators.consensus.viewing import needed_columns, view_answers
from curate.contracts import View, detail, flag, reason_name, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable

__all__ = ["Consensus"]

_MANY = 10
"""Different numbers beyond which answers may be ratings."""

LabelMethod = Literal[
    "auto",
    "majority",
    "dawid-skene",
    "dawid-skene-flat",
    "one-coin",
    "glad",
    "mace",
    "ordinal-median",
    "ordinal-dawid-skene",
]


@dataclass(frozen=True)
class Consensus:
    """Settles several people's answers about each item, and says how probable the result is: higher = keep.

    `answers` is a column of lists of structs (annotator, value), or `columns` names plain columns, one for each
    annotator. `method` is one of `aggregate`'s for labels, `values` their possible values, lowest first (for ordinal ones).
    Beside the score: `consensus_label`, the flag `needs_more_answers` where the probability is below `target`,
    `consensus_answers` (how many), and, where `label` names a column, `label_disagrees` with it (null without a label).
    An item without answers is not scored.
    """

    answers: str = "answers"
    columns: tuple[str, ...] = ()
    method: LabelMethod = "auto"
    values: tuple[str, ...] = ()
    target: float = 0.95
    label: str | None = None
    seed: int = 0

    name: ClassVar[str] = "consensus"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise InputError(f"consensus: target={self.target}: a probability between 0 and 1 is meant")
        if self.method.startswith("ordinal") and not self.values:
            raise InputError(f"consensus: method {self.method!r} needs `values`, lowest first")

    @property
    def needs(self) -> tuple[str, ...]:
        return (*needed_columns(self.answers, self.columns), *((self.label,) if self.label else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        extra = (detail("label_disagrees", pa.bool_()),) if self.label else ()
        return (
            score("consensus"),
            detail("consensus_label", pa.string()),
            flag("needs_more_answers"),
            detail("consensus_answers", pa.int64()),
            *extra,
        )

    def fit(self, view: View) -> FittedTable:
        """Settle a whole view. Raises InputError where answers contradict each other, or nobody answered anything."""
        import polars as pl

        ids = pl.Series("item", view.to_arrow(["id"]).column("id"))
        read = self._read(view) if len(ids) else None
        found = self._settle(read) if read is not None else None
        if found is None:
            found = pl.DataFrame(
                schema={"item": pl.String, "value": pl.String, "probability": pl.Float64, "n": pl.Int64}
            )
        rows = ids.to_frame().join(found, "item", "left", maintain_order="left")
        null = rows["probability"].is_null()
        reasons = (
            pl.select(pl.when(null).then(pl.lit("no answers"))).to_series()
            if len(null)
            else null.cast(pl.String)
        )
        columns: dict[str, Any] = {
            "consensus": rows["probability"].cast(pl.Float32),
            "consensus_label": rows["value"],
            "needs_more_answers": rows["probability"] < self.target,
            "consensus_answers": rows["n"],
        }
        if self.label:
            given = pl.Series(view.to_arrow([self.label]).column(0)).cast(pl.String)
            columns["label_disagrees"] = given != rows["value"]
        arrays = [pa.array(columns[field.name].to_arrow(), field.type) for field in self.gives]
        table = pa.table(
            [*arrays, pa.array(reasons.to_arrow(), pa.string())], [*columns, reason_name(self.name)]
        )
        notes = () if read is None or self.values else _ratings_for_labels(read)
        return FittedTable(self.name, self.version, self.gives, table, notes)

    def _read(self, view: View) -> Answers | None:
        """None where nobody answered anything."""
        frame = view_answers(view, self.answers, self.columns)
        return read_answers(frame, values=self.values or None) if frame.height else None

    def _settle(self, read: Answers) -> Any:
        """`item`, `value`, `probability`, `n` of the items with answers."""
        import polars as pl

        settled = consensus(read, self.method, seed=self.seed)
        return pl.DataFrame(
            {
                "item": read.items,
                "value": read.values.gather(settled.value),
                "probability": np.clip(settled.probability, 0, 1),
                "n": read.per_item,
            }
        )


def _ratings_for_labels(read: Answers) -> tuple[str, ...]:
    """A note where so many different numbers were given that they are rather measured than named."""
    numbers = numeric(read.values)
    if numbers is None or len(numbers) <= _MANY:
        return ()
    return (
        f"the answers are {counted(len(numbers), 'different number')}, and were taken for names of classes: none is "
        "nearer to one than to another. For ratings `rating-agreement` gives their mean and spread, and rounds "
        "settle by method 'mean'",
    )
