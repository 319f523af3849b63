"""`model-gradients`: the gradient of each text's own loss in a causal language model or its adapters, as a vector."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import reason_name, vector
from curate.counting import counted
from curate.errors import InputError, MissingModelError, check_installed, require
from curate.scorers.influence.adam import AdamMoments, adam_moments
from curate.scorers.influence.collecting import project_named
from curate.scorers.influence.language import adapter_values, causal_loss, check_adapter, encode_pairs
from curate.scorers.influence.parameters import holding, select_parameters
from curate.scorers.influence.per_sample import PerSample
from curate.scorers.influence.projection import Kind, Projection
from curate.weights import check_model, choose_device, fetch

__all__ = ["ModelGradients"]

WHAT = "causal language model with its tokenizer"

Floats = npt.NDArray[np.float32]

_PROMPT = ("instruction", "input")


@dataclass(frozen=True)
class ModelGradients:
    """Gives `model_gradients`: the gradient of each answer's loss in a causal language model, at every checkpoint, projected.

    `model`       folder (or hub name) of the model and its tokenizer, or "package.module:function" of yours that returns both (it is imported: name
                  none that you do not trust).
    `adapters`    folders of LoRA adapters saved by peft, one for each checkpoint; none: the model as it is.
    `moments`     optimizer.pt of each adapter, for gradients as Adam would step along them (LESS); none: plain gradients.
    `prompt`, `answer`  the columns: the loss is that of the answer's tokens, given the prompt's. Prompts are joined by newlines.
                  By default `instruction` and, where there is such a column, `input`.
    `parameters`  patterns of the parameters that count; none: the adapters', or all that are trained.
    `dim`, `seed`, `projection`  as in `projection.Projection`, the same for every checkpoint: the vector has `dim` x checkpoints numbers.
    `normalise`   each checkpoint's part to length 1.
    `max_length`  tokens; a longer prompt loses its beginning.
    `batch_size`  texts at a time: memory is that many gradients. `device` "auto" (cuda, mps, cpu), or a PyTorch device.
    """

    model: str
    adapters: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()
    prompt: tuple[str, ...] = _PROMPT
    answer: str = "output"
    parameters: tuple[str, ...] = ()
    dim: int = 2048
    seed: int = 0
    projection: Kind = "count-sketch"
    normalise: bool = True
    max_length: int = 512
    batch_size: int = 8
    device: str = "auto"

    name: ClassVar[str] = "model-gradients"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError(
                "model-gradients: give a model, model='folder', 'owner/name' or 'package:function'"
            )
        if self.batch_size < 1 or self.max_length < 2:
            raise InputError(
                f"model-gradients: batch_size {self.batch_size} is at least 1, max_length {self.max_length} at least 2"
            )
        if self.moments and len(self.moments) != len(self.adapters):
            raise InputError(
                f"model-gradients: {counted(len(self.moments), 'moment')} for "
                f"{counted(len(self.adapters), 'adapter')}: one for each, or none"
            )
        Projection(self.dim, self.seed, self.projection)

    def resolve(self, columns: Sequence[str], kind: str) -> ModelGradients:
        """A copy for the columns there are: of the default prompt, instructions may do without `input`."""
        if self.prompt != _PROMPT or "instruction" not in columns:
            return self
        return replace(self, prompt=tuple(name for name in _PROMPT if name in columns))

    @property
    def needs(self) -> tuple[str, ...]:
        return (*self.prompt, self.answer)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("model_gradients", self.dim * max(1, len(self.adapters))),)

    def ready(self) -> None:
        """Raises MissingExtraError, MissingModelError or InputError where model, adapters or moments surely cannot be loaded."""
        check_installed("torch", "train")
        if not _is_function(self.model):
            check_model(self.model, WHAT)
        elif find_spec(self.model.partition(":")[0].partition(".")[0]) is None:
            raise InputError(f"model-gradients: {self.model!r} names no function that can be imported")
        if self.adapters:
            check_installed("peft", "train")
        if self.device == "cpu":
            check_installed("numba", "select")
        for folder in self.adapters:
            check_adapter(folder)
        for path in self.moments:
            if not Path(path).is_file():
                raise MissingModelError(f"{path} holds no optimiser's state: there is no such file")

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = {name: batch.column(name).cast(pa.string()).to_pylist() for name in self.needs}
        answers = [text or "" for text in columns[self.answer]]
        prompts = [
            "\n".join(filter(None, texts)) for texts in zip(*(columns[p] for p in self.prompt), strict=True)
        ]
        prompts = prompts if self.prompt else [""] * len(answers)
        reasons = np.full(len(answers), None, object)
        reasons[np.array([not answer.strip() for answer in answers], bool)] = f"no {self.answer}"
        width = self.dim * max(1, len(self.adapters))
        values = np.zeros((len(answers), width), np.float32)
        rows = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
        if len(rows):
            values[rows] = self._gradients([prompts[i] for i in rows], [answers[i] for i in rows])
            reasons[rows[~np.isfinite(values[rows]).all(axis=1)]] = "the gradient is not finite"
        null = pa.array(reasons != None)  # noqa: E711
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width, mask=null)
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([lists, pa.array(reasons, pa.string())], schema=pa.schema(fields))

    def _gradients(self, prompts: Sequence[str], answers: Sequence[str]) -> Floats:
        loaded = _load(self.model, self.adapters, self.moments, self.device, self.parameters)
        texts = encode_pairs(
            loaded.tokenizer, prompts, answers, max_length=self.max_length, device=loaded.device
        )
        per_sample = PerSample(loaded.model, causal_loss, loaded.parameters)
        plan = Projection(self.dim, self.seed, self.projection)
        order = np.argsort([-len(tokens) for tokens in texts.tokens], kind="stable")
        out = np.empty((len(texts), max(1, len(loaded.checkpoints)), self.dim), np.float32)
        for t, (values, moments) in enumerate(loaded.checkpoints):
            with holding(loaded.parameters, values):
                for low in range(0, len(order), self.batch_size):
                    rows = order[low : low + self.batch_size]
                    gradients = per_sample.gradients(texts.batch(rows))
                    out[rows, t] = project_named(gradients, plan, moments)
        if self.normalise:
            lengths = np.linalg.norm(out, axis=2, keepdims=True)
            out /= np.where(lengths == 0, np.float32(1), lengths)
        return out.reshape(len(texts), -1)


class _Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    device: str
    parameters: dict[str, Any]
    checkpoints: list[tuple[Any, AdamMoments | None]]


@lru_cache(maxsize=1)
def _load(
    model: str, adapters: tuple[str, ...], moments: tuple[str, ...], device: str, patterns: tuple[str, ...]
) -> _Loaded:
    where = choose_device(device)
    net, tokenizer = _called(model) if _is_function(model) else _pretrained(model)
    if adapters:
        peft: Any = require("peft", "train")
        try:
            net = peft.PeftModel.from_pretrained(net, adapters[0], is_trainable=True)
        except (OSError, ValueError) as error:
            raise MissingModelError(f"{adapters[0]} holds no adapter by peft: {str(error)[:200]}") from error
    net = net.eval().to(where)
    parameters = select_parameters(net, patterns)
    values = [adapter_values(net, folder) for folder in adapters]
    steps: list[AdamMoments | None] = [adam_moments(_state(path), parameters) for path in moments]
    steps = steps or [None] * len(adapters)
    return _Loaded(net, tokenizer, where, parameters, list(zip(values, steps, strict=True)) or [(None, None)])


def _state(path: str) -> Any:
    torch: Any = require("torch", "train")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        raise MissingModelError(f"{path} holds no optimiser's state: {str(error)[:200]}") from error


def _is_function(model: str) -> bool:
    return ":" in model and not Path(model).exists() and "/" not in model


def _called(model: str) -> tuple[Any, Any]:
    module, _, function = model.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"model-gradients: {model!r} names no function that can be imported: {error}"
        ) from error
    if not isinstance(made, tuple) or len(made) != 2:
        raise InputError(
            f"model-gradients: {model!r} returns {type(made).__name__}: (model, tokenizer) is meant"
        )
    return made


def _pretrained(model: str) -> tuple[Any, Any]:
    transformers: Any = require("transformers", "train")
    tokenizer = fetch(transformers.AutoTokenizer.from_pretrained, model, WHAT)
    eager = {"attn_implementation": "eager"}  # vmap knows no rule for the fused attention of a CPU
    return fetch(transformers.AutoModelForCausalLM.from_pretrained, model, WHAT, eager), tokenizer
