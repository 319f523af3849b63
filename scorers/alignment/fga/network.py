"""FGA-BLIP2 as a network: transformers' BLIP-2 with its matching head at every position, and the mask head beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, require

__all__ = ["MASK_FILE", "FgaModel", "Outputs", "new_mask_head"]

MASK_FILE = "mask_head.safetensors"
_SIZES = (256, 128, 64, 16, 1)
Ids = npt.NDArray[np.int64]


class Outputs(NamedTuple):
    """Probabilities of "match", torch tensors: `queries` (b, q), and `tokens` (b, l), one for each token of the text."""

    queries: Any
    tokens: Any


@dataclass(frozen=True, eq=False)
class FgaModel:
    """A loaded model: `net` (Blip2ForImageTextRetrieval), `mask_head` (or None) and the tokenizer of its captions.

    The vision tower runs in its own dtype, its last layer norm and the Q-Former always in float32.
    """

    net: Any
    mask_head: Any
    tokenizer: Any
    device: str

    @property
    def image_size(self) -> int:
        """The side in pixels of the square that images are brought to."""
        size = self.net.config.vision_config.image_size
        return int(size if isinstance(size, int) else size[0])

    @property
    def limit(self) -> int:
        """The most tokens a text may have, [CLS] and [SEP] included."""
        return int(self.net.config.qformer_config.max_position_embeddings)

    def encode(self, cleaned: str, limit: int | None = None) -> Ids:
        """Token ids of a cleaned caption, [CLS] and [SEP] around them; a text beyond `limit` tokens is cut, [SEP] kept.

        Names of special tokens within a text are text.
        """
        ids = self.pieces(cleaned)[: (self.limit if limit is None else min(limit, self.limit)) - 2]
        return np.array([self.tokenizer.cls_token_id, *ids, self.tokenizer.sep_token_id], np.int64)

    def pieces(self, cleaned: str) -> list[int]:
        """Token ids of a text without anything around them. Raises InputError for one that the model does not know."""
        # Half a surrogate is no text, and tokenizers stop at it.
        text = cleaned.encode("utf-8", "replace").decode()
        found = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
        ids: list[int] = list(found["input_ids"])
        known = int(self.net.embeddings.word_embeddings.num_embeddings)
        if ids and max(ids) >= known:
            raise InputError(f"the tokenizer gives token {max(ids)}, and the model knows {known}")
        return ids

    def names(self, ids: Sequence[int] | Ids) -> list[str]:
        """The tokens as text; a piece that goes on with a word begins with ##."""
        return [str(name) for name in self.tokenizer.convert_ids_to_tokens([int(i) for i in ids])]

    def pad(self, rows: Sequence[Ids], length: int | None = None) -> tuple[Any, Any]:
        """Ids and mask (b, l) on the device, l the longest row or `length`."""
        torch: Any = require("torch", "train")
        width = max(len(row) for row in rows) if length is None else length
        ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)

    def see(self, pixels: Any) -> Any:
        """What the vision tower makes of images (b, 3, s, s): (b, patches + 1, width) float32.

        Gradients reach its last layer norm and no further: the tower is frozen in training.
        """
        torch: Any = require("torch", "train")
        vision = self.net.vision_model
        dtype = vision.embeddings.patch_embedding.weight.dtype
        with torch.no_grad():
            states = vision.encoder(inputs_embeds=vision.embeddings(pixels.to(self.device, dtype)))
        return vision.post_layernorm(states.last_hidden_state.float())

    def match(self, seen: Any, ids: Any, mask: Any) -> Outputs:
        """Images that were seen (b, ...) against texts (b, l): the matching head at every position."""
        torch: Any = require("torch", "train")
        net = self.net
        queries = net.query_tokens.float().expand(len(ids), -1, -1)
        count = queries.shape[1]
        ones = torch.ones(queries.shape[:2], dtype=mask.dtype, device=mask.device)
        states = net.qformer(
            query_embeds=net.embeddings(input_ids=ids, query_embeds=queries),
            query_length=count,
            attention_mask=torch.cat([ones, mask], 1),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=mask.dtype, device=mask.device),
            return_dict=True,
        ).last_hidden_state
        probabilities = net.itm_head(states).float().softmax(-1)[..., 1]
        return Outputs(probabilities[:, :count], probabilities[:, count:])

    def mask(self, ids: Any, mask: Any) -> Any:
        """How probable it is that each token belongs to some element, (b, l), from the text alone.

        Raises InputError for a model without a mask head.
        """
        if self.mask_head is None:
            raise InputError("this model has no mask head: it was loaded from weights without `mask_proj`")
        states = self.net.qformer(
            query_embeds=self.net.embeddings(input_ids=ids),
            query_length=0,
            attention_mask=mask,
            return_dict=True,
        ).last_hidden_state
        return self.mask_head(states)[..., 0]

    def save(self, folder: str | Path) -> None:
        """Write model, mask head and tokenizer into a folder that `FgaBlip2(model=folder)` loads."""
        safetensors: Any = require("safetensors.torch", "train")
        place = Path(folder)
        self.net.save_pretrained(place)
        self.tokenizer.save_pretrained(place)
        if self.mask_head is not None:
            weights = {k: v.detach().cpu().contiguous() for k, v in self.mask_head.state_dict().items()}
            safetensors.save_file(weights, str(place / MASK_FILE))


def new_mask_head(width: int, seed: int = 0) -> Any:
    """A fresh mask head: an MLP width-256-128-64-16-1, ReLU between and a sigmoid after, weights drawn from a normal of
    deviation 1 / (width + 1), no bias. Its parts are named as in the authors' checkpoint (`0.weight`, `2.weight` ...)."""
    torch: Any = require("torch", "train")
    layers: list[Any] = []
    rng = np.random.default_rng(seed)
    before = width
    for size in _SIZES:
        linear = torch.nn.utils.skip_init(torch.nn.Linear, before, size)  # torch's random state is the user's
        drawn = rng.normal(0, 1 / (width + 1), (size, before)).astype(np.float32)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(drawn))
            linear.bias.zero_()
        layers += [linear, torch.nn.ReLU()]
        before = size
    layers[-1] = torch.nn.Sigmoid()
    return torch.nn.Sequential(*layers)
