"""How a picture or a sound gets before the annotator's eyes: by an address that the server's pages can load.

`url`: http(s) addresses go as they are, the annotator's browser loads them. `local`: files below the folder that the server
shows files of; others are copied there. `upload`: files are sent to the server, each content once for all rounds, into a
project of their own, for the server takes no picture into one that shows something beside it. `data`: pictures go inside
the task (base64), self-contained, and slow for more than a few hundred; sounds cannot. `auto`: `url` where it is one, else
`local` where `files` says where that is, else `upload`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from curate.annotators.label_studio.ledger import Project
from curate.annotators.label_studio.server import Server
from curate.errors import AnnotatorError, InputError, MediaError
from curate.media import open_bytes

__all__ = ["Media", "Serving", "media_type"]

Media = Literal["auto", "url", "local", "upload", "data"]

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


@dataclass
class Serving:
    """Turns addresses of items into addresses for one project. `serve` may write: to the server, or to `files`.

    `files` is the folder of which the server shows files (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT) as we see it,
    `there` the same folder as the server sees it, where that differs.
    """

    server: Server
    project: Project
    how: Media = "auto"
    files: str = ""
    there: str = ""
    _allowed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.how == "local" and not self.files:
            raise InputError(
                "media='local' needs `files`: the folder that the server was told to show files of "
                "(LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT)"
            )

    def serve(self, address: str) -> str:
        """The address for the task. Raises MediaError where there is nothing to show, AnnotatorError, Lost."""
        remote = address.startswith(("http://", "https://"))
        if self.how == "url" or (self.how == "auto" and remote):
            if not remote:
                raise InputError(f"media='url', but {address[:200]!r} is no http(s) address")
            return address
        ways: dict[str, Callable[[str], str]] = {
            "local": self._local,
            "upload": self._upload,
            "data": self._inline,
        }
        how = self.how if self.how != "auto" else "local" if self.files else "upload"
        return ways[how](address)

    def _inline(self, address: str) -> str:
        data = open_bytes(address)
        mime, _ = media_type(data)
        if not mime.startswith("image/"):
            raise MediaError(
                "not-played", "the server plays no sound from inside a task: use media='upload' or 'local'"
            )
        return f"data:{mime};base64,{base64.b64encode(data).decode()}"

    # --- Uploads ------------------------------------------------------------------------------------------------

    @cached_property
    def _shelf(self) -> tuple[int, dict[str, str]]:
        """The project that holds uploads, and the addresses of those that are there by content."""
        number = media_project(self.server, self.project.dataset)
        there = self.server.uploaded(number)
        return number, {name.partition(".")[0]: address for name, address in there.items()}

    def _upload(self, address: str) -> str:
        data = open_bytes(address)
        content = hashlib.sha256(data).hexdigest()[:32]
        number, there = self._shelf
        if content not in there:
            there[content] = self.server.upload(number, f"{content}.{media_type(data)[1]}", data)
        return there[content]

    # --- Local files --------------------------------------------------------------------------------------------

    @cached_property
    def _root(self) -> Path:
        root = Path(self.files).expanduser().resolve()
        if not root.is_dir():
            raise InputError(f"files={self.files!r} is no folder")
        return root

    def _local(self, address: str) -> str:
        path = Path(address)
        if "#" not in address and path.is_absolute():
            inside = path.resolve()
            if inside.is_relative_to(self._root) and len(inside.relative_to(self._root).parts) > 1:
                return self._shown(inside.relative_to(self._root))
        data = open_bytes(address)
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.{media_type(data)[1]}"
        place = Path(f"curate-{self.project.dataset[:12]}") / name
        target = self._root / place
        if not target.exists():
            try:
                target.parent.mkdir(exist_ok=True)
                scratch = target.with_suffix(f".{os.getpid()}")
                scratch.write_bytes(data)
                scratch.rename(target)  # whoever looks sees a whole file or none
            except OSError as error:
                raise AnnotatorError(f"{target} cannot be written: {error.strerror}") from error
        return self._shown(place)

    def _shown(self, place: Path) -> str:
        self._allow(place.parts[0])
        return f"/data/local-files/?d={quote(place.as_posix())}"

    def _allow(self, folder: str) -> None:
        """The server shows files below folders that a storage of the project names, and of no others."""
        if folder in self._allowed:
            return
        path = str(Path(self.there or self._root) / folder)
        if path not in {str(s.get("path")) for s in self.server.local_storages(self.project.id)}:
            self.server.add_local_storage(self.project.id, path)
        self._allowed.add(folder)


def media_project(server: Server, dataset: str) -> int:
    """The project of a data set that holds uploads; made where there is none."""
    mark = f"[curate-media:{dataset}]"
    found = server.projects(mark)
    if not found:
        about = f"Pictures and sounds of other projects, which need them. Leave this line as it is: {mark}"
        server.create_project({"title": "Media (shown by other projects)", "description": about})
        found = server.projects(mark)
    return int(found[0]["id"])
