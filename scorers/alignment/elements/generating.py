"""A causal language model that answers on this machine, greedily: the same question, the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from curate.errors import InputError, require
from curate.weights import Precision, choose_device, choose_dtype, dtype_option, fetch

__all__ = ["WHAT", "Answerer", "load_answerer"]

WHAT = "causal language model with its tokenizer"
_UNBOUNDED = 1 << 20  # tokenizers without a limit say 10^30


@dataclass(frozen=True, eq=False)
class Answerer:
    """A loaded model and its tokenizer. `limit` is the most tokens that question and answer may have together."""

    net: Any
    tokenizer: Any
    device: str
    limit: int

    def answer(
        self, prompts: Sequence[str], *, max_tokens: int = 1024, batch_size: int = 8
    ) -> list[str | None]:
        """The answer to each prompt, at most `max_tokens` long, each token the likeliest; None where the prompt leaves
        no room for so many.

        A model with a chat template is asked as it was trained to be; another continues the prompt. Prompts are sorted
        by length and padded on the left, which changes no answer but where two tokens are equally likely to the rounding.
        """
        encoded = [self.encode(prompt) for prompt in prompts]
        answers: list[str | None] = [None] * len(prompts)
        fitting = [i for i, ids in enumerate(encoded) if 0 < len(ids) <= self.limit - max_tokens]
        fitting.sort(key=lambda i: (-len(encoded[i]), i))
        for low in range(0, len(fitting), batch_size):
            group = fitting[low : low + batch_size]
            for i, text in zip(group, self._generate([encoded[i] for i in group], max_tokens), strict=True):
                answers[i] = text
        return answers

    def encode(self, prompt: str) -> list[int]:
        """The tokens that the model is given for a prompt."""
        if not getattr(self.tokenizer, "chat_template", None):
            return list(self.tokenizer(prompt, verbose=False)["input_ids"])
        turns = [{"role": "user", "content": prompt}]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def find_marks(self, text: str) -> list[str]:
        """The model's own tokens that a text holds as words: it would take them for the end of its turn, say."""
        added = self.tokenizer.get_added_vocab()
        return [
            mark for mark in {*self.tokenizer.all_special_tokens, *added} if mark.strip() and mark in text
        ]

    def _generate(self, group: Sequence[list[int]], max_tokens: int) -> list[str]:
        torch: Any = require("torch", "train")
        width = max(map(len, group))
        pad = self._pad()
        ids = torch.tensor([[pad] * (width - len(one)) + one for one in group], device=self.device)
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in group], device=self.device)
        with torch.inference_mode():
            found = self.net.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=pad,
            )
        return list(self.tokenizer.batch_decode(found[:, width:], skip_special_tokens=True))

    def _pad(self) -> int:
        """A token to pad with; which does not matter, as it is masked, and behind the end nothing is read."""
        known = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        return int(next(token for token in known if token is not None))


@lru_cache(maxsize=1)
def load_answerer(model: str, device: str, precision: Precision) -> Answerer:
    """A causal model by its name on the hub or the path of its folder, in memory until another is asked for.

    Code that comes with a model is not run. What its folder says of sampling is set aside. Raises MissingModelError
    where it cannot be had, MissingExtraError without transformers, InputError for weights of another model, or fp16 on
    a CPU.
    """
    transformers: Any = require("transformers", "train")
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    tokenizer = fetch(transformers.AutoTokenizer.from_pretrained, model, WHAT)
    options = {**dtype_option(dtype), "output_loading_info": True}
    net, info = fetch(transformers.AutoModelForCausalLM.from_pretrained, model, WHAT, options)
    lacking = sorted(str(key) for key in (*info["missing_keys"], *info["mismatched_keys"]))
    if lacking:
        raise InputError(
            f"{model!r} holds weights of another model: {len(lacking)} are missing, the first {lacking[0]}"
        )
    ends = {
        e for e in [*_listed(net.generation_config.eos_token_id), tokenizer.eos_token_id] if e is not None
    }
    net.generation_config = transformers.GenerationConfig(eos_token_id=sorted(ends) or None)
    sizes = [getattr(net.config, name, None) for name in ("max_position_embeddings", "n_positions")]
    known = [s for s in (*sizes, tokenizer.model_max_length) if s and s < _UNBOUNDED]
    return Answerer(net.to(where).eval(), tokenizer, where, int(min(known, default=2048)))


def _listed(tokens: Any) -> list[Any]:
    return list(tokens) if isinstance(tokens, (list, tuple)) else [tokens]
