"""How well a score of alignment follows people: rank and linear correlations, element accuracy, their intervals.

`predicted` is always the score, `human` what people said; both (n,) numbers, one of each for an image-text pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.choosing import generator
from curate.counting import counted
from curate.errors import InputError, UnknownNameError, require

__all__ = [
    "METRICS",
    "Interval",
    "challenge_score",
    "compare",
    "element_accuracy",
    "interval",
    "krcc",
    "logistic",
    "plcc",
    "srcc",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """A number with its bootstrap interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


# --- Correlations -----------------------------------------------------------------------------------------------


def srcc(predicted: Any, human: Any) -> float:
    """Spearman's rank correlation, equal values sharing the mean of their ranks: -1 to 1, 0 at random.

    NaN where one of them is constant. Raises InputError for lengths that differ, fewer than two pairs, or NaN.
    """
    x, y = _pairs(predicted, human)
    return _pearson(_mid_ranks(x), _mid_ranks(y))


def krcc(predicted: Any, human: Any) -> float:
    """Kendall's tau-b, which corrects for ties on both sides: -1 to 1, 0 at random; in O(n log n).

    tau-b = (concordant - discordant pairs) / sqrt((pairs not tied in x) (pairs not tied in y)). NaN where one is
    constant. Raises InputError as `srcc` does.
    """
    x, y = (np.unique(values, return_inverse=True)[1] for values in _pairs(predicted, human))
    n = len(x)
    order = np.lexsort((y, x))
    discordant = _inversions(y[order])  # ties in x lie in the order of y and count for nothing
    every = n * (n - 1) // 2
    tied_x, tied_y = _tied(x), _tied(y)
    both = _tied(x * (int(y.max()) + 1) + y)
    below = np.sqrt(float((every - tied_x) * (every - tied_y)))
    if below == 0:
        return float("nan")
    return float(np.clip((every - tied_x - tied_y + both - 2 * discordant) / below, -1, 1))


def plcc(predicted: Any, human: Any, *, fit: bool = True) -> float:
    """Pearson's correlation after a logistic of four parameters maps the score onto the people's scale: -1 to 1.

    `fit=False` leaves the map out. The map is the one that image quality papers and EvalMuse-40K use (`logistic`),
    fitted by least squares from the usual start, its mirror image, and the straight line. Where no fit does better
    than the straight line, or none converges, the plain correlation stands: then `plcc(x, y) == plcc(x, y, fit=False)`.
    A score that runs against people, fitted, has a positive correlation: the curve falls where the score rises. The
    sign of the curve's slope is therefore given to the result. NaN where one side is constant, InputError as `srcc`.
    """
    x, y = _pairs(predicted, human)
    plain = _pearson(x, y)
    if not fit or np.isnan(plain):
        return plain
    return _fitted_pearson(x, y, _starts(x, y))[0]


def logistic(x: Any, parameters: Sequence[float]) -> Floats:
    """b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)): b1 is the value far right, b2 far left, b3 the middle, |b4| the
    width (Video Quality Experts Group; EvalMuse-40K's evaluation)."""
    b1, b2, b3, b4 = parameters
    with np.errstate(over="ignore"):
        z = np.clip((np.asarray(x, np.float64) - b3) / max(abs(b4), 1e-12), -500, 500)
    return np.asarray(b2 + (b1 - b2) / (1 + np.exp(-z)), np.float64)


def _starts(x: Floats, y: Floats) -> list[list[float]]:
    high, low, middle, width = float(y.max()), float(y.min()), float(x.mean()), float(x.std())
    return [
        [high, low, middle, width],
        [low, high, middle, width],
        [high, low, float(np.median(x)), width / 4],
    ]


def _fitted_pearson(
    x: Floats, y: Floats, starts: list[list[float]], steps: int = 200
) -> tuple[float, list[float] | None]:
    """The best correlation found from these starts, with its parameters; the plain one where none is better."""
    optimize: Any = require("scipy.optimize", "noise")
    best, found = _pearson(x, y), None
    for start in starts:
        with np.errstate(all="ignore"):
            try:
                done = optimize.least_squares(
                    lambda b: logistic(x, b) - y,
                    start,
                    lambda b: _slopes(x, b),
                    x_scale="jac",
                    max_nfev=steps,
                )
            except (ValueError, np.linalg.LinAlgError):
                continue
        value = _pearson(logistic(x, done.x), y)
        value = float(np.copysign(value, done.x[0] - done.x[1]))
        if abs(value) > abs(best) + 1e-12:
            best, found = value, [float(b) for b in done.x]
    return best, found


def _slopes(x: Floats, parameters: Floats) -> Floats:
    """The derivatives of `logistic` by its four parameters, (n, 4)."""
    b1, b2, b3, b4 = parameters
    width = max(abs(b4), 1e-12)
    share = 1 / (1 + np.exp(-np.clip((x - b3) / width, -500, 500)))
    steep = (b1 - b2) * share * (1 - share) / width
    return np.column_stack([share, 1 - share, -steep, -steep * (x - b3) / width * np.copysign(1.0, b4)])


def _pearson(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    x, y = x - x.mean(), y - y.mean()
    x, y = x / max(float(np.abs(x).max()), 1e-300), y / max(float(np.abs(y).max()), 1e-300)
    below = float(np.sqrt((x @ x) * (y @ y)))
    constant = np.ptp(x) == 0 or np.ptp(y) == 0
    return float("nan") if constant else float(np.clip((x @ y) / below, -1, 1))


def _mid_ranks(values: Floats) -> Floats:
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[code], np.float64)


def _tied(code: npt.NDArray[np.integer]) -> int:
    counts = np.unique(code, return_counts=True)[1].astype(object)  # of a billion pairs no bit may be lost
    return int((counts * (counts - 1) // 2).sum())


def _inversions(code: npt.NDArray[np.integer]) -> int:
    """How many pairs i < j have code[i] > code[j], codes being 0 to m: bit by bit, without a Python step per row.

    Two codes are in the wrong order where at the highest bit in which they differ the earlier has 1 and the later 0.
    """
    found = 0
    code = np.asarray(code, np.int64)
    for bit in range(int(code.max()).bit_length() - 1, -1, -1):
        prefix, one = code >> (bit + 1), (code >> bit) & 1
        ones = np.cumsum(one) - one
        first = np.flatnonzero(np.diff(prefix, prepend=-1))
        start = np.repeat(ones[first], np.diff(first, append=len(code)))
        found += int(((ones - start) * (1 - one)).sum())
        code = code[np.argsort(code >> bit, kind="stable")]
    return found


def _pairs(predicted: Any, human: Any) -> tuple[Floats, Floats]:
    x, y = _flat(predicted), _flat(human)
    if x.shape != y.shape:
        raise InputError(
            f"{counted(len(x), 'score')} and {counted(len(y), 'human value')}: one of each for a pair"
        )
    if len(x) < 2:
        raise InputError(f"{counted(len(x), 'pair')}: a correlation takes at least two")
    bad = np.flatnonzero(~np.isfinite(x) | ~np.isfinite(y))
    if len(bad):
        raise InputError(
            f"{len(bad)} of {counted(len(x), 'pair')} have no finite value (rows {', '.join(map(str, bad[:5]))}): "
            "leave out what nobody scored, and say how much that was"
        )
    return x, y


def _flat(values: Any) -> Floats:
    """Numbers as (n,), None as NaN."""
    try:
        array = as_floats(values, "values")
    except (TypeError, ValueError) as error:
        raise InputError(f"not numbers, one for each pair: {error}") from None
    if array.ndim != 1:
        raise InputError(f"values of shape {array.shape}: (n,) is expected")
    return array


# --- Elements ---------------------------------------------------------------------------------------------------


def element_accuracy(
    predicted: Any,
    human: Any,
    *,
    threshold: float = 0.5,
    human_threshold: float = 0.5,
    missing: Literal["skip", "wrong", "no"] = "skip",
) -> float:
    """The share of elements on which a score and people agree whether it is there: 0 to 1, pooled over all pairs.

    `predicted`, `human`: (m,) numbers, one for each element, or one sequence (or dict by element) for each pair. An
    element counts as there from `threshold` (of the score) or `human_threshold` (of the mean of the annotators) on;
    EvalMuse-40K takes 0.5 and >= for both. A score that is None or NaN (an element whose words were not found):
    `missing` "skip" leaves it out, "wrong" counts it as an error, "no" takes it as absent (the authors' own code does).
    An element nobody judged is left out. NaN without an element. Raises InputError where the two do not match.
    """
    if missing not in ("skip", "wrong", "no"):
        raise InputError(f"missing={missing!r}: 'skip', 'wrong' or 'no'")
    x, y = _pool(predicted, human)
    x, y = x[~np.isnan(y)], y[~np.isnan(y)]
    unscored = np.isnan(x)
    agree = (~unscored & (x >= threshold)) == (y >= human_threshold)  # unscored: absent
    if missing == "wrong":
        agree = agree & ~unscored
    if missing == "skip":
        agree = agree[~unscored]
    return float(agree.mean()) if len(agree) else float("nan")


def _pool(predicted: Any, human: Any) -> tuple[Floats, Floats]:
    if len(predicted) != len(human):
        raise InputError(
            f"{len(predicted)} predicted and {counted(len(human), 'human entry', 'human entries')}: one of each"
        )
    xs: list[Any] = []
    ys: list[Any] = []
    for row, (x, y) in enumerate(zip(predicted, human, strict=True)):
        if isinstance(x, dict) != isinstance(y, dict):
            raise InputError(f"pair {row}: elements by name on one side, as a list on the other")
        if isinstance(x, dict):
            if x.keys() != y.keys():
                raise InputError(f"pair {row}: elements differ: {sorted(x.keys() ^ y.keys())[:3]}")
            x, y = list(x.values()), [y[name] for name in x]
        x, y = (list(v) if hasattr(v, "__len__") else [v] for v in (x, y))
        if len(x) != len(y):
            raise InputError(f"pair {row}: {len(x)} predicted and {counted(len(y), 'human element')}")
        xs += x
        ys += y
    return _flat(xs), _flat(ys)


def challenge_score(srcc: float, plcc: float, accuracy: float) -> float:
    """SRCC / 4 + PLCC / 4 + accuracy / 2: what EvalMuse's evaluation and the NTIRE 2025 challenge rank by."""
    return srcc / 4 + plcc / 4 + accuracy / 2


# --- Intervals --------------------------------------------------------------------------------------------------

METRICS: dict[str, Callable[[Any, Any], float]] = {
    "srcc": srcc,
    "krcc": krcc,
    "plcc": plcc,
    "element_accuracy": element_accuracy,
}


def interval(
    metric: str,
    predicted: Any,
    human: Any,
    *,
    groups: Any = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A metric of `METRICS` with a bootstrap interval (percentiles of `resamples`, drawn with `seed`).

    `groups` (n,) any values: whole groups are drawn, as all images of one prompt, which are not independent; without
    it, single pairs. `level` is the share of resamplings inside. What `metric` raises is raised; a resampling for which
    the metric is not defined is left out.
    """
    measure = _resampler(metric, predicted, human)
    values = [measure(rows) for rows in _draws(len(human), groups, resamples, seed)]
    return _interval(_metric(metric)(predicted, human), np.array(values), level)


def compare(
    metric: str,
    first: Any,
    second: Any,
    human: Any,
    *,
    groups: Any = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """How much better `first` follows people than `second`: the difference of a metric, on the same resamplings.

    An interval that holds 0 means that these ratings cannot tell them apart. Arguments as for `interval`.
    """
    one, other = _resampler(metric, first, human), _resampler(metric, second, human)
    values = [one(rows) - other(rows) for rows in _draws(len(human), groups, resamples, seed)]
    call = _metric(metric)
    return _interval(call(first, human) - call(second, human), np.array(values), level)


def _metric(name: str) -> Callable[[Any, Any], float]:
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def _resampler(metric: str, predicted: Any, human: Any) -> Callable[[Ints], float]:
    """The metric of some rows; a fitted one starts each time from the fit of all."""
    call = _metric(metric)
    if metric == "element_accuracy":
        return lambda rows: call([predicted[i] for i in rows], [human[i] for i in rows])
    x, y = _pairs(predicted, human)
    if metric != "plcc" or np.ptp(x) == 0 or np.ptp(y) == 0:
        return lambda rows: call(x[rows], y[rows])
    found = _fitted_pearson(x, y, _starts(x, y))[1]
    starts = [found] if found else []
    return lambda rows: _fitted_pearson(x[rows], y[rows], starts, steps=20)[0]


def _draws(n: int, groups: Any, resamples: int, seed: int) -> list[Ints]:
    if resamples < 20:
        raise InputError(f"resamples={resamples}: an interval takes at least 20, better 1000")
    rng = generator(seed, "seed")
    if groups is None:
        return [rng.integers(0, n, n) for _ in range(resamples)]
    if len(groups) != n:
        raise InputError(f"{counted(len(groups), 'group')} for {counted(n, 'pair')}: one each")
    code = np.unique(np.asarray(groups), return_inverse=True)[1]
    members = np.split(np.argsort(code, kind="stable"), np.cumsum(np.bincount(code))[:-1])
    if len(members) < 2:
        raise InputError("all pairs are of one group: an interval takes at least two")
    return [
        np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        for _ in range(resamples)
    ]


def _interval(value: float, drawn: Floats, level: float) -> Interval:
    if not 0 < level < 1:
        raise InputError(f"level={level}: a share between 0 and 1, such as 0.95")
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn) or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
