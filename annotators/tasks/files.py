"""Pictures and sounds on their way to people: what they are, what a copy is called, and how they go inside a task."""

from __future__ import annotations

import base64
import hashlib

from curate.errors import MediaError

__all__ = ["content_name", "inline", "media_type"]

_TYPES = (
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"GIF8", "image/gif", "gif"),
    (b"BM", "image/bmp", "bmp"),
    (b"II*\x00", "image/tiff", "tif"),
    (b"MM\x00*", "image/tiff", "tif"),
    (b"fLaC", "audio/flac", "flac"),
    (b"OggS", "audio/ogg", "ogg"),
    (b"ID3", "audio/mpeg", "mp3"),
    (b"\xff\xfb", "audio/mpeg", "mp3"),
    (b"\xff\xf3", "audio/mpeg", "mp3"),
)


def media_type(data: bytes) -> tuple[str, str]:
    """(MIME type, ending of a file's name) by the first bytes. Raises MediaError for what no browser shows."""
    for magic, mime, ending in _TYPES:
        if data.startswith(magic):
            return mime, ending
    if data[:4] == b"RIFF" and data[8:12] in (b"WAVE", b"WEBP"):
        return ("audio/wav", "wav") if data[8:12] == b"WAVE" else ("image/webp", "webp")
    if data[4:8] == b"ftyp":
        return ("image/avif", "avif") if data[8:12] == b"avif" else ("video/mp4", "mp4")
    raise MediaError("unsupported-format", "neither a picture nor a sound that a browser shows")


def content_name(data: bytes) -> str:
    """The name of a file with this content, the same for the same content. Raises MediaError as `media_type` does."""
    return f"{hashlib.sha256(data).hexdigest()[:32]}.{media_type(data)[1]}"


def inline(data: bytes, *, sounds: bool) -> str:
    """The content itself as an address. Raises MediaError as `media_type` does, and without `sounds` for all but pictures:
    Label Studio plays none from inside a task (seen in 1.23.2)."""
    mime, _ = media_type(data)
    if not (sounds or mime.startswith("image/")):
        raise MediaError(
            "not-played",
            "Label Studio does not play a sound that lies inside a task: use media='copy' in files, 'upload' or 'local' "
            "with a server",
        )
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
