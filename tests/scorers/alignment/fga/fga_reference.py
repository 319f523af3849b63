"""FGA-BLIP2 once more, in numpy, from the description alone: what the real one is compared with.

Weights are read under LAVIS's names, one pair at a time, without padding, in float64; nothing is shared with the code.
"""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]
_erf = np.vectorize(erf, otypes=[float])


def lavis_weights(state: dict[str, Any]) -> Weights:
    """A transformers state dict under LAVIS's names, written down by hand the other way round than the converter."""
    found: Weights = {}
    for name, tensor in state.items():
        value = tensor.detach().double().numpy()
        parts = name.split(".")
        if name.startswith("vision_model.embeddings."):
            new = {
                "class_embedding": "cls_token",
                "position_embedding": "pos_embed",
                "patch_embedding": "patch_embed.proj",
            }[parts[2]]
            found[".".join(["visual_encoder", new, *parts[3:]])] = value
        elif name.startswith("vision_model.encoder.layers."):
            block, rest = f"visual_encoder.blocks.{parts[3]}", ".".join(parts[4:])
            if rest == "self_attn.qkv.bias":
                width = len(value) // 3
                found[f"{block}.attn.q_bias"], found[f"{block}.attn.v_bias"] = (
                    value[:width],
                    value[2 * width :],
                )
                continue
            for old, new in (
                ("layer_norm", "norm"),
                ("self_attn.projection", "attn.proj"),
                ("self_attn", "attn"),
            ):
                rest = rest.replace(old, new)
            found[f"{block}.{rest}"] = value
        elif name.startswith("vision_model.post_layernorm."):
            found[f"ln_vision.{parts[-1]}"] = value
        elif name.startswith("qformer.layernorm."):
            found[f"Qformer.bert.embeddings.LayerNorm.{parts[-1]}"] = value
        elif name.startswith("qformer."):
            rest = ".".join(parts[1:]).replace("attention.attention.", "attention.self.")
            found[f"Qformer.bert.{rest}"] = value
        elif name.startswith("embeddings."):
            found[f"Qformer.bert.{name}"] = value
        else:
            found[
                name.replace("vision_projection", "vision_proj").replace("text_projection", "text_proj")
            ] = value
    return found


def judge(w: Weights, pixels: np.ndarray, ids: list[int], heads: int) -> tuple[float, np.ndarray]:
    """Overall score and token scores of an image (3, s, s) and token ids."""
    states = qformer(w, ids, see(w, pixels, heads), heads)
    logits = states @ w["itm_head.weight"].T + w["itm_head.bias"]
    match = softmax(logits)[:, 1]
    queries = w["query_tokens"].shape[1]
    return 1 + 4 * float(match[:queries].mean()), match[queries:]


def see(w: Weights, pixels: np.ndarray, heads: int) -> np.ndarray:
    kernel = w["visual_encoder.patch_embed.proj.weight"]
    width, _, size, _ = kernel.shape
    rows = []
    for top in range(0, pixels.shape[1], size):
        for left in range(0, pixels.shape[2], size):
            patch = pixels[:, top : top + size, left : left + size]
            rows.append(
                kernel.reshape(width, -1) @ patch.reshape(-1) + w["visual_encoder.patch_embed.proj.bias"]
            )
    x = np.concatenate([w["visual_encoder.cls_token"][0], np.array(rows)]) + w["visual_encoder.pos_embed"][0]
    block = 0
    while f"visual_encoder.blocks.{block}.norm1.weight" in w:
        b = f"visual_encoder.blocks.{block}"
        y = norm(w, f"{b}.norm1", x, 1e-6)
        qkv = y @ w[f"{b}.attn.qkv.weight"].T
        q, k, v = np.split(qkv, 3, axis=1)
        mixed = attend(q + w[f"{b}.attn.q_bias"], k, v + w[f"{b}.attn.v_bias"], heads)
        x = x + linear(w, f"{b}.attn.proj", mixed)
        y = norm(w, f"{b}.norm2", x, 1e-6)
        x = x + linear(w, f"{b}.mlp.fc2", gelu(linear(w, f"{b}.mlp.fc1", y)))
        block += 1
    return norm(w, "ln_vision", x, 1e-6)


def qformer(w: Weights, ids: list[int], seen: np.ndarray | None, heads: int) -> np.ndarray:
    """States at all positions; the text alone where nothing is seen."""
    e = "Qformer.bert.embeddings"
    text = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.position_embeddings.weight"][: len(ids)]
    count = 0 if seen is None else w["query_tokens"].shape[1]
    x = text if seen is None else np.concatenate([w["query_tokens"][0], text])
    x = norm(w, f"{e}.LayerNorm", x, 1e-12)
    layer = 0
    while f"Qformer.bert.encoder.layer.{layer}.attention.self.query.weight" in w:
        p = f"Qformer.bert.encoder.layer.{layer}"
        x = _attention(w, f"{p}.attention", x, x, heads)
        queries, words = x[:count], x[count:]
        if count and f"{p}.crossattention.self.query.weight" in w:
            queries = _attention(w, f"{p}.crossattention", queries, seen, heads)
        x = np.concatenate([_feed(w, p, "_query", queries), _feed(w, p, "", words)])
        layer += 1
    return x


def _attention(w: Weights, p: str, x: np.ndarray, other: Any, heads: int) -> np.ndarray:
    q, k, v = (linear(w, f"{p}.self.{n}", o) for n, o in (("query", x), ("key", other), ("value", other)))
    return norm(w, f"{p}.output.LayerNorm", linear(w, f"{p}.output.dense", attend(q, k, v, heads)) + x, 1e-12)


def _feed(w: Weights, p: str, kind: str, x: np.ndarray) -> np.ndarray:
    inner = gelu(linear(w, f"{p}.intermediate{kind}.dense", x))
    return norm(w, f"{p}.output{kind}.LayerNorm", linear(w, f"{p}.output{kind}.dense", inner) + x, 1e-12)


def mask(w: Weights, ids: list[int], heads: int) -> np.ndarray:
    """What the mask head says of each token, from the text alone."""
    x = qformer(w, ids, None, heads)
    for i in (0, 2, 4, 6):
        x = np.maximum(linear(w, f"mask_proj.layers.{i}", x), 0)
    return 1 / (1 + np.exp(-linear(w, "mask_proj.layers.8", x)[:, 0]))


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int) -> np.ndarray:
    width = q.shape[1] // heads
    parts = []
    for h in range(heads):
        cut = slice(h * width, (h + 1) * width)
        parts.append(softmax(q[:, cut] @ k[:, cut].T / np.sqrt(width)) @ v[:, cut])
    return np.concatenate(parts, axis=1)


def linear(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w: Weights, name: str, x: np.ndarray, eps: float) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + _erf(x / np.sqrt(2)))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
