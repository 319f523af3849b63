"""Ten deaths at random moments of one recipe on Ray: workers, the driver and a whole node. The same bytes as undisturbed.

    python benchmarks/deaths_on_ray.py [--rows 2000] [--deaths 10] [--gap 8] [--seed 0]

The recipe scores images one by one and takes the steps that see everything, each over pieces of some 300 rows: exact and near
duplicates, label errors, `top`, k-center, facility location and pursuit. It runs once in this process; then on a cluster of two nodes of one
worker each, played by processes of this machine, with SIGKILL for whatever the seed draws: a worker, the driver (started again
with the same command) or a node, in whose place another comes. What is compared is every part of scores and selections, by hash.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from _measure import markdown
from PIL import Image

PIECE = 300
STEPS = [
    {"score": "image-basics"},
    {"score": "exact-duplicate", "with": {"columns": ["text"]}},
    {"keep": "NOT exact_duplicate", "as": "distinct"},
    {"score": "near-duplicate", "with": {"embedding": "vector", "by": "embedding"}},
    {"score": "label-errors"},
    {"select": "top", "with": {"by": "label_errors"}, "budget": "30%", "as": "best"},
    {"select": "k-center", "with": {"embedding": "vector"}, "budget": 30, "as": "spread"},
    {"select": "facility-location", "with": {"embedding": "vector"}, "budget": 30, "as": "typical"},
    {"select": "pursuit", "with": {"gradients": "vector"}, "budget": 12, "as": "followed"},
]
PLAIN = {"num_cpus": 0, "include_dashboard": False}
SOONEST = 0.5
"""Seconds between two deaths at least."""


def prepare(folder: Path, rows: int) -> Path:
    """A store of labelled pictures in parts of 100, a third of whose texts repeat and a fifth of whose vectors nearly do."""
    import curate

    rng = np.random.default_rng(0)
    for kind in range(64):
        noise = rng.integers(0, 256, (90, 120, 3), np.uint8)
        Image.fromarray(noise).resize((320, 240)).save(folder / f"{kind}.jpg", quality=90)
    truth, vectors = rng.integers(0, 3, rows), rng.standard_normal((rows, 16)).astype(np.float32)
    vectors[-rows // 5 :] = vectors[: rows // 5] + 0.01 * rng.standard_normal((rows // 5, 16))
    given = np.where(rng.random(rows) < 0.1, rng.integers(0, 3, rows), truth)
    probabilities = rng.dirichlet(np.ones(3), rows) + 4 * np.eye(3)[truth]
    ids = [f"i{i:06}" for i in range(rows)]
    columns = {
        "id": ids,
        "image": [str(folder / f"{i % 64}.jpg") for i in range(rows)],
        "text": [f"text {number}" for number in rng.integers(0, rows, rows)],
        "label": [("ant", "bee", "cat")[label] for label in given],
    }
    with curate.open(folder / "s.curate", create=True) as store:
        store.add(pa.table(columns), kind="label", check="none", part_rows=100)
        store.attach(vectors, name="vector", ids=ids)
        shares = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
        store.attach(shares, name="pred_probs", ids=ids)
    return folder / "s.curate"


def drive(store: Path, on: str) -> None:
    """The process that is killed and started again."""
    import curate
    import curate.store.pieces
    from curate.scorers.duplicates import exact
    from curate.selectors.threshold import top

    for module, name in ((curate.store.pieces, "PIECE_ROWS"), (exact, "_PIECE"), (top, "_PIECE")):
        setattr(module, name, PIECE)
    with curate.open(store) as opened:
        opened.run({"steps": STEPS}, on=on, workers=None if on == "local" else 2)


def outcome(store: Path) -> list[str]:
    """The content of every live part of scores and selections."""
    import curate

    with curate.open(store) as opened:
        found = opened.parts.snapshot()
        assert opened.parts.verify() == []
    parts = [p for some in (found.aligned, found.selection_parts) for of in some.values() for p in of]
    return sorted(f"{part.table} {part.blake3}" for part in parts)


class Doom:
    """A cluster, the driver on it, and what befalls them."""

    def __init__(self, store: Path, seed: int) -> None:
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # a busy machine starts slowly
        from ray.cluster_utils import Cluster

        self.rng, self.store = random.Random(seed), store
        self.cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=PLAIN))
        self.nodes = [self._node_more() for _ in range(2)]
        self.driver = self._started()
        self.died: collections.Counter[str] = collections.Counter()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, __file__, "--drive", str(self.store), self.cluster.address]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def strike(self) -> None:
        """Kill what is drawn, if it is there."""
        what = self.rng.choices(["worker", "driver", "node"], [6, 2, 2])[0]
        getattr(self, f"_{what}")()

    def _worker(self) -> None:
        found = list(workers())
        if found:
            with contextlib.suppress(psutil.Error):
                self.rng.choice(found).kill()
                self.died["worker"] += 1

    def _driver(self) -> None:
        self.driver.kill()
        self.driver.communicate()
        self.driver = self._started()
        self.died["driver"] += 1

    def _node(self) -> None:
        leaving = self.nodes.pop(self.rng.randrange(2))
        self.cluster.remove_node(leaving, allow_graceful=False)
        self.nodes.append(self._node_more())
        self.died["node"] += 1

    def _node_more(self) -> Any:
        return patiently(lambda: self.cluster.add_node(num_cpus=1))

    def close(self) -> None:
        """The end of the cluster."""
        self.driver.kill()
        self.cluster.shutdown()


def patiently(make: Callable[[], Any]) -> Any:
    """What `make` makes at the first of four attempts that Ray does not give up: on a busy machine it does."""
    for _ in range(3):
        with contextlib.suppress(Exception):  # Ray raises plain ones
            return make()
    return make()


def workers() -> Iterator[psutil.Process]:
    """The processes of this cluster's workers, by the name of their class."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ray::Worker" in " ".join(process.cmdline()):
                yield process


def disturbed(store: Path, asked: argparse.Namespace) -> collections.Counter[str]:
    """Run to the end with so many deaths; what died."""
    doom = Doom(store, asked.seed)
    try:
        while sum(doom.died.values()) < asked.deaths:
            time.sleep(doom.rng.uniform(SOONEST, asked.gap))
            if doom.driver.poll() is not None:
                _check(doom.driver)
                raise SystemExit(
                    f"the recipe was over after {dict(doom.died)}: take more --rows, or a smaller --gap"
                )
            doom.strike()
            print(f"{dict(doom.died)}", file=sys.stderr)
        _check(doom.driver)
        return doom.died
    finally:
        doom.close()


def _check(driver: subprocess.Popen[bytes]) -> None:
    _, said = driver.communicate()
    if driver.returncode:
        raise RuntimeError(said.decode()[-3000:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--deaths", type=int, default=10)
    parser.add_argument("--gap", type=float, default=8.0, help="seconds between two deaths at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", nargs=2, metavar=("STORE", "ON"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.drive:
        drive(Path(asked.drive[0]), asked.drive[1])
        return
    table: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for on in ("local", "ray"):
            (folder / on).mkdir()
            table.append(_row(on, folder / on, asked))
    print(
        f"{asked.rows:,} rows, {len(STEPS)} steps, seed {asked.seed}, a death every {SOONEST} to {asked.gap} s\n"
    )
    print(markdown(("run", "s", "deaths", "parts", "same bytes"), table))


def _row(on: str, folder: Path, asked: argparse.Namespace) -> list[Any]:
    store, started = prepare(folder, asked.rows), time.monotonic()
    died: Any = {}
    if on == "local":
        subprocess.run([sys.executable, __file__, "--drive", str(store), "local"], check=True)
    else:
        died = disturbed(store, asked)
    seconds, parts = time.monotonic() - started, outcome(store)
    told = ", ".join(f"{count} x {what}" for what, count in sorted(died.items())) or "none"
    expected = outcome(folder.parent / "local" / "s.curate")
    return [on, f"{seconds:.0f}", told, f"{len(parts):,}", "yes" if parts == expected else "NO"]


if __name__ == "__main__":
    main()
