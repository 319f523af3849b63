"""Gradients as Adam would step along them: the preconditioning of LESS, and where the moments are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.counting import counted
from curate.errors import InputError, require

__all__ = ["AdamMoments", "adam_moments"]


@dataclass(frozen=True, eq=False)
class AdamMoments:
    """Adam's running means of gradients and of their squares, by name of parameter, with its betas and epsilon."""

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def step(self, name: str, gradients: Any) -> Any:
        """What Adam would step along if one item's gradient came next, up to the rate; (n, ...) as `gradients`.

        m / sqrt(v + eps) with m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2: eps inside the root and no correction of the
        bias, as the authors of LESS have it.
        """
        b1, b2 = self.betas
        first, second = (moment[name].to(gradients) for moment in (self.first, self.second))
        ahead = b1 * first + (1 - b1) * gradients
        spread = b2 * second + (1 - b2) * gradients**2
        return ahead / (spread + self.eps).sqrt()


def adam_moments(state: Mapping[str, Any], parameters: Mapping[str, Any]) -> AdamMoments:
    """The moments in an optimiser's `state_dict()`, for these parameters by name.

    States saved by number are told apart by the names the groups hold (`param_names`, torch 2.6 on), else by the order of the
    parameters; where a group of decayed parameters comes first, as the Trainer of transformers sorts them, by that order.
    Raises InputError where there are no moments, or their shapes are those of another model.
    """
    require("torch", "train")
    groups, slots = state.get("param_groups"), state.get("state")
    if not groups or not isinstance(slots, Mapping) or not slots:
        raise InputError(
            "the optimiser's state holds no moments: it is `optimizer.state_dict()` after a step that is meant"
        )
    names = _names(groups, slots, parameters)
    first, second = {}, {}
    for key, name in names.items():
        slot = slots.get(key, {})
        if "exp_avg" not in slot:
            raise InputError(
                f"the optimiser kept no moments for {name!r}: is it Adam, and has it made a step?"
            )
        first[name], second[name] = slot["exp_avg"], slot["exp_avg_sq"]
    b1, b2 = groups[0].get("betas", (0.9, 0.999))
    return AdamMoments(first, second, (float(b1), float(b2)))


def _names(groups: Any, slots: Mapping[Any, Any], parameters: Mapping[str, Any]) -> dict[Any, str]:
    """Key in the optimiser's state -> name, of the parameters asked for."""
    keys = [key for group in groups for key in group["params"]]
    told = [name for group in groups for name in group.get("param_names", ())]
    if len(told) == len(keys):
        found = {key: name for key, name in zip(keys, told, strict=True) if name in parameters}
        missing = [name for name in parameters if name not in told]
        if missing:
            raise InputError(f"the optimiser is of another model: it does not know {missing[0]!r}")
        return found
    shapes = [tuple(slots[key]["exp_avg"].shape) if "exp_avg" in slots.get(key, {}) else None for key in keys]
    decayed = [n for n, p in parameters.items() if p.ndim > 1]
    for order in (list(parameters), [*decayed, *(n for n in parameters if n not in decayed)]):
        if shapes == [tuple(parameters[name].shape) for name in order]:
            return dict(zip(keys, order, strict=True))
    raise InputError(
        f"the optimiser is of another model: it has {counted(len(keys), 'parameter')} of shapes {shapes[:3]} ..., the "
        f"model {len(parameters)} of {[tuple(p.shape) for p in list(parameters.values())[:3]]} ..."
    )
