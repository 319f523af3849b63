"""The recipe language as pydantic models: one class per verb, one verb per step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from curate.errors import InputError

NAME = r"^[a-z][a-z0-9_\-]*$"
"""Names a user gives to columns and selections: safe in SQL, in file names and on the command line."""


class Step(BaseModel):
    """What every step has: a verb, and nothing that nobody asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    verb: ClassVar[str]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """The step of these fields, as a caller gives them. Raises InputError for the first that cannot be."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InputError(f"{cls.verb}: {first_problem(error)}") from None

    @property
    def title(self) -> str:
        """The step in one line, as a reader of the report would say it."""
        return f"{self.verb} {getattr(self, self.verb if self.verb != 'import' else 'source')}"

    def plain(self) -> dict[str, Any]:
        """The step as it would be written in YAML, defaults left out."""
        return self.model_dump(by_alias=True, exclude_defaults=True, mode="json")


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong: where, what is meant, and what was given."""
    return problems(error)[0]


def problems(error: ValidationError) -> list[str]:
    """What is wrong with each key: where, what is meant, and what was given."""
    told: dict[str, str] = {}
    for one in error.errors():  # where several types would do, there is one for each
        told.setdefault(str(one["loc"][:1]), _problem(one))
    return list(told.values())


def _problem(one: Any) -> str:
    where = ".".join(str(part) for part in one["loc"])
    if one["type"] == "missing":
        return f"the key {where!r} is missing"
    if one["type"] == "string_pattern_mismatch":  # all that have a pattern are names
        told = "starts with a small letter and holds small letters, digits, '_' and '-'"
        return f"{where!r}: a name {told}, got {one['input']!r}"
    return f"{where!r}: {one['msg']}, got {one['input']!r}"


def plain_number(value: Any) -> Any:
    """NumPy's numbers as Python's, of which a budget tells counts from fractions."""
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(
            "a count, a fraction or a percentage is meant"
        )  # and not 1, as pydantic would have it
    return value.item() if isinstance(value, np.generic) else value


Amount = Annotated[int | float | str, BeforeValidator(plain_number)]
"""A budget: a count, a fraction or a percentage."""


def names_joined(value: Any) -> Any:
    """Several names of columns as one text, as `formats.sets` reads it."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


Theirs = Annotated[str, BeforeValidator(names_joined)]
"""The name of a column of a source, or several."""


class ImportStep(Step):
    """Read items from files, a folder, tars or a saved dataset into the store."""

    verb: ClassVar[str] = "import"
    source: str = Field(alias="import", description="a path, a glob, a folder or a URL")
    kind: str = Field(description="image-text, speech, label, instruction or preference")
    format: str | None = Field(None, description="only where the file name does not tell")
    columns: dict[str, Theirs] = Field(default_factory=dict, description="our column: their column")
    id: str | None = Field(None, description="their column that identifies a row")
    texts: str | None = Field(None, description="a metadata table, or the suffix of sidecar texts (.txt)")
    on_conflict: Literal["skip", "update", "error"] = "skip"
    check: Literal["decode", "header", "none"] = "decode"
    hosts: tuple[str, ...] = Field((), description="hosts that media may be fetched from")
    part_rows: int = Field(
        8192, ge=1, le=1_000_000, description="rows in a part: the unit of work and of resume"
    )


class AttachStep(Step):
    """Join vectors from a file (predicted probabilities, embeddings) to items by id."""

    verb: ClassVar[str] = "attach"
    attach: str = Field(description=".npy, .npz, Parquet or Arrow file")
    name: str = Field(alias="as", pattern=NAME, description="the column to make")
    ids: str | None = Field(None, description="a file of ids, row by row, or 'rows' for the order of import")
    key: str | None = Field(None, description="the array's name in an .npz, or the column in a table")


class ScoreStep(Step):
    """Give every item of the current set a score."""

    verb: ClassVar[str] = "score"
    score: str = Field(description="a registered scorer")
    params: dict[str, Any] = Field(default_factory=dict, alias="with")
    name: str | None = Field(None, alias="as", pattern=NAME, description="another name for its columns")
    where: str | None = Field(None, description="only items for which this holds")
    all: bool = Field(False, description="all items, not only those kept so far")


class KeepStep(Step):
    """Go on with the items for which an expression over columns holds."""

    verb: ClassVar[str] = "keep"
    keep: str = Field(description="a DuckDB predicate over columns")
    name: str | None = Field(None, alias="as", pattern=NAME)


class SelectStep(Step):
    """Choose items by a selector; the selection gets a name, the current set stays as it is."""

    verb: ClassVar[str] = "select"
    select: str = Field(description="a registered selector")
    budget: Amount | None = Field(None, description="a count, a fraction or '10%'")
    params: dict[str, Any] = Field(default_factory=dict, alias="with")
    name: str | None = Field(None, alias="as", pattern=NAME)
    where: str | None = None
    after: str | None = Field(
        None,
        description="a selection to continue: its items come first, in its order, and count in the budget",
    )


class AnalyseStep(Step):
    """Say something about the current set as a whole; the report shows what was found."""

    verb: ClassVar[str] = "analyse"
    analyse: str = Field(description="a registered analysis")
    params: dict[str, Any] = Field(default_factory=dict, alias="with")
    where: str | None = Field(None, description="only items for which this holds")


class CompareStep(Step):
    """Train the same small model on what several selectors choose, random beside; the report shows the curves."""

    verb: ClassVar[str] = "compare"
    compare: tuple[str, ...] | dict[str, dict[str, Any]] = Field(
        description="selectors; or names, each with its parameters and, under `select`, its selector"
    )
    budgets: tuple[Amount, ...] = ("1%", "5%", "10%", "30%")
    embedding: str = Field("pixel_embedding", description="the vectors that the model sees")
    label: str = Field("label", description="what it learns")
    test: str | None = Field(None, description="items that measure; default: a quarter, others for each seed")
    model: Literal["logistic-regression", "mlp"] = "logistic-regression"
    seeds: int = Field(5, ge=2)
    where: str | None = None

    @property
    def title(self) -> str:
        """The step in one line."""
        return f"compare {', '.join(self.compare)}"


class AnnotateStep(Step):
    """Send items to people."""

    verb: ClassVar[str] = "annotate"
    annotate: str = Field(description="a registered annotator")
    when: str | None = None
    selection: str | None = None
    params: dict[str, Any] = Field(default_factory=dict, alias="with")


class ExportStep(Step):
    """Write the current set, or a selection, as a data set of its own."""

    verb: ClassVar[str] = "export"
    export: str = Field(description="the folder to make")
    format: Literal["parquet", "jsonl", "csv", "datasets", "webdataset"] = "parquet"
    selection: str | None = None
    columns: tuple[str, ...] = ()
    media: Literal["reference", "copy", "embed"] | None = Field(
        None, description="default: embed in webdataset"
    )
    chat: bool = Field(False, description="conversations in place of texts, as trainers read them")
    overwrite: bool = False


class ReportStep(Step):
    """Write the HTML report of the run."""

    verb: ClassVar[str] = "report"
    report: str = Field(description="the HTML file to make")
    selection: str | None = None
    heading: str | None = Field(None, alias="title")
    map_of: str | None = Field(None, description="the column of vectors that its map of items shows")
    map_by: Literal["pca", "t-sne"] = "pca"


STEPS: dict[str, type[Step]] = {
    cls.verb: cls
    for cls in (
        ImportStep,
        AttachStep,
        ScoreStep,
        KeepStep,
        SelectStep,
        AnalyseStep,
        CompareStep,
        AnnotateStep,
        ExportStep,
        ReportStep,
    )
}


class Recipe(BaseModel):
    """A store and the steps to run on it, in order. Relative paths are relative to the recipe's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    store: str
    steps: tuple[Step, ...]
    seed: int = Field(0, ge=0)
    name: str | None = None

    @field_validator("steps", mode="before")
    @classmethod
    def _keep_models(cls, value: Any) -> Any:
        return tuple(value)

    def plain(self) -> dict[str, Any]:
        """The recipe as plain values, defaults left out: what is recorded with the run."""
        head = self.model_dump(exclude={"steps"}, exclude_defaults=True, mode="json")
        return {**head, "steps": [step.plain() for step in self.steps]}
