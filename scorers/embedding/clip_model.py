"""Loading a CLIP model by name or from a file, and running it while the next images are being decoded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from curate.errors import MediaError, MissingModelError, UnknownNameError, check_installed, require
from curate.media import open_image, read_batches
from curate.scorers.embedding.clip_names import model_names, weights_of
from curate.scorers.embedding.clip_text import choose_text_tower
from curate.weights import (
    Precision,
    choose_device,
    choose_dtype,
    first_line,
    no_waiting_for_the_hub,
    why_missing,
)

__all__ = ["ClipModel", "check_clip", "load_clip"]

Floats = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ClipModel:
    """A loaded model: `encode_images` and `encode_texts` give rows of unit length, (n, dim) float32."""

    model: Any
    prepare: Callable[[Any], Any]
    tokenise: Callable[[list[str]], Any]
    read_texts: Callable[[Any], Any]
    device: str
    dtype: Any
    dim: int

    def encode_images(
        self, addresses: Sequence[str | None], batch_size: int
    ) -> tuple[Floats, list[str | None]]:
        """Vectors (zero where there is none), and why there is none. Images are decoded in threads meanwhile, and each
        address is looked at once."""
        distinct, places = _distinct(addresses)
        vectors = np.zeros((len(distinct), self.dim), np.float32)
        reasons: list[str | None] = [None] * len(distinct)
        for rows, tensors, errors in read_batches(self._open, distinct, batch_size):
            for row, error in errors.items():
                reasons[row] = f"{error.code}: {error}"
            if rows:
                vectors[rows] = self._run_images(tensors)
        return vectors[places], [reasons[place] for place in places]

    def encode_texts(self, texts: Sequence[str], batch_size: int) -> Floats:
        """Vectors of texts; what is longer than the model's context (77 tokens) is cut off."""
        import torch

        distinct, places = _distinct(texts)
        vectors = np.zeros((len(distinct), self.dim), np.float32)
        if not distinct:
            return vectors
        tokens = self.tokenise(distinct)
        order = (
            (tokens != 0).sum(1).argsort(stable=True)
        )  # texts of a length together: what is padded is computed
        for rows in order.split(batch_size):
            with torch.inference_mode():
                vectors[rows.numpy()] = _plain(self.read_texts(tokens[rows].to(self.device)))
        return vectors[places]

    def _run_images(self, tensors: list[Any]) -> Floats:
        import torch

        with torch.inference_mode():
            return _plain(self.model.encode_image(torch.stack(tensors).to(self.device, self.dtype)))

    def _open(self, address: str | None) -> Any:
        if address is None:
            raise MediaError("missing", "no image")
        return self.prepare(open_image(address))


def _plain(output: Any) -> Floats:
    """A model's output as NumPy rows of unit length."""
    vectors = output.float().cpu().numpy()
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _distinct(values: Sequence[T]) -> tuple[list[T], npt.NDArray[np.int64]]:
    """Each value once, in the order of first use, and where each of `values` lies there."""
    places: dict[T, int] = {}
    found = [places.setdefault(value, len(places)) for value in values]
    return list(places), np.array(found, np.int64)


# --- Loading --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def load_clip(model: str, pretrained: str | None, device: str, precision: Precision) -> ClipModel:
    """The model of an open_clip name, with weights by tag, from a file, or (None) random with a fixed seed.

    Raises UnknownNameError for a model or tag that does not exist, MissingModelError where the weights cannot be had,
    MissingExtraError without open_clip.
    """
    open_clip: Any = require("open_clip", "vision")
    import torch

    if ":" not in model:  # hf-hub:owner/name or local-dir:/path bring their own weights
        tags = open_clip.list_pretrained_tags_by_model(model)
        _check_names(model, pretrained, open_clip.list_models(), tags)
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    try:
        with torch.random.fork_rng(), no_waiting_for_the_hub():
            torch.manual_seed(0)
            net, _, prepare = open_clip.create_model_and_transforms(
                model, pretrained=pretrained, precision=precision, device=where
            )
            tokenise = open_clip.get_tokenizer(model)
    except Exception as error:  # the hub's client raises a different one for each way of failing
        raise MissingModelError(_explain(model, pretrained, first_line(error))) from error
    net.eval()
    probe = tokenise(["", "a word or two"]).to(where)
    read_texts = choose_text_tower(net, probe)
    with torch.inference_mode():
        dim = int(read_texts(probe).shape[1])
    return ClipModel(net, prepare, tokenise, read_texts, where, dtype, dim)


def check_clip(model: str, pretrained: str | None) -> None:
    """Raises what `load_clip` surely will, and loads nothing."""
    check_installed("open_clip", "vision")
    check_installed("torch", "train")
    scheme, _, place = model.partition(":")
    cause = ""
    if scheme == "local-dir":
        cause = "" if Path(place).is_dir() else "there is no such folder"
    elif scheme == "hf-hub":
        cause = why_missing(place)
    elif not place:
        weights = weights_of(model)
        _check_names(model, pretrained, model_names(), weights)
        place = (
            "" if pretrained == "openai" else weights.get(pretrained or "", "")
        )  # older ones lie elsewhere
        cause = why_missing(place) if place else ""
    if cause:
        raise MissingModelError(_explain(model, pretrained, cause))


def _check_names(model: str, pretrained: str | None, models: Collection[str], tags: Collection[str]) -> None:
    """Raises UnknownNameError for names that are none of these; where there are none, nothing is known of them."""
    if models and model not in models:
        hint = "Or 'hf-hub:owner/name', or 'local-dir:/folder'."
        raise UnknownNameError("CLIP model", model, models, hint)
    if pretrained is not None and tags and pretrained not in tags and not Path(pretrained).is_file():
        hint = "Or the path of a checkpoint (there is no such file), or none for random weights."
        raise UnknownNameError(f"weights of {model}", pretrained, tags, hint)


def _explain(model: str, pretrained: str | None, cause: str) -> str:
    if pretrained is not None and Path(pretrained).is_file():
        return f"{pretrained} does not hold weights of {model!r}: {cause}"
    weights = f" with weights {pretrained!r}" if pretrained and ":" not in model else ""
    return (
        f"the model {model!r}{weights} is not on this machine and could not be fetched ({cause}). Where there is a "
        "network, download its checkpoint (open_clip_pytorch_model.bin or open_clip_model.safetensors on the Hugging "
        "Face hub), copy it here, and give its path: pretrained='/path/to/open_clip_model.safetensors'"
    )
