"""Word and character error rates: how a transcript differs from another, by the fewest edits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError

__all__ = [
    "Edit",
    "ErrorRates",
    "align_edits",
    "character_error_rate",
    "normalise_transcripts",
    "word_error_rate",
]

Counts = npt.NDArray[np.int64]
_CELLS = 1 << 18  # of a row of the table, over all pairs of a batch: what stays in the cache
_SHORT = 1 << 31  # what 32 bits hold
_TABLE = 1 << 26  # cells of a whole table, for one alignment


class _Tokens(NamedTuple):
    """The tokens of many texts as numbers, one after the other; text i has those from offsets[i] to offsets[i + 1]."""

    codes: npt.NDArray[np.int32]
    offsets: Counts


class ErrorRates(NamedTuple):
    """One entry per pair of reference and hypothesis, all (n,).

    rate           (substitutions + deletions + insertions) / tokens of the reference: 0 is best, above 1 is possible;
                   NaN where the reference has no token.
    matched        hits / (hits + all edits), [0, 1], 1 is best (1 - "match error rate"); NaN where both are empty.
    hits, substitutions, deletions, insertions  counts, int64. A deletion is a token of the reference that is not heard.
    """

    rate: npt.NDArray[np.float64]
    matched: npt.NDArray[np.float64]
    hits: Counts
    substitutions: Counts
    deletions: Counts
    insertions: Counts

    @property
    def pooled(self) -> float:
        """All edits over all tokens of the references: what is reported for a test set. NaN without tokens."""
        edits = int((self.substitutions + self.deletions + self.insertions).sum())
        tokens = int((self.hits + self.substitutions + self.deletions).sum())
        return edits / tokens if tokens else float("nan")


class Edit(NamedTuple):
    """One step of an alignment. `reference` and `hypothesis` are positions, None where there is none."""

    kind: Literal["hit", "substitution", "deletion", "insertion"]
    reference: int | None
    hypothesis: int | None


def normalise_transcripts(texts: Sequence[str | None]) -> list[str | None]:
    """Texts as they are compared: NFKC, lower case, letters, marks, numbers and inner apostrophes alone, single spaces.

    Everything else, hyphens included, becomes a space; curly apostrophes become straight and stay only inside a word.
    Numbers are not spelled out and spelling is not unified: "1455" and "fourteen fifty-five" differ. Null stays null.
    """
    import polars as pl

    text = pl.Series("text", list(texts), dtype=pl.String).str.normalize("NFKC").str.to_lowercase()
    for pattern, new in (
        (r"[\u2018\u2019\u02bc\uff07`\u00b4]", "'"),
        (r"[^\p{L}\p{M}\p{N}']+", " "),
        (r"(^| )'+", " "),
        (r"'+( |$)", " "),
        (r" +", " "),
    ):
        text = text.str.replace_all(pattern, new.replace("$", "$$"))
    found: list[str | None] = text.str.strip_chars(" ").to_list()
    return found


def word_error_rate(
    references: Sequence[str], hypotheses: Sequence[str], *, normalise: bool = True
) -> ErrorRates:
    """Edits between words, separated by white space; `normalise` as in `normalise_transcripts`.

    Of the alignments with the fewest edits, the one with the fewest substitutions is counted (the most hits), which is
    unique in its counts and does not depend on a direction. Memory does not grow with the product of the lengths.
    Raises InputError for lists of unequal length and for null.
    """
    return _count(*_words(*_texts(references, hypotheses, normalise)))


def character_error_rate(
    references: Sequence[str], hypotheses: Sequence[str], *, normalise: bool = True
) -> ErrorRates:
    """Edits between characters (code points; a space is one), otherwise as `word_error_rate`."""
    return _count(*(_characters(side) for side in _texts(references, hypotheses, normalise)))


def align_edits(reference: Sequence[object], hypothesis: Sequence[object]) -> list[Edit]:
    """The edits that turn one sequence of tokens into the other, in order: of the fewest, those with the most hits.

    Where several are left, the alignment is read from the end, a hit or substitution before a deletion before an insertion.
    Raises InputError where the table would have more than 2^26 cells.
    """
    n, m = len(reference), len(hypothesis)
    if (n + 1) * (m + 1) > _TABLE:
        raise InputError(
            f"{n} by {counted(m, 'token')}: an alignment needs the whole table, at most {_TABLE} cells; the rates do "
            "not"
        )
    codes = {token: i for i, token in enumerate(dict.fromkeys([*reference, *hypothesis]))}
    a, b = (np.array([codes[t] for t in side], np.int64) for side in (reference, hypothesis))
    k = min(n, m) + 1
    table = np.zeros((n + 1, m + 1), np.int64)
    for i, row in enumerate(_rows(a[None], b[None], k, np.int64), 1):
        table[i] = row[0]
    steps: list[Edit] = []
    i, j = n, m
    while i or j:
        both = bool(i and j)
        same = both and a[i - 1] == b[j - 1]
        if both and table[i, j] == table[i - 1, j - 1] + (-2 * k if same else 1 - k):
            i, j = i - 1, j - 1
            steps.append(Edit("hit" if same else "substitution", i, j))
        elif i and table[i, j] == table[i - 1, j]:
            i -= 1
            steps.append(Edit("deletion", i, None))
        else:
            j -= 1
            steps.append(Edit("insertion", None, j))
    return steps[::-1]


# --- Tokens as numbers ----------------------------------------------------------------------------------------------


def _texts(references: Sequence[str], hypotheses: Sequence[str], normalise: bool) -> list[list[str]]:
    if len(references) != len(hypotheses):
        raise InputError(
            f"{counted(len(references), 'reference')}, {counted(len(hypotheses), 'hypothesis', 'hypotheses')}: as many "
            "of each are meant"
        )
    for what, texts in (("reference", references), ("hypothesis", hypotheses)):
        for row, text in enumerate(texts):
            if text is None:
                raise InputError(
                    f"the {what} in row {row} is null: leave the pair out, or give an empty text"
                )
    if not normalise:
        return [list(references), list(hypotheses)]
    return [[text or "" for text in normalise_transcripts(side)] for side in (references, hypotheses)]


def _words(references: list[str], hypotheses: list[str]) -> tuple[_Tokens, _Tokens]:
    import polars as pl

    words = pl.Series("text", [*references, *hypotheses], dtype=pl.String).str.extract_all(r"\S+")
    offsets = np.append(0, np.cumsum(words.list.len().to_numpy().astype(np.int64)))
    flat = words.filter(words.list.len() > 0).explode()
    codes = flat.rank("dense").to_numpy().astype(np.int32)
    n = len(references)
    middle = int(offsets[n])
    return _Tokens(codes[:middle], offsets[: n + 1]), _Tokens(codes[middle:], offsets[n:] - middle)


def _characters(texts: list[str]) -> _Tokens:
    offsets = np.append(0, np.cumsum([len(text) for text in texts])).astype(np.int64)
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.int32)
    return _Tokens(codes, offsets)


# --- Counting -------------------------------------------------------------------------------------------------------


def _count(left: _Tokens, right: _Tokens) -> ErrorRates:
    n, m = np.diff(left.offsets), np.diff(right.offsets)
    substitutions, edits = np.zeros((2, len(n)), np.int64)
    for rows in _batches(n, m):
        a, b = _padded(left, rows, -1), _padded(right, rows, -2)
        longest, k = a.shape[1] + b.shape[1], min(a.shape[1], b.shape[1]) + 1
        dtype = np.int32 if (longest + 1) * k < _SHORT else np.int64
        final = np.zeros(len(rows), np.int64)  # of an empty reference: nothing but insertions
        for i, row in enumerate(_rows(a, b, k, dtype), 1):
            ending = np.flatnonzero(n[rows] == i)
            final[ending] = row[ending, m[rows[ending]]]
        edits[rows], substitutions[rows] = np.divmod(final + (n[rows] + m[rows]) * k, k)
    deletions = (edits - substitutions + n - m) // 2
    insertions = edits - substitutions - deletions
    hits = n - substitutions - deletions
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(n > 0, edits / n, np.nan)
        matched = hits / (hits + edits)
    return ErrorRates(rate, matched, hits, substitutions, deletions, insertions)


def _rows(
    a: npt.NDArray[np.integer], b: npt.NDArray[np.integer], k: int, dtype: type[np.signedinteger]
) -> Iterator[npt.NDArray[np.signedinteger]]:
    """The rows of the tables of edits of a batch of pairs, `a` (pairs, n) against `b` (pairs, m), from the second on.

    A cell holds k times the fewest edits plus, of those, the fewest substitutions, less k (i + j): deletions and
    insertions then cost nothing, a hit -2k, a substitution 1 - k, and a row is a running minimum. k > min(n, m).
    """
    row = np.zeros((len(a), b.shape[1] + 1), dtype)
    hit, other = dtype(-2 * k), dtype(1 - k)
    for i in range(a.shape[1]):
        through = np.where(a[:, i, None] == b, hit, other)
        through += row[:, :-1]
        np.minimum(row[:, 1:], through, out=row[:, 1:])
        np.minimum.accumulate(row, axis=1, out=row)
        yield row


def _batches(n: Counts, m: Counts) -> Iterator[Counts]:
    """Pairs of like lengths, so many at a time that a row of their tables stays in the cache."""
    order = np.lexsort((m, n))
    low = 0
    while low < len(order):
        high = low + 1
        widest = m[order[low]] + 1
        while high < len(order):
            widest = max(widest, m[order[high]] + 1)
            if (high - low + 1) * widest > _CELLS or n[order[high]] > 1.25 * n[order[low]] + 8:
                break
            high += 1
        yield order[low:high]
        low = high


def _padded(tokens: _Tokens, rows: Counts, filling: int) -> npt.NDArray[np.int32]:
    starts = tokens.offsets[rows]
    lengths = tokens.offsets[rows + 1] - starts
    places = np.arange(int(lengths.max(initial=0)))
    inside = places < lengths[:, None]
    out = np.full(inside.shape, filling, np.int32)
    out[inside] = tokens.codes[(starts[:, None] + places)[inside]]
    return out
