"""Which parameters of a torch model count, who they are, and how a checkpoint's are put in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import blake3

from curate.contracts import digest
from curate.errors import InputError, require

__all__ = ["digest_of_model", "digest_of_values", "holding", "select_parameters", "values_of"]

Tensors = Mapping[str, Any]


def select_parameters(model: Any, patterns: Sequence[str] = ()) -> dict[str, Any]:
    """The parameters by name whose names match one of the patterns (`*lora_*`, `head.*`), in the model's order.

    No patterns: those that are trained (`requires_grad`), so adapters alone in a model of `peft`.
    Raises InputError where a pattern, or none, finds anything.
    """
    named = dict(model.named_parameters())
    if not patterns:
        chosen = {name: p for name, p in named.items() if p.requires_grad}
        if not chosen:
            raise InputError(
                "no parameter of the model is trained (requires_grad): name some by patterns, as ('head.*',)"
            )
        return chosen
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in named):
            raise InputError(f"no parameter is called {pattern!r}: there are {_some(list(named))}")
    return {name: p for name, p in named.items() if any(fnmatchcase(name, one) for one in patterns)}


def digest_of_model(parameters: Tensors) -> str:
    """Identity of a model as far as its gradients go: names and shapes of the parameters."""
    return digest("parameters", [[name, list(p.shape)] for name, p in parameters.items()])


def digest_of_values(parameters: Tensors) -> str:
    """Identity of a checkpoint: the bytes of its parameters, whatever device they lie on."""
    hasher = blake3.blake3()
    for name, value in parameters.items():
        array = value.detach().cpu().contiguous().float().numpy()
        hasher.update(name.encode())
        hasher.update(memoryview(array.reshape(-1)).cast("B"))
    return hasher.hexdigest(length=16)


@contextmanager
def holding(parameters: Tensors, values: Tensors | None) -> Iterator[None]:
    """Inside, the parameters have these values (by name; None: those they have); afterwards their own again.

    Raises InputError where names or shapes are those of another model.
    """
    torch: Any = require("torch", "train")
    if values is None:
        yield
        return
    values = values_of(parameters, values)
    before = {name: p.detach().clone() for name, p in parameters.items()}
    try:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(values[name])
        yield
    finally:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(before[name])


def values_of(parameters: Tensors, values: Tensors | None) -> Tensors:
    """What a checkpoint, which may hold more, gives these parameters; None: what they are.

    Raises InputError where names or shapes are those of another model.
    """
    if values is None:
        return parameters
    missing = [name for name in parameters if name not in values]
    if missing:
        raise InputError(
            f"the checkpoint is of another model: it lacks {_some(missing)}; it has {_some(list(values))}"
        )
    for name, p in parameters.items():
        if tuple(values[name].shape) != tuple(p.shape):
            raise InputError(
                f"the checkpoint is of another model: {name!r} is {tuple(values[name].shape)} there and {tuple(p.shape)} here"
            )
    return {name: values[name] for name in parameters}


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
