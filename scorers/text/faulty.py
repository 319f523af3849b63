"""`faulty-questions`: multiple-choice questions whose key several models contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View, detail, flag, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, answered, order_by_id
from curate.scorers.text.columns import read_lists
from curate.scorers.text.questions import ENOUGH, QuestionVerdicts, faulty_questions

__all__ = ["FaultyQuestions", "encode_options"]

Codes = npt.NDArray[np.int64]
_AROUND = " \t\r\n().:[]"


@dataclass(frozen=True)
class FaultyQuestions:
    """Scores how probable it is that a multiple-choice question's key is right, from several models' answers.

    The score is the log-odds that the key is right, higher = keep; see `faulty_questions`. `faulty_question` flags the
    keys that are more probably wrong, and `suggested_key` is then the most probable other option. Beside it
    `key_share_against`, `answer_entropy` and `question_discrimination`. A flag means: look at it. A hard question that
    all models miss in the same way looks the same as one with a wrong key.

    `key`      the column with the right option as the data set has it.
    `answers`  one column of lists, an entry for each model in the same order everywhere, null for none; or several
               columns, one for each model. What is none of the options counts as no answer.
    `options`  what the options are called. Case, blanks and ().:[] around them do not matter; whole numbers are positions
               counted from 0, unless the options are numbers themselves.
    `group`    a column with the subject or source: groups differ in how many of their keys are wrong, and to know them
               helps much.
    """

    key: str = "key"
    answers: tuple[str, ...] = ("answers",)
    options: tuple[str, ...] = ("A", "B", "C", "D")
    group: str | None = None

    name: ClassVar[str] = "faulty-questions"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.answers:
            raise InputError(
                "faulty-questions: answers=(): name a column of lists, or a column for each model"
            )
        names = [_bare(option) for option in self.options]
        if len(names) < 2 or len(set(names)) < len(names) or "" in names:
            raise InputError(f"faulty-questions: options={self.options}: at least two, each of another name")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.key, *self.answers, *((self.group,) if self.group else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("faulty_questions"),
            flag("faulty_question"),
            detail("suggested_key", pa.string()),
            detail("key_share_against", pa.float32()),
            detail("answer_entropy", pa.float32()),
            detail("question_discrimination", pa.float32()),
        )

    def fit(self, view: View) -> FittedTable:
        """Judge all questions of a view. Raises InputError where keys and answers do not belong together."""
        order = order_by_id(view)
        table = view.take(order, ["id", *self.needs])
        key, answers = encode_options(table[self.key], self.options), self._read(table)
        reasons = self._check(table, key, answers)
        usable = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
        if not len(usable):
            return self._table(order, reasons, usable, ())
        groups = _groups(table[self.group])[usable] if self.group else None
        found = faulty_questions(answers[usable], key[usable], options=len(self.options), groups=groups)
        suggested = np.array(self.options, object)[found.suggested]
        suggested[~found.flagged] = None
        parts = (found.score, found.flagged, suggested, found.against, found.entropy, found.discrimination)
        return self._table(order, reasons, usable, parts, _notes(found, len(self.options)))

    def _table(
        self,
        order: Codes,
        reasons: npt.NDArray[np.object_],
        usable: Codes,
        parts: Sequence[npt.NDArray[Any]],
        notes: tuple[str, ...] = (),
    ) -> FittedTable:
        """The answers in the order of the view: `parts` are those of gives, for the rows of `order` that are usable."""
        why = np.full(len(order), None, object)
        why[order] = reasons
        values = dict(zip((f.name for f in self.gives), parts, strict=False))
        return answered(self, order[usable], values, why, notes=notes)

    def _read(self, table: pa.Table) -> Codes:
        """The option of each question that each model chose, (q, m), -1 for none."""
        columns = [table[name] for name in self.answers]
        if len(columns) > 1:
            return np.stack([encode_options(column, self.options) for column in columns], axis=1)
        column = columns[0].combine_chunks()
        flat, lengths = read_lists(column, self.answers[0])
        there = np.flatnonzero(lengths > 0)
        m = int(lengths.max(initial=0))
        odd = there[lengths[there] != m]
        if len(odd):
            raise InputError(
                f"{self.answers[0]!r} has fewer answers than the {counted(m, 'model')} of others in "
                f"{counted(len(odd), 'row')}, as {table['id'][int(odd[0])].as_py()!r} with {lengths[odd[0]]}: a "
                "position stands for a model, so write null where one did not answer"
            )
        codes = np.full((len(table), m), -1)
        codes[there] = encode_options(flat, self.options).reshape(len(there), m)
        return codes

    def _check(self, table: pa.Table, key: Codes, answers: Codes) -> npt.NDArray[np.object_]:
        """Why each question cannot be judged, None where it can."""
        reasons = np.full(len(key), None, object)
        count = (answers >= 0).sum(1)
        for row in np.flatnonzero(count < ENOUGH):
            reasons[row] = (
                f"answered by {count[row]} of {counted(answers.shape[1], 'model')}, {ENOUGH} are needed"
            )
        for row in np.flatnonzero(key < 0):
            given = table[self.key][int(row)].as_py()
            reasons[row] = (
                "no key"
                if given is None
                else f"key {given!r} is none of the options {', '.join(self.options)}"
            )
        return reasons


def encode_options(values: pa.Array | pa.ChunkedArray, options: tuple[str, ...]) -> Codes:
    """The position of each value among the options, (n,) int64; -1 where it is null or none of them.

    Case, blanks and ().:[] around a value do not matter. Whole numbers are positions counted from 0, unless an option is
    a number itself.
    """
    import polars as pl

    series = cast("pl.Series", pl.from_arrow(values)).rename("value")
    places = {_bare(option): i for i, option in enumerate(options)}
    if not any(name.lstrip("-").isdigit() for name in places):
        places |= {str(i): i for i in range(len(options))}
    bare = series.cast(pl.String).str.strip_chars(_AROUND).str.to_lowercase()
    found = bare.replace_strict(places, default=-1, return_dtype=pl.Int64).fill_null(-1)
    return found.to_numpy().astype(np.int64)


def _bare(option: str) -> str:
    return option.strip(_AROUND).lower()


def _groups(column: pa.ChunkedArray) -> Codes:
    """A number for each group; questions without one make a group of their own."""
    import polars as pl

    series = cast("pl.Series", pl.from_arrow(column))
    codes: Codes = series.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return np.unique(codes, return_inverse=True)[1]


def _notes(found: QuestionVerdicts, options: int) -> tuple[str, ...]:
    notes = []
    m = len(found.accuracy)
    if m < 5:
        notes.append(f"only {counted(m, 'model')}: where all of them miss a hard question, its key is blamed")
    poor = np.flatnonzero(found.accuracy < 1.5 / options)
    if len(poor):
        listed = ", ".join(str(int(i)) for i in poor[:10])
        notes.append(
            f"{len(poor)} of {counted(m, 'model')} answer little better than by chance (position {listed})"
        )
    share = float(np.nanmean(found.flagged)) if len(found.flagged) else 0.0
    if share > 0.25:
        notes.append(
            f"{share:.0%} of the keys are flagged: more likely the questions are too hard for these models"
        )
    return tuple(notes)
