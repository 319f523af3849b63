"""What a push or a pull did, in numbers and words: the same of every connector."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from curate.counting import counted

__all__ = ["PullReceipt", "PushReceipt", "count_answer"]

_MOST = 5
"""Reasons that are told one by one: each may quote what it is about."""


class _Receipt(Mapping[str, Any]):
    """Read by name or by key: `receipt.created`, `receipt["created"]`, `dict(receipt)`."""

    words: ClassVar[Mapping[str, str]] = {}
    """What a count is called in words, where that is not its name; under "" what is said where all are nought."""

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return any(f.name == name for f in dataclasses.fields(self))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in dataclasses.fields(self))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(dataclasses.fields(self))  # type: ignore[arg-type]

    def __str__(self) -> str:
        counts = [
            f"{v:,} {self.words.get(k, k)}" for k, v in self.items() if type(v) is int and v and k != "round"
        ]
        reasons = sorted(dict(self["reasons"]).items(), key=lambda reason: (-reason[1], reason[0]))
        told = [f"{n:,} x {why}" for why, n in reasons[:_MOST]]
        if others := reasons[_MOST:]:
            told.append(f"{sum(n for _, n in others):,} x {counted(len(others), 'other reason')}")
        return "; ".join([", ".join(counts) or self.words[""], *told])


def count_answer(
    rows: Sequence[Mapping[str, Any]], edited: bool, counts: Counter[str], reasons: Counter[str]
) -> None:
    """Count one annotation that is not recorded yet, by its rows: a skip, or ok where any part of it is, or what is wrong."""
    statuses = {row["status"] for row in rows}
    counts["answers"] += 1
    counts["edited"] += edited
    skip = rows[0]["skipped"] and statuses == {"ok"}
    counts["skips" if skip else "ok" if "ok" in statuses else min(statuses)] += 1
    reasons.update(row["reason"] for row in rows if row["reason"])


@dataclass(frozen=True, eq=False)
class PushReceipt(_Receipt):
    """What became of the items that were to be shown.

    `created` tasks are new, `present` were there already, `repaired` were there twice, or half, and are right now;
    `changed` were there, but show an item as it was before it changed (it is shown anew in the next round); `failed`
    cannot be shown; `unguessed` have no pre-annotation though one was wanted. `reasons` counts the last two by why.
    `deleted` were sent before and somebody has deleted them since: they are made again only when asked for.
    `round`, and `place`: where to find the tasks. `planned`: a dry run that created nothing.
    """

    words = {"": "nothing to do", "unguessed": "without a pre-annotation"}

    created: int = 0
    present: int = 0
    repaired: int = 0
    changed: int = 0
    failed: int = 0
    unguessed: int = 0
    deleted: int = 0
    round: int = 1
    place: str = ""
    planned: bool = False
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PullReceipt(_Receipt):
    """What came back. `new` rows of answers were recorded, `known` were there already.

    `answers` are whole annotations, or new versions of one, that were not recorded yet: the sum of `ok`, `skips`, `stale`
    (the item changed since it was shown), `quarantined` (the task is not what was sent) and `rejected` (nobody could give
    this value; where a part is fine it counts as ok). `edited` of them replace an earlier version.
    `withdrawn` answers were deleted at their source, `deleted` tasks too; `foreign` are answers to tasks that are not
    ours. `reasons` counts what is not ok by why.
    """

    words = {
        "": "nothing new",
        "new": "new rows",
        "known": "rows known",
        "deleted": "tasks deleted",
        "foreign": "to others' tasks",
    }

    new: int = 0
    known: int = 0
    answers: int = 0
    ok: int = 0
    skips: int = 0
    stale: int = 0
    quarantined: int = 0
    rejected: int = 0
    edited: int = 0
    withdrawn: int = 0
    deleted: int = 0
    foreign: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
