"""BLIP-2's two ways of matching an image with a text: its matching head (ITM) and the cosine of its vectors (ITC)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_floats
from curate.contracts import detail, reason_name, score
from curate.counting import counted
from curate.errors import InputError, require
from curate.media import read_batches
from curate.scorers.alignment.fga.captions import clean_caption
from curate.scorers.alignment.fga.network import FgaModel
from curate.scorers.alignment.fga.pictures import open_picture, prepare_picture
from curate.weights import Precision, check_model, check_precision, choose_device, choose_dtype, fetch

__all__ = ["Blip2Itm", "itc_score", "itm_score"]

Floats = npt.NDArray[np.float64]
_WHAT = "BLIP-2 for image-text retrieval with its tokenizer"


def itm_score(logits: npt.ArrayLike) -> Floats:
    """The probability of "match" from the matching head over the queries.

    `logits` (n, q, 2): no match and match, per query token. Returns (n,) float64 in [0, 1], higher = better: the
    softmax of the mean over the queries. Raises InputError for another shape. Source: Li et al., BLIP-2 (2023),
    arXiv 2301.12597, section 3.1.
    """
    array = as_floats(logits, "logits")
    if array.ndim != 3 or array.shape[1] < 1 or array.shape[2] != 2:
        raise InputError(f"logits are {array.shape}: (n, queries, 2) is needed")
    means = array.mean(axis=1)
    return np.asarray(1 / (1 + np.exp(np.clip(means[:, 0] - means[:, 1], -700, 700))))


def itc_score(queries: npt.ArrayLike, texts: npt.ArrayLike) -> Floats:
    """The cosine of a text and the query of its image that is nearest to it.

    `queries` (n, q, d) and `texts` (n, d), of any length other than zero. Returns (n,) float64 in [-1, 1], higher =
    better. Raises InputError for shapes that do not fit. Source: as `itm_score`.
    """
    many, one = as_floats(queries, "queries"), as_floats(texts, "texts")
    fits = many.ndim == 3 and one.ndim == 2 and many.shape[1] > 0 and many.shape[::2] == one.shape
    if not fits:
        raise InputError(f"queries are {many.shape}, texts {one.shape}: (n, q, d) and (n, d) are needed")
    lengths = np.linalg.norm(many, axis=2) * np.linalg.norm(one, axis=1)[:, None]
    cosines = np.einsum("iqd,id->iq", many, one) / lengths
    return np.asarray(np.clip(cosines.max(axis=1), -1, 1))


@dataclass(frozen=True)
class Blip2Itm:
    """Scores how well a text fits its image by BLIP-2: `blip2_itm`, the matching head's P(match), 0 to 1.

    `blip2_itc` is the cosine of the text and the nearest of the image's query vectors, -1 to 1. The image goes through
    the vision tower once for both. Texts are cleaned as BLIP-2's authors do, and cut after `max_tokens`.
    Null with a reason: no image or one that cannot be opened, no text.

    `model`       a name on the hub or the path of a folder with BLIP-2 for image-text retrieval.
    `max_tokens`  of a text, its two marks included.
    `device`      "auto" (cuda, mps, cpu), or a PyTorch device.
    `precision`   of the vision tower: "fp32"; "bf16" and "fp16" are faster on a GPU and differ in the third digit.
    `batch_size`  pairs run at a time.
    """

    model: str = "Salesforce/blip2-itm-vit-g-coco"
    max_tokens: int = 32
    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 16

    name: ClassVar[str] = "blip2-itm"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"blip2-itm: batch_size {self.batch_size}, at least 1")
        if self.max_tokens < 3:
            raise InputError(f"blip2-itm: max_tokens {self.max_tokens}, at least 3: two are marks")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image", "text")

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return score("blip2_itm"), detail("blip2_itc", pa.float32())

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_model(self.model, _WHAT, "vision")

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        images, texts = (
            batch.column(batch.schema.get_field_index(name)).to_pylist() for name in ("image", "text")
        )
        cleaned = [clean_caption(text or "") for text in texts]
        model = _load(self.model, self.device, self.precision)
        reasons: list[str | None] = [None if text else "no text" for text in cleaned]
        wanted = [image if text else None for image, text in zip(images, cleaned, strict=True)]
        values = np.full((len(texts), 2), np.nan)
        for rows, pixels in _in_batches(model, wanted, reasons, self.batch_size):
            ids = [model.encode(cleaned[row], self.max_tokens) for row in rows]
            values[rows] = _match(model, pixels, ids)
        columns = [pa.array(values[:, i].astype(np.float32), mask=np.isnan(values[:, i])) for i in (0, 1)]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([*columns, pa.array(reasons, pa.string())], schema=pa.schema(fields))


def _in_batches(
    model: FgaModel, addresses: Sequence[str | None], reasons: list[str | None], batch_size: int
) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
    """Rows and pixels of the images that can be opened; for the others, why not, into `reasons` where none is yet."""

    def read(address: str | None) -> npt.NDArray[np.float32]:
        return prepare_picture(open_picture(address), model.image_size)

    for rows, pixels, errors in read_batches(read, addresses, batch_size):
        for row, error in errors.items():
            reasons[row] = reasons[row] or f"{error.code}: {error}"
        if rows:
            yield rows, np.stack(pixels)


def _match(model: FgaModel, pixels: npt.NDArray[np.float32], rows: Sequence[Any]) -> Floats:
    """ITM and ITC of as many pairs, (n, 2)."""
    import torch

    net = model.net
    with torch.inference_mode():
        seen = model.see(torch.from_numpy(pixels))
        ids, mask = model.pad(rows)
        queries = net.query_tokens.float().expand(len(ids), -1, -1)
        count = queries.shape[1]
        image = {
            "encoder_hidden_states": seen,
            "encoder_attention_mask": torch.ones(seen.shape[:2], dtype=mask.dtype, device=mask.device),
        }
        ones = torch.ones(queries.shape[:2], dtype=mask.dtype, device=mask.device)
        both = net.qformer(
            query_embeds=net.embeddings(input_ids=ids, query_embeds=queries),
            query_length=count,
            attention_mask=torch.cat([ones, mask], 1),
            return_dict=True,
            **image,
        ).last_hidden_state
        logits = net.itm_head(both[:, :count])
        looks = net.qformer(query_embeds=queries, return_dict=True, **image).last_hidden_state
        said = net.qformer(
            query_embeds=net.embeddings(input_ids=ids), query_length=0, attention_mask=mask, return_dict=True
        ).last_hidden_state
        vectors = net.vision_projection(looks).cpu().numpy(), net.text_projection(said[:, 0]).cpu().numpy()
    return np.stack([itm_score(logits.cpu().numpy()), itc_score(*vectors)], axis=1)


@lru_cache(maxsize=1)
def _load(model: str, device: str, precision: Precision) -> FgaModel:
    """The model, in memory until another is asked for; every weight of both ways of matching must be there."""
    transformers: Any = require("transformers", "vision")
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    config = fetch(transformers.AutoConfig.from_pretrained, model, _WHAT)
    if config.model_type != "blip-2":
        raise InputError(f"{model!r} holds a model of type {config.model_type!r}, not 'blip-2'")
    config.qformer_config.use_qformer_text_input = True  # older configs spell it otherwise
    config.image_token_index = None  # else the first ids are taken for places of the image
    load = transformers.Blip2ForImageTextRetrieval.from_pretrained
    net, info = fetch(load, model, _WHAT, {"config": config, "output_loading_info": True})
    lacking = sorted(str(key) for key in (*info["missing_keys"], *info["mismatched_keys"]))
    if lacking:
        raise InputError(
            f"{model!r} is no BLIP-2 for image-text retrieval: {counted(len(lacking), 'weight is', 'weights are')} "
            f"missing, the first {lacking[0]}"
        )
    tokenizer = fetch(transformers.AutoTokenizer.from_pretrained, model, _WHAT)
    net = net.float().to(where).eval()
    net.vision_model.embeddings.to(dtype)
    net.vision_model.encoder.to(dtype)
    return FgaModel(net, None, tokenizer, where)
