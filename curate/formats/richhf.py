"""What RichHF-18K holds beside its scores: heat maps of where an image is wrong, and labels of the prompt's words.

Its images and prompts are those of Pick-a-pic v1 and are not in its files: they are found by the name of the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["heat_map", "label_words"]

_DELIMITERS = re.compile(r"[,.?!\":; ]")
_MOST_PIXELS = 1 << 24


def heat_map(encoded: bytes) -> npt.NDArray[np.float32]:
    """A heat map as `read_richhf(maps=True)` gives it, (height, width) in [0, 1]: 1 = where people marked most.

    The files hold grey pictures of 512 x 512. Raises InputError where the bytes are no picture, or a huge one.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise InputError(
                    f"a heat map of {picture.width} x {picture.height} pixels: too large to be one"
                )
            grey = np.asarray(picture.convert("L"), np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"a heat map cannot be read: {error}") from None
    return (grey / 255).astype(np.float32)


def label_words(prompt: str, labels: Sequence[int]) -> list[dict[str, object]] | None:
    """The words of a prompt with what people said of each, as a report shades them: `element`, `score` (1 = the image
    shows it, 0 = it does not). None where there are not as many labels as words.

    Words are cut as the data set's authors cut them: at spaces and at , . ? ! " : ;
    """
    words = [word for word in _DELIMITERS.split(prompt) if word]
    if len(words) != len(labels):
        return None
    return [{"element": word, "score": float(label)} for word, label in zip(words, labels, strict=True)]
