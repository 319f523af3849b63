"""Views: rows of a store at one version, chosen lazily and read in import order.

A view never changes and costs nothing until it is asked for rows. It keeps reading the parts of its snapshot
whatever other processes commit meanwhile (garbage collection keeps them for its grace period; `PartStore.pin`
keeps them longer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import registry
from curate.contracts import Held, View, digest
from curate.counting import counted
from curate.errors import InputError, UnknownNameError, require
from curate.pieces import HERE, Crew, share, spread
from curate.spool import MANY, Spool, blocks
from curate.store import outputs, rows
from curate.store import pieces as cutting
from curate.store.engine import engine
from curate.store.expression import Expression
from curate.store.layout import Home, Layout
from curate.store.query import Query
from curate.store.rowset import RowSet, distinct, extent, int64_array, int64_values
from curate.store.snapshot import Snapshot
from curate.store.survivors import survivors
from curate.store.vectors import PartVectors

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import polars as pl

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class StoreView:
    """Rows of a store at one version, and how they were chosen (`contracts.View`).

    Row i is the same item in every method; the order is that of import. Every method that chooses rows returns
    another view. Make one with `PartStore.view()` or `StoreView.over`.
    """

    home: Home
    layout: Layout
    query: Query
    sets: tuple[rows.LazyRows, ...] = ()
    steps: tuple[tuple[Any, ...], ...] = ()
    crew: Crew = HERE
    place: str | None = None

    @classmethod
    def over(cls, store: Home, snapshot: Snapshot, *, memory: str | None = None) -> StoreView:
        """All live items of `snapshot`. `memory` bounds what queries hold before they spill to the store's `tmp/`
        (`engine.default_memory`)."""
        layout = Layout(snapshot)
        shared = engine(store.path, memory, snapshot.rows)
        view = cls(store, layout, Query(store, layout, shared, snapshot.items))
        if snapshot.deleted:
            lazy = rows.LazyRows(lambda: rows.live(view.query.engine, snapshot))
            return replace(view, sets=(lazy,))
        return view

    # --- choosing rows -------------------------------------------------------------------------------------

    def where(self, expression: str | Expression) -> StoreView:
        """Rows for which the expression is true; a null score is neither above nor below (`expression.py`).

        Raises ExpressionError or UnknownNameError, before anything is read.
        """
        parsed = expression if isinstance(expression, Expression) else Expression(expression)
        parsed.check(self._schema_of(parsed))
        base = self._settled()
        query = replace(base.query, predicates=(*base.query.predicates, parsed))
        return base._then(("where", parsed.sql, self._provenance(parsed.columns)), query=query)

    def of_kind(self, kind: str) -> StoreView:
        """Rows of one kind of item. UnknownNameError where the store holds none of that kind."""
        kinds = self.layout.snapshot.kinds()
        if kind not in kinds:
            raise UnknownNameError("kind of item in this store", kind, kinds)
        return self.parts([p.part_id for p in self.query.parts if p.kind == kind])

    def parts(self, part_ids: Sequence[str]) -> StoreView:
        """Rows that lie in these item parts. UnknownNameError for a part that is not live."""
        wanted = set(part_ids)
        if unknown := wanted - {p.part_id for p in self.layout.snapshot.items}:
            raise UnknownNameError("item part", min(unknown), (p.part_id for p in self.layout.snapshot.items))
        base = self._settled()
        kept = tuple(p for p in base.query.parts if p.part_id in wanted)
        step = ("parts", [i for p in kept for i in p.originals])
        return base._then(step, query=replace(base.query, parts=kept))

    def within(self, selection: str, inside: bool = True) -> StoreView:
        """Rows that a stored selection holds, or, with `inside=False`, those it does not; in import order."""
        info = self.layout.snapshot.selections.get(selection)
        if info is None:
            raise UnknownNameError("selection", selection, self.layout.snapshot.selections)
        files = self.layout.snapshot.selection_parts.get(info.digest, ())
        snapshot, engine_ = self.layout.snapshot, self.query.engine
        lazy = rows.LazyRows(lambda: rows.listed(engine_, snapshot, files, inside))
        return self._settled()._then(("within", info.digest, inside), lazy)

    def at(self, seqs: npt.NDArray[np.int64]) -> StoreView:
        """The rows with these sequence numbers (each once), in import order.

        Raises InputError where one of them is not a live item of this view.
        """
        seqs, base = np.asarray(seqs, np.int64), self._settled()
        parts = rows.around(base.query.parts, seqs)
        chosen = RowSet.of_seqs(parts, seqs)
        known = (chosen if base._rowset is None else chosen & base._rowset).inside(parts)
        if len(known) < len(chosen) or not chosen.spans(seqs):
            missing = np.setdiff1d(distinct(seqs), known.seqs(), assume_unique=True)
            raise InputError(
                f"no such item in this view: seq {int(missing[0])} and {len(missing) - 1} more. It was removed, left "
                "out by a filter, or never there; `view.seqs()` lists those that are"
            )
        query = replace(base.query, parts=tuple(filter(chosen.touches, parts)), predicates=())
        return replace(
            base,
            query=query,
            sets=(rows.LazyRows(lambda: chosen),),
            steps=(*base.steps, ("at", chosen.hexdigest())),
        )

    def distinct(self, columns: str | Sequence[str], prefer: str | None = None) -> StoreView:
        """One row for each different value of `columns`; a null equals a null, as in SQL's DISTINCT.

        Of equal rows the one with the lowest id stays; with `prefer`, the one best in that column ("clip_score", or
        "width desc": the highest; "seconds asc": the lowest; nulls and NaN last), ties by the lowest id.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        base = self._settled()
        read = [*names, *([prefer.split()[0]] if prefer and prefer.split() else [])]
        outputs.check_scalars(self.layout, read)
        lazy = rows.LazyRows(lambda: survivors(base._lean(), names, prefer))
        step = ("distinct", names, prefer, self._provenance(frozenset(read)))
        return base._then(step, lazy, query=replace(base.query, predicates=()))

    def limit(self, n: int) -> StoreView:
        """The first `n` rows; all of them where there are fewer."""
        if n < 0:
            raise InputError(f"a limit of {counted(n, 'row')}: give 0 or more")
        base = self._settled()
        return base._then(("limit", n), query=replace(base.query, limit=n))

    # --- what it is --------------------------------------------------------------------------------------------

    @property
    def columns(self) -> list[str]:
        """Names of the columns: id, the kinds' columns, the user's own, then what scorers gave."""
        return list(self.layout.visible.names)

    @property
    def schema(self) -> pa.Schema:
        """Arrow fields of `columns`; what a scorer gave carries its role (`contracts.role_of`)."""
        return self.layout.visible

    @property
    def snapshot(self) -> Snapshot:
        """The version of the store that the view reads."""
        return self.layout.snapshot

    def kinds(self) -> tuple[str, ...]:
        """Kinds of item that the view's parts hold, in order of first appearance."""
        return tuple(dict.fromkeys(p.kind for p in self.query.parts if p.kind))

    @cached_property
    def digest(self) -> str:
        """Identity of the set of rows and of how it was chosen, without reading any.

        It changes with the live items, with the steps that led here, and with the scores that those steps read;
        not with columns that no step reads.
        """
        return digest("view", self.layout.snapshot.digest, self.steps)

    def __len__(self) -> int:
        known = self._rowset
        return sum(p.rows for p in self.query.parts) if known is None else len(known)

    def seqs(self) -> npt.NDArray[np.int64]:
        """Sequence number of each row (n,), ascending; do not write to it."""
        return self._seqs

    def seqs_at(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sequence numbers of the rows at these positions (0 = first), in the order asked for; do not write to them.

        Raises InputError for positions that the view does not have.
        """
        positions = np.asarray(positions, np.int64)
        low, high = extent(positions) if len(positions) else (0, -1)
        if low < 0 or high >= len(self):
            raise InputError(f"rows {low} to {high}: the view has {len(self)}, counted from 0")
        found = Spool(np.int64, self.scratch, MANY)
        if "_seqs" in self.__dict__ or self._rowset is not None:
            for block in blocks(positions):
                found.append(self._seqs[block])
            return found.array()
        # All rows of its parts are in the view: no list of them need be made.
        starts = np.cumsum([0, *(p.rows for p in self.query.parts)])
        shift = np.array([p.seq_lo for p in self.query.parts], np.int64) - starts[:-1]
        if not shift.any():
            return positions
        for block in blocks(positions):
            found.append(block + shift[np.searchsorted(starts, block, side="right") - 1])
        return found.array()

    def ids(self) -> pa.ChunkedArray:
        """Id of each row."""
        return self.to_arrow(["id"]).column(0)

    # --- reading -------------------------------------------------------------------------------------------------

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows with these columns (None = all visible ones), in the order asked for.

        A name may be a role (`text`, `image`, ...): it is computed for each item by its kind. Addresses of media
        are absolute. Raises UnknownNameError.
        """
        names = outputs.named(self.layout, columns)
        scalars = [n for n in names if not self.layout.is_vector(n)]
        return outputs.finish(self.home, self.layout, self._lean().table(scalars), names)

    def batches(self, columns: Sequence[str] | None = None, rows: int = 65536) -> Iterator[pa.RecordBatch]:
        """The same in batches of exactly `rows` (the last may be shorter), reading a few at a time only."""
        if rows < 1:
            raise InputError(f"batches of {counted(rows, 'row')}: give 1 or more")
        names = outputs.named(self.layout, columns)
        scalars = [n for n in names if not self.layout.is_vector(n)]
        return outputs.rebatch(
            self._finished(scalars, names, rows), outputs.schema_of(self.layout, names), rows
        )

    def take(self, positions: npt.NDArray[np.int64], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows at these positions (0 = first), in the order asked for, repeats included."""
        seqs = self.seqs_at(positions)
        unique = distinct(seqs)
        back = np.searchsorted(unique, seqs)
        holders = rows.holding(self.query.parts, unique)
        chosen = RowSet.of_seqs(holders, unique)
        query = replace(self.query, parts=holders, predicates=(), limit=None)
        found = replace(self, query=query, sets=(rows.LazyRows(lambda: chosen),)).to_arrow(columns)
        return found.take(int64_array(back))

    def compute(self, expression: str | Expression) -> pa.ChunkedArray:
        """The value of an expression for each row, such as `2 * clip_score + sharpness`."""
        parsed = expression if isinstance(expression, Expression) else Expression(expression)
        parsed.type_in(self._schema_of(parsed))
        return outputs.computed(self._lean(), parsed)

    def vectors(self, column: str) -> PartVectors:
        """A vector column, memory-mapped: `.shape`, `.chunks()`, `.take(rows)`, `.to_numpy()`.

        Raises SchemaError where the column holds no vectors, or where items of this view have not been scored yet.
        """
        return outputs.vectors(self.query, self._rowset, column)

    def sql(self, query: str, columns: Sequence[str]) -> pa.Table:
        """Run a DuckDB SELECT over the relation `view`, which has `columns` and `_row` (int64, position from 0).

        It sees this relation and nothing else; InputError for any other statement.
        """
        with outputs.sql(self._lean(), query, outputs.named(self.layout, columns)) as result:
            return result.to_arrow_table()

    def sql_batches(self, query: str, columns: Sequence[str], rows: int = 65536) -> Iterator[pa.RecordBatch]:
        """The same in batches of about `rows`, for results that are better not held whole."""
        with outputs.sql(self._lean(), query, outputs.named(self.layout, columns)) as result:
            yield from result.to_arrow_reader(rows)

    @property
    def scratch(self) -> Path:
        """Where the store has room for what is set aside (`contracts.View`)."""
        return self.home.path / "tmp"

    # --- work by pieces ------------------------------------------------------------------------------------------

    def worked_by(self, crew: Crew, place: str | None = None) -> StoreView:
        """The same rows; `crew` does what is asked of them by pieces, and finds the store at `place` (default: its folder)."""
        return replace(self, crew=crew, place=place)

    def spread(self, function: Callable[[View, int], R], rows: int | None = None) -> Iterator[R]:
        """`function(piece, first)` of every piece, lazily, in row order (`contracts.View`)."""
        return spread(self.crew, function, cutting.cut(self, self._rowset, rows))

    def share(self, function: Callable[[View, T], R], tasks: Iterable[T]) -> Iterator[R]:
        """`function(view, task)` of every task, lazily, in their order (`contracts.View`)."""
        return share(self.crew, function, cutting.settled(self, self._rowset, self.query.parts), tasks)

    def resident(
        self, make: Callable[[View, int], Any], rows: int | None = None
    ) -> AbstractContextManager[Held]:
        """What `make(piece, first)` makes of every piece, kept while the block lasts (`contracts.View`)."""
        return self.crew.hold(make, cutting.cut(self, self._rowset, rows))

    def to_polars(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """A Polars frame."""
        import polars

        return cast("pl.DataFrame", polars.from_arrow(self.to_arrow(columns)))

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A pandas frame; needs the extra `pandas`."""
        require("pandas", "pandas")
        return cast("pd.DataFrame", self.to_arrow(columns).to_pandas())

    def to_hf(self, columns: Sequence[str] | None = None) -> datasets.Dataset:
        """A Hugging Face dataset; needs the extra `hf`. Hashes, which it has no type for, become plain bytes."""
        hf: Any = require("datasets", "hf")
        return cast("datasets.Dataset", hf.Dataset(outputs.without_fixed_binary(self.to_arrow(columns))))

    def __repr__(self) -> str:
        return f"StoreView({counted(len(self), 'item')}, {counted(len(self.columns), 'column')}, version {self.snapshot.version})"

    def _repr_html_(self) -> str:
        return registry.draw("view", self)

    # --- inside ----------------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        """A view can be sent to whoever finds the store: it is opened anew there."""
        return cutting.sent(self, self._rowset)

    def _then(
        self, step: tuple[Any, ...], lazy: rows.LazyRows | None = None, query: Query | None = None
    ) -> StoreView:
        sets = self.sets if lazy is None else (*self.sets, lazy)
        return replace(self, query=query or self.query, sets=sets, steps=(*self.steps, step))

    def _settled(self) -> StoreView:
        """This view such that more conditions can be added: after a limit its rows must be known first."""
        if self.query.limit is None:
            return self
        return replace(
            self, query=replace(self.query, limit=None, predicates=()), sets=(rows.LazyRows(self._known),)
        )

    @cached_property
    def _given(self) -> RowSet | None:
        """Rows that the sets leave, of the parts that are asked for; None = all."""
        if not self.sets:
            return None
        chosen, *others = (lazy.rows.among(self.query.parts) for lazy in self.sets)
        for other in others:
            chosen = chosen & other
        return chosen.inside(self.query.parts)

    @cached_property
    def _rowset(self) -> RowSet | None:
        """Rows of the view, conditions included; None = all rows of its parts. Found by one scan, then kept."""
        if not self.query.predicates and self.query.limit is None:
            return self._given
        chosen = RowSet.spanning(self.query.parts, full=False)
        for batch in replace(self.query, rows=self._given).stream([], 1 << 17):
            chosen.mark(int64_values(batch.column(0)))
        return chosen

    def _known(self) -> RowSet:
        known = self._rowset
        return RowSet.spanning(self.query.parts, full=True) if known is None else known

    @cached_property
    def _seqs(self) -> npt.NDArray[np.int64]:
        out = self._known().seqs()
        out.flags.writeable = False
        return out

    def _lean(self) -> Query:
        """The cheapest query for the view's rows: conditions are not evaluated again once their rows are known."""
        if "_rowset" in self.__dict__:
            return replace(self.query, rows=self._rowset, predicates=(), limit=None)
        return replace(self.query, rows=self._given)

    def _finished(self, scalars: Sequence[str], names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        for batch in self._lean().stream(scalars, max(rows, 2048)):
            table = outputs.finish(self.home, self.layout, pa.Table.from_batches([batch]), names)
            yield from table.combine_chunks().to_batches()

    def _schema_of(self, expression: Expression) -> pa.Schema:
        """The fields an expression reads, for checking it; unknown names stay unknown."""
        roles = [self.layout.field(r) for r in self.layout.roles if r in expression.columns]
        return pa.schema([*self.layout.schema, *roles])

    def _provenance(self, columns: frozenset[str]) -> list[Any]:
        """What the values of these columns depend on, beyond the items: column sets and the parts that are live."""
        found = {h.digest: h for c in columns if (h := self.layout.homes.get(c)) is not None}
        files = {d: [f for p in self.query.parts for f in self.layout.given(h, p)] for d, h in found.items()}
        return [[key, sorted(i for f in given for i in f.originals)] for key, given in sorted(files.items())]
