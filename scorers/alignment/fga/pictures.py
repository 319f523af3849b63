"""Images as BLIP-2's vision tower takes them, and why one cannot be shown to it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MEAN", "STD", "augment", "open_picture", "prepare_picture"]

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of red, green and blue, in [0, 1], in the data CLIP was trained on; BLIP-2 kept them."""

_TRIES = 10


def open_picture(source: Any) -> Image:
    """An RGB image from an address, a Pillow image, or uint8 (h, w, 3).

    Raises MediaError as `curate.media.open_image` does, `missing` for None; InputError for anything else.
    """
    from PIL import Image as Pictures
    from PIL import ImageOps

    from curate.media import DEFAULT, open_image

    if source is None:
        raise MediaError("missing", "no image")
    if isinstance(source, (str, Path)):
        return open_image(str(source))
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise InputError(f"an image array of {source.dtype} {source.shape}: expected uint8 (h, w, 3)")
        return Pictures.fromarray(source)
    if not isinstance(source, Pictures.Image):
        raise InputError(f"an image is an address, a Pillow image or uint8 (h, w, 3), not {type(source)}")
    width, height = source.size
    if width * height > DEFAULT.max_pixels:
        raise MediaError("too-large", f"{width} x {height} pixels, the limit is {DEFAULT.max_pixels} in all")
    try:
        return _flatten(ImageOps.exif_transpose(source))
    except (OSError, SyntaxError, ValueError) as error:  # a file that ends too early is noticed only now
        raise MediaError("unreadable", f"{type(error).__name__}: {error}") from error


def _flatten(image: Image) -> Image:
    """An image as RGB, transparent pixels over white, as an image from a file is."""
    from PIL import Image as Pictures

    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Pictures.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image.convert("RGB")


def prepare_picture(image: Image, size: int) -> npt.NDArray[np.float32]:
    """The whole image at `size` x `size`, bicubic and without cropping, as (3, size, size) float32, standardised."""
    from PIL.Image import Resampling

    same = image.size == (size, size)
    small = image if same else image.resize((size, size), Resampling.BICUBIC)
    values, standard = np.asarray(small), np.empty((3, size, size), np.float32)
    for channel, table in enumerate(_standardised()):
        np.take(table, values[:, :, channel], out=standard[channel])
    return standard


@lru_cache(maxsize=1)
def _standardised() -> npt.NDArray[np.float32]:
    """What each of the 256 values of each channel becomes: to look it up costs half of working it out."""
    values = np.arange(256, dtype=np.float32) / 255
    table = (values - np.array(MEAN, np.float32)[:, None]) / np.array(STD, np.float32)[:, None]
    return np.asarray(table, np.float32)


def augment(image: Image, rng: np.random.Generator, crop: bool, flip: bool) -> Image:
    """An image as training shows it. `crop`: a random part, half to all of its area, its sides 3:4 to 4:3. `flip`: mirrored
    half the time, which teaches that "left of" is "right of"; the authors did it all the same."""
    from PIL import ImageOps

    width, height = image.size
    for _ in range(_TRIES if crop else 0):
        area = rng.uniform(0.5, 1) * width * height
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            image = image.crop((left, top, left + w, top + h))
            break
    return ImageOps.mirror(image) if flip and rng.random() < 0.5 else image
