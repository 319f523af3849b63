"""The numbers of FGA-BLIP2, as functions on arrays: from probabilities to scores, and how a prompt's ratings weigh."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError

__all__ = [
    "VarianceWeight",
    "element_scores",
    "learning_rate",
    "overall_scores",
    "prompt_variances",
    "token_targets",
    "variance_weights",
]

VarianceWeight = Literal["none", "linear", "exp"]
Floats = npt.NDArray[np.floating[Any]]
Span = tuple[int, int]


def overall_scores(probabilities: Floats) -> Floats:
    """How well the text as a whole fits its image: 1 + 4 times the mean over the queries.

    `probabilities` (..., queries) in [0, 1]: what each query gives to "match", after the softmax (averaging logits first
    is another score). Returns (...) in [1, 5], higher = better. Source: EvalMuse-40K (arXiv 2412.18150), FGA-BLIP2.
    """
    return np.asarray(1 + 4 * np.asarray(probabilities).mean(-1))


def element_scores(tokens: Floats, spans: Sequence[Span | None]) -> list[float | None]:
    """How well each element fits the image: the mean of its tokens' scores; None where it has no span, never zero.

    `tokens` (l,) in [0, 1]; a span is (begin, end) in tokens. Each answer lies in [0, 1], higher = better; the
    authors call an element present from 0.5. Raises InputError for a span that is empty or reaches outside.
    """
    for span in spans:
        if span is not None and not 0 <= span[0] < span[1] <= len(tokens):
            raise InputError(f"span {span} does not lie within {counted(len(tokens), 'token')}")
    return [None if span is None else float(np.mean(tokens[span[0] : span[1]])) for span in spans]


def token_targets(
    score: float, spans: Sequence[Span], values: Sequence[float], length: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What the tokens of one caption should say: (target, mask), each (length,) float32 in [0, 1].

    A token within elements should give the mean of their `values` (people's scores in [0, 1]) and has mask 1; any other
    has target and mask 0. Position 0, [CLS], stands for the whole: mask 1, target (score - 1) / 4, `score` in [1, 5].
    Source: EvalMuse-40K, the authors' preprocessing.
    """
    sums, counts = np.zeros(length), np.zeros(length)
    for (begin, end), value in zip(spans, values, strict=True):
        sums[begin:end] += value
        counts[begin:end] += 1
    target, mask = sums / np.maximum(counts, 1), np.minimum(counts, 1)
    target[0], mask[0] = (score - 1) / 4, 1
    return target.astype(np.float32), mask.astype(np.float32)


def prompt_variances(prompts: Sequence[Hashable], scores: Floats) -> npt.NDArray[np.float64]:
    """How much people's scores differ between the images of a prompt: the sample variance (n - 1), for each row.

    `scores` (n,), the mean over annotators of each image. Returns (n,) float64, the same for all rows of a prompt; NaN
    for a prompt with one image, of which nothing is known.
    """
    if len(prompts) != len(scores):
        raise InputError(
            f"{counted(len(prompts), 'prompt')} and {counted(len(scores), 'score')}: one of each is needed per row"
        )
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    codes = np.array([number[prompt] for prompt in prompts], np.int64)
    values = np.asarray(scores, np.float64)
    counts = np.bincount(codes, minlength=len(number))
    means = np.bincount(codes, values, len(number)) / np.maximum(counts, 1)
    squares = np.bincount(codes, (values - means[codes]) ** 2, len(number))
    variances = np.full(len(number), np.nan)
    np.divide(squares, counts - 1, out=variances, where=counts > 1)
    return np.asarray(variances[codes])


def variance_weights(variances: Floats, weighting: VarianceWeight) -> npt.NDArray[np.float64]:
    """What each rating counts in training, from the variance of its prompt: 1 (`none`), itself (`linear`), or its
    exponential (`exp`).

    The authors published all three; which of them made the paper's numbers is not known. A variance of NaN (one image)
    gets the mean weight of the others, 1 if there are none: not knowing must not make it count more or less.
    """
    if weighting == "none":
        return np.ones(len(variances))
    if weighting not in ("linear", "exp"):
        raise InputError(f"variance_weight {weighting!r}: none, linear or exp")
    weights = np.asarray(variances, np.float64) if weighting == "linear" else np.exp(variances)
    known = np.isfinite(weights)
    return np.where(known, weights, weights[known].mean() if known.any() else 1.0)


def learning_rate(step: int, steps: int, peak: float, warm_up: int) -> float:
    """The learning rate of a step (from 0): a straight line from 1e-8 to `peak` over `warm_up` steps, then a cosine
    down to 0 at `steps`."""
    if step < warm_up:
        return 1e-8 + (peak - 1e-8) * step / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return float(0.5 * peak * (1 + np.cos(np.pi * min(1.0, done))))
