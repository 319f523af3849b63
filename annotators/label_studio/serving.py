"""How a picture or a sound gets before the annotator's eyes: by an address that the server's pages can load.

`url`: http(s) addresses go as they are, the annotator's browser loads them. `local`: files below the folder that the server
shows files of; others are copied there. `upload`: files are sent to the server, each content once for all rounds, into a
project of their own, for the server takes no picture into one that shows something beside it. `data`: pictures go inside
the task (base64), self-contained, and slow for more than a few hundred; sounds cannot. `auto`: `url` where it is one, else
`local` where `files` says where that is, else `upload`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from curate.annotators.label_studio.ledger import Project
from curate.annotators.label_studio.server import Server
from curate.annotators.tasks.files import content_name, inline
from curate.errors import AnnotatorError, InputError
from curate.media import open_bytes

__all__ = ["Media", "Serving", "check_way"]

Media = Literal["auto", "url", "local", "upload", "data"]


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
        check_way(self.how, self.files)

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
            "data": lambda inside: inline(open_bytes(inside), sounds=False),
        }
        how = self.how if self.how != "auto" else "local" if self.files else "upload"
        return ways[how](address)

    # --- Uploads ------------------------------------------------------------------------------------------------

    @cached_property
    def _shelf(self) -> tuple[int, dict[str, str]]:
        """The project that holds uploads, and the addresses of those that are there by content."""
        number = media_project(self.server, self.project.dataset)
        return number, self.server.uploaded(number)

    def _upload(self, address: str) -> str:
        data = open_bytes(address)
        name = content_name(data)
        number, there = self._shelf
        if name not in there:
            there[name] = self.server.upload(number, name, data)
        return there[name]

    # --- Local files --------------------------------------------------------------------------------------------

    @cached_property
    def _root(self) -> Path:
        return files_root(self.files)

    def _local(self, address: str) -> str:
        path = Path(address)
        if "#" not in address and path.is_absolute():
            inside = path.resolve()
            if inside.is_relative_to(self._root) and len(inside.relative_to(self._root).parts) > 1:
                return self._shown(inside.relative_to(self._root))
        data = open_bytes(address)
        place = Path(f"curate-{self.project.dataset[:12]}") / content_name(data)
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


def check_way(how: Media, files: str) -> None:
    """Raises InputError where media cannot get there in this way."""
    if how == "local":
        if not files:
            raise InputError(
                "media='local' needs `files`: the folder that the server was told to show files of "
                "(LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT)"
            )
        files_root(files)


def files_root(files: str) -> Path:
    """The folder of which the server shows files. Raises InputError where there is none."""
    root = Path(files).expanduser().resolve()
    if not root.is_dir():
        raise InputError(f"files={files!r} is no folder")
    return root


def media_project(server: Server, dataset: str) -> int:
    """The project of a data set that holds uploads; made where there is none."""
    mark = f"[curate-media:{dataset}]"
    if not (found := _marked(server, mark)):
        about = f"Pictures and sounds of other projects, which need them. Leave this line as it is: {mark}"
        server.create_project({"title": "Media (shown by other projects)", "description": about})
        found = _marked(server, mark)
    return found[0]


def _marked(server: Server, mark: str) -> list[int]:
    return [int(one["id"]) for one in server.projects() if mark in (one.get("description") or "")]
