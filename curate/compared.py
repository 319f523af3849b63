"""`curate.compare`: a comparison of selections, as users hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from curate.comparing import Choice, Train, compare_selections
from curate.contracts import Finding, Findings
from curate.errors import UnknownNameError

__all__ = ["Compared", "compare"]


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
        """Budgets, and a column of mean accuracies for each selector; `low` and `high` are random's interval."""
        return self._of("Accuracy against budget")

    def _of(self, title: str) -> pa.Table:
        tables = {f.title: f.table for f in self.findings if f.table is not None}
        if title not in tables:
            raise UnknownNameError("finding with a table", title, tables)
        return tables[title]

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f"  {f.title}: {f.text}" for f in self.findings)])

    def __repr__(self) -> str:
        return f"Compared({len(self.table)} selections)"

    def _repr_html_(self) -> str:
        from curate.report import findings_html

        return findings_html("compare", self.found)


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
