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
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

THRESHOLD = 0.95
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
    begun = time.perf_counter()
    dropped = {**FAST, **SLOW}[name](rows)
    seconds = time.perf_counter() - begun
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with np.load(folder / "truth.npz") as truth:
        source, copy = truth["source"], truth["copy"]
    planted = np.zeros(len(rows), np.bool_)
    planted[source] = planted[copy] = True
    result = {
        "inside": seconds,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "dropped": int(dropped.sum()),
        "recall": float((dropped[source] | dropped[copy]).mean()),
        "precision": float(planted[dropped].mean()),
        "both": int((dropped[source] & dropped[copy]).sum()),
    }
    print(json.dumps(result))


def measure(folder: Path, name: str, repeats: int) -> dict[str, float]:
    """The best of a few runs by wall time."""
    best: dict[str, float] = {}
    for _ in range(repeats):
        begun = time.perf_counter()
        command = [sys.executable, __file__, "--child", name, "--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result = {**json.loads(done.stdout.splitlines()[-1]), "wall": time.perf_counter() - begun}
        if not best or result["wall"] < best["wall"]:
            best = result
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="also exact search and cleanlab: minutes")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        run_child(asked.folder, asked.child)
        return
    lines = [
        f"SemDeDup, {asked.rows:,} x {asked.dim} float32, a tenth planted at a cosine of 0.955-0.999, threshold 0.95"
    ]
    head = "| {} | wall s | CPU s | peak MB | dropped | recall | precision | both of a pair dropped |"
    for shape in ("clusters", "sphere"):
        lines += ["", head.format(shape), "|---|---|---|---|---|---|---|---|"]
        with tempfile.TemporaryDirectory() as scratch:
            command = (
                f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path; "
            )
            command += (
                f"import semdedup; semdedup.make(Path({scratch!r}), {shape!r}, {asked.rows}, {asked.dim})"
            )
            subprocess.run([sys.executable, "-c", command], check=True)
            for name in [*FAST, *(SLOW if asked.peer else {})]:
                r = measure(Path(scratch), name, 1 if name in SLOW else asked.repeats)
                lines.append(
                    f"| {name} | {r['wall']:.2f} | {r['cpu']:.2f} | {r['peak_mb']:.0f} | {r['dropped']:,} | "
                    f"{r['recall']:.4f} | {r['precision']:.4f} | {r['both']} |"
                )
                print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
