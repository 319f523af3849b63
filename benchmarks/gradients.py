"""Gradients at the speed of reading: projection beside TRAK and dattri, and LESS from a store of bytes.

    python benchmarks/gradients.py project --peers VENV    # VENV: traker and dattri (and torch) installed
    python benchmarks/gradients.py match --folder SCRATCH [--rows 270000] [--queries 1 3 57]
    python benchmarks/gradients.py layer

`project`: 16 gradients of a million parameters to 1,024 numbers, one thread, each contestant in a process of its own; the
error is the largest over 120 pairs of the difference of cosines. `match`: a store of n rows x 4 checkpoints x 8,192 bytes is
written to SCRATCH (8.8 GB for 270,000) and matched with queries, from the page cache and from the disk; beside it what the same
two threads read per second when they do nothing else. `layer`: the last layer's gradients of 512 features to 512 numbers, items
a CPU second by the number of classes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

P, DIM, ITEMS = 1_000_000, 1024, 16
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
Array = npt.NDArray[Any]


def gradients() -> Array:
    return np.random.default_rng(0).standard_normal((ITEMS, P)).astype(np.float32)


# --- Projection: contestants ------------------------------------------------------------------------------------------


def ours(kind: str) -> Any:
    from curate.scorers.influence import project

    return lambda g: project(g, DIM, kind=kind)  # type: ignore[arg-type]


def traker() -> Any:
    import torch
    from trak.projectors import BasicProjector, ProjectionType

    torch.set_num_threads(1)
    projector = BasicProjector(P, DIM, 0, ProjectionType.rademacher, torch.device("cpu"), block_size=128)
    return lambda g: projector.project(torch.from_numpy(g), 0).numpy()


def dattri(kind: str) -> Any:
    import torch
    from dattri.func.projection import random_project

    torch.set_num_threads(1)
    call = random_project(torch.zeros(ITEMS, P), ITEMS, DIM, 16, proj_type=kind, device="cpu")
    return lambda g: call(torch.from_numpy(g)).numpy()


CONTESTANTS = {
    "ours, count-sketch": lambda: ours("count-sketch"),
    "ours, rademacher": lambda: ours("rademacher"),
    "TRAK, BasicProjector rademacher": traker,
    "dattri, rademacher": lambda: dattri("rademacher"),
}


def contest(name: str) -> None:
    g = gradients()
    start = time.process_time()
    call = CONTESTANTS[name]()
    ready = time.process_time() - start
    times = []
    for _ in range(3 if name.startswith("ours") else 1):
        wall, cpu = time.perf_counter(), time.process_time()
        small = call(g)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    error = np.abs(cosines(small) - cosines(g))[np.triu_indices(ITEMS, 1)].max()
    print(
        json.dumps(
            {"ready": ready, "cpu": min(times)[0], "wall": min(t[1] for t in times), "error": float(error)}
        )
    )


def cosines(x: Array) -> Array:
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(z @ z.T)


def projection(peers: str | None) -> None:
    from _measure import markdown, measure

    table, reference = [], 0.0
    for name in CONTESTANTS:
        if not name.startswith("ours") and peers is None:
            continue
        python = sys.executable if name.startswith("ours") else str(Path(str(peers)) / "bin" / "python")
        run = measure([python, __file__, "contest", name], 1200, **{**os.environ, **ONE_THREAD})
        found = run.result
        reference = reference or found["cpu"]
        table.append(
            (
                name,
                f"{found['cpu']:.3f}",
                f"{found['wall']:.3f}",
                f"{found['ready']:.2f}",
                f"{found['cpu'] / reference:.0f} x",
                f"{found['error']:.3f}",
                f"{run.cpu:.1f}",
                f"{run.pss:.0f}",
            )
        )
    header = (
        "contestant",
        "CPU-s",
        "wall s",
        "to get ready",
        "ratio",
        "largest error",
        "process CPU-s",
        "peak MB",
    )
    print(markdown(header, table))


# --- LESS from a store of bytes ---------------------------------------------------------------------------------------


def make_store(folder: Path, rows: int, checkpoints: int = 4, dim: int = 8192) -> Any:
    from curate.scorers.influence import GradientStore, Header, Projection

    names = tuple("abcdefgh"[:checkpoints])
    header = Header(
        rows, dim, names, 10**8, projection=Projection(dim), precision="int8", rates=(4.0, 3.0, 2.0, 1.0)
    )
    store = GradientStore.create(folder, header)
    if store.done.all():
        return store
    rng = np.random.default_rng(0)
    piece = np.clip(rng.standard_normal((1024, checkpoints, dim)) * 32, -127, 127).astype(np.int8)
    files = store._files
    for low in range(0, rows, 1024):  # writing floats to be quantised would take an hour
        files["rows.bin"][low : low + 1024] = np.roll(piece, low // 1024, axis=2)[: rows - low]
    files["scales.bin"][:] = 1 / (32 * dim**0.5)
    files["norms.bin"][:] = 1
    files["done.bin"][:] = 1
    for mapped in files.values():
        mapped.flush()  # type: ignore[attr-defined]
    return GradientStore.open(folder)


def drop_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(call: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def read_memory(codes: Array, rows: int) -> None:
    """Two threads that only add up the bytes, eight at a time."""
    words = codes[:rows].reshape(rows, -1).view(np.int64)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda low: words[low : low + 512].sum(), range(0, rows, 512)))


def read_disk(path: Path, size: int) -> None:
    """Two threads that only read the file."""
    block = 1 << 24
    buffers = [bytearray(block), bytearray(block)]
    with path.open("rb") as file:

        def part(which: int) -> None:
            for low in range(which * block, size, 2 * block):
                os.preadv(file.fileno(), [buffers[which]], low)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(part, range(2)))


def matching(folder: Path, rows: int, queries: list[int], keep: bool) -> None:
    from _measure import markdown

    from curate.scorers.influence import GradientStore, less

    width = make_store(folder, rows).shape[1]  # and closed: what is mapped stays in the cache
    rng = np.random.default_rng(1)
    target = rng.standard_normal((max(queries), width)).astype(np.float32)
    path, table = folder / "rows.bin", []
    size = path.stat().st_size
    for count in queries:
        groups = [str(i) for i in range(count)]

        def call(count: int = count, groups: list[str] = groups) -> None:
            less(GradientStore.open(folder), target[:count], groups=groups)

        call()  # compiles
        for place in ("memory", "disk"):
            ours, alone = [], []
            for _ in range(3 if place == "memory" else 1):
                if place == "disk":
                    drop_cache(path)
                    alone.append(timed(lambda: read_disk(path, size)))
                    drop_cache(path)
                else:
                    alone.append(timed(lambda: read_memory(GradientStore.open(folder).codes, rows)))
                ours.append(timed(call))
            wall, cpu = (size / 1e9 / min(run[i] for run in ours) for i in (0, 1))
            wall_alone, cpu_alone = (size / 1e9 / min(run[i] for run in alone) for i in (0, 1))
            table.append(
                (
                    count,
                    place,
                    f"{wall:.2f}",
                    f"{wall_alone:.2f}",
                    f"{wall / wall_alone:.0%}",
                    f"{cpu:.1f}",
                    f"{cpu_alone:.1f}",
                    f"{cpu / cpu_alone:.0%}",
                )
            )
    print(f"{rows:,} rows x 4 x 8,192 bytes, {size / 1e9:.1f} GB\n")
    print(
        markdown(
            ("queries", "from", "GB/s", "reading alone", "share", "GB per CPU-s", "reading alone", "share"),
            table,
        )
    )
    if not keep:
        shutil.rmtree(folder)


# --- The last layer -----------------------------------------------------------------------------------------------------


def layer(items: int = 4000, features: int = 512) -> None:
    from _measure import markdown

    from curate.scorers.influence import last_layer_gradients

    rng, table = np.random.default_rng(0), []
    seen = rng.standard_normal((items, features)).astype(np.float32)
    for classes in (10, 100):
        probs = rng.dirichlet(np.ones(classes), items)
        labels = rng.integers(0, classes, items)
        last_layer_gradients(probs[:64], labels[:64], seen[:64], dim=512)  # compiles
        _, cpu = timed(lambda p=probs, y=labels: last_layer_gradients(p, y, seen, dim=512))
        table.append((classes, f"{items / cpu:,.0f}"))
    print(markdown(("classes", "items a CPU second"), table))


def main() -> None:
    if sys.argv[1:2] == ["contest"]:
        contest(sys.argv[2])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("project")
    one.add_argument("--peers")
    two = commands.add_parser("match")
    two.add_argument("--folder", type=Path, required=True)
    two.add_argument("--rows", type=int, default=270_000)
    two.add_argument("--queries", type=int, nargs="+", default=[1, 3])
    two.add_argument("--keep", action="store_true")
    commands.add_parser("layer")
    given = parser.parse_args()
    if given.command == "project":
        projection(given.peers)
    elif given.command == "layer":
        layer()
    else:
        matching(given.folder, given.rows, given.queries, given.keep)


if __name__ == "__main__":
    main()
