"""`curate.compare`: a comparison of selections, as users hold it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.comparing import Choice, Train, compare_selections
from curate.contracts import Finding, Findings
from curate.counting import counted
from curate.errors import InputError, UnknownNameError

__all__ = ["Compared", "check_ending", "compare"]


@dataclass(frozen=True)
class Compared:
    """How the same model did on several selections: `summary`, `table`, `curve`, `findings`. Draws itself."""

    found: Findings

    @property
    def summary(self) -> str:
        """One sentence that sums it up."""
        return self.found.summary

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The curve, the table, and the smallest budget that does as well as everything."""
        return self.found.findings

    @property
    def table(self) -> pa.Table:
        """A row for each selector and budget: accuracy, low, high, gain over random with its interval, seconds."""
        return self._of("All selections")

    @property
    def curve(self) -> pa.Table:
        """Budgets, and a column of mean accuracies for each selector; `low` and `high` are random's interval, `NAME low` and
        `NAME high` that of NAME."""
        return self._of("Accuracy against budget")

    def save(self, path: str | Path) -> Path:
        """Write it, complete or not at all: `.json` all of it, `.csv` or `.parquet` the table, `.svg` the curve, `.html` all
        of it to look at. What is there is replaced. Raises InputError for other endings.
        """
        from curate.report.writer import write_whole

        return write_whole(Path(path).expanduser(), _WRITERS[check_ending(path)](self))

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """The table as people read it, header and rows: accuracies, and gains over random, in per cent, each with its
        interval."""
        header = ["selector", "budget", "items", "accuracy %", "", "gain %", ""]
        return header, [
            [
                row["selector"],
                f"{row['budget']:.3g}",
                f"{row['items']:,}",
                *_with_interval(row["accuracy"], row["low"], row["high"], ".1f"),
                *_with_interval(row["gain"], row["gain_low"], row["gain_high"], "+.1f"),
            ]
            for row in self.table.to_pylist()
        ]

    def _of(self, title: str) -> pa.Table:
        tables = {f.title: f.table for f in self.findings if f.table is not None}
        if title not in tables:
            raise UnknownNameError("finding with a table", title, tables)
        return tables[title]

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f"  {f.title}: {f.text}" for f in self.findings)])

    def __repr__(self) -> str:
        return f"Compared({counted(len(self.table), 'selection')})"

    def _repr_html_(self) -> str:
        from curate.report import findings_html

        return findings_html("compare", self.found)


def _with_interval(value: float | None, low: float | None, high: float | None, form: str) -> tuple[str, str]:
    if value is None or low is None or high is None:
        return "", ""
    return f"{100 * value:{form}}", f"{100 * low:.1f} to {100 * high:.1f}"


def _as_json(compared: Compared) -> bytes:
    found: list[dict[str, Any]] = [
        {"title": f.title, "text": f.text, "rows": f.table.to_pylist() if f.table is not None else []}
        for f in compared.findings
    ]
    whole = {"summary": compared.summary, "findings": found}
    return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode()


def _as_csv(compared: Compared) -> bytes:
    import pyarrow.csv

    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(compared.table, sink)
    return bytes(sink.getvalue())


def _as_parquet(compared: Compared) -> bytes:
    import pyarrow.parquet

    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(compared.table, sink)
    return bytes(sink.getvalue())


def _as_svg(compared: Compared) -> bytes:
    from curate.report import findings_svg

    return findings_svg(compared.found).encode()


def _as_html(compared: Compared) -> bytes:
    from curate.report import findings_html

    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>compare</title>'
    return (head + findings_html("compare", compared.found)).encode()


_WRITERS = {
    ".csv": _as_csv,
    ".html": _as_html,
    ".json": _as_json,
    ".parquet": _as_parquet,
    ".svg": _as_svg,
}


def check_ending(path: str | Path) -> str:
    """What kind of file a comparison is written to under this name. Raises InputError where it is none of them."""
    ending = Path(path).suffix.lower()
    if ending not in _WRITERS:
        raise InputError(f"{path}: a comparison is written as {', '.join(_WRITERS)}")
    return ending


def compare(
    selections: Mapping[str, Mapping[float, Choice] | Choice],
    train: Train,
    *,
    n: int | None = None,
    seeds: int = 5,
    level: float = 0.95,
    whole: bool = True,
) -> Compared:
    """Train the same model on several selections over several seeds, random beside, and hold the curves.

    `train(rows, weights, seed)` gives an accuracy; `curate.comparing.classifier` makes one from vectors and labels.
    Everything else is that of `curate.comparing.compare_selections`.
    """
    return Compared(compare_selections(selections, train, n=n, seeds=seeds, level=level, whole=whole))
