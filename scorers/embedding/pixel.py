"""A plain embedding: the image itself, small and standardised. Needs no model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import reason_name, vector
from curate.counting import counted
from curate.errors import InputError, MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BRIGHTNESS", "PixelEmbedding", "pixel_embeddings"]

BRIGHTNESS = 0.25
"""How much of the mean brightness is left in: none would leave a flat image without a direction, all would make every
two pictures with a dark background alike."""


def pixel_embeddings(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Images of one size as rows of unit length, so that a dot product is a cosine.

    `pixels` (n, ...) uint8. Values become -1 to 1, three quarters of each image's mean are taken away, and its length is
    made 1: contrast is ignored, brightness counts little, and everything else is kept. Returns (n, d) float32.
    """
    if pixels.dtype != np.uint8:
        raise InputError(f"pixels are {pixels.dtype}: give uint8, 0 to 255")
    flat = pixels.reshape(len(pixels), math.prod(pixels.shape[1:]))
    values = (flat.astype(np.float32) - 127.5) / 127.5
    values -= (1 - BRIGHTNESS) * values.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.einsum("ij,ij->i", values, values))  # never 0: no pixel is 127.5
    return np.asarray(values / lengths[:, None], np.float32)


@dataclass(frozen=True)
class PixelEmbedding:
    """Gives `pixel_embedding`: the image at `size` x `size` pixels as a vector of unit length (see `pixel_embeddings`).

    Good for small, centred pictures such as digits, and as a baseline for any encoder. What it does not see is
    anything that moves by more than a pixel of the small image.

    `size`  side in pixels; 8 keeps every pixel of an 8 x 8 image.
    `mode`  "L" grey, size^2 numbers; "RGB" colour, 3 size^2.
    An image that cannot be opened gets null and the reason.
    """

    size: int = 8
    mode: Literal["L", "RGB"] = "RGB"

    name: ClassVar[str] = "pixel-embedding"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 256:
            raise InputError(f"pixel-embedding: size {counted(self.size, 'pixel')}, 1 to 256")

    @property
    def dim(self) -> int:
        return self.size**2 * len(self.mode)

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("pixel_embedding", self.dim),)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        addresses = batch.column(batch.schema.get_field_index("image")).to_pylist()
        pixels = np.zeros((len(addresses), self.dim), np.uint8)
        reasons: list[str | None] = [None] * len(addresses)
        for row, address in enumerate(addresses):
            try:
                pixels[row] = shrink(_open(address, self.mode), self.size).reshape(-1)
            except MediaError as error:
                reasons[row] = f"{error.code}: {error}"
        missing = pa.array([reason is not None for reason in reasons], pa.bool_())
        flat = pa.array(pixel_embeddings(pixels).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, self.dim, mask=missing)
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([column, pa.array(reasons, pa.string())], schema=pa.schema(fields))


def shrink(image: Image, size: int) -> npt.NDArray[np.uint8]:
    """The image at `size` x `size`, each pixel the mean of what it covers."""
    from PIL.Image import Resampling

    same = image.size == (size, size)
    return np.asarray(image if same else image.resize((size, size), Resampling.BOX), np.uint8)


def _open(address: str | None, mode: Literal["L", "RGB"]) -> Image:
    from curate.media import open_image

    if address is None:
        raise MediaError("missing", "no image")
    return open_image(address, mode=mode)
