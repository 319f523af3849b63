"""From pairs to a filter without a hub: joint embedders on flickr8k_1k, against ridge regression and chance.

    python benchmarks/pair_filter.py DATA [--cache FILE.npz] [--splits 5] [--epochs 5]

DATA holds flickr8k_1k and weights_resnet_cifar10. Images: colour histograms, and what the last two stages of ResNet-20
and ResNet-32, trained on CIFAR-10, see at 32, 64 and 128 pixels; texts: MiniLM. 560 photos teach with all their captions, 140
are held back: how often does a caption of the photo itself score above one of another held-back photo (AUROC over all
photo-caption pairs)? That for several splits; in each, which features, components, shrinkage and penalty are used is chosen by
cross-validation on its own 560. Then every judged pair is scored by a model that has not seen its photo, and compared with
the people's judgements; intervals there are bootstraps over photos.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _measure import markdown
from _photo_features import photo_features
from PIL import Image

from curate.scorers.alignment import train_joint
from curate.scorers.alignment.metrics import srcc
from curate.scorers.alignment.pairs.crossfit import told_apart

Array = npt.NDArray[Any]
Scorer = Callable[[Array, Array], Array]
"""Photos (n, d) and texts (m, e) in, scores (n, m) out."""
SETTINGS = [(128, 1.0), (128, 4.0), (256, 2.0), (256, 4.0)]
"""Components and shrinkage."""
PENALTIES = (1e3, 1e4, 1e5)
FOLDS = 3
FEATURES: dict[str, Callable[[str], bool]] = {
    "one network, last stage, and HOG": lambda name: (
        not name.startswith("resnet32") and not name.endswith("-2")
    ),
    "one network, last stage": lambda name: (
        "colours" in name or (name.startswith("resnet20") and name.endswith("-3"))
    ),
    "two networks, last stage": lambda name: "colours" in name or name.endswith("-3"),
    "two networks, two stages": lambda name: name != "gradients",
}
"""Which blocks each set of features holds."""


# --- Data ---------------------------------------------------------------------------------------------------------


def load(data: Path) -> dict[str, Array]:
    """Blocks of image features (700, d) by `names`; `texts` (m, 384) by `keys` (photo#number)."""
    from curate.scorers.embedding.minilm import _encode

    folder = data / "flickr8k_1k"
    archive = zipfile.ZipFile(folder / "images.zip")
    files = sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
    photos = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in files]
    blocks = photo_features(photos, data / "weights_resnet_cifar10")
    names = [Path(name).name for name in files]
    wanted = {key for pairs, _ in judgements(folder).values() for _, key in pairs}
    lines = [line.split("\t", 1) for line in (folder / "captions.tsv").read_text().splitlines()]
    lines = [line for line in lines if line[0] in wanted or line[0].split("#")[0] in set(names)]
    texts = _encode([text for _, text in lines], "cpu", 64)
    return {**blocks, "names": np.array(names), "texts": texts, "keys": np.array([key for key, _ in lines])}


def judgements(folder: Path) -> dict[str, tuple[list[tuple[str, str]], Array]]:
    """Pairs (photo, caption key) and what people said: the mean of three experts, 1 to 4; the crowd's share of yes."""
    rows = [line.split("\t") for line in (folder / "ExpertAnnotations.txt").read_text().splitlines()]
    expert = np.array([np.mean([float(v) for v in row[2:5]]) for row in rows])
    lines = [
        line.split("\t") for line in (folder / "CrowdFlowerAnnotations.valid.txt").read_text().splitlines()
    ]
    crowd = np.array([float(row[2]) for row in lines])
    return {
        "experts": ([(row[0], row[1]) for row in rows], expert),
        "crowd": ([(row[0], row[1]) for row in lines], crowd),
    }


# --- Models -------------------------------------------------------------------------------------------------------


def ridge(x: Array, y: Array, penalty: float) -> Scorer:
    mean, scale, middle = x.mean(0), x.std(0) + 1e-6, y.mean(0)
    z = (x - mean) / scale
    weights = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - middle))

    def score(images: Array, texts: Array) -> Array:
        sides = ((images - mean) / scale) @ weights, texts - middle
        left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
        return np.asarray(left @ right.T)

    return score


def joint(x: Array, y: Array, groups: Array, **settings: Any) -> Scorer:
    model = train_joint(x, y, groups=groups, **settings)
    return lambda images, texts: model.embed_images(images) @ model.embed_texts(texts).T


class Set:
    """Photos as one set of features shows them, captions, and which photo each was written for (-1: one not here)."""

    def __init__(self, found: dict[str, Array], features: str) -> None:
        place = {name: i for i, name in enumerate(found["names"].tolist())}
        blocks = [
            found[name]
            for name in found
            if name not in ("names", "texts", "keys") and FEATURES[features](name)
        ]
        self.place, self.images, self.texts = (
            place,
            np.concatenate(blocks, 1).astype(np.float64),
            found["texts"],
        )
        self.row = {key: i for i, key in enumerate(found["keys"].tolist())}
        self.owner = np.array([place.get(key.split("#")[0], -1) for key in found["keys"].tolist()])

    def taught(self, photos: Array) -> tuple[Array, Array, Array]:
        rows = np.flatnonzero(np.isin(self.owner, photos))
        return self.images[self.owner[rows]], self.texts[rows], self.owner[rows]

    def auroc(self, score: Scorer, photos: Array) -> float:
        rows = np.flatnonzero(np.isin(self.owner, photos))
        scores = score(self.images[photos], self.texts[rows])
        own = photos[:, None] == self.owner[rows][None, :]
        return told_apart(scores[own], scores[~own])


def choose(data: Set, train: Array) -> tuple[float, tuple[int, float], float]:
    """AUROC of the best joint embedder, its components and shrinkage, and the best penalty of the ridge, by
    cross-validation on the training photos (which lie in an order drawn at random)."""
    by_setting, by_penalty = np.zeros(len(SETTINGS)), np.zeros(len(PENALTIES))
    for part in range(FOLDS):
        held, inner = train[part::FOLDS], np.delete(train, np.s_[part::FOLDS])
        x, y, groups = data.taught(inner)
        for i, (components, shrinkage) in enumerate(SETTINGS):
            score = joint(x, y, groups, epochs=0, components=components, shrinkage=shrinkage)
            by_setting[i] += data.auroc(score, held) / FOLDS
        for i, penalty in enumerate(PENALTIES):
            by_penalty[i] += data.auroc(ridge(x, y, penalty), held) / FOLDS
    best = int(by_setting.argmax())
    return float(by_setting[best]), SETTINGS[best], PENALTIES[int(by_penalty.argmax())]


# --- Report -------------------------------------------------------------------------------------------------------


def own_against_other(
    sets: dict[str, Set], splits: int, epochs: int
) -> tuple[str, str, tuple[int, float], float]:
    """The table; and what was chosen on the first split: features, components and shrinkage, penalty."""
    found: dict[str, list[float]] = {}
    chosen, first = [], ("", SETTINGS[0], 0.0)
    photos = len(next(iter(sets.values())).images)
    for split in range(splits):
        shuffled = np.random.default_rng(split).permutation(photos)
        test, train = shuffled[:140], shuffled[140:]
        picked = {name: choose(data, train) for name, data in sets.items()}
        for name, (_, (components, shrinkage), penalty) in picked.items():
            data = sets[name]
            x, y, groups = data.taught(train)
            closed = joint(x, y, groups, epochs=0, components=components, shrinkage=shrinkage)
            found.setdefault(f"ridge onto MiniLM: {name}", []).append(data.auroc(ridge(x, y, penalty), test))
            found.setdefault(f"closed form: {name}", []).append(data.auroc(closed, test))
        best = max(picked, key=lambda name: picked[name][0])
        chosen.append(best)
        first = first if split else (best, *picked[best][1:])
        found.setdefault("closed form, all chosen on the 560", []).append(found[f"closed form: {best}"][-1])
        if not split and epochs:
            x, y, groups = sets[best].taught(train)
            model = joint(x, y, groups, epochs=epochs, components=first[1][0], shrinkage=first[1][1])
            found["the same, trained (first split)"] = [sets[best].auroc(model, test)]
    rows = [
        (name, len(v), f"{np.mean(v):.3f}", f"{min(v):.3f} to {max(v):.3f}", f"{v[0]:.3f}")
        for name, v in found.items()
    ]
    rows.append(("random", "", "0.500", "", ""))
    text = markdown(["trained on 560 photos", "splits", "AUROC on 140, mean", "range", "first split"], rows)
    return f"{text}\n\nChosen on the 560, split by split: {'; '.join(chosen)}.", *first


def against_people(data: Set, folder: Path, makers: dict[str, Callable[..., Scorer]]) -> str:
    fold = np.random.default_rng(1).permutation(len(data.images)) % 5
    said, rng, rows = judgements(folder), np.random.default_rng(0), []
    for name, make in makers.items():
        whole = np.empty((len(data.images), len(data.texts)))
        for part in range(5):
            photos = np.flatnonzero(fold == part)
            whole[photos] = make(*data.taught(np.flatnonzero(fold != part)))(data.images[photos], data.texts)
        for who, (pairs, human) in said.items():
            known = [i for i, (photo, key) in enumerate(pairs) if photo in data.place and key in data.row]
            photo = np.array([data.place[pairs[i][0]] for i in known])
            scores = whole[photo, [data.row[pairs[i][1]] for i in known]]
            by_photo = {p: np.flatnonzero(photo == p) for p in np.unique(photo)}
            drawn = []
            for _ in range(500):
                some = np.concatenate([by_photo[p] for p in rng.choice(list(by_photo), len(by_photo))])
                drawn.append(srcc(scores[some], human[known][some]))
            low, high = np.nanquantile(drawn, [0.025, 0.975])
            value = srcc(scores, human[known])
            rows.append([name, who, len(known), len(by_photo), f"{value:.3f}", f"{low:.3f} to {high:.3f}"])
    return markdown(["model, five-fold over photos", "judged by", "pairs", "photos", "SRCC", "95 %"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, help="features are kept here")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5, help="of training on the first split; 0: none")
    given = parser.parse_args()
    start = time.process_time()
    if given.cache and given.cache.exists():
        found = dict(np.load(given.cache))
    else:
        found = load(given.data)
        if given.cache:
            np.savez(given.cache, **found)
    print(f"Features: {time.process_time() - start:.0f} CPU seconds.", flush=True)
    sets = {name: Set(found, name) for name in FEATURES}
    table, features, (components, shrinkage), penalty = own_against_other(sets, given.splits, given.epochs)
    print(
        f"\n{table}\n\nAgainst people: {features}, components {components}, shrinkage {shrinkage:g}.\n",
        flush=True,
    )
    makers: dict[str, Callable[..., Scorer]] = {
        "ridge onto MiniLM": lambda x, y, g: ridge(x, y, penalty),
        "closed form": lambda x, y, g: joint(x, y, g, epochs=0, components=components, shrinkage=shrinkage),
    }
    print(against_people(sets[features], given.data / "flickr8k_1k", makers))


if __name__ == "__main__":
    main()
