"""Self-taught rescaling in the manner of STORM (AAAI 2025): a small network learns, from how the model behaves on an item,
how much that item should weigh; it is taught by the noisy data alone.

The bilevel loop is the paper's as far as it could be read; its exact list of features could not be checked, so the list is a
parameter. Each batch: a step of the model under the present weights is taken on trial; another batch, weighed the
same way, says how good that step was; the gradient of that through the step, and through its own weights, moves
the rescaler. Weights have mean 1 in a batch, or the rescaler would set all to 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, require
from curate.scorers.noise.dynamics.head import (
    batch_of,
    check_training,
    choose_device,
    standardise,
)
from curate.weights import one_thread

__all__ = ["FEATURES", "Feature", "Rescaling", "SelfTaught", "self_taught_weights"]

Tensor = Any
Feature = Literal["loss", "mean", "std", "entropy", "rank", "margin"]
FEATURES: tuple[Feature, ...] = ("loss", "mean", "std", "entropy", "rank", "margin")


@dataclass(frozen=True)
class SelfTaught:
    """How to train: the model has a hidden layer of `hidden` rectified units with `dropout` and learns for `epochs` at
    `learning_rate` (SGD, momentum 0.9); the rescaler (16 units) sees `features` over `passes` stochastic passes and learns at
    `meta_learning_rate` (Adam) after the share `warmup` of the epochs, in which all items weigh the same.
    """

    features: tuple[Feature, ...] = FEATURES
    passes: int = 4
    dropout: float = 0.3
    hidden: int = 128
    epochs: int = 20
    warmup: float = 0.2
    batch_size: int = 64
    learning_rate: float = 0.02
    meta_learning_rate: float = 0.003
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        unknown = set(self.features) - set(FEATURES)
        if unknown or not self.features:
            raise InputError(f"features {sorted(unknown)}: some of {', '.join(FEATURES)} are meant")
        if not 0 <= self.dropout < 1 or self.passes < 1 or self.epochs < 1 or self.hidden < 1:
            raise InputError("0 <= dropout < 1 and passes, epochs, hidden >= 1 are meant")
        rates = self.learning_rate > 0 and self.meta_learning_rate > 0
        if not (0 <= self.warmup <= 1 and self.batch_size >= 1 and rates):
            raise InputError(
                f"warmup={self.warmup}, batch_size={self.batch_size}, learning_rate={self.learning_rate}, "
                f"meta_learning_rate={self.meta_learning_rate}: a share of the epochs, at least 1, and above 0 are meant"
            )


class Rescaling(NamedTuple):
    """`weights` (n,) float64 with mean 1, high = keep: means over the second half of the epochs after the warm-up.
    `features` (n, F) float64, what the rescaler saw of each item after the last epoch, in the order asked for."""

    weights: npt.NDArray[np.float64]
    features: npt.NDArray[np.float64]


def self_taught_weights(
    x: npt.NDArray[Any], labels: npt.NDArray[np.int64], classes: int, *, how: SelfTaught | None = None
) -> Rescaling:
    """Training weights from self-taught rescaling on embeddings.

    `x` (n, d) finite numbers, `labels` (n,) in 0 ... classes - 1. Deterministic given the seed and the order of rows.
    Raises InputError as `head.train_head`; MissingExtraError without `train`.
    """
    how = how or SelfTaught()
    torch: Any = require("torch", "train")
    x, labels = check_training(x, labels, classes)
    with one_thread():
        device = choose_device(how.device)
        mean, scale = standardise(x)
        inputs = torch.from_numpy(((x - mean) / scale).astype(np.float32)).to(device)
        loop = _Loop(how, inputs, torch.from_numpy(np.array(labels, np.int64)).to(device), classes)
        total, counted = torch.zeros(len(labels), dtype=torch.float64, device=device), 0
        first = min(how.epochs - 1, round(how.epochs * how.warmup))
        for epoch in range(how.epochs):
            loop.epoch(epoch, teach=epoch >= first)
            if epoch >= (first + how.epochs) // 2:
                total += loop.weigh_all()
                counted += 1
        weights = (total / counted).cpu().numpy()
        return Rescaling(weights / weights.mean(), loop.seen.cpu().numpy().astype(np.float64))


class _Loop:
    """The model, the rescaler and one epoch of both."""

    def __init__(self, how: SelfTaught, x: Tensor, y: Tensor, classes: int) -> None:
        torch: Any = require("torch", "train")
        self.how, self.x, self.y = how, x, y
        self.rng = np.random.default_rng([how.seed, 1])
        self.dice = torch.Generator(x.device).manual_seed(how.seed)
        drawn = np.random.default_rng([how.seed, 0])
        self.model = _layers((x.shape[1], how.hidden, classes), drawn, x.device)
        self.rescaler = _layers((len(how.features), 16, 1), drawn, x.device)
        self.optimiser = torch.optim.SGD(self.model, lr=how.learning_rate, momentum=0.9, weight_decay=5e-4)
        self.meta = torch.optim.Adam(self.rescaler, lr=how.meta_learning_rate)
        self.look()

    def look(self) -> None:
        """What the rescaler sees of every item now, and its mean and spread, by which batches are standardised."""
        torch: Any = require("torch", "train")
        rows = range(0, len(self.x), 8192)
        self.seen = torch.cat([self.observe(self.model, slice(low, low + 8192)) for low in rows])
        self.centre = self.seen.mean(0)
        self.spread = self.seen.std(0, correction=0).clamp_min(1e-6)

    def observe(self, model: list[Tensor], rows: Any) -> Tensor:
        """(b, F): how the model behaves on these items over several passes with dropout; no gradient."""
        torch: Any = require("torch", "train")
        with torch.no_grad():
            passes = torch.stack([self.forward(model, rows) for _ in range(self.how.passes)])
            return describe(passes, self.y[rows], self.how.features)

    def forward(self, model: list[Tensor], rows: Any) -> Tensor:
        torch: Any = require("torch", "train")
        weight, bias, out, last = model
        hidden = torch.relu(torch.nn.functional.linear(self.x[rows], weight, bias))
        keep = 1 - self.how.dropout
        mask = torch.rand(hidden.shape, generator=self.dice, device=hidden.device) < keep
        return torch.nn.functional.linear(hidden * mask / keep, out, last)

    def losses(self, model: list[Tensor], rows: Any) -> Tensor:
        torch: Any = require("torch", "train")
        return torch.nn.functional.cross_entropy(self.forward(model, rows), self.y[rows], reduction="none")

    def weigh(self, seen: Tensor) -> Tensor:
        """Weights of a batch, mean 1, from what was seen of it."""
        torch: Any = require("torch", "train")
        weight, bias, out, last = self.rescaler
        hidden = torch.tanh(torch.nn.functional.linear((seen - self.centre) / self.spread, weight, bias))
        raw = torch.sigmoid(torch.nn.functional.linear(hidden, out, last)[:, 0])
        return raw / raw.mean().clamp_min(1e-6)

    def weigh_all(self) -> Tensor:
        torch: Any = require("torch", "train")
        self.look()
        with torch.no_grad():
            return self.weigh(self.seen).double()

    def epoch(self, number: int, *, teach: bool) -> None:
        torch: Any = require("torch", "train")
        n, size = len(self.y), batch_of(self.how.batch_size, len(self.y))
        orders = [torch.from_numpy(self.rng.permutation(n)).to(self.x.device) for _ in range(2)]
        self.look()
        for low in range(0, n, size):
            rows, others = (order[low : low + size] for order in orders)
            weights = torch.ones(len(rows), device=self.x.device)
            if teach:
                self.teach(rows, others)
                with torch.no_grad():
                    weights = self.weigh(self.observe(self.model, rows))
            done = (number + low / n) / self.how.epochs
            self.optimiser.param_groups[0]["lr"] = self.how.learning_rate * (1 + math.cos(math.pi * done)) / 2
            self.optimiser.zero_grad()
            (weights * self.losses(self.model, rows)).mean().backward()
            self.optimiser.step()
        if not all(bool(p.isfinite().all()) for p in self.model):
            raise InputError(
                f"the training diverged in epoch {number}: lower learning_rate={self.how.learning_rate}"
            )

    def teach(self, rows: Tensor, others: Tensor) -> None:
        """One step of the rescaler: how good is the model after a step under its weights, by its own weights?"""
        torch: Any = require("torch", "train")
        inner = (self.weigh(self.observe(self.model, rows)) * self.losses(self.model, rows)).mean()
        slopes = torch.autograd.grad(inner, self.model, create_graph=True)
        trial = [p - self.how.learning_rate * g for p, g in zip(self.model, slopes, strict=True)]
        outer = (self.weigh(self.observe(trial, others)) * self.losses(trial, others)).mean()
        self.meta.zero_grad()
        for parameter, slope in zip(
            self.rescaler, torch.autograd.grad(outer, self.rescaler), strict=True
        ):  # the model is not moved here
            parameter.grad = slope
        self.meta.step()


def describe(passes: Tensor, labels: Tensor, features: tuple[Feature, ...]) -> Tensor:
    """(b, F) features of items from logits (passes, b, K): `loss` cross-entropy of the mean probability, `mean` and `std` of
    p_y over passes, `entropy` of the mean probability / log K, `rank` share of other classes above y, `margin` mean p_y less
    the best other."""
    torch: Any = require("torch", "train")
    p = torch.softmax(passes, 2)
    mean, k = p.mean(0), p.shape[2]
    index = labels[:, None]
    given = mean.gather(1, index)[:, 0]
    each = p.gather(2, index.expand(len(p), -1, -1))[:, :, 0]
    others = mean.scatter(1, index, -1.0)
    made = {
        "loss": -torch.log(given.clamp_min(1e-12)),
        "mean": given,
        "std": each.std(0, correction=0),
        "entropy": -torch.special.xlogy(mean, mean).sum(1) / math.log(k),
        "rank": (others > given[:, None]).sum(1) / (k - 1),
        "margin": given - others.amax(1),
    }
    return torch.stack([made[name].to(passes.dtype) for name in features], 1)


def _layers(sizes: tuple[int, int, int], rng: np.random.Generator, device: Any) -> list[Tensor]:
    torch: Any = require("torch", "train")
    made = []
    for fan, out in ((sizes[0], sizes[1]), (sizes[1], sizes[2])):
        drawn = (rng.standard_normal((out, fan)) * math.sqrt(2 / (fan + out))).astype(np.float32)
        made.append(torch.from_numpy(drawn).to(device).requires_grad_())
        made.append(torch.zeros(out, device=device, requires_grad=True))
    return made
