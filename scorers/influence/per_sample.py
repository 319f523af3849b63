"""The gradient of each item's own loss, of any torch model: all at once by vmap, or one backward pass after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal

from curate.errors import InputError, require

__all__ = ["Loss", "Method", "PerSample", "rows_of"]

Method = Literal["auto", "vmap", "backward"]
Loss = Callable[[Any, Any], Any]
"""(model, batch of one item) -> scalar."""


@dataclass(eq=False)
class PerSample:
    """Gradients of `loss(model, item)` in `parameters`, item by item.

    `loss` is given the model, or what stands for it, and a batch of one item, and returns a scalar. "vmap" runs items side by side
    (`torch.func.vmap` of `grad`); "backward" one by one; "auto" the first, and the second where the model or the loss does
    something that vmap cannot (branches on values, in-place changes). `used` says which, and `reason` why not vmap.
    """

    model: Any
    loss: Loss
    parameters: Mapping[str, Any]
    method: Method = "auto"
    used: str = field(init=False, default="")
    reason: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if self.method not in ("auto", "vmap", "backward"):
            raise InputError(f"method {self.method!r}: 'auto', 'vmap' or 'backward'")

    def gradients(self, batch: Any) -> dict[str, Any]:
        """By name of parameter, (n, *shape). `batch` is a tensor, or tuples, lists and dicts of tensors, of n rows each."""
        if self.method == "backward" or (self.method == "auto" and self.reason):
            return self._one_by_one(batch)
        try:
            found = self._side_by_side(batch)
        except Exception as error:  # whatever torch says: vmap refuses in many ways
            if self.method == "vmap" or isinstance(error, MemoryError):
                raise
            found = self._one_by_one(batch)  # where the loss itself is wrong, this says so
            self.reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return found

    def _side_by_side(self, batch: Any) -> dict[str, Any]:
        torch: Any = require("torch", "train")
        values = {name: p.detach() for name, p in self.parameters.items()}

        def of_one(parameters: Mapping[str, Any], item: Any) -> Any:
            alone = _mapped(item, lambda tensor: tensor.unsqueeze(0))
            return _scalar(self.loss(_Standing(self.model, parameters), alone))

        found: dict[str, Any] = torch.func.vmap(
            torch.func.grad(of_one), in_dims=(None, 0), randomness="error"
        )(values, batch)
        self.used = "vmap"
        return found

    def _one_by_one(self, batch: Any) -> dict[str, Any]:
        torch: Any = require("torch", "train")
        names, tensors = list(self.parameters), list(self.parameters.values())
        frozen = [p for p in tensors if not p.requires_grad]
        rows: list[list[Any]] = []
        try:
            for p in frozen:
                p.requires_grad_(True)
            for i in range(rows_of(batch)):
                alone = _mapped(batch, itemgetter(slice(i, i + 1)))
                value = _scalar(self.loss(self.model, alone))
                grads = torch.autograd.grad(value, tensors, allow_unused=True)
                rows.append(
                    [torch.zeros_like(p) if g is None else g for p, g in zip(tensors, grads, strict=True)]
                )
        finally:
            for p in frozen:
                p.requires_grad_(False)
        self.used = "backward"
        return {name: torch.stack([row[k] for row in rows]) for k, name in enumerate(names)}


class _Standing:
    """What stands for the model inside vmap: called as it is, with parameters that vmap follows."""

    def __init__(self, model: Any, parameters: Mapping[str, Any]) -> None:
        self._model, self._parameters = model, parameters

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        torch: Any = require("torch", "train")
        return torch.func.functional_call(self._model, dict(self._parameters), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def rows_of(batch: Any) -> int:
    """How many items a batch has. Raises InputError where its tensors disagree, or there are none."""
    counts: list[int] = []
    _mapped(batch, lambda tensor: counts.append(int(tensor.shape[0])))
    if not counts or len(set(counts)) > 1:
        raise InputError(
            f"a batch whose tensors have {sorted(set(counts))} rows: one number of rows is meant"
        )
    return counts[0]


def _mapped(batch: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(batch, Mapping):
        return {key: _mapped(value, function) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_mapped(value, function) for value in batch)
    return function(batch)


def _scalar(value: Any) -> Any:
    if value.ndim and value.numel() != 1:
        raise InputError(f"the loss of one item has shape {tuple(value.shape)}: a scalar is meant")
    return value.reshape(())
