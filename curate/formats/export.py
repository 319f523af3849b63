"""Write rows as a data set that others can load: Parquet, JSON Lines, CSV, `datasets` or WebDataset.

Every export carries `manifest.json`, a dataset card (`README.md`) and Croissant metadata, is complete or absent,
and has the same bytes whenever it is made from the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from curate.contracts import digest
from curate.counting import counted
from curate.errors import InputError, UnknownNameError
from curate.formats import manifest as manifests
from curate.formats.card import CARD, compose_card
from curate.formats.croissant import CROISSANT, describe
from curate.formats.writers.draft import Draft
from curate.formats.writers.features import annotate, media_types
from curate.formats.writers.media import FAILED, MediaCarrier
from curate.formats.writers.parquet import write_parquet
from curate.formats.writers.place import drafting, publish, settle
from curate.formats.writers.saved import write_saved
from curate.formats.writers.shards import Limits, split
from curate.formats.writers.tables import conform
from curate.formats.writers.tars import write_tars
from curate.formats.writers.text import GuardedStrings, write_csv, write_jsonl
from curate.kinds import Kind
from curate.kinds import kind as kind_named

__all__ = ["FORMATS", "ExportResult", "Format", "Media", "export"]

Format = Literal["parquet", "jsonl", "csv", "datasets", "webdataset"]
Media = Literal["reference", "copy", "embed"]
FORMATS: tuple[str, ...] = get_args(Format)

_DEFAULTS = {"title": "Curated data set", "description": "", "license": "unknown", "dataset_version": "1.0.0"}
_EMBEDDING = ("parquet", "datasets", "webdataset")
_THEMSELVES = "WebDataset shards hold the bytes of media themselves: use media='embed'"
_HASHED_WHEN_FOUND = 256 * 2**20
_CLASSES = 1000


@dataclass(frozen=True)
class ExportResult:
    """What is at `path` now. `written` is False if it was there already, intact, and was not touched.

    `rows` are in the data files; `failed` items are missing there because their media could not be read, and are
    listed in `failed.jsonl`. `files` and `bytes` count everything but the manifest. `digest` identifies the export.
    """

    path: Path
    written: bool
    rows: int
    files: int
    bytes: int
    digest: str
    failed: int = 0


def export(
    batches: Iterable[pa.RecordBatch],
    out: str | Path,
    *,
    format: Format,
    kind: Kind | str,
    manifest: Mapping[str, Any],
    media: Media | None = None,
    schema: pa.Schema | None = None,
    shard_rows: int = 1_000_000,
    shard_bytes: int = 512 * 2**20,
    policy: Any = None,
    overwrite: bool = False,
) -> ExportResult:
    """Write the rows to the folder `out`, whole or not at all.

    `manifest` says where the rows come from and goes into `manifest.json` and the card: `input` or `items` (a digest:
    with it, the manifest is taken to identify the rows, and an export that is there already is recognised before any
    is read; without it, by its content), and where known `recipe`, `recipe_digest`, `steps` (as `StepRecord.to_dict`),
    `store_version`, `seed`, `selection`, `selection_stats`, `counts`, `title`, `description`, `license`, `citation`,
    `url`, `dataset_version`, `date_published`. Other keys are kept.
    `media`: `reference` keeps addresses, `copy` puts files into `media/`, `embed` puts the bytes into the rows.
    None means `embed` for WebDataset and `reference` otherwise. `policy` is the `MediaPolicy` to read them with.
    `schema` is needed only to give an export of no rows its columns.
    A shard ends after `shard_rows` rows or `shard_bytes` uncompressed bytes.

    Raises InputError if something else is at `out` (a different export is replaced with `overwrite=True`, a folder
    that curate did not write never is), SchemaError for rows that cannot be written, BusyError while another process
    writes the same export, RunError when the disk is full.
    """
    job = _Job.plan(format, kind, manifest, media, Limits(shard_rows, shard_bytes), policy)
    return _place(job, Path(out).resolve(), batches, schema, overwrite)


@dataclass
class _Job:
    """One export as asked for. `known`: whether `identity` says which rows they are before any is read."""

    format: str
    kind: Kind
    media: str
    limits: Limits
    policy: Any
    given: dict[str, Any]
    settings: dict[str, Any]
    identity: str
    known: bool
    lost: dict[str, int] = field(default_factory=dict)
    guard: GuardedStrings = field(default_factory=GuardedStrings)

    @classmethod
    def plan(
        cls,
        format_: str,
        kind: Kind | str,
        manifest: Mapping[str, Any],
        media: str | None,
        limits: Limits,
        policy: Any,
    ) -> _Job:
        if format_ not in FORMATS:
            raise UnknownNameError("export format", format_, FORMATS)
        chosen = kind_named(kind) if isinstance(kind, str) else kind
        media = check_media(format_, media, chosen)
        if limits.rows < 1 or limits.bytes < 1:
            raise InputError(
                f"a shard needs at least 1 row and 1 byte, got {counted(limits.rows, 'row')} and "
                f"{counted(limits.bytes, 'byte')}"
            )
        settings = {
            "format": format_,
            "kind": chosen.name,
            "media": media,
            "shard_rows": limits.rows,
            "shard_bytes": limits.bytes,
        }
        given = {**_DEFAULTS, **manifests.plain_manifest(manifest)}
        identity = manifests.identity(settings, given)
        return cls(
            format_, chosen, media, limits, policy, given, settings, identity, bool(given.get("input"))
        )

    def write(
        self, draft: Draft, batches: Iterable[pa.RecordBatch], schema: pa.Schema | None
    ) -> dict[str, Any]:
        """All files of the export; returns its manifest."""
        plain, stream = conform(batches, self.kind, schema)
        columns = tuple(c for c in self.kind.media if c in plain.names)
        carrier = MediaCarrier(draft, columns, self.media, self.policy)
        tally = _Tally(self.kind)
        written = carrier.schema(plain)
        if self.media != "reference" and columns:
            stream = carrier.carry(stream)
        try:
            self._write_data(draft, tally.watch(stream), written)
        finally:
            carrier.close()
        counts: dict[str, Any] = {"rows": tally.rows, "failed": carrier.failed}
        if carrier.reasons:
            counts["failed_by_reason"] = dict(sorted(carrier.reasons.items()))
        if tally.classes:
            counts["classes"] = dict(sorted(tally.classes.items()))
        notes = self._notes(carrier.failed)
        composed = manifests.compose(self.settings, self.given, written, counts, notes)
        draft.write(CARD, compose_card(composed))
        draft.write(CROISSANT, describe(composed, written, draft.files, media_types(written, self.kind)))
        content = digest(self.identity, sorted((f.path, f.blake3) for f in draft.files))
        sealed = manifests.seal(composed, self.identity if self.known else content, draft.files)
        draft.write(manifests.MANIFEST, sealed)
        return manifests.read_manifest(draft.root)

    def _write_data(self, draft: Draft, stream: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        media = media_types(schema, self.kind)
        shards = split(stream, schema, self.limits)
        if self.format == "parquet":
            described = annotate(schema, media) if media else schema
            write_parquet(shards, draft, described, unique=("id", *self.kind.media))
        elif self.format == "jsonl":
            write_jsonl(shards, draft, self.lost)
        elif self.format == "csv":
            write_csv(shards, draft, self.guard, self.lost)
        elif self.format == "datasets":
            write_saved(shards, draft, schema, media, self.identity[:16])
        else:
            write_tars(shards, draft, self.kind, media, self.lost)

    def _notes(self, failed: int) -> list[str]:
        notes = [
            f"Column {name!r}: "
            f"{counted(count, 'value that is no finite number was', 'values that are no finite numbers were')} written "
            "as null."
            for name, count in sorted(self.lost.items())
        ]
        if self.guard.cells:
            cells = ", ".join(f"{name!r} ({count:,})" for name, count in sorted(self.guard.cells.items()))
            notes.append(
                "Texts that a spreadsheet would run as a formula have one apostrophe in front, in the columns "
                f"{cells}. The lines under 'How to load it' take it away again."
            )
        if failed:
            notes.append(
                f"{counted(failed, 'item is', 'items are')} left out because media could not be read: see "
                f"{FAILED}."
            )
        return notes


class _Tally:
    """Counts what goes by: rows and, for a kind with labels, items of each class (up to 1,000 classes). An item with several
    labels counts for each; with none, or no label at all, as `(none)`."""

    def __init__(self, kind: Kind) -> None:
        self.rows = 0
        self.classes: dict[str, int] = {}
        self._columns = (*kind.roles.get("label", ()), *kind.sets)

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.rows += batch.num_rows
            for labels in self._labels(batch):
                for entry in pc.value_counts(labels).to_pylist():
                    name = "(none)" if entry["values"] is None else str(entry["values"])
                    self.classes[name] = self.classes.get(name, 0) + entry["counts"]
            if len(self.classes) > _CLASSES:
                self._columns, self.classes = (), {}
            yield batch

    def _labels(self, batch: pa.RecordBatch) -> Iterator[pa.Array]:
        """The labels of the items, a null for each item without."""
        there = [batch.column(column) for column in self._columns if column in batch.schema.names]
        single = [column for column in there if not pt.is_list(column.type)][:1]
        sets = [column for column in there if pt.is_list(column.type)]
        for label in single:
            yield label.drop_null() if sets else label
        for several in sets:
            alone = several.filter(single[0].is_null()) if single else several
            yield pc.list_flatten(alone)
            none = pc.equal(pc.fill_null(pc.list_value_length(alone), 0), 0)
            yield pa.nulls(pc.sum(none).as_py() or 0)


def check_media(format: str, media: str | None, kind: Kind | None = None) -> str:
    """How media are exported, the default where nothing is asked. Raises InputError where a format cannot hold those of a
    kind so (None: of any kind)."""
    media = media or ("embed" if format == "webdataset" else "reference")
    if media not in get_args(Media):
        raise UnknownNameError("way to export media", media, get_args(Media))
    if media == "embed" and format not in _EMBEDDING:
        raise InputError(
            f"{format} cannot hold the bytes of media: use media='copy' or 'reference', or Parquet"
        )
    if format == "webdataset" and (media == "copy" or (media == "reference" and kind and kind.media)):
        raise InputError(_THEMSELVES)
    return media


def check_target(target: Path, format: str, media: str, *, overwrite: bool = False) -> None:
    """Raises InputError where something lies at `target` that an export would not replace: a file, a folder of other files,
    or, unless it may be replaced, an export that is surely another."""
    found = _look(target)
    if found is not None and (found["format"], found["media"]) != (format, media):
        _refuse(target, found, overwrite)


def _place(
    job: _Job, target: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema | None, overwrite: bool
) -> ExportResult:
    settle(target)
    found = _look(target)
    if found is not None and job.known:
        if found["digest"] == job.identity and not (overwrite and _failed(found)):
            problems = _damage(target, found)
            if not problems:
                return _result(target, found, written=False)
            if not overwrite:
                raise InputError(
                    f"{target} is this export, but damaged or edited ({problems[0]}); overwrite=True renews it"
                )
        _refuse(target, found, overwrite)
    with drafting(target, job.identity) as draft:
        made = job.write(draft, batches, schema)
        if found is not None and not job.known:
            if found["digest"] == made["digest"] and not _damage(target, found):
                return _result(target, found, written=False)
            _refuse(target, found, overwrite)
        if found is not None:
            _keep_strangers(target, found)
        publish(draft, target, replace=found is not None)
    return _result(target, made, written=True)


def _look(target: Path) -> dict[str, Any] | None:
    """The manifest of the export at `target`; None where nothing (or an empty folder) is. InputError otherwise."""
    if not target.exists():
        return None
    if not target.is_dir():
        raise InputError(f"{target} is a file: an export is a folder; choose another place")
    if not any(target.iterdir()):
        return None
    try:
        return manifests.read_manifest(target)
    except InputError as error:
        raise InputError(
            f"{target} holds files that are not an export of curate ({error}); choose another place"
        ) from None


def _damage(target: Path, found: Mapping[str, Any]) -> list[str]:
    small = sum(int(entry["bytes"]) for entry in found["files"]) <= _HASHED_WHEN_FOUND
    return manifests.damage(target, found, deep=small)


def _refuse(target: Path, found: Mapping[str, Any], overwrite: bool) -> None:
    if not overwrite:
        raise InputError(
            f"{target} holds a different export (digest {found['digest']}, {counted(found['counts']['rows'], 'row')} "
            f"as {found['format']}); pass overwrite=True to replace it, or choose another place"
        )


def _keep_strangers(target: Path, found: Mapping[str, Any]) -> None:
    others = manifests.strangers(target, found)
    if others:
        raise InputError(
            f"{target} also holds {counted(len(others), 'file')} that curate did not write, {others[0]!r} first: "
            "move them before replacing the export"
        )


def _failed(found: Mapping[str, Any]) -> int:
    return int(found["counts"].get("failed", 0))


def _result(target: Path, found: Mapping[str, Any], *, written: bool) -> ExportResult:
    files = found["files"]
    size = sum(int(entry["bytes"]) for entry in files)
    rows = int(found["counts"]["rows"])
    return ExportResult(target, written, rows, len(files), size, str(found["digest"]), _failed(found))
