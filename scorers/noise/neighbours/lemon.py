"""`lemon`: is a caption like those of images like its own, and its image like those of captions like it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_rows
from curate.contracts import View, detail, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.neighbours.candidates import Backend, Floats
from curate.scorers.noise.neighbours.items import read_items
from curate.scorers.noise.neighbours.search import nearest_blocks, prepare_rows, usable

__all__ = ["Lemon", "MultimodalDistances", "lemon"]

_CELLS = 1 << 22
"""Numbers of neighbours' vectors at a time: 16 MB."""


@dataclass(frozen=True)
class Lemon:
    """Scores whether image and text of a pair belong together, by the pairs around it.

    The score is minus the weighted sum of three distances, higher = keep: between image and text themselves (only if
    `joint`: the two columns come from one model that puts both into one space, as `clip` does); between the text and
    the texts of the `k` nearest images (`beta`); between the image and the images of the `k` nearest texts (`gamma`). A
    neighbour counts exp(-`near` its distance) times exp(-`sound` the distance between its own image and text).
    Reads the vector columns `image` and `text`, all distances are of cosines. Several captions of one picture are each
    other's neighbours, and should be: they are what says most about a wrong one.
    Beside the score the distances themselves: `lemon_own` (null if not `joint`), `lemon_text`, `lemon_image`.
    """

    image: str = "clip_image"
    text: str = "clip_text"
    k: int = 30
    joint: bool = True
    beta: float = 5.0
    gamma: float = 5.0
    near: float = 0.1
    sound: float = 5.0

    name: ClassVar[str] = "lemon"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.image, self.text)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        details = (detail(f"lemon_{name}", pa.float32()) for name in ("own", "text", "image"))
        return (score("lemon"), *details)

    def fit(self, view: View) -> FittedTable:
        """Score a view. Raises InputError for fewer items than `k`, or `joint` columns of different length."""
        items = read_items(view, (self.image, self.text), None)
        if not len(items):
            return items.answer(self, {})
        found = lemon(
            items.x[self.image],
            items.x[self.text],
            k=self.k,
            joint=self.joint,
            beta=self.beta,
            gamma=self.gamma,
            near=self.near,
            sound=self.sound,
        )
        own = pa.array(found.own) if self.joint else pa.nulls(len(items), pa.float32())
        values = {
            "lemon": found.score,
            "lemon_own": own,
            "lemon_text": found.text,
            "lemon_image": found.image,
        }
        return items.answer(self, values)


class MultimodalDistances(NamedTuple):
    """Pair by pair, (n,) float32 each: `score` = -(own + beta text + gamma image), higher = keep; `own`, the distance
    of image and text, 0 if not joint; `text` and `image`, the weighted mean distances to the neighbours'."""

    score: Floats
    own: Floats
    text: Floats
    image: Floats


def lemon(
    image: npt.NDArray[Any],
    text: npt.NDArray[Any],
    *,
    k: int = 30,
    joint: bool = True,
    beta: float = 5.0,
    gamma: float = 5.0,
    near: float = 0.1,
    sound: float = 5.0,
    backend: Backend = "auto",
) -> MultimodalDistances:
    """How badly each image and text fit together, from embeddings of both alone.

    `image` (n, d), `text` (n, e) finite, not zero; with `joint`, d = e and one space. Of pair i with image x and text y
    own = d(x, y); text = mean over the `k` nearest images x_j of d(y, y_j) exp(-near d(x, x_j)) exp(-sound d(x_j, y_j));
    image = the same with the roles exchanged, over the `k` nearest texts; d = 1 - cos. Without `joint` own is 0 and
    neighbours count alike, sound or not. `beta`, `gamma`, `near`, `sound` are 0 or more.

    Raises InputError for shapes that do not fit, values below 0, and where `nearest` does.
    Source: Zhang et al., "LEMoN: Label Error Detection using Multimodal Neighbors", ICML 2025, whose temperatures may
    differ between the two modalities; the default values are UNVERIFIED.
    """
    image, text = as_rows(image, "image"), as_rows(text, "text")
    _check(image, text, joint, (beta, gamma, near, sound))
    pictures, words = prepare_rows(image, "cosine", None)[0], prepare_rows(text, "cosine", None)[0]
    own, sound = (1 - np.einsum("ij,ij->i", pictures, words), sound) if joint else (np.zeros(len(image)), 0.0)
    weight = np.exp(-sound * own)
    by_image = _distance_to_others(pictures, words, k, (weight, near), backend)
    by_text = _distance_to_others(words, pictures, k, (weight, near), backend)
    badness = own + beta * by_image + gamma * by_text
    return MultimodalDistances(*(np.asarray(v, np.float32) for v in (-badness, own, by_image, by_text)))


def _distance_to_others(
    near_by: Floats, compared: Floats, k: int, weights: tuple[npt.NDArray[Any], float], backend: Backend
) -> npt.NDArray[np.float64]:
    """The weighted mean distance of each row of `compared` to those of its `k` nearest by `near_by`."""
    weight, near = weights
    out = np.empty(len(compared))
    step = max(1, _CELLS // max(1, k * compared.shape[1]))
    for low, rows, distance in nearest_blocks(near_by, k, backend=backend):
        for at in range(0, len(rows), step):
            some = slice(low + at, low + min(at + step, len(rows)))
            others = rows[at : at + step]
            apart = 1 - np.einsum("id,ikd->ik", compared[some], compared[others])
            out[some] = (apart * np.exp(-near * distance[at : at + step]) * weight[others]).mean(axis=1)
    return out


def _check(image: npt.NDArray[Any], text: npt.NDArray[Any], joint: bool, values: tuple[float, ...]) -> None:
    if image.ndim != 2 or text.ndim != 2 or len(image) != len(text):
        raise InputError(
            f"images {image.shape} and texts {text.shape}: (pairs, dimensions) of each are meant"
        )
    if joint and image.shape[1] != text.shape[1]:
        raise InputError(
            f"images have {counted(image.shape[1], 'dimension')}, texts {text.shape[1]}: they lie in no joint space; "
            "joint=False compares images with images and texts with texts alone"
        )
    if not all(value >= 0 for value in values):  # NaN is not
        raise InputError(f"beta, gamma, near, sound = {values}: 0 or more")
    for what, rows in (("image", image), ("text", text)):
        bad = np.flatnonzero(~usable(rows))
        if len(bad):
            raise InputError(
                f"{counted(len(bad), f'{what} is', f'{what}s are')} NaN, infinite or zero, as {int(bad[0])}: leave them out"
            )
