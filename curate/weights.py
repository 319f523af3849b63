"""Where models run and where their weights come from: what every scorer that loads a model asks."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit
from urllib.request import getproxies

from curate.errors import InputError, MissingModelError, check_installed, require

__all__ = [
    "Precision",
    "check_model",
    "check_precision",
    "choose_device",
    "choose_dtype",
    "dtype_option",
    "fetch",
    "first_line",
    "hub_is_named",
    "no_bars",
    "no_waiting_for_the_hub",
    "one_thread",
    "why_missing",
]

Precision = Literal["fp32", "bf16", "fp16"]
_ON_HUB = re.compile(r"(\b[\w\-.]+\b/)?\b[\w\-.]{1,96}\b")
"""What can be the name of a model on the hub."""


def choose_device(device: str) -> str:
    """`auto` becomes cuda, mps or cpu, whichever is there first. Raises InputError for a device that torch does not know or see."""
    torch: Any = require("torch", "train")
    if device != "auto":
        try:
            kind = torch.device(device).type
        except (RuntimeError, TypeError):
            raise InputError(f"device={device!r}: 'auto', 'cpu', 'cuda' or 'mps' is meant") from None
        there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(kind)
        if there is not None and not there():
            raise InputError(
                f"device={device!r}: torch sees no {kind.upper()} device here; device='cpu' is there"
            )
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_dtype(precision: Precision, device: str) -> Any:
    """The torch type of a precision. Raises InputError for fp16 on a CPU, which has no fast path for it."""
    torch: Any = require("torch", "train")
    check_precision(precision, device)
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def check_precision(precision: Precision, device: str) -> None:
    """Raises InputError for another word, and for fp16 on a CPU, which has no fast path for it."""
    if precision not in get_args(Precision):
        raise InputError(f"precision {precision!r}: {', '.join(map(repr, get_args(Precision)))}")
    if precision == "fp16" and device == "cpu":
        raise InputError("precision 'fp16' is for a GPU; on a CPU use 'fp32' or 'bf16'")


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch on the CPU meanwhile: the same sums on every machine, and small products do not wait for each
    other."""
    torch: Any = require("torch", "train")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def hub_is_named() -> bool:
    """Whether the hub may be asked, and its name resolved: its client would retry for most of a minute otherwise."""
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
def no_waiting_for_the_hub() -> Iterator[None]:
    """Inside, a hub that cannot be reached is not asked: use what is on this machine."""
    constants: Any = require("huggingface_hub.constants", "train")
    was = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = was or not hub_is_named()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was


@contextmanager
def no_bars(transformers: Any) -> Iterator[None]:
    """Loading takes a moment, and the run has its own bar."""
    log = transformers.utils.logging
    were = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if were:
            log.enable_progress_bar()


def fetch(load: Callable[..., Any], model: str, what: str, options: Mapping[str, Any] | None = None) -> Any:
    """A `from_pretrained` of transformers, without its bars; MissingModelError where the model cannot be had.

    `what` names what is looked for. Code that comes with a model is not run.
    """
    transformers: Any = require("transformers", "train")
    local = Path(model).is_dir() or not hub_is_named()
    with no_bars(transformers):
        try:
            return load(model, local_files_only=local, **(options or {}))
        except Exception as error:  # the hub's client raises a different one for each way of failing
            raise MissingModelError(_explain(model, what, first_line(error))) from error


def check_model(model: str, what: str, extra: str = "train") -> None:
    """Raises what `fetch` surely will, and loads nothing: MissingExtraError without torch or transformers (which `extra`
    brings), MissingModelError where `why_missing` says why."""
    check_installed("torch", "train")
    check_installed("transformers", extra)
    if cause := why_missing(model):
        raise MissingModelError(_explain(model, what, cause))


def why_missing(model: str) -> str:
    """Why a model is surely not to be had, by its folder or its name on the hub; empty where it may well be."""
    if Path(model).is_dir():
        return "" if (Path(model) / "config.json").is_file() else "there is no config.json"
    if not _ON_HUB.fullmatch(model):
        return "there is no such folder"
    return "" if _is_cached(model) or hub_is_named() else "the hub cannot be reached"


def _is_cached(model: str) -> bool:
    """Whether something of a model of the hub may be on this machine."""
    constants: Any = require("huggingface_hub.constants", "train")
    places = [
        constants.HF_HUB_CACHE,
        os.environ.get("TRANSFORMERS_CACHE", ""),
    ]  # older versions read the second
    return any((Path(place) / f"models--{model.replace('/', '--')}").exists() for place in places if place)


def dtype_option(dtype: Any) -> dict[str, Any]:
    """How `from_pretrained` is told the precision: the name of the option changed with version 5."""
    transformers: Any = require("transformers", "train")
    old = int(transformers.__version__.partition(".")[0]) < 5
    return {"torch_dtype" if old else "dtype": dtype}


def first_line(error: Exception) -> str:
    """The first line that an error says, or what kind it is of."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _explain(model: str, what: str, cause: str) -> str:
    if Path(model).is_dir():
        return f"{model} holds no usable {what}: {cause}"
    return (
        f"the model {model!r} is not on this machine and could not be fetched ({cause}). Where there is a network, save "
        "all of it (`save_pretrained`), copy the folder here, and give its path: model='/path/to/folder'"
    )
