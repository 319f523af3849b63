"""Loading a model of speech by its name on the hub or from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import InputError, MissingModelError, require
from curate.weights import Precision, choose_device, choose_dtype, hub_is_named, no_bars

__all__ = ["Loaded", "load_parts"]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network in evaluation mode, its feature extractor and its tokenizer, on a device, with its precision."""

    net: Any
    extractor: Any
    tokenizer: Any
    device: str
    dtype: Any


def load_parts(model: str, device: str, precision: Precision, *, classes: tuple[str, ...]) -> Loaded:
    """The first of the transformers classes whose kind of model it is, with extractor and tokenizer.

    Code that comes with a model is not run. Raises MissingModelError where it cannot be had or is of another kind,
    MissingExtraError without transformers, InputError for fp16 on a CPU.
    """
    transformers: Any = require("transformers", "train")
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    local = Path(model).is_dir() or not hub_is_named()
    with no_bars(transformers):
        try:
            config = transformers.AutoConfig.from_pretrained(model, local_files_only=local)
            cls = _class_of(transformers, config, classes)
            net = cls.from_pretrained(model, local_files_only=local)
            extractor = transformers.AutoFeatureExtractor.from_pretrained(model, local_files_only=local)
            tokenizer = transformers.AutoTokenizer.from_pretrained(model, local_files_only=local)
        except Exception as error:  # the hub's client raises a different one for each way of failing
            raise MissingModelError(_explain(model, error)) from error
    return Loaded(net.to(where, dtype).eval(), extractor, tokenizer, where, dtype)


def _class_of(transformers: Any, config: Any, classes: tuple[str, ...]) -> Any:
    for name in classes:
        cls = getattr(transformers, name)
        if (
            type(config) in cls._model_mapping
            if hasattr(cls, "_model_mapping")
            else isinstance(config, cls.config_class)
        ):
            return cls
    raise InputError(f"a model of type {config.model_type!r} is none of {', '.join(classes)}")


def _explain(model: str, error: Exception) -> str:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if Path(model).is_dir():
        return f"{model} holds no usable model with feature extractor and tokenizer: {cause}"
    return (
        f"the model {model!r} is not on this machine and could not be fetched ({cause}). Where there is a network, save "
        "it with its processor (`save_pretrained`), copy the folder here, and give its path: model='/path/to/folder'"
    )
