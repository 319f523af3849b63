"""A line to the server that can be cut, and that tells when what went over it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Proxy:
    """Hands requests on. `before(method, path)` and `after(method, path)` are asked around each: "cut" breaks the line
    there, so that the request never arrives, or its answer never comes back."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.before: Callable[[str, str], str | None] = lambda method, path: None
        self.after: Callable[[str, str], str | None] = lambda method, path: None
        self.seen: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

        for verb in ("GET", "POST", "PATCH", "DELETE"):
            setattr(Handler, f"do_{verb}", lambda asked: proxy.hand_on(asked))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hand_on(self, asked: BaseHTTPRequestHandler) -> None:
        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        method, path = asked.command, asked.path
        self.seen.append((method, path))
        if self.before(method, path) == "cut":
            asked.close_connection = True
            return
        upstream = http.client.HTTPConnection(self.target.hostname or "", self.target.port, timeout=300)
        try:
            headers = {k: v for k, v in asked.headers.items() if k.lower() not in ("host", "connection")}
            upstream.request(method, path, body or None, headers)
            answer = upstream.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            asked.close_connection = True
            return
        finally:
            upstream.close()
        if self.after(method, path) == "cut":
            asked.close_connection = True
            return
        asked.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                asked.send_header(name, value)
        asked.send_header("Content-Length", str(len(data)))
        asked.end_headers()
        asked.wfile.write(data)

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
