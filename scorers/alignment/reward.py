"""A reward head: a small network from a vector to a number that people's preferences taught it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_floats
from curate.contracts import reason_name, score
from curate.counting import counted
from curate.errors import InputError, MissingModelError, check_installed, require
from curate.scorers.alignment.similarity import read_vectors

__all__ = ["Activation", "RewardHead", "load_reward_head", "reward_score"]

Floats = npt.NDArray[np.float64]
Layer = tuple[npt.NDArray[Any], npt.NDArray[Any]]
Activation = Literal["none", "relu", "gelu"]
_PLACE = re.compile(r"(?:^|\.)(\d+)\.(weight|bias)$")
_ROWS = 16384


def reward_score(features: npt.ArrayLike, layers: Sequence[Layer], activation: Activation = "none") -> Floats:
    """What a head of linear layers gives for each vector: (n, d) in, (n,) float64 out, higher = preferred.

    `layers` are pairs of weight (out, in) and bias (out,), the last with one output; `activation` stands between them,
    not after the last ("none": the heads of ImageReward and of LAION's aesthetic score have dropout there and nothing
    else). NaN where a vector holds NaN. Raises InputError for layers that do not follow on one another or on the vectors.
    Source: Xu et al., ImageReward (2023), arXiv 2304.05977, section 3.2.
    """
    states = as_floats(features, "features")
    if states.ndim != 2:
        raise InputError(f"features are {states.shape}: (n, d) is needed")
    _check_layers(layers, states.shape[1])
    scores = np.empty(len(states))
    for low in range(0, len(states), _ROWS):
        block = states[low : low + _ROWS]
        for i, (weight, bias) in enumerate(layers):
            block = block @ as_floats(weight, "weight").T + as_floats(bias, "bias")
            block = _activate(block, activation) if i < len(layers) - 1 else block
        scores[low : low + _ROWS] = block[:, 0]
    return scores


def _activate(states: Floats, activation: Activation) -> Floats:
    if activation == "none":
        return states
    if activation == "relu":
        return np.maximum(states, 0)
    if activation == "gelu":
        special: Any = require("scipy.special", "noise")
        return np.asarray(states * special.ndtr(states))
    raise InputError(f"activation {activation!r}: 'none', 'relu' or 'gelu'")


def _check_layers(layers: Sequence[Layer], width: int) -> None:
    if not layers:
        raise InputError("a head without layers")
    for i, (weight, bias) in enumerate(layers):
        if np.ndim(weight) != 2 or np.shape(bias) != np.shape(weight)[:1]:
            raise InputError(f"layer {i}: weight {np.shape(weight)} and bias {np.shape(bias)} do not fit")
        if weight.shape[1] != width:
            raise InputError(
                f"layer {i} takes {counted(weight.shape[1], 'number')} and gets {width}: of another model?"
            )
        width = weight.shape[0]
    if width != 1:
        raise InputError(f"the last layer gives {counted(width, 'number')}, and one is needed")


def load_reward_head(path: str, prefix: str = "") -> list[Layer]:
    """The linear layers of a checkpoint, in the order of their numbers (`mlp.layers.0.weight`, `mlp.layers.2.bias`).

    A file by PyTorch or safetensors; only tensors are read. `prefix` chooses among the names ("mlp." of a whole
    ImageReward). Raises MissingModelError where the file is not there or holds no tensors, InputError where the names that
    are left make no head.
    """
    weights = _read(path)
    found: dict[int, dict[str, npt.NDArray[Any]]] = {}
    for name, values in weights.items():
        place = _PLACE.search(name)
        if name.startswith(prefix) and place:
            layer = found.setdefault(int(place[1]), {})
            if place[2] in layer:
                raise InputError(
                    f"{path} holds more than one layer {place[1]}: choose by a prefix of {name!r}"
                )
            layer[place[2]] = values
    layers = [(layer["weight"], layer["bias"]) for _, layer in sorted(found.items()) if len(layer) == 2]
    if not layers or len(layers) != len(found):
        raise InputError(
            f"{path} holds no head under {prefix!r}: names like 'layers.0.weight' and 'layers.0.bias' are needed, there "
            f"are {sorted(weights)[:5]}"
        )
    _check_layers(layers, layers[0][0].shape[1] if layers[0][0].ndim == 2 else 0)
    return layers


def _check_file(path: str) -> None:
    if not Path(path).is_file():
        raise MissingModelError(f"there is no file {path!r}: give the path of a head's weights")


def _read(path: str) -> Mapping[str, npt.NDArray[Any]]:
    _check_file(path)
    try:
        if path.endswith(".safetensors"):
            safetensors: Any = require("safetensors.torch", "vision")
            state = safetensors.load_file(path)
        else:
            torch: Any = require("torch", "vision")
            state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): value.float().numpy() for name, value in state.items()}
    except Exception as error:  # a file of another kind raises almost anything
        raise MissingModelError(f"{path} holds no weights by name: {error}") from error


@dataclass(frozen=True)
class RewardHead:
    """Scores vectors by a head that was trained on people's preferences: `reward_head`, higher = preferred.

    Any head of linear layers over any column of vectors: ImageReward's over the states of its BLIP, LAION's aesthetic
    score over `clip_image` of ViT-L-14. The score is (head(x) - mean) / deviation. Null where there is no vector.

    `weights`     the path of the head's checkpoint.
    `features`    the column of vectors.
    `prefix`      of the names of the layers in the checkpoint.
    `activation`  between layers: "none", "relu", "gelu".
    `unit`        whether vectors are brought to length 1 first.
    `mean`, `deviation`  of the scores in training, as the head's authors give them.
    """

    weights: str
    features: str = "clip_image"
    prefix: str = ""
    activation: Activation = "none"
    unit: bool = False
    mean: float = 0.0
    deviation: float = 1.0

    name: ClassVar[str] = "reward-head"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.deviation > 0:
            raise InputError(f"reward-head: deviation {self.deviation}, above 0")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.features,)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("reward_head"),)

    def ready(self) -> None:
        """Raises MissingModelError where the weights are not there, MissingExtraError where they cannot be read."""
        check_installed("safetensors" if self.weights.endswith(".safetensors") else "torch", "vision")
        if self.activation == "gelu":
            check_installed("scipy", "noise")
        _check_file(self.weights)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        vectors = read_vectors(batch, self.features)
        layers = _load(self.weights, self.prefix)
        known = np.isfinite(vectors).all(axis=1) & (vectors.shape[1] > 0)
        if self.unit:
            lengths = np.linalg.norm(vectors, axis=1)
            known &= lengths > 0
            vectors = vectors / np.where(known, lengths, 1)[:, None]
        values = np.zeros(len(vectors))
        if known.any():
            values[known] = reward_score(vectors[known], layers, self.activation)
        values = (values - self.mean) / self.deviation
        reasons = pa.array([None if k else f"no vector in {self.features!r}" for k in known], pa.string())
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch(
            [pa.array(values.astype(np.float32), mask=~known), reasons], schema=pa.schema(fields)
        )


@lru_cache(maxsize=2)
def _load(path: str, prefix: str) -> list[Layer]:
    return load_reward_head(path, prefix)
