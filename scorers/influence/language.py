"""Instructions and answers as batches for a causal language model, its loss, and adapters trained by peft as checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError, MissingModelError, require

__all__ = ["IGNORED", "Texts", "adapter_values", "causal_loss", "encode_pairs"]

IGNORED = -100
"""The label of a token whose loss does not count, as transformers has it."""
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Texts:
    """Token ids and labels of each text, ready to be made batches of by `batch`; `counted` (n,) tokens have a loss."""

    tokens: Sequence[npt.NDArray[np.int64]]
    labels: Sequence[npt.NDArray[np.int64]]
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def counted(self) -> npt.NDArray[np.int64]:
        return np.array([int((labels[1:] != IGNORED).sum()) for labels in self.labels], np.int64)

    def batch(self, rows: Rows) -> dict[str, Any]:
        """These texts, padded on the right: nothing a causal model says of a token depends on what follows it."""
        torch: Any = require("torch", "train")
        width = max(2, *(len(self.tokens[i]) for i in rows))
        ids = np.zeros((len(rows), width), np.int64)
        labels = np.full((len(rows), width), IGNORED, np.int64)
        for at, i in enumerate(rows):
            ids[at, : len(self.tokens[i])] = self.tokens[i]
            labels[at, : len(self.labels[i])] = self.labels[i]
        return {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "labels": torch.from_numpy(labels).to(self.device),
        }


def causal_loss(model: Any, batch: Mapping[str, Any]) -> Any:
    """The mean loss of the tokens that have a label, each given those before it; a scalar. A text without any has loss 0.

    No attention mask is passed: padding is on the right and without a label.
    """
    torch: Any = require("torch", "train")
    logits = model(input_ids=batch["input_ids"], use_cache=False).logits[:, :-1].float()
    labels = batch["labels"][:, 1:]
    counts = labels != IGNORED
    chosen = torch.where(counts, labels, torch.zeros_like(labels))
    said = logits.log_softmax(-1).gather(-1, chosen[..., None])[..., 0]
    return -(said * counts).sum() / counts.sum().clamp(min=1)


def encode_pairs(
    tokenizer: Any,
    prompts: Sequence[str],
    answers: Sequence[str],
    *,
    max_length: int = 512,
    device: str = "cpu",
) -> Texts:
    """Prompts (n,) and answers (n,) as `Texts` whose loss is that of the answer and of the token that ends it.

    A text longer than `max_length` tokens loses the beginning of its prompt first, then the end of its answer.
    """
    if len(prompts) != len(answers):
        raise InputError(f"{counted(len(prompts), 'prompt')} and {counted(len(answers), 'answer')}")
    if max_length < 2:
        raise InputError(f"max_length {max_length}: at least 2 tokens are meant")
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ended = (
        bool(end) and list(tokenizer("a", verbose=False)["input_ids"])[-1:] == end
    )  # it ends every text, prompts too
    tokens, labels = [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        first = list(tokenizer(prompt, add_special_tokens=True, verbose=False)["input_ids"])
        first = first[:-1] if ended else first
        last = [*tokenizer(answer, add_special_tokens=False, verbose=False)["input_ids"], *end]
        last = last[: max_length - 1]
        first = first[max(0, len(first) + len(last) - max_length) :]
        tokens.append(np.array([*first, *last], np.int64))
        labels.append(np.array([*[IGNORED] * len(first), *last], np.int64))
    return Texts(tokens, labels, device)


def check_adapter(folder: str | Path) -> None:
    """Raises MissingModelError where a folder holds no adapter."""
    if not (Path(folder) / "adapter_config.json").exists():
        raise MissingModelError(f"{Path(folder)} holds no adapter: adapter_config.json is missing")


def adapter_values(model: Any, folder: str | Path) -> dict[str, Any]:
    """The parameters of an adapter saved by `peft` (`save_pretrained`), by the names they have in `model`, a `PeftModel`.

    Raises MissingModelError where the folder holds no adapter, InputError where it is one for another model.
    """
    peft: Any = require("peft", "train")
    path = Path(folder)
    check_adapter(path)
    weights: Mapping[str, Any] = peft.utils.load_peft_weights(str(path), device="cpu")
    active = f".{model.active_adapter}."
    found = {}
    for name, p in model.named_parameters():
        key = name.replace(active, ".")
        if key in weights:
            if weights[key].shape != p.shape:
                raise InputError(
                    f"the adapter in {path} is of another model: {key!r} is {tuple(weights[key].shape)} there, "
                    f"{tuple(p.shape)} here"
                )
            found[name] = weights[key]
    if len(found) != len(weights):
        raise InputError(
            f"the adapter in {path} is of another model: of its {counted(len(weights), 'parameter')} {len(found)} are "
            "in this one"
        )
    return found
