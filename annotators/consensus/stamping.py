"""Rubber-stamping: answers too fast to be thought about, always the same, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
Flags = npt.NDArray[np.bool_]


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
    asked = np.bincount(read.annotator, minlength=len(read.annotators))
    enough = asked >= least
    signs = (
        _hurry(read, enough, fast),
        _habit(read, enough, constant),
        _copying(read, least, copied),
        _acceptance(read, enough, accepted),
        _guessing(read, enough),
    )
    shown = {name: column for sign in signs for name, column in sign.columns.items()}
    why = pl.Series("why", _words(signs, len(asked)), pl.String)
    return pl.DataFrame({"annotator": read.annotators, "answers": asked, **shown, "why": why})


class _Sign(NamedTuple):
    """One reason for suspicion: the columns that show it, the annotators it fits, and what to say of one of them."""

    columns: Mapping[str, Any]
    fits: Flags
    tell: Callable[[int], str]


def _words(signs: Sequence[_Sign], people: int) -> list[str | None]:
    """For each annotator what is suspicious, in words; None where nothing is."""
    return ["; ".join(sign.tell(i) for sign in signs if sign.fits[i]) or None for i in range(people)]


def _hurry(read: Answers, enough: Flags, fast: float) -> _Sign:
    pace = medians(read.seconds, read.annotator, len(enough))
    usual = np.nanmedian(pace) if np.isfinite(pace).any() else np.nan
    fits = enough & (pace < fast * usual)
    columns = {"pace": _nulled(pace), "too_fast": fits}
    return _Sign(columns, fits, lambda i: f"median of {pace[i]:.3g} s, others {usual:.3g} s")


def _habit(read: Answers, enough: Flags, constant: float) -> _Sign:
    top, share, others = _habits(read)
    fits = enough & (share >= constant) & (share - others >= 0.1)
    shown = read.values.to_list()
    return _Sign(
        {"top_share": share, "constant": fits},
        fits,
        lambda i: f"{share[i]:.0%} of the answers are {shown[top[i]]!r}, others' {others[i]:.0%}",
    )


def _copying(read: Answers, least: int, copied: float) -> _Sign:
    import polars as pl

    partner, alike = partners(read, least, copied)
    names = read.annotators.to_list()
    named = [names[p] if p >= 0 else None for p in partner]
    return _Sign(
        {"partner": pl.Series(named, dtype=read.annotators.dtype), "copies": partner >= 0},
        partner >= 0,
        lambda i: f"{alike[i]:.0%} the same as {named[i]!r}",
    )


def _acceptance(read: Answers, enough: Flags, accepted: float) -> _Sign:
    untouched = _untouched(read)
    crowd = float(np.nanmedian(untouched)) if np.isfinite(untouched).any() else 1.0
    fits = enough & (untouched >= accepted) & (crowd <= 0.9)
    columns = {"untouched": _nulled(untouched), "accepts": fits}
    return _Sign(columns, fits, lambda i: f"leaves {untouched[i]:.0%} of pre-annotations as they are")


def _guessing(read: Answers, enough: Flags) -> _Sign:
    fits = enough & _by_chance(read)
    return _Sign({"chance": fits}, fits, lambda i: "agrees with others no more than by chance")


def _nulled(values: Floats) -> pl.Series:
    """Null where there is no number."""
    import polars as pl

    return pl.Series(values, nan_to_null=True)


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


def _by_chance(read: Answers) -> Flags:
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
    result: Flags = (asked > 0) & (z < 1.0) & (below > 3.1)
    return result
