"""What all scorers that ask an endpoint share: their fields, repairs, and answers as columns."""

from __future__ import annotations

import logging
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from curate.contracts import column_name, reason_name
from curate.counting import counted
from curate.durable import check_writable
from curate.errors import InputError, MediaError
from curate.scorers.alignment.judges.client import (
    Client,
    Picture,
    Question,
    Refused,
    Settings,
    open_client,
)
from curate.scorers.alignment.judges.reading import Unreadable
from curate.scorers.alignment.judges.replies import Replies, Reply
from curate.scorers.alignment.judges.transport import find_endpoint

__all__ = ["Judging", "Said", "template_fields"]

Value = TypeVar("Value")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said(Generic[Value]):
    """What a judge said of one item, or why there is nothing; and what all its replies cost."""

    value: Value | None
    reason: str | None = None
    cost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Which model is asked behind the endpoint, and how: the fields of all scorers that ask one.

    `model` as the endpoint names it; `cache` the folder where replies are kept. See docs of the scorers for the rest.
    """

    model: str
    cache: str
    repairs: int = 2
    max_tokens: int = 1024
    image_size: int = 1024
    timeout: float = 60.0
    attempts: int = 6
    per_minute: float = 0.0
    concurrency: int = 4
    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float | None = None

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise InputError(f"{self.name}: model is empty; name it as the endpoint does")
        if self.repairs < 0 or self.max_tokens < 1 or self.image_size < 16:
            raise InputError(
                f"{self.name}: repairs {self.repairs} at least 0, max_tokens {self.max_tokens} at least 1, "
                f"image_size {self.image_size} at least 16"
            )
        self.settings  # noqa: B018  # checked here

    @property
    def settings(self) -> Settings:
        """How the endpoint is asked."""
        return Settings(
            self.cache,
            timeout=self.timeout,
            attempts=self.attempts,
            per_minute=self.per_minute,
            concurrency=self.concurrency,
            price_in=self.price_in,
            price_out=self.price_out,
            max_cost=self.max_cost,
        )

    def ready(self) -> None:
        """Raises InputError where nothing was replied yet, and no endpoint is named, or replies cannot be kept."""
        replies = Replies(Path(self.cache))
        if not replies.any():  # what was paid for is read without either
            find_endpoint()
            check_writable(replies.folder / "reply")

    def converse(
        self, client: Client, question: Question, read: Callable[[Reply], Value], again: str
    ) -> Said[Value]:
        """Asks until the reply can be read, at most `repairs` times more: with what was wrong, and `again`."""
        cost = 0.0
        asked = question
        for left in range(self.repairs, -1, -1):
            try:
                reply = client.ask(asked)
            except Refused as error:
                return Said(None, f"the endpoint refuses it: {error}", cost)
            except MediaError as error:
                return Said(None, f"{error.code}: {error}", cost)
            cost += client.cost(reply)
            try:
                return Said(read(reply), None, cost)
            except Unreadable as error:
                if not left:
                    break
                wrong = ("user", f"This cannot be read: {error}. {again}")
                asked = replace(asked, turns=(*asked.turns, ("assistant", reply.text), wrong))
        replies = self.repairs + 1
        many = "its reply" if replies == 1 else counted(replies, "reply", "replies")
        return Said(None, f"the judge's answer cannot be read in {many}, last: {reply.text[:80]!r}", cost)

    def see(
        self, address: str | None, then: Callable[[Picture], Callable[[Client], Said[Value]]]
    ) -> Callable[[Client], Said[Value]]:
        """A job that reads an image when its turn comes, not before: a batch of images would not fit in memory."""

        def job(client: Client) -> Said[Value]:
            picture = _read_picture(address, self.image_size)
            return Said(None, picture) if isinstance(picture, str) else then(picture)(client)

        return job

    def judge(self, jobs: Sequence[Callable[[Client], Said[Value]] | str]) -> list[Said[Value]]:
        """What is said of each item; a string instead of a job is the reason why that one is not asked about."""
        client = open_client(self.settings)
        asked = [i for i, job in enumerate(jobs) if not isinstance(job, str)]
        said: list[Said[Value]] = [Said(None, job if isinstance(job, str) else "") for job in jobs]

        def run(i: int) -> Said[Value]:
            job = jobs[i]
            return Said(None, job) if isinstance(job, str) else job(client)

        found = client.ask_all([lambda i=i: run(i) for i in asked])  # type: ignore[misc]
        for i, one in zip(asked, found, strict=True):
            said[i] = one
        spent = client.spent
        _log.info(
            "%s: %d replies asked for, %d from the cache, %d + %d tokens, cost %.4g so far",
            self.name, spent.answered, spent.cached, spent.tokens_in, spent.tokens_out, spent.cost,
        )  # fmt: skip
        return said

    def answer(
        self, gives: Sequence[pa.Field], said: Sequence[Said[Any]], columns: Sequence[Sequence[Any]]
    ) -> pa.RecordBatch:
        """A batch as the contract wants it: columns (but for the last field, the cost), costs, reasons."""
        costs = [None if one.reason is not None else one.cost for one in said]
        fields = [*gives, pa.field(reason_name(self.name), pa.string())]
        values = [*columns, costs, [one.reason for one in said]]
        arrays = [pa.array(list(v), f.type) for v, f in zip(values, fields, strict=True)]
        return pa.record_batch(arrays, schema=pa.schema(fields))

    @property
    def cost_name(self) -> str:
        """The column of what an item cost."""
        return column_name(self.name) + "_cost"


def _read_picture(address: str | None, size: int) -> Picture | str:
    """The image at an address, not yet decoded; or why there is none."""
    from curate.media import open_bytes

    if address is None:
        return "missing: no image"
    try:
        return Picture(open_bytes(address), size)
    except MediaError as error:
        return f"{error.code}: {error}"


def template_fields(template: str, name: str) -> tuple[str, ...]:
    """The names in braces of a template, each once, in their order. Raises InputError where it cannot be read."""
    try:
        found = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise InputError(f"{name}: template {template!r} cannot be read: {error}") from None
    if not found or not all(field.isidentifier() for field in found):
        raise InputError(
            f"{name}: template {template!r}: it is to hold columns in braces, as {{text}}, and braces of its own doubled"
        )
    return tuple(dict.fromkeys(found))
