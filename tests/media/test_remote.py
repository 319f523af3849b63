"""Fetching: only hosts that are named, only public addresses, only the address that was checked."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from curate.errors import MediaError
from curate.media import MediaPolicy, open_bytes
from curate.media.remote import fetch, is_public

PUBLIC = "93.184.216.34"
POLICY = MediaPolicy(hosts=frozenset({"example.org", "other.org", "example.org:8080"}), timeout=5)


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None, str | None]] = []

    def do_GET(self) -> None:
        Handler.seen.append((self.path, self.headers.get("Host"), self.headers.get("Range")))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/range" and self.headers.get("Range"):
            low, high = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            self._send(206, b"0123456789"[low : high + 1])
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(20):
                    self.wfile.write(b".")
                    time.sleep(0.1)
        elif self.path == "/404":
            self._send(404, b"")
        elif self.path == "/500":
            self._send(500, b"")
        else:
            self._send(200, b"0123456789")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Handler.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


class Net:
    """A name server and a network of our own: all public addresses lead to the test server."""

    def __init__(self, server: ThreadingHTTPServer, names: dict[str, list[str]]) -> None:
        self.server, self.names = server, names
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.names[host]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.connected.append((address, port))
        return socket.create_connection(self.server.server_address[:2], timeout=timeout)

    def fetch(self, url: str, policy: MediaPolicy = POLICY, **window: int) -> bytes:
        return fetch(url, policy, resolve=self.resolve, connect=self.connect, **window)


@pytest.fixture
def net(server: ThreadingHTTPServer) -> Net:
    return Net(server, {"example.org": [PUBLIC], "other.org": [PUBLIC], "inside.org": ["10.0.0.1"]})


def code_of(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(MediaError) as error:
        call(*args, **kwargs)  # type: ignore[operator]
    return error.value.code


def test_connects_to_the_address_that_was_checked(net: Net) -> None:
    assert net.fetch("http://example.org/a.jpg?x=1") == b"0123456789"
    assert net.connected == [(PUBLIC, 80)]  # never the name: a second answer of the name server cannot matter
    assert net.asked == ["example.org"]
    assert Handler.seen == [("/a.jpg?x=1", "example.org", None)]


def test_rebinding_does_not_help(net: Net) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    got = fetch("http://example.org/", POLICY, resolve=lambda host, port: next(answers), connect=net.connect)
    assert got == b"0123456789"
    assert net.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
        "64:ff9b::7f00:1", "ff02::1", "fec0::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "not an address",
    ],
)  # fmt: skip
def test_addresses_inside_are_refused(net: Net, address: str) -> None:
    assert not is_public(address)
    net.names["example.org"] = [PUBLIC, address]  # one bad answer among good ones is enough
    assert code_of(net.fetch, "http://example.org/") == "remote-not-allowed"
    assert net.connected == []


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


def test_loopback_is_refused_for_real(server: ThreadingHTTPServer) -> None:
    port = server.server_address[1]
    for host in ("127.0.0.1", "localhost"):
        policy = MediaPolicy(hosts=frozenset({f"{host}:{port}"}))
        assert code_of(open_bytes, f"http://{host}:{port}/a.jpg", policy) == "remote-not-allowed"
    for url in ("http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://[::1]/"):
        host = url.removeprefix("http://").rstrip("/").strip("[]")
        assert code_of(open_bytes, url, MediaPolicy(hosts=frozenset({host}))) in (
            "remote-not-allowed",
            "fetch-failed",
        )
    assert Handler.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.org/", "http://example.org.evil.org/", "http://example.org@evil.org/", "http://u:p@example.org/",
        "http://example.org:22/", "http://example.org:99999/", "ftp://example.org/", "http://example.org/a b",
        "http://example.org/\r\nX: y", "http://EXAMPLE.ORG:81/", "http:///x",
    ],
)  # fmt: skip
def test_urls_that_are_not_asked(net: Net, url: str) -> None:
    assert code_of(net.fetch, url) == "remote-not-allowed"
    assert net.connected == []


def test_ports_and_case(net: Net) -> None:
    assert net.fetch("http://EXAMPLE.org:8080/") == b"0123456789"
    assert net.connected == [(PUBLIC, 8080)]


def test_redirects_start_over(net: Net) -> None:
    assert net.fetch("http://example.org/to/http://other.org/x") == b"0123456789"
    assert net.asked == ["example.org", "other.org"]
    assert net.fetch("http://example.org/to//y") == b"0123456789"  # relative
    for target in ("http://evil.org/", "file:///etc/passwd", "http://169.254.169.254/"):
        assert code_of(net.fetch, f"http://example.org/to/{target}") == "remote-not-allowed"
    inside = MediaPolicy(hosts=POLICY.hosts | {"inside.org"})
    assert code_of(net.fetch, "http://example.org/to/http://inside.org/", inside) == "remote-not-allowed"


def test_redirects_end(net: Net) -> None:
    net.server.RequestHandlerClass = type("Loop", (Handler,), {"do_GET": _redirect_to_itself})  # type: ignore[misc]
    assert code_of(net.fetch, "http://example.org/loop") == "fetch-failed"
    assert len(net.connected) == 6


def _redirect_to_itself(self: Handler) -> None:
    self.send_response(302)
    self.send_header("Location", self.path)
    self.end_headers()


def test_ranges(net: Net) -> None:
    assert net.fetch("http://example.org/range", offset=2, length=3) == b"234"
    assert Handler.seen[-1][2] == "bytes=2-4"
    assert net.fetch("http://example.org/whole", offset=2, length=3) == b"234"  # a server that ignores ranges
    assert code_of(net.fetch, "http://example.org/whole", offset=8, length=3) == "truncated"


def test_limits_and_failures(net: Net) -> None:
    small = MediaPolicy(hosts=POLICY.hosts, max_bytes=9)
    assert code_of(net.fetch, "http://example.org/", small) == "too-large"
    assert code_of(net.fetch, "http://example.org/", small, offset=0, length=10) == "too-large"
    hasty = MediaPolicy(hosts=POLICY.hosts, timeout=0.3)
    assert code_of(net.fetch, "http://example.org/slow", hasty) == "timeout"
    assert code_of(net.fetch, "http://example.org/404") == "missing"
    assert code_of(net.fetch, "http://example.org/500") == "fetch-failed"
    assert code_of(net.fetch, "http://example.org/short") == "fetch-failed"
    net.names["example.org"] = []
    assert code_of(net.fetch, "http://example.org/") == "fetch-failed"
