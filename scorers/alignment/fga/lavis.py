"""The authors' checkpoint (LAVIS names) as weights for transformers' `Blip2ForImageTextRetrieval`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from curate.counting import counted
from curate.errors import InputError, require

__all__ = ["MASK_HEAD", "convert_lavis_state_dict", "unwrap"]

MASK_HEAD = "mask_proj."
"""What the names of the mask head begin with: transformers has no place for it, so it keeps its names."""

_NEEDED = (
    "query_tokens",
    "itm_head.weight",
    "itm_head.bias",
    "Qformer.bert.embeddings.word_embeddings.weight",
)
_ATTENTION = re.compile(r"^blocks\.(\d+)\.attn\.(q_bias|v_bias)$")
_VISION: tuple[tuple[str, str], ...] = (
    (r"^cls_token$", r"embeddings.class_embedding"),
    (r"^pos_embed$", r"embeddings.position_embedding"),
    (r"^patch_embed\.proj\.(weight|bias)$", r"embeddings.patch_embedding.\1"),
    (r"^blocks\.(\d+)\.norm([12])\.(weight|bias)$", r"encoder.layers.\1.layer_norm\2.\3"),
    (r"^blocks\.(\d+)\.attn\.qkv\.weight$", r"encoder.layers.\1.self_attn.qkv.weight"),
    (r"^blocks\.(\d+)\.attn\.proj\.(weight|bias)$", r"encoder.layers.\1.self_attn.projection.\2"),
    (r"^blocks\.(\d+)\.mlp\.(fc[12])\.(weight|bias)$", r"encoder.layers.\1.mlp.\2.\3"),
)


def convert_lavis_state_dict(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights under LAVIS's names (`Blip2Qformer`) as weights under transformers' names.

    `state` maps names to torch tensors: a bare state dict, or what a trainer saved, with the weights under `model`.
    Returns a new dict for `Blip2ForImageTextRetrieval.load_state_dict`, tensors shared but for the joined attention
    biases; the mask head, if there is one, keeps its names (`mask_proj.layers.0.weight` ...). A missing vision tower is
    taken as such: none of its names come out. Left out is what scoring does not use: `Qformer.cls.*`, `temp`,
    `*position_ids`, and further heads.
    Raises InputError for the checkpoint of another model, naming what it holds, and for a vision tower or Q-Former with
    parts that are not known.
    """
    tensors = {re.sub(r"^module\.", "", name): value for name, value in unwrap(state).items()}
    absent = [name for name in _NEEDED if name not in tensors]
    if absent:
        raise InputError(
            f"this is no checkpoint of FGA-BLIP2 (LAVIS Blip2Qformer): it lacks {', '.join(absent)}; it holds "
            f"{counted(len(tensors), 'tensor')} under {', '.join(_top_names(tensors)) or 'no name'}"
        )
    converted: dict[str, Any] = {}
    biases: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        module, _, rest = name.partition(".")
        part = _ATTENTION.match(rest) if module == "visual_encoder" else None
        if part:
            biases.setdefault(part[1], {})[part[2]] = value
        elif module in _RENAME and not name.endswith("position_ids"):
            renamed = _RENAME[module](rest)
            if renamed is not None:
                converted[renamed] = value
    return converted | _join_biases(biases)


def unwrap(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights themselves, where a trainer saved them beside its optimiser, under `model` or `state_dict`."""
    if not isinstance(state, Mapping):
        raise InputError(f"a {type(state).__name__} is no checkpoint: names and their tensors are meant")
    for key in ("model", "state_dict"):
        if isinstance(state.get(key), Mapping):
            inner: Mapping[str, Any] = state[key]
            return inner
    return state


def _rename_vision(rest: str) -> str:
    for pattern, new in _VISION:
        name, found = re.subn(pattern, new, rest)
        if found:
            return f"vision_model.{name}"
    raise InputError(
        f"the checkpoint's vision tower is another: no part of EVA-CLIP is called visual_encoder.{rest}"
    )


def _rename_qformer(rest: str) -> str | None:
    if rest.startswith("cls."):
        return None
    if not rest.startswith("bert."):
        raise InputError(f"the checkpoint's Q-Former is another: no part of it is called Qformer.{rest}")
    name = rest.removeprefix("bert.")
    if name.startswith("embeddings.LayerNorm."):
        return name.replace("embeddings.LayerNorm.", "qformer.layernorm.")
    if name.startswith("embeddings."):
        return name
    return "qformer." + name.replace("attention.self.", "attention.attention.")


def _keep(module: str) -> Callable[[str], str]:
    return lambda rest: f"{module}.{rest}" if rest else module


_RENAME: dict[str, Callable[[str], str | None]] = {
    "visual_encoder": _rename_vision,
    "ln_vision": lambda rest: f"vision_model.post_layernorm.{rest}",
    "Qformer": _rename_qformer,
    "vision_proj": _keep("vision_projection"),
    "text_proj": _keep("text_projection"),
    "query_tokens": _keep("query_tokens"),
    "itm_head": _keep("itm_head"),
    "mask_proj": _keep("mask_proj"),
}


def _join_biases(biases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Queries and values have a bias, keys none: transformers keeps the three in one."""
    if not biases:
        return {}
    torch: Any = require("torch", "train")
    joined = {}
    for block, pair in biases.items():
        if set(pair) != {"q_bias", "v_bias"}:
            raise InputError(
                f"the checkpoint has only {', '.join(pair)} of visual_encoder.blocks.{block}.attn"
            )
        zeros = torch.zeros_like(pair["q_bias"])
        name = f"vision_model.encoder.layers.{block}.self_attn.qkv.bias"
        joined[name] = torch.cat([pair["q_bias"], zeros, pair["v_bias"]])
    return joined


def _top_names(tensors: Mapping[str, Any], most: int = 6) -> list[str]:
    tops = sorted({name.partition(".")[0] for name in tensors})
    return [*tops[:most], *(["..."] if len(tops) > most else [])]
