"""From raw CIFAR-10 JPEGs and people's noisy labels to a cleaned export and a list of items to ask again."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from curate.errors import MissingExtraError
from curate.recipe.reader import build_recipe

N = 3000
WEIGHTS = "weights_resnet_cifar10/resnet20-12fca82f.th"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

pytestmark = [pytest.mark.slow, pytest.mark.data]


@pytest.fixture(scope="module")
def cifar(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The first 3,000 training images as JPEG files, `metadata.csv` with three people's labels, and the true labels."""
    pytest.importorskip("sklearn", reason="extra not installed")
    folder = tmp_path_factory.mktemp("cifar")
    labels = np.load(data_dir / "cifar_n" / "cifar10n.npz")
    given, truth = labels["worse_label"][:N], labels["clean_label"][:N]
    votes = [labels[f"random_label{i}"][:N] for i in (1, 2, 3)]
    index = _index(data_dir)
    lines = ["id,file_name,label,first,second,third"]
    with zipfile.ZipFile(data_dir / "cifar10_images" / "train_first15000.zip") as archive:
        for i in range(N):
            name = f"{i:05d}.jpg"
            (folder / name).write_bytes(archive.read(index[i]))
            row = [f"{i:05d}", name, *(CLASSES[int(v)] for v in (given[i], *(vote[i] for vote in votes)))]
            lines.append(",".join(row))
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    np.save(folder.parent / f"{folder.name}-features.npy", _features(folder, data_dir))
    return folder, {f"{i:05d}": CLASSES[int(t)] for i, t in enumerate(truth)}


def _index(data_dir: Path) -> dict[int, str]:
    import csv

    with (data_dir / "cifar10_images" / "train_first15000_index.csv").open() as file:
        rows = list(csv.reader(file))
    return {int(row[0]): row[1] for row in rows[1:]}


def _features(folder: Path, data_dir: Path) -> np.ndarray:
    """What a published encoder gives: 64 numbers of a ResNet-20. It was trained on CIFAR-10's clean labels, these images
    included, so that what is found with it flatters; the way there is what is tried."""
    pytest.importorskip("torch", reason="extra not installed")
    from PIL import Image

    path = Path(__file__).parents[2] / "benchmarks" / "_cifar_resnet.py"
    spec = importlib.util.spec_from_file_location("cifar_resnet", path)
    assert spec is not None and spec.loader is not None
    resnet = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(resnet)
    images = (Image.open(path) for path in sorted(folder.glob("*.jpg")))
    features: np.ndarray = resnet.features_and_logits(images, data_dir / WEIGHTS)[0]
    return features


def test_from_jpegs_and_noisy_labels_to_a_clean_export_and_a_list_to_ask_again(
    cifar: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, truth = cifar
    features = folder.parent / f"{folder.name}-features.npy"
    votes = {"columns": ["first", "second", "third"], "label": "label"}
    steps = [
        {"import": str(folder), "kind": "label"},
        {"attach": str(features), "as": "resnet", "ids": "rows"},
        {"score": "out-of-fold", "with": {"embedding": "resnet"}},
        {"score": "label-errors"},
        {"score": "consensus", "with": votes},
        {"analyse": "label-health"},
        {"analyse": "label-audit", "with": {"items": 50}},
        {"analyse": "annotators", "with": {"columns": votes["columns"], "resamples": 50}},
        {"keep": "not label_error and not label_disagrees", "as": "clean"},
        {"export": str(tmp_path / "clean"), "selection": "clean"},
        {"report": str(tmp_path / "report.html")},
    ]
    with curate.open(tmp_path / "cifar.curate", create=True) as store:
        recipe = build_recipe({"store": str(store.path), "steps": steps})
        try:
            run = store.run(recipe)
        except MissingExtraError as error:
            pytest.skip(str(error))
        assert run.status == "done"
        again = store.select(
            "top", by="consensus", lowest=True, budget=200, where="needs_more_answers", name="ask-again"
        )
        store.export(tmp_path / "ask", format="jsonl", selection="ask-again")
        _check(store, truth, again.to_arrow()["id"].to_pylist(), tmp_path)
        assert all(step.reused for step in store.run(recipe).steps if step.kind != "report")


def _check(store: curate.Store, truth: dict[str, str], again: list[str], out: Path) -> None:
    columns = ["id", "label", "label_error", "consensus", "consensus_label", "label_disagrees"]
    rows = store.items.to_arrow(columns).to_pylist()
    wrong = np.array([row["label"] != truth[row["id"]] for row in rows])
    flagged = np.array([bool(row["label_error"]) for row in rows])
    assert wrong.mean() > 0.35  # the worst of three people's labels, really
    settled = np.array([row["consensus_label"] != truth[row["id"]] for row in rows])
    precision = (wrong & flagged).sum() / flagged.sum()
    assert precision > wrong.mean() + 0.2, (
        f"flags are right in {precision:.0%}, at random in {wrong.mean():.0%}"
    )
    files = sorted((out / "clean").rglob("*.parquet"))
    kept = [row for file in files for row in pq.read_table(file, columns=["id", "label"]).to_pylist()]
    assert len(kept) > N / 3
    left = np.mean([row["label"] != truth[row["id"]] for row in kept])
    assert left < wrong.mean() / 3, f"{left:.1%} of what is kept is wrong, {wrong.mean():.1%} at random"
    assert settled.mean() < wrong.mean() / 2
    asked = {
        json.loads(line)["id"]
        for path in (out / "ask").rglob("*.jsonl")
        for line in path.read_text().splitlines()
    }
    assert asked == set(again) and len(asked) == 200
    lost = settled[[row["id"] in asked for row in rows]].mean()
    assert lost > 2 * settled.mean(), (
        f"{lost:.0%} of those to ask again are wrong, {settled.mean():.0%} of all"
    )
    html = (out / "report.html").read_text()
    assert all(f'id="{section}"' in html for section in ("labels", "findings", "galleries", "balance"))
