"""Loading a model of speech by its name on the hub or from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curate.errors import InputError, require
from curate.weights import Precision, choose_device, choose_dtype, fetch

__all__ = ["WHAT", "Loaded", "load_parts"]

WHAT = "model with feature extractor and tokenizer"


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

    def load(model: str, **how: Any) -> tuple[Any, Any, Any]:
        cls = _class_of(transformers, transformers.AutoConfig.from_pretrained(model, **how), classes)
        parts = (cls, transformers.AutoFeatureExtractor, transformers.AutoTokenizer)
        net, extractor, tokenizer = (part.from_pretrained(model, **how) for part in parts)
        return net, extractor, tokenizer

    net, extractor, tokenizer = fetch(load, model, WHAT)
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
