"""`label_errors` where the pieces of a view are: a sample of rows comes to whoever fits the noise model, the others stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Held, View
from curate.fitting import by_piece, order_by_id
from curate.scorers.noise.label_noise.evidence import ALONE, Evidence, Pool, check_counts
from curate.scorers.noise.label_noise.finder import REASONS
from curate.scorers.noise.label_noise.pooling import fit_weights, least_said, pool_slopes, smallest, spaced
from curate.scorers.noise.label_noise.rivals import WIDTH, Rivals, find_rivals
from curate.scorers.noise.label_noise.transition import ROWS, Transition, fit_rivals
from curate.scorers.noise.label_noise.verdict import Verdicts, collect_rivals, judge
from curate.scorers.noise.pieces import LabelledPiece
from curate.scorers.noise.probabilities import Diagnosis, diagnose_confidence, exact_sum

__all__ = ["ErrorsPiece", "Fitted", "Judged", "fit_pieces"]

Rows = npt.NDArray[np.int64]


class Judged(NamedTuple):
    """What a piece answers: its rows, how many of them are flagged, and the `exact_sum` of the probabilities that labels are
    right."""

    table: pa.Table
    flagged: int
    right: int


class ErrorsPiece(LabelledPiece):
    """A piece of a view: its rows go by their number in the view."""

    def __init__(self, scorer: Any, piece: View, first: int) -> None:
        super().__init__(scorer.columns, piece, first, label=scorer.label)
        self.scorer = scorer

    def usable_rows(self) -> npt.NDArray[np.bool_]:
        """Of each row whether it can be scored."""
        usable = np.zeros(len(self.codes), bool)
        usable[self.usable] = True
        return usable

    def given(self, rows: Rows) -> npt.NDArray[np.int32]:
        """The labels of these rows."""
        codes: npt.NDArray[np.int32] = self.codes[rows - self.first]
        return codes

    def smallest(self, rows: Rows) -> list[float]:
        """The smallest probability above 0 that each model gives in these rows."""
        return [smallest(member) for member in self._members(rows)]

    def slopes(self, rows: Rows, pool: Pool) -> npt.NDArray[np.float64]:
        """`pool_slopes` of these rows."""
        return pool_slopes(self._members(rows), pool, self.given(rows).astype(np.int64))

    def rivals(self, rows: Rows, pool: Pool) -> Rivals:
        """Their labels' rivals."""
        evidence = Evidence(self._members(rows), pool)
        return find_rivals(evidence.take(slice(None)), self.given(rows).astype(np.int64))

    def at(self, rows: Rows, columns: Rows, pool: Pool) -> npt.NDArray[np.floating[Any]]:
        """The probability of one class for each of these rows."""
        return Evidence(self._members(rows), pool).at(np.arange(len(rows)), columns)

    def judge(self, pool: Pool, noise: Transition) -> Judged:
        """All rows, judged under a noise model."""
        nothing = Verdicts(
            *(np.empty(0, dtype) for dtype in (np.float64, bool, np.int64, np.float32, np.uint8))
        )
        parts = [nothing]
        for members, labels in self.blocks():
            evidence = Evidence(members, pool)
            rivals = None if evidence.shape[1] <= WIDTH else collect_rivals(evidence, labels)
            parts.append(judge(evidence, rivals, labels, noise))
        found = Verdicts(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        table = self.answer(self.scorer, error_values(found, self.classes))
        return Judged(table, int(found.flagged.sum()), exact_sum(found.right))

    def answer_nothing(self) -> pa.Table:
        """Where no row can be scored."""
        return self.answer(self.scorer, {})

    def _members(self, rows: Rows) -> tuple[npt.NDArray[Any], ...]:
        return tuple(source.take(rows - self.first) for source in self.sources)


def error_values(found: Verdicts, classes: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """What was found, by the columns of the scorer."""
    suggestion = np.full(len(found.score), None, object)
    suggestion[found.flagged] = np.array(classes, object)[found.suggested[found.flagged]]
    return {
        "label_errors": found.score.astype(np.float32),
        "label_error": found.flagged,
        "label_error_suggestion": suggestion,
        "label_right": found.right,
        "label_error_because": np.array(REASONS, object)[found.code],
    }


class Fitted(NamedTuple):
    """The noise model fitted to a sample, what each of several models counts, and what makes them doubtful evidence."""

    noise: Transition
    pool: Pool
    diagnosis: Diagnosis


def fit_pieces(held: Held, view: View, counts: npt.NDArray[np.int64], seed: int) -> Fitted:
    """Fit the noise model of all `ErrorsPiece`s; `counts` (k,) labels of each class that can be scored.

    Rows are drawn, and gone through, in the order of their ids, so that nothing depends on that of import.
    """
    check_counts(counts)
    usable = np.concatenate(held.ask("usable_rows"))
    order = order_by_id(view)
    gathered = _Gathered(held, order[usable[order]])
    pool, n = gathered.pool(), len(gathered.rows)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(n, ROWS, replace=False)) if n > ROWS else np.arange(n)
    parts = gathered.ask("rivals", drawn, pool)
    sample = Rivals(*(np.concatenate(column, axis=1) for column in zip(*parts.answers, strict=True)))
    sample = sample.take(parts.back)

    def at(rows: Rows, columns: Rows) -> npt.NDArray[Any]:
        return gathered.values("at", drawn[rows], columns, pool)

    noise = fit_rivals(sample, counts / n, at, rng)
    top = np.exp(sample.log.max(0))
    right = sample.log[0] > sample.log[1:].max(0)  # where classes are tied, nothing is predicted
    return Fitted(noise, pool, diagnose_confidence(top, right, np.exp(sample.log[0]), counts))


class _Parts(NamedTuple):
    """Answers of the pieces, and where among them, one after another, each row that was asked for is."""

    answers: list[Any]
    back: Rows


@dataclass(frozen=True, eq=False)
class _Gathered:
    """Rows that can be scored, in the order of ids, wherever their pieces are."""

    held: Held
    rows: Rows

    def ask(self, method: str, places: Rows, *args: Any) -> _Parts:
        """What the pieces say of the rows at these places; arrays among `args` are theirs one by one."""
        rows = self.rows[places]
        own = by_piece(self.held.firsts, rows)
        given = {
            piece: (rows[at], *(arg[at] if isinstance(arg, np.ndarray) else arg for arg in args))
            for piece, at in own.items()
        }
        back = np.empty(len(rows), np.int64)
        back[np.concatenate([*own.values(), np.empty(0, np.int64)])] = np.arange(len(rows))
        return _Parts(list(self.held.ask_some(method, given).values()), back)

    def values(self, method: str, places: Rows, *args: Any) -> npt.NDArray[Any]:
        """The same where each row has a value."""
        parts = self.ask(method, places, *args)
        return np.concatenate(parts.answers)[parts.back] if parts.answers else np.empty(0, np.float32)

    def pool(self) -> Pool:
        """How the models are heard together."""
        count = len(self.held.ask("tally")[0].widths)
        if count == 1:
            return ALONE
        places = spaced(len(self.rows))
        told = self.ask("smallest", places).answers
        least = least_said([min(each) for each in zip(*told, strict=True)])
        weights = fit_weights(count, lambda some: self.values("slopes", places, Pool(some, least)))
        return Pool(weights, least)
