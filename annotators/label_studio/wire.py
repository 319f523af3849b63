"""Requests to a Label Studio server, and what can become of them.

What only reads is tried again when the connection fails. What writes is sent once: whether a lost request was carried
out nobody can say from here, so `Lost` is raised and the caller looks. (The server's own SDK sends writes again, and so
imports twice.) A token is never part of a message.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from curate.errors import AnnotatorError, InputError

__all__ = ["Absent", "Answer", "Failed", "Lost", "Meanwhile", "Refused", "Wire"]

Meanwhile = Callable[[], None]
"""What is done between a request and its answer, while the server works. It asks the server for nothing."""

TIMEOUT = 300.0
"""Seconds until an answer is given up. An import of a thousand tasks takes a few; a busy server a minute."""
TRIES = 5
PAUSE = 0.25
"""Seconds before what reads is tried again, doubled each time."""
FRESH = timedelta(seconds=240)
"""Access tokens made from a personal one live for 300 seconds."""


class Refused(AnnotatorError):
    """The server said no. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Absent(Refused):
    """What was asked for is not on the server (404)."""


class Lost(AnnotatorError):
    """The connection failed, or the server did: whether it did what was asked is unknown."""


class Failed(Lost):
    """The server said that it failed (500): it is done with the request, whatever came of it."""


@dataclass(frozen=True)
class Answer:
    """What the server said: the JSON of its body, and when by its own clock."""

    body: Any
    at: datetime


class Wire:
    """Connections to one server, one per thread, kept open. `token`: a legacy token, or a personal access token."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise InputError(
                f"{url!r} is no address of a Label Studio server; write it like http://localhost:8080"
            )
        if not token or not token.isascii() or any(c.isspace() for c in token):
            raise InputError("the token is empty or has spaces: copy it again from the account settings")
        self.url = url.rstrip("/")
        self._parts, self._token, self.timeout = parts, token, TIMEOUT
        self._local = threading.local()
        self._access: tuple[str, datetime] | None = None

    def __repr__(self) -> str:
        return f"Wire({self.url!r})"

    # --- Requests -----------------------------------------------------------------------------------------------

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, *, meanwhile: Meanwhile | None = None
    ) -> Answer:
        """Read, and again where the connection fails. Raises Absent, Refused, Lost."""
        full = f"{path}?{urlencode(query)}" if query else path
        pause = PAUSE
        for attempt in range(TRIES):
            try:
                return self._ask("GET", full, None, {}, meanwhile=meanwhile)
            except Lost:
                if attempt + 1 == TRIES:
                    raise
            time.sleep(pause)
            pause *= 2
        raise AssertionError("not reached")

    def send(self, method: str, path: str, body: Any = None, *, meanwhile: Meanwhile | None = None) -> Answer:
        """Write, once. Raises Lost where nobody knows whether it was carried out."""
        data = None if body is None else json.dumps(body).encode()
        return self.send_json(method, path, data, meanwhile=meanwhile)

    def send_json(
        self, method: str, path: str, data: bytes | None, *, meanwhile: Meanwhile | None = None
    ) -> Answer:
        """The same with a body that is JSON already. `meanwhile` is not called where the request cannot be sent."""
        return self._ask(method, path, data, {"Content-Type": "application/json"}, meanwhile=meanwhile)

    def upload(self, path: str, name: str, data: bytes) -> Answer:
        """Send one file as a form does."""
        mark = "curate-4f1c9a7e2b"
        while mark.encode() in data:
            mark += "x"
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
        return self._ask("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={mark}"})

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    # --- Inside -------------------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        *,
        meanwhile: Meanwhile | None = None,
    ) -> Answer:
        try:
            allowed = {**headers, "Authorization": self._authorization()}
            return self._exchange(method, path, data, allowed, meanwhile=meanwhile)
        except Refused as error:
            if error.status != 401 or self._access is None:
                raise
        self._access = None  # it ran out on the way: a refused request was not carried out
        return self._exchange(method, path, data, {**headers, "Authorization": self._authorization()})

    def _authorization(self) -> str:
        if self._token.count(".") != 2:
            return f"Token {self._token}"
        if self._access is None or datetime.now(UTC) - self._access[1] > FRESH:
            body = json.dumps({"refresh": self._token}).encode()
            headers = {"Content-Type": "application/json"}
            made = self._exchange("POST", "/api/token/refresh/", body, headers)
            self._access = (str(made.body["access"]), datetime.now(UTC))
        return f"Bearer {self._access[0]}"

    def _exchange(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        *,
        meanwhile: Meanwhile | None = None,
    ) -> Answer:
        connection, ours = self._connection(), False
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, data, dict(headers))
            if meanwhile is not None:
                ours = True
                meanwhile()
                ours = False
            _listen(connection.sock)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if ours:  # a full disk here is no fault of the connection
                raise
            raise Lost(self._unreachable(error)) from None
        except BaseException:
            self.close()  # an answer is left in it, which the next request would take for its own
            raise
        if response.will_close:
            self.close()
        return self._judge(method, path, response, text)

    def _connection(self) -> http.client.HTTPConnection:
        """The open connection, unless the server has closed it meanwhile; else a new one."""
        found: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if found is not None and found.sock is not None:
            if not select.select([found.sock], [], [], 0)[0]:
                return found
            self.close()
        host, port = self._parts.hostname or "", self._parts.port
        made: http.client.HTTPConnection
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            made = http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)
        else:
            made = http.client.HTTPConnection(host, port, timeout=self.timeout)
        try:
            made.connect()
        except OSError as error:
            raise Lost(self._unreachable(error)) from None
        made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._local.connection = made
        return made

    def _unreachable(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.url} did not answer within {self.timeout:.0f} seconds"
        if isinstance(error, ConnectionRefusedError):
            return f"nothing answers at {self.url}: start Label Studio there, or give its address"
        return f"the connection to {self.url} failed: {error or type(error).__name__}"

    def _judge(self, method: str, path: str, response: http.client.HTTPResponse, text: bytes) -> Answer:
        status, what = response.status, f"{method} {path.partition('?')[0]}"
        if 200 <= status < 300:
            if not text.strip():
                return Answer(None, _clock(response))
            try:
                return Answer(json.loads(text), _clock(response))
            except ValueError:
                raise AnnotatorError(f"{self.url} is no Label Studio: {what} gave no JSON") from None
        said = _said(text)
        if status == 401:
            raise Refused(
                status,
                f"{self.url} does not accept the token{said}. Make a new one in the account settings there (for a legacy "
                "token they must be allowed in the organization's), and set LABEL_STUDIO_API_KEY to it",
            )
        if status == 403:
            raise Refused(status, f"{self.url} does not allow {what} to the owner of this token{said}")
        if status == 404:
            raise Absent(status, f"{self.url} has no {path.partition('?')[0]}{said}")
        if 300 <= status < 400:
            raise Refused(
                status, f"{self.url} sends us to {response.headers.get('Location')}: give that address"
            )
        if status >= 500:
            raise (Failed if status == 500 else Lost)(f"{self.url} failed at {what} ({status}){said}")
        raise Refused(status, f"{self.url} refused {what} ({status}){said}")


def _listen(line: socket.socket) -> None:
    """Acknowledge the beginning of an answer at once: the server sends the rest when it knows, and the system waits 40 ms
    for a next request that could carry the news.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _clock(response: http.client.HTTPResponse) -> datetime:
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (TypeError, ValueError):
        return datetime.now(UTC)


def _said(text: bytes) -> str:
    """What the server gave as its reason, short."""
    try:
        body = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return f": {str(body)[:300]}"
    reasons = body.get("validation_errors") or body.get("detail") or ""
    words = reasons if isinstance(reasons, str) else json.dumps(reasons, ensure_ascii=False)
    return f": {words.rstrip('.')}"[:300] if words else ""
