"""`less`, `tracin` and `gist`: how well an item's gradient points where the target's do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from curate.counting import counted
from curate.errors import InputError
from curate.scorers.influence.matching import Influence, Mean, less, tracin
from curate.scorers.influence.subspace import gist
from curate.scorers.influence.targeted import Aim, Targeted, groups_of

__all__ = ["Gist", "Less", "TracIn"]


@dataclass(frozen=True)
class Less(Targeted):
    """Scores items by the cosine of their gradients with the target's over checkpoints (LESS); in [-1, 1], higher = keep.

    `rates` the mean learning rate at each checkpoint; none: all alike, which is Grad-Cos. `mean` "cosines" or "gradient", as in
    `matching.less`. `gradients`, `target`, `tasks`, `checkpoints` as in `targeted.Targeted`. Beside it `less_task`, the sub-task it
    helps most.
    """

    rates: tuple[float, ...] = ()
    mean: Mean = "cosines"

    name: ClassVar[str] = "less"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_rates(self.name, self.rates, self.checkpoints)
        if self.mean not in ("cosines", "gradient"):
            raise InputError(f"less: mean {self.mean!r}: 'cosines' or 'gradient'")

    def influence(self, aim: Aim) -> Influence:
        """See `matching.less`."""
        return less(
            aim.train,
            aim.target,
            checkpoints=self.checkpoints,
            rates=self.rates or None,
            groups=groups_of(aim),
            mean=self.mean,
        )


@dataclass(frozen=True)
class TracIn(Targeted):
    """Scores items by how far steps on them lowered the target's loss (TracIn, TracInCP); higher = keep, below 0 it did harm.

    `rates` the learning rate at each checkpoint; none: 1. The gradients must not be normalised. `gradients`, `target`, `tasks`,
    `checkpoints` as in `targeted.Targeted`. Beside it `tracin_task`, the sub-task it helps most.
    """

    rates: tuple[float, ...] = ()

    name: ClassVar[str] = "tracin"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_rates(self.name, self.rates, self.checkpoints)

    def influence(self, aim: Aim) -> Influence:
        """See `matching.tracin`."""
        return tracin(
            aim.train,
            aim.target,
            checkpoints=self.checkpoints,
            rates=self.rates or None,
            groups=groups_of(aim),
        )


@dataclass(frozen=True)
class Gist(Targeted):
    """Scores items by the cosine with the target inside the subspace of its gradients (GIST); in [-1, 1], higher = keep.

    `rank` directions of the subspace at most; `rates` the weight of each checkpoint, none: all alike. `gradients`, `target`, `tasks`,
    `checkpoints` as in `targeted.Targeted`. Beside it `gist_task`, the sub-task it helps most.
    """

    rank: int = 16
    rates: tuple[float, ...] = ()

    name: ClassVar[str] = "gist"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_rates(self.name, self.rates, self.checkpoints)
        if self.rank < 1:
            raise InputError(f"gist: rank {self.rank}: at least 1 is meant")

    def influence(self, aim: Aim) -> Influence:
        """See `subspace.gist`."""
        return gist(
            aim.train,
            aim.target,
            rank=self.rank,
            checkpoints=self.checkpoints,
            rates=self.rates or None,
            groups=groups_of(aim),
        )


def _check_rates(name: str, rates: tuple[float, ...], checkpoints: int) -> None:
    if checkpoints < 1:
        raise InputError(f"{name}: checkpoints {checkpoints}: at least 1 is meant")
    if rates and len(rates) != checkpoints:
        raise InputError(f"{name}: {counted(len(rates), 'rate')} for {counted(checkpoints, 'checkpoint')}")
