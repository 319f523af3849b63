"""Scorers that tell the tests what they were asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import ROW, detail, flag, score


@dataclass(frozen=True)
class Spy:
    """Scores a caption by its length; writes the ids it was asked for to a file; refuses captions with 'bad'."""

    log: str
    factor: float = 1.0
    name: ClassVar[str] = "spy"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[tuple[pa.Field, ...]] = (
        score("spy"),
        detail("spy_length", pa.int32()),
        detail("pid", pa.int64()),
    )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        with Path(self.log).open("a") as file:
            file.writelines(f"{i}\n" for i in batch.column("id").to_pylist())
        texts = batch.column("text").to_pylist()
        bad = [t is None or "bad" in t for t in texts]
        if any(t is not None and "deadly" in t for t in texts):
            os._exit(3)
        if any(t is not None and "raise" in t for t in texts):
            raise RuntimeError("told to")
        lengths = [None if b else len(t) for t, b in zip(texts, bad, strict=True)]
        return pa.record_batch(
            {
                "spy": pa.array([None if n is None else n * self.factor for n in lengths], pa.float32()),
                "spy_length": pa.array(lengths, pa.int32()),
                "pid": pa.array([None if b else os.getpid() for b in bad], pa.int64()),
                "spy_reason": pa.array(["a bad caption" if b else None for b in bad], pa.string()),
            }
        )

    @staticmethod
    def asked(log: Path) -> list[str]:
        """Ids that were asked for since the last time."""
        ids = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return sorted(ids)


@dataclass(frozen=True)
class Longest:
    """Must see everything: flags the items whose caption is as long as the longest."""

    log: str
    name: ClassVar[str] = "longest"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[tuple[pa.Field, ...]] = (score("longest_score"), flag("longest"))

    def fit(self, view) -> Longest:
        with Path(self.log).open("a") as file:
            file.write(f"{len(view)}\n")
        lengths = np.array([len(t) for t in view.to_arrow(["text"])["text"].to_pylist()])
        return FittedLongest(lengths == lengths.max())


@dataclass(frozen=True, eq=False)
class FittedLongest:
    """The answers, by row of the view."""

    longest: np.ndarray
    name: ClassVar[str] = "longest"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    gives: ClassVar[tuple[pa.Field, ...]] = Longest.gives
    notes: ClassVar[tuple[str, ...]] = ("looked at all",)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        mine = self.longest[batch.column(ROW).to_numpy()]
        return pa.record_batch(
            {
                "longest_score": pa.array(1.0 - mine, pa.float32()),
                "longest": pa.array(mine),
                "longest_reason": pa.nulls(len(mine), pa.string()),
            }
        )


@dataclass(frozen=True)
class Wrong:
    """Breaks its promise: gives fewer rows than it was asked for."""

    name: ClassVar[str] = "wrong"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("text",)
    gives: ClassVar[tuple[pa.Field, ...]] = (score("wrong"),)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch(
            {"wrong": pa.array([1.0], pa.float32()), "wrong_reason": pa.nulls(1, pa.string())}
        )
