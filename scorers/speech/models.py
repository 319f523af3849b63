"""Loading a model of speech by its name on the hub or from a folder."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from curate.errors import InputError, MissingModelError, require

__all__ = ["Loaded", "Precision", "load_parts"]

Precision = Literal["fp32", "bf16", "fp16"]


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
    torch: Any = require("torch", "train")
    where = _choose_device(torch, device)
    if precision == "fp16" and where == "cpu":
        raise InputError("precision 'fp16' is for a GPU; on a CPU use 'fp32' or 'bf16'")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    local = Path(model).is_dir() or not _hub_is_named()
    with _no_bars(transformers):
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


def _choose_device(torch: Any, device: str) -> str:
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _hub_is_named() -> bool:
    """Whether the hub's name can be resolved: its client would retry for most of a minute before it says so."""
    constants: Any = require("huggingface_hub.constants", "train")
    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():  # behind a proxy it is the proxy that resolves names
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


@contextmanager
def _no_bars(transformers: Any) -> Iterator[None]:
    """Loading takes a moment, and the run has its own bar."""
    log = transformers.utils.logging
    were = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if were:
            log.enable_progress_bar()


def _explain(model: str, error: Exception) -> str:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if Path(model).is_dir():
        return f"{model} holds no usable model with feature extractor and tokenizer: {cause}"
    return (
        f"the model {model!r} is not on this machine and could not be fetched ({cause}). Where there is a network, save "
        "it with its processor (`save_pretrained`), copy the folder here, and give its path: model='/path/to/folder'"
    )
