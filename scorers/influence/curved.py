"""`datainf` and `trak`: influence that knows the curvature, from a column of gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curate.errors import InputError
from curate.scorers.influence.curvature import datainf, trak
from curate.scorers.influence.matching import Influence
from curate.scorers.influence.targeted import Aim, Targeted, groups_of

__all__ = ["DataInf", "Trak"]


@dataclass(frozen=True)
class DataInf(Targeted):
    """Scores items by their effect on the target's loss through a closed form of the inverse Hessian (DataInf); higher = keep.

    `damping` times the mean squared gradient entry is added to the curvature: high = closer to TracIn. The gradients must not be
    normalised. `gradients`, `target`, `tasks`, `checkpoints` as in `targeted.Targeted`. Beside it `datainf_task`, the sub-task it helps
    most.
    """

    damping: float = 0.1

    name: ClassVar[str] = "datainf"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise InputError(f"datainf: damping {self.damping}: above 0 is meant")

    def influence(self, aim: Aim) -> Influence:
        """See `curvature.datainf`."""
        return datainf(
            aim.train,
            aim.target,
            checkpoints=self.checkpoints,
            damping=self.damping,
            groups=groups_of(aim),
        )


@dataclass(frozen=True)
class Trak(Targeted):
    """Scores items by a linear model of the projected gradients (TRAK), averaged over checkpoints; higher = keep.

    `damping` is the ridge as a share of the mean eigenvalue. Checkpoints should be of models trained apart. The gradients must not be
    normalised. `gradients`, `target`, `tasks`, `checkpoints` as in `targeted.Targeted`. Beside it `trak_task`, the sub-task it helps most.
    """

    damping: float = 0.01

    name: ClassVar[str] = "trak"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise InputError(f"trak: damping {self.damping}: above 0 is meant")

    def influence(self, aim: Aim) -> Influence:
        """See `curvature.trak`."""
        return trak(
            aim.train,
            aim.target,
            checkpoints=self.checkpoints,
            damping=self.damping,
            groups=groups_of(aim),
        )
