"""Steps that must see everything: what the workers of a cluster find is what this process finds, byte for byte, deaths or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate.contracts import ROW
from curate.memory import ArrayView
from curate.scorers.duplicates.exact import ExactDuplicate
from curate.scorers.duplicates.minhash import minhash_signatures
from curate.scorers.duplicates.near import NearDuplicate
from curate.scorers.duplicates.shingles import shingle_texts
from curate.scorers.noise.confident import ConfidentLearning
from curate.scorers.noise.health.labels import LabelHealth
from curate.scorers.noise.label_noise.scorer import LabelErrors
from curate.selectors.threshold.balanced import Balanced
from curate.selectors.threshold.stratified import Stratified
from curate.selectors.threshold.top import Top
from curate.store import StoreView

N, PIECE = 400, 50
DUPLICATES = (
    ExactDuplicate(columns=("caption",)),
    NearDuplicate(embedding="vector", by="embedding"),
    NearDuplicate(by="text"),
    NearDuplicate(by="image", tolerance=26.0),
)
SELECTORS = (Top(by="size"), Stratified("kind", prefer="size"), Balanced(("size", "kind"), solver="greedy"))
CLASSES = ("ant", "bee", "cat")
LABELS = (ConfidentLearning(filter_by="both"), LabelErrors())
DEATHS = (4, 37, 92)
"""When workers die, in questions to what they hold: in `top`, in `exact-duplicate`, after labels were judged."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[curate.Store]:
    """400 items in parts of 25 rows: captions and hashes of which many repeat or nearly do, and a fifth of the vectors."""
    rng = np.random.default_rng(0)
    ids = [f"i{n:03d}" for n in rng.permutation(N)]
    vectors = rng.standard_normal((N, 8)).astype(np.float32)
    vectors[320:] = vectors[rng.integers(0, 320, 80)] + 0.01 * rng.standard_normal((80, 8))
    columns = {
        "id": ids,
        "image": [f"https://a.org/{i}.jpg" for i in ids],
        "caption": [f"caption {c}" for c in rng.integers(0, 300, N)],
        "kind": [("drawing", "photo", None)[c] for c in rng.integers(0, 3, N)],
        "size": rng.integers(0, 40, N).astype(np.float32),
        "phash": rng.integers(0, 2**63, N, np.uint64)[rng.integers(0, N, N)]
        ^ rng.integers(0, 4, N, np.uint64),
    }
    signed = minhash_signatures(*shingle_texts(pa.array(columns["caption"]), "char", 5))
    with curate.open(tmp_path_factory.mktemp("steps") / "s.curate", create=True) as opened:
        opened.add(pa.table(columns), kind="image-text", check="none", part_rows=25)
        opened.attach(vectors, name="vector", ids=ids)
        opened.attach(signed, name="minhash", ids=ids)
        opened.attach(rng.integers(0, 80, (N, 48)).astype(np.uint8), name="phash_thumb", ids=ids)
        yield opened


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[curate.Store]:
    """400 items in parts of 25 rows: labels of which a tenth are wrong, and coarse probabilities, so that many tie."""
    rng = np.random.default_rng(1)
    ids = [f"i{n:03d}" for n in rng.permutation(N)]
    truth = rng.integers(0, 3, N)
    given = np.where(rng.random(N) < 0.1, rng.integers(0, 3, N), truth)
    probs = (rng.dirichlet(np.ones(3), N) * 5 + 12 * np.eye(3)[truth]).round() + 1
    probs = (probs / probs.sum(1, keepdims=True)).astype(np.float32)
    columns = {"id": ids, "text": [f"text {i}" for i in ids], "label": [CLASSES[c] for c in given]}
    columns["checked"] = [CLASSES[c] if i % 9 == 0 else None for i, c in enumerate(truth)]
    with curate.open(tmp_path_factory.mktemp("labels") / "s.curate", create=True) as opened:
        opened.add(pa.table(columns), kind="label", check="none", part_rows=25)
        opened.attach(probs, name="pred_probs", ids=ids)
        yield opened


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.store.pieces.PIECE_ROWS", PIECE)
    monkeypatch.setattr("curate.selectors.threshold.top._PIECE", PIECE)
    for name, little in (("_RUN", 16), ("_STEP", 4), ("MANY", 64)):
        monkeypatch.setattr(f"curate.selectors.threshold.ranking.{name}", little)
    monkeypatch.setattr("curate.spool.HELD", 64)
    monkeypatch.setattr("curate.selectors.threshold.stratified.PIECE", PIECE)
    monkeypatch.setattr("curate.selectors.threshold.balanced.PIECE", PIECE)
    monkeypatch.setattr("curate.scorers.duplicates.exact._PIECE", PIECE)
    monkeypatch.setattr("curate.scorers.duplicates.exact._RANGE", 6)
    monkeypatch.setattr("curate.scorers.duplicates.semdedup._EXACT", 10)
    monkeypatch.setattr("curate.scorers.duplicates.cosines._TASK", 1000)
    monkeypatch.setattr("curate.scorers.duplicates.hamming._PIECE", PIECE)
    monkeypatch.setattr("curate.scorers.duplicates.jaccard._PIECE", 3000)
    monkeypatch.setattr("curate.scorers.duplicates.jaccard._BYTES", 2000)


def found(view: Any) -> Mapping[str, bytes]:
    """What each step says of a view, as bytes."""
    if "label" in view.columns:
        health = LabelHealth(truth="checked").analyse(view)
        told = [(one.text, one.table.to_pydict() if one.table else None) for one in health.findings]
        answers = {scorer.name: scored(scorer, view) for scorer in LABELS}
        return answers | {"label-health": repr((health.summary, told)).encode()}
    answers = {repr(selector): chosen(selector, view) for selector in SELECTORS}
    return answers | {repr(scorer): scored(scorer, view) for scorer in DUPLICATES}


def chosen(selector: Any, view: Any) -> bytes:
    found = selector.select(view, 0.3, np.random.default_rng(0))
    return repr((found.index.tolist(), found.reason, found.random, np.asarray(found.gain).tolist())).encode()


def scored(scorer: Any, view: Any) -> bytes:
    rows = view.to_arrow(["id"]).append_column(ROW, pa.array(np.arange(len(view)))).combine_chunks()
    fitted = scorer.fit(view)
    table = pa.Table.from_batches([fitted.score(rows.to_batches()[0])])
    return repr((table.to_pydict(), getattr(fitted, "notes", ()))).encode()


def views(store: curate.Store, labelled: curate.Store) -> list[StoreView]:
    return [
        store.items,
        store.items.where("size > 5"),
        labelled.items,
        labelled.items.where("text > 'text i01'"),
    ]


def in_memory(view: StoreView) -> ArrayView:
    """The same rows, all in one piece."""
    table = view.to_arrow()
    if "text" not in table.column_names:  # which a store knows by its role
        table = table.append_column("text", view.to_arrow(["text"]).column(0))
    name = "vector" if "vector" in table.column_names else "pred_probs"
    return ArrayView(table.drop_columns([name]), {name: np.array(table[name].to_pylist(), np.float32)})


def test_by_pieces_as_at_once(store: curate.Store, labelled: curate.Store) -> None:
    for view in views(store, labelled):
        pieces, at_once = found(view), found(in_memory(view))
        assert len(list(view.spread(lambda piece, first: first))) > 4 and pieces == at_once
        assert all(b"True" in answer for name, answer in pieces.items() if "Duplicate" in name)


@pytest.mark.slow
def test_on_any_number_of_workers_and_through_deaths(store: curate.Store, labelled: curate.Store) -> None:
    ray = pytest.importorskip("ray", reason="extra ray not installed")
    from curate.run.ray_runner import RayRunner

    class Deadly(RayRunner):
        """Loses a worker twice between two questions to what they hold."""

        asked_for = 0

        def send(self, calls: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
            self.asked_for += 1
            if self.asked_for in DEATHS:
                ray.kill(self._actors[self.asked_for % 2], no_restart=False)
            return super().send(calls)

    chosen = views(store, labelled)[1::2]
    expected, first = [found(view) for view in chosen], RayRunner(None, 4)
    try:
        for runner in (first, RayRunner(None, 1), Deadly(None, 2)):
            assert [found(view.worked_by(runner)) for view in chosen] == expected, runner
            runner._dismiss()
        assert runner.asked_for > max(DEATHS)
    finally:
        first.close()
