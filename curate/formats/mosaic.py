"""A compressed set of images: the patches a model is surest of, stitched into few pictures, with a soft label of each patch.

    made = make_mosaics(read, labels, predict, per_class=10)
    write_mosaics(made, "small/")

After RDED (Sun et al., "On the Diversity and Realism of Distilled Dataset", CVPR 2024, arXiv 2312.03526). The model is a
function of yours, so this is Python and no step of a recipe.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_array, as_numbers
from curate.arrays.distributions import check_distributions
from curate.choosing import Rng, generator
from curate.contracts import View
from curate.counting import counted
from curate.errors import InputError, MediaError
from curate.fitting import order_by_id, read_labels
from curate.formats.export import ExportResult, Format, export
from curate.media import DEFAULT, MediaPolicy, encode_png, open_image, read_ahead

__all__ = ["Mosaics", "Predict", "compress_view", "make_mosaics", "write_mosaics"]

Pixels = npt.NDArray[np.uint8]
Read = Callable[[int], Pixels]
Predict = Callable[[Pixels], "npt.NDArray[Any]"]
"""(b, side, side, 3) uint8 -> (b, C) probabilities of the classes in their sorted order."""

_BATCH = 256
_LEAD = 8
"""Images opened ahead of the one that is looked at."""


@dataclass(frozen=True, eq=False)
class Mosaics:
    """Pictures made of `grid` x `grid` patches.

    `pixels` (m, side, side, 3) uint8; `labels` (m,) the class of all patches; `soft` (m, C) float32 what the model says of the
    whole picture, columns as in `classes`; `patch_soft` (m, grid^2, C) float32 what it says of each patch before it is made
    small, row by row of the grid; `sources` (m, grid^2) int64 rows the patches are from; `confidence` (m, grid^2) float32
    the model's probability of the label on each patch. Classes in their order, and within one the surest picture
    first. `curate.formats.patches` cuts pictures up again and labels the cuts.
    """

    pixels: Pixels
    labels: npt.NDArray[Any]
    soft: npt.NDArray[np.float32]
    patch_soft: npt.NDArray[np.float32]
    sources: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    classes: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.pixels)


def make_mosaics(
    read: Read,
    labels: Any,
    predict: Predict,
    *,
    per_class: int = 10,
    grid: int = 2,
    side: int = 64,
    crops: int = 5,
    smallest: float = 1.0,
    candidates: int = 300,
    rng: Rng = None,
) -> Mosaics:
    """So many pictures of each class, made of the patches of it that the model is surest of.

    `read(row)` gives an image (h, w, 3) uint8; `labels` (n,) the classes. Of each class at most `candidates` images are looked
    at, drawn at random; of each, `crops` square pieces of between `smallest` and all of its shorter side (one that is drawn
    again counts once), seen by the model at `side` pixels. An image's best piece stands for it; the best `per_class` x
    `grid`^2 of these fill the pictures in turn, so that each has one of the best. A class of fewer images gives its next
    best pieces, too. `side` must be a multiple of `grid`. Memory: one class's pieces.

    Raises InputError for parameters out of range, an image that is none, or predictions that are no probabilities of
    the classes.
    """
    given = as_array(labels, "labels")
    if given.ndim != 1 or not len(given):
        raise InputError(f"labels have shape {given.shape}: (n,) with at least one is meant")
    least = {"per_class": per_class, "grid": grid, "crops": crops, "candidates": candidates}
    for name, value in least.items():
        if value < 1:
            raise InputError(f"{name}={value}: at least 1")
    if side % grid or side < grid or not 0 < smallest <= 1:
        raise InputError(
            f"side={side}, grid={grid}, smallest={smallest}: a multiple of the grid, and in (0, 1]"
        )
    rng = generator(rng)
    classes = np.unique(given)
    slots = per_class * grid * grid
    pictures, sources, told = [], [], []
    for code, name in enumerate(classes):
        rows = np.sort(rng.permutation(np.flatnonzero(given == name))[:candidates])
        pieces, owner = _pieces(read, rows, (side, crops, smallest), rng)
        seen = _predicted(predict, pieces, len(classes))
        taken = _best(seen[:, code], owner, slots)
        place = (
            np.arange(slots).reshape(grid * grid, per_class).T
        )  # the first patch of each picture is of the best
        chosen = taken[place]
        pictures += [_stitched(pieces[row], grid, side) for row in chosen]
        sources.append(rows[owner[chosen]])
        told.append(seen[chosen].astype(np.float32))
    pixels, patch_soft = np.stack(pictures), np.concatenate(told)
    owned = np.repeat(np.arange(len(classes)), per_class)
    return Mosaics(
        pixels,
        classes[owned],
        _predicted(predict, pixels, len(classes)).astype(np.float32),
        patch_soft,
        np.concatenate(sources).astype(np.int64),
        np.take_along_axis(patch_soft, owned[:, None, None], 2)[..., 0],
        tuple(classes.tolist()),
    )


def _pieces(
    read: Read, rows: npt.NDArray[np.int64], how: tuple[int, int, float], rng: np.random.Generator
) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Square pieces of these images at one size, none twice, and the place in `rows` of the image each is from."""
    from PIL import Image

    side, crops, smallest = how
    pieces = np.empty((len(rows) * crops, side, side, 3), np.uint8)
    owner: list[int] = []
    for place, row in enumerate(rows):
        image = np.asarray(read(int(row)))
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise InputError(
                f"image {row} has shape {image.shape} and type {image.dtype}: (h, w, 3) uint8 is meant"
            )
        squares = dict.fromkeys(_square(image.shape[:2], smallest, rng) for _ in range(crops))
        for top, left, edge in squares:
            cut = Image.fromarray(image[top : top + edge, left : left + edge])
            pieces[len(owner)] = np.asarray(cut.resize((side, side), Image.Resampling.BILINEAR))
            owner.append(place)
    return pieces[: len(owner)], np.array(owner)


def _square(shape: tuple[int, ...], smallest: float, rng: np.random.Generator) -> tuple[int, int, int]:
    """Top, left and edge of a square somewhere in an image, of between `smallest` and all of its shorter side."""
    height, width = shape
    edge = max(1, round(min(height, width) * rng.uniform(smallest, 1)))
    return int(rng.integers(height - edge + 1)), int(rng.integers(width - edge + 1)), edge


def _predicted(predict: Predict, pixels: Pixels, classes: int) -> npt.NDArray[np.float64]:
    parts = []
    for low in range(0, len(pixels), _BATCH):
        block = pixels[low : low + _BATCH]
        found = np.asarray(as_numbers(predict(block), "what predict gave"), np.float64)
        if found.shape != (len(block), classes):
            raise InputError(
                f"predict gave {found.shape} for {counted(len(block), 'image')} of "
                f"{counted(classes, 'class', 'classes')}"
            )
        check_distributions(found, "what predict gave")
        parts.append(found)
    return np.concatenate(parts)


def _best(score: npt.NDArray[Any], owner: npt.NDArray[np.int64], slots: int) -> npt.NDArray[np.int64]:
    """The best piece of each image, best first; then the second best of each, and so on, and again from the start."""
    order = np.lexsort((np.arange(len(score)), -score, owner))
    turn = np.empty(len(score), np.int64)
    sizes = np.bincount(owner)
    turn[order] = np.arange(len(score)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    ranked = np.lexsort((np.arange(len(score)), -score, turn))
    return np.resize(ranked, slots)


def _stitched(patches: Pixels, grid: int, side: int) -> Pixels:
    from PIL import Image

    cell = side // grid
    small = [np.asarray(Image.fromarray(p).resize((cell, cell), Image.Resampling.BILINEAR)) for p in patches]
    lines = [np.concatenate(small[r * grid : (r + 1) * grid], axis=1) for r in range(grid)]
    return np.concatenate(lines, axis=0)


# --- Files -----------------------------------------------------------------------------------------------------------


def write_mosaics(
    mosaics: Mosaics,
    out: str | Path,
    *,
    ids: Sequence[str] | None = None,
    format: Format = "parquet",
    quality: int | None = None,
    manifest: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Write them as a data set: the pictures, and columns of their labels and patches, with manifest and card.

    `label`; `soft_label`, C probabilities of the whole; `patch_soft_labels`, for each patch, row by row, C probabilities;
    `sources`, for each patch the id of its image. `ids` name these (default: the numbers of the rows). `format`: parquet,
    datasets or webdataset, with the pictures in the rows; jsonl or csv, with files beside. The pictures are PNG, without
    loss, or, with a `quality` of 1 to 100, JPEG. Raises InputError if something else is at `out` or for another quality.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise InputError(f"quality={quality}: 1 to 100 for JPEG, or None for PNG")
    table = {
        "id": [f"mosaic-{name}-{i:04}" for i, name in enumerate(mosaics.labels)],
        "label": [str(name) for name in mosaics.labels],
        "soft_label": _vectors(mosaics.soft),
        "patch_soft_labels": _vectors(mosaics.patch_soft),
        "sources": [
            [ids[row] if ids is not None else str(row) for row in rows] for rows in mosaics.sources.tolist()
        ],
    }
    told = {
        "title": "Compressed image set",
        "description": "Pictures stitched from the patches that a model is surest of, row by row of a square grid. "
        "soft_label: of the whole picture, and patch_soft_labels: of each patch, its probabilities of "
        + ", ".join(map(str, mosaics.classes)),
        **(manifest or {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        ending = "png" if quality is None else "jpg"
        paths = [Path(folder) / f"{i}.{ending}" for i in range(len(mosaics))]
        for path, pixels in zip(paths, mosaics.pixels, strict=True):
            path.write_bytes(encode_png(pixels) if quality is None else _jpeg(pixels, quality))
        batch = pa.RecordBatch.from_pydict({**table, "image": [str(path) for path in paths]})
        media: Any = "embed" if format in ("parquet", "datasets", "webdataset") else "copy"
        return export(
            [batch], out, format=format, kind="label", manifest=told, media=media, overwrite=overwrite
        )


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _vectors(values: npt.NDArray[np.float32]) -> pa.Array:
    """Lists of a fixed length, one level for each axis but the first."""
    found = pa.array(values.ravel())
    for size in values.shape[:0:-1]:
        found = pa.FixedSizeListArray.from_arrays(found, size)
    return found


def compress_view(
    view: View,
    out: str | Path,
    predict: Predict,
    *,
    label: str = "label",
    format: Format = "parquet",
    quality: int | None = None,
    policy: MediaPolicy = DEFAULT,
    overwrite: bool = False,
    per_class: int = 10,
    grid: int = 2,
    side: int = 64,
    crops: int = 5,
    smallest: float = 1.0,
    candidates: int = 300,
    seed: int = 0,
) -> ExportResult:
    """`make_mosaics` of a view's images and `write_mosaics` of the result, with the parameters of both.

    Items without a label or whose image cannot be read are left out. Raises InputError where none is left.
    """
    rows = order_by_id(view)
    labels = read_labels(view, label, rows)
    kept = np.flatnonzero(np.asarray(labels.is_valid()))
    table = view.take(rows[kept], ["id", "image"])
    ids, uris = (table.column(name).to_pylist() for name in ("id", "image"))

    def look(uri: str | None) -> Pixels:
        if uri is None:
            raise MediaError("missing", "no image")
        return np.asarray(open_image(uri, policy=policy))

    seen = (isinstance(found, MediaError) for found in read_ahead(look, uris, _LEAD))
    readable = ~np.fromiter(seen, bool, len(uris))
    if not readable.any():
        raise InputError(
            f"none of {counted(len(rows), 'item')} has a {label!r} and an image that can be read"
        )
    usable = np.flatnonzero(readable)
    texts = np.array(labels.to_pylist(), object)[kept[usable]].astype(str)

    made = make_mosaics(
        lambda row: look(uris[usable[row]]),
        texts,
        predict,
        per_class=per_class,
        grid=grid,
        side=side,
        crops=crops,
        smallest=smallest,
        candidates=candidates,
        rng=np.random.default_rng(seed),
    )
    names = [ids[i] for i in usable]
    return write_mosaics(made, out, ids=names, format=format, quality=quality, overwrite=overwrite)
