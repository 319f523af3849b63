"""Loading a CLIP model by name or from a file, and running it while the next images are being decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import MediaError, MissingModelError, UnknownNameError, require
from curate.weights import Precision, choose_device, choose_dtype, no_waiting_for_the_hub

__all__ = ["ClipModel", "load_clip"]

Floats = npt.NDArray[np.float32]
_THREADS = 4


@dataclass(frozen=True, eq=False)
class ClipModel:
    """A loaded model: `encode_images` and `encode_texts` give rows of unit length, (n, dim) float32."""

    model: Any
    prepare: Callable[[Any], Any]
    tokenise: Callable[[list[str]], Any]
    device: str
    dtype: Any
    dim: int

    def encode_images(
        self, addresses: Sequence[str | None], batch_size: int
    ) -> tuple[Floats, list[str | None]]:
        """Vectors (zero where there is none), and why there is none. Images are decoded in threads meanwhile."""
        vectors = np.zeros((len(addresses), self.dim), np.float32)
        reasons: list[str | None] = [None] * len(addresses)
        rows: list[int] = []
        tensors: list[Any] = []
        for row, decoded in enumerate(_ahead(self._read, addresses, 3 * batch_size)):
            if isinstance(decoded, MediaError):
                reasons[row] = f"{decoded.code}: {decoded}"
            else:
                rows.append(row)
                tensors.append(decoded)
            if len(rows) == batch_size:
                vectors[rows] = self._run_images(tensors)
                rows, tensors = [], []
        if rows:
            vectors[rows] = self._run_images(tensors)
        return vectors, reasons

    def encode_texts(self, texts: Sequence[str], batch_size: int) -> Floats:
        """Vectors of texts; what is longer than the model's context (77 tokens) is cut off."""
        import torch

        pieces = [np.zeros((0, self.dim), np.float32)]
        for low in range(0, len(texts), batch_size):
            tokens = self.tokenise(list(texts[low : low + batch_size])).to(self.device)
            with torch.inference_mode():
                pieces.append(_plain(self.model.encode_text(tokens)))
        return np.concatenate(pieces)

    def _run_images(self, tensors: list[Any]) -> Floats:
        import torch

        with torch.inference_mode():
            return _plain(self.model.encode_image(torch.stack(tensors).to(self.device, self.dtype)))

    def _read(self, address: str | None) -> Any:
        from curate.media import open_image

        if address is None:
            return MediaError("missing", "no image")
        try:
            return self.prepare(open_image(address))
        except MediaError as error:
            return error


def _plain(output: Any) -> Floats:
    """A model's output as NumPy rows of unit length."""
    vectors = output.float().cpu().numpy()
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _ahead(call: Callable[[Any], Any], values: Sequence[Any], lead: int) -> Iterator[Any]:
    """`call` of each value, in order, up to `lead` of them under way in threads."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[Any]] = deque()
        for value in values:
            waiting.append(pool.submit(call, value))
            if len(waiting) >= lead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# --- Loading --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def load_clip(model: str, pretrained: str | None, device: str, precision: Precision) -> ClipModel:
    """The model of an open_clip name, with weights by tag, from a file, or (None) random with a fixed seed.

    Raises UnknownNameError for a model or tag that does not exist, MissingModelError where the weights cannot be had,
    MissingExtraError without open_clip.
    """
    open_clip: Any = require("open_clip", "vision")
    import torch

    _check_names(open_clip, model, pretrained)
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
        raise MissingModelError(_explain(model, pretrained, error)) from error
    net.eval()
    return ClipModel(net, prepare, tokenise, where, dtype, _dim(net, tokenise, where))


def _dim(net: Any, tokenise: Callable[[list[str]], Any], device: str) -> int:
    import torch

    with torch.inference_mode():
        return int(net.encode_text(tokenise([""]).to(device)).shape[1])


def _check_names(open_clip: Any, model: str, pretrained: str | None) -> None:
    if ":" in model:  # hf-hub:owner/name or local-dir:/path bring their own weights
        return
    if model not in open_clip.list_models():
        hint = "Or 'hf-hub:owner/name', or 'local-dir:/folder'."
        raise UnknownNameError("CLIP model", model, open_clip.list_models(), hint)
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained is not None and pretrained not in tags and not Path(pretrained).is_file():
        hint = "Or the path of a checkpoint (there is no such file), or none for random weights."
        raise UnknownNameError(f"weights of {model}", pretrained, tags, hint)


def _explain(model: str, pretrained: str | None, error: Exception) -> str:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if pretrained is not None and Path(pretrained).is_file():
        return f"{pretrained} does not hold weights of {model!r}: {cause}"
    weights = f" with weights {pretrained!r}" if pretrained and ":" not in model else ""
    return (
        f"the model {model!r}{weights} is not on this machine and could not be fetched ({cause}). Where there is a "
        "network, download its checkpoint (open_clip_pytorch_model.bin or open_clip_model.safetensors on the Hugging "
        "Face hub), copy it here, and give its path: pretrained='/path/to/open_clip_model.safetensors'"
    )
