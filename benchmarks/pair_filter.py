"""From pairs to a filter without a hub: joint embedders on flickr8k_1k, against ridge regression and chance.

    python benchmarks/pair_filter.py DATA [--cache FILE.npz] [--epochs 40]

DATA holds flickr8k_1k and weights_resnet_cifar10. Images: colour histograms, gradient histograms (HOG) and ResNet-20's
features at 32, 64 and 128 pixels; texts: MiniLM. 560 photos teach with all their captions, 140 are held back: how often
does a caption of the photo itself score above one of another held-back photo (AUROC over all photo-caption pairs)? Penalties,
and whether HOG helps, are chosen on a fifth of the 560, never on the 140. Then every judged pair is scored by a model that has not seen its photo,
and compared with the people's judgements; intervals are bootstraps over photos.
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
from _cifar_resnet import MEAN, SPREAD
from _measure import markdown
from PIL import Image

from curate.scorers.alignment import train_joint
from curate.scorers.alignment.metrics import srcc
from curate.scorers.alignment.pairs.crossfit import told_apart

Array = npt.NDArray[Any]
Scorer = Callable[[Array, Array], Array]
"""Photos (n, d) and texts (m, e) in, scores (n, m) out."""
SETTINGS = [(128, 1.0), (128, 4.0), (256, 4.0)]
PENALTIES = (1e2, 1e3, 1e4, 1e5)


# --- Features -----------------------------------------------------------------------------------------------------


def load(data: Path) -> dict[str, Array]:
    """`images` (700, d) by `names`; `texts` (m, 384) by `keys` (photo#number)."""
    from curate.scorers.embedding.minilm import _encode

    folder = data / "flickr8k_1k"
    archive = zipfile.ZipFile(folder / "images.zip")
    names = sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
    photos = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]
    weights = data / "weights_resnet_cifar10" / "resnet20-12fca82f.th"
    parts = [
        np.stack([colours(photo) for photo in photos]),
        np.stack([gradients(photo) for photo in photos]),
        *(network(photos, weights, size) for size in (32, 64, 128)),
    ]
    names = [Path(name).name for name in names]
    wanted = {key for file, _ in judgements(folder).values() for _, key in file}
    lines = [line.split("\t", 1) for line in (folder / "captions.tsv").read_text().splitlines()]
    lines = [line for line in lines if line[0] in wanted or line[0].split("#")[0] in set(names)]
    texts = _encode([text for _, text in lines], "cpu", 64)
    keys = np.array([key for key, _ in lines])
    return {"images": np.concatenate(parts, 1), "names": np.array(names), "texts": texts, "keys": keys}


def colours(photo: Image.Image) -> Array:
    """Roots of the shares of 72 colours (hue, saturation, value), in the upper half, the lower half and the whole."""
    hsv = np.asarray(photo.resize((64, 64)).convert("HSV")).astype(int)
    codes = hsv[..., 0] * 8 // 256 * 9 + hsv[..., 1] * 3 // 256 * 3 + hsv[..., 2] * 3 // 256
    counts = [np.bincount(part.ravel(), minlength=72) / part.size for part in (codes[:32], codes[32:], codes)]
    return np.sqrt(np.concatenate(counts))


def gradients(photo: Image.Image, size: int = 64, cell: int = 8, bins: int = 9) -> Array:
    """Histograms of oriented gradients, each cell brought to about unit length."""
    dy, dx = np.gradient(np.asarray(photo.convert("L").resize((size, size)), float))
    strength, angle = np.hypot(dx, dy), (np.arctan2(dy, dx) % np.pi) / np.pi * bins
    low = np.floor(angle).astype(int)
    upper = angle - low
    place = np.arange(size) // cell
    found = np.zeros((size // cell, size // cell, bins))
    for bin_, share in ((low % bins, 1 - upper), ((low + 1) % bins, upper)):
        np.add.at(found, (place[:, None], place[None, :], bin_), strength * share)
    return (found / (np.sqrt((found**2).sum(2, keepdims=True)) + 20)).ravel()


def network(photos: list[Image.Image], weights: Path, size: int) -> Array:
    """ResNet-20's last features (64) of photos at a size, averaged over the whole and over its four quarters."""
    import torch
    from _cifar_resnet import forward

    state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("module."): value for name, value in state.items()}
    rows = []
    with torch.inference_mode():
        for low in range(0, len(photos), 50):
            pixels = np.stack([np.asarray(photo.resize((size, size))) for photo in photos[low : low + 50]])
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
            found = [forward(x, state, parts).numpy() for parts in (1, 2)]
            rows.append(np.concatenate(found, 1))
    return np.concatenate(rows)


def without_gradients(found: dict[str, Array]) -> dict[str, Array]:
    """The same without the HOG numbers, which lie between the colours and the network's."""
    return {**found, "images": np.delete(found["images"], np.s_[216:792], axis=1)}


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
    """Photos, captions, and which photo each caption was written for (-1: one whose photo is not here)."""

    def __init__(self, found: dict[str, Array]) -> None:
        place = {name: i for i, name in enumerate(found["names"].tolist())}
        self.place, self.images, self.texts = place, found["images"].astype(np.float64), found["texts"]
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


def choose(data: Set, train: Array) -> tuple[tuple[int, float], float, float]:
    """Components and shrinkage of the joint embedder, penalty of the ridge, by a fifth of the training photos; the
    joint embedder's AUROC there."""
    inner, held = train[len(train) // 5 :], train[: len(train) // 5]
    x, y, groups = data.taught(inner)
    by_setting = [
        data.auroc(joint(x, y, groups, epochs=0, components=c, shrinkage=s), held) for c, s in SETTINGS
    ]
    by_penalty = [data.auroc(ridge(x, y, penalty), held) for penalty in PENALTIES]
    best = int(np.argmax(by_setting))
    return SETTINGS[best], PENALTIES[int(np.argmax(by_penalty))], by_setting[best]


# --- Report -------------------------------------------------------------------------------------------------------


def own_against_other(data: Set, split: tuple[Array, Array], makers: dict[str, Callable[..., Scorer]]) -> str:
    train, test = split
    rng, rows = np.random.default_rng(0), []
    for name, make in makers.items():
        start = time.process_time()
        score = make(*data.taught(train))
        seconds = time.process_time() - start
        value = data.auroc(score, test)
        drawn = [data.auroc(score, np.unique(rng.choice(test, len(test)))) for _ in range(100)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        rows.append([name, f"{value:.3f}", f"{low:.3f} to {high:.3f}", f"{seconds:.1f}"])
    rows.append(["random", "0.500", "", ""])
    return markdown(["trained on 560 photos", "AUROC on 140", "95 %", "CPU s"], rows)


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
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    if arguments.cache and arguments.cache.exists():
        found = dict(np.load(arguments.cache))
    else:
        found = load(arguments.data)
        if arguments.cache:
            np.savez(arguments.cache, **found)
    shuffled = np.random.default_rng(0).permutation(len(found["images"]))
    test, train = shuffled[:140], shuffled[140:]
    sets = {"with HOG": Set(found), "without HOG": Set(without_gradients(found))}
    chosen = {name: choose(data, train) for name, data in sets.items()}
    for name, (setting, penalty, inner) in chosen.items():
        print(f"{name}: components and shrinkage {setting}, ridge {penalty:g}; joint on the 112: {inner:.4f}")
    best = max(chosen, key=lambda name: chosen[name][2])
    data, ((components, shrinkage), penalty, _) = sets[best], chosen[best]
    settings = {"components": components, "shrinkage": shrinkage}
    issue = {"ridge onto MiniLM, with HOG": lambda x, y, g: ridge(x, y, chosen["with HOG"][1])}
    print("\n" + own_against_other(sets["with HOG"], (train, test), issue), flush=True)
    makers: dict[str, Callable[..., Scorer]] = {
        "ridge onto MiniLM": lambda x, y, g: ridge(x, y, penalty),
        "closed form": lambda x, y, g: joint(x, y, g, epochs=0, **settings),
        "and trained": lambda x, y, g: joint(x, y, g, epochs=arguments.epochs, **settings),
    }
    print(f"\n{best}:")
    print("\n" + own_against_other(data, (train, test), makers), flush=True)
    makers.pop("and trained")
    print("\n" + against_people(data, arguments.data / "flickr8k_1k", makers))


if __name__ == "__main__":
    main()
