"""Speech recognition by transformers: a CTC model's log-probabilities, and transcripts by CTC or sequence to sequence.

Neither the other sounds of a batch nor padding may change a number: sounds share a batch only where the model masks what
is padded (normalisation by layer), and are run one by one where it does not (by group, as wav2vec2-base does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.speech.models import Loaded, load_parts
from curate.weights import Precision

__all__ = ["Recogniser", "load_recogniser"]

Floats = npt.NDArray[np.float32]
_CTC, _SEQUENCE = "AutoModelForCTC", "AutoModelForSpeechSeq2Seq"


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A loaded model. `rate` is the sampling rate it hears; `ctc` tells the two kinds apart."""

    parts: Loaded
    ctc: bool

    @property
    def rate(self) -> int:
        """Hz."""
        return int(self.parts.extractor.sampling_rate)

    @property
    def blank(self) -> int:
        """The class of a CTC model that says nothing: its padding token."""
        return int(self.parts.tokenizer.pad_token_id)

    @property
    def longest(self) -> float:
        """Seconds that it hears at once: 30 for Whisper, any for CTC."""
        frames = getattr(self.parts.extractor, "n_samples", None)
        return float("inf") if self.ctc or frames is None else frames / self.rate

    def log_probs(self, sounds: Sequence[Floats], batch_size: int = 8) -> list[Floats]:
        """Log-probabilities (frames, vocabulary) float32 of each sound, one channel at `rate`, by a CTC model."""
        import torch

        features = [self._features(sound) for sound in sounds]
        found: list[Any] = [None] * len(sounds)
        for rows in _alike([len(f) for f in features], batch_size if self._masks() else 1):
            batch = [features[row] for row in rows]
            with torch.inference_mode():
                logits = self.parts.net(**self._pad(batch)).logits.float()
                values = torch.log_softmax(logits, -1).cpu().numpy()
            for row, value, one in zip(rows, values, batch, strict=True):
                found[row] = value[: self._frames(len(one), value.shape[0])].copy()
        return found

    def transcribe(
        self, sounds: Sequence[Floats], batch_size: int = 8, language: str | None = None
    ) -> list[str]:
        """What is said in each sound: the likeliest class of every frame, or greedy decoding.

        `language` is for models of several (Whisper); None lets it guess. Raises InputError for a CTC model given one, and
        for a language that the model does not know.
        """
        if self.ctc:
            if language is not None:
                raise InputError(f"language={language!r}: a CTC model has one language, and is not told")
            paths = [probs.argmax(1) for probs in self.log_probs(sounds, batch_size)]
            return [self.parts.tokenizer.decode(path) for path in paths]
        import torch

        said: list[str] = []
        told = {} if language is None else {"language": language, "task": "transcribe"}
        for low in range(0, len(sounds), batch_size):
            features = np.stack([self._features(sound) for sound in sounds[low : low + batch_size]])
            tensor = torch.from_numpy(features).to(self.parts.device, self.parts.dtype)
            try:
                with torch.inference_mode():
                    ids = self.parts.net.generate(tensor, do_sample=False, num_beams=1, **told)
            except ValueError as error:
                if not told:
                    raise
                raise InputError(f"language={language!r} is refused by the model: {error}") from error
            said += self.parts.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return said

    def _features(self, sound: Floats) -> Floats:
        found = self.parts.extractor(sound, sampling_rate=self.rate, return_tensors="np")
        return np.asarray(found[self._input][0], np.float32)

    @property
    def _input(self) -> str:
        name: str = self.parts.extractor.model_input_names[0]
        return name

    def _masks(self) -> bool:
        return getattr(self.parts.net.config, "feat_extract_norm", None) == "layer"

    def _pad(self, batch: Sequence[Floats]) -> dict[str, Any]:
        import torch

        longest = max(len(one) for one in batch)
        values = np.zeros((len(batch), longest, *batch[0].shape[1:]), np.float32)
        mask = np.zeros((len(batch), longest), np.int64)
        for row, one in enumerate(batch):
            values[row, : len(one)], mask[row, : len(one)] = one, 1
        tensor = torch.from_numpy(values).to(self.parts.device, self.parts.dtype)
        if not self._masks():
            return {self._input: tensor}
        return {self._input: tensor, "attention_mask": torch.from_numpy(mask).to(self.parts.device)}

    def _frames(self, samples: int, most: int) -> int:
        count = getattr(self.parts.net, "_get_feat_extract_output_lengths", None)
        return most if count is None or not self._masks() else min(most, int(count(samples)))


def _alike(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Rows in batches of `size`, the longest first, so that little is padded."""
    order = [int(i) for i in np.argsort([-length for length in lengths], kind="stable")]
    return [order[low : low + size] for low in range(0, len(order), size)]


@lru_cache(maxsize=1)
def load_recogniser(model: str, device: str, precision: Precision, ctc_only: bool = False) -> Recogniser:
    """A model by its name on the hub or the path of its folder, in memory until another is asked for."""
    classes = (_CTC,) if ctc_only else (_CTC, _SEQUENCE)
    parts = load_parts(model, device, precision, classes=classes)
    return Recogniser(parts, "ForCTC" in type(parts.net).__name__)
