"""What tells one component, one step or one part from another: a digest of what it is made of."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import blake3

__all__ = ["component_digest", "component_params", "digest"]


def digest(*values: Any) -> str:
    """A stable 128-bit hex digest of JSON-able values: the identity of a step, a part or a component."""
    return blake3.blake3(_written(values).encode("utf-8", "surrogatepass")).hexdigest(length=16)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "item"):
        return value.item()
    return str(value)


_written = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain).encode


def component_params(component: Any) -> dict[str, Any]:
    """The configuration of a scorer or selector: the fields of its dataclass, as plain values."""
    return {f.name: getattr(component, f.name) for f in dataclasses.fields(component) if f.init}


def component_digest(component: Any) -> str:
    """Identity of a configured component: name, version and parameters."""
    return digest(component.name, component.version, component_params(component))
