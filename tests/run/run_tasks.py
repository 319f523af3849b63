"""Functions that other processes are asked to run."""

from __future__ import annotations

import os
from pathlib import Path

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
