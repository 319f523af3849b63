"""Fill a disk, or come up against a file size limit, in a process of its own.

    python store_disk.py limit FOLDER    RLIMIT_FSIZE
    python store_disk.py small FOLDER    FOLDER is a small file system of its own
prints a JSON report.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import store_workload

from curate.errors import StoreError
from curate.store import Changes, PartStore

UNLIMITED = resource.RLIM_INFINITY


def add(store: PartStore, name: str, size: int) -> None:
    """Commit one item that holds `size` bytes of noise."""
    noise = np.random.default_rng(len(name)).bytes(size)
    table = store_workload.item_table(name, 1).append_column("noise", pa.array([noise]))
    with store.writer() as writer:
        store.commit(Changes("import", name, add=[writer.items(table, "instruction")]))


def fill(store: PartStore, prefix: str, size: int, most: int) -> tuple[list[str], str]:
    """Commit until that fails: names acknowledged, and what the error said."""
    acked: list[str] = []
    for i in range(most):
        try:
            add(store, f"{prefix}{i}", size)
        except StoreError as error:
            return acked, str(error)
        acked.append(f"{prefix}{i}")
    return acked, ""


def check(store: PartStore, acked: list[str]) -> list[str]:
    """What is wrong: the same connection must still read, and a new one too."""
    wrong = []
    for each in (store, PartStore.open(store.path)):
        wrong += [f"{p.kind} {p.path}: {p.message}" for p in each.verify()]
        if sorted(store_workload.read_state(each)) != sorted(f"{name}-0" for name in acked):
            wrong.append(f"holds {sorted(store_workload.read_state(each))}, acknowledged were {acked}")
    return wrong


def limit(path: Path) -> dict[str, object]:
    """First the parts, then the catalog, may not grow beyond a size."""
    store = PartStore.create(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, UNLIMITED))
    some, said = fill(store, "small", 1000, 3)
    more, big = fill(store, "big", 1_000_000, 2)
    wrong = check(store, some + more)
    size = (path / "catalog.sqlite").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, UNLIMITED))
    many, catalog = fill(store, "many", 10, 500)
    wrong += check(store, some + more + many)
    resource.setrlimit(resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))
    again, _ = fill(store, "again", 1_000_000, 2)
    wrong += check(store, some + more + many + again)
    counts = [len(some), len(more), len(many), len(again)]
    return {"wrong": wrong, "errors": [said, big, catalog], "counts": counts}


def small(folder: Path) -> dict[str, object]:
    """No space left, not for a part and then not for the catalog's journal; then some."""
    ballast, filler = folder / "ballast", folder / "filler"
    ballast.write_bytes(bytes(4_000_000))
    store = PartStore.create(folder / "store")
    some, part = fill(store, "some", 1_000_000, 100)
    wrong = check(store, some)
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    more, catalog = fill(store, "more", 10, 3)
    wrong += check(store, some + more)
    ballast.unlink()
    again, _ = fill(store, "again", 1_000_000, 2)
    wrong += check(store, some + more + again)
    return {"wrong": wrong, "errors": [part, catalog], "counts": [len(some), len(more), len(again)]}


if __name__ == "__main__":
    work = {"limit": limit, "small": small}[sys.argv[1]]
    print(json.dumps(work(Path(sys.argv[2]))), flush=True)
    os._exit(0)  # once, a library aborted the interpreter while it shut down
