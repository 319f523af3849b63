"""`token-errors`: sequences in which a token bears the wrong label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.distributions import validate_pred_probs
from curate.contracts import View, detail, flag, reason_name, score
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.fitting import FittedTable, order_by_id
from curate.scorers.noise.confident.filters import Filter
from curate.scorers.noise.probabilities import calibration_notes, encode_labels
from curate.scorers.noise.structure.ragged import (
    Ragged,
    is_list,
    read_column,
    read_strings,
    split,
    starts_of,
    to_lists,
)
from curate.scorers.noise.structure.tokens import Aggregate, TokenMethod, TokensFound, token_errors

__all__ = ["TokenErrors"]

ISSUE = pa.struct(
    [
        ("position", pa.int32()),
        ("token", pa.string()),
        ("label", pa.string()),
        ("suggested", pa.string()),
        ("quality", pa.float32()),
    ]
)
"""One doubtful token: where it is (from 0), what it is (null without a column of tokens), its label, a likelier one."""


_UNFIT = "labels of"
"""How a reason begins that says labels and probabilities are not of the same tokens."""


@dataclass(frozen=True)
class TokenErrors:
    """Scores the labels of a sequence's tokens against their probabilities, and says which tokens are doubtful.

    The score in [0, 1] is the quality of the worst token (or `aggregate="softmin"`, `temperature`); higher = keep.
    `labels` is a column of lists, or of strings split by `delimiter`. `pred_probs` is a column of lists of lists, one
    distribution over the classes per token, or of plain lists, the distributions laid end to end; out of sample.
    `classes` is the order within a distribution (default: the distinct labels sorted by code point). `tokens`, if
    named, is a column of lists (or strings) that the details quote. `method` and `filter_by` as in `token_errors`.
    Beside the score: `token_issue` and `token_issues`, a list of {position, token, label, suggested, quality}.
    """

    labels: str = "token_labels"
    pred_probs: str = "token_probs"
    tokens: str | None = None
    delimiter: str = " "
    classes: tuple[str, ...] = ()
    method: TokenMethod = "ratio"
    aggregate: Aggregate = "min"
    temperature: float = 0.05
    filter_by: Filter = "prune_by_noise_rate"

    name: ClassVar[str] = "token-errors"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"token-errors: temperature={self.temperature}: a positive number is meant")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.labels, self.pred_probs, *((self.tokens,) if self.tokens else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("token_errors"), flag("token_issue"), detail("token_issues", pa.list_(ISSUE)))

    def fit(self, view: View) -> FittedTable:
        """Find the doubtful tokens of a view. Raises InputError where the whole input is wrong, not a few rows."""
        order = order_by_id(view)
        labels = read_strings(view, self.labels, order, self.delimiter, keep_empty=True)
        reasons = np.full(len(order), None, object)
        reasons[labels.lengths == 0] = "no tokens"
        reasons[labels.lengths < 0] = "no labels of tokens"
        stored = read_column(view, self.pred_probs, order)
        probs, width = read_distributions(stored, self.pred_probs, labels, self.classes, reasons)
        usable = reasons == None  # noqa: E711 - element by element
        self._check_fit(view, order, reasons)
        labels, codes, classes = self._encode(labels, usable, width, reasons)
        self._check(view, order, labels, probs, reasons)
        kept = reasons == None  # noqa: E711 - element by element
        tokens = kept[labels.owner]
        found = None
        if tokens.any():
            probs, codes = (probs, codes) if tokens.all() else (probs[tokens], codes[tokens])
            found = token_errors(
                probs,
                codes,
                labels.lengths[kept],
                method=self.method,
                aggregate=self.aggregate,
                temperature=self.temperature,
                filter_by=self.filter_by,
            )
        notes = calibration_notes(probs, codes) if found else ()
        words = self._read_tokens(view, order, labels, kept)
        return self._table(
            _Answers(order, reasons, kept, labels.keep(kept).lengths, words), found, codes, classes, notes
        )

    def _check_fit(self, view: View, order: npt.NDArray[np.int64], reasons: npt.NDArray[np.object_]) -> None:
        """Raise InputError if most labels and probabilities are not of the same tokens: then something else is given."""
        wrong = np.array([str(reason).startswith(_UNFIT) for reason in reasons], bool)
        rows = np.flatnonzero(wrong)
        if 2 * len(rows) > len(rows) + int((reasons == None).sum()):  # noqa: E711 - element by element
            id = view.take(order[rows[:1]], ["id"]).column("id")[0].as_py()
            raise InputError(
                f"{self.labels!r} and {self.pred_probs!r} do not belong together in {counted(len(rows), 'item')}, as "
                f"{id}: {reasons[rows[0]]}. One distribution per label is meant; name `classes` if not all occur."
            )

    def _encode(
        self,
        labels: Ragged,
        usable: npt.NDArray[np.bool_],
        width: int | None,
        reasons: npt.NDArray[np.object_],
    ) -> tuple[Ragged, npt.NDArray[np.int64], tuple[str, ...]]:
        """The labels of usable items, their codes and the classes; reasons for items whose labels are strange."""
        labels = labels.keep(usable)
        codes, classes = encode_labels(labels.values, self.classes, width)
        places = labels.places
        for token in np.flatnonzero(codes < 0):
            value, item = labels.values[int(token)].as_py(), labels.owner[token]
            known = f"label {value!r} is none of the {counted(len(classes), 'class', 'classes')}"
            if reasons[item] is None:
                reasons[item] = f"token {places[token]}: " + ("no label" if value is None else known)
        return labels, codes, classes

    def _check(
        self,
        view: View,
        order: npt.NDArray[np.int64],
        labels: Ragged,
        probs: npt.NDArray[Any],
        reasons: npt.NDArray[np.object_],
    ) -> None:
        """Reasons for items with a token that has no distribution. Raises InputError if most have none."""
        if not len(probs):
            return
        owner, places = labels.owner, labels.places

        def named() -> list[str]:
            ids = view.take(order, ["id"]).column("id").to_pylist()
            return [f"{ids[item]} token {place}" for item, place in zip(owner, places, strict=True)]

        faults = validate_pred_probs(probs, named)
        for token in np.flatnonzero(faults != None):  # noqa: E711 - element by element
            if reasons[owner[token]] is None:
                reasons[owner[token]] = f"token {places[token]}: {faults[token]}"

    def _read_tokens(
        self,
        view: View,
        order: npt.NDArray[np.int64],
        labels: Ragged,
        kept: npt.NDArray[np.bool_],
    ) -> pa.Array:
        """What each token of the items that were scored is: strings, null where the lengths differ."""
        wanted = labels.keep(kept).lengths
        if self.tokens is None:
            return pa.nulls(int(wanted.sum()), pa.string())
        words = read_strings(view, self.tokens, order, self.delimiter, keep_empty=True)
        same = kept & (words.lengths == wanted)
        if same[kept].all():
            return words.keep(same).values
        place = np.full(int(wanted.sum()), -1, np.int64)
        place[np.repeat(same, wanted)] = np.arange(int(wanted[same].sum()))
        return words.keep(same).values.take(pa.array(place, mask=place < 0))

    def _table(
        self,
        answers: _Answers,
        found: TokensFound | None,
        codes: npt.NDArray[np.int64],
        classes: tuple[str, ...],
        notes: tuple[str, ...],
    ) -> FittedTable:
        n = len(answers.order)
        null = ~answers.kept
        quality, issue = np.full(n, np.nan, np.float32), np.zeros(n, bool)
        if found is None:
            lists = to_lists(pa.array([], ISSUE), np.zeros(n, np.int64), null)
        else:
            quality[answers.kept], issue[answers.kept] = found.score, found.flagged
            lists = _list_issues(answers, found, codes, classes)
        back = pa.array(np.argsort(answers.order))
        ordered = [
            pa.array(quality, pa.float32(), mask=null),
            pa.array(issue, pa.bool_(), mask=null),
            lists,
            pa.array(answers.reasons, pa.string()),
        ]
        names = [*(f.name for f in self.gives), reason_name(self.name)]
        table = pa.table([column.take(back) for column in ordered], names)
        return FittedTable(self.name, self.version, self.gives, table, notes, classes)


class _Answers(NamedTuple):
    """What was scored, in the order of ids: `lengths` (n,) counts the tokens of items that were, `words` names them."""

    order: npt.NDArray[np.int64]
    reasons: npt.NDArray[np.object_]
    kept: npt.NDArray[np.bool_]
    lengths: npt.NDArray[np.int64]
    words: pa.Array


def _list_issues(
    answers: _Answers, found: TokensFound, codes: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> pa.ListArray:
    owner, starts = np.repeat(np.arange(len(answers.lengths)), answers.lengths), starts_of(answers.lengths)
    at = np.flatnonzero(found.issue)
    names = pa.array(classes, pa.string())
    columns = [
        pa.array((at - starts[owner[at]]).astype(np.int32)),
        answers.words.take(pa.array(at)),
        names.take(pa.array(codes[at])),
        names.take(pa.array(found.suggested[at])),
        pa.array(found.token_score[at], pa.float32()),
    ]
    structs = pa.StructArray.from_arrays(columns, fields=list(ISSUE))
    counts = np.bincount(owner[at], minlength=len(answers.lengths))
    return to_lists(structs, counts, ~answers.kept)


def read_distributions(
    stored: pa.Array,
    column: str,
    labels: Ragged,
    classes: Sequence[str],
    reasons: npt.NDArray[np.object_],
) -> tuple[npt.NDArray[np.floating], int | None]:
    """The distributions of the tokens of all items without a reason, end to end (t, k), and k (None without any).

    `stored` holds lists of lists or plain lists of numbers, an item each. Fills `reasons` where an item's numbers do
    not fit its labels. Raises SchemaError for a column of anything else.
    """
    if not is_list(stored.type):
        raise SchemaError(
            f"column {column!r} holds {stored.type}: lists of lists of numbers are meant, one per token"
        )
    outer = split(stored)
    reasons[(outer.lengths < 0) & (reasons == None)] = "no predicted probabilities"  # noqa: E711 - element by element
    if not is_list(outer.values.type):
        width = len(classes) or _count_distinct(labels)
        held = outer.lengths / max(width, 1)
        numbers = outer
    else:
        inner = split(outer.values)
        sizes = inner.lengths[inner.lengths >= 0]
        width = int(np.bincount(sizes).argmax()) if len(sizes) else len(classes)
        wrong = np.bincount(outer.owner[inner.lengths != width], minlength=len(outer.lengths)) > 0
        reasons[wrong & (reasons == None)] = f"a token whose probabilities are not {width}"  # noqa: E711
        held = outer.lengths.astype(np.float64)
        of_item = np.bincount(outer.owner, weights=np.maximum(inner.lengths, 0), minlength=len(outer.lengths))
        numbers = Ragged(inner.values, of_item.astype(np.int64))
    for item in np.flatnonzero((reasons == None) & (held != labels.lengths)):  # noqa: E711 - element by element
        reasons[item] = f"{_UNFIT} {counted(labels.lengths[item], 'token')}, probabilities of {held[item]:g}"
    values = numbers.keep(reasons == None).values  # noqa: E711 - element by element
    if not len(values):
        return np.empty((0, width)), None
    flat = values.to_numpy(zero_copy_only=False)
    flat = flat if flat.dtype in (np.float32, np.float64) else flat.astype(np.float64)
    return flat.reshape(-1, width), width


def _count_distinct(labels: Ragged) -> int:
    return len(labels.values.unique().drop_null())
