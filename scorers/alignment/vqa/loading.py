"""Loading a vision-language model, and telling one that cannot be asked."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

from curate.errors import InputError, require
from curate.scorers.alignment.vqa.model import VisionLanguageModel
from curate.weights import Precision, choose_device, choose_dtype, dtype_option, fetch

__all__ = ["WHAT", "load_vision_language_model"]

WHAT = "vision-language model with its processor"


@lru_cache(maxsize=1)
def load_vision_language_model(model: str, device: str, precision: Precision) -> VisionLanguageModel:
    """A model by its name on the hub or the path of its folder, in memory until another is asked for.

    Code that comes with a model is not run (mPLUG-Owl3 needs its own: it must be in transformers' format to be used).
    Raises MissingModelError where it cannot be had, MissingExtraError without transformers, InputError for a model that
    cannot be shown images in a chat, whose weights are another's, or for fp16 on a CPU.
    """
    transformers: Any = require("transformers", "vision")
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    processor = fetch(transformers.AutoProcessor.from_pretrained, model, WHAT)
    _check_processor(processor, model)
    net, info = fetch(
        transformers.AutoModelForImageTextToText.from_pretrained,
        model,
        WHAT,
        {**dtype_option(dtype), "output_loading_info": True},
    )
    lacking = sorted(str(key) for key in (*info["missing_keys"], *info["mismatched_keys"]))
    if lacking:
        raise InputError(
            f"{model!r} holds weights of another model: {len(lacking)} are missing, the first {lacking[0]}"
        )
    processor.tokenizer.padding_side = "right"
    parameters = inspect.signature(net.forward).parameters
    if "logits_to_keep" not in parameters:
        raise InputError(
            f"{model!r} ({type(net).__name__}) is no decoder that can be asked for its next token"
        )
    reuse = "mm_encoder_outputs" in parameters and hasattr(net, "get_image_features")
    size = getattr(net.config.get_text_config(), "max_position_embeddings", None)
    return VisionLanguageModel(net.to(where).eval(), processor, where, int(size or 1 << 20), reuse)


def _check_processor(processor: Any, model: str) -> None:
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise InputError(f"{model!r} has no processor of images and text, only {type(processor).__name__}")
    if not getattr(processor, "chat_template", None):
        raise InputError(
            f"{model!r} has no chat template, and what it was trained to be asked with is not known. Take its "
            "instruction-tuned version, or add chat_template.jinja to its folder"
        )
