"""Requests that fail in every way, and how they are made."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from label_studio_fake import TOKEN, send, serving

from curate.annotators.label_studio import wire
from curate.annotators.label_studio.wire import Absent, Failed, Lost, Refused, Wire
from curate.errors import (
    AnnotatorError,
    InputError,
)

pytestmark = pytest.mark.usefixtures("hasty")


def test_reading_is_tried_again_and_writing_is_not() -> None:
    seen: list[str] = []

    def reply(asked: BaseHTTPRequestHandler) -> None:
        seen.append(asked.command)
        if len(seen) < 3:
            asked.close_connection = True  # says nothing
        else:
            send(asked, 200, b'{"ok": true}')

    with serving(reply) as url:
        assert Wire(url, TOKEN).get("/api/x").body == {"ok": True}
        assert seen == ["GET"] * 3
        del seen[:]
        with pytest.raises(Lost, match="the connection to"):
            Wire(url, TOKEN).send("POST", "/api/x", {})
        assert seen == ["POST"], "a write that was lost is for the caller to look after"


@pytest.mark.parametrize(
    ("status", "body", "kind", "match"),
    [
        (
            400,
            b'{"id": "not a task", "detail": "bad", "validation_errors": {"title": ["short"]}}',
            Refused,
            "short",
        ),
        (400, b'{"detail": ""}', Refused, r"refused POST /api/x \(400\)$"),
        (401, b'{"detail": "Invalid token."}', Refused, "does not accept the token: Invalid token. Make"),
        (403, b'{"detail": "no"}', Refused, "does not allow"),
        (404, b"<html>gone</html>", Absent, "has no /api/x"),
        (302, b"", Refused, "sends us to https://there"),
        (500, b"<html>oops</html>", Failed, "failed at POST /api/x"),
        (503, b"busy", Lost, "failed at POST"),
        (200, b"<html>hello</html>", AnnotatorError, "is no Label Studio"),
    ],
)
def test_what_a_server_may_say(status: int, body: bytes, kind: type[Exception], match: str) -> None:
    with (
        serving(lambda asked: send(asked, status, body, Location="https://there")) as url,
        pytest.raises(kind, match=match) as error,
    ):
        Wire(url, TOKEN).send("POST", "/api/x?secret=1", {})
    assert TOKEN not in str(error.value) and "secret" not in str(error.value)


def test_silence_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "TIMEOUT", 0.1)
    with serving(lambda asked: time.sleep(1)) as url, pytest.raises(Lost, match="did not answer within"):
        Wire(url, TOKEN).send("POST", "/api/x", {})


def test_a_personal_token_is_changed_for_another_that_lives_for_minutes() -> None:
    personal, given = "aa.bb.cc", iter(range(10))
    seen: list[tuple[str, str]] = []

    def reply(asked: BaseHTTPRequestHandler) -> None:
        seen.append((asked.path, asked.headers.get("Authorization", "")))
        if asked.path == "/api/token/refresh/":
            send(asked, 200, json.dumps({"access": f"short-{next(given)}"}).encode())
        elif asked.headers["Authorization"] == "Bearer short-0" and len(seen) > 3:
            send(asked, 401, b'{"detail": "expired"}')
        else:
            send(asked, 200, b"[]")

    with serving(reply) as url:
        line = Wire(url, personal)
        for _ in range(3):
            assert line.get("/api/x").body == []
    used = [header for path, header in seen if path == "/api/x"]
    assert used == ["Bearer short-0", "Bearer short-0", "Bearer short-0", "Bearer short-1"]
    assert sum(path == "/api/token/refresh/" for path, _ in seen) == 2


def test_an_idle_connection_that_was_closed_is_opened_again() -> None:
    count = iter(range(100))

    def reply(asked: BaseHTTPRequestHandler) -> None:
        send(asked, 200, b"[]")
        asked.close_connection = next(count) % 2 == 0  # without having said so

    with serving(reply) as url:
        line = Wire(url, TOKEN)
        for _ in range(6):
            assert line.send("POST", "/api/x", {}).body == []
            time.sleep(0.02)


def test_something_is_done_while_the_server_works() -> None:
    done: list[str] = []
    told = threading.Event()

    def reply(asked: BaseHTTPRequestHandler) -> None:
        if asked.path == "/api/slow":
            assert told.wait(30)  # answers only when we have done it
        send(asked, 200, b'["answer"]')

    def work() -> None:
        done.append("work")
        told.set()

    def fail(error: BaseException) -> None:
        work()
        raise error

    with serving(reply) as url:
        line = Wire(url, TOKEN)
        assert line.send("POST", "/api/slow", {}, meanwhile=work).body == ["answer"] and done == ["work"]
        for error in (KeyboardInterrupt(), OSError("disk full")):  # ours, not the connection's
            with pytest.raises(type(error)):
                line.send("POST", "/api/slow", {}, meanwhile=lambda error=error: fail(error))
        assert line.send("POST", "/api/x", {}).body == ["answer"], (
            "of another connection, whose answers are its own"
        )
    with pytest.raises(Lost):
        Wire("http://127.0.0.1:1", TOKEN).send("POST", "/api/x", {}, meanwhile=work)
    assert done == ["work"] * 3, "nothing was sent: it is for the caller to do then"


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://x", "http://", "http://me:secret@x/", "http://x/?a=1"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InputError, match="is no address"):
        Wire(url, TOKEN)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ü"])
def test_tokens_that_are_none(token: str) -> None:
    with pytest.raises(InputError, match="the token is empty or has spaces"):
        Wire("http://x", token)
