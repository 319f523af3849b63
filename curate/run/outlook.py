"""What each step of a recipe will find: the columns, kinds and selections of the store, and what the steps before it give."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import registry
from curate.contracts import FittingScorer, reason_name, role_of
from curate.errors import CurateError, SchemaError, UnknownNameError
from curate.formats.locate import absolute
from curate.formats.mapping import media_facts
from curate.formats.source import check_source, columns_ahead
from curate.kinds import ROLES
from curate.kinds import kind as kind_of
from curate.recipe.model import AttachStep, ExportStep, ImportStep, ScoreStep
from curate.run.components import giver_of, has, made_for, refuse, settle
from curate.run.context import located
from curate.run.importer import check_given
from curate.run.steps.attaching import check_attached, check_free
from curate.run.steps.exporting import item_kinds
from curate.run.steps.scoring import bind
from curate.store import ColumnSet, Expression, PartStore

__all__ = ["Outlook"]

OWN = ("_source", "_index", "_hash")
"""What an import notes of every row."""


class Outlook:
    """Columns, kinds and selections as a step will find them; each step that is looked at adds what it gives.

    `fields` has every column, None where no more is known than its name. Where not `complete` there may be others, and
    none is refused. `rows` are the items that there are, None where an import may add to them; `narrowed`, whether a step
    keeps some of them. `exports` are those that steps write, by their places. `faults` is what was found wrong so far.
    Sources are looked at only with `look`, or where an import comes after work that may take hours; of others that is known
    which any source of its kind has. `elsewhere`: single items are scored on other machines, whose packages and files are
    not ours.
    """

    def __init__(self, store: PartStore, base: Path, *, look: bool, elsewhere: bool = False) -> None:
        view = store.view()
        self.base = base
        self.dataset = store.uuid
        self.column_home: dict[str, ColumnSet | None] = dict(view.snapshot.column_home)
        self.fields: dict[str, pa.Field | None] = {
            f.name: None if pa.types.is_null(f.type) else f for f in view.layout.schema
        }
        self.selections = set(view.snapshot.selections)
        self.rows: int | None = view.snapshot.rows
        self.complete = True
        self.narrowed = False
        self.exports: dict[str, ExportStep] = {}
        self._view = view
        self._kinds = dict.fromkeys(view.kinds())
        self._brought: list[str] = []
        self._chosen: set[str] = set()
        self._written: list[str] = []
        self.faults: list[CurateError] = []
        self._look, self._elsewhere = look, elsewhere
        self._made = {made.digest for made in view.snapshot.sets.values()}

    @property
    def columns(self) -> list[str]:
        """The columns that a person sees."""
        return [name for name in self.fields if not name.startswith("_")]

    def kinds(self) -> tuple[str, ...]:
        """Kinds of item, those of the store first."""
        return tuple(self._kinds)

    def exported(self, selection: str | None) -> list[str]:
        """The kinds of the items in a selection, or in the current set; none where only running tells."""
        if selection is None and not self.narrowed:
            return list(dict.fromkeys([*item_kinds(self._view), *self._brought]))
        stored = selection in self._view.snapshot.selections and selection not in self._chosen
        return item_kinds(self._view.within(selection)) if selection and stored else []

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Inside, what is wrong is noted, and what comes after the block is looked at all the same."""
        try:
            yield
        except CurateError as error:
            self._note(error)

    def _note(self, error: CurateError) -> None:
        # It is told, not traced: what raised it would hold the frames that hold it, for good where pydantic's errors do.
        error.__cause__ = error.__context__ = None
        self.faults.append(error.with_traceback(None))

    # --- What steps ask for -----------------------------------------------------------------------------------------

    def field(self, name: str) -> pa.Field | None:
        """The field of a column or role; None where it is not known. UnknownNameError where there will be none."""
        readable = self._readable()
        if not self.complete:
            return None
        if name not in readable:
            raise UnknownNameError("column", name, [n for n in readable if not n.startswith("_")])
        return readable.get(name)

    def check(self, text: str, *, condition: bool = True) -> None:
        """What `Expression.check` finds wrong, or where it need not be a condition `Expression.type_in`, as far as the
        columns are known."""
        expression, readable = Expression(text), self._readable()
        missing = expression.columns - set(readable)
        untold = not missing and any(readable[name] is None for name in expression.columns)
        if untold or not self.complete:
            return
        schema = pa.schema([field or pa.field(name, pa.null()) for name, field in readable.items()])
        if condition:
            expression.check(schema)
        else:
            expression.type_in(schema)

    def check_where(self, text: str | None) -> None:
        """Note what is wrong with a condition, where there is one."""
        with self.noting():
            if text:
                self.check(text)

    def vectors(self, name: str) -> None:
        """Raises UnknownNameError where there will be no such column, SchemaError where it surely holds no lists."""
        field = self.field(name)
        if field is not None and not _is_list(field.type):
            known = [n for n, f in self.fields.items() if f is not None and role_of(f) == "vector"]
            raise SchemaError(
                f"{name!r} holds {field.type}, not vectors. Columns with vectors: {', '.join(known) or 'none'}"
            )

    def component(self, group: str, name: str, params: Mapping[str, Any]) -> Any:
        """A configured component whose needs will be met, by their own scorers if need be (`components.supply`)."""
        component, self._look = registry.build(group, name, params), True
        try:
            component = settle(component, self)
        except CurateError:
            if self.complete:
                raise
        for need in component.needs if self.complete else ():
            with self.noting():
                self._meet(component, need)
        return component

    def check_ready(self, component: Any) -> None:
        """Note which package, weights or address a component surely lacks where it will work."""
        away = self._elsewhere and hasattr(component, "score") and not isinstance(component, FittingScorer)
        with self.noting():
            if hasattr(component, "ready") and not away:
                component.ready()

    def _meet(self, component: Any, need: str) -> None:
        """Raises what is wrong with what a component needs."""
        if has(self, need):
            return
        giver = giver_of(need)
        if giver is None:
            refuse(component, need, self)
        else:
            before, self.faults = self.faults, []
            self.score(ScoreStep.of({"score": giver}))
            found, self.faults = self.faults, before
            with made_for(component, need):
                for error in found:
                    raise error

    def _readable(self) -> dict[str, pa.Field | None]:
        """What an expression may read: columns, hidden ones too, and the roles that the kinds play."""
        played = [role for role in ROLES if role not in self.fields and has(self, role)]
        return {**self.fields, **{role: pa.field(role, pa.string()) for role in played}}

    # --- What steps give ----------------------------------------------------------------------------------------------

    def score(self, step: ScoreStep) -> None:
        """The columns of a scorer, in place of those that it gave before under that name."""
        self.check_where(step.where)
        try:
            scorer = self.component("scorers", step.score, step.params)
            made = bind(scorer, step.name, self)
        except CurateError as error:
            self._note(error)
            self.complete = False  # nobody knows what was meant to come of it
            return
        if made.digest not in self._made:  # what is there already may be done, and need its model no more
            self.check_ready(scorer)
        self._give(made)

    def bring(self, step: ImportStep) -> None:
        """The columns of an import, and what is found out about its media."""
        self.rows = names = None
        try:
            kind = kind_of(step.kind)
            self._kinds.setdefault(kind.name)
            self._brought.append(kind.name)
            names = self._ahead(step)
        except CurateError as error:
            self._note(error)
        self._look = True  # what comes next comes after work
        if names is None:
            self.complete = False
            return
        with self.noting():
            check_given(names, self.column_home)
        types = {f.name: f for f in kind.fields if f.name not in kind.sets or "label" not in names}
        for name in names:
            self.fields.setdefault(name, pa.field("id", pa.string()) if name == "id" else types.get(name))
            self.column_home.setdefault(name, None)
        for name in (*OWN, *media_facts(kind, names)):  # or not: that depends on what the media are
            self.fields.setdefault(name, None)

    def _ahead(self, step: ImportStep) -> Collection[str] | None:
        """The columns of a source as it is now, only those of its kind where it is not looked at; None where it is written by
        an earlier step, is on another machine, or would take long to read. Raises what the step would."""
        source = located(self.base, step.source)
        if self._made_before(source):
            return None
        if not self._look:
            check_source(source, format=step.format, texts=step.texts)
            return ("id", *kind_of(step.kind).required)
        try:
            return columns_ahead(
                source,
                step.kind,
                format=step.format,
                columns=step.columns or None,
                id=step.id,
                texts=step.texts,
            )
        except OSError:
            return None  # the step will say what is wrong

    def choose(self, name: str) -> None:
        """A selection of this name, made by a step."""
        self.selections.add(name)
        self._chosen.add(name)

    def write(self, path: str) -> None:
        """Something is written to this place: what lies there now need not lie there then."""
        self._written.append(absolute(located(self.base, path)))

    def _made_before(self, path: str) -> bool:
        """Whether a file, or one that a glob means, may be there only once the steps before have run."""
        place = absolute(path.rpartition("::")[2])  # an archive, if it lies in one
        stem = place[: min((place.find(c) for c in "*?[" if c in place), default=len(place))]
        for made in self._written:
            if place == made or place.startswith(f"{made}/") or (stem != place and made.startswith(stem)):
                return True
        return False

    def attach(self, step: AttachStep) -> None:
        """A column of vectors, of what type only the file tells."""
        name = step.name.replace("-", "_")
        with self.noting():
            check_free(name, self)
        with self.noting():
            files = [located(self.base, path) for path in (step.attach, step.ids) if path]
            if not any(map(self._made_before, files)):
                check_attached(step, self.base, self.rows)
        fields = pa.schema([pa.field(name, pa.null()), pa.field(reason_name(name), pa.string())])
        self._give(ColumnSet(name, "", fields.serialize().to_pybytes(), "attach", 1))

    def _give(self, made: ColumnSet) -> None:
        before = [n for n, home in self.column_home.items() if home is not None and home.name == made.name]
        for name in before:
            del self.column_home[name], self.fields[name]
        for field in made.schema():
            self.column_home[field.name] = made
            self.fields[field.name] = None if pa.types.is_null(field.type) else field


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
    )
