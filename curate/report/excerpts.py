"""Pictures and sounds made small enough to live inside a page: thumbnails, and the first seconds, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from curate.errors import CurateError, MediaError
from curate.media import DEFAULT, MediaPolicy, open_audio, open_image
from curate.report.model import Picture, Sound

SECONDS = 8.0
"""Of a sound, at most this much goes into the page."""

ENVELOPE = 64
"""Bars of a drawn sound."""

_SAID = {"remote-not-allowed": "remote, and nothing is fetched"}

NO_ROOM = "left out: the report has reached its size limit"


@dataclass
class Excerpts:
    """Makes excerpts, each address once, until `budget` bytes of data URIs are spent.

    `side` is the longest side of a thumbnail in pixels; smaller pictures stay as they are, losslessly. What cannot be
    opened gives an excerpt that says why; nothing is fetched from the network.
    """

    side: int = 320
    budget: int = 12_000_000
    policy: MediaPolicy = DEFAULT
    spent: int = 0
    left_out: int = 0
    _pictures: dict[str, Picture] = field(default_factory=dict)
    _sounds: dict[str, Sound] = field(default_factory=dict)

    def prepare(self, uris: Iterable[str]) -> None:
        """Make the thumbnails of many addresses at once: decoding uses two threads, results do not depend on them."""
        new = [uri for uri in dict.fromkeys(uris) if uri not in self._pictures]
        if len(new) < 2 or self.spent >= self.budget:
            return
        with ThreadPoolExecutor(2) as pool:
            self._pictures.update(zip(new, pool.map(self._make_picture, new), strict=True))

    def picture(self, uri: str) -> Picture:
        """The thumbnail of an image; a picture without a URI where there is none or no room is left."""
        if self.spent >= self.budget:
            self.left_out += 1
            return Picture("", problem=NO_ROOM)
        if uri not in self._pictures:
            self._pictures[uri] = self._make_picture(uri)
        made = self._pictures[uri]
        self.spent += len(made.uri)
        return made

    def sound(self, uri: str) -> Sound:
        """The first seconds of a sound, one channel, as FLAC, and its envelope."""
        if self.spent >= self.budget:
            self.left_out += 1
            return Sound("", problem=NO_ROOM)
        if uri not in self._sounds:
            self._sounds[uri] = self._make_sound(uri)
        made = self._sounds[uri]
        self.spent += len(made.uri)
        return made

    def _make_picture(self, uri: str) -> Picture:
        try:
            image = open_image(uri, policy=self.policy)
        except (CurateError, OSError) as error:
            return Picture("", problem=_explain("picture", error))
        width, height = image.size
        if max(width, height) <= 64:
            return Picture(_encode(image, "PNG"), width, height)
        image.thumbnail((self.side, self.side), Image.Resampling.BICUBIC, reducing_gap=2.0)
        return Picture(_encode(image, "WEBP"), width, height)

    def _make_sound(self, uri: str) -> Sound:
        import soundfile

        try:
            samples, rate = open_audio(uri, policy=self.policy)
        except (CurateError, OSError) as error:
            return Sound("", problem=_explain("sound", error))
        mono = samples.mean(axis=1, dtype=np.float32)
        cut = mono[: int(SECONDS * rate)]
        buffer = io.BytesIO()
        soundfile.write(buffer, np.clip(cut, -1, 1), min(rate, 655_350), format="FLAC", subtype="PCM_16")
        data = base64.b64encode(buffer.getvalue()).decode()
        return Sound(
            f"data:audio/flac;base64,{data}", len(cut) / rate, len(mono) / rate, draw_peaks(cut, ENVELOPE)
        )


def draw_peaks(samples: npt.NDArray[np.float32], bars: int) -> tuple[float, ...]:
    """The largest absolute value in each of `bars` equal stretches, relative to the largest of all: 0 to 1."""
    if not len(samples):
        return ()
    bounds = np.linspace(0, len(samples), min(bars, len(samples)) + 1).astype(np.int64)[:-1]
    peaks = np.maximum.reduceat(np.abs(np.nan_to_num(samples)), bounds)
    top = float(peaks.max()) or 1.0
    return tuple(round(float(p) / top, 3) for p in peaks)


def _encode(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    if kind == "PNG":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=76, method=4)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _explain(what: str, error: Exception) -> str:
    # The code alone: messages name files by their full path, which is nobody's business on a page that travels.
    code = error.code if isinstance(error, MediaError) else type(error).__name__
    return f"no {what}: {_SAID.get(code, code)}"
