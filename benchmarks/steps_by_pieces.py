"""Steps that see everything, one process each, and what they cost beside other code: an earlier checkout, say.

    python benchmarks/steps_by_pieces.py [--rows 300000] [--only label-errors] [--beside CHECKOUT]

Labels with probabilities of ten classes (a tenth of the labels is random), texts and image hashes of which a quarter is a near-copy, and
groups to draw strata from, all made here. `CHECKOUT` is a folder with other code of curate (`git worktree add FOLDER COMMIT`),
which reads the very same stores; "same" says whether both gave the same bytes. "CPU-s" is of the step alone, memory the
peak of its process. One thread of BLAS. Prints Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import measure

ROOT = Path(__file__).resolve().parent.parent
CLASSES = tuple(f"class {i}" for i in range(10))


def labelled(rng: np.random.Generator, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Labels of which a tenth is random, and what a fair model says of them."""
    truth = rng.integers(0, len(CLASSES), n)
    given = np.where(rng.random(n) < 0.1, rng.integers(0, len(CLASSES), n), truth)
    odds = rng.standard_normal((n, len(CLASSES)), dtype=np.float32)
    odds[np.arange(n), truth] += 4
    probs = np.exp(odds - odds.max(1, keepdims=True))
    return {"label": [CLASSES[i] for i in given]}, {"pred_probs": probs / probs.sum(1, keepdims=True)}


def written(rng: np.random.Generator, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Texts of twelve words; a tenth repeats another, a fifth differs from another by one word."""
    from curate.scorers.duplicates.minhash import minhash_signatures
    from curate.scorers.duplicates.shingles import shingle_texts

    letters = list("abcdefghijklmnop")
    words = np.array(["".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(3000)])
    own = words[rng.integers(0, len(words), (n * 7 // 10, 12))]
    near = own[rng.integers(0, len(own), n - len(own))]
    changed = np.arange(n // 10, len(near))
    near[changed, rng.integers(0, 12, len(changed))] = words[rng.integers(0, len(words), len(changed))]
    import pyarrow as pa

    texts = pa.array([" ".join(row) for row in np.concatenate([own, near])])
    return {"caption": texts}, {"minhash": minhash_signatures(*shingle_texts(texts, "char", 5, True))}


def pictured(rng: np.random.Generator, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hashes of images and their colours; a third is another's, half of them three bits off, a quarter of other colours."""
    hashes, colours = (
        rng.integers(0, 2**64, n, dtype=np.uint64),
        rng.integers(0, 255, (n, 48)).astype(np.uint8),
    )
    copies = n // 3
    source = rng.integers(0, n - copies, copies)
    hashes[n - copies :], colours[n - copies :] = hashes[source], colours[source]
    for _ in range(3):
        hashes[n - copies // 2 :] ^= np.uint64(1) << rng.integers(0, 64, copies // 2).astype(np.uint64)
    colours[n - copies // 4 :] = rng.integers(0, 255, (copies // 4, 48))
    return {"phash": hashes}, {"phash_thumb": colours}


def embedded(rng: np.random.Generator, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Vectors of 512 numbers in 500 clusters, a fifth as many as asked for, since they are large; a tenth are near-copies."""
    from semdedup import make

    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), "clusters", n // 5, 512)
        return {}, {"vector": np.load(Path(folder) / "rows.npy")}


def grouped(rng: np.random.Generator, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sites of very different sizes, three sorts, and a number."""
    return {
        "site": [f"s{k}" for k in rng.geometric(0.05, n)],
        "sort": [("a", "b", "c")[k] for k in rng.integers(0, 3, n)],
        "quality": rng.normal(size=n),
    }, {}


STORES = {"labels": labelled, "texts": written, "images": pictured, "vectors": embedded, "groups": grouped}


def prepare(folder: Path, rows: int) -> None:
    import pyarrow as pa

    import curate

    for name, make in STORES.items():
        rng = np.random.default_rng(0)
        columns, vectors = make(np.random.default_rng(1), rows)
        ids = [f"i{j:08d}" for j in rng.permutation(len(next(iter((columns | vectors).values()))))]
        table = {"id": ids, "image": [f"https://a.org/{i}.jpg" for i in ids], "caption": ids} | columns
        with curate.open(folder / f"{name}.curate", create=True) as store:
            store.add(pa.table(table), kind="image-text", check="none")
            for column, values in vectors.items():
                store.attach(values, name=column, ids=ids)


def steps() -> dict[str, tuple[str, Any]]:
    """The store and the component of each step."""
    from curate.scorers.duplicates.exact import ExactDuplicate
    from curate.scorers.duplicates.near import NearDuplicate
    from curate.scorers.noise.confident import ConfidentLearning
    from curate.scorers.noise.label_noise.scorer import LabelErrors
    from curate.selectors.threshold.balanced import Balanced
    from curate.selectors.threshold.stratified import Stratified

    return {
        "confident-learning": ("labels", ConfidentLearning(classes=CLASSES)),
        "confident-learning, both": ("labels", ConfidentLearning(classes=CLASSES, filter_by="both")),
        "label-errors": ("labels", LabelErrors(classes=CLASSES)),
        "exact-duplicate": ("texts", ExactDuplicate(columns=("caption",))),
        "near-duplicate by embedding": ("vectors", NearDuplicate(by="embedding", embedding="vector")),
        "near-duplicate by text": ("texts", NearDuplicate(by="text")),
        "near-duplicate by image": ("images", NearDuplicate(by="image")),
        "stratified": ("groups", Stratified("site")),
        "stratified, prefer": (
            "groups",
            Stratified("site", balance="equal", prefer="quality", reweight=True),
        ),
        "balanced": ("groups", Balanced(("sort", "quality"))),
    }


def work(folder: Path, step: str, code: Path) -> None:
    """One step by the code in a folder; prints what it took and a digest of the answer."""
    import pyarrow as pa

    import curate
    from curate.contracts import ROW

    if Path(curate.__file__).resolve().parent.parent != code.resolve():
        raise SystemExit(f"{curate.__file__} is not the code of {code}")
    store, component = steps()[step]
    with curate.open(folder / f"{store}.curate") as opened:
        view, start = opened.items, time.process_time()
        if hasattr(component, "select"):
            found = component.select(view, 0.2, np.random.default_rng(0))
            arrays = [found.index, found.gain, found.weight]
        else:
            answer = component.fit(view)
        spent = time.process_time() - start
        if not hasattr(component, "select"):
            (rows,) = pa.table({"id": view.ids(), ROW: np.arange(len(view))}).combine_chunks().to_batches()
            found = answer.score(rows)
            arrays = [column.to_numpy(zero_copy_only=False) for column in found.columns]
    digest = hashlib.sha256()
    for array in arrays:
        plain = array is not None and array.dtype != object
        digest.update(array.tobytes() if plain else repr(None if array is None else array.tolist()).encode())
    print(json.dumps({"cpu": spent, "digest": digest.hexdigest()}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--beside", type=Path, help="a folder with other code of curate")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--work", nargs=3, metavar=("FOLDER", "STEP", "CODE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(Path(asked.work[0]), asked.work[1], Path(asked.work[2]))
        return
    codes = {"this code": ROOT} | ({"beside": asked.beside} if asked.beside else {})
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), asked.rows)
        print(f"\n{asked.rows:,} rows, {asked.repeats} runs in turns\n")
        print("| step | code | CPU-s | peak MB | same |\n| --- | --- | --- | --- | --- |")
        for step in asked.only or steps():
            compare(step, codes, folder, asked.repeats)


def compare(step: str, codes: dict[str, Path], folder: str, repeats: int) -> None:
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in codes}
    for _ in range(repeats):
        for name, code in codes.items():
            command = [sys.executable, __file__, "--work", folder, step, str(code)]
            environment = os.environ | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
            seen = measure(command, **environment)
            runs[name].append(seen.result | {"mb": seen.pss})
    same = "yes" if len({run["digest"] for of in runs.values() for run in of}) == 1 else "NO"
    for name, of in runs.items():
        cpu, mb = (
            ", ".join(f"{run[key]:{form}}" for run in of) for key, form in (("cpu", ".2f"), ("mb", ".0f"))
        )
        print(f"| {step} | {name} | {cpu} | {mb} | {same} |", flush=True)


if __name__ == "__main__":
    main()
