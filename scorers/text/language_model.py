"""A causal language model by transformers: what it says of each token of a text, and its states over an answer.

Texts are padded on the right by us, whatever the tokenizer would do: a causal model looks at nothing to the right, so
that neither the padding nor the other texts of a batch change a number (but for rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError, require
from curate.weights import Precision, choose_device, choose_dtype, fetch

__all__ = ["WHAT", "LanguageModel", "TokenStatistics", "load_language_model", "plan_windows"]

WHAT = "causal language model with its tokenizer"
Ids = npt.NDArray[np.int64]
_CELLS = 1 << 22  # logits whose moments are taken at a time
_UNBOUNDED = 1 << 20  # tokenizers without a limit say 10^30
_FLOOR = -100.0  # exp of it is nothing; a logit of -inf would make 0 * inf


class TokenStatistics(NamedTuple):
    """Token after token, text after text: `log_probs` (t,) float32, and, where asked for, the mean and standard
    deviation of log p over the vocabulary at that place, `means` and `deviations` (t,) float32. `offsets` (n + 1,)
    int64 says where each text begins. The first token of a text has nothing before it and is not among them."""

    log_probs: npt.NDArray[np.float32]
    means: npt.NDArray[np.float32]
    deviations: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]


class Window(NamedTuple):
    """Tokens `begin` ... `end` - 1 of a text are shown to the model; those from `first` on are scored."""

    text: int
    begin: int
    end: int
    first: int


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A loaded model and its tokenizer. `limit` is the most tokens it takes at a time."""

    net: Any
    tokenizer: Any
    device: str
    limit: int

    def encode(self, texts: Sequence[str], special: bool = True) -> list[Ids]:
        """Token ids of each text; `special` lets the tokenizer add what it puts before a text (not what it ends with)."""
        if not texts:
            return []
        found = self.tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]
        ids = [np.asarray(one, np.int64) for one in found]
        if special and self._ends_texts():
            ids = [one[:-1] for one in ids]
        return ids

    def _ends_texts(self) -> bool:
        """Whether the tokenizer puts a token after every text."""
        whole, plain = (self.tokenizer("a", add_special_tokens=s)["input_ids"] for s in (True, False))
        return bool(plain) and whole[-1] != plain[-1] and whole[-1] == self.tokenizer.eos_token_id

    def token_statistics(
        self,
        texts: Sequence[Ids],
        *,
        batch_size: int = 8,
        max_length: int | None = None,
        stride: int | None = None,
        moments: bool = True,
    ) -> TokenStatistics:
        """What the model says of each token, given those before it in its window.

        A text longer than `max_length` (default: what the model takes) is read in windows that advance by `stride`
        (default: half a window), each token scored once, in the first window that reaches it: it then sees at least
        max_length - stride tokens before it. `moments=False` leaves `means` and `deviations` empty.
        Raises InputError where window and stride do not fit.
        """
        import torch

        length = self.window(max_length)
        step = max(1, length // 2) if stride is None else stride
        windows = plan_windows([len(ids) for ids in texts], length, step)
        offsets = np.append(0, np.cumsum([max(0, len(ids) - 1) for ids in texts])).astype(np.int64)
        found = np.zeros((3 if moments else 1, int(offsets[-1])), np.float32)
        windows.sort(key=lambda w: (w.begin - w.end, w.text, w.begin))  # longest first: memory fails at once
        for low in range(0, len(windows), batch_size):
            group = windows[low : low + batch_size]
            ids, mask = self._pad([texts[w.text][w.begin : w.end] for w in group])
            with torch.inference_mode():
                logits = self.net(input_ids=ids, attention_mask=mask, use_cache=False).logits
                places, tokens, targets = _places(group, offsets, ids.shape[1])
                chosen = ids.reshape(-1)[torch.from_numpy(tokens).to(self.device)]
                flat = logits.reshape(-1, logits.shape[-1])
                found[:, targets] = _statistics(
                    flat, torch.from_numpy(places).to(self.device), chosen, moments
                )
        empty = np.empty(0, np.float32)
        means, deviations = (found[1], found[2]) if moments else (empty, empty)
        return TokenStatistics(found[0], means, deviations, offsets)

    def state_sums(
        self, prompts: Sequence[Ids], answers: Sequence[Ids], batch_size: int = 8
    ) -> npt.NDArray[np.float64]:
        """The sum of last-layer states from the last prompt token up to, excluding, the last token of the answer.

        So many states as the answer has tokens: those from which its tokens are predicted. Prompts and answers have at
        least one token each. Returns (n, d) float64. Raises InputError for a pair longer than the model takes.
        """
        import torch

        whole = [np.concatenate(pair) for pair in zip(prompts, answers, strict=True)]
        longest = max((len(ids) for ids in whole), default=0)
        if longest > self.limit:
            raise InputError(
                f"{counted(longest, 'token')} of prompt and answer, the model takes {self.limit}"
            )
        order = np.argsort([-len(ids) for ids in whole], kind="stable")
        sums: list[Any] = [None] * len(whole)
        for low in range(0, len(order), batch_size):
            rows = order[low : low + batch_size]
            ids, mask = self._pad([whole[i] for i in rows])
            with torch.inference_mode():
                states = self.net.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
                for row, i in enumerate(rows):
                    span = states[row, len(prompts[i]) - 1 : len(whole[i]) - 1]
                    sums[i] = span.float().sum(0).cpu().numpy().astype(np.float64)
        return np.stack(sums) if sums else np.empty((0, 0))

    def window(self, max_length: int | None) -> int:
        """The tokens shown at a time: `max_length`, which may not exceed what the model takes."""
        if max_length is not None and max_length > self.limit:
            raise InputError(
                f"max_length={max_length}: the model takes {counted(self.limit, 'token')} at most"
            )
        return self.limit if max_length is None else max_length

    def _pad(self, rows: Sequence[Ids]) -> tuple[Any, Any]:
        import torch

        longest = max(len(row) for row in rows)
        ids, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)


def plan_windows(lengths: Sequence[int], window: int, stride: int) -> list[Window]:
    """The windows in which texts of these lengths (in tokens) are read, so that every token but the first is scored
    once. Raises InputError unless window >= 2 and 1 <= stride < window."""
    if window < 2:
        raise InputError(f"max_length={window}: a token and one before it make two")
    if not 1 <= stride < window:
        raise InputError(f"stride={stride}: it lies between 1 and max_length - 1 = {window - 1}")
    windows = []
    for text, length in enumerate(lengths):
        begin, first = 0, 1
        while first < length:
            end = min(begin + window, length)
            windows.append(Window(text, begin, end, first))
            begin, first = begin + stride, end
    return windows


def _places(group: Sequence[Window], offsets: Ids, width: int) -> tuple[Ids, Ids, Ids]:
    """Of each scored token of a padded batch: where its logits lie, where it lies itself, and where its answer goes."""
    logits, targets = [], []
    for row, w in enumerate(group):
        logits.append(np.arange(w.first - 1, w.end - 1) - w.begin + row * width)
        targets.append(np.arange(w.first - 1, w.end - 1) + offsets[w.text])
    places = np.concatenate(logits)
    return places, places + 1, np.concatenate(targets)


def _statistics(logits: Any, places: Any, tokens: Any, moments: bool) -> npt.NDArray[np.float32]:
    """Log-probability of each token (t,), mean and deviation of log p over the vocabulary, from the rows `places` of
    `logits` (rows, vocabulary). Some rows at a time: what is exponentiated should fit the caches."""
    import torch

    rows = max(1, _CELLS // logits.shape[1])
    pieces = []
    for low in range(0, len(tokens), rows):
        shifted = logits[places[low : low + rows]].float()
        shifted -= shifted.amax(1, keepdim=True)
        chosen = shifted.gather(1, tokens[low : low + rows, None])[:, 0]
        if not moments:
            pieces.append((chosen - shifted.exp_().sum(1).log())[None])
            continue
        shifted.clamp_(min=_FLOOR)
        weights = shifted.exp()
        total = weights.sum(1)
        weights.mul_(shifted)
        first = weights.sum(1) / total
        second = weights.mul_(shifted).sum(1) / total  # about the largest logit: the variance knows no shift
        deviation = (second - first * first).clamp_(min=0).sqrt()
        pieces.append(torch.stack([chosen - total.log(), first - total.log(), deviation]))
    found: npt.NDArray[np.float32] = torch.cat(pieces, 1).cpu().numpy()
    return found


# --- Loading --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def load_language_model(model: str, device: str, precision: Precision) -> LanguageModel:
    """A causal model by its name on the hub or the path of its folder, in memory until another is asked for.

    Code that comes with a model is not run. Raises MissingModelError where it cannot be had, MissingExtraError without
    transformers, InputError for fp16 on a CPU.
    """
    transformers: Any = require("transformers", "train")
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    tokenizer = fetch(transformers.AutoTokenizer.from_pretrained, model, WHAT)
    net = fetch(transformers.AutoModelForCausalLM.from_pretrained, model, WHAT)
    net = net.to(where, dtype).eval()
    sizes = [getattr(net.config, name, None) for name in ("max_position_embeddings", "n_positions")]
    known = [s for s in (*sizes, tokenizer.model_max_length) if s and s < _UNBOUNDED]
    return LanguageModel(net, tokenizer, where, int(min(known, default=2048)))
