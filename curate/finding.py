"""`curate analyse` and `curate compare`: what is found out about all items together, told and written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from curate.console import amount, pair, parameters, print_table, say
from curate.errors import InputError, UnknownNameError

StorePath = Annotated[Path, typer.Argument(help="The store, e.g. pets.curate")]
Where = Annotated[str | None, typer.Option(help="Only items for which this holds")]
Within = Annotated[str | None, typer.Option(help="Only items of this selection")]


def analyse(
    store: StorePath,
    analysis: Annotated[str, typer.Argument(help="A registered analysis; see `curate list`")],
    with_: Annotated[
        list[str] | None, typer.Option("--with", "-w", help="A parameter: name=value. May be repeated.")
    ] = None,
    where: Where = None,
    within: Within = None,
    rows: Annotated[int, typer.Option(help="Rows of each table to show")] = 10,
) -> None:
    """Say something about all items together: label health, annotators, drift."""
    import curate
    from curate.show import finding_table

    with curate.open(store) as opened:
        found = opened.analyse(analysis, where=where, within=within, **parameters(with_))
        say(f"{found.name}: {found.summary}")
        for finding in found.findings:
            say(f"\n{'! ' if finding.serious else ''}{finding.title}\n{finding.text}")
            if finding.table is not None and rows:
                print_table(*finding_table(finding.table, rows))


def compare(
    store: StorePath,
    selectors: Annotated[
        list[str], typer.Argument(help="Registered selectors, or NAME=SELECTOR for a name of your own")
    ],
    budgets: Annotated[
        str, typer.Option(help="Counts, fractions or percentages, with commas between")
    ] = "1%,5%,10%,30%",
    embedding: Annotated[str, typer.Option(help="The vectors that the model sees")] = "pixel_embedding",
    label: Annotated[str, typer.Option(help="What the model learns")] = "label",
    test: Annotated[
        str | None, typer.Option(help="Items that measure; default: a quarter, others for each seed")
    ] = None,
    model: Annotated[str, typer.Option(help="logistic-regression or mlp")] = "logistic-regression",
    seeds: Annotated[int, typer.Option(help="Trainings of each selection, at least 2")] = 5,
    where: Where = None,
    within: Within = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", "-w", help="A selector's parameter: NAME.parameter=value. May be repeated."),
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(help="Write it: .svg, .html, .csv, .parquet or .json. May be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The first seed")] = 0,
) -> None:
    """Train the same small model on what each selector chooses, random and everything beside, over several seeds."""
    import curate
    from curate.compared import check_ending

    for path in out or ():
        check_ending(path)  # before the work, not after it
    asked = selectors_with(selectors, with_)
    listed = [amount(text) for text in budgets.split(",") if text.strip()]
    with curate.open(store, seed=seed) as opened:
        found = opened.compare(
            asked if any(asked.values()) else list(asked),  # as in Python: what was trained is found again
            budgets=listed,
            embedding=embedding,
            label=label,
            test=test,
            model=model,  # type: ignore[arg-type]
            seeds=seeds,
            where=where,
            within=within,
        )
        say(found.summary)
        print_table(*found.rows())
        for finding in found.findings:
            say(f"\n{finding.title}\n{finding.text}")
        for path in out or ():
            say(str(found.save(path)))


def selectors_with(names: Sequence[str], pairs: Iterable[str] | None) -> dict[str, dict[str, Any]]:
    """`NAME` or `NAME=SELECTOR` texts, and `NAME.parameter=value` texts, as `Store.compare` takes them.

    Raises InputError for a name that is there twice or a parameter of nobody, UnknownNameError for one of a name not asked.
    """
    asked: dict[str, dict[str, Any]] = {}
    for text in names:
        name, selector = pair(text, "a selector") if "=" in text else (text, "")
        if name in asked:
            raise InputError(f"{name!r} is there twice: give each a name of its own, as in near={name}")
        asked[name] = {"select": selector} if selector else {}
    for text in pairs or ():
        whole, value = pair(text, "--with")
        name, dot, parameter = whole.partition(".")
        if not dot:
            raise InputError(f"--with {text}: say whose parameter it is, as in {next(iter(asked))}.{text}")
        if name not in asked:
            raise UnknownNameError("selector of this comparison", name, asked)
        asked[name].update(parameters([f"{parameter}={value}"]))
    return asked
