"""Meta-Weight-Net: a small network that turns a loss into a weight, learnt so that a held-out set is fitted better."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError, require
from curate.weights import one_thread

__all__ = ["MetaRun", "MetaTraining", "meta_weights"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Tensor = Any
MetaLoss = Literal["error", "cross-entropy"]

_MEMORY = 0.95
"""What of a class's usual weight is left after one more of its items."""


@dataclass(frozen=True)
class MetaTraining:
    """How to train the classifier and the weighting beside it.

    The classifier is a linear layer, or with `hidden` units a layer more, on standardised features; SGD with momentum 0.9
    and `weight_decay` at `learning_rate`, in batches of at most `batch_size`. For `warm_up` epochs it learns all items
    alike, for to a network that knows nothing yet what is hard looks the most useful; for `epochs` more it learns beside
    the weighting, its rate divided by ten after two thirds and five sixths of them. The weighting is 1 -> `meta_hidden` -> 1
    with a sigmoid at its end, Adam at `meta_learning_rate`; it sees at most `meta_batch` held-out items a step.
    `meta_loss` is what it makes small on them: "error", 1 - p(label), which is bounded and so has its minimum in the same
    place where labels are wrong at random (Ghosh, Kumar and Sastry 2017), or "cross-entropy" for held-out labels that are
    right: on wrong ones that teaches the opposite. `folds`: so many parts, each held out once while the others train,
    and weighed by the network that has not trained on it; 1: one part is held out, and one network weighs all.
    """

    hidden: int = 0
    epochs: int = 20
    batch_size: int = 100
    learning_rate: float = 0.03
    weight_decay: float = 0.01
    meta_hidden: int = 100
    meta_learning_rate: float = 0.01
    meta_batch: int = 256
    meta_loss: MetaLoss = "error"
    warm_up: int = 10
    folds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        least = {
            "hidden": 0,
            "epochs": 1,
            "warm_up": 0,
            "batch_size": 1,
            "meta_hidden": 1,
            "meta_batch": 1,
            "folds": 1,
        }
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name}={getattr(self, name)}: at least {low} is meant")
        if self.meta_loss not in ("error", "cross-entropy"):
            raise InputError(f"meta_loss={self.meta_loss!r}: error or cross-entropy")
        if not (self.learning_rate > 0 and self.meta_learning_rate > 0 and self.weight_decay >= 0):
            raise InputError(
                f"learning_rate={self.learning_rate}, meta_learning_rate={self.meta_learning_rate}, "
                f"weight_decay={self.weight_decay}: above 0, above 0 and from 0 on are meant"
            )


class MetaRun(NamedTuple):
    """`weight` (n,) float64 in (0, 1) what each item deserves, higher = keep; `loss` (n,) float64 its cross-entropy under
    the network that judged it; `held_out` (n,) bool which items their judge has not trained on; `judge` gives the weights
    (m,) of other items from their inputs and codes, by the mean of the networks."""

    weight: Floats
    loss: Floats
    held_out: npt.NDArray[np.bool_]
    judge: Callable[[npt.NDArray[Any], Ints], Floats]


def meta_weights(
    inputs: npt.NDArray[Any],
    codes: Ints,
    classes: int,
    *,
    trusted: tuple[npt.NDArray[Any], Ints] | None = None,
    training: MetaTraining | None = None,
    model: Callable[[], Any] | None = None,
) -> MetaRun:
    """A weight for each item, from a network that learns how to weigh losses while a classifier learns the items.

    `inputs` (n, d) features, or (n, ...) whatever `model` takes; `codes` (n,) in 0 ... classes - 1. Each step moves the
    classifier virtually along mean(V(loss) loss), measures its loss on held-out items, moves V down that, and then takes
    the step in earnest (Shu et al., NeurIPS 2019). Unlike there V tells only the direction of the virtual step, not its
    length: a longer one pays while the classifier learns, and what is hard, as wrong labels are, makes it longer. And V
    counts against what it usually gives to items of that class: else a class that is hard gets little weight, stays hard
    for that, and is given up. What is held out is a true split: it is not trained on. `trusted`: inputs and codes known to be right, which are then held out
    in place of a part of the items.
    `model` makes a torch module that gives (batch, classes) logits; by default that of `training`.

    Deterministic given the seed and the order of rows; torch's own random state is not touched but by `model`. Raises
    InputError for fewer than four items, or a training that diverges; MissingExtraError without `train`.
    """
    training = training or MetaTraining()
    if len(codes) < 4:
        raise InputError(
            f"{counted(len(codes), 'item')}: a weighting needs at least four, some to train on and some held out"
        )
    if codes.min() < 0 or codes.max() >= classes:
        raise InputError(
            f"labels from {codes.min()} to {codes.max()} for {counted(classes, 'class', 'classes')}"
        )
    rng = np.random.default_rng([training.seed, 0])
    fold = _deal(codes, training.folds if trusted is None else 1, rng)
    weight, loss, held_out = np.empty(len(codes)), np.empty(len(codes)), np.zeros(len(codes), bool)
    runs = []
    with one_thread():
        for held in range(int(fold.max()) + 1):
            train, judged, meta = _roles(fold, held, codes, trusted is None, rng)
            run = _Run(training, inputs[train], codes[train], classes, model)
            x, y = (inputs[meta], codes[meta]) if trusted is None else trusted
            run.train(x, y, np.random.default_rng([training.seed, 1, held]))
            weight[judged], loss[judged] = run.judge(inputs[judged], codes[judged])
            held_out[meta] = True
            runs.append(run)
    if not np.isfinite(loss).all():
        raise InputError(f"the training diverged: lower learning_rate={training.learning_rate}")

    def judge(others: npt.NDArray[Any], theirs: Ints) -> Floats:
        return np.asarray(np.mean([run.judge(others, theirs)[0] for run in runs], 0))

    return MetaRun(weight, loss, held_out, judge)


def _deal(codes: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """A fold for each item, each class dealt to all of them in turn."""
    lot = rng.permutation(len(codes))
    order = lot[np.argsort(codes[lot], kind="stable")]
    fold = np.empty(len(codes), np.int64)
    fold[order] = np.arange(len(codes)) % folds
    return fold


def _roles(
    fold: Ints, held: int, codes: Ints, split: bool, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Which items train, which are judged, and which measure whether the weighting is good."""
    every = np.arange(len(codes))
    if fold.max() > 0:
        return every[fold != held], every[fold == held], every[fold == held]
    if not split:
        return every, every, every[:0]
    size = max(len(codes) // 50, min(100, len(codes) // 2), 1)
    part = _deal(codes, max(2, len(codes) // size), rng)
    return every[part > 0], every, every[part == 0]


class _Run:
    """One classifier and one weighting."""

    def __init__(
        self,
        training: MetaTraining,
        inputs: npt.NDArray[Any],
        codes: Ints,
        classes: int,
        model: Callable[[], Any] | None,
    ) -> None:
        torch: Any = require("torch", "train")
        self.torch = torch
        self.training, rng = training, np.random.default_rng([training.seed, 2])
        flat = model is None
        self.mean = inputs.mean(0, dtype=np.float64) if flat else 0.0
        self.scale = np.maximum(inputs.std(0, dtype=np.float64), 1e-6) if flat else 1.0
        sizes = [inputs.shape[1], *([training.hidden] if training.hidden else []), classes] if flat else []
        self.model = _layers(sizes, rng) if model is None else model()
        self.parameters = {n: p.detach().clone().requires_grad_() for n, p in self.model.named_parameters()}
        self.weigher = _layers([1, training.meta_hidden, 1], rng)
        self.usual = torch.full((classes,), 0.5)
        self.x, self.y = self._ready(inputs), torch.from_numpy(np.array(codes, np.int64))

    def _ready(self, inputs: npt.NDArray[Any]) -> Tensor:
        return self.torch.from_numpy(((inputs - self.mean) / self.scale).astype(np.float32))

    def _losses(self, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = self.torch.func.functional_call(self.model, parameters, (x,))
        return self.torch.nn.functional.cross_entropy(logits, y, reduction="none")

    def _held_out_loss(self, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        losses = self._losses(parameters, x, y)
        return (1 - self.torch.exp(-losses)).mean() if self.training.meta_loss == "error" else losses.mean()

    def _weights(self, losses: Tensor) -> Tensor:
        return self.torch.sigmoid(self.weigher(losses.detach()[:, None]))[:, 0]

    def _relative(self, weights: Tensor, y: Tensor) -> Tensor:
        """Weights over the usual one of their class, so that no class is given up, and of mean 1 in their batch: else the
        weighting would learn how fast to go, not what to go by."""
        over = weights / self.usual[y]
        return over / over.mean()

    def _get_used_to(self, weights: Tensor, y: Tensor) -> None:
        """The usual weight of a class is a mean of what its items got, the latest first."""
        count = self.torch.bincount(y, minlength=len(self.usual))
        mean = self.torch.bincount(y, weights, minlength=len(self.usual)) / count.clamp_min(1)
        left = _MEMORY**count
        self.usual = (left * self.usual + (1 - left) * mean).clamp_min(1e-8)

    def train(self, inputs: npt.NDArray[Any], codes: Ints, rng: np.random.Generator) -> None:
        torch, told = self.torch, self.training
        x, y = self._ready(inputs), torch.from_numpy(np.array(codes, np.int64))
        adam = torch.optim.Adam(self.weigher.parameters(), lr=told.meta_learning_rate)
        speed = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        size = min(told.batch_size, max(4, len(self.y) // 16))
        self.model.train()
        for epoch in range(-told.warm_up, told.epochs):
            late = (epoch >= told.epochs * 2 // 3) + (epoch >= told.epochs * 5 // 6)
            rate = told.learning_rate * 0.1**late
            order = torch.from_numpy(rng.permutation(len(self.y)))
            for low in range(0, len(order), size):
                rows = order[low : low + size]
                if epoch >= 0:
                    seen = torch.from_numpy(rng.permutation(len(y))[: told.meta_batch])
                    self._step(rows, (x[seen], y[seen]), adam, rate)
                self._descend(rows, speed, rate)

    def _step(self, rows: Tensor, meta: tuple[Tensor, Tensor], adam: Any, rate: float) -> None:
        """The weighting moves so that the classifier's next step would fit the held-out items better."""
        torch = self.torch
        losses = self._losses(self.parameters, self.x[rows], self.y[rows])
        weighted = (self._relative(self._weights(losses), self.y[rows]) * losses).mean()
        slopes = torch.autograd.grad(weighted, list(self.parameters.values()), create_graph=True)
        rate = rate * _unstretched(slopes)
        moved = {n: p - rate * g for (n, p), g in zip(self.parameters.items(), slopes, strict=True)}
        adam.zero_grad()
        self._held_out_loss(moved, *meta).backward(inputs=list(self.weigher.parameters()))
        adam.step()

    def _descend(self, rows: Tensor, speed: dict[str, Tensor], rate: float) -> None:
        torch = self.torch
        losses = self._losses(self.parameters, self.x[rows], self.y[rows])
        weights = self._weights(losses).detach()
        self._get_used_to(weights, self.y[rows])
        weighted = (self._relative(weights, self.y[rows]) * losses).mean()
        slopes = torch.autograd.grad(weighted, list(self.parameters.values()))
        with torch.no_grad():
            for (name, p), g in zip(self.parameters.items(), slopes, strict=True):
                speed[name].mul_(0.9).add_(g + self.training.weight_decay * p)
                p.sub_(rate * speed[name])

    def judge(self, inputs: npt.NDArray[Any], codes: Ints) -> tuple[Floats, Floats]:
        """Weight and loss of these items, in evaluation mode."""
        torch = self.torch
        self.model.eval()
        weights, losses = [], []
        with torch.no_grad():
            for low in range(0, len(codes), 1024):
                y = torch.from_numpy(np.array(codes[low : low + 1024], np.int64))
                found = self._losses(self.parameters, self._ready(inputs[low : low + 1024]), y)
                losses.append(found.numpy())
                weights.append(self._weights(found).numpy())
        return np.concatenate(weights).astype(np.float64), np.concatenate(losses).astype(np.float64)


def _unstretched(slopes: Sequence[Tensor]) -> Tensor:
    """1, with a slope that keeps the step as long as it is whatever the weights: what is hard has the long gradients, and
    a weighting that may lengthen the step turns to it wherever the classifier has still to go far, right labels or wrong."""
    length = sum(slope.square().sum() for slope in slopes).clamp_min(1e-24).sqrt()
    return length.detach() / length


def _layers(sizes: list[int], rng: np.random.Generator) -> Any:
    """Linear layers with ReLU between, drawn from a NumPy generator: torch's random state is the user's."""
    torch: Any = require("torch", "train")
    parts: list[Any] = []
    for fan, out in itertools.pairwise(sizes):
        layer = torch.nn.utils.skip_init(torch.nn.Linear, fan, out)
        drawn = rng.standard_normal((out, fan)) * math.sqrt(2 / (fan + out))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(drawn.astype(np.float32)))
            layer.bias.zero_()
        parts += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])
