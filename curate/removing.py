"""`curate delete`: items that have to go, by id or by an expression."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate.console import say
from curate.errors import InputError


def delete(
    store: Annotated[Path, typer.Argument(help="The store, e.g. pets.curate")],
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of the items")] = None,
    where: Annotated[str | None, typer.Option(help="In place of ids: all items for which this holds")] = None,
    listed: Annotated[
        Path | None, typer.Option("--ids", help="In place of ids: a file with one in each line")
    ] = None,
) -> None:
    """Take items out of the store; `compact` and `gc` then erase what they held."""
    import curate

    if ids and listed is not None:
        raise InputError("ids are given as arguments and by --ids: one of them is meant")
    named = ids or None
    if listed is not None:
        named = [line for line in listed.read_text(encoding="utf-8").splitlines() if line]
    with curate.open(store) as opened:
        done = opened.delete(named, where=where)
        say(str(done))
        if done.counts["deleted"]:
            say(
                "versions before still hold them. To erase them from the disk: "
                f"curate compact {store}; curate gc {store} --grace 0 --keep-versions 1"
            )
