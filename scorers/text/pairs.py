"""`faulty-pairs`: preference pairs from which nothing can be learnt: the same answer twice, or preferred both ways round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import View, detail, flag, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, answered, order_by_id
from curate.scorers.noise.health.intervals import wilson

__all__ = ["FaultyPairs", "contradictions"]

Codes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_NONE = pa.schema(
    [("p", pa.uint64()), ("c", pa.uint64()), ("r", pa.uint64()), ("k", pa.int64()), ("l", pa.int64())]
)


def contradictions(prompts: npt.NDArray[Any], chosen: npt.NDArray[Any], rejected: npt.NDArray[Any]) -> Rows:
    """Which pair prefers the other way round: of the same prompt, what is chosen here is rejected there, and the reverse.

    (n,) integers each, equal where texts are. Returns (n,) int64: the first such row, -1 where there is none; pairs of the
    same answer twice contradict nothing. Raises InputError where lengths differ.
    """
    columns = [np.asarray(column) for column in (prompts, chosen, rejected)]
    if any(column.shape != columns[0].shape or column.ndim != 1 for column in columns):
        raise InputError(f"pairs of shapes {', '.join(str(c.shape) for c in columns)}: (n,) each")
    n = len(columns[0])
    this, other = np.stack(columns, axis=1), np.stack([columns[0], columns[2], columns[1]], axis=1)
    _, first, codes = np.unique(np.concatenate([this, other]), axis=0, return_index=True, return_inverse=True)
    found = first[codes.reshape(-1)[n:]]
    return np.where((found < n) & (columns[1] != columns[2]), found, -1).astype(np.int64)


@dataclass(frozen=True)
class FaultyPairs:
    """Finds preference pairs that teach nothing, and says how far length alone tells the chosen answer.

    A pair is faulty where both answers are the same but for case and blanks, and where another pair with the same prompt
    prefers the other answer. The score `faulty_pairs` is 0 for these and 1 for others; `faulty_pair_because` says which fault,
    `faulty_pair_against` the id of the pair that contradicts (the lowest, where several do), `faulty_pair_length` the chosen
    answer's length over that of both, above 0.5 where it is the longer one. Notes say how often it is: a reward that knows
    nothing but length would be right as often.

    `prompt`, `chosen`, `rejected`  the columns; pairs without a column of prompts are compared by their answers alone.
    """

    prompt: str = "prompt"
    chosen: str = "chosen"
    rejected: str = "rejected"

    name: ClassVar[str] = "faulty-pairs"
    version: ClassVar[int] = 1

    def resolve(self, columns: Sequence[str], kind: str) -> FaultyPairs:
        """A copy without the default `prompt` where there is no such column."""
        return replace(self, prompt="") if self.prompt == "prompt" and "prompt" not in columns else self

    @property
    def needs(self) -> tuple[str, ...]:
        return (*((self.prompt,) if self.prompt else ()), self.chosen, self.rejected)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("faulty_pairs"),
            flag("faulty_pair"),
            detail("faulty_pair_because", pa.string()),
            detail("faulty_pair_against", pa.string()),
            detail("faulty_pair_length", pa.float32()),
        )

    def fit(self, view: View) -> FittedTable:
        """Compare every pair with every other. Pairs that lack an answer are null and say so."""
        pieces = list(view.spread(partial(_read, self.prompt, self.chosen, self.rejected)))
        table = pa.concat_tables([_NONE.empty_table(), *pieces])
        chosen, rejected = (table[name].fill_null(0).to_numpy() for name in ("k", "l"))
        reasons = np.full(len(table), None, object)
        reasons[rejected == 0] = f"no {self.rejected}"
        reasons[chosen == 0] = f"no {self.chosen}"
        order = order_by_id(view)
        rows = order[(reasons == None)[order]]  # noqa: E711 - element by element
        p, c, r = (table[name].to_numpy()[rows] for name in ("p", "c", "r"))
        against, same = contradictions(p, c, r), c == r
        faulty = same | (against >= 0)
        because = np.full(len(rows), None, object)
        because[against >= 0] = "another pair prefers the other answer"
        because[same] = "the same answer twice"
        names = (
            view.take(rows[np.maximum(against, 0)], ["id"])["id"].combine_chunks()
            if len(rows)
            else pa.nulls(0, pa.string())
        )
        lengths = chosen[rows] / np.maximum(chosen[rows] + rejected[rows], 1)
        values = {
            "faulty_pairs": 1 - faulty.astype(np.float32),
            "faulty_pair": faulty,
            "faulty_pair_because": because,
            "faulty_pair_against": pc.if_else(pa.array(against >= 0), names, pa.scalar(None, names.type)),
            "faulty_pair_length": lengths,
        }
        return answered(self, rows, values, reasons, notes=_notes(same, against >= 0, lengths))


def _read(prompt: str, chosen: str, rejected: str, piece: View, first: int) -> pa.Table:
    """Hashes of the texts, alike where they differ in case and blanks alone, and the lengths of the answers; a piece is read
    and its texts forgotten."""

    def plainly(column: str) -> str:
        return f"lower(trim(regexp_replace({_quote(column)}, '\\s+', ' ', 'g')))"

    asked = f"hash(coalesce({plainly(prompt)}, ''))" if prompt else "0::ubigint"
    told = ", ".join(
        f"coalesce(hash({plainly(column)}), 0) as {code}, length({plainly(column)}) as {length}"
        for column, code, length in ((chosen, "c", "k"), (rejected, "r", "l"))
    )
    columns = [*((prompt,) if prompt else ()), chosen, rejected]
    return (
        piece.sql(f"select {asked} as p, {told} from view order by _row", columns)
        .select(_NONE.names)
        .cast(_NONE)
    )


def _quote(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _notes(
    same: npt.NDArray[np.bool_], against: npt.NDArray[np.bool_], lengths: npt.NDArray[Any]
) -> tuple[str, ...]:
    faults = []
    if same.any():
        faults.append(f"{counted(int(same.sum()), 'pair has', 'pairs have')} the same answer twice")
    if against.any():
        faults.append(f"{counted(int(against.sum()), 'pair is', 'pairs are')} contradicted by another")
    told = [" and ".join(faults)] if faults else []
    longer, shorter = int((lengths > 0.5).sum()), int((lengths < 0.5).sum())
    n = longer + shorter
    if n:
        share = longer / n
        found = wilson(share, n)
        told.append(
            f"the chosen answer is the longer one in {share:.1%} of {counted(n, 'pair')} whose lengths differ (95 % interval "
            f"{found.low[0]:.1%} to {found.high[0]:.1%}): length alone would tell it in {max(share, 1 - share):.1%}"
        )
    return tuple(told)
