"""Functions that other processes are asked to run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from curate.contracts import View
from curate.errors import InputError


def double(x: int) -> int:
    return 2 * x


def fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def die_on_three(x: int) -> int:
    if x == 3:
        os._exit(9)
    return x


def refuse(x: int) -> int:
    raise InputError(f"no {x}")


def die_once(mark: str) -> str:
    """Takes its worker with it the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os._exit(9)
    return "done"


def whoami(x: int) -> int:
    return os.getpid()


def where(x: int) -> tuple[int, str]:
    """The task, and the node of a Ray cluster that does it."""
    import ray

    time.sleep(0.2)
    return x, ray.get_runtime_context().get_node_id()


def slow_on_zero(x: int) -> int:
    time.sleep(20 if x == 0 else 0.05)
    return os.getpid()


def total(piece: View, first: int) -> tuple[int, int, float]:
    """Where a piece begins, its rows, and the sum of its sizes."""
    return first, len(piece), float(np.sum(piece.to_arrow(["size"])["size"].to_numpy()))


def refuse_piece(piece: View, first: int) -> int:
    if 10 < first < 20:
        raise ValueError("no more")
    return first


def die_on_piece(mark: str, piece: View, first: int) -> int:
    """Takes its worker with it the first time that it comes to the second piece."""
    if first and not Path(mark).exists():
        Path(mark).touch()
        os._exit(9)
    return first


def pick(view: View, row: int) -> str:
    """The id of one row of the whole."""
    return str(view.take(np.array([row]), ["id"])["id"][0])


def refuse_task(view: View, task: int) -> int:
    return refuse(task)


class Sums:
    """A state that changes: the sizes of a piece, and what was added to each."""

    def __init__(self, piece: View, first: int) -> None:
        self.sizes = piece.to_arrow(["size"])["size"].to_numpy().astype(float)

    def add(self, number: float, mark: str = "") -> float:
        """Takes its worker with it once, half-way."""
        if mark and not Path(mark).exists():
            Path(mark).touch()
            os._exit(9)
        self.sizes = self.sizes + number
        return float(self.sizes.sum())

    def sum(self) -> float:
        return float(self.sizes.sum())

    def nth(self, row: int) -> float:
        return float(self.sizes[row])

    def fail(self) -> None:
        raise ZeroDivisionError("nothing")
