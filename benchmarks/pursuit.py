"""Pursuit of a target by few gradients: ours beside matching that solves anew at every step, and cords' own solver.

    python benchmarks/pursuit.py                      # 20,000 x 1,024, budgets 500 and 1,000, and 4,000 x 5 near-copies
    python benchmarks/pursuit.py --cords omp_solvers.py   # also cords' OrthogonalMP_REG, from its source: minutes
    python benchmarks/pursuit.py --out FILE           # the tables as Markdown

Each contestant runs in a process of its own on files made by another; CPU seconds are those of choosing alone, after the
file is read (and, for ours, after the compiled loops are loaded), peak memory that of the whole process. The residual is
|sum of w a - b| / |b| of the weights each gives, computed here. cords cannot be installed (it asks for an old torchtext); its
solver is one file of NumPy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _measure import markdown, measure

HEAD = ("", "k", "CPU s", "peak MB", "items", "residual", "groups")
Array = npt.NDArray[Any]
Answer = tuple[Array, Array]


# --- Data -----------------------------------------------------------------------------------------------------------


def make(folder: Path, kind: str, n: int, dim: int, seed: int = 0) -> None:
    """`rows.npy` and `target.npz`. "clustered": 100 centres, the target is the mean of new rows of ten of them; "free": no
    structure; "copies": n / 5 directions, five near-copies each, the target a weighted sum of 200 of them."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n)
    if kind == "copies":
        base = _unit(rng.standard_normal((n // 5, dim)))
        groups = np.repeat(np.arange(n // 5), 5)
        rows = base[groups] + 0.02 / np.sqrt(dim) * rng.standard_normal((n, dim))
        target = rng.uniform(0.5, 1.5, 200) @ base[:200]
    elif kind == "free":
        rows, target = rng.standard_normal((n, dim)), rng.standard_normal(dim)
    else:
        centres, spread = rng.standard_normal((100, dim)), 2.0
        rows = centres[rng.integers(0, 100, n)] + spread * rng.standard_normal((n, dim))
        target = _unit(centres[rng.integers(0, 10, 100)] + spread * rng.standard_normal((100, dim))).mean(0)
    order = rng.permutation(n)
    np.save(folder / "rows.npy", _unit(rows)[order].astype(np.float32))
    np.savez(folder / "target.npz", target=target, groups=groups[order])


def _unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# --- Contestants: which rows, and their weights ---------------------------------------------------------------------


def ours(rows: Array, target: Array, k: int, shards: int = 1, **more: Any) -> Answer:
    from curate.selectors.pursuit import pursue

    chosen = pursue(rows, target, k, shards=shards, **more)
    return chosen.index, chosen.weight * chosen.scale


def eight_shards(rows: Array, target: Array, k: int) -> Answer:
    return ours(rows, target, k, shards=8)


def eight_passes(rows: Array, target: Array, k: int) -> Answer:
    return ours(rows, target, k, passes=8)


def solved_anew(rows: Array, target: Array, k: int) -> Answer:
    """Non-negative matching pursuit that solves a dense least squares from scratch at every step, as GradMatch does: it stops
    when a row comes up twice, and what turns negative is dropped one at a time."""
    held: list[int] = []
    weight, residual = np.empty(0), target
    for _ in range(k):
        best = int((rows @ residual.astype(np.float32)).argmax())
        if best in held:
            break
        held.append(best)
        while True:
            some = rows[held].astype(np.float64)
            weight = np.linalg.lstsq(some @ some.T, some @ target, rcond=None)[0]
            if weight.min() >= 0:
                break
            held.pop(int(weight.argmin()))
        residual = target - weight @ some
    return np.array(held), weight


def cords(rows: Array, target: Array, k: int) -> Answer:
    """`OrthogonalMP_REG(positive=True)`, with the ridge off: with it its residual is far higher."""
    spec = importlib.util.spec_from_file_location("omp_solvers", os.environ["CORDS"])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    np.seterr(all="warn")
    weight = module.OrthogonalMP_REG(rows.T, target.astype(np.float32), nnz=k, positive=True, lam=0)
    return np.flatnonzero(weight), weight[weight != 0]


def top(rows: Array, target: Array, k: int) -> Answer:
    """The highest products, all weighing the same."""
    return _alike(rows, target, np.argsort(-(rows @ target.astype(np.float32)))[:k])


def at_random(rows: Array, target: Array, k: int) -> Answer:
    return _alike(rows, target, np.random.default_rng(0).choice(len(rows), k, replace=False))


def _alike(rows: Array, target: Array, held: Array) -> Answer:
    mean = rows[held].mean(0, dtype=np.float64)
    return held, np.full(len(held), max(0.0, mean @ target) / (mean @ mean) / len(held))


OURS: dict[str, Callable[..., Answer]] = {
    "curate pursue": ours,
    "curate pursue, 8 shards": eight_shards,
    "curate pursue, passes=8": eight_passes,
    "top k": top,
    "at random": at_random,
}
PEERS: dict[str, Callable[..., Answer]] = {
    "solved anew at each step": solved_anew,
    "cords OrthogonalMP_REG": cords,
}


# --- Measuring ------------------------------------------------------------------------------------------------------


def run_child(folder: Path, name: str, k: int) -> None:
    """One contestant, in this process: prints a line of JSON."""
    rows = np.load(folder / "rows.npy")
    with np.load(folder / "target.npz") as file:
        target, groups = file["target"], file["groups"]
    choose = {**OURS, **PEERS}[name]
    if name.startswith("curate"):
        choose(rows[:2000], target, 20)
    start = time.process_time()
    held, weight = choose(rows, target, k)
    spent = time.process_time() - start
    left = weight @ rows[held].astype(np.float64) - target
    result = {
        "cpu": spent,
        "items": len(held),
        "residual": float(np.linalg.norm(left) / np.linalg.norm(target)),
        "groups": len(np.unique(groups[held])),
        "same": hash(np.asarray(held, np.int64).tobytes()),
    }
    print(json.dumps(result))


def compare(folder: str, k: int, peers: list[str]) -> Iterator[tuple[object, ...]]:
    """A row of the table for each contestant."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    whole = None
    for name in [*OURS, *peers]:
        command = [sys.executable, __file__, "--child", name, "--folder", folder, "--budget", str(k)]
        run = measure(command, **environment)
        found = run.result
        whole = found["same"] if name == "curate pursue" else whole
        told = " (the same rows)" if "shards" in name and found["same"] == whole else ""
        yield (
            *(name + told, k, f"{found['cpu']:.2f}", f"{run.rss:.0f}", found["items"]),
            *(f"{found['residual']:.4f}", found["groups"]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--budgets", type=int, nargs="+", default=[500, 1000])
    parser.add_argument(
        "--anew", action="store_true", help="also matching that solves anew at each step: minutes"
    )
    parser.add_argument("--cords", type=Path, help="cords' omp_solvers.py: minutes")
    parser.add_argument("--kinds", nargs="+", default=["clustered", "free", "copies"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        make(asked.folder, asked.make, asked.rows, asked.dim)
        return
    if asked.child:
        run_child(asked.folder, asked.child, asked.budget)
        return
    peers = ["solved anew at each step"] * asked.anew
    if asked.cords:
        os.environ["CORDS"] = str(asked.cords.resolve())
        peers.append("cords OrthogonalMP_REG")
    tables = []
    for kind in asked.kinds:
        with tempfile.TemporaryDirectory() as scratch:
            made = [sys.executable, __file__, "--make", kind, "--folder", scratch]
            subprocess.run([*made, "--rows", str(asked.rows), "--dim", str(asked.dim)], check=True)
            budgets = [200] if kind == "copies" else asked.budgets
            rows = [row for k in budgets for row in compare(scratch, k, peers)]
        tables.append(f"{kind}, {asked.rows:,} x {asked.dim:,} float32\n\n{markdown(HEAD, rows)}\n")
        print(tables[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(tables))


if __name__ == "__main__":
    main()
