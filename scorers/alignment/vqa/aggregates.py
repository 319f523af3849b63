"""Scores of an image from answers that are there already: TIFA, and DSG, in which a question rests on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import detail, score
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.scorers.alignment.vqa.answers import answer, answers_type, column, lists
from curate.scorers.alignment.vqa.measures import RESTS_ON, RestsOn, dsg_score, tifa_score
from curate.scorers.alignment.vqa.questions import Questions, read_questions

__all__ = ["Dsg", "Tifa", "match_answers"]

Floats = npt.NDArray[np.float64]


def match_answers(given: pa.Array, expected: pa.Array) -> Floats:
    """Whether each answer is the one expected: 1 or 0, NaN where it is null. Strings of equal length.

    Casing, spaces around and a full stop or exclamation mark at the end do not matter; anything else does.
    """

    def plain(texts: pa.Array) -> pa.Array:
        trimmed = pc.utf8_rtrim(pc.utf8_trim_whitespace(texts.cast(pa.string())), ".! ")
        return pc.utf8_lower(trimmed)

    equal = pc.equal(plain(given), plain(expected)).cast(pa.float64())
    return np.asarray(equal.fill_null(float("nan")).to_numpy(zero_copy_only=False), np.float64)


@dataclass(frozen=True)
class _Aggregate:
    """The columns read, and the sum over the questions of an item."""

    answers: str = "pn_vqa_answers"
    questions: str = "questions"
    threshold: float | None = 0.5

    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False
    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise InputError(f"{self.name}: threshold {self.threshold}, above 0 and at most 1, or none")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.questions, self.answers)

    def read(self, batch: pa.RecordBatch) -> tuple[Questions, Floats, list[str | None]]:
        """Questions, whether each is answered as expected, and why an item cannot be scored.

        Of an item that cannot, the answers are NaN.
        """
        asked = read_questions(column(batch, self.questions), self.questions)
        given = column(batch, self.answers)
        counts = np.diff(asked.offsets)
        reasons = asked.faults()
        if pa.types.is_null(given.type):
            given = pa.nulls(len(given), pa.list_(pa.float32()))
        if not any(test(given.type) for test in (pa.types.is_list, pa.types.is_large_list)):
            raise SchemaError(
                f"column {self.answers!r} is {given.type}: a list of answers (strings), or of how surely each is as "
                "expected (numbers), is needed, in the order of the questions"
            )
        lengths = pc.list_value_length(given).fill_null(-1).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero((lengths != counts) & (counts > 0)):
            what = (
                "no answers"
                if lengths[row] < 0
                else f"{counted(lengths[row], 'answer')} to {counted(counts[row], 'question')}"
            )
            reasons[row] = reasons[row] or what
        usable = np.array([reason is None for reason in reasons], np.bool_)
        right = np.full(len(asked.asked), np.nan)
        places = np.repeat(usable, counts)
        chosen = given.filter(pa.array(usable)).flatten()
        right[places] = self._right(chosen, asked.expected.filter(pa.array(places)))
        items = np.repeat(np.arange(len(counts)), counts)
        for row in np.unique(items[places & np.isnan(right)]):
            reasons[row] = "an answer is missing"
        return asked, right, reasons

    def _right(self, given: pa.Array, expected: pa.Array) -> Floats:
        if pa.types.is_struct(given.type) and given.type.get_field_index("answer") >= 0:
            given = pc.struct_field(given, "answer")
        if pa.types.is_string(given.type) or pa.types.is_large_string(given.type):
            return match_answers(given, expected)
        if not (pa.types.is_floating(given.type) or pa.types.is_integer(given.type)):
            raise SchemaError(
                f"column {self.answers!r} is a list of {given.type}: strings, numbers, or structs with a field 'answer' of either are needed"
            )
        values = np.asarray(
            given.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False), np.float64
        )
        wrong = (values < 0) | (values > 1)
        if wrong.any():
            raise InputError(
                f"column {self.answers!r} holds {values[wrong][0]}: a probability lies in [0, 1]"
            )
        if self.threshold is None:
            return values
        return np.where(np.isnan(values), np.nan, values >= self.threshold)


@dataclass(frozen=True)
class Tifa(_Aggregate):
    """The share of the questions about an image that are answered as expected: `tifa`, 0 to 1.

    Null with a reason: no questions, no answers or not as many as questions, one that is missing.

    `answers`    a column of lists, in the order of the questions: answers (strings), compared with those expected; or
                 how surely each is as expected (numbers from 0 to 1); or structs with either in a field `answer`, as
                 `pn_vqa_answers` and `vq2_answers` have.
    `questions`  the column of questions.
    `threshold`  the number from which an answer is right; none: numbers count as they are.
    """

    name: ClassVar[str] = "tifa"

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("tifa"),)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        asked, right, reasons = self.read(batch)
        return answer(self.name, self.gives, [_floats(tifa_score(right, asked.offsets))], reasons)


@dataclass(frozen=True)
class Dsg(_Aggregate):
    """TIFA in which a question counts only where those it depends on hold: `dsg`, 0 to 1.

    `dsg_answers` has, per question, as `counted`, with what it counted: 0 where one that it rests on failed. Fields and
    reasons are those of `Tifa`, but a question that depends on one that is not there, or on itself in a circle, is a
    reason too; with `threshold` none a question holds from 0.5.

    `rests_on`   "ancestors": on the questions it depends on and on what these depend on in turn; "parents": on the
                 former alone, as in the authors' code.
    """

    rests_on: RestsOn = "ancestors"

    name: ClassVar[str] = "dsg"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rests_on not in RESTS_ON:
            raise InputError(f"dsg: rests_on {self.rests_on!r}: {' or '.join(map(repr, RESTS_ON))}")

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return score("dsg"), detail("dsg_answers", answers_type("counted"))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        asked, right, reasons = self.read(batch)
        usable = np.repeat([reason is None for reason in reasons], np.diff(asked.offsets))
        edges = asked.edges[usable[asked.edges[:, 0]]] if len(usable) else asked.edges
        scores, counted = dsg_score(
            right, asked.offsets, edges, self.threshold or 0.5, rests_on=self.rests_on
        )
        scores[[reason is not None for reason in reasons]] = np.nan
        bounds = asked.offsets
        per_item = [
            None if reason is not None else counted[bounds[row] : bounds[row + 1]]
            for row, reason in enumerate(reasons)
        ]
        return answer(self.name, self.gives, [_floats(scores), lists(counted=per_item)], reasons)


def _floats(values: Floats) -> pa.FloatArray:
    return pa.array(values.astype(np.float32), mask=np.isnan(values))
