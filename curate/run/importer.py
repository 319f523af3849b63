"""Turn source batches into item parts: media checked, ids given, every row compared with what the store holds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import digest
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.formats import SourceBatch
from curate.formats.normalise import DerivedIds, DuplicateIds, finish
from curate.kinds import Kind
from curate.kinds import kind as kind_of
from curate.media import MediaPolicy, probe
from curate.recipe.model import ImportStep
from curate.run.context import RunContext
from curate.run.identity import KnownIds
from curate.run.rejections import no_rejections, outdated, refuse, rejections
from curate.store import ColumnSet, NewPart, Part, PartWriter

REMOTE = r"^(?i:[a-z][a-z0-9+.-]*)://"
"""An address that is not a plain path; readers give paths for local files."""

COUNTS = ("read", "added", "unchanged", "changed", "updated", "rejected")


@dataclass
class _Batch:
    """A batch on its way: the rows as read and checked, and what comparing them with the store said."""

    table: pa.Table
    packs: list[str]
    rejected: list[pa.Table]
    sources: set[str]
    parts: list[NewPart] = field(default_factory=list)
    superseded: list[npt.NDArray[np.int64]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class Importer:
    """State of one import: what the store knows, ids seen, batches that wait for their commit."""

    def __init__(
        self, context: RunContext, step: ImportStep, identity: str, known: Mapping[str, Any] | None
    ) -> None:
        self.context, self.step, self.identity = context, step, identity
        self.kind: Kind = kind_of(step.kind)
        self.policy = MediaPolicy(hosts=frozenset(step.hosts))
        self._counts: Counter[str] = Counter(known["counts"] if known else {})
        self._reasons: Counter[str] = Counter(known["reasons"] if known else {})
        self.before: int = known["before"] if known else context.store.snapshot().rows
        self.types = {f.name: f.type for f in context.store.snapshot().item_schema}
        self.waiting: list[_Batch] = []
        settings = {
            k: v for k, v in step.plain().items() if k in ("kind", "columns", "id", "texts", "format")
        }
        self.reads_as = digest("reads", settings)
        self.anew: set[str] = set()
        self.earlier = {p.part_id for p in context.store.snapshot().rejected if self._told_by_us(p)}
        self.duplicates, self.derived = DuplicateIds(), DerivedIds()
        self._refused: set[tuple[str, int]] | None = None
        self._look()

    # --- What the store holds -------------------------------------------------------------------------------------

    def _look(self) -> None:
        view = self.context.store.view()
        self.version = view.snapshot.version
        self.known = KnownIds.of(view, contents=True)

    # --- Batches --------------------------------------------------------------------------------------------------

    def skip(self, batch: SourceBatch) -> None:
        """Pass over a batch that an interrupted run committed, remembering the ids it held, derived ones included."""
        self.anew |= _sources(batch)
        table = batch.table.filter(pa.array(~self._refused_before(batch.table)))
        if not table.num_rows:
            return
        if table["id"].null_count:
            for column in self.kind.media:
                table = self._hashed(table, column)
            table = finish(table, self.kind, self.derived)
        self.duplicates.split(table)

    def _refused_before(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Rows of a committed batch whose medium was refused."""
        if self._refused is None:
            listed = self.context.store.rejected()
            kept = ~np.isin(listed["code"].to_numpy(zero_copy_only=False), ["duplicate-id", "changed"])
            pairs = zip(listed["source"].to_pylist(), listed["row"].to_pylist(), strict=True)
            self._refused = {pair for pair, keep in zip(pairs, kept, strict=True) if keep}
        places = zip(table["_source"].cast(pa.string()).to_pylist(), table["_index"].to_pylist(), strict=True)
        return np.array([place in self._refused for place in places], dtype=bool)

    def _hashed(self, table: pa.Table, column: str) -> pa.Table:
        """The table with the digest of each medium, which is all that an id is derived from."""
        if f"{column}_data" in table.schema.names:
            data = table[f"{column}_data"].to_pylist()
            digests = [None if value is None else hashlib.sha256(value).digest() for value in data]
            table = table.drop_columns([f"{column}_data"])
            return _set(table, f"{column}_sha256", pa.chunked_array([pa.array(digests, pa.binary(32))]))
        if column not in table.schema.names:
            return table
        facts = probe(table[column].combine_chunks(), self._modality(column), "none", policy=self.policy)
        return _set(table, f"{column}_sha256", facts["sha256"])

    def _modality(self, column: str) -> Literal["image", "audio"]:
        return "image" if column in self.kind.roles.get("image", ()) else "audio"

    def take(self, batch: SourceBatch, writer: PartWriter) -> None:
        """Check one batch and write its part."""
        table, packs, rejected = batch.table, list[str](), [batch.rejected]
        for column in self.kind.media:
            table, names = self._packed(table, column)
            packs += names
            table, refused = self._probed(table, column)
            rejected.append(refused)
        table = finish(table, self.kind, self.derived)
        table, refused = self.duplicates.split(table)
        rejected.append(refused)
        table = self._fitted(table)
        one = _Batch(table, packs, rejected, _sources(batch))
        one.counts["read"] = batch.table.num_rows + batch.rejected.num_rows
        self._compare(one, writer)
        self.waiting.append(one)

    def _fitted(self, table: pa.Table) -> pa.Table:
        """The table with the types that the store's items have; what cannot be brought to them is refused here, while
        nothing is written: parts that disagree about a column could not be read together."""
        homes = self.context.store.snapshot().column_home
        for i, column in enumerate(table.schema):
            check_given([column.name], homes)
            known = self.types.get(column.name, column.type)
            fields = [pa.schema([pa.field(column.name, known)]), pa.schema([column])]
            try:
                self.types[column.name] = pa.unify_schemas(fields, promote_options="permissive").field(0).type
            except pa.ArrowTypeError:
                try:
                    table = table.set_column(i, column.name, table.column(i).cast(known))
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                    raise SchemaError(
                        f"the column {column.name!r} holds {column.type} here and {known} in the store; import it under "
                        f"another name with columns={{'other_name': {column.name!r}}}"
                    ) from None
        return table

    def _packed(self, table: pa.Table, column: str) -> tuple[pa.Table, list[str]]:
        """Media given as bytes, put into one pack file of the store and referred to by address."""
        name = f"{column}_data"
        if name not in table.schema.names:
            return table, []
        data = table[name]
        with self.context.store.pack() as pack:
            places = [
                None if value is None else pack.add(value.as_buffer()) for value in data.combine_chunks()
            ]
        uris = pa.array([None if p is None else pack.uri(*p) for p in places], pa.string())
        if column in table.schema.names:
            uris = pc.coalesce(uris, table[column].combine_chunks())
            table = table.set_column(table.schema.get_field_index(column), column, uris)
        else:
            table = table.append_column(column, uris)
        return table.drop_columns([name]), [pack.name] if pack.name else []

    def _probed(self, table: pa.Table, column: str) -> tuple[pa.Table, pa.Table]:
        """Facts about each medium as columns; rows whose medium cannot be opened are refused."""
        if column not in table.schema.names or not table.num_rows:
            return table, no_rejections()
        uris = self.context.store.resolve(table[column].combine_chunks())
        if not self.policy.hosts:
            uris = pc.if_else(pc.fill_null(pc.match_substring_regex(uris, REMOTE), False), None, uris)
        if uris.null_count == len(uris):
            return table, no_rejections()
        facts = probe(uris, self._modality(column), self.step.check, policy=self.policy)
        # An address that we may not fetch is no fault of the row: it is kept, its facts stay unknown.
        refusable = pc.not_equal(pc.fill_null(facts["code"], "remote-not-allowed"), "remote-not-allowed")
        bad = pc.and_(refusable, pc.is_valid(table[column])).combine_chunks()
        # where it was looked for: a relative address is often meant from elsewhere
        place = pc.binary_join_element_wise(facts["error"], pc.utf8_slice_codeunits(uris, 0, 500), ": ")
        error = pc.if_else(pc.equal(pc.fill_null(facts["code"], ""), "missing"), place, facts["error"])
        refused = rejections(table.filter(bad), facts["code"].filter(bad), error.filter(bad))
        good = pc.invert(bad)
        table, facts = table.filter(good), facts.filter(good)
        for name in facts.schema.names:
            if name not in ("code", "error") and facts[name].null_count < facts.num_rows:
                table = _set(table, f"{column}_{name}", facts[name])
        return table, refused

    # --- Comparison with the store --------------------------------------------------------------------------------

    def _compare(self, batch: _Batch, writer: PartWriter) -> None:
        table = batch.table
        found = self.known.find(table["id"].combine_chunks())
        old = np.where(found >= 0, found, 0)
        hashes = table["_hash"].to_numpy()
        exists = found >= 0
        same = exists & (self.known.row_hash[old] == hashes) if len(self.known.seq) else exists
        changed = exists & ~same
        rejected = list(batch.rejected)
        take = ~exists
        batch.counts = Counter(read=batch.counts["read"], added=int(take.sum()), unchanged=int(same.sum()))
        batch.superseded = []
        if changed.any():
            take = self._conflicts(batch, table, changed, take, old, rejected)
        batch.reasons = Counter(c for t in rejected for c in t["code"].to_pylist())
        batch.counts["rejected"] = sum(
            t.num_rows for t in rejected if t.num_rows and t["code"][0].as_py() != "changed"
        )
        batch.parts = []
        if take.any():
            stats = {"packs": batch.packs} if batch.packs else {}
            batch.parts.append(writer.items(table.filter(pa.array(take)), self.kind.name, stats))
        refused = pa.concat_tables(rejected) if rejected else no_rejections()
        if refused.num_rows:
            batch.parts.append(writer.rejected(refused, {"import": self.reads_as}))

    def _conflicts(
        self,
        batch: _Batch,
        table: pa.Table,
        changed: npt.NDArray[np.bool_],
        take: npt.NDArray[np.bool_],
        old: npt.NDArray[np.int64],
        rejected: list[pa.Table],
    ) -> npt.NDArray[np.bool_]:
        """Rows whose id is known with other content: refused, replaced, or kept as they are and listed."""
        if self.step.on_conflict == "error":
            first = table["id"][int(np.flatnonzero(changed)[0])].as_py()
            raise InputError(
                f"the store holds {counted(int(changed.sum()), 'id')} with other content than the source, first {first!r}; "
                'on_conflict="update" replaces them, "skip" keeps the old ones and lists the new'
            )
        if self.step.on_conflict == "update":
            batch.superseded = [np.sort(self.known.seq[old[changed]])]
            batch.counts["updated"] = int(changed.sum())
            return take | changed
        why = 'the store holds this id with other content; on_conflict="update" would replace it'
        rejected.append(refuse(table, changed, "changed", why))
        batch.counts["changed"] = int(changed.sum())
        return take

    def compare_again(self, writer: PartWriter) -> None:
        """Compare what waits with the store as another process has left it."""
        self._look()
        for batch in self.waiting:
            self._compare(batch, writer)

    # --- Commit ---------------------------------------------------------------------------------------------------

    def changes(self, writer: PartWriter, progress: Mapping[str, Any]) -> dict[str, Any]:
        """What to commit: parts in order, tombstones, and how far the source was read."""
        add = [part for batch in self.waiting for part in batch.parts]
        gone = [seqs for batch in self.waiting for seqs in batch.superseded]
        if gone:
            add.append(writer.deleted(np.sort(np.concatenate(gone))))
        add, remove = self._without_earlier(add, writer)
        result = {"counts": self.counts, "reasons": self.reasons, **progress}
        out: dict[str, Any] = {"add": add, "remove": remove, "items_at": self.version}
        if self.identity:
            out["step"] = (self.identity, result)
        return out

    def _without_earlier(self, add: list[NewPart], writer: PartWriter) -> tuple[list[NewPart], list[str]]:
        """What to add and remove so that of sources that are read anew only that is listed which is refused today."""
        sources = set().union(*(batch.sources for batch in self.waiting)) - self.anew
        if not self.identity or not sources:  # frames of one type are not one source
            return add, []
        live = [p for p in self.context.store.snapshot().rejected if p.part_id in self.earlier]
        more, remove = outdated(self.context.store, writer, live, sources)
        self.earlier |= {p.part_id for p in more}
        fresh = {p.part_id for p in add}  # what is refused as it was is listed as it was
        return [*add, *more], [part_id for part_id in remove if part_id not in fresh]

    def _told_by_us(self, part: Part) -> bool:
        """Whether it lists what imports refused that read a source as this one does; merged parts do not tell."""
        return bool(part.stats.get("import", self.reads_as) == self.reads_as)

    def committed(self) -> None:
        """What waited is in the store."""
        self.anew |= set().union(*(batch.sources for batch in self.waiting))
        self._counts, self._reasons = Counter(self.counts), Counter(self.reasons)
        self.waiting = []
        self.version = self.context.store.snapshot().version

    @property
    def counts(self) -> dict[str, int]:
        """Totals so far, those of an interrupted run included."""
        total = self._counts + sum((b.counts for b in self.waiting), Counter())
        return {name: total.get(name, 0) for name in COUNTS}

    @property
    def reasons(self) -> dict[str, int]:
        """Codes of rejections so far, most frequent first."""
        total = self._reasons + sum((b.reasons for b in self.waiting), Counter())
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def check_given(columns: Iterable[str], homes: Mapping[str, ColumnSet | None]) -> None:
    """Raises SchemaError where an import would bring a column that a scorer gave."""
    for name in columns:
        if (home := homes.get(name)) is not None:
            raise SchemaError(
                f"the column {name!r} is given by the scorer {home.scorer!r} already; import it under another name with "
                f"columns={{'other_name': {name!r}}}"
            )


def _sources(batch: SourceBatch) -> set[str]:
    """Files, or other places, that rows of a batch came from."""
    return {*pc.unique(batch.table["_source"]).to_pylist(), *pc.unique(batch.rejected["source"]).to_pylist()}


def _set(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.append_column(name, values) if index < 0 else table.set_column(index, name, values)
