"""What may be opened, and how large it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["DEFAULT", "MediaPolicy"]


@dataclass(frozen=True)
class MediaPolicy:
    """Limits for opening media. The defaults allow local files only.

    `max_pixels`   width x height of an image, checked on the header before anything is decoded.
    `max_bytes`    size of the encoded file or byte range.
    `max_seconds`  length of a sound.
    `max_rate`, `max_channels`  sampling rate in Hz and channels of a sound.
    `hosts`        remote hosts that may be asked, as `example.org` (ports 80 and 443) or `example.org:8080`. Addresses
                   that are not globally routable (loopback, private, link-local) are refused even for these.
    `protocols`    further fsspec protocols (`s3`, `gs`, `memory`): whoever adds one trusts its implementation.
    `timeout`      seconds for one item: fetching it, and again decoding it.
    """

    max_pixels: int = 50_000_000
    max_bytes: int = 1 << 30
    max_seconds: float = 4 * 3600.0
    max_rate: int = 768_000
    max_channels: int = 64
    hosts: frozenset[str] = frozenset()
    protocols: frozenset[str] = frozenset()
    timeout: float = 30.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "hosts": sorted(self.hosts), "protocols": sorted(self.protocols)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MediaPolicy:
        """Inverse of `to_dict`."""
        return cls(
            **{
                **data,
                "hosts": frozenset(data.get("hosts", ())),
                "protocols": frozenset(data.get("protocols", ())),
            }
        )


DEFAULT = MediaPolicy()
"""Local files only, 50 megapixels, 1 GiB, 4 hours, 30 seconds."""
