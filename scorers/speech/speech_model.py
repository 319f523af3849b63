"""A speech language model by transformers (Qwen2-Audio): sounds and texts as tokens of the space its decoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import MissingModelError
from curate.scorers.speech.models import Loaded, load_parts
from curate.weights import Precision

__all__ = ["SpeechModel", "load_speech_model"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SpeechModel:
    """A loaded model. Sounds are heard in windows of the encoder's length (30 s), each padded to it and masked, so that
    neither the batch nor its order changes a token."""

    parts: Loaded

    @property
    def rate(self) -> int:
        """Hz."""
        return int(self.parts.extractor.sampling_rate)

    @property
    def per_second(self) -> int:
        """Speech tokens a second: 25 where a token is 40 ms."""
        return int(round(self.rate / (4 * self.parts.extractor.hop_length)))  # noqa: RUF046 - of what is untyped

    def speech_tokens(self, sounds: Sequence[Floats], batch_size: int = 4) -> list[Floats]:
        """The speech tokens (N, D) float32 of each sound, one channel at `rate`, as they enter the decoder."""
        size = int(self.parts.extractor.n_samples)
        windows = [(i, s[low : low + size]) for i, s in enumerate(sounds) for low in range(0, len(s), size)]
        pieces: list[list[Floats]] = [[] for _ in sounds]
        for low in range(0, len(windows), batch_size):
            group = windows[low : low + batch_size]
            for (row, _), tokens in zip(group, self._encode([sound for _, sound in group]), strict=True):
                pieces[row].append(tokens)
        return [np.concatenate(found) for found in pieces]

    def text_tokens(self, text: str) -> Floats:
        """The embeddings (L, D) float32 of the tokens of a text, special ones left out."""
        import torch

        ids = self.parts.tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            tensor = torch.tensor(ids, dtype=torch.long, device=self.parts.device)
            found: Floats = self.parts.net.get_input_embeddings()(tensor).float().cpu().numpy()
        return found

    def first_layer(self) -> tuple[Floats, Floats, tuple[int, int]]:
        """Query and key projections of the decoder's first layer, and its heads: what `attention_received` takes."""
        language = self._core.language_model
        layer = getattr(language, "model", language).layers[0].self_attn
        text = self.parts.net.config.text_config
        weights = [layer.q_proj.weight, layer.k_proj.weight]
        query, key = (weight.detach().float().cpu().numpy() for weight in weights)
        return query, key, (int(text.num_attention_heads), int(text.num_key_value_heads))

    @property
    def _core(self) -> Any:
        net = self.parts.net
        return net if hasattr(net, "audio_tower") else net.model

    def _encode(self, sounds: Sequence[Floats]) -> list[Floats]:
        import torch

        found = self.parts.extractor(
            list(sounds),
            sampling_rate=self.rate,
            padding="max_length",
            return_attention_mask=True,
            return_tensors="pt",
        )
        tower = self._core.audio_tower
        inner, outer = tower._get_feat_extract_output_lengths(found["attention_mask"].sum(-1))
        places = torch.arange(tower.config.max_source_positions)
        mask = torch.zeros(len(sounds), 1, 1, len(places), dtype=self.parts.dtype)
        mask.masked_fill_(places >= inner[:, None, None, None], torch.finfo(self.parts.dtype).min)
        features = found["input_features"].to(self.parts.device, self.parts.dtype)
        with torch.inference_mode():
            hidden = tower(features, attention_mask=mask.to(self.parts.device)).last_hidden_state
            tokens = self._core.multi_modal_projector(hidden).float().cpu().numpy()
        return [one[: max(0, int(count))].copy() for one, count in zip(tokens, outer, strict=True)]


@lru_cache(maxsize=1)
def load_speech_model(model: str, device: str, precision: Precision) -> SpeechModel:
    """A model by its name on the hub or the path of its folder, in memory until another is asked for."""
    classes = ("Qwen2AudioForConditionalGeneration",)
    loaded = SpeechModel(load_parts(model, device, precision, classes=classes))
    if not hasattr(loaded._core, "multi_modal_projector"):
        raise MissingModelError(
            f"{model!r} has no projector from sound to text: Qwen2-Audio or its like is needed"
        )
    return loaded
