"""Images: header, pixels, and what is wrong with them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal, NamedTuple

from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from curate.counting import counted
from curate.errors import InputError, MediaError
from curate.media.access import read_bytes
from curate.media.address import show
from curate.media.clock import opening
from curate.media.policy import DEFAULT, MediaPolicy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FORMATS", "ImageInfo", "check_image", "decode_image", "encode_png", "image_info", "open_image"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is decoded; the content decides, never the name. EPS, PDF, SVG, FITS and the like start other programs or have
no pixel size to check."""

# Naming the two plug-ins keeps Pillow from importing all forty when it meets the first file.
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)
_ORIENTATION = 0x0112
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P4", b"P5", b"P6")


class ImageInfo(NamedTuple):
    """`width` and `height` in pixels, as the picture is seen (EXIF orientation applied); `format` as Pillow names it."""

    width: int
    height: int
    format: str


def open_image(
    uri: str, *, mode: Literal["RGB", "L", "RGBA"] | None = "RGB", policy: MediaPolicy = DEFAULT
) -> Image.Image:
    """The first frame of an image, upright, in the mode asked for (None: as stored).

    Transparent pixels are laid over white; 16-bit greys keep their 8 high bits; float greys are stretched to 0-255.
    Raises MediaError: see `open_bytes`, and `empty`, `truncated`, `unreadable`, `wrong-format`, `too-large`.
    """
    try:
        with opening():
            return decode_image(read_bytes(uri, policy), mode=mode, policy=policy)
    except MediaError as error:
        raise MediaError(error.code, f"{show(uri)}: {error}") from error.__cause__


def image_info(uri: str, *, policy: MediaPolicy = DEFAULT) -> ImageInfo:
    """Size and format from the header; no pixel is decoded. Raises MediaError as `open_image` does."""
    try:
        data = read_bytes(uri, policy)
        return check_image(data, policy, load=False)
    except MediaError as error:
        raise MediaError(error.code, f"{show(uri)}: {error}") from error.__cause__


def decode_image(data: bytes, *, mode: str | None, policy: MediaPolicy) -> Image.Image:
    """As `open_image`, from bytes."""
    image = _open(data, policy)
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        return upright if mode is None else _convert(upright, mode)
    except Exception as error:  # decoders of hostile bytes raise almost anything
        raise _explain(error, data) from error


def check_image(data: bytes, policy: MediaPolicy, *, load: bool) -> ImageInfo:
    """Size and format, after decoding all pixels if `load`. Raises MediaError."""
    image = _open(data, policy)
    width, height = image.size
    try:
        if load:
            image.load()
        if "exif" in image.info and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
            width, height = height, width
    except Exception as error:  # as above
        raise _explain(error, data) from error
    return ImageInfo(width, height, image.format or "")


def _open(data: bytes, policy: MediaPolicy) -> Image.Image:
    if not data:
        raise MediaError("empty", "the file has zero bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # as above
        raise _explain(error, data) from error
    width, height = image.size
    if width * height > policy.max_pixels:
        raise MediaError(
            "too-large",
            f"{width} x {height} pixels, the limit is {policy.max_pixels} in all (MediaPolicy.max_pixels)",
        )
    if width < 1 or height < 1:
        raise MediaError("unreadable", f"an image of {width} x {height} pixels")
    return image


def _explain(error: Exception, data: bytes) -> MediaError:
    if isinstance(error, MediaError):
        return error
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError)):
        return MediaError("too-large", str(error) or "not enough memory to decode it")
    if isinstance(error, UnidentifiedImageError):
        if data.startswith(_SIGNATURES):
            return MediaError("unreadable", f"the header is damaged ({counted(len(data), 'byte')})")
        kinds = ", ".join(FORMATS)
        return MediaError("wrong-format", f"starts with {data[:8]!r}, which is none of {kinds}")
    text = str(error)
    if any(word in text for word in ("truncated", "Truncated", "unexpected end", "not enough image data")):
        return MediaError("truncated", text)
    return MediaError("unreadable", f"{type(error).__name__}: {text}")


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image)
    transparent = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
    if transparent and mode != "RGBA":
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image if image.mode == mode else image.convert(mode)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Pillow clips wide greys to 255, which turns most 16-bit pictures white."""
    import numpy as np  # not at the top: it would double what a decoding worker costs to start

    values = np.asarray(image)
    if image.mode == "F":
        finite = np.where(np.isfinite(values), values, 0.0).astype(np.float64)
        low, high = finite.min(), finite.max()
        return Image.fromarray(((finite - low) * (255.0 / ((high - low) or 1.0))).astype(np.uint8))
    wide = values.astype(np.int64)
    if image.mode != "I" or wide.max(initial=0) > 255:
        wide >>= 8
    return Image.fromarray(wide.clip(0, 255).astype(np.uint8))


def encode_png(pixels: npt.NDArray[np.uint8] | Image.Image) -> bytes:
    """A picture as PNG, losslessly: a Pillow image, or uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Raises InputError for other shapes and dtypes: what range floats are in cannot be known.
    """
    if isinstance(pixels, Image.Image):
        image = (
            pixels if pixels.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else pixels.convert("RGB")
        )
    else:
        if pixels.dtype != "uint8":
            raise InputError(
                f"an image array of dtype {pixels.dtype}: expected uint8 in 0..255; scale and cast it first"
            )
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
            raise InputError(
                f"an image array of shape {pixels.shape}: expected (H, W), (H, W, 3) or (H, W, 4)"
            )
        image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    # Level 1: these are packed into blobs by the hundred thousand, and PNG is lossless at any level.
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
