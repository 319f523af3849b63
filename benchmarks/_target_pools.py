"""Pools with a target in them: USPS among MNIST, and four classes of CIFAR-10 among all, under labels that people gave."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from _cifar_resnet import features_and_logits, listed_images
from PIL import Image

Array = npt.NDArray[Any]
ASKED = (3, 4, 5, 7)
"""Cat, deer, dog and horse."""


class Split(NamedTuple):
    """Pool, wanted and test items: features (n, d) float32 and labels."""

    x: Array
    y: Array
    wanted_x: Array
    wanted_y: Array
    test_x: Array
    test_y: Array
    kin: Array
    """(n,) whether a pool item is of the target's domain, or of its classes and rightly labelled: shown, never used."""


def usps(folder: Path, seed: int) -> Split:
    home = folder / "mnist10k" / "data"
    images = np.frombuffer(
        gzip.decompress((home / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
    )
    labels = np.frombuffer(
        gzip.decompress((home / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8
    )
    small = [
        Image.fromarray(one).resize((16, 16), Image.Resampling.BILINEAR) for one in images.reshape(-1, 28, 28)
    ]
    mnist = np.stack([np.asarray(one) for one in small]).reshape(-1, 256) / 128 - 1
    with np.load(folder / "usps" / "usps_train.npz") as file:
        names = sorted(file.files, key=lambda name: -file[name].ndim)
        other, answers = file[names[0]].reshape(-1, 256) / 128 - 1, file[names[1]].ravel()
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(len(mnist))[:7000], rng.permutation(len(other))
    pool, wanted, test = b[:800], b[800:900], b[900:3400]
    x = np.concatenate([mnist[a], other[pool]]).astype(np.float32)
    y = np.concatenate([labels[a], answers[pool]]).astype(np.int64)
    parts = [(other[rows].astype(np.float32), answers[rows].astype(np.int64)) for rows in (wanted, test)]
    return Split(x, y, *parts[0], *parts[1], np.arange(len(x)) >= 7000)


def cifar(folder: Path, seed: int) -> Split:
    train, index, true = _features(folder, "train_first15000")
    test, _, test_y = _features(folder, "test")
    with np.load(folder / "cifar_n" / "cifar10n.npz") as file:
        noisy = file["worse_label"][index].astype(np.int64)
    rng = np.random.default_rng(seed)
    pool = rng.permutation(len(train))[:9000]
    asked = rng.permutation(np.flatnonzero(np.isin(test_y, ASKED)))[:2600]
    wanted, rest = asked[:100], asked[100:]
    kin = np.isin(true[pool], ASKED) & (true[pool] == noisy[pool])
    parts = [(test[rows], test_y[rows]) for rows in (wanted, rest)]
    return Split(train[pool], noisy[pool], *parts[0], *parts[1], kin)


_CACHE: dict[str, tuple[Array, Array, Array]] = {}


def _features(folder: Path, part: str) -> tuple[Array, Array, Array]:
    """ResNet-20 features (n, 64) of one archive, to unit variance; indices in CIFAR-10; true labels."""
    if part not in _CACHE:
        images, places, labels = listed_images(folder, part)
        found, _ = features_and_logits(images, folder / "weights_resnet_cifar10" / "resnet20-12fca82f.th")
        _CACHE[part] = (found - found.mean(0)) / found.std(0), places, labels
    return _CACHE[part]


TASKS: dict[str, Callable[[Path, int], Split]] = {"usps": usps, "cifar": cifar}
