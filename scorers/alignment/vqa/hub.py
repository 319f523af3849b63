"""Loading by transformers from a folder or the hub: what the loaders of this family share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate.errors import MissingModelError, require
from curate.weights import hub_is_named, no_bars

__all__ = ["dtype_option", "fetch"]


def fetch(load: Callable[..., Any], model: str, what: str, options: Mapping[str, Any] | None = None) -> Any:
    """A `from_pretrained` of transformers, without its bars; MissingModelError where the model cannot be had.

    `what` names what is looked for. Code that comes with a model is not run.
    """
    transformers: Any = require("transformers", "vision")
    local = Path(model).is_dir() or not hub_is_named()
    with no_bars(transformers):
        try:
            return load(model, local_files_only=local, **(options or {}))
        except Exception as error:  # the hub's client raises a different one for each way of failing
            raise MissingModelError(_explain(model, what, error)) from error


def dtype_option(dtype: Any) -> dict[str, Any]:
    """How `from_pretrained` is told the precision: the name of the option changed with version 5."""
    transformers: Any = require("transformers", "vision")
    old = int(transformers.__version__.partition(".")[0]) < 5
    return {"torch_dtype" if old else "dtype": dtype}


def _explain(model: str, what: str, error: Exception) -> str:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if Path(model).is_dir():
        return f"{model} holds no usable {what}: {cause}"
    return (
        f"the model {model!r} is not on this machine and could not be fetched ({cause}). Where there is a network, save "
        "all of it (`save_pretrained`), copy the folder here, and give its path: model='/path/to/folder'"
    )
