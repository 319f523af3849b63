"""Open an image or a sound by address, safely and on demand. Everything here treats its input as hostile.

Addresses are a path, `file://...`, `http(s)://...` where the policy names the host, any other fsspec URL whose protocol
the policy names, or a byte range of any of them: `shard.tar#bytes=1024,5120` (offset, length).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.media.access import open_bytes
    from curate.media.ahead import read_ahead, read_batches
    from curate.media.audio import AudioInfo, audio_info, encode_wav, open_audio
    from curate.media.image import ImageInfo, encode_png, image_info, open_image
    from curate.media.policy import DEFAULT, MediaPolicy
    from curate.media.probing import probe

_HOME = {
    "DEFAULT": "policy",
    "AudioInfo": "audio",
    "ImageInfo": "image",
    "MediaPolicy": "policy",
    "audio_info": "audio",
    "encode_png": "image",
    "encode_wav": "audio",
    "image_info": "image",
    "open_audio": "audio",
    "open_bytes": "access",
    "open_image": "image",
    "probe": "probing",
    "read_ahead": "ahead",
    "read_batches": "ahead",
}

__all__ = [
    "DEFAULT",
    "AudioInfo",
    "ImageInfo",
    "MediaPolicy",
    "audio_info",
    "encode_png",
    "encode_wav",
    "image_info",
    "open_audio",
    "open_bytes",
    "open_image",
    "probe",
    "read_ahead",
    "read_batches",
]


def __getattr__(name: str) -> Any:
    # Lazy, because the decoding workers import this package and should not pay for Arrow.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
