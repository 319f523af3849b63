"""Class weights by distributionally robust optimisation: more for the classes that lag behind a reference model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_numbers
from curate.counting import counted
from curate.errors import InputError, require

__all__ = ["ClassDro", "ClassWeights", "class_dro", "diffusion_losses"]

Floats = npt.NDArray[np.float64]
Losses = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


class ClassWeights(NamedTuple):
    """`share` (C,) float64 sums to 1: how often to sample each class, or alpha. `weight` (C,) float64: share / q, q the
    classes' shares of the items seen, for training on items as they are (mean 1 over those items; NaN for a class never
    seen). `steps` how many batches made it, `excess` (C,) the mean excess loss of each class."""

    share: Floats
    weight: Floats
    steps: int
    excess: Floats


class ClassDro:
    """The weights as they grow in a training loop: `step` after each batch gives those to train with, `result` the mean.

    min over the model, max over alpha in the simplex of sum_c alpha_c (L(c) - L_reference(c)), by exponentiated gradients:
    lambda_c = mean of max(loss - reference, 0) over the batch's items of class c (the last known where there is none, 0
    before); alpha <- softmax(log alpha + eta lambda); alpha <- (1 - smoothing) alpha + smoothing / C. The result is the mean
    of alpha over steps. Source: DoReMi (Xie et al., NeurIPS 2023, arXiv 2305.10429); for diffusion models "Pruning then
    Reweighting" (ICASSP 2025, arXiv 2409.19128).
    """

    def __init__(self, classes: int, *, eta: float = 1.0, smoothing: float = 1e-3) -> None:
        if classes < 2:
            raise InputError(
                f"{counted(classes, 'class', 'classes')}: with fewer than two there is nothing to weigh"
            )
        if not eta > 0 or not 0 <= smoothing <= 1:
            raise InputError(f"eta={eta}, smoothing={smoothing}: above 0, and in [0, 1]")
        self.eta, self.smoothing = eta, smoothing
        self.share: Floats = np.full(classes, 1 / classes)
        self._last, self._total = np.zeros(classes), np.zeros(classes)
        self._seen, self._excess, self._steps = np.zeros(classes), np.zeros(classes), 0

    def step(
        self, losses: npt.NDArray[Any], reference: npt.NDArray[Any], codes: npt.NDArray[np.integer]
    ) -> Floats:
        """Take in the losses (b,) of the model and of the reference on the same items of classes `codes` (b,), and give
        the shares alpha (C,) to train with now. Raises InputError for losses that are not finite or other shapes."""
        ours, theirs, codes = (
            as_floats(losses, "losses"),
            as_floats(reference, "reference"),
            as_numbers(codes, "classes"),
        )
        if not (ours.shape == theirs.shape == codes.shape and ours.ndim == 1):
            raise InputError(
                f"losses {ours.shape}, reference {theirs.shape}, classes {codes.shape}: one of each for every item"
            )
        if len(codes) and (codes.min() < 0 or codes.max() >= len(self.share)):
            raise InputError(f"classes from {codes.min()} to {codes.max()}: there are {len(self.share)}")
        over = np.maximum(ours - theirs, 0)
        if not np.isfinite(over).all():
            raise InputError(
                f"losses are not finite in {int((~np.isfinite(over)).sum())} of {counted(len(over), 'item')}"
            )
        counts = np.bincount(codes, minlength=len(self.share))
        sums = np.bincount(codes, over, minlength=len(self.share))
        present = counts > 0
        self._last[present] = sums[present] / counts[present]
        tilted = np.log(self.share) + self.eta * self._last
        moved = np.exp(tilted - tilted.max())
        self.share = (1 - self.smoothing) * moved / moved.sum() + self.smoothing / len(moved)
        self._total += self.share
        self._seen += counts
        self._excess += sums
        self._steps += 1
        return self.share.copy()

    def result(self) -> ClassWeights:
        """The mean over the steps taken. Raises InputError before the first."""
        if not self._steps:
            raise InputError("no step has been taken: there are no losses to weigh by")
        share = self._total / self._steps
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(self._seen > 0, share * self._seen.sum() / self._seen, np.nan)
            excess = np.where(self._seen > 0, self._excess / self._seen, np.nan)
        return ClassWeights(share, weight, self._steps, excess)


def class_dro(
    batches: Iterable[Losses], classes: int, *, eta: float = 1.0, smoothing: float = 1e-3
) -> ClassWeights:
    """Class weights from a recorded training: `batches` of (losses, reference losses, class codes), each (b,), in order.

    For any pair of losses: cross-entropies, tokens' log-likelihoods, denoising errors on the same noise
    (`diffusion_losses`). See `ClassDro` for the rule and its source. Raises InputError for no batches, one class, or
    losses that are not finite.
    """
    dro = ClassDro(classes, eta=eta, smoothing=smoothing)
    for losses, reference, codes in batches:
        dro.step(losses, reference, codes)
    return dro.result()


def diffusion_losses(
    models: tuple[Any, Any],
    x: Any,
    alphas: npt.NDArray[Any],
    rng: np.random.Generator,
    condition: Any = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Denoising losses of a model and its reference on the same items, times and noise: two (b,) float64, low = good.

    `models`: two callables (x_t, t) -> predicted noise, or (x_t, t, condition) where one is given; `x` (b, ...) a torch
    tensor; `alphas` (T,) the cumulative products of the schedule, falling, in (0, 1]. x_t = sqrt(alpha_t) x +
    sqrt(1 - alpha_t) e with t uniform and e normal, drawn from `rng`; the loss is the mean of (e - predicted)^2 (Ho et
    al., NeurIPS 2020). The same draw for both is what makes the difference say something in few steps.
    """
    torch: Any = require("torch", "train")
    schedule = as_floats(alphas, "alphas")
    if schedule.ndim != 1 or not len(schedule) or not ((schedule > 0) & (schedule <= 1)).all():
        raise InputError("alphas: the cumulative products of a schedule, (T,) in (0, 1], are meant")
    t = rng.integers(0, len(schedule), len(x))
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape)).astype(np.float32)).to(x.device)
    kept = torch.from_numpy(schedule[t].astype(np.float32)).to(x.device).reshape(-1, *[1] * (x.dim() - 1))
    noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise
    times = torch.from_numpy(t).to(x.device)
    told = () if condition is None else (condition,)
    found = []
    with torch.no_grad():
        for model in models:
            error = (model(noisy, times, *told) - noise).flatten(1)
            found.append(np.asarray(error.square().mean(1).double().cpu().numpy()))
    return found[0], found[1]
