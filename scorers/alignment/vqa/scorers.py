"""Scorers that ask a vision-language model about each image: PN-VQA, VQ2 and VQAScore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import detail, score
from curate.scorers.alignment.vqa.answers import Asking, answer, answers_type, check_template, column, lists
from curate.scorers.alignment.vqa.measures import Normalise, pn_vqa_score
from curate.scorers.alignment.vqa.questions import Questions, read_questions

__all__ = ["PnVqa", "Vq2", "VqaScore"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PnVqa(Asking):
    """Asks of each question about an image whether its answer is yes, and whether it is no: `pn_vqa`, 0 to 1.

    A question's score is (P_T + 1 - P_F) / 2 (see `pn_vqa_score`), one minus it where the answer expected is no; the
    item's is their mean. `pn_vqa_answers` has, in the order of the questions, `answer`: how surely it is as expected (what
    `tifa` and `dsg` read), `positive` and `negative`: P_T and P_F.
    The image goes through the vision tower once for all its questions.

    Null with a reason: no image or one that cannot be opened, no questions, an empty one, one that expects neither yes
    nor no, more tokens than the model takes, or a question that holds one of the model's own tokens.

    `questions`  the column of questions (see docs), or of lists of strings whose answer is yes.
    `positive`, `negative`  what is asked; {question} is put in. Which words the authors used is not known.
    `model`      a name on the hub or the path of a folder, of any model that transformers takes for image and text.
    `yes`, `no`  words that mean yes and no, in any casing.
    `normalise`  "yes-no": P(yes) of yes and no alone; "vocabulary": of all words.
    `device`     "auto" (cuda, mps, cpu), or a PyTorch device.
    `precision`  "fp32"; "bf16" and "fp16" are faster on a GPU and differ in the third digit.
    `batch_size` prompts run at a time.
    """

    questions: str = "questions"
    positive: str = 'Based on the image, is the answer to "{question}" yes? Please answer yes or no.'
    negative: str = 'Based on the image, is the answer to "{question}" no? Please answer yes or no.'

    name: ClassVar[str] = "pn-vqa"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_template(self.positive, ["question"], "positive")
        check_template(self.negative, ["question"], "negative")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image", self.questions)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        answers = detail("pn_vqa_answers", answers_type("answer", "positive", "negative"), of=self.questions)
        return score("pn_vqa"), answers

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        asked = read_questions(column(batch, self.questions), self.questions)
        expected = [str(text).strip().rstrip(".").lower() for text in asked.expected.to_pylist()]
        prompts = self._prompts(asked, expected)
        found = self.ask(column(batch, "image").to_pylist(), prompts)
        reasons = [one if isinstance(one, str) else None for one in found]
        positive = [None if isinstance(one, str) else one[0::2] for one in found]
        negative = [None if isinstance(one, str) else one[1::2] for one in found]
        answers: list[Floats | None] = []
        for row, (p, n) in enumerate(zip(positive, negative, strict=True)):
            if p is None or n is None:
                answers.append(None)
                continue
            no = np.array([e == "no" for e in expected[asked.offsets[row] : asked.offsets[row + 1]]])
            values = pn_vqa_score(p, n)
            answers.append(np.where(no, 1 - values, values))
        each = lists(answer=answers, positive=positive, negative=negative)
        return answer(self.name, self.gives, [_means(answers), each], reasons)

    def _prompts(self, asked: Questions, expected: Sequence[str]) -> list[list[str] | str]:
        """Both prompts of each question of each item, or why the item is not to be asked about."""
        prompts: list[list[str] | str] = []
        texts = asked.asked.to_pylist()
        for row, fault in enumerate(asked.faults()):
            span = range(int(asked.offsets[row]), int(asked.offsets[row + 1]))
            odd = next((i for i in span if expected[i] not in ("yes", "no")), None)
            if fault is not None:
                prompts.append(fault)
            elif odd is not None:
                prompts.append(
                    f"question {odd - span.start} expects {expected[odd]!r}: PN-VQA asks for yes and no; use vq2"
                )
            else:
                prompts.append(
                    [t.format(question=texts[i]) for i in span for t in (self.positive, self.negative)]
                )
        return prompts


@dataclass(frozen=True)
class Vq2(Asking):
    """Asks whether the answer expected to each question is true of an image: `vq2`, the mean P(yes), 0 to 1.

    Answers may be anything (two, red, on the table). `vq2_answers` has P(yes) as `answer`, in the order of the
    questions, as `tifa` and `dsg` read it. Fields and reasons are those of `PnVqa`, but:

    `template`  what is asked; {question} and {answer} are put in.
    """

    questions: str = "questions"
    template: str = 'Is "{answer}" true for "{question}" in this image?'

    name: ClassVar[str] = "vq2"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_template(self.template, ["question", "answer"], "template")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image", self.questions)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return score("vq2"), detail("vq2_answers", answers_type("answer"), of=self.questions)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        asked = read_questions(column(batch, self.questions), self.questions)
        pairs = list(zip(asked.asked.to_pylist(), asked.expected.to_pylist(), strict=True))
        prompts: list[list[str] | str] = []
        for row, fault in enumerate(asked.faults()):
            own = pairs[asked.offsets[row] : asked.offsets[row + 1]]
            prompts.append(fault or [self.template.format(question=q, answer=a) for q, a in own])
        found = self.ask(column(batch, "image").to_pylist(), prompts)
        reasons = [one if isinstance(one, str) else None for one in found]
        answers = [None if isinstance(one, str) else one for one in found]
        return answer(self.name, self.gives, [_means(answers), lists(answer=answers)], reasons)


@dataclass(frozen=True)
class VqaScore(Asking):
    """Asks whether a figure shows what its text says: `vqa_score`, P(yes), 0 to 1.

    Null with a reason: no image or one that cannot be opened, an empty text, more tokens than the model takes, or one
    of the model's own tokens in the text. Fields are those of `PnVqa`, but:

    `template`   what is asked; {text} is put in.
    `normalise`  here "vocabulary", as published.
    """

    normalise: Normalise = "vocabulary"
    template: str = 'Does this figure show "{text}"? Please answer yes or no.'

    name: ClassVar[str] = "vqa-score"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_template(self.template, ["text"], "template")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image", "text")

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("vqa_score"),)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = column(batch, "text").to_pylist()
        prompts = [
            [self.template.format(text=text)] if text is not None and text.strip() else "no text"
            for text in texts
        ]
        found = self.ask(column(batch, "image").to_pylist(), prompts)
        reasons = [one if isinstance(one, str) else None for one in found]
        answers = [None if isinstance(one, str) else one for one in found]
        return answer(self.name, self.gives, [_means(answers)], reasons)


def _means(values: Sequence[Floats | None]) -> pa.FloatArray:
    return pa.array([None if one is None else float(one.mean()) for one in values], pa.float32())
