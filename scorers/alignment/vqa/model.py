"""A vision-language model by transformers: what it would say next about an image, asked many questions at a time.

The image goes through the vision tower once, whatever the number of questions. Prompts are padded on the right: a causal
model looks at nothing to the right, so that neither padding nor the other prompts of a batch change a number (but for
rounding).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError

__all__ = ["VisionLanguageModel"]

Floats = npt.NDArray[np.float64]
Job = tuple[Any, Sequence[str]]
_WINDOW = 4  # batches of prompts sorted by length together


class Seen(NamedTuple):
    """An image once the model has seen it: `features` of the vision tower, other `inputs`, the token ids `block` that
    stand for it in a prompt, and their `types` where the model wants them."""

    features: Any
    inputs: dict[str, Any]
    block: list[int]
    types: list[int] | None


class Prompt(NamedTuple):
    """One prompt of a job: its tokens with those of the image in their place."""

    job: int
    place: int
    text: str
    ids: list[int]
    types: list[int] | None


@dataclass(frozen=True, eq=False)
class VisionLanguageModel:
    """A loaded model and its processor. `limit` is the most tokens it takes at a time; `reuse` says whether it can be
    handed what its vision tower made of an image (else the image goes through the tower with every prompt)."""

    net: Any
    processor: Any
    device: str
    limit: int
    reuse: bool

    def find_words(self, words: Sequence[str]) -> list[int]:
        """The ids of every token that is one of these words, in any casing, with a space before it or without.

        Raises InputError where the tokenizer has none: what the model thinks of the word cannot then be read at one place.
        """
        wanted = {word.strip().lower() for word in words}
        vocabulary = self.processor.tokenizer.get_vocab()
        found = sorted(i for token, i in vocabulary.items() if token.lstrip("Ġ▁ ").lower() in wanted)
        if not found:
            raise InputError(
                f"the tokenizer of this model has no token for {sorted(wanted)}, in any casing: its answer cannot be "
                "read from the next token. Name the words it answers with (yes=, no=), or take another model"
            )
        return found

    def ask(
        self, jobs: Iterable[Job], words: Sequence[Sequence[int]], batch_size: int = 8
    ) -> list[Floats | str]:
        """What the model would say next. `jobs` are images (PIL, RGB) each with its prompts, read as they are needed.

        `words` are sets of token ids. Returns, per job, log-probabilities (prompts, words) float64 of the next token
        being in each set, under the whole vocabulary; or a sentence saying why it could not be asked.
        """
        answers: list[Floats | str] = []
        seen: dict[int, Seen] = {}
        waiting: list[Prompt] = []
        images: dict[int, Any] = {}
        for job, (image, prompts) in enumerate(jobs):
            answers.append(np.zeros((len(prompts), len(words))))
            found = self._prepare(job, image, prompts)
            if isinstance(found, str):
                answers[job] = found
                continue
            seen[job], images[job] = found[0], image
            waiting += found[1]
            if len(waiting) >= _WINDOW * batch_size:
                self._answer(waiting, seen, images, words, answers, batch_size)
                waiting, seen, images = [], {}, {}
        self._answer(waiting, seen, images, words, answers, batch_size)
        return answers

    # --- An image and its prompts ---------------------------------------------------------------------------------

    def _prepare(self, job: int, image: Any, prompts: Sequence[str]) -> tuple[Seen, list[Prompt]] | str:
        special = next((s for s in self._special for prompt in prompts if s in prompt), None)
        if special is not None:
            return f"the text holds {special!r}, which means something else to the model"
        if not prompts:
            return Seen(None, {}, [], None), []
        texts = [self._chat(prompt) for prompt in prompts]
        bare = [self._tokenise(text) for text in texts]
        if len(min(bare, key=len)) > self.limit:  # before the tower is troubled
            return f"{counted(len(min(bare, key=len)), 'token')}, the model takes {self.limit}"
        try:
            seen = self._look(image, texts[0], bare[0])
        except ValueError as error:  # an image a thousand times as wide as high, for one
            return f"the model's processor refuses the image: {error}"
        made = [self._place(seen, ids, text) for ids, text in zip(bare, texts, strict=True)]
        longest = max(len(ids) for ids, _ in made)
        if longest > self.limit:
            return f"{counted(longest, 'token')}, the model takes {self.limit}"
        return seen, [
            Prompt(job, i, text, *pair) for i, (text, pair) in enumerate(zip(texts, made, strict=True))
        ]

    @cached_property
    def _special(self) -> list[str]:
        """The tokens that mean something to the model wherever they stand."""
        tokenizer = self.processor.tokenizer
        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        known = (*tokenizer.all_special_tokens, *added, getattr(self.processor, "image_token", None))
        return sorted({token for token in known if token})

    def _chat(self, prompt: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        text: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return text

    def _begins(self, text: str) -> bool:
        """Whether the tokenizer is to add its first token: the template may have done so."""
        first = self.processor.tokenizer.bos_token
        return not (first and text.startswith(first))

    def _tokenise(self, text: str) -> list[int]:
        ids: list[int] = self.processor.tokenizer(text, add_special_tokens=self._begins(text), verbose=False)[
            "input_ids"
        ]
        return ids

    def _look(self, image: Any, text: str, bare: list[int]) -> Seen:
        """One image through the processor and, where it can be kept, the vision tower."""
        import torch

        at = self._image_at(bare)
        found = dict(self._process([text], [image]))
        whole = found.pop("input_ids")[0].tolist()
        types = found.pop("mm_token_type_ids", None)
        found.pop("attention_mask", None)
        stop = len(whole) - (len(bare) - at - 1)
        if whole[:at] != bare[:at] or whole[stop:] != bare[at + 1 :] or stop <= at:
            raise InputError(
                "the processor of this model changes the text around an image: it cannot be asked"
            )
        features = None
        if self.reuse:
            with torch.inference_mode():
                features = self.net.get_image_features(**found, return_dict=True)
        inputs = {name: value for name, value in found.items() if not name.startswith("pixel_")}
        kinds = None if types is None else types[0, at:stop].tolist()
        return Seen(features, inputs, whole[at:stop], kinds)

    def _image_at(self, bare: list[int]) -> int:
        """Where the one token that stands for the image is."""
        tokenizer, processor = self.processor.tokenizer, self.processor
        token: Any = getattr(processor, "image_token_id", None)
        if token is None:
            name = getattr(processor, "image_token", None) or getattr(tokenizer, "image_token", None)
            token = None if name is None else tokenizer.convert_tokens_to_ids(str(name))
        count = 0 if token is None else bare.count(token)
        if count != 1:
            raise InputError(
                f"the chat template of this model puts {counted(count, 'image token')} into a prompt with one image: "
                "it cannot be asked. Take its instruction-tuned version, whose processor has a template with images"
            )
        return bare.index(token)

    def _place(self, seen: Seen, bare: list[int], text: str) -> tuple[list[int], list[int] | None]:
        """Tokens of a prompt with those of the image in their place, and their types."""
        at = self._image_at(bare)
        ids = [*bare[:at], *seen.block, *bare[at + 1 :]]
        if seen.types is None:
            return ids, None
        return ids, [*[0] * at, *seen.types, *[0] * (len(bare) - at - 1)]

    def _process(self, texts: list[str], images: list[Any]) -> Any:
        begins = self._begins(texts[0])
        found = self.processor(
            text=texts, images=images, add_special_tokens=begins, padding=True, return_tensors="pt"
        )
        return {name: self._move(value) for name, value in found.items()}

    def _move(self, value: Any) -> Any:
        """To the device; numbers with a point in the precision of the model."""
        floating = value.is_floating_point()
        return value.to(self.device, self.net.dtype) if floating else value.to(self.device)

    # --- Batches --------------------------------------------------------------------------------------------------

    def _answer(
        self,
        waiting: list[Prompt],
        seen: dict[int, Seen],
        images: dict[int, Any],
        words: Sequence[Sequence[int]],
        answers: list[Floats | str],
        batch_size: int,
    ) -> None:
        """The prompts that wait, in batches of like length, their answers put in their places."""
        import torch

        ordered = sorted(waiting, key=lambda p: (-len(p.ids), p.job, p.place))
        for low in range(0, len(ordered), batch_size):
            group = ordered[low : low + batch_size]
            with torch.inference_mode():
                inputs = self._collate(group, seen) if self.reuse else self._repeat(group, images)
                ends = torch.tensor([len(p.ids) - 1 for p in group], device=self.device)
                places, rows = torch.unique(ends, return_inverse=True)
                logits = self.net(**inputs, use_cache=False, logits_to_keep=places).logits
                last = logits[torch.arange(len(group), device=self.device), rows]
                logs = torch.log_softmax(last.cpu().double(), dim=-1)
                found = torch.stack([torch.logsumexp(logs[:, list(ids)], dim=-1) for ids in words], 1).numpy()
            for prompt, values in zip(group, found, strict=True):
                answer = answers[prompt.job]
                assert not isinstance(answer, str)
                answer[prompt.place] = values

    def _collate(self, group: list[Prompt], seen: dict[int, Seen]) -> dict[str, Any]:
        """The inputs of a batch: padded tokens, and what the tower made of each one's image."""
        import torch

        width = max(len(p.ids) for p in group)
        padding = self.processor.tokenizer.pad_token_id or 0
        ids = torch.full((len(group), width), padding)
        mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, prompt in enumerate(group):
            ids[row, : len(prompt.ids)] = torch.tensor(prompt.ids)
            mask[row, : len(prompt.ids)] = 1
            if prompt.types is not None:
                types[row, : len(prompt.ids)] = torch.tensor(prompt.types)
        looks = [seen[prompt.job] for prompt in group]
        inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        if group[0].types is not None:
            inputs["mm_token_type_ids"] = types.to(self.device)
        for name in looks[0].inputs:
            inputs[name] = torch.cat([look.inputs[name] for look in looks])
        return inputs | {"mm_encoder_outputs": {"image": _join([look.features for look in looks])}}

    def _repeat(self, group: list[Prompt], images: dict[int, Any]) -> dict[str, Any]:
        """The inputs of a batch, every image processed anew: for models that take nothing else."""
        found: dict[str, Any] = self._process([p.text for p in group], [images[p.job] for p in group])
        return found


def _join(features: list[Any]) -> Any:
    """The tower's outputs for several images as its output for all of them."""
    import torch

    def join(values: list[Any]) -> Any:
        return torch.cat(values) if hasattr(values[0], "shape") else [v for value in values for v in value]

    kind = type(features[0])
    layers = getattr(features[0], "deepstack_features", None)  # per layer, not per image
    extra = {}
    if layers is not None:
        all_layers = [one.deepstack_features for one in features]
        extra["deepstack_features"] = [join(list(one)) for one in zip(*all_layers, strict=True)]
    return kind(pooler_output=join([one.pooler_output for one in features]), **extra)
