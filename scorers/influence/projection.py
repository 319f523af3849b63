"""Random projections of gradients that keep their inner products: CountSketch and Rademacher, drawn as they are used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.influence.kernels import LANES, compiled, draw_signs, sketch

__all__ = ["Kind", "Projection", "Running", "project"]

Kind = Literal["count-sketch", "rademacher"]
Floats = npt.NDArray[np.float32]
_TILE = 1024
"""Coordinates whose signs are drawn at a time: 1,024 x 8,192 float32 are 32 MB."""


@dataclass(frozen=True)
class Projection:
    """A random linear map from any number of coordinates to `dim`, the same for every checkpoint of one `seed`.

    The inner product of two projected gradients is, on average over seeds, that of the gradients; its standard
    deviation is about |x| |y| / sqrt(dim).
    `kind` "count-sketch": every coordinate is added, with a random sign, to one of `dim` sums; one pass over the gradients,
    whatever `dim` is. "rademacher": a matrix of +-1 / sqrt(dim), drawn tile by tile; `dim` times the work, the same error
    (`dim` a multiple of 64). Neither is ever held as a matrix. Sums are float32, in the order of coordinates.

    Sources: Charikar, Chen and Farach-Colton, "Finding Frequent Items in Data Streams", 2002; Weinberger et al., "Feature
    Hashing for Large Scale Multitask Learning", 2009; Achlioptas, "Database-friendly Random Projections", 2003.
    """

    dim: int = 8192
    seed: int = 0
    kind: Kind = "count-sketch"

    def __post_init__(self) -> None:
        if self.kind not in ("count-sketch", "rademacher"):
            raise InputError(f"projection {self.kind!r}: 'count-sketch' or 'rademacher'")
        if not 1 <= self.dim < 1 << 31:
            raise InputError(f"a projection to {counted(self.dim, 'dimension')}: 1 to 2,147,483,647")
        if self.kind == "rademacher" and self.dim % 64:
            raise InputError(
                f"a Rademacher projection to {counted(self.dim, 'dimension')}: a multiple of 64 is meant"
            )

    @property
    def key(self) -> int:
        """64 random bits from the seed, added to the number of each coordinate before it is hashed."""
        sequence = np.random.SeedSequence([self.seed, 0x6772])
        return int(sequence.generate_state(1, np.uint64)[0])

    def start(self, rows: int) -> Running:
        """Begin to project `rows` gradients whose coordinates come block by block."""
        return Running(self, rows)


@dataclass(eq=False)
class Running:
    """Gradients on their way: `add` their coordinates in any number of blocks, then `finish`.

    Memory: the sums, and for Rademacher one tile of signs.
    """

    projection: Projection
    rows: int
    sums: Any = field(init=False, default=None)

    def add(self, block: Any, offset: int) -> None:
        """Take in the coordinates `offset` ... `offset + w`.

        `block` (rows, w) of a float dtype: a NumPy array, or a torch tensor, which is projected where it lies.
        """
        if block.ndim != 2 or block.shape[0] != self.rows:
            raise InputError(f"a block of shape {tuple(block.shape)}: ({self.rows}, coordinates) is meant")
        if isinstance(block, np.ndarray):
            self._add_array(block, offset)
        elif block.device.type == "cpu":
            self._add_array(block.detach().float().numpy(), offset)
        else:
            self._add_tensor(block.detach().float(), offset)

    def finish(self) -> Floats:
        """The projected gradients, (rows, dim) float32."""
        if self.sums is None:
            return np.zeros((self.rows, self.projection.dim), np.float32)
        if not isinstance(self.sums, np.ndarray):
            return np.asarray(self.sums.cpu().numpy(), np.float32)
        if self.projection.kind == "rademacher":
            return self.sums
        turned = self.sums.transpose(0, 2, 1).reshape(-1, self.projection.dim)
        return np.ascontiguousarray(turned[: self.rows])

    def _add_array(self, block: npt.NDArray[Any], offset: int) -> None:
        block = np.asarray(block, np.float32)
        plan = self.projection
        key = np.uint64(plan.key)
        if plan.kind == "count-sketch":
            if self.sums is None:
                self.sums = np.zeros((-(-self.rows // LANES), plan.dim, LANES), np.float32)
            compiled(sketch)(block, offset, key, self.sums)
            return
        if self.sums is None:
            self.sums = np.zeros((self.rows, plan.dim), np.float32)
        signs = np.empty((min(_TILE, block.shape[1]), plan.dim), np.float32)
        for low in range(0, block.shape[1], _TILE):
            piece = block[:, low : low + _TILE]
            tile = signs[: piece.shape[1]]
            compiled(draw_signs)(offset + low, key, tile)
            self.sums += (piece * np.float32(plan.dim**-0.5)) @ tile

    def _add_tensor(self, block: Any, offset: int) -> None:
        from curate.scorers.influence.tensors import add_tensor

        torch: Any = require("torch", "train")
        if self.sums is None:
            self.sums = torch.zeros(self.rows, self.projection.dim, device=block.device)
        add_tensor(self.projection, block, offset, self.sums)


def project(
    gradients: Any, dim: int = 8192, *, seed: int = 0, kind: Kind = "count-sketch", offset: int = 0
) -> Floats:
    """Gradients (n, p) projected to (n, dim) float32, such that inner products stay what they were, nearly.

    `gradients` a NumPy array, what becomes one, or a torch tensor, of any float dtype; `offset` numbers the first coordinate, for gradients of
    which only a part is given. See `Projection`. Raises InputError for a `dim` or `kind` that is not to be had.
    """
    gradients = gradients if hasattr(gradients, "detach") else as_numbers(gradients, "gradients")
    if gradients.ndim != 2:
        raise InputError(f"gradients of shape {tuple(gradients.shape)}: (items, parameters) is meant")
    running = Projection(dim, seed, kind).start(gradients.shape[0])
    running.add(gradients, offset)
    return running.finish()
