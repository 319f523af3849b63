"""`expected-answers`: labels that most people would contradict, where some items were asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.annotators.consensus.answers import read_answers
from curate.annotators.consensus.viewing import needed_columns, view_answers
from curate.contracts import View, detail, flag, score, vector
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, answered
from curate.scorers.noise.expected.jury import ONE_EACH, Said
from curate.scorers.noise.expected.people import Expectation, expect
from curate.scorers.noise.labelled import Labelled, read_labelled

__all__ = ["ExpectedAnswers"]


@dataclass(frozen=True)
class ExpectedAnswers:
    """Scores how many people would give each label rather than another, from models of what people say: higher = keep.

    `pred_probs` is the vector column of probabilities out of sample, or several, one for each model; `classes` the order of their columns
    (default: the distinct labels, sorted by code point). `answers` is a column of lists of structs (annotator, value), or
    `columns` names plain columns, one for each annotator; empty where nobody was asked. `label` is the column judged.
    Beside the score: `label_disputed`, `label_disputed_suggestion` (what most are expected to say, where that is not the
    label), `label_disputed_because`, and the vector `answer_shares`, a soft label in the order of the classes.
    Notes of the fitted scorer say what each model counts and how well answers were foretold.
    """

    pred_probs: str | tuple[str, ...] = "pred_probs"
    answers: str = "answers"
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    label: str = "label"

    name: ClassVar[str] = "expected-answers"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("expected-answers: pred_probs names no column")

    @property
    def models(self) -> tuple[str, ...]:
        """The vector columns read."""
        return (self.pred_probs,) if isinstance(self.pred_probs, str) else tuple(self.pred_probs)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, *self.models, *needed_columns(self.answers, self.columns))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("expected_answers"),
            flag("label_disputed"),
            detail("label_disputed_suggestion", pa.string()),
            detail("label_disputed_because", pa.string()),
            vector("answer_shares"),
        )

    def fit(self, view: View) -> FittedTable:
        """Judge the labels of a view. Raises InputError where the whole input is wrong, not a few rows, or where nobody
        was asked about an item that can be scored."""
        read = read_labelled(view, self.models, self.classes, self.label)
        reasons = np.full(len(read.order), None, object)
        reasons[read.order] = read.reasons
        if not len(read.usable):
            return answered(self, read.rows, {}, reasons, classes=read.classes)
        said, strange = self._said(view, read)
        if not len(said.row):
            raise InputError(
                f"expected-answers: nobody was asked about any of the {counted(len(read.usable), 'item')} that can be "
                f"scored, as far as {' and '.join(needed_columns(self.answers, self.columns))} tell"
                f"{f' ({strange})' if strange else ''}: gather answers first, or score label-errors, which needs none"
            )
        found = expect(read.probs, said, read.codes)
        values = _values(found, read.classes)
        notes = (*describe(found, said), *([strange] if strange else []))
        return answered(self, read.rows, values, reasons, notes=notes, classes=read.classes)

    def _said(self, view: View, read: Labelled) -> tuple[Said, str]:
        """The answers by the places of items that can be scored, and a sentence on those that are none of the classes."""
        import polars as pl

        frame = view_answers(view, self.answers, self.columns)
        nothing = np.empty(0, np.int64)
        if not frame.height:
            return Said(nothing, nothing), ""
        told = read_answers(frame)
        ids = pl.Series("item", view.to_arrow(["id"]).column("id"))[read.rows]
        place = pl.DataFrame({"item": ids, "row": np.arange(len(ids))})
        row = told.items.to_frame("item").join(place, "item", "left", maintain_order="left")["row"]
        known = {name: i for i, name in enumerate(read.classes)}
        code = np.array([known.get(str(value), -1) for value in told.values.to_list()], np.int64)
        rows, codes = row.fill_null(-1).to_numpy()[told.item], code[told.value]
        strange = sorted({str(told.values[int(i)]) for i in np.unique(told.value[codes < 0])})
        kept = (rows >= 0) & (codes >= 0)
        order = np.argsort(rows[kept], kind="stable")
        sentence = ""
        if strange:
            sentence = (
                f"{counted(int((codes < 0).sum()), 'answer')} that {'are' if (codes < 0).sum() > 1 else 'is'} none of the "
                f"classes count as not given: {', '.join(map(repr, strange[:5]))}"
            )
        return Said(rows[kept][order], codes[kept][order]), sentence


def _values(found: Expectation, classes: tuple[str, ...]) -> dict[str, npt.NDArray[np.generic] | pa.Array]:
    """What was found, by the columns of the scorer."""
    suggestion = np.full(len(found), None, object)
    suggestion[found.flagged] = np.array(classes, object)[found.suggested[found.flagged]]
    return {
        "expected_answers": found.score.astype(np.float32),
        "label_disputed": found.flagged,
        "label_disputed_suggestion": suggestion,
        "label_disputed_because": found.reason,
        "answer_shares": pa.FixedSizeListArray.from_arrays(pa.array(found.shares.reshape(-1)), len(classes)),
    }


def describe(found: Expectation, said: Said) -> tuple[str, ...]:
    """What was found, in sentences for a person."""
    asked = len(np.unique(said.row))
    told = [
        f"{counted(int(found.flagged.sum()), 'label')} of {counted(len(found), 'item')} would be contradicted by most people; learnt from "
        f"{counted(len(said.row), 'answer')} about {counted(asked, 'item')}, of which the models alone foretold {found.agreement:.1%}"
    ]
    if found.agreement < found.commonest + 0.02:
        told.append(
            f"always foretelling the commonest answer would be right for {found.commonest:.1%}: the models tell hardly anything "
            "of what people say, and what is concluded from them is to be doubted; are the columns in the order of the classes?"
        )
    shares = ", ".join(f"{weight:.2f}" for weight in found.exponents)
    powers = f"powers {shares}" if len(found.exponents) > 1 else f"power {shares}"
    told.append(
        f"the models' probabilities are taken to the {powers}; where it is decided, they count {found.powers[0]:.2f} and what "
        f"people say of items with the same label {found.powers[1]:.2f}"
    )
    told.append(
        "nobody was asked what another was asked: how alike people's answers are cannot be told, and all this counts as one more person"
        if found.people == ONE_EACH
        else f"all this counts as {found.people:.1f} people beside those who were asked about the item"
    )
    return tuple(told)
