"""CLIP: images and texts as vectors of one space, and how well they match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import reason_name, score, vector
from curate.errors import InputError
from curate.scorers.embedding.clip_model import ClipModel, check_clip, load_clip
from curate.weights import Precision, check_precision

__all__ = ["Clip", "ClipScore", "match"]

Floats = npt.NDArray[np.float32]


def match(images: Floats, texts: Floats) -> Floats:
    """Cosine of each image with its text: rows (n, d) of any length other than zero give (n,) float32 in [-1, 1].

    Higher means the text says what the image shows. Only a small part of the range is used (LAION was cut at about 0.3).
    Source: Radford et al. (2021), arXiv 2103.00020; Hessel et al., CLIPScore (2021), arXiv 2104.08718, without
    its factor 2.5 and its cut at zero.
    """
    dots = np.einsum("ij,ij->i", images, texts)
    lengths = np.linalg.norm(images, axis=1) * np.linalg.norm(texts, axis=1)
    return np.asarray(np.clip(dots / lengths, -1, 1), np.float32)


@dataclass(frozen=True)
class _Configuration:
    """Which model, and how it is run: the fields of both scorers."""

    model: str = "ViT-B-32"
    pretrained: str | None = "laion2b_s34b_b79k"
    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 64

    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"clip: batch_size {self.batch_size}, at least 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image", "text")

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_clip(self.model, self.pretrained)

    def _load(self) -> ClipModel:
        return load_clip(self.model, self.pretrained, self.device, self.precision)


@dataclass(frozen=True)
class Clip(_Configuration):
    """Encodes image and text: `clip_image` and `clip_text`, of unit length, so that a dot product is a cosine.

    A row whose image cannot be opened gets nulls and the reason. One without text has its image encoded all the same
    and its `clip_text` null. Texts are cut after the model's context, 77 tokens.

    `model`       an open_clip name ("ViT-B-32"), "hf-hub:owner/name" or "local-dir:/folder".
    `pretrained`  a tag of that model's weights, fetched once from the hub; or the path of a checkpoint; or None for
                  random weights of a fixed seed (tests, benchmarks). Not used with hf-hub: and local-dir:.
    `device`      "auto" (cuda, mps, cpu), or a PyTorch device.
    `precision`   "fp32"; "bf16" and "fp16" are faster on a GPU and differ in the third digit.
    `batch_size`  images or texts run at a time.
    """

    name: ClassVar[str] = "clip"

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return vector("clip_image"), vector("clip_text")

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        model = self._load()
        images, reasons = model.encode_images(_column(batch, "image"), self.batch_size)
        failed = np.array([reason is not None for reason in reasons], np.bool_)
        texts, spoken = _encode(model, _column(batch, "text"), ~failed, self.batch_size)
        fields = vector("clip_image", model.dim), vector("clip_text", model.dim)
        return _answer(self.name, fields, [_vectors(images, failed), _vectors(texts, ~spoken)], reasons)


@dataclass(frozen=True)
class ClipScore(_Configuration):
    """Scores how well a text says what its image shows: `clip_score`, their cosine under CLIP (see `match`).

    A row whose image cannot be opened, or without text, gets null and the reason. The fields are those of `Clip`.
    """

    name: ClassVar[str] = "clip-score"

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("clip_score"),)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        model = self._load()
        texts = _column(batch, "text")
        addresses = [
            a if t is not None else None for a, t in zip(_column(batch, "image"), texts, strict=True)
        ]
        images, reasons = model.encode_images(addresses, self.batch_size)
        reasons = ["no text" if t is None else r for t, r in zip(texts, reasons, strict=True)]
        scored = np.array([reason is None for reason in reasons], np.bool_)
        vectors, _ = _encode(model, texts, scored, self.batch_size)
        values = np.zeros(len(texts), np.float32)
        values[scored] = match(images[scored], vectors[scored])
        return _answer(self.name, self.gives, [pa.array(values, mask=~scored)], reasons)


def _encode(
    model: ClipModel, texts: Sequence[str | None], wanted: npt.NDArray[np.bool_], batch_size: int
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Vectors of the texts that are wanted and there, zero elsewhere; and which those are."""
    spoken = wanted & np.array([text is not None for text in texts], np.bool_)
    vectors = np.zeros((len(texts), model.dim), np.float32)
    present = [text for text, is_wanted in zip(texts, spoken, strict=True) if is_wanted and text is not None]
    vectors[spoken] = model.encode_texts(present, batch_size)
    return vectors, spoken


def _column(batch: pa.RecordBatch, name: str) -> list[str | None]:
    values: list[str | None] = batch.column(batch.schema.get_field_index(name)).to_pylist()
    return values


def _vectors(values: Floats, missing: npt.NDArray[np.bool_]) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(missing))


def _answer(
    name: str, gives: Sequence[pa.Field], columns: Sequence[pa.Array], reasons: Sequence[str | None]
) -> pa.RecordBatch:
    fields = [*gives, pa.field(reason_name(name), pa.string())]
    return pa.record_batch([*columns, pa.array(reasons, pa.string())], schema=pa.schema(fields))
