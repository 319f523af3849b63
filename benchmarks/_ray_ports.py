"""Ports for a Ray node of a benchmark."""

from __future__ import annotations

import contextlib
import socket


def ports() -> dict[str, int]:
    """Free ports for a node's agents: those that choose their own must be up within 15 s, which a busy machine may not grant."""
    names = (
        "metrics_agent_port",
        "metrics_export_port",
        "dashboard_agent_listen_port",
        "runtime_env_agent_port",
    )
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}
