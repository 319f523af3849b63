"""CLIPScore and RefCLIPScore: cosines of an image, its text and reference texts in one space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.arrays.conversion import as_floats
from curate.contracts import detail, reason_name, score
from curate.counting import counted
from curate.errors import InputError, SchemaError

__all__ = ["RefClipScore", "clip_score", "read_vectors", "ref_clip_score"]

Floats = npt.NDArray[np.float64]


def clip_score(images: npt.ArrayLike, texts: npt.ArrayLike, weight: float = 2.5) -> Floats:
    """How well each text says what its image shows: weight * max(cosine, 0).

    `images` and `texts` are vectors of one space, (n, d), of any length other than zero. Returns (n,) float64, 0 to
    `weight`, higher = better; NaN where a vector is zero or not finite. Raises InputError for shapes that do not fit.
    Source: Hessel et al., CLIPScore (2021), arXiv 2104.08718, section 3.
    """
    first, second = _rows(images, "images"), _rows(texts, "texts")
    if first.shape != second.shape:
        raise InputError(f"images are {first.shape}, texts {second.shape}: one row each, of one space")
    if not weight > 0:
        raise InputError(f"weight {weight}, above 0")
    return np.asarray(weight * np.maximum(np.einsum("ij,ij->i", first, second), 0))


def ref_clip_score(
    images: npt.ArrayLike, texts: npt.ArrayLike, references: npt.ArrayLike, weight: float = 2.5
) -> Floats:
    """CLIPScore that also asks how near a text is to what people wrote: their harmonic mean.

    `references` (n, r, d) are the vectors of r reference texts per item, NaN where an item has fewer; the nearest
    counts, max(cosine, 0). The others are those of `clip_score`. Returns (n,) float64, higher = better; 0 where either
    is 0, NaN where the item has no reference or `clip_score` is NaN. Source: as `clip_score`, section 3.1.
    """
    plain = clip_score(images, texts, weight)
    candidates, many = _rows(texts, "texts"), as_floats(references, "references")
    if many.ndim != 3 or many.shape[0] != len(candidates) or many.shape[2] != candidates.shape[1]:
        raise InputError(f"references are {many.shape}, texts {candidates.shape}: (n, r, d) is needed")
    units = _unit(many)
    cosines = np.einsum("ij,irj->ir", candidates, units)
    known = np.isfinite(cosines)
    nearest = np.maximum(np.where(known, cosines, -1).max(axis=1, initial=-1), 0)
    nearest[~known.any(axis=1)] = np.nan
    total = plain + nearest
    return np.asarray(np.divide(2 * plain * nearest, total, out=total.copy(), where=total > 0))


def _rows(vectors: npt.ArrayLike, name: str) -> Floats:
    """Rows of unit length; NaN for those without a direction."""
    array = as_floats(vectors, "vectors")
    if array.ndim != 2:
        raise InputError(f"{name} are {array.shape}: (n, d) is needed")
    return _unit(array)


def _unit(array: Floats) -> Floats:
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(np.isfinite(lengths) & (lengths > 0), array / lengths, np.nan))


@dataclass(frozen=True)
class RefClipScore:
    """Scores a text by its image and by reference texts, all as vectors of CLIP: `ref_clip_score`.

    `ref_clip_score_image` is CLIPScore alone. Null with a reason: no vector of the image or the text, no reference.

    `image`, `text`  columns of vectors, as the scorer `clip` writes them.
    `references`     one or more columns of vectors of reference texts, of the same model; an item may lack some.
    `weight`         what the cosine of image and text is multiplied with before the mean.
    """

    image: str = "clip_image"
    text: str = "clip_text"
    references: tuple[str, ...] = ("clip_reference",)
    weight: float = 2.5

    name: ClassVar[str] = "ref-clip-score"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.references:
            raise InputError(
                "ref-clip-score: references are needed, at least one column; without, use clip-score"
            )
        if not self.weight > 0:
            raise InputError(f"ref-clip-score: weight {self.weight}, above 0")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.image, self.text, *self.references)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return score("ref_clip_score"), detail("ref_clip_score_image", pa.float32())

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        images, texts = read_vectors(batch, self.image), read_vectors(batch, self.text)
        references = [read_vectors(batch, name) for name in self.references]
        dim = max(images.shape[1], texts.shape[1])
        for name, values in zip(self.needs, (images, texts, *references), strict=True):
            if values.shape[1] not in (0, dim):
                raise InputError(
                    f"column {name!r} has {counted(values.shape[1], 'dimension')}, others {dim}: not of one model"
                )
        grown = [_grow(values, dim) for values in (images, texts, *references)]
        stacked = np.stack(grown[2:], axis=1)
        plain = clip_score(grown[0], grown[1], self.weight)
        values = ref_clip_score(grown[0], grown[1], stacked, self.weight)
        lacking = [np.isnan(_unit(one)).any(axis=-1) for one in (*grown[:2], stacked)]
        reasons = np.full(len(values), None, object)
        for missing, why in (
            (np.asarray(np.all(lacking[2], axis=1)), "no reference"),
            (lacking[1], f"no vector in {self.text!r}"),
            (lacking[0], f"no vector in {self.image!r}"),
        ):
            reasons[missing] = why
        null = np.array([reason is not None for reason in reasons], np.bool_)
        columns = [pa.array(one.astype(np.float32), mask=null) for one in (values, plain)]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([*columns, pa.array(reasons.tolist(), pa.string())], schema=pa.schema(fields))


def read_vectors(batch: pa.RecordBatch, name: str) -> Floats:
    """A column of vectors of a batch as rows (n, d), NaN where null; d is 0 where all are.

    Raises SchemaError where it holds something else, InputError where they are not of one length.
    """
    column = batch.column(batch.schema.get_field_index(name))
    if pa.types.is_null(column.type):
        return np.empty((len(column), 0))
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(test(column.type) for test in lists) or not pa.types.is_floating(column.type.value_type):
        raise SchemaError(f"column {name!r} is {column.type}, and vectors are needed")
    there = np.asarray(column.is_valid())
    found = column.filter(column.is_valid())
    lengths = np.unique(pc.list_value_length(found).to_numpy(zero_copy_only=False))
    if len(lengths) > 1:
        raise InputError(
            f"column {name!r} has vectors of {lengths[0]} and of {counted(lengths[-1], 'dimension')}"
        )
    dim = int(lengths[0]) if len(lengths) else 0
    rows = np.full((len(column), dim), np.nan)
    flat = found.flatten().cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)
    rows[there] = flat.reshape(-1, dim) if dim else np.empty((int(there.sum()), 0))
    return rows


def _grow(values: Floats, dim: int) -> Floats:
    return values if values.shape[1] == dim else np.full((len(values), dim), np.nan)
