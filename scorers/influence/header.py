"""What a folder of gradients says about itself, and why two may not be mixed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from curate.contracts import digest
from curate.counting import counted
from curate.errors import InputError, StoreFormatError
from curate.scorers.influence.precision import Precision, code_shape
from curate.scorers.influence.projection import Projection

__all__ = ["FORMAT", "VERSION", "GradientKind", "Header"]

FORMAT, VERSION = "curate-gradients", 1
GradientKind = Literal["sgd", "adam"]


@dataclass(frozen=True)
class Header:
    """The configuration of a gradient store: everything that must be equal for its rows to be comparable.

    `rows` items; `dim` numbers for each and every checkpoint; `checkpoints` a digest of each one's parameters, in order;
    `parameters` how many coordinates were projected, or kept if `projection` is None; `model` a digest of their names and
    shapes; `dataset` a digest of the items; `kind` "sgd" (plain gradients) or "adam" (preconditioned by each checkpoint's
    moments); `normalised` whether every row has length 1 at every checkpoint; `rates` the mean learning rate at each
    checkpoint, (T,), for those that weigh by it.
    """

    rows: int
    dim: int
    checkpoints: tuple[str, ...]
    parameters: int
    model: str = ""
    dataset: str = ""
    projection: Projection | None = None
    kind: GradientKind = "sgd"
    precision: Precision = "fp16"
    normalised: bool = True
    rates: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.rows < 1 or self.dim < 1 or not self.checkpoints:
            raise InputError(
                f"a gradient store of {counted(self.rows, 'row')}, {counted(self.dim, 'dimension')} and "
                f"{counted(len(self.checkpoints), 'checkpoint')}: at least one of each is needed"
            )
        if self.projection is not None and self.projection.dim != self.dim:
            raise InputError(
                f"a projection to {counted(self.projection.dim, 'dimension')}, and a store of {self.dim}"
            )
        if self.rates and len(self.rates) != len(self.checkpoints):
            raise InputError(
                f"{counted(len(self.rates), 'learning rate')} for {counted(len(self.checkpoints), 'checkpoint')}"
            )
        if self.kind not in ("sgd", "adam"):
            raise InputError(f"kind {self.kind!r}: 'sgd' or 'adam'")
        code_shape(self.dim, self.precision)

    @property
    def digest(self) -> str:
        """Identity of this configuration."""
        return digest(FORMAT, VERSION, asdict(self))

    def dump(self) -> str:
        """The header as JSON."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def load(cls, text: str, where: str) -> Header:
        """The header of the file `where`. Raises StoreFormatError for anything else, or another version."""
        try:
            values: dict[str, Any] = json.loads(text)
            if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
                raise StoreFormatError(f"{where} is no header of gradients: its format is not {FORMAT!r}")
            version = values.pop("version", None)
            if version != VERSION:
                raise StoreFormatError(f"{where} is of version {version}, this is made for {VERSION}")
            values["projection"] = values["projection"] and Projection(**values["projection"])
            for name in ("checkpoints", "rates"):
                values[name] = tuple(values[name])
            return cls(**values)
        except StoreFormatError:
            raise
        except (ValueError, TypeError, KeyError) as error:
            raise StoreFormatError(f"{where} cannot be read: {error}. Is it cut off?") from error

    def check_same(self, wanted: Header, where: str) -> None:
        """Raise InputError unless gradients of the configuration `wanted` belong into this store."""
        mine, theirs = asdict(self), asdict(wanted)
        differing = [f.name for f in fields(self) if mine[f.name] != theirs[f.name]]
        if differing:
            told = "; ".join(_told(name, mine, theirs) for name in differing)
            raise InputError(
                f"{where} holds other gradients: {told}. Go on with what it was made from, or give another folder"
            )


def _told(name: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    what = {
        "model": "it was made from a model with other parameters (names, shapes)",
        "checkpoints": "it was made from other checkpoints",
        "dataset": "it was made from other items",
    }.get(name, name)
    return f"{what}: {mine[name]!r}, now {theirs[name]!r}"
