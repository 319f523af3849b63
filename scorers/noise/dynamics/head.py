"""A small network on embeddings, trained from a seed, that shows its logits after every epoch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate import weights
from curate.arrays.conversion import as_numbers, as_rows
from curate.arrays.labels import as_codes, check_several
from curate.errors import InputError, check_installed, require
from curate.scorers.noise.losses.ldr import Preparation, ldr_kl, ldr_kl_multilabel, prepare_logits

__all__ = [
    "Head",
    "HeadRun",
    "Loss",
    "OnEpoch",
    "TrainsHead",
    "batch_of",
    "check_training",
    "choose_device",
    "standardise",
    "train_head",
]

Loss = Literal["ce", "ldr", "aldr", "elr"]
OnEpoch = Callable[[int, npt.NDArray[np.float32]], None]
Tensor = Any
_ROWS = 65536


@dataclass(frozen=True)
class Head:
    """How to train: a hidden layer of `hidden` rectified units (0: a linear model), SGD with momentum 0.9 for `epochs`,
    the step falling from `learning_rate` to 0 along a cosine.

    `loss` is ce (cross-entropy), ldr (temperature `lam`), aldr (`lam0`, `alpha`) or elr (`beta`, `strength`); ldr and aldr
    take `margin` and `prepare`. A batch has at most `batch_size` items, and in a small set at most a sixteenth of them (but
    four), or a few epochs would be a few steps. `device` "cpu", "cuda" or "auto". On the CPU one thread is used: the result is the same
    whatever the machine has, and small products are no faster on several.
    """

    loss: Loss = "ce"
    hidden: int = 128
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 0.02
    weight_decay: float = 5e-4
    lam: float = 1.0
    lam0: float = 1.0
    alpha: float = 2.0
    margin: float = 0.1
    prepare: Preparation = "none"
    beta: float = 0.7
    strength: float = 3.0
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.loss not in ("ce", "ldr", "aldr", "elr"):
            raise InputError(f"loss={self.loss!r}: one of 'ce', 'ldr', 'aldr', 'elr'")
        for name, least in (("hidden", 0), ("epochs", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)}: at least {least} is meant")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate={self.learning_rate}: above 0 is meant")


@dataclass(frozen=True, kw_only=True)
class TrainsHead:
    """What every scorer that trains a small head here can be told: the column of the `embedding`, the `label` that is
    learnt and judged, and how to train (`Head`)."""

    embedding: str = "pixel_embedding"
    hidden: int = 128
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 0.02
    seed: int = 0
    device: str = "cpu"
    label: str = "label"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.embedding)

    def ready(self) -> None:
        """Raises MissingExtraError where torch is not installed."""
        check_installed("torch", "train")

    def train_with(self, **loss: Any) -> Head:
        """The head to train, with this loss and its parameters. Raises InputError for what cannot be."""
        shared = ("hidden", "epochs", "batch_size", "learning_rate", "seed", "device")
        return Head(**{name: getattr(self, name) for name in shared}, **loss)


class HeadRun(NamedTuple):
    """After training, row by row: `logits` (n, K) float32; `final_loss` and `mean_loss` (n,) float64, the loss after the last
    epoch and its mean over epochs, low = the label is believed; `lam` (n,) ALDR's temperature (of sets the mean), None for others;
    `predict` gives the logits (m, K) float32 of other rows (m, d)."""

    logits: npt.NDArray[np.float32]
    final_loss: npt.NDArray[np.float64]
    mean_loss: npt.NDArray[np.float64]
    lam: npt.NDArray[np.float64] | None
    predict: Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]


def train_head(
    x: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    classes: int,
    *,
    head: Head | None = None,
    on_epoch: OnEpoch | None = None,
) -> HeadRun:
    """Train `head` on embeddings `x` (n, d) finite numbers and `labels` (n,) in 0 ... classes - 1, or sets of them, (n, classes)
    yes or no: each label is then learnt by itself, by the forms of ce, ldr and aldr with two classes, and the loss of an
    item is that of its labels on average.

    After each epoch all items pass through the model as it is then, and `on_epoch(epoch, logits)` gets (n, K) float32.
    Features are standardised. Deterministic given the seed and the order of rows; no global random state is touched.
    Raises InputError for one class, labels out of range, values not finite, or a training that diverges;
    MissingExtraError without `train`.
    """
    head = head or Head()
    torch: Any = require("torch", "train")
    x, labels = check_training(x, labels, classes)
    with weights.one_thread():
        device = choose_device(head.device)
        mean, scale = standardise(x)
        model = _Network(head, x.shape[1], classes, device)
        several = labels.ndim == 2
        criterion = _criterion(head, (len(labels), classes), several, device)

        def ready(rows: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(((rows - mean) / scale).astype(np.float32)).to(device)

        def predict(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            return np.asarray(model.logits(ready(rows)).cpu().numpy())

        inputs, targets = ready(x), torch.from_numpy(labels.astype(np.float32 if several else np.int64))
        targets = targets.to(device)
        total = np.zeros(len(labels))
        for epoch in _epochs(model, criterion, inputs, targets, head):
            logits = model.logits(inputs)
            final = _losses(criterion, logits, targets)
            total += final
            shown = logits.cpu().numpy()
            if not np.isfinite(shown).all():
                raise InputError(
                    f"the training diverged in epoch {epoch}: lower learning_rate={head.learning_rate}"
                )
            if on_epoch is not None:
                on_epoch(epoch, shown)
        lam = criterion.lam.cpu().numpy().astype(np.float64) if head.loss == "aldr" else None
        lam = lam.mean(1) if lam is not None and several else lam
        return HeadRun(shown, final, total / head.epochs, lam, predict)


class _Network:
    """The layers, drawn from a NumPy generator: torch's own random state is the user's."""

    def __init__(self, head: Head, width: int, classes: int, device: Any) -> None:
        torch: Any = require("torch", "train")
        rng = np.random.default_rng([head.seed, 0])
        sizes = [width, *([head.hidden] if head.hidden else []), classes]
        self.layers: list[tuple[Tensor, Tensor]] = []
        for fan, out in itertools.pairwise(sizes):
            drawn = (rng.standard_normal((out, fan)) * math.sqrt(2 / (fan + out))).astype(np.float32)
            weight = torch.from_numpy(drawn).to(device).requires_grad_()
            self.layers.append((weight, torch.zeros(out, device=device, requires_grad=True)))

    @property
    def parameters(self) -> list[Tensor]:
        return [tensor for layer in self.layers for tensor in layer]

    def __call__(self, x: Tensor) -> Tensor:
        torch: Any = require("torch", "train")
        for depth, (weight, bias) in enumerate(self.layers):
            x = torch.nn.functional.linear(torch.relu(x) if depth else x, weight, bias)
        return x

    def logits(self, x: Tensor) -> Tensor:
        torch: Any = require("torch", "train")
        with torch.no_grad():
            return torch.cat([self(x[low : low + _ROWS]) for low in range(0, max(1, len(x)), _ROWS)])


def _epochs(model: _Network, criterion: Any, x: Tensor, y: Tensor, head: Head) -> Iterator[int]:
    torch: Any = require("torch", "train")
    rng = np.random.default_rng([head.seed, 1])
    optimiser = torch.optim.SGD(
        model.parameters, lr=head.learning_rate, momentum=0.9, weight_decay=head.weight_decay
    )
    size = batch_of(head.batch_size, len(y))
    steps = math.ceil(len(y) / size)
    for epoch in range(head.epochs):
        order = torch.from_numpy(rng.permutation(len(y))).to(x.device)
        for step in range(steps):
            done = (epoch + step / steps) / head.epochs
            optimiser.param_groups[0]["lr"] = head.learning_rate * (1 + math.cos(math.pi * done)) / 2
            rows = order[step * size : (step + 1) * size]
            optimiser.zero_grad()
            criterion.train()
            loss = criterion(model(x[rows]), y[rows], rows)
            (loss if loss.ndim == 1 else loss.sum(1)).mean().backward()
            optimiser.step()
        yield epoch


def _criterion(head: Head, shape: tuple[int, int], several: bool, device: Any) -> Any:
    """A loss of (logits, labels, rows), one value per item, or with `several` per item and label."""
    from curate.scorers.noise.losses import criteria

    require("torch", "train")
    items, classes = shape
    if head.loss == "elr" and several:
        raise InputError(
            "loss='elr' learns one label of each item; of sets of labels learn 'ce', 'ldr' or 'aldr'"
        )
    if head.loss == "elr":
        made = criteria.Elr(items, classes, beta=head.beta, strength=head.strength, reduction="none")
        return made.to(device)
    if head.loss == "aldr":
        told = {"margin": head.margin, "prepare": head.prepare, "reduction": "none"}
        labels = classes if several else 0
        return criteria.AldrKl(items, lam0=head.lam0, alpha=head.alpha, labels=labels, **told).to(device)
    return _Stateless(head)


class _Stateless:
    def __init__(self, head: Head) -> None:
        self.head = head

    def train(self, mode: bool = True) -> None:
        """Nothing is remembered."""

    def __call__(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        torch: Any = require("torch", "train")
        several = labels.ndim == 2
        if self.head.loss == "ce":
            loss = torch.nn.functional
            each = loss.binary_cross_entropy_with_logits if several else loss.cross_entropy
            return each(logits, labels, reduction="none")
        ready = prepare_logits(logits, self.head.prepare)
        each = ldr_kl_multilabel if several else ldr_kl
        return each(ready, labels, self.head.lam, self.head.margin, reduction="none")


def _losses(criterion: Any, logits: Tensor, labels: Tensor) -> npt.NDArray[np.float64]:
    torch: Any = require("torch", "train")
    criterion.train(False)
    rows = torch.arange(len(labels), device=labels.device)
    with torch.no_grad():
        parts = [
            criterion(*(values[low : low + _ROWS] for values in (logits, labels, rows)))
            for low in range(0, len(labels), _ROWS)
        ]
    found = np.asarray(torch.cat(parts).cpu().numpy(), np.float64)
    return found if found.ndim == 1 else found.mean(1)


def check_training(x: Any, labels: Any, classes: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Embeddings and labels as arrays. Raises InputError unless `x` (n, d) is finite and `labels` (n,) lie in 0 ... classes - 1,
    of at least two classes, or are sets of them, (n, classes) yes or no, of which one at least tells items apart."""
    x = as_rows(x, "embeddings")
    several = np.ndim(labels) == 2
    codes: npt.NDArray[Any] = (
        _as_matrix(labels, (len(x), classes)) if several else as_codes(labels, len(x), classes, of="items")
    )
    if not len(x) or not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).all(1))[:5].tolist()
        raise InputError(
            f"embeddings that are not finite in rows {bad}" if len(x) else "there is nothing to train on"
        )
    if not several:
        check_several(codes)
    elif (codes == codes[0]).all():
        raise InputError("all items have the same set of labels: there is nothing to learn")
    return x, codes


def _as_matrix(labels: Any, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    given = as_numbers(labels, "labels")
    if given.shape != shape or not np.isin(given, (0, 1)).all():
        raise InputError(
            f"sets of labels have shape {given.shape}: a matrix of 0 and 1 of shape {shape} is meant"
        )
    return given.astype(bool)


def batch_of(most: int, items: int) -> int:
    """The size of a batch: at most `most`, and in a small set at most a sixteenth of the items (but four)."""
    return min(most, max(4, items // 16))


def standardise(x: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each column, (d,) float64; 1 for a constant column."""
    mean, scale = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    scale[scale <= 1e-6 * np.abs(mean) + 1e-30] = 1  # constant, but for rounding
    return mean, scale


def choose_device(name: str) -> Any:
    """The torch device of that name, "auto" a GPU if there is one. Raises InputError for one that is not there."""
    torch: Any = require("torch", "train")
    return torch.device(weights.choose_device(name))
