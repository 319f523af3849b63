"""`annotators` and `fairness`: whom to trust, and whom cleaning costs what, about a data set as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from curate.annotators.consensus.answers import Answers, numeric, read_answers
from curate.annotators.consensus.fairness import drop_effect, group_errors
from curate.annotators.consensus.kappa import Level
from curate.annotators.consensus.quality import annotator_table, confusion_table
from curate.annotators.consensus.reliability import Agreement, agreement
from curate.annotators.consensus.viewing import needed_columns, view_answers
from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Annotators", "Fairness"]

WIDEST = 30
"""A confusion matrix of more values than this is not drawn."""


@dataclass(frozen=True)
class Annotators:
    """How far annotators agree, how good each is, who rubber-stamps, and what is confused with what.

    `answers` and `columns` as in the scorer `consensus`. `level` of the agreement (Krippendorff's alpha), `values`
    their order for "ordinal"; `resamples` and `seed` of its interval; `confidence` of all intervals.
    """

    answers: str = "answers"
    columns: tuple[str, ...] = ()
    level: Level = "nominal"
    values: tuple[str, ...] = ()
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0

    name: ClassVar[str] = "annotators"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return needed_columns(self.answers, self.columns)

    def analyse(self, view: View) -> Findings:
        """Raises InputError where nobody answered anything."""
        read = _read(view, self.answers, self.columns, self.values)
        n, w, k = read.shape
        table = annotator_table(read, confidence=self.confidence)
        findings = [_stamping(table), self._agreement(read), _quality(table, self.confidence)]
        if 1 < k <= WIDEST:
            findings.append(_confusion(read))
        suspicious = table["suspicious"].drop_nulls().len()
        summary = (
            f"{counted(len(read), 'answer')} by {counted(w, 'annotator')} about {counted(n, 'item')} "
            f"({len(read) / n:.1f} an item); {suspicious} of the annotators look as if they answered without looking."
        )
        return Findings(summary, tuple(finding for finding in findings if finding is not None))

    def _agreement(self, read: Answers) -> Finding:
        title = "How far annotators agree"
        if not (read.per_item > 1).any():
            return Finding(title, "No item has two answers: agreement is unknown.", serious=True)
        numbers = _as_numbers(read) if self.level in ("interval", "ratio") else read
        found = agreement(
            *(numbers, self.level), resamples=self.resamples, seed=self.seed, confidence=self.confidence
        )
        return Finding(title, _agreement_words(found, self.confidence))


def _agreement_words(found: Agreement, confidence: float) -> str:
    if found.note:
        return f"Krippendorff's alpha is undefined: {found.note}."
    verdict = (
        "good enough to rest conclusions on"
        if found.low >= 0.8
        else "good enough for tentative conclusions"
        if found.low >= 0.667
        else "low: the labels depend on who gave them; sharpen the guideline, or collect more answers an item"
    )
    return (
        f"Krippendorff's alpha ({found.level}) is {found.value:.3f} ({confidence:.0%} interval {found.low:.3f} to "
        f"{found.high:.3f}, {counted(found.items, 'item')} with two answers or more): {verdict}."
    )


def _read(view: View, answers: str, columns: tuple[str, ...], values: tuple[str, ...] = ()) -> Answers:
    frame = view_answers(view, answers, columns)
    if not frame.height:
        raise InputError(f"no item has an answer in {', '.join(needed_columns(answers, columns))}")
    return read_answers(frame, values=values or None)


def _as_numbers(read: Answers) -> Answers:
    import dataclasses

    import polars as pl

    numbers = read.values.cast(pl.Float64, strict=False)
    if numbers.null_count():
        raise InputError(f"values {read.values.filter(numbers.is_null()).head(5).to_list()} are no numbers")
    return dataclasses.replace(read, values=numbers)


def _arrow(frame: pl.DataFrame) -> pa.Table:
    table: pa.Table = frame.to_arrow()
    for i, field in enumerate(table.schema):
        if pa.types.is_large_string(field.type) or field.type == pa.string_view():
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table


def _stamping(table: pl.DataFrame) -> Finding | None:
    suspects = table.drop_nulls("suspicious")
    if not suspects.height:
        return None
    share = float(suspects["answers"].to_numpy().sum() / table["answers"].to_numpy().sum())
    text = (
        f"{suspects.height} of {counted(table.height, 'annotator')}, with {share:.1%} of the answers, look as if they "
        "answered without looking. Look at some of their answers before you pay for or train on them."
    )
    return Finding(
        "Rubber-stamping",
        text,
        _arrow(suspects.select("annotator", "answers", "accuracy", "suspicious")),
        "",
        True,
    )


def _quality(table: pl.DataFrame, confidence: float) -> Finding:
    import polars as pl

    best, worst = table.row(0, named=True), table.row(-1, named=True)
    text = (
        f"How often each is right in the eyes of the others, {confidence:.0%} interval: from {best['annotator']} with "
        f"{best['accuracy']:.2f} to {worst['annotator']} with {worst['accuracy']:.2f} "
        f"({worst['accuracy_low']:.2f} to {worst['accuracy_high']:.2f}). Where all err alike nobody sees it: "
        "plant items whose answer you know."
    )
    shown = (
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "answers",
        "agreement",
        "information",
        "bias",
        "pace",
    )
    frame = table.select(pl.col("annotator").cast(pl.String), *shown)
    return Finding("How good each annotator is", text, _arrow(frame), "bars")


def _confusion(read: Answers) -> Finding:
    import polars as pl

    frame = confusion_table(read)
    index = "consensus"
    while index in frame["given"].cast(pl.String):  # the values become columns beside it
        index += "_"
    numbers = numeric(read.values)
    if numbers is not None and read.values.is_sorted():  # by letters 10 comes before 2
        place = pl.DataFrame({"true": read.values, "place": numbers})
        frame = frame.join(place, "true").join(place.rename({"true": "given", "place": "by"}), "given")
        frame = frame.sort("place", "by")
    plain = frame.select(pl.col("true").cast(pl.String).alias(index), "given", "share")
    wide = plain.pivot("given", index=index, values="share")
    worst = frame.filter(pl.col("true") != pl.col("given")).sort(
        "share", "true", "given", descending=[True, False, False]
    )
    top = worst.row(0, named=True)
    text = (
        f"Most confused: where {top['true']} is true, {top['share']:.1%} of the answers are {top['given']}."
    )
    return Finding("What is confused with what", text, _arrow(wide), "matrix")


@dataclass(frozen=True)
class Fairness:
    """Whether answers about some groups are worse, and what dropping flagged items would do to each group.

    `group` is the column that says whom or what an item belongs to. With `answers` (or `columns`, as in `consensus`):
    error rates by group, against the column `gold` of known labels where given, else against the consensus.
    With `dropped`, a flag column: how dropping the flagged items changes each group's share, and the mix of
    `label` within it. At least one of the two is needed: set `answers` to null if there are none.
    """

    group: str = "group"
    answers: str | None = "answers"
    columns: tuple[str, ...] = ()
    gold: str | None = None
    dropped: str | None = None
    label: str | None = None
    confidence: float = 0.95

    name: ClassVar[str] = "fairness"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not (self.answers or self.columns or self.dropped):
            raise InputError("fairness: name `answers` (or `columns`) or a flag column by `dropped`")

    @property
    def needs(self) -> tuple[str, ...]:
        read = needed_columns(self.answers or "", self.columns) if self.answers or self.columns else ()
        extra = (self.gold, self.dropped, self.label)
        return tuple(dict.fromkeys((self.group, *read, *(name for name in extra if name))))

    def analyse(self, view: View) -> Findings:
        """Raises InputError where no item has a group."""
        findings = []
        if self.answers or self.columns:
            findings.append(self._errors(view))
        if self.dropped:
            findings.append(self._drops(view))
        findings.sort(key=lambda finding: not finding.serious)
        serious = sum(finding.serious for finding in findings)
        summary = f"By {self.group}: " + (
            "groups are not treated alike." if serious else "no group stands out beyond chance."
        )
        return Findings(summary, tuple(findings))

    def _errors(self, view: View) -> Finding:
        import polars as pl

        read = _read(view, self.answers or "", self.columns)
        rows = pl.DataFrame(view.to_arrow(["id", self.group])).rename({"id": "item", self.group: "group"})
        gold = None
        if self.gold:
            known = pl.DataFrame(view.to_arrow(["id", self.gold])).rename({"id": "item", self.gold: "value"})
            gold = known.with_columns(pl.col("value").cast(pl.String))
        found = group_errors(read, rows, gold=gold, confidence=self.confidence)
        unequal = found.filter("unequal")
        against = "known labels" if self.gold else "the consensus"
        text = (
            f"Share of answers that differ from {against}, {self.confidence:.0%} intervals. "
            + _unequal_words(unequal, "difference", "{:+.1%} against the rest")
        )
        frame = found.select(
            pl.col("group").cast(pl.String), "error", "low", "high", "items", "answers", "unequal"
        )
        return Finding(f"Errors by {self.group}", text, _arrow(frame), "bars", unequal.height > 0)

    def _drops(self, view: View) -> Finding:
        import polars as pl

        assert self.dropped is not None
        names = [name for name in (self.group, self.dropped, self.label) if name]
        rows = pl.DataFrame(view.to_arrow(list(dict.fromkeys(["id", *names])))).sort("id")
        found = drop_effect(
            *(rows[self.group], rows[self.dropped].fill_null(False)),
            labels=rows[self.label] if self.label else None,
            confidence=self.confidence,
        )
        unequal = found.filter("unequal")
        text = f"Dropping what {self.dropped} flags takes {rows[self.dropped].sum():,} of {counted(rows.height, 'item')}. "
        text += _unequal_words(unequal, "drop_rate", "loses {:.1%}")
        front = (
            "drop_rate",
            "low",
            "high",
            "items",
            "dropped",
            "share_before",
            "share_after",
            "label_shift",
            "unequal",
        )
        frame = found.select(pl.col("group").cast(pl.String), *front)
        return Finding(f"What dropping {self.dropped} costs", text, _arrow(frame), "bars", unequal.height > 0)


def _unequal_words(unequal: pl.DataFrame, column: str, how: str) -> str:
    if not unequal.height:
        return "No group differs from the rest by more than chance explains."
    rows = unequal.head(3).iter_rows(named=True)
    told = "; ".join(
        f"{row['group']} ({counted(row['items'], 'item')}) {how.format(row[column])}" for row in rows
    )
    return f"Beyond chance: {told}. Check these by hand before you drop anything."
