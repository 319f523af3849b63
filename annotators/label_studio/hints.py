"""Answers as they come: the server's webhooks hint that somebody answered, and then we pull.

A webhook is sent once and never again, within a second or not at all, and not for everything. So it is taken for a hint,
never for an answer: nothing in it is read, and every so often we pull without one. It carries no data that way, and a
secret of its own, by which others' requests are told from the server's.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from curate.annotators.label_studio.ledger import Project
from curate.annotators.label_studio.server import Server
from curate.annotators.label_studio.wire import Refused
from curate.annotators.tasks import PullReceipt
from curate.errors import AnnotatorError, BusyError

__all__ = ["Hints", "follow"]

HEADER = "X-Curate-Hint"
CALM = 0.5
"""Seconds that we wait after a hint: where one answer comes, others do."""


@dataclass
class Hints:
    """Whether somebody answered. `secret` is what the webhooks carry."""

    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    count: int = 0
    _came: threading.Event = field(default_factory=threading.Event, repr=False)

    def take(self, _: Any, headers: Mapping[str, str]) -> tuple[int, Any]:
        """A request came in."""
        if not hmac.compare_digest(headers.get(HEADER.lower(), "").encode(), self.secret.encode()):
            return 403, {"detail": "not from here"}
        self.count += 1
        self._came.set()
        return 200, {}

    def wait(self, seconds: float) -> bool:
        """Whether a hint came within so many seconds; it is used up then."""
        came = self._came.wait(max(0.0, seconds))
        self._came.clear()
        return came


@contextmanager
def webhooks(server: Server, projects: list[Project], hints: Hints, url: str) -> Iterator[list[str]]:
    """Webhooks of these projects at `url` while the block runs; gives why some could not be made."""
    made: list[int] = []
    refused: list[str] = []
    for project in projects:
        for number, old in server.webhooks(project.id).items():
            if old == url:
                server.remove_webhook(number)  # left by one that was killed
        try:
            made.append(server.add_webhook(project.id, url, {HEADER: hints.secret}))
        except Refused as error:
            refused.append(str(error))
    try:
        yield refused
    finally:
        for number in made:
            server.remove_webhook(number)


def follow(
    pull: Callable[[], PullReceipt],
    hints: Hints,
    *,
    every: float,
    until: float | None,
    told: Callable[[PullReceipt], None],
) -> int:
    """Pull whenever a hint comes, and every `every` seconds, until that moment (`time.monotonic`); how many pulls brought
    something. A server that is away for a while is waited for, and so is another pull."""
    brought = 0
    while True:
        try:
            receipt = pull()
        except (AnnotatorError, BusyError):
            if until is not None and time.monotonic() >= until:
                raise
        else:
            if receipt.new:
                brought += 1
                told(receipt)
        if until is not None and time.monotonic() >= until:
            return brought
        if hints.wait(every if until is None else min(every, until - time.monotonic())):
            time.sleep(CALM)
