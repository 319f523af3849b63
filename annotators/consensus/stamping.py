"""Rubber-stamping: answers too fast to be thought about, always the same, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.copies import partners
from curate.annotators.consensus.votes import candidates
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["rubber_stamps"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def rubber_stamps(
    answers: Any,
    *,
    least: int = 10,
    fast: float = 0.25,
    constant: float = 0.95,
    copied: float = 0.9,
    accepted: float = 0.98,
    control: str | None = None,
) -> pl.DataFrame:
    """Who answers without looking: a row for each annotator, sorted, with the numbers and the verdicts.

    Of who has at least `least` answers:
    `too_fast`     the median time is below `fast` times the median of the annotators' medians (`pace`, seconds)
    `constant`     one value makes up at least `constant` of the answers (`top_share`), and at least 0.1 more than
                   others have it on the same items
    `copies`       at least `copied` of the answers equal those of one other (`partner`) on `least` or more common
                   items, and they agree where their skill does not explain it (see `copying_pairs`)
    `accepts`      at least `accepted` of shown pre-annotations are left as they are (`untouched`; column `touched`),
                   where others change at least a tenth
    `chance`       agrees with the others no more than who guesses would (a 1 in 1000 test)
    `why` puts it in words, null where nothing is suspicious. A suspicion is a reason to look, not a proof.
    """
    import polars as pl

    if least < 1 or not 0 < fast < 1 or not all(0 < x <= 1 for x in (constant, copied, accepted)):
        raise InputError("rubber_stamps: least is at least 1, the others are shares above 0")
    read = read_answers(answers, control=control)
    w = len(read.annotators)
    asked = np.bincount(read.annotator, minlength=w)
    enough = asked >= least
    pace = medians(read.seconds, read.annotator, w)
    usual = np.nanmedian(pace) if np.isfinite(pace).any() else np.nan
    too_fast = enough & (pace < fast * usual)
    top, share, others = _habits(read)
    always = enough & (share >= constant) & (share - others >= 0.1)
    partner, alike = partners(read, least, copied)
    untouched = _untouched(read)
    crowd = float(np.nanmedian(untouched)) if np.isfinite(untouched).any() else 1.0
    accepts = enough & (untouched >= accepted) & (crowd <= 0.9)
    guess = enough & _by_chance(read)
    names, shown = read.annotators.to_list(), read.values.to_list()
    why = _words(
        (too_fast, lambda i: f"median of {pace[i]:.3g} s, others {usual:.3g} s"),
        (always, lambda i: f"{share[i]:.0%} of the answers are {shown[top[i]]!r}, others' {others[i]:.0%}"),
        (partner >= 0, lambda i: f"{alike[i]:.0%} the same as {names[partner[i]]!r}"),
        (accepts, lambda i: f"leaves {untouched[i]:.0%} of pre-annotations as they are"),
        (guess, lambda i: "agrees with others no more than by chance"),
    )
    return pl.DataFrame(
        {
            "annotator": read.annotators,
            "answers": asked,
            "pace": pl.Series("pace", pace, nan_to_null=True),
            "too_fast": too_fast,
            "top_share": share,
            "constant": always,
            "partner": pl.Series(
                [names[p] if p >= 0 else None for p in partner], dtype=read.annotators.dtype
            ),
            "copies": partner >= 0,
            "untouched": pl.Series("untouched", untouched, nan_to_null=True),
            "accepts": accepts,
            "chance": guess,
            "why": pl.Series("why", why, pl.String),
        }
    )


def _words(*verdicts: tuple[npt.NDArray[np.bool_], Callable[[int], str]]) -> list[str | None]:
    """For each annotator what is suspicious, in words; None where nothing is."""
    said = [[tell(i) for is_so, tell in verdicts if is_so[i]] for i in range(len(verdicts[0][0]))]
    return ["; ".join(texts) or None for texts in said]


def medians(values: Floats | None, codes: Codes, n: int) -> Floats:
    """(n,) the median of the values of each code, NaN where there are none."""
    result = np.full(n, np.nan)
    if values is None:
        return result
    known = np.isfinite(values)
    kept, code = values[known], codes[known]
    order = np.lexsort((kept, code))
    counts = np.bincount(code, minlength=n)
    start = np.cumsum(counts) - counts
    some = counts > 0
    ranked = kept[order]
    low = ranked[(start + (counts - 1) // 2)[some]]
    result[some] = (low + ranked[(start + counts // 2)[some]]) / 2
    return result


def _habits(read: Answers) -> tuple[Codes, Floats, Floats]:
    """For each annotator the value given most, its share, and its share among others' answers to the same items."""
    _, w, k = read.shape
    distinct, pair = np.unique(read.annotator * k + read.value, return_inverse=True)
    times = np.bincount(pair)
    who, value = np.divmod(distinct, k)
    order = np.lexsort((value, -times, who))
    first = order[np.searchsorted(who[order], np.arange(w))]
    top = value[first]
    asked = np.bincount(read.annotator, minlength=w)
    chosen = candidates(read)
    voted = chosen.item * k + chosen.value
    wanted = read.item * k + top[read.annotator]
    place = np.minimum(np.searchsorted(voted, wanted), len(voted) - 1)
    said = np.where(voted[place] == wanted, np.bincount(chosen.code)[place], 0)
    said -= read.value == top[read.annotator]
    others = (read.per_item - 1)[read.item]
    total = np.bincount(read.annotator, others, minlength=w)
    rate = np.bincount(read.annotator, said, minlength=w) / np.maximum(total, 1)
    share = times[first] / asked
    return top, share, np.where(total > 0, rate, share)


def _untouched(read: Answers) -> Floats:
    w = len(read.annotators)
    if read.touched is None:
        return np.full(w, np.nan)
    known = np.isfinite(read.touched)
    shown = np.bincount(read.annotator[known], minlength=w)
    left = np.bincount(read.annotator[known], read.touched[known] == 0, minlength=w)
    return np.where(shown > 0, left / np.maximum(shown, 1), np.nan)


def _by_chance(read: Answers) -> npt.NDArray[np.bool_]:
    """Whose agreement with others is not above what the same answers, dealt to items at random, would have."""
    _, w, k = read.shape
    others = (read.per_item - 1)[read.item].astype(np.float64)
    chosen = candidates(read)
    mine = np.bincount(chosen.code)[chosen.code]
    met = others > 0
    share = np.zeros(len(read))
    share[met] = (mine[met] - 1) / others[met]
    frequency = np.bincount(read.value, minlength=k) / len(read)
    expected = frequency[read.value]
    excess = np.bincount(read.annotator, np.where(met, share - expected, 0), minlength=w)
    spread = np.bincount(read.annotator, np.where(met, (share - expected) ** 2, 0), minlength=w)
    # Not above chance with any certainty, and far below what the crowd usually reaches.
    usual = float((share - expected)[met].mean()) if met.any() else 0.0
    asked = np.bincount(read.annotator, met, minlength=w)
    z = excess / np.sqrt(np.maximum(spread, 1e-12))
    below = (usual * asked - excess) / np.sqrt(np.maximum(spread, 1e-12))
    result: npt.NDArray[np.bool_] = (asked > 0) & (z < 1.0) & (below > 3.1)
    return result
