"""`status`: where each round stands, as a table and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import pyarrow as pa

from curate.annotators.label_studio.ledger import Ledger
from curate.annotators.label_studio.places import Places
from curate.annotators.label_studio.server import Server

__all__ = ["Status", "status"]

COLUMNS = (
    "round",
    "template",
    "tasks",
    "answered",
    "answers",
    "skips",
    "annotators",
    "not_ok",
    "untouched",
    "pulled",
    "place",
)


@dataclass(frozen=True)
class Status:
    """A row for each round. `tasks` are on the server, of which `answered` have an answer that was pulled; `answers` (one
    person about one item) of `annotators`, beside `skips` and those that are `not_ok` (stale, quarantined, rejected).
    `untouched`: the share of shown pre-annotations that were taken as they were, null where none was shown. `pulled`: the
    server's time of the last pull.
    """

    rows: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def to_arrow(self) -> pa.Table:
        """The rows as a table."""
        return pa.Table.from_pylist([dict(row) for row in self.rows])

    def __str__(self) -> str:
        if not self.rows:
            return "nothing was pushed yet"
        shown = [[_text(row[name]) for name in COLUMNS] for row in self.rows]
        widths = [max(len(name), *(len(r[i]) for r in shown)) for i, name in enumerate(COLUMNS)]
        lines = [COLUMNS, *shown]
        return "\n".join(
            "  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _repr_html_(self) -> str:
        if not self.rows:
            return "<p>nothing was pushed yet</p>"
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in COLUMNS[:-1])
        return f"<table><tr>{head}<th>progress</th></tr>{''.join(map(_row, self.rows))}</table>"


def _row(row: Mapping[str, Any]) -> str:
    cells = "".join(f"<td>{escape(_text(row[name]))}</td>" for name in COLUMNS[:-1])
    share = row["answered"] / row["tasks"] if row["tasks"] else 0.0
    drawn = (
        f'<svg width="120" height="12" role="img" aria-label="{share:.0%} answered"><rect width="120" height="12" '
        f'fill="#ddd"/><rect width="{120 * min(share, 1):.1f}" height="12" fill="#4a7"/></svg>'
    )
    place = str(row["place"])
    link = f'<a href="{escape(place)}">{drawn}</a>' if place.startswith("http") else escape(place)
    return f"<tr>{cells}<td>{link}</td></tr>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:.0%}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def status(server: Server, ledger: Ledger, store: Any) -> Status:
    """What is known of every round of a store's data set; see `LabelStudio.status`."""
    rows = []
    for project in Places(server, ledger, store.id).known():
        tasks = [t for t in ledger.tasks(project.source).values() if not t.deleted]
        said = store.answers.latest().where(f"source = '{project.source}'").to_polars()
        said = said.filter(said["status"] != "withdrawn")
        answers = said.filter(~said["skipped"])
        good = answers.filter(answers["status"] == "ok")
        touched = good["touched"].drop_nulls()
        values = (
            *(project.round, project.template, 0 if project.gone else len(tasks)),
            good["item"].n_unique(),
            good.select("item", "annotator").n_unique(),
            said.filter(said["skipped"]).height,
            good["annotator"].n_unique(),
            answers.filter(answers["status"] != "ok").select("item", "annotator").n_unique(),
            float((~touched).sum() / len(touched)) if len(touched) else None,
            project.watermark[:19].replace("T", " ") or None,
            "deleted on the server" if project.gone else project.page,
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return Status(tuple(rows))
