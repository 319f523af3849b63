"""What commands print, and how they read `name=value`: nothing that is in the data may drive the terminal."""

from __future__ import annotations

import json
import logging
import re
import shlex
import sys
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import curate
from curate.budgets import read_budget
from curate.counting import counted
from curate.errors import InputError

if TYPE_CHECKING:
    from curate.run.ledger import RunRecord


def _tell_version(asked: bool) -> None:
    if asked:
        say(f"curate {curate.__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is"),
]


def tell_end(run: RunRecord, store: Path) -> None:
    """Totals of a run, and where the rows are listed that did not make it."""
    from curate.run.history import summary

    total = summary(run)
    say(
        f"kept {total['kept']:,}, dropped {total['dropped']:,}, failed {total['failed']:,}, "
        f"rejected {total['rejected']:,}; {total['reused']} of {counted(len(run.steps), 'step')} were already done"
    )
    if total["rejected"]:
        say(f"rejected rows, each with its reason: curate show {store} rejected")
    failed = [step.title for step in run.steps if step.kind == "score" and step.counts.get("failed")]
    for title in dict.fromkeys(failed):  # score NAME, or score NAME as ANOTHER
        scorer, _, alias = title.removeprefix("score ").partition(" as ")
        say(f"rows that {scorer} could not score: curate show {store} failed --scorer {alias or scorer}")


def log_progress() -> None:
    """Log how far our own work is to standard error; of other packages only warnings."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("curate").setLevel(logging.INFO)


def parameters(pairs: list[str] | None, option: str = "--with") -> Mapping[str, Any]:
    """`name=value` texts of an option as values: what YAML would take them for."""
    import yaml

    return {key: yaml.safe_load(value) for key, value in (pair(text, option) for text in pairs or ())}


def pair(text: str, option: str) -> tuple[str, str]:
    """One `name=value`. Raises InputError naming the option."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{option} takes name=value, got {text!r}")
    return key.strip(), value


def amount(text: str) -> float | str:
    """A budget as typed: a fraction where there is a point in it ("0.1"), else a count ("500") or a percentage ("10%")."""
    value, unit = read_budget(text, whole=False)
    return text.strip() if unit == "percentage" or isinstance(value, int) else value


def number(value: int | None) -> str:
    """A count, or `?` where it is not known."""
    return "?" if value is None else f"{value:,}"


def say(text: str, *, err: bool = False) -> None:
    """Print a line or more."""
    # Data may hold control characters: they must not drive the terminal.
    clean = "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)
    typer.echo(clean, err=err)


def print_table(header: list[str], rows: list[list[str]], least: int = 0) -> None:
    """Print a table; long cells are folded. Columns that could not be `least` characters wide are named instead."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [min(least, max(map(len, column))) + 2 for column in zip(header, *rows, strict=True)]
    room = max(1, sum(end <= console.width + 2 for end in accumulate(widths))) if least else len(header)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header[:room]:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        # Text, not markup: a caption with square brackets is a caption.
        table.add_row(*(Text("".join(c if c.isprintable() else " " for c in cell)) for cell in row[:room]))
    console.print(table)
    if room < len(header):
        say(
            f"{counted(len(header) - room, 'more column')}, for which there is no room: {', '.join(header[room:])}"
        )


def as_options(message: str) -> str:
    """A message that says to name columns, for who does it by options: `columns={"text": "body"}` is `--column text=body`."""

    def written(found: re.Match[str]) -> str:
        try:
            columns = json.loads(found[1])
        except ValueError:
            return found[0]
        return " ".join(f"--column {shlex.quote(f'{ours}={theirs}')}" for ours, theirs in columns.items())

    return re.sub(r"columns=(\{[^{}]*\})", written, message)
