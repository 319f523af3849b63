"""The contrastive part of `train_joint`: from the closed form on, by gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.errors import require

if TYPE_CHECKING:
    from curate.scorers.alignment.pairs.embedder import JointEmbedder, Settings, Tower

__all__ = ["contrastive_loss", "refine"]

_BATCH = 1024
_NAMES = ("linear", "inner", "bias", "outer")


def contrastive_loss(
    images: Any, texts: Any, groups: Any, *, temperature: float = 0.1, hardness: float = 0.0
) -> Any:
    """Symmetric InfoNCE of a batch, a torch scalar: mean over rows and both directions of
    -log(e^(s_ii/t) / (e^(s_ii/t) + sum of w_ij e^(s_ij/t) over wrong partners j)).

    `images`, `texts` (n, k) tensors of unit length, s their cosines, t the `temperature`; partners of the same group
    (n,) are left out. w_ij = exp(`hardness` s_ij / t), scaled to mean 1 over the wrong partners, without gradient.
    """
    import torch

    cosines = images @ texts.T / temperature
    n = len(cosines)
    own = torch.eye(n, dtype=torch.bool)
    same = groups[:, None] == groups[None, :]
    total = cosines.new_zeros(())
    for logits in (cosines, cosines.T):
        blocked = logits.masked_fill(same & ~own, float("-inf"))
        if hardness:
            wrong = logits.detach().masked_fill(same, float("-inf")) * hardness
            count = (~same).sum(1, keepdim=True).clamp(min=1)
            weight = wrong - torch.logsumexp(wrong, 1, keepdim=True) + torch.log(count.to(wrong.dtype))
            blocked = blocked + torch.where(same, torch.zeros_like(weight), weight)
        total = total + torch.nn.functional.cross_entropy(blocked, torch.arange(n)) / 2
    return total


def refine(
    model: JointEmbedder,
    pairs: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]],
    out: npt.NDArray[np.bool_],
    settings: Settings,
) -> JointEmbedder:
    """Train both towers on the whitened `pairs` (x, y, group codes) that are not held `out`; keep the best."""
    torch: Any = require("torch", "train")
    generator = torch.Generator().manual_seed(settings.seed)
    x, y, codes = (torch.from_numpy(np.ascontiguousarray(side)) for side in pairs)
    towers = [_parameters(tower, settings.hidden, generator) for tower in (model.image, model.text)]
    start = [{name: value.detach().clone() for name, value in tower.items()} for tower in towers]
    optimiser = torch.optim.AdamW([p for t in towers for p in t.values()], lr=settings.rate, weight_decay=0.0)
    rows, held = (torch.from_numpy(np.flatnonzero(some)) for some in (~out, out))

    def loss(some: Any, hardness: float) -> Any:
        left, right = (_forward(tower, side[some]) for tower, side in zip(towers, (x, y), strict=True))
        return contrastive_loss(left, right, codes[some], temperature=settings.temperature, hardness=hardness)

    def evaluate() -> float:
        with torch.no_grad():
            return float(loss(held[:_BATCH], 0.0))

    curve = [evaluate()] if len(held) else []
    best, kept = 0, _copy(towers)
    for epoch in range(1, settings.epochs + 1):
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        for batch in shuffled.tensor_split(max(1, round(len(rows) / _BATCH))):
            optimiser.zero_grad()
            loss(batch, settings.hardness).backward()
            optimiser.step()
            _pull_back(towers, start, settings.rate * settings.decay)
        if len(held):
            curve.append(evaluate())
            if epoch - best >= settings.patience and curve[-1] >= curve[best]:
                break
        if not len(held) or curve[-1] < curve[best]:
            best, kept = epoch, _copy(towers)
    sides = [replace(tower, **new) for tower, new in zip((model.image, model.text), kept, strict=True)]
    return replace(model, image=sides[0], text=sides[1], best=best, held_out=tuple(curve))


def _parameters(tower: Tower, hidden: int, generator: Any) -> dict[str, Any]:
    """The closed form, and a hidden layer that adds nothing yet."""
    import torch

    width, dim = tower.linear.shape
    inner = torch.randn(width, hidden, generator=generator, dtype=torch.float64) / np.sqrt(width)
    found = {"linear": torch.from_numpy(np.ascontiguousarray(tower.linear)).clone(), "inner": inner}
    found["bias"] = torch.zeros(hidden, dtype=torch.float64)
    found["outer"] = torch.zeros(hidden, dim, dtype=torch.float64)
    return {name: value.requires_grad_() for name, value in found.items()}


def _forward(tower: dict[str, Any], z: Any) -> Any:
    import torch

    states = z @ tower["linear"]
    if tower["inner"].shape[1]:
        states = states + torch.relu(z @ tower["inner"] + tower["bias"]) @ tower["outer"]
    return torch.nn.functional.normalize(states, dim=1)


def _pull_back(towers: list[dict[str, Any]], start: list[dict[str, Any]], share: float) -> None:
    """Weight decay towards the start rather than towards zero: the closed form is a good place to be near."""
    import torch

    with torch.no_grad():
        for tower, first in zip(towers, start, strict=True):
            for name, value in tower.items():
                value.lerp_(first[name], share)


def _copy(towers: list[dict[str, Any]]) -> list[dict[str, npt.NDArray[np.float64]]]:
    return [{name: tower[name].detach().numpy().copy() for name in _NAMES} for tower in towers]
