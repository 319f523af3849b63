"""`min-k`: texts that a language model has probably seen (Shi et al. 2023; Zhang et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import detail, reason_name, score
from curate.errors import InputError
from curate.scorers.text.columns import read_token_statistics
from curate.scorers.text.language_model import WHAT, TokenStatistics, load_language_model
from curate.scorers.text.tokens import mean_log_prob, min_k, min_k_plus_plus, zlib_ratio
from curate.weights import Precision, check_model, check_precision

__all__ = ["MinK", "Variant"]

Variant = Literal["min-k++", "min-k"]
Floats = npt.NDArray[Any]
Reasons = npt.NDArray[np.object_]


@dataclass(frozen=True)
class MinK:
    """Scores how unlikely a language model's least expected tokens of a text are: low where it knows the text by heart.

    The score is minus Min-K%++ (or Min-K%, which is >= 0): higher = keep, low = the text was probably in the model's
    training data. It ranks texts of one kind and one model; where to cut depends on both. Beside it: `min_k_log_prob` (mean
    log-probability of a token; its negative is the loss), `min_k_perplexity`, `min_k_tokens`, and with a model
    `min_k_zlib` (see `zlib_ratio`, higher = keep here too).

    `model`       name on the hub or folder of a causal model with its tokenizer; or leave it out and give log_probs.
    `variant`     "min-k++", standardised token by token; or "min-k".
    `k`           the share of tokens that counts, the least likely.
    `column`      the text: a column, or the role `text`.
    `max_length`  tokens shown at a time; by default what the model takes. Longer texts are read in windows that
    `stride`      advance by so many tokens, by default half a window.
    `batch_size`  windows run at a time. `device`: "auto" (cuda, mps, cpu) or a PyTorch device.
    `precision`   "fp32"; "bf16" and "fp16" are faster on a GPU and differ in the third digit.
    `log_probs`   a column of lists of token log-probabilities made elsewhere (an API, vLLM): no model is loaded. A first
                  entry that is null, where nothing was before it, is left out.
    `means`, `deviations`  columns of mu and sigma beside it, which "min-k++" needs.
    """

    model: str = ""
    variant: Variant = "min-k++"
    k: float = 0.2
    column: str = "text"
    max_length: int | None = None
    stride: int | None = None
    batch_size: int = 8
    device: str = "auto"
    precision: Precision = "fp32"
    log_probs: str = ""
    means: str = ""
    deviations: str = ""

    name: ClassVar[str] = "min-k"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if bool(self.model) == bool(self.log_probs):
            raise InputError(
                "min-k: give the model whose memory is in question, model='owner/name' or a folder, or the column of "
                f"its log-probabilities, log_probs='column'; {'both' if self.model else 'neither'} is given"
            )
        if self.log_probs and self.variant == "min-k++" and not (self.means and self.deviations):
            raise InputError(
                "min-k: min-k++ from a column needs means= and deviations= too, mu and sigma of log p over the "
                "vocabulary at each token; where they were not kept use variant='min-k'"
            )
        if not 0 < self.k <= 1:
            raise InputError(f"min-k: k={self.k}: the share of tokens lies in (0, 1]")
        if self.batch_size < 1:
            raise InputError(f"min-k: batch_size {self.batch_size}, at least 1")

    @property
    def needs(self) -> tuple[str, ...]:
        if not self.log_probs:
            return (self.column,)
        more = (self.means, self.deviations) if self.variant == "min-k++" else ()
        return (self.log_probs, *more)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        told = {"min_k_log_prob": pa.float32(), "min_k_perplexity": pa.float32(), "min_k_tokens": pa.int32()}
        fields = (score("min_k"), *(detail(name, type_) for name, type_ in told.items()))
        return fields if self.log_probs else (*fields, detail("min_k_zlib", pa.float32()))

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        if self.model:
            check_precision(self.precision, self.device)
            check_model(self.model, WHAT)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found, reasons, texts = self._read(batch) if self.log_probs else self._run(batch)
        if self.variant == "min-k++":
            values = min_k_plus_plus(found.log_probs, found.means, found.deviations, found.offsets, k=self.k)
        else:
            values = min_k(found.log_probs, found.offsets, k=self.k)
        mean = mean_log_prob(found.log_probs, found.offsets)
        columns: list[Floats] = [-values, mean, np.exp(np.minimum(-mean, 88)), np.diff(found.offsets)]
        if not self.log_probs:
            columns.append(-zlib_ratio(mean, texts))
        null = reasons != None  # noqa: E711 - element by element
        arrays = [
            pa.array(c, f.type, mask=null, safe=False) for c, f in zip(columns, self.gives, strict=True)
        ]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([*arrays, pa.array(reasons, pa.string())], schema=pa.schema(fields))

    def _run(self, batch: pa.RecordBatch) -> tuple[TokenStatistics, Reasons, Sequence[str]]:
        """Ask the model. Texts that cannot be scored have no tokens."""
        stored = batch.column(batch.schema.get_field_index(self.column)).cast(pa.string()).to_pylist()
        texts = [text if text is not None and text.strip() else "" for text in stored]
        reasons = np.array([None if text else "no text" for text in texts], object)
        there = [i for i, text in enumerate(texts) if text]
        if not there:
            none = np.empty(0, np.float32)
            return TokenStatistics(none, none, none, np.zeros(len(texts) + 1, np.int64)), reasons, texts
        model = load_language_model(self.model, self.device, self.precision)
        ids = [np.empty(0, np.int64)] * len(texts)
        for i, encoded in zip(there, model.encode([texts[i] for i in there]), strict=True):
            if len(encoded) < 2:
                reasons[i] = f"{len(encoded)} token: there is none that follows another"
            else:
                ids[i] = encoded
        found = model.token_statistics(
            ids,
            batch_size=self.batch_size,
            max_length=self.max_length,
            stride=self.stride,
            moments=self.variant == "min-k++",
        )
        broken = np.isnan(mean_log_prob(found.log_probs, found.offsets)) & (np.diff(found.offsets) > 0)
        reasons[broken] = "the model answers with NaN"
        return found, reasons, texts

    def _read(self, batch: pa.RecordBatch) -> tuple[TokenStatistics, Reasons, Sequence[str]]:
        """Take what was computed elsewhere."""
        columns = [batch.column(batch.schema.get_field_index(name)) for name in self.needs]
        found, reasons = read_token_statistics(columns, self.needs)
        return found, reasons, ()
