"""What an analysis found, as users hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curate.contracts import Finding, Findings
from curate.counting import counted
from curate.errors import UnknownNameError
from curate.run.ledger import StepRecord


@dataclass(frozen=True)
class Analysed:
    """The findings of one analysis: `summary`, `findings`, and `table(title)` of one of them. Draws itself."""

    name: str
    found: Findings
    record: StepRecord

    @property
    def summary(self) -> str:
        """One sentence that sums it up."""
        return self.found.summary

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, most important first."""
        return self.found.findings

    @property
    def params(self) -> Mapping[str, Any]:
        """How the analysis was configured."""
        return self.record.params

    def table(self, title: str) -> pa.Table:
        """The table of the finding with this title. UnknownNameError lists those that have one."""
        tables = {f.title: f.table for f in self.findings if f.table is not None}
        if title not in tables:
            raise UnknownNameError("finding with a table", title, tables)
        return tables[title]

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}"]
        lines += [f"  {'! ' if f.serious else ''}{f.title}: {f.text}" for f in self.findings]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Analysed({self.name!r}, {counted(len(self.findings), 'finding')})"

    def _repr_html_(self) -> str:
        from curate.report import findings_html

        return findings_html(self.name, self.found)
