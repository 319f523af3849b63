"""One request to an OpenAI-compatible endpoint, with the standard library, and what can go wrong with it.

Address and key come from the environment and stay here: they are in no parameter, no digest, no message and no log.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from curate.counting import counted
from curate.errors import InputError, RunError
from curate.scorers.alignment.judges.replies import Reply

__all__ = ["ADDRESS", "KEY", "Refused", "Unanswered", "Unsupported", "post_chat"]

ADDRESS = "OPENAI_BASE_URL"
"""The variable with the address, up to and without `/chat/completions`: `https://host/v1`, `http://127.0.0.1:8000/v1`."""

KEY = "OPENAI_API_KEY"
"""The variable with the key; unset where the endpoint asks for none."""

_LARGEST = 16 << 20
_ABOUT_THIS_ONE = (400, 413, 422)
_PARAMETERS = ("top_logprobs", "logprobs", "max_tokens", "temperature")
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504, 529)


class Unanswered(Exception):
    """An attempt that may be made again: time-out, dropped connection, 429, 5xx, rubbish. `wait` is what it asks for."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Refused(Exception):
    """The endpoint will not answer this one (400, 413, 422): too long, or against its rules. Asking again is no use."""


class Unsupported(Exception):
    """The endpoint, or the model behind it, does not take a parameter of the request; `parameter` says which."""

    def __init__(self, parameter: str) -> None:
        super().__init__(f"the endpoint does not take {parameter!r}")
        self.parameter = parameter


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def post_chat(body: Mapping[str, Any], key: str, timeout: float) -> Reply:
    """One attempt. `key` is the digest of what is asked: an endpoint that knows `Idempotency-Key` charges it once.

    `timeout` seconds for all of it. Raises Unanswered, Refused, Unsupported, InputError where address, key or model are
    wrong, or RunError where it refuses everything (no credit left).
    """
    request = _request(body, key)
    local = _is_loopback(urlsplit(request.full_url).hostname or "")
    handlers = [_StayHere(), *([urllib.request.ProxyHandler({})] if local else [])]
    deadline = time.monotonic() + timeout
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as response:
            return _read(_drain(response, deadline))
    except urllib.error.HTTPError as error:
        with error:
            raise _explain(error, str(body.get("model")), deadline) from None
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout:g} s") from None
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        what = f"no answer within {timeout:g} s" if late else f"no connection ({_name(error.reason)})"
        raise Unanswered(what) from None
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"the connection broke ({_name(error)})") from None


def find_endpoint() -> tuple[str, str]:
    """Address and key, as the environment has them. Raises InputError where there is none, or either can be none."""
    address, secret = os.environ.get(ADDRESS, "").strip(), os.environ.get(KEY, "").strip()
    parts = urlsplit(address)
    if not address:
        raise InputError(
            f"no endpoint: set the environment variable {ADDRESS} to its address (https://host/v1), and {KEY} to its key"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise InputError(f"{ADDRESS} is no plain http(s) address without user, password and query")
    if parts.scheme == "http" and secret and not _is_loopback(parts.hostname):
        raise InputError(f"{ADDRESS} is http: the key in {KEY} would travel in the clear. Use https")
    if not secret.isascii() or not secret.isprintable():
        raise InputError(f"the key in {KEY} holds characters that no key has")
    return address, secret


def _request(body: Mapping[str, Any], key: str) -> urllib.request.Request:
    address, secret = find_endpoint()
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Idempotency-Key": key}
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    data = json.dumps(body, separators=(",", ":")).encode()
    return urllib.request.Request(address.rstrip("/") + "/chat/completions", data, headers, method="POST")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _drain(response: Any, deadline: float) -> bytes:
    """The body, within time: an endpoint that drips keeps every single read alive."""
    parts, size = [], 0
    while True:
        if time.monotonic() > deadline:
            raise TimeoutError
        part = response.read1(1 << 16)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > _LARGEST:
            raise Unanswered(f"an answer of more than {_LARGEST} bytes")
    promised = response.headers.get("Content-Length")
    if promised is not None and promised.isdigit() and size < int(promised):
        raise Unanswered(f"the connection broke after {size:,} of {counted(int(promised), 'byte')}")
    return b"".join(parts)


def _read(data: bytes) -> Reply:
    """A reply from the body of an answer. Raises Unanswered where it is none."""
    try:
        body = json.loads(data)
        choice = body["choices"][0]
        text = choice["message"].get("content")
        if text is None:
            text = choice["message"].get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError
        usage = body.get("usage") or {}
        tokens = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        places = ((choice.get("logprobs") or {}).get("content")) or []
        top = tuple(
            tuple((str(one["token"]), _log(one["logprob"])) for one in place.get("top_logprobs") or ())
            for place in places
        )
        return Reply(text, max(0, tokens[0]), max(0, tokens[1]), str(choice.get("finish_reason") or ""), top)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise Unanswered("the answer is no chat completion") from None


def _log(value: Any) -> float:
    number = float(value)
    return number if math.isfinite(number) else -1e9


def _explain(error: urllib.error.HTTPError, model: str, deadline: float) -> Exception:
    if error.code in (401, 403):
        return InputError(f"the endpoint refuses the key in {KEY} (HTTP {error.code})")
    if error.code == 404:
        return InputError(
            f"the endpoint knows no model {model!r}, or {ADDRESS} is not its address (HTTP 404)"
        )
    if error.code in _RETRIED:
        return Unanswered(f"HTTP {error.code}", _wait(error.headers.get("Retry-After")))
    if 300 <= error.code < 400:
        return InputError(f"{ADDRESS} is redirected (HTTP {error.code}): name the address it leads to")
    said, code = _said(error, deadline)
    for parameter in _PARAMETERS:
        if parameter in said and (code.startswith("unsupported") or "support" in said):
            return Unsupported(parameter)
    if code == "model_not_found":
        return InputError(f"the endpoint knows no model {model!r}")
    what = f"HTTP {error.code}" + (f": {said[:200]}" if said else "")
    return Refused(what) if error.code in _ABOUT_THIS_ONE else RunError(f"the endpoint refuses: {what}")


def _said(error: urllib.error.HTTPError, deadline: float) -> tuple[str, str]:
    """The message and the code in the body of an error, the key taken out."""
    try:
        body = json.loads(_drain(error, deadline))["error"]
        said, code = str(body["message"]), str(body.get("code") or "")
    except Exception:  # whatever it is that came, it does not help
        return "", ""
    secret = os.environ.get(KEY, "").strip()
    return said.replace(secret, "***") if secret else said, code


def _wait(after: str | None) -> float | None:
    try:
        return min(max(float(after or ""), 0.0), 300.0)
    except ValueError:
        return None


def _name(error: object) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror if isinstance(strerror, str) and strerror else type(error).__name__
