"""A 64-bit fingerprint of what an image looks like: small for scaling, re-encoding and slight edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import detail, reason_name, vector
from curate.errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["COLOURS", "FLAT", "PerceptualHash", "perceptual_hash"]

FLAT = 1.0
"""Below this contrast (standard deviation in grey levels of 0-255) an image has no layout to hash."""

COLOURS = 48
"""Length of the colour check: the means of a 4 x 4 grid in red, green and blue."""

_SIDE, _LOW, _GRID = 32, 8, 4


def perceptual_hash(grey: npt.NDArray[np.floating] | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The DCT hash of grey images: bit = whether a low frequency is above the median of the 64 lowest.

    `grey` (n, 32, 32), values 0-255, the image resized by Lanczos. Frequencies are read row by row and the first is the
    highest bit, so that `f"{hash:016x}"` is what `str(imagehash.phash(image))` prints. The one difference: an image
    flatter than `FLAT` hashes to 1 << 63 (its mean alone) instead of to the signs of its noise.

    Returns (n,) uint64; compare by the number of differing bits. Source: Zauner, "Implementation and Benchmarking of
    Perceptual Image Hash Functions" (2010); the library ImageHash.
    """
    images = np.asarray(grey, np.float64)
    low = _cosines()[:_LOW]
    frequencies = (low @ images @ low.T).reshape(len(images), _LOW * _LOW)
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    bits[images.std(axis=(1, 2)) < FLAT] = np.arange(_LOW * _LOW) == 0
    packed = np.packbits(bits, axis=1)
    return packed.view(">u8").astype(np.uint64).reshape(len(images))


@cache
def _cosines() -> npt.NDArray[np.float64]:
    """The DCT-II as a matrix, unscaled: (32, 32), frequency by place."""
    place, frequency = np.meshgrid(np.arange(_SIDE), np.arange(_SIDE))
    return np.asarray(2 * np.cos(np.pi * frequency * (2 * place + 1) / (2 * _SIDE)), np.float64)


@dataclass(frozen=True)
class PerceptualHash:
    """Fingerprints an image so that near-duplicates can be found without opening it again.

    Gives `phash`, 64 bits (see `perceptual_hash`); `phash_thumb`, the mean colours of a 4 x 4 grid, by which
    `near-duplicate` tells apart images that share a layout but not their colours, such as two plain walls; and
    `phash_contrast`, 0 (one flat colour) to 127.5 grey levels: below 1 the hash says nothing and the colours decide.
    An image that cannot be opened gets nulls and the reason.
    """

    name: ClassVar[str] = "phash"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            detail("phash", pa.uint64()),
            vector("phash_thumb", COLOURS, pa.uint8()),
            detail("phash_contrast", pa.float32()),
        )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        addresses = batch.column(batch.schema.get_field_index("image")).to_pylist()
        grey = np.zeros((len(addresses), _SIDE, _SIDE), np.uint8)
        thumbs = np.zeros((len(addresses), COLOURS), np.uint8)
        reasons: list[str | None] = [None] * len(addresses)
        for row, address in enumerate(addresses):
            try:
                grey[row], thumbs[row] = shrink(_open(address))
            except MediaError as error:
                reasons[row] = f"{error.code}: {error}"
        return self._answer(grey, thumbs, reasons)

    def _answer(
        self, grey: npt.NDArray[np.uint8], thumbs: npt.NDArray[np.uint8], reasons: Sequence[str | None]
    ) -> pa.RecordBatch:
        missing = np.array([reason is not None for reason in reasons], np.bool_)
        contrast = grey.std(axis=(1, 2)).astype(np.float32)
        columns = [
            pa.array(perceptual_hash(grey), mask=missing),
            pa.FixedSizeListArray.from_arrays(pa.array(thumbs.reshape(-1)), COLOURS, mask=pa.array(missing)),
            pa.array(contrast, mask=missing),
            pa.array(reasons, pa.string()),
        ]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch(columns, schema=pa.schema(fields))


def shrink(image: Image) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """An image as the hash sees it: grey (32, 32) and the mean colours (48,), one colour throughout if it is flat."""
    from PIL.Image import Resampling

    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Resampling.LANCZOS), np.uint8)
    colours = np.asarray(image.convert("RGB").resize((_GRID, _GRID), Resampling.BOX), np.uint8)
    if grey.std() < FLAT:
        colours = np.broadcast_to(colours.mean(axis=(0, 1)).round().astype(np.uint8), colours.shape)
    return grey, colours.reshape(-1)


def _open(address: str | None) -> Image:
    from curate.media import open_image

    if address is None:
        raise MediaError("missing", "no image")
    return open_image(address)
