"""Pools with a target in them: USPS among MNIST, and four classes of CIFAR-10 among all, under labels that people gave."""

from __future__ import annotations

import functools
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
PARTS = ("train_first15000", "test")


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
    """True labels, and features that were not learnt from these images."""
    (train, test), (_, true, test_y) = _edges(folder), _labels(folder)
    return _asked((train, true, true), (test, test_y), seed)


def cifar_noisy(folder: Path, seed: int) -> Split:
    """Labels of one annotator, and features of a ResNet-20 that was trained on the true labels of these very images."""
    (train, test), (index, true, test_y) = _network(folder), _labels(folder)
    with np.load(folder / "cifar_n" / "cifar10n.npz") as file:
        noisy = file["worse_label"][index].astype(np.int64)
    return _asked((train, noisy, true), (test, test_y), seed)


def _asked(train: tuple[Array, Array, Array], test: tuple[Array, Array], seed: int) -> Split:
    (x, given, true), (test_x, test_y), rng = train, test, np.random.default_rng(seed)
    pool = rng.permutation(len(x))[:9000]
    asked = rng.permutation(np.flatnonzero(np.isin(test_y, ASKED)))[:2600]
    wanted, rest = asked[:100], asked[100:]
    kin = np.isin(true[pool], ASKED) & (true[pool] == given[pool])
    return Split(x[pool], given[pool], test_x[wanted], test_y[wanted], test_x[rest], test_y[rest], kin)


@functools.cache
def _labels(folder: Path) -> tuple[Array, Array, Array]:
    """Places of the training images in CIFAR-10, and the true labels of both sides."""
    (_, places, true), (_, _, test) = (listed_images(folder, part) for part in PARTS)
    return places, true, test


@functools.cache
def _network(folder: Path) -> list[Array]:
    """ResNet-20 features (n, 64) of both sides, each to unit variance."""
    weights = folder / "weights_resnet_cifar10" / "resnet20-12fca82f.th"
    sides = (features_and_logits(listed_images(folder, part)[0], weights)[0] for part in PARTS)
    return [(found - found.mean(0)) / found.std(0) for found in sides]


@functools.cache
def _edges(folder: Path) -> list[Array]:
    """Histograms of eight directions of edges and mean colours in 4 x 4 cells, (n, 176), scaled as the training side is."""
    sides = []
    for part in PARTS:
        pixels = np.stack([np.asarray(im.resize((32, 32))) for im in listed_images(folder, part)[0]])
        grey = pixels.mean(3, dtype=np.float32)
        down, right = np.gradient(grey, axis=(1, 2))
        bins = ((np.arctan2(down, right) / np.pi + 1) * 4).astype(int) % 8
        size, cell = np.hypot(down, right), np.arange(1024).reshape(32, 32)
        cell = (cell // 32 // 8) * 4 + cell % 32 // 8
        places = (np.arange(len(grey))[:, None, None] * 16 + cell) * 8 + bins
        edges = np.bincount(places.ravel(), size.ravel(), len(grey) * 128).reshape(-1, 16, 8)
        edges = np.sqrt(edges / (edges.sum(2, keepdims=True) + 1))
        colours = pixels.reshape(-1, 4, 8, 4, 8, 3).mean((2, 4), dtype=np.float32).reshape(-1, 48)
        sides.append(np.concatenate([edges.reshape(-1, 128), colours / 64], 1).astype(np.float32))
    mean, spread = sides[0].mean(0), sides[0].std(0)
    return [(side - mean) / spread for side in sides]


TASKS: dict[str, Callable[[Path, int], Split]] = {"usps": usps, "cifar": cifar, "cifar-noisy": cifar_noisy}
