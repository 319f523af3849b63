"""Texts and pictures to export, exports of them, and what came out."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from curate.formats.export import ExportResult, export

GIVEN = {"input": "d1"}


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(folder: Path, count: int) -> list[str]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{n}.png" for n in range(count)]
    for n, path in enumerate(paths):
        path.write_bytes(png(n))
    return [str(path) for path in paths]


def image_rows(folder: Path, ids: list[str]) -> pa.Table:
    uris = pictures(folder, len(ids))
    return pa.table({"id": ids, "image": uris, "caption": [f"caption {n}" for n in range(len(ids))]})


def write(rows: pa.Table, out: Path, **options: Any) -> Any:
    return export(
        rows.to_batches(), out, **{"format": "parquet", "kind": "image-text", "manifest": GIVEN, **options}
    )


def members(folder: Path) -> list[tarfile.TarInfo]:
    found = []
    for shard in sorted(folder.glob("shard-*.tar")):
        with tarfile.open(shard) as tar:
            found += tar.getmembers()
    return found


def texts(count: int = 10) -> pa.Table:
    return pa.table({"id": [f"{n}" for n in range(count)], "text": [f"text {n}" for n in range(count)]})


def write_texts(out: Path, digest: str = "d1", count: int = 10, **options: object) -> ExportResult:
    given: dict[str, object] = {
        "format": "parquet",
        "kind": "speech",
        "manifest": {"input": digest},
        **options,
    }
    return export(texts(count).to_batches(), out, **given)  # type: ignore[arg-type]


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
