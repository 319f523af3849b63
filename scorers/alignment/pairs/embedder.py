"""Two towers that bring vectors of images and of texts into one space, learned from pairs that belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError

__all__ = ["JointEmbedder", "Tower", "check_pairs", "group_codes", "train_joint"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_FEWEST = 4
"""Groups of pairs below which nothing is learned."""
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class Tower:
    """One side: z = ((x - mean) / scale) `project`, then z `linear` + relu(z `inner` + bias) `outer`.

    `mean`, `scale` (d,); `project` (d, c); `linear` (c, k); `inner` (c, h), `bias` (h,), `outer` (h, k), h may be 0.
    """

    mean: Floats
    scale: Floats
    project: Floats
    linear: Floats
    inner: Floats
    bias: Floats
    outer: Floats

    def reduce(self, vectors: npt.NDArray[Any]) -> Floats:
        """(n, d) in, whitened (n, c) out."""
        return np.asarray(((vectors - self.mean) / self.scale) @ self.project, np.float64)

    def embed(self, vectors: npt.NDArray[Any]) -> Floats:
        """(n, d) in, (n, k) of unit length out; NaN where a row holds one or has no direction."""
        width = len(self.mean)
        vectors = np.asarray(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != width:
            raise InputError(f"vectors of shape {vectors.shape}: this tower was trained on (n, {width})")
        found = np.empty((len(vectors), self.linear.shape[1]))
        for low in range(0, len(vectors), _BLOCK):
            z = self.reduce(vectors[low : low + _BLOCK].astype(np.float64))
            states = z @ self.linear
            if self.inner.shape[1]:
                states = states + np.maximum(z @ self.inner + self.bias, 0) @ self.outer
            length = np.linalg.norm(states, axis=1, keepdims=True)
            with np.errstate(invalid="ignore", divide="ignore"):
                rows = np.where(np.isfinite(length) & (length > 0), states / length, np.nan)
            found[low : low + _BLOCK] = rows
        return found


@dataclass(frozen=True, eq=False)
class JointEmbedder:
    """What `train_joint` learned; scores any pair without torch.

    `held_out` is the loss on the held-out groups before the first and after each epoch, `best` the epoch whose towers
    these are (0: the closed form it starts from); `held_out` is empty where there were too few groups to hold any out.
    """

    image: Tower
    text: Tower
    best: int = 0
    held_out: tuple[float, ...] = ()

    def embed_images(self, images: npt.NDArray[Any]) -> Floats:
        """(n, d) in, (n, k) of unit length out."""
        return self.image.embed(images)

    def embed_texts(self, texts: npt.NDArray[Any]) -> Floats:
        """(n, e) in, (n, k) of unit length out."""
        return self.text.embed(texts)

    def score(self, images: npt.NDArray[Any], texts: npt.NDArray[Any]) -> Floats:
        """The cosine of image and text of each pair: (n,), -1 to 1, higher = they belong together; NaN for no vector."""
        if len(images) != len(texts):
            raise InputError(
                f"{counted(len(images), 'image')} and {counted(len(texts), 'text')}: one of each per pair"
            )
        return np.asarray(np.einsum("ij,ij->i", self.embed_images(images), self.embed_texts(texts)))


class Settings(NamedTuple):
    """How `train_joint` trains; its docstring says what each means."""

    hidden: int
    hardness: float
    temperature: float
    rate: float
    decay: float
    epochs: int
    patience: int
    seed: int


def train_joint(
    images: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    *,
    groups: npt.NDArray[Any] | None = None,
    dim: int = 64,
    components: int = 128,
    shrinkage: float = 1.0,
    hidden: int = 0,
    hardness: float = 0.5,
    temperature: float = 0.1,
    rate: float = 1e-3,
    decay: float = 0.1,
    epochs: int = 40,
    patience: int = 5,
    held: float = 0.1,
    seed: int = 0,
) -> JointEmbedder:
    """Learn one space for images and texts from pairs that belong together.

    `images` (n, d) and `texts` (n, e), finite, row i of one with row i of the other; d and e may differ. `groups` (n,):
    rows of one group (the captions of one picture, copies) are no wrong partners for each other, and are held out
    together; without it each row is its own.

    It starts from the closed form: both sides standardised, brought to their first `components` principal components
    and whitened (each variance raised by `shrinkage` times their mean, which holds small ones down), then the `dim` pairs
    of directions that correlate most, each weighted by the root of its correlation. From there both towers, linear or
    with a hidden layer of `hidden` units added, are trained for up to `epochs` by AdamW (`rate`, weight decay `decay` towards
    the start) on symmetric InfoNCE: each image must find its text among the batch's, and each text its image, cosines
    divided by `temperature`. Wrong partners count the more the more they look right, by exp(`hardness` cosine /
    temperature), mean 1; 0 is plain InfoNCE. A share `held` of the groups is held out; the towers with the least loss on
    it are kept, and training ends `patience` epochs after them. epochs=0 leaves the closed form, and needs no torch.

    The same rows in the same order, seed and machine give the same towers.
    Raises InputError for fewer than 4 groups, shapes that do not fit, values that are not finite, or constant vectors;
    MissingExtraError without `train`.
    Sources: van den Oord et al., arXiv 1807.03748, eq. 4; Radford et al. (CLIP), arXiv 2103.00020, section 2.3; Robinson et
    al., arXiv 2010.04592, eq. 4 for hard negatives.
    """
    images, texts, codes = check_pairs(images, texts, groups)
    _check_settings((dim, components, shrinkage), epochs, held)
    rng = np.random.default_rng(seed)
    out = _hold_out(codes, held, rng) if epochs else np.zeros(len(codes), bool)
    first = _whiten(images[~out], components, shrinkage, "images")
    second = _whiten(texts[~out], components, shrinkage, "texts")
    x, y = first.reduce(images), second.reduce(texts)
    left, right = _correlate(x[~out], y[~out], dim)
    model = JointEmbedder(replace(first, linear=left), replace(second, linear=right))
    if not epochs:
        return model
    from curate.scorers.alignment.pairs.training import refine

    settings = Settings(hidden, hardness, temperature, rate, decay, epochs, patience, seed)
    return refine(model, (x, y, codes), out, settings)


def check_pairs(
    images: npt.NDArray[Any], texts: npt.NDArray[Any], groups: npt.NDArray[Any] | None
) -> tuple[Floats, Floats, Ints]:
    """Both sides as float64 and a code per group. Raises InputError where `train_joint` says so."""
    images, texts = np.asarray(images, np.float64), np.asarray(texts, np.float64)
    if images.ndim != 2 or texts.ndim != 2 or len(images) != len(texts):
        raise InputError(f"images {images.shape} and texts {texts.shape}: (pairs, numbers) of each are meant")
    for name, side in (("images", images), ("texts", texts)):
        wrong = np.flatnonzero(~np.isfinite(side).all(1))
        if len(wrong):
            raise InputError(
                f"{name}: {counted(len(wrong), 'row is', 'rows are')} not finite, the first is row {wrong[0]}: leave "
                "them out"
            )
    codes = group_codes(groups, len(images))
    count = len(np.unique(codes))
    if count < _FEWEST:
        told = (
            counted(count, "pair") if groups is None else counted(count, "group of pairs", "groups of pairs")
        )
        raise InputError(f"{told}: it takes {_FEWEST} to learn anything, and some hundred to learn much")
    return images, texts, codes


def group_codes(groups: npt.NDArray[Any] | None, n: int) -> Ints:
    """A number per group from 0; each row its own without groups. Raises InputError for another length."""
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise InputError(f"{counted(len(groups), 'group')} for {counted(n, 'pair')}: one each")
    return np.asarray(np.unique(np.asarray(groups), return_inverse=True)[1], np.int64)


def _check_settings(form: tuple[int, int, float], epochs: int, held: float) -> None:
    dim, components, shrinkage = form
    if not 0 <= shrinkage < float("inf"):
        raise InputError(f"shrinkage={shrinkage}: 0 or more, in mean variances of the components")
    if dim < 1 or components < 1 or epochs < 0:
        raise InputError(f"dim={dim}, components={components}, epochs={epochs}: 1 or more, epochs 0 or more")
    if not 0 <= held < 1:
        raise InputError(f"held={held}: the share of groups held out lies in [0, 1)")


def _hold_out(codes: Ints, held: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which rows are held out: whole groups; none where fewer than two groups would be held or too few be left."""
    count = int(codes.max()) + 1
    some = round(held * count)
    if some < 2 or count - some < _FEWEST:
        return np.zeros(len(codes), bool)
    return np.isin(codes, rng.permutation(count)[:some])


def _whiten(vectors: Floats, components: int, shrinkage: float, name: str) -> Tower:
    mean, scale = vectors.mean(0), vectors.std(0)
    constant = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-12)
    if constant.all():
        raise InputError(f"all {len(vectors)} {name} are the same vector: nothing can be learned from them")
    scale = np.where(constant, 1, scale)
    z = np.where(constant, 0, (vectors - mean) / scale)
    values, axes = _components(z)
    kept = np.argsort(-values)[: min(components, len(vectors) - 1, vectors.shape[1])]
    kept = kept[values[kept] > 1e-9 * values[kept[0]]]
    axes = axes[:, kept] * np.sign(
        axes[np.abs(axes[:, kept]).argmax(0), kept]
    )  # a sign of its own: any would do
    axes[constant] = 0
    project = axes / np.sqrt(values[kept] + shrinkage * values[kept].mean())
    none = np.empty((len(kept), 0))
    return Tower(mean, scale, project, none, none, np.empty(0), np.empty((0, 0)))


def _components(z: Floats) -> tuple[Floats, Floats]:
    """Variances (c,) and axes (d, c) of the principal components of centred rows, by the smaller of two problems: images
    recur with each of their texts, and wide vectors of few images span no more directions than there are images."""
    width = z.shape[1]
    varying = z[:, z.any(axis=0).argmax()]
    wide = (
        len(np.unique(varying)) < width
    )  # else there are as many rows: to sort them whole would cost more than all
    distinct, counts = np.unique(z, axis=0, return_counts=True) if wide else (z, np.ones(len(z), np.int64))
    if len(distinct) >= width:
        values, axes = np.linalg.eigh(z.T @ z / len(z))
        return values, axes
    weighed = distinct * np.sqrt(counts / len(z))[:, None]
    values, sides = np.linalg.eigh(weighed @ weighed.T)
    sound = values > 1e-12 * values[-1]
    return values[sound], weighed.T @ (sides[:, sound] / np.sqrt(values[sound]))


def _correlate(x: Floats, y: Floats, dim: int) -> tuple[Floats, Floats]:
    left, strength, right = np.linalg.svd(x.T @ y / len(x), full_matrices=False)
    dim = min(dim, len(strength))
    weight = np.sqrt(strength[:dim])
    return left[:, :dim] * weight, right[:dim].T * weight
