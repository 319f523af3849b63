"""What there is to ask: every template, in a line."""

from __future__ import annotations

import importlib

from curate.annotators.tasks.template import TEMPLATES

__all__ = ["list_templates"]


def list_templates() -> list[tuple[str, str, str]]:
    """Name, kinds of item, and what is asked, of every template."""
    rows = []
    for name, place in TEMPLATES.items():
        module, _, attribute = place.partition(":")
        cls = getattr(importlib.import_module(f"curate.annotators.tasks.{module}"), attribute)
        about = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
        rows.append((name, ", ".join(cls.kinds), about))
    return rows
