"""Near-duplicates among long texts (prompts of T0): ours, an earlier version of it, and datasketch's MinHash LSH.

    python benchmarks/near_texts.py DATA                                   # 20,000 prompts, and all 55,185
    python benchmarks/near_texts.py DATA --before FOLDER --peer PYTHON     # FOLDER: an earlier checkout

DATA holds self_instruct; PYTHON is one that has datasketch and psutil. Each contestant runs in a process of its own, signatures and
imports included, in turn; memory is the peak resident size. All use five-character shingles, 128 permutations and a Jaccard
similarity of 0.7. The peer gets texts that are normalised already and keeps a text unless the index of those kept before
holds one alike, as its documentation shows. "wrong": dropped, though no kept text it was found for shares 0.7 of its shingles.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from _measure import Measurement, markdown, measure

THRESHOLD, SIZE, PERMUTATIONS = 0.7, 5, 128
HEAD = ("texts", "way", "wall s", "CPU s", "peak MB", "dropped", "wrong", "answer")
PIECE = 2000
"""Texts that are signed at once."""


# --- Contestants: each prints what it drops --------------------------------------------------------------------------


def ours(texts: Sequence[str]) -> dict[str, object]:
    import numpy as np
    import pyarrow as pa

    from curate.scorers.duplicates.jaccard import near_duplicate_texts
    from curate.scorers.duplicates.minhash import minhash_signatures
    from curate.scorers.duplicates.shingles import shingle_texts

    pieces = (pa.array(texts[low : low + PIECE]) for low in range(0, len(texts), PIECE))
    signatures = [minhash_signatures(*shingle_texts(piece, "char", SIZE), PERMUTATIONS) for piece in pieces]
    found = near_duplicate_texts(pa.array(texts), np.concatenate(signatures), THRESHOLD, size=SIZE)
    answer = hashlib.sha256(found.leader.tobytes() + found.similarity.tobytes()).hexdigest()
    dropped = np.flatnonzero(~found.kept).tolist()
    return {"dropped": dropped, "alike": [[int(found.leader[row])] for row in dropped], "answer": answer[:12]}


def datasketch(texts: Sequence[str]) -> dict[str, object]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    dropped, alike = [], []
    for row, text in enumerate(texts):
        signature = MinHash(num_perm=PERMUTATIONS)
        signature.update_batch([piece.encode() for piece in shingles(text)])
        if near := index.query(signature):
            dropped.append(row)
            alike.append(near)
        else:
            index.insert(row, signature)
    return {"dropped": dropped, "alike": alike, "answer": ""}


def shingles(text: str) -> set[str]:
    return {text[at : at + SIZE] for at in range(max(1, len(text) - SIZE + 1))}


# --- Measuring -------------------------------------------------------------------------------------------------------


def wrong(plain: Sequence[str], dropped: Sequence[int], alike: Sequence[Sequence[int]]) -> int:
    """How many were dropped for kept texts none of which is within the threshold."""
    count = 0
    for row, others in zip(dropped, alike, strict=True):
        mine = shingles(plain[row])
        theirs = (shingles(plain[other]) for other in others)
        count += not any(len(mine & one) >= THRESHOLD * len(mine | one) for one in theirs)
    return count


def compare(texts: list[str], before: Path | None, peer: str | None) -> Iterator[tuple[object, ...]]:
    """A row of the table for each contestant."""
    import pyarrow as pa

    from curate.scorers.duplicates.shingles import normalise_texts

    plain = normalise_texts(pa.array(texts)).to_pylist()
    here = {"ours": Path(__file__).parents[1], **({"before": before} if before else {})}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("texts", texts), ("plain", plain)):
            Path(folder, name).write_text(json.dumps(content))
        for way, tree in here.items():
            yield row(way, plain, run(sys.executable, "ours", f"{folder}/texts", tree))
        if peer:
            found = run(peer, "datasketch", f"{folder}/plain", Path(__file__).parent)
            yield row("datasketch", plain, found)


def run(python: str, way: str, file: str, tree: Path) -> Measurement:
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    return measure([python, __file__, "--child", way, file], **environment)


def row(way: str, plain: Sequence[str], found: Measurement) -> tuple[object, ...]:
    dropped, alike, answer = (found.result[key] for key in ("dropped", "alike", "answer"))
    return (
        *(f"{len(plain):,}", way, f"{found.wall:.1f}", f"{found.cpu:.1f}", f"{found.rss:.0f}"),
        *(f"{len(dropped):,}", wrong(plain, dropped, alike), answer),
    )


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        way, file = sys.argv[2:]
        print(json.dumps({"ours": ours, "datasketch": datasketch}[way](json.loads(Path(file).read_text()))))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--before", type=Path, help="a folder with an earlier version of the package")
    parser.add_argument("--peer", help="a Python that has datasketch and psutil")
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 55_185])
    asked = parser.parse_args()
    file = asked.data / "self_instruct" / "t0_train_50k.jsonl.xz"
    with lzma.open(file, "rt", encoding="utf-8") as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    for rows in asked.rows:
        print(markdown(HEAD, compare(prompts[:rows], asked.before, asked.peer)), flush=True)


if __name__ == "__main__":
    main()
