"""SemDeDup on planted near-duplicates: ours beside exact search, plain k-means by faiss, and cleanlab's Datalab.

    python benchmarks/semdedup.py                 # 100,000 x 512, a tenth planted at a cosine of 0.955 to 0.999
    python benchmarks/semdedup.py --peer          # also exact faiss and cleanlab: minutes
    python benchmarks/semdedup.py --out FILE      # the table as Markdown

Each contestant runs in a process of its own on a memory-mapped file made by another. Time and memory are those of the
whole process, imports included; memory is the peak resident size, which counts the mapped file (205 MB) too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _measure import best, markdown

THRESHOLD = 0.95
HEAD = ("wall s", "CPU s", "peak MB", "dropped", "recall", "precision", "both of a pair dropped")
Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


# --- Data -----------------------------------------------------------------------------------------------------------


def make(folder: Path, shape: str, n: int, dim: int, seed: int = 0) -> None:
    """`rows.npy` and `truth.npz` (source, copy). "clusters": 500 of them, as encoders give; "sphere": no structure."""
    rng = np.random.default_rng(seed)
    kept = n - n // 10
    rows = rng.standard_normal((kept, dim), np.float32)
    if shape == "clusters":
        rows += rng.standard_normal((500, dim), np.float32)[rng.integers(0, 500, kept)]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    source = rng.choice(kept, n - kept, replace=False)
    aside = rng.standard_normal((n - kept, dim), np.float32)
    aside -= (aside * rows[source]).sum(axis=1, keepdims=True) * rows[source]
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    cosine = rng.uniform(0.955, 0.999, (n - kept, 1)).astype(np.float32)
    everything = np.concatenate([rows, cosine * rows[source] + np.sqrt(1 - cosine**2) * aside])
    order = rng.permutation(n)
    place = np.argsort(order)
    np.save(folder / "rows.npy", everything[order])
    np.savez(folder / "truth.npz", source=place[source], copy=place[kept:])


# --- Contestants: each returns which rows it drops ------------------------------------------------------------------


def ours(rows: Array) -> Mask:
    from curate.scorers.duplicates.semdedup import semdedup

    return ~semdedup(rows, THRESHOLD).kept


def ours_as_the_paper(rows: Array) -> Mask:
    from curate.scorers.duplicates.semdedup import semdedup

    return ~semdedup(rows, THRESHOLD, probes=1).kept


def faiss_clusters(rows: Array) -> Mask:
    """Spherical k-means of 300 clusters by faiss, then products within each cluster."""
    import faiss

    kmeans = faiss.Kmeans(rows.shape[1], 300, niter=10, spherical=True, seed=0, max_points_per_centroid=128)
    kmeans.train(np.ascontiguousarray(rows))
    nearest = kmeans.index.search(np.ascontiguousarray(rows), 1)[1].ravel()
    dropped = np.zeros(len(rows), np.bool_)
    for cluster in range(300):
        members = np.flatnonzero(nearest == cluster)
        near = np.triu(rows[members] @ rows[members].T >= THRESHOLD, 1)
        dropped[members[near.any(axis=0)]] = True
    return dropped


def faiss_exact(rows: Array) -> Mask:
    """Every pair, by faiss's flat index; the later of two is dropped."""
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    dropped = np.zeros(len(rows), np.bool_)
    for low in range(0, len(rows), 4096):
        limits, _, found = index.range_search(np.ascontiguousarray(rows[low : low + 4096]), THRESHOLD)
        who = low + np.repeat(np.arange(len(limits) - 1), np.diff(limits).astype(np.int64))
        dropped[np.maximum(who, found)[who != found]] = True
    return dropped


def cleanlab(rows: Array) -> Mask:
    """Datalab's near_duplicate issue, with its own threshold; it flags both of two."""
    from cleanlab import Datalab

    lab = Datalab(data={"id": list(range(len(rows)))})
    lab.find_issues(features=np.asarray(rows), issue_types={"near_duplicate": {}})
    return np.asarray(lab.get_issues("near_duplicate")["is_near_duplicate_issue"], np.bool_)


def at_random(rows: Array) -> Mask:
    return np.random.default_rng(0).random(len(rows)) < 0.1


FAST: dict[str, Callable[[Array], Mask]] = {
    "curate semdedup": ours,
    "curate semdedup, probes=1 (the paper)": ours_as_the_paper,
    "faiss k-means + products in clusters": faiss_clusters,
    "a tenth at random": at_random,
}
SLOW: dict[str, Callable[[Array], Mask]] = {"faiss flat, exact": faiss_exact, "cleanlab Datalab": cleanlab}


# --- Measuring ------------------------------------------------------------------------------------------------------


def run_child(folder: Path, name: str) -> None:
    """One contestant, in this process: prints a line of JSON."""
    rows = np.load(folder / "rows.npy", mmap_mode="r")
    dropped = {**FAST, **SLOW}[name](rows)
    with np.load(folder / "truth.npz") as truth:
        source, copy = truth["source"], truth["copy"]
    planted = np.zeros(len(rows), np.bool_)
    planted[source] = planted[copy] = True
    result = {
        "dropped": int(dropped.sum()),
        "recall": float((dropped[source] | dropped[copy]).mean()),
        "precision": float(planted[dropped].mean()),
        "both": int((dropped[source] & dropped[copy]).sum()),
    }
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="also exact search and cleanlab: minutes")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        make(asked.folder, asked.make, asked.rows, asked.dim)
        return
    if asked.child:
        run_child(asked.folder, asked.child)
        return
    tables = [f"SemDeDup, {asked.rows:,} x {asked.dim} float32, a tenth planted, threshold 0.95\n"]
    for shape in ("clusters", "sphere"):
        with tempfile.TemporaryDirectory() as scratch:
            made = [sys.executable, __file__, "--make", shape, "--folder", scratch]
            subprocess.run([*made, "--rows", str(asked.rows), "--dim", str(asked.dim)], check=True)
            tables.append(markdown((shape, *HEAD), list(compare(scratch, asked.peer, asked.repeats))) + "\n")
        print(tables[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(tables))


def compare(folder: str, peer: bool, repeats: int) -> Iterator[tuple[object, ...]]:
    """A row of the table for each contestant."""
    for name in [*FAST, *(SLOW if peer else {})]:
        command = [sys.executable, __file__, "--child", name, "--folder", folder]
        run = best(command, 1 if name in SLOW else repeats)
        found = run.result
        yield (
            *(name, f"{run.wall:.2f}", f"{run.cpu:.2f}", f"{run.rss:.0f}", f"{found['dropped']:,}"),
            *(f"{found['recall']:.4f}", f"{found['precision']:.4f}", found["both"]),
        )


if __name__ == "__main__":
    main()
