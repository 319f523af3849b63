"""How long a text takes to say, and which recordings take a time that does not fit their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError

__all__ = ["RateFound", "speech_rate", "spoken_length"]

Floats = npt.NDArray[np.float64]
_PRIOR = 5.0  # recordings that the tempo of all counts for, beside those of a group
_NARROW = 0.05  # least standard deviation, as a share of the expected time: reading machines are more regular


class RateFound(NamedTuple):
    """One entry per recording, all (n,).

    quality    [0, 1], higher = keep: 1 / (1 + (deviation / cut)^2), so 0.5 at the cut.
    issue      bool: |deviation| > cut.
    deviation  robust standard deviations from the expected time; positive: longer than the text needs.
    expected   seconds that this text would take at the tempo of its group.
    rate       letters a second.
    """

    quality: Floats
    issue: npt.NDArray[np.bool_]
    deviation: Floats
    expected: Floats
    rate: Floats


def spoken_length(texts: Sequence[str | None], *, digit: float = 4.0) -> Floats:
    """How much there is to say, in letters: letters and the marks that belong to them count 1, a digit `digit`.

    Four is the mean length of the English names of the digits. Spaces and punctuation count nothing, nor do other
    symbols; null is 0. (n,) float64. Texts of one script are meant: a Chinese character is one letter, as a Latin one is.
    """
    import polars as pl

    text = pl.Series("text", list(texts), dtype=pl.String).str.normalize("NFC")
    frame = text.to_frame().select(
        letters=pl.col("text").str.count_matches(r"[\p{L}\p{M}]"),
        digits=pl.col("text").str.count_matches(r"\p{Nd}"),
    )
    counts = frame.fill_null(0).to_numpy().astype(np.float64)
    return np.asarray(counts[:, 0] + digit * counts[:, 1])


def speech_rate(
    seconds: npt.ArrayLike, lengths: npt.ArrayLike, groups: npt.ArrayLike | None = None, *, cut: float = 3.5
) -> RateFound:
    """Which recordings are too short or too long for their text.

    `seconds` (n,) > 0, best without pauses (`voiced_seconds`); `lengths` (n,) > 0 of the texts in any unit, such as
    `spoken_length`; `groups` (n,) whose voice it is (speaker, data set), or None for one.

    Seconds are regressed on lengths through the origin by the median of seconds per letter: half of the pairs may be
    wrong. Each group has a tempo of its own; the log of its ratio to all is shrunk by m / (m + 5) for m recordings, so
    that a speaker of one or two is judged by the others. Residuals grow with the square root of the expected time, as
    sums of independent letters do; their scale is 1.4826 times the median of |residual| / sqrt(expected), at least 5 %
    of the typical expected time. Does not depend on the order of rows.

    Raises InputError for shapes that differ, values that are not finite and positive, and a cut <= 0.
    Source: ours; medians as in Hampel et al., "Robust Statistics" (1986).
    """
    time, size = as_floats(seconds, "seconds"), as_floats(lengths, "lengths")
    names = np.zeros(len(time), np.int64) if groups is None else np.asarray(groups)
    if not (time.shape == size.shape == names.shape and time.ndim == 1):
        raise InputError(
            f"seconds {time.shape}, lengths {size.shape}, groups {names.shape}: one of each per recording"
        )
    for what, values in (("seconds", time), ("lengths", size)):
        wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(wrong):
            raise InputError(
                f"{what} has {counted(len(wrong), 'value that is', 'values that are')} not positive, the first "
                f"{values[wrong[0]]} in row {wrong[0]}: leave such rows out"
            )
    if not cut > 0:
        raise InputError(f"cut={cut}: a positive number of standard deviations")
    if not len(time):
        nothing = np.empty(0)
        return RateFound(nothing, np.empty(0, np.bool_), nothing, nothing, nothing)
    expected = size * _seconds_per_letter(np.log(time / size), names)
    residual = (time - expected) / np.sqrt(expected)
    scale = max(1.4826 * float(np.median(np.abs(residual))), _NARROW * float(np.sqrt(np.median(expected))))
    deviation = residual / scale
    quality = 1 / (1 + (deviation / cut) ** 2)
    return RateFound(quality, np.abs(deviation) > cut, deviation, expected, size / time)


def _seconds_per_letter(logs: Floats, names: npt.NDArray[Any]) -> Floats:
    """For each recording, what a letter takes in its group."""
    overall = float(np.median(logs))
    groups, member = np.unique(names, return_inverse=True)
    order = np.argsort(member, kind="stable")
    ends = np.cumsum(np.bincount(member, minlength=len(groups)))
    own = np.empty(len(groups))
    for group, part in enumerate(np.split(logs[order], ends[:-1])):
        own[group] = float(np.median(part - overall)) * len(part) / (len(part) + _PRIOR)
    if len(groups) == 1:
        return np.full(len(logs), np.exp(overall))
    return np.asarray(np.exp(overall + own[member]))
