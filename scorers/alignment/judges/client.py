"""A client that asks many questions of an endpoint: retried, paced, a few at a time, and each paid for once."""

from __future__ import annotations

import base64
import io
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import blake3
import stamina

from curate.contracts import digest
from curate.counting import counted
from curate.errors import InputError, RunError
from curate.scorers.alignment.judges.replies import Replies, Reply
from curate.scorers.alignment.judges.transport import Refused, Unanswered, Unsupported, post_chat

__all__ = ["Client", "Picture", "Question", "Refused", "Settings", "Spent", "open_client"]

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How an endpoint is asked; what is asked stands in the question.

    `cache`       the folder where replies are kept.
    `timeout`     seconds for one attempt; `attempts` how many for one question; `wait` seconds before the second one,
                  doubled each time, unless the endpoint says how long.
    `per_minute`  attempts per minute, 0 for as many as go; `concurrency` questions under way at a time.
    `price_in`, `price_out`  of a million tokens, in any currency; `max_cost` after which nothing more is asked.
    """

    cache: str
    timeout: float = 60.0
    attempts: int = 6
    wait: float = 1.0
    per_minute: float = 0.0
    concurrency: int = 4
    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if not self.cache.strip():
            raise InputError("cache: name the folder where replies are to be kept")
        if self.timeout <= 0 or self.attempts < 1 or self.concurrency < 1:
            raise InputError(
                f"timeout {self.timeout} above 0, attempts {self.attempts} and concurrency {self.concurrency} at least 1"
            )
        if min(self.wait, self.per_minute, self.price_in, self.price_out, self.max_cost or 0.0) < 0:
            raise InputError("wait, per_minute, price_in, price_out and max_cost are 0 or more")


@dataclass(frozen=True)
class Picture:
    """An image in a question: known by its bytes and the size it is sent in, decoded only where it must be sent."""

    data: bytes
    size: int

    @property
    def identity(self) -> list[Any]:
        return ["image", blake3.blake3(self.data).hexdigest(), self.size]

    def encode(self) -> str:
        """As a data URL: JPEG, no side longer than `size`. Raises MediaError where it is no image."""
        from curate.media import DEFAULT
        from curate.media.image import decode_image

        image = decode_image(self.data, mode="RGB", policy=DEFAULT)
        image.thumbnail((self.size, self.size))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Question:
    """What is asked: of which model, with which text and image, and what was said before (`turns`: role, text).

    `logprobs` asks for that many of the likeliest tokens at each place, 0 for none.
    """

    model: str
    text: str
    picture: Picture | None = None
    turns: tuple[tuple[str, str], ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    logprobs: int = 0

    def identity(self) -> str:
        """Hex digest of everything that the answer depends on; the address and the key are not in it."""
        picture = self.picture.identity if self.picture else None
        fixed = [self.model, self.max_tokens, self.temperature, self.logprobs]
        return digest("chat", 1, fixed, self.text, picture, self.turns)

    def body(self) -> dict[str, Any]:
        """The request as the protocol has it."""
        content: Any = self.text
        if self.picture:
            image = {"type": "image_url", "image_url": {"url": self.picture.encode()}}
            content = [image, {"type": "text", "text": self.text}]
        messages = [{"role": "user", "content": content}]
        messages += [{"role": role, "content": text} for role, text in self.turns]
        more = {"logprobs": True, "top_logprobs": self.logprobs} if self.logprobs else {}
        return {
            "model": self.model,
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            **more,
        }


@dataclass
class Spent:
    """What a client did: attempts made, questions `answered` by the endpoint and `cached` ones, tokens and cost."""

    attempts: int = 0
    answered: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


@dataclass
class Client:
    """Asks questions under these settings. Threads may share one; processes share the cache.

    `spent` counts what was done since it was made.
    """

    settings: Settings
    spent: Spent = field(default_factory=Spent)
    _gate: threading.Lock = field(default_factory=threading.Lock)
    _next: float = 0.0
    _without: set[str] = field(default_factory=set)
    _halt: threading.Event = field(default_factory=threading.Event)

    def ask(self, question: Question) -> Reply:
        """The reply: from the cache, or asked for, paid for and kept there.

        Raises Refused where the endpoint will not answer this question, RunError where it gives no answer at all or
        `max_cost` is reached, InputError where address, key or model are wrong, MediaError for a bad image.
        """
        key = question.identity()
        replies = Replies(Path(self.settings.cache))
        found = replies.find(key)
        if found is None:
            with replies.asking(key):
                found = replies.find(key)  # another may have asked while we waited
                if found is None:
                    found = self._post(question, key)
                    replies.keep(key, found)
                    return found
        with self._gate:
            self.spent.cached += 1
        return found

    def ask_all(self, jobs: Sequence[Callable[[], Result]]) -> list[Result]:
        """Runs jobs that call `ask`, a few at a time, and gives what they return, in their order.

        Where one raises, what has not begun is dropped, what is under way is not tried again, what it answers is kept in
        the cache, and the error goes on.
        """
        pool = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="judge")
        futures = [pool.submit(job) for job in jobs]
        failed: BaseException | None = None
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = next((e for e in (f.exception() for f in futures if f in done) if e is not None), None)
        finally:  # an interruption from the keyboard comes through here as well
            if not all(future.done() for future in futures):
                self._halt.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._halt.clear()
        if failed is not None:
            raise failed
        return [future.result() for future in futures]

    def cost(self, reply: Reply) -> float:
        """What a reply cost when it was asked for."""
        return (reply.tokens_in * self.settings.price_in + reply.tokens_out * self.settings.price_out) / 1e6

    def _post(self, question: Question, key: str) -> Reply:
        set_ = self.settings
        body = question.body()
        tries = stamina.retry_context(
            on=self._how_long, attempts=set_.attempts, timeout=None, wait_initial=set_.wait, wait_max=60.0,
            wait_jitter=set_.wait / 2,
        )  # fmt: skip
        try:
            for attempt in tries:
                with attempt:
                    self._wait_for_turn()
                    reply = self._attempt(body, key)
        except Unanswered as error:
            raise RunError(
                f"the endpoint gave no answer in {counted(set_.attempts, 'attempt')}, last: {error}. What was answered "
                "is kept in the cache; run again and only the rest is asked"
            ) from None
        with self._gate:
            self.spent.answered += 1
            self.spent.tokens_in += reply.tokens_in
            self.spent.tokens_out += reply.tokens_out
            self.spent.cost += self.cost(reply)
        return reply

    def _attempt(self, body: Mapping[str, Any], key: str) -> Reply:
        try:
            return self._fit(body, key)
        except Unanswered as error:
            _log.info("asking again: %s", error)
            if error.wait:  # it speaks to all of us, not to this question alone
                with self._gate:
                    self._next = max(self._next, time.monotonic() + error.wait)
            raise

    def _fit(self, body: Mapping[str, Any], key: str) -> Reply:
        """One attempt, in the dialect of the endpoint: newer models take other names, and no temperature."""
        while True:
            try:
                return post_chat(_speak(body, self._without), key, self.settings.timeout)
            except Unsupported as error:
                if "logprobs" in error.parameter:
                    raise InputError(f"{error}: switch `logprobs` off") from None
                if error.parameter in self._without:
                    raise RunError(f"the endpoint refuses: {error}") from None
                self._without.add(error.parameter)

    def _wait_for_turn(self) -> None:
        limit = self.settings.max_cost
        with self._gate:
            if limit is not None and self.spent.cost >= limit:
                raise RunError(
                    f"{self.spent.cost:.4g} are spent and max_cost is {limit:g}: raise it and run again; what was "
                    "answered is kept in the cache"
                )
            now = time.monotonic()
            turn = max(now, self._next)
            if self.settings.per_minute:
                self._next = turn + 60.0 / self.settings.per_minute
            self.spent.attempts += 1
        if self._halt.wait(max(0.0, turn - now)):
            raise RunError("stopped, as another question failed")

    def _how_long(self, error: Exception) -> bool | float:
        """Whether to try again, and in how many seconds where the endpoint said so."""
        if not isinstance(error, Unanswered) or self._halt.is_set():
            return False
        return True if error.wait is None else max(error.wait, 1e-3)


def _speak(body: Mapping[str, Any], without: set[str]) -> dict[str, Any]:
    """The request without what the endpoint does not take; the limit of tokens goes by its newer name then."""
    spoken = {name: value for name, value in body.items() if name not in without}
    if "max_tokens" in without:
        spoken["max_completion_tokens"] = body["max_tokens"]
    return spoken


@lru_cache(maxsize=8)
def open_client(settings: Settings) -> Client:
    """The client of these settings, one for each process: it keeps the pace and counts what is spent."""
    return Client(settings)
