"""Which parts of a sound matter for a text, in a model that holds both in one space; what to keep, where to trim.

After SpeechPrune (Lin et al. 2024, arXiv 2412.12009): speech tokens S (N, D) as a speech language model hands them to its
decoder, and the embeddings T (L, D) of the tokens of a query alone, without system or special tokens. Tokens come in
frames of `frame`, 25 a second in Qwen2-Audio. What the paper leaves open is said where it is decided.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError

__all__ = [
    "attention_received",
    "frame_budget",
    "frame_means",
    "prune_speech",
    "prune_tokens",
    "token_relevance",
    "trim_points",
    "weighted_relevance",
]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
FRAME = 25


def token_relevance(
    speech: npt.ArrayLike, text: npt.ArrayLike, contrast: tuple[npt.ArrayLike, ...] = ()
) -> Floats:
    """For each speech token its mean cosine with the tokens of the query, (N,) in [-1, 1], higher = more to do with it.

    `speech` (N, D), `text` (L, D), L >= 1. A token of length zero has cosine 0. Cosines in such models lie in a narrow cone
    whatever is said: `contrast`, embeddings of other queries, are scored alike and their mean is subtracted, so that 0 means
    "no more than for any other query" and the range is [-2, 2] (this calibration is ours).
    Raises InputError for shapes that do not fit, NaN, and a query without a token.
    """
    sound = _unit(speech, "speech")
    values = sound @ _unit(text, "text", sound.shape[1]).mean(0)
    if contrast:
        others = [_unit(one, f"contrast {i}", sound.shape[1]).mean(0) for i, one in enumerate(contrast)]
        values = values - sound @ np.mean(others, axis=0)
    return np.asarray(values, np.float64)


def frame_means(values: npt.ArrayLike, frame: int = FRAME) -> Floats:
    """The mean of every `frame` tokens, (ceil(N / frame),): the curve over seconds. The last frame may be shorter."""
    tokens = _tokens(values, frame)
    starts = np.arange(0, len(tokens), frame)
    return np.asarray(_sums(tokens, frame) / np.minimum(frame, len(tokens) - starts), np.float64)


def weighted_relevance(values: npt.ArrayLike, frame: int = FRAME) -> float:
    """One number for a sound: the frames' means weighed by p = softmax of their sums; higher = keep.

    It lies between the mean and the largest frame: one second that answers the query counts, silence around it does not.
    NaN without a token.
    """
    tokens = _tokens(values, frame)
    if not len(tokens):
        return float("nan")
    return float(_shares(tokens, frame) @ frame_means(tokens, frame))


def frame_budget(values: npt.ArrayLike, keep: int, frame: int = FRAME) -> Indices:
    """How many tokens each frame may keep: (frames,) int64, exactly `keep` in all, none more than the frame has.

    floor(keep x p) with p = softmax of the sums of the frames. The paper stops there, and loses what the floors cut off and
    what exceeds a frame. Here what a frame has no room for is dealt by the same shares among the others, and what the floors
    cut off goes to the largest remainders, the earlier frame first.
    Raises InputError unless 0 <= keep <= N.
    """
    tokens = _tokens(values, frame)
    if not 0 <= keep <= len(tokens):
        raise InputError(f"keep={keep}: {counted(len(tokens), 'token is', 'tokens are')} there to keep")
    room = np.full(-(-len(tokens) // frame), frame, np.int64)
    if len(tokens):
        room[-1] = len(tokens) - frame * (len(room) - 1)
        logs = _sums(tokens, frame)
    quota = room.astype(np.float64)
    free = np.arange(len(room))
    while len(free):
        quota[free] = _softmax(logs[free]) * (keep - quota.sum() + quota[free].sum())
        over = quota[free] >= room[free]
        quota[free[over]] = room[free[over]]
        if not over.any():
            break
        free = free[~over]
    given = np.floor(quota).astype(np.int64)
    order = free[np.argsort((given - quota)[free], kind="stable")]
    given[order[: keep - int(given.sum())]] += 1
    return given


def prune_tokens(values: npt.ArrayLike, keep: int, frame: int = FRAME) -> Indices:
    """Which tokens to keep: the most relevant of each frame, within `frame_budget`; (keep,) ascending, ties the earlier."""
    tokens = _tokens(values, frame)
    budget = frame_budget(tokens, keep, frame)
    kept = [
        np.sort(np.argsort(-tokens[start : start + frame], kind="stable")[:count]) + start
        for start, count in zip(range(0, len(tokens), frame), budget, strict=True)
    ]
    return np.concatenate(kept).astype(np.int64) if kept else np.empty(0, np.int64)


def attention_received(
    speech: npt.ArrayLike,
    query_weight: npt.ArrayLike,
    key_weight: npt.ArrayLike,
    heads: tuple[int, int] = (1, 1),
) -> Floats:
    """How much attention each speech token gets from the others in a model of single bits, (N,), sums to 1.

    `query_weight`, `key_weight` (out, D): the projections of the decoder's first layer; `heads`: how many of each (fewer of
    keys: each serves several). Q = sign(S) sign(W_Q)', K alike, A = softmax(Q K' / sqrt(d)) by head, no mask.
    The mean over rows of A, what a token receives: the mean over columns, as the paper's notation can be read, is 1/N for all.
    """
    sound = np.sign(_matrix(speech, "speech"))
    sides = [
        np.sign(_matrix(weight, what, sound.shape[1]))
        for weight, what in ((query_weight, "query"), (key_weight, "key"))
    ]
    queries, keys = heads
    if (
        queries % keys
        or sides[0].shape[0] % queries
        or sides[0].shape[0] // queries * keys != sides[1].shape[0]
    ):
        raise InputError(
            f"{heads} heads do not fit projections to {sides[0].shape[0]} and {sides[1].shape[0]}"
        )
    width = sides[0].shape[0] // queries
    received = np.zeros(len(sound))
    if not len(sound):
        return received
    for head in range(queries):
        own = slice(head * width, (head + 1) * width)
        shared = slice(head * keys // queries * width, (head * keys // queries + 1) * width)
        scores = (sound @ sides[0][own].T) @ (sound @ sides[1][shared].T).T / np.sqrt(width)
        received += _softmax(scores).mean(0)
    return received / queries


def prune_speech(
    speech: npt.ArrayLike,
    text: npt.ArrayLike,
    keep: int,
    *,
    query_weight: npt.ArrayLike,
    key_weight: npt.ArrayLike,
    heads: tuple[int, int] = (1, 1),
    by_attention: float = 0.5,
    frame: int = FRAME,
) -> Indices:
    """Both phases: first by relevance to the query, then, among what is left, by attention received. (keep,) ascending.

    `by_attention` is the share of what is dropped that the second phase drops, in [0, 1]; the paper's is not known to us.
    """
    sound = _matrix(speech, "speech")
    if not 0 <= by_attention <= 1:
        raise InputError(f"by_attention={by_attention}: a share in [0, 1]")
    if not 0 <= keep <= len(sound):
        raise InputError(f"keep={keep}: {counted(len(sound), 'token is', 'tokens are')} there to keep")
    first = keep + round((len(sound) - keep) * by_attention)
    kept = prune_tokens(token_relevance(sound, text), first, frame)
    received = attention_received(sound[kept], query_weight, key_weight, heads)
    return np.asarray(np.sort(kept[np.argsort(-received, kind="stable")[:keep]]), np.int64)


def trim_points(curve: npt.ArrayLike, least: float | None = None) -> tuple[int, int]:
    """The run of frames, from the first to before the second, that holds what is relevant and as little else as can be.

    It maximises the sum of curve - `least` (None: the mean of the curve). Ties: the earliest, then the shortest; a curve
    that nowhere exceeds `least` keeps everything. (n,) finite values.
    """
    values = _tokens(curve, 1)
    floor = (float(values.mean()) if len(values) else 0.0) if least is None else least
    totals = np.append(0.0, np.cumsum(values - floor))
    lowest = np.minimum.accumulate(totals)
    gains = totals - lowest
    end = int(np.argmax(gains))
    if not gains[end] > 1e-12 * max(1.0, float(np.abs(totals).max())):
        return 0, len(values)
    return int(np.argmin(totals[: end + 1])), end


# --- Checks and small steps -----------------------------------------------------------------------------------------


def _matrix(values: npt.ArrayLike, what: str, width: int | None = None) -> Floats:
    array = as_floats(values, "values")
    if array.ndim != 2 or (width is not None and array.shape[1] != width):
        raise InputError(f"{what} has shape {array.shape}, (n, {width or 'd'}) is needed")
    if not np.isfinite(array).all():
        raise InputError(f"{what} holds NaN or infinity")
    return array


def _unit(values: npt.ArrayLike, what: str, width: int | None = None) -> Floats:
    array = _matrix(values, what, width)
    if width is not None and not len(array):
        raise InputError(f"{what} has no token")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    return np.asarray(array / np.where(lengths > 0, lengths, 1.0), np.float64)


def _tokens(values: npt.ArrayLike, frame: int) -> Floats:
    array = as_floats(values, "values")
    if array.ndim != 1 or not np.isfinite(array).all() or frame < 1:
        raise InputError(
            f"values of shape {array.shape}, frame={frame}: finite (n,) and at least 1 are needed"
        )
    return array


def _sums(tokens: Floats, frame: int) -> Floats:
    return np.add.reduceat(tokens, np.arange(0, len(tokens), frame)) if len(tokens) else np.empty(0)


def _shares(tokens: Floats, frame: int) -> Floats:
    return _softmax(_sums(tokens, frame))


def _softmax(values: npt.NDArray[Any]) -> Floats:
    powers = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float64)
