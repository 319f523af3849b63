"""Run a command in a process of its own; measure wall seconds, CPU seconds and peak memory of its whole tree."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import psutil

POLL = 0.02
"""Seconds between looks at the memory."""


@dataclass(frozen=True)
class Measurement:
    """`cpu` is user plus system time of the process tree: what the system counts for the process and all it waited
    for, or, where that is more, what we saw each process use (a fork server's children are waited for by nobody).
    `pss` counts memory that processes share once, `rss` once each (MB, peak of the sum over the tree).
    `result` is the last line printed, read as JSON."""

    wall: float
    cpu: float
    rss: float
    pss: float
    result: Any = field(default=None)


def measure(command: Sequence[str], timeout: float = 3600, **environment: str) -> Measurement:
    """Run `command` once. Raises RuntimeError with what it wrote if it fails, TimeoutError if it takes too long."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with _written() as out, _written() as err:
        process = psutil.Popen(list(command), stdout=out, stderr=err, env=environment or None)
        rss = pss = 0.0
        seen: dict[int, float] = {}
        while process.poll() is None:
            now_rss, now_pss = _look(process, seen)
            rss, pss = max(rss, now_rss), max(pss, now_pss)
            if time.perf_counter() - start > timeout:
                for child in [*process.children(recursive=True), process]:
                    child.kill()
                raise TimeoutError(f"{command[0]} took more than {timeout:.0f} s:\n{_text(err)[-2000:]}")
            time.sleep(POLL)
        wall = time.perf_counter() - start
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{_text(err)[-2000:]}")
        lines = _text(out).strip().splitlines()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    cpu = max(cpu, sum(seen.values()))
    return Measurement(wall, cpu, rss / 1e6, pss / 1e6, json.loads(lines[-1]) if lines else None)


def _written() -> IO[bytes]:
    """What a process writes goes to a file: a pipe that nobody empties would stop it."""
    return tempfile.TemporaryFile()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def best(command: Sequence[str], repeats: int, timeout: float = 3600, **environment: str) -> Measurement:
    """The run with the least CPU time of several; its memory is the highest of them."""
    runs = [measure(command, timeout, **environment) for _ in range(repeats)]
    least = min(runs, key=lambda run: run.cpu)
    return Measurement(
        min(r.wall for r in runs), least.cpu, max(r.rss for r in runs), max(r.pss for r in runs), least.result
    )


def _look(process: psutil.Process, seen: dict[int, float]) -> tuple[float, float]:
    """RSS and PSS of the tree now; the CPU seconds of each of its processes go into `seen`."""
    rss = pss = 0.0
    try:
        for one in [process, *process.children(recursive=True)]:
            with one.oneshot():
                full, times = one.memory_full_info(), one.cpu_times()
            seen[one.pid] = times.user + times.system
            rss, pss = rss + full.rss, pss + getattr(full, "pss", full.uss)
    except psutil.Error:
        pass  # it ended while we looked
    return rss, pss


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
