"""Fetch over HTTP from hosts that the policy names, and never from an address inside.

The name is resolved once; every address it gives must be globally routable; the connection goes to the address that
was checked (so a second, different answer of the name server cannot matter); each redirect starts over.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import NoReturn
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from curate.counting import counted
from curate.errors import MediaError
from curate.media.policy import MediaPolicy

__all__ = ["fetch", "is_public"]

Resolve = Callable[[str, int], Sequence[str]]
Connect = Callable[[str, int, float], socket.socket]

_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_SAFE = "%/:=&?~+!$,;'@()*[]"
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve_host(host: str, port: int) -> list[str]:
    """All addresses of a host, as the system resolves them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect_to(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to a literal address."""
    return socket.create_connection((address, port), timeout=timeout)


def is_public(address: str) -> bool:
    """Whether a literal address is globally routable, whatever it is wrapped in (IPv4 in IPv6, 6to4, NAT64)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if parsed.teredo or parsed.is_site_local:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def fetch(
    url: str,
    policy: MediaPolicy,
    *,
    offset: int | None = None,
    length: int | None = None,
    resolve: Resolve = resolve_host,
    connect: Connect = connect_to,
) -> bytes:
    """The bytes at an http(s) URL, or `length` of them from `offset` on.

    `resolve` and `connect` are what the operating system does, replaceable for tests and proxies.
    Raises MediaError `remote-not-allowed`, `fetch-failed`, `missing` (404, 410), `too-large` or `timeout`.
    """
    if length is not None and length > policy.max_bytes:
        raise MediaError(
            "too-large", f"{counted(length, 'byte')}, the limit is {policy.max_bytes} (MediaPolicy.max_bytes)"
        )
    deadline = time.monotonic() + policy.timeout
    try:
        for _ in range(_REDIRECTS + 1):
            parts, port = _check_url(url, policy)
            address = _check_address(parts.hostname or "", port, resolve)
            sock = connect(address, port, _left(deadline))
            try:
                target = _exchange(
                    sock, (parts, port), (offset, length), deadline=deadline, max_bytes=policy.max_bytes
                )
            finally:
                sock.close()
            if isinstance(target, bytes):
                return target
            if not target:
                raise MediaError("fetch-failed", "a redirect to nowhere")
            url = urljoin(url, target)
    except TimeoutError as error:
        raise MediaError("timeout", f"not fetched within {policy.timeout:g} s") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise MediaError("fetch-failed", f"{type(error).__name__}: {error}") from error
    raise MediaError("fetch-failed", f"more than {_REDIRECTS} redirects")


def _refuse(message: str) -> NoReturn:
    raise MediaError("remote-not-allowed", message)


def _check_url(url: str, policy: MediaPolicy) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse("the URL cannot be read")
    if parts.scheme not in _PORTS:
        _refuse(f"only http and https are fetched, not {parts.scheme!r}")
    if parts.username is not None or parts.password is not None:
        _refuse("the URL carries a user name or password")
    host = (parts.hostname or "").lower().rstrip(".")
    usual = port is None or port == _PORTS[parts.scheme]
    if not (usual and host in policy.hosts) and f"{host}:{port or _PORTS[parts.scheme]}" not in policy.hosts:
        allowed = ", ".join(sorted(policy.hosts)) or "none"
        wanted = host if usual else f"{host}:{port}"
        _refuse(f"host {wanted!r} is not allowed (MediaPolicy.hosts allows: {allowed})")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        _refuse("the URL holds spaces or control characters")
    return parts, port or _PORTS[parts.scheme]


def _check_address(host: str, port: int, resolve: Resolve) -> str:
    addresses = list(resolve(host, port))
    if not addresses:
        raise MediaError("fetch-failed", f"host {host!r} has no address")
    inside = [address for address in addresses if not is_public(address)]
    if inside:
        _refuse(f"host {host!r} is at {inside[0]}, which is not a public address")
    return addresses[0]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _exchange(
    sock: socket.socket,
    target: tuple[SplitResult, int],
    window: tuple[int | None, int | None],
    *,
    deadline: float,
    max_bytes: int,
) -> bytes | str:
    """One request: the body, or the address it redirects to."""
    parts, port = target
    host = parts.hostname or ""
    if parts.scheme == "https":
        sock.settimeout(_left(deadline))
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = sock  # already connected to the address that was checked
    offset, length = window
    headers = {"Accept-Encoding": "identity", "User-Agent": "curate"}
    if length is not None:
        headers["Range"] = f"bytes={offset or 0}-{(offset or 0) + length - 1}"
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)
    try:
        sock.settimeout(_left(deadline))
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            if response.status in _MOVED:
                return response.getheader("Location") or ""
            if response.status in (404, 410):
                raise MediaError("missing", f"HTTP {response.status}")
            if response.status not in (200, 206):
                raise MediaError("fetch-failed", f"HTTP {response.status}")
            data = _read_body(response, sock, deadline, max_bytes)
            whole = response.status == 200 and length is not None
        return _cut(data, offset or 0, length or 0) if whole else data
    finally:
        connection.close()


def _read_body(
    response: http.client.HTTPResponse, sock: socket.socket, deadline: float, max_bytes: int
) -> bytes:
    pieces, size = [], 0
    while True:
        sock.settimeout(_left(deadline))
        piece = response.read1(1 << 16)
        if not piece:
            break
        size += len(piece)
        if size > max_bytes:
            raise MediaError("too-large", f"more than {counted(max_bytes, 'byte')} (MediaPolicy.max_bytes)")
        pieces.append(piece)
    if response.length:  # what Content-Length promised and did not come
        raise MediaError("fetch-failed", f"the answer ended {counted(response.length, 'byte')} early")
    return b"".join(pieces)


def _cut(data: bytes, offset: int, length: int) -> bytes:
    if offset + length > len(data):
        raise MediaError(
            "truncated", f"bytes {offset} to {offset + length} asked for, the file has {len(data)}"
        )
    return data[offset : offset + length]
