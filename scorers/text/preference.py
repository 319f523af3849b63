"""`ches`: preference pairs whose two answers are so alike to a model that training on them can unlearn both
(Razin et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_floats
from curate.contracts import detail, reason_name, score
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.text.language_model import WHAT, Ids, LanguageModel, load_language_model
from curate.weights import Precision, check_model, check_precision

__all__ = ["Ches", "Similarity", "ches"]

Floats = npt.NDArray[np.float64]


class Similarity(NamedTuple):
    """`raw` and `normalised` by length, both (n,) float64: **high = too alike, drop**."""

    raw: Floats
    normalised: Floats


def ches(
    chosen: npt.NDArray[Any],
    rejected: npt.NDArray[Any],
    chosen_lengths: npt.NDArray[Any],
    rejected_lengths: npt.NDArray[Any],
) -> Similarity:
    """The centred hidden embedding similarity of the two answers of each preference pair.

    `chosen` S+ and `rejected` S- (n, d): sums of a model's last-layer states from the last prompt token up to,
    excluding, the final token of that answer; the lengths (n,) say how many states each sums, L+ and L- >= 1.
    raw = <S+, S-> - |S+|^2; normalised = <S+, S-> / (L+ L-) - |S+|^2 / L+^2, which does not grow with the length.
    0 where both answers are the same; **high = alike**: training that lowers the rejected answer then lowers the chosen
    one too. Unbounded; it ranks pairs under one model. The sums may not hold states of padding.
    Raises InputError for shapes that do not fit and lengths below 1. NaN states give NaN.
    Source: Razin et al. (2024), "Unintentional Unalignment" (CHES score), arXiv 2410.08847.
    """
    plus, minus = as_floats(chosen, "chosen"), as_floats(rejected, "rejected")
    long, other = as_floats(chosen_lengths, "chosen_lengths"), as_floats(rejected_lengths, "rejected_lengths")
    if plus.ndim != 2 or plus.shape != minus.shape or not long.shape == other.shape == plus.shape[:1]:
        raise InputError(
            f"sums of shape {plus.shape} and {minus.shape} with lengths {long.shape} and {other.shape}: "
            "two arrays (n, d) and two (n,) are needed"
        )
    short = np.flatnonzero((long < 1) | (other < 1))
    if len(short):
        raise InputError(f"{counted(len(short), 'pair')} with a length below 1, the first in row {short[0]}")
    cross = np.einsum("nd,nd->n", plus, minus)
    own = np.einsum("nd,nd->n", plus, plus)
    return Similarity(cross - own, cross / (long * other) - own / long**2)


@dataclass(frozen=True)
class Ches:
    """Scores how far apart a model holds the chosen and the rejected answer: minus CHES, higher = keep.

    Pairs with a low score are too alike: preference training on them moves probability to answers nobody wanted.
    Beside it both forms as in `ches`, high = alike: `ches_raw` and `ches_normalised`.

    `model`       name on the hub or folder of the causal model that is to be trained, with its tokenizer.
    `normalised`  score by the form that does not grow with the length of the answers; else by the raw one.
    `prompt`, `chosen`, `rejected`  the columns. The prompt is everything before the answer, as the model would see it:
                  apply a chat template beforehand. A prompt that does not fit before the answer loses its beginning.
    `batch_size`  sequences run at a time. `device`: "auto" (cuda, mps, cpu) or a PyTorch device.
    `precision`   "fp32"; "bf16" and "fp16" are faster on a GPU and differ in the third digit.
    """

    model: str
    normalised: bool = True
    prompt: str = "prompt"
    chosen: str = "chosen"
    rejected: str = "rejected"
    batch_size: int = 8
    device: str = "auto"
    precision: Precision = "fp32"

    name: ClassVar[str] = "ches"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("ches: give the model that is to be trained, model='owner/name' or a folder")
        if self.batch_size < 1:
            raise InputError(f"ches: batch_size {self.batch_size}, at least 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.prompt, self.chosen, self.rejected)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return score("ches"), detail("ches_raw", pa.float32()), detail("ches_normalised", pa.float32())

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_model(self.model, WHAT)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        prompts, chosen, rejected = (_texts(batch, name) for name in self.needs)
        reasons = np.full(batch.num_rows, None, object)
        for name, texts in ((self.rejected, rejected), (self.chosen, chosen)):
            reasons[np.array([not text for text in texts], np.bool_)] = f"no {name}"
        values = np.zeros((3, batch.num_rows))
        rows = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
        if len(rows):
            model = load_language_model(self.model, self.device, self.precision)
            given = [[texts[i] for i in rows] for texts in (prompts, chosen, rejected)]
            encoded, reasons[rows] = _encode(model, given, (self.chosen, self.rejected))
            kept = np.flatnonzero(reasons[rows] == None)  # noqa: E711
            found = _similarity(model, [encoded[i] for i in kept], self.batch_size)
            main = found.normalised if self.normalised else found.raw
            values[:, rows[kept]] = -main, found.raw, found.normalised
            reasons[np.isnan(values[0])] = "the model answers with NaN"
        null = reasons != None  # noqa: E711
        arrays = [pa.array(v.astype(np.float32), mask=null) for v in values]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([*arrays, pa.array(reasons, pa.string())], schema=pa.schema(fields))


class _Pair(NamedTuple):
    """Tokens of one pair. The prompt is cut for each answer by itself."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


def _encode(
    model: LanguageModel, given: Sequence[Sequence[str]], names: tuple[str, str]
) -> tuple[list[_Pair], npt.NDArray[np.object_]]:
    """Prompt and answers as tokens, by themselves, so that the prompt ends at the same place in both; and what is wrong."""
    prompts = model.encode(given[0])
    answers = [model.encode(texts, special=False) for texts in given[1:]]
    reasons = np.full(len(prompts), None, object)
    pairs = []
    for i, (prompt, chosen, rejected) in enumerate(zip(prompts, *answers, strict=True)):
        if not len(prompt):
            start = model.tokenizer.bos_token_id
            prompt = np.array([] if start is None else [start], np.int64)
        pairs.append(_Pair(prompt, chosen, rejected))
        if not len(prompt):
            reasons[i] = "no prompt, and the tokenizer knows no token to begin with"
        for name, answer in zip(names, (chosen, rejected), strict=True):
            if not len(answer):
                reasons[i] = f"no token in {name}"
            elif len(answer) >= model.limit:
                reasons[i] = f"too many tokens in {name}: the model takes {model.limit} with the prompt's"
    return pairs, reasons


def _similarity(model: LanguageModel, pairs: Sequence[_Pair], batch_size: int) -> Similarity:
    if not pairs:
        return Similarity(np.empty(0), np.empty(0))
    answers = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    prompts = [pair.prompt for pair in pairs] * 2
    cut = [p[max(0, len(p) + len(a) - model.limit) :] for p, a in zip(prompts, answers, strict=True)]
    sums = model.state_sums(cut, answers, batch_size)
    lengths = np.array([len(answer) for answer in answers])
    return ches(sums[: len(pairs)], sums[len(pairs) :], lengths[: len(pairs)], lengths[len(pairs) :])


def _texts(batch: pa.RecordBatch, name: str) -> list[str]:
    stored = batch.column(batch.schema.get_field_index(name)).cast(pa.string()).to_pylist()
    return [text if text is not None and text.strip() else "" for text in stored]
