"""What the tests of readers share: write a source, read it, look at rows and rejections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.formats import open_source

Rows = list[dict[str, Any]]


def read(source: Any, kind: str = "label", rows: int = 8192, **options: Any) -> tuple[Rows, Rows]:
    """(rows, rejections)"""
    batches = list(open_source(source, kind, **options).batches(rows))
    return [r for b in batches for r in b.table.to_pylist()], [
        r for b in batches for r in b.rejected.to_pylist()
    ]


def write(path: Path, content: str | bytes) -> Path:
    """Make a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(*records: Any) -> bytes:
    """Records as JSON lines; bytes as they are."""
    return b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records)
