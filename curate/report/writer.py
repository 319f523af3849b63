"""`write_report`: collect, draw, and put one file in place, complete or not at all."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

from curate.counting import counted
from curate.durable import publish
from curate.errors import InputError, RunError, UnknownNameError
from curate.report.collector import Limits, collect
from curate.report.contents import ReportData
from curate.report.maps import MapOptions
from curate.report.page import render
from curate.report.plane import MapBy
from curate.run.ledger import RunRecord
from curate.store import PartStore

SMALLEST = 150_000
"""Bytes below which no report worth the name fits."""


def write_report(
    store: PartStore,
    path: str | Path,
    *,
    run: RunRecord | None = None,
    selection: str | None = None,
    title: str | None = None,
    timings: bool = False,
    max_table_rows: int = 2000,
    max_gallery: int = 24,
    thumbnail: int = 160,
    max_bytes: int = 20_000_000,
    map_of: str | None = None,
    map_by: MapBy = "pca",
    max_points: int = 1000,
) -> Path:
    """Write one self-contained HTML file about a store, a run, or a selection, and return its path.

    It needs no network, no server and no other file. The same store and run give the same bytes; what differs between
    two runs of one recipe (times, run id, version of the store) is left out unless `timings` asks for it.

    `run`             the run to tell of: its funnel, what it kept, the thresholds it used. None: the store as it is.
    `selection`       a stored selection that has the last word on what was kept; by default the run's last.
    `title`           by default the recipe's name, else the store's.
    `max_table_rows`  rows in the table; of more items an even sample is shown, and said to be one.
    `max_gallery`     items in a gallery, 0 for no galleries.
    `thumbnail`       side of a thumbnail on the page in pixels.
    `max_bytes`       the file is never larger: galleries, table, map and thumbnails shrink until it fits, which is said.
    `map_of`          the column of vectors that the map shows; by default the one that was selected by, else an embedding.
    `map_by`          "pca", two principal directions; or "t-sne", which keeps neighbours, takes seconds, and needs `noise`.
    `max_points`      items on the map, 0 for no map; of more items a sample is shown, and said to be one.

    Raises InputError for limits that make no sense and UnknownNameError for an unknown selection or column of vectors.
    """
    limits = Limits(
        table_rows=max_table_rows,
        gallery=max_gallery,
        thumbnail=thumbnail,
        media_bytes=int(max_bytes * 0.6),
        points=max_points,
    )
    _check(limits, max_bytes, map_by)

    def gather() -> ReportData:
        options = MapOptions(map_of, map_by)
        return collect(store, run, selection, title, limits=limits, timings=timings, map_options=options)

    data = gather()
    page, halvings = render(data), 0
    while len(page) > max_bytes:
        halvings += 1
        if halvings > 12:
            raise InputError(
                f"the report cannot be made smaller than {counted(len(page), 'byte')}; max_bytes is {max_bytes:,}"
            )
        limits = limits.halve()
        data = gather()
        said = (
            f"To stay within {counted(max_bytes, 'byte')}, galleries hold at most {counted(limits.gallery, 'item')}, "
            f"the table {counted(limits.table_rows, 'row')} and the map {counted(limits.points, 'item')}."
        )
        page = render(replace(data, notices=(*data.notices, said)))
    return write_whole(Path(path).expanduser(), page)


def _check(limits: Limits, max_bytes: int, map_by: str) -> None:
    if map_by not in get_args(MapBy):
        raise UnknownNameError("way to lay out a map", map_by, get_args(MapBy))
    for name, value, low, high in (
        ("max_table_rows", limits.table_rows, 1, 100_000),
        ("max_gallery", limits.gallery, 0, 500),
        ("thumbnail", limits.thumbnail, 32, 512),
        ("max_bytes", max_bytes, SMALLEST, 1_000_000_000),
        ("max_points", limits.points, 0, 20_000),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} is {value:,}: it must lie between {low:,} and {high:,}")


def write_whole(path: Path, data: bytes) -> Path:
    """Replace a file durably: a sibling is written and synced, then renamed over it. Its folder is made if needed.

    Raises RunError where it cannot be written.
    """
    try:
        return _replace(path, data)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _replace(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    scratch = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o666 & ~umask)  # mkstemp makes it private; a report is to be handed on
        publish(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return path
