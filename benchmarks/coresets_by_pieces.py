"""Selectors that read vectors, over a store: here, on Ray, and as functions of one array in memory. The choices must be the same.

    python benchmarks/coresets_by_pieces.py [--rows 100000] [--dims 64] [--budget 1000] [--workers 1 2] [--only facility-location]

200 clouds. Here each choice is made in a process of its own, on a cluster all by one driver; one thread each. "seconds" is how long
`select` took, "CPU-s" what of that this process computed (on a cluster the driver, without its workers). Memory is the most that
the process ever held, pages of mapped files among it. Prints Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from coresets import ONE_THREAD, clouds

CLASSES = 20


def selectors() -> dict[str, Any]:
    from curate.selectors.coreset import items, scored

    return {
        "facility-location": items.FacilityLocation(embedding="v", method="sparse"),
        "craig": items.Craig(embedding="v", method="sparse", group="label"),
        "d2": scored.D2(embedding="v", by="hard"),
        "herding": items.Herding(embedding="v"),
        "graph-cut": items.GraphCut(embedding="v"),
        "grad-match": items.GradMatch(embedding="v"),
        "k-center": items.KCenter(embedding="v"),
        "prototypes": items.Prototypes(embedding="v"),
        "prototypes-of-all": items.Prototypes(embedding="v", sample=0),
        "semdedup": items.SemDeDup(embedding="v"),
        "moderate": items.Moderate(embedding="v"),
    }


def table(n: int, d: int) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(1)
    ids = [f"{i:07d}" for i in rng.permutation(n)]
    labels = [f"class {i}" for i in rng.integers(0, CLASSES, n)]
    return {"id": ids, "label": labels, "hard": rng.random(n)}, clouds(n, d)


def prepare(folder: Path, n: int, d: int) -> None:
    import pyarrow as pa

    import curate

    columns, x = table(n, d)
    columns |= {"image": [f"https://a.org/{i}.jpg" for i in columns["id"]], "caption": columns["id"]}
    with curate.open(folder / "s.curate", create=True) as store:
        store.add(pa.table(columns), kind="image-text", check="none")
        store.attach(x, name="v", ids=columns["id"])


def choose(names: str, on: str, folder: str, budget: int) -> None:
    """In the measured process."""
    import curate
    from curate.run.ray_runner import RayRunner

    runner = RayRunner(None, int(on.removeprefix("ray"))) if on.startswith("ray") else None
    found = {}
    with curate.open(Path(folder) / "s.curate") as store:
        view: Any = store.items if runner is None else store.items.worked_by(runner)
        if on == "memory":
            from curate.memory import ArrayView

            columns = store.items.to_arrow(["id", "label", "hard"])
            view = ArrayView(columns, {"v": store.items.vectors("v").to_numpy()})
        for name in names.split(","):
            start, cpu = time.perf_counter(), time.process_time()
            chosen = selectors()[name].select(view, budget, np.random.default_rng(0))
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            parts = [np.asarray(getattr(chosen, part)).tobytes() for part in ("index", "weight", "gain")]
            digest = hashlib.sha256(b"".join([*parts, json.dumps(dict(chosen.random)).encode()])).hexdigest()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            found[name] = (seconds, cpu, peak, digest)
    if runner is not None:
        runner.close()
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()

    from _measure import markdown, measure

    folder, lines, digests = Path(tempfile.mkdtemp(prefix="pieces-")), [], {}
    try:
        prepare(folder, asked.rows, asked.dims)
        names = asked.only or list(selectors())
        jobs = [("memory", [name]) for name in names] + [("store", [name]) for name in names]
        for on, some in [*jobs, *((f"ray{count}", names) for count in asked.workers)]:
            command = [sys.executable, __file__, "choose", ",".join(some), on, str(folder), str(asked.budget)]
            got = measure(command, **{**os.environ, **ONE_THREAD}).result
            for name, (seconds, cpu, peak, digest) in got.items():
                same = "yes" if digests.setdefault(name, digest) == digest else "NO"
                held = f"{peak:,.0f}" if len(some) == 1 else ""
                lines.append((name, on, f"{seconds:,.1f}", f"{cpu:,.1f}", held, same))
                print(lines[-1], file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder)
    header = ("selector", "rows lie", "seconds", "CPU-s", "peak MB", "same bytes")
    print(markdown(header, sorted(lines, key=lambda line: names.index(line[0]))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["choose"]:
        choose(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        main()
