"""A small HTTP server for what Label Studio tells and asks us: JSON in, JSON out, one function for each path."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from curate.errors import InputError

__all__ = ["Listener", "Route"]

LONGEST = 64 << 20
"""No body is read that is longer, in bytes."""

Route = Callable[[Any, Mapping[str, str]], tuple[int, Any]]
"""From the JSON of a request and its headers (names in lower case) to a status and the JSON of the answer."""


class Listener:
    """Answers at `url` while it is used as a context manager. Nothing that comes in is logged: some of it is secret."""

    def __init__(
        self, routes: Mapping[tuple[str, str], Route], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._routes = routes
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(routes))
        except OSError as error:
            raise InputError(f"cannot listen at {host}:{port}: {error.strerror}") from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_port)
        self.url = f"http://{host}:{self.port}"

    def __enter__(self) -> Listener:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(routes: Mapping[tuple[str, str], Route]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: addresses may hold names, and bodies tokens."""

        def _answer(self, method: str) -> None:
            route = routes.get((method, self.path.partition("?")[0].rstrip("/") or "/"))
            status, body = (404, {"detail": "no such path"}) if route is None else self._ask(route)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _ask(self, route: Route) -> tuple[int, Any]:
            length = self.headers.get("Content-Length") or "0"
            if not length.isdigit() or int(length) > LONGEST:
                return 413, {"detail": "too long"}
            try:
                asked = json.loads(self.rfile.read(int(length)) or b"null")
            except ValueError:
                return 400, {"detail": "not JSON"}
            try:
                return route(asked, {name.lower(): value for name, value in self.headers.items()})
            except Exception as error:  # one bad request must not end the others
                return 500, {"detail": f"{type(error).__name__}: {error}"}

    return Handler
