"""Making tasks of rows: what is new, what was there, and what cannot be shown."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from curate.annotators.offline.folder import Folder
from curate.annotators.tasks import PreAnnotations, Task, Template
from curate.annotators.tasks.items import rows_of
from curate.errors import InputError, MediaError

__all__ = ["Making", "Media"]

Media = Literal["address", "data", "copy"]


@dataclass
class Making:
    """Making tasks of rows, and what is to be told about it."""

    folder: Folder
    asked: Template
    round: int
    guesses: PreAnnotations | None = None
    media: Media = "address"
    prefix: str = ""
    lines: bool = False
    dry_run: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def tasks(self, view: Any, dataset: str, known: Mapping[str, Task]) -> list[Task]:
        """The tasks that are not there yet."""
        columns = self.asked.columns(view.columns)
        if self.guesses is not None:
            columns = list(dict.fromkeys([*columns, *self.guesses.needs]))
        fresh = []
        for row in rows_of(view, columns):
            try:
                plain = self.asked.task(row, dataset=dataset, round=self.round)
                if plain.key in known:
                    self.counts["present"] += 1
                    self.counts["changed"] += known[plain.key].hash != plain.hash
                    continue
                fresh.append(self._whole(row, dataset, plain))
                self.counts["created"] += 1
            except (InputError, MediaError) as error:
                self.counts["failed"] += 1
                self.reasons[_without_item(str(error), row["id"])] += 1
        return fresh

    def _whole(self, row: Mapping[str, Any], dataset: str, plain: Task) -> Task:
        task = plain
        if self.media != "address" and not self.dry_run:
            task = self.asked.task(row, dataset=dataset, round=self.round, serve=self._serve)
        if self.guesses is None:
            return task
        predictions, problems = self.guesses.guess(self.asked, row, plain.data)
        self.counts["unguessed"] += not predictions
        for problem in problems:
            self.reasons[problem] += 1
        return dataclasses.replace(task, predictions=tuple(predictions))

    def _serve(self, address: str) -> str:
        from curate.media import open_bytes

        data = open_bytes(address)
        mime, ending = _type_of(data)
        if self.media == "data":
            if mime.startswith("audio/") and not self.lines:  # seen in Label Studio 1.23.2
                raise MediaError(
                    "unsupported-format",
                    "Label Studio does not play a sound that lies inside a task: use media='copy'",
                )
            return f"data:{mime};base64,{base64.b64encode(data).decode()}"
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.{ending}"
        target = self.folder.path / "media" / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            self.folder.write(target, data)
        return f"{self.prefix}media/{name}"


def _type_of(data: bytes) -> tuple[str, str]:
    """MIME type and a file's ending, by the first bytes. Raises MediaError for what no browser shows."""
    for magic, mime, ending in (
        (b"\xff\xd8\xff", "image/jpeg", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
        (b"GIF8", "image/gif", "gif"),
        (b"BM", "image/bmp", "bmp"),
        (b"fLaC", "audio/flac", "flac"),
        (b"OggS", "audio/ogg", "ogg"),
        (b"ID3", "audio/mpeg", "mp3"),
        (b"\xff\xfb", "audio/mpeg", "mp3"),
    ):
        if data.startswith(magic):
            return mime, ending
    if data[:4] == b"RIFF" and data[8:12] in (b"WAVE", b"WEBP"):
        return ("audio/wav", "wav") if data[8:12] == b"WAVE" else ("image/webp", "webp")
    raise MediaError("unsupported-format", "neither a picture nor a sound that a browser shows")


def _without_item(message: str, item: Any) -> str:
    return message.replace(f"item {item!r} ", "the item ")
