"""`curate annotate ...`: send items to people, fetch their answers, see how the rounds stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from curate.console import pair, parameters, print_table, say
from curate.durable import write_whole
from curate.interruption import Interruptible

app = typer.Typer(
    cls=Interruptible,
    no_args_is_help=True,
    help="Send items to people, fetch every answer, see how the rounds stand.",
)

StorePath = Annotated[Path, typer.Argument(help="The store, e.g. pets.curate")]
Name = Annotated[str, typer.Argument(help="A registered annotator, e.g. label-studio; see `curate list`")]
With = Annotated[
    list[str] | None,
    typer.Option("--with", "-w", help="A parameter of the annotator: name=value. May be repeated."),
]


@app.command()
def push(
    store: StorePath,
    annotator: Name,
    template: Annotated[str, typer.Option(help="What is asked; see `curate annotate templates`")],
    when: Annotated[str | None, typer.Option(help="Only items for which this holds")] = None,
    selection: Annotated[str | None, typer.Option(help="Only items of this selection")] = None,
    ids: Annotated[Path | None, typer.Option(help="Only items of this file: an id a line")] = None,
    round: Annotated[int, typer.Option(help="Which round, from 1")] = 1,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="Of the template: name=value. May be repeated.")
    ] = None,
    guess: Annotated[
        list[str] | None, typer.Option(help="A pre-annotation: control=column. May be repeated.")
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            help="Which scores mean the lowest and the highest rating: control=[0, 1]. May be repeated."
        ),
    ] = None,
    model_version: Annotated[str, typer.Option(help="What made the pre-annotations")] = "columns",
    score: Annotated[str, typer.Option(help="The column that says how sure they are")] = "",
    dry_run: Annotated[bool, typer.Option(help="Only say what would be sent")] = False,
    with_: With = None,
) -> None:
    """Send each item that was not sent in this round; again, after whatever went wrong: what is missing."""
    import curate
    from curate import registry

    asked: dict[str, Any] = {
        "template": template,
        "params": dict(parameters(param, "--param")),
        "round": round,
    }
    if guess:
        columns = {control: str(column) for control, column in parameters(guess, "--guess").items()}
        scales = dict(parameters(scale, "--scale"))
        asked["guesses"] = {
            "columns": columns,
            "model_version": model_version,
            "score": score,
            "scales": scales,
        }
    made = registry.build("annotators", annotator, parameters(with_))
    listed = ids.read_text(encoding="utf-8").split("\n") if ids else None
    chosen = [line.rstrip("\r") for line in listed if line.strip()] if listed is not None else None
    with curate.open(store) as opened:
        receipt = made.push(opened, where=when, within=selection, ids=chosen, dry_run=dry_run, **asked)
        say(f"{'would be: ' if dry_run else ''}{receipt}")
        if receipt.get("place"):
            say(str(receipt["place"]))


@app.command()
def pull(
    store: StorePath,
    annotator: Name,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C: fetch answers as they are given")] = False,
    with_: With = None,
) -> None:
    """Fetch every answer that the store does not hold yet."""
    import curate
    from curate import registry
    from curate.errors import InputError

    made = registry.build("annotators", annotator, parameters(with_))
    with curate.open(store) as opened:
        if not follow:
            say(str(made.pull(opened)))
        elif hasattr(made, "follow"):
            made.follow(opened, told=lambda receipt: say(str(receipt)))
        else:
            raise InputError(f"{annotator!r} cannot be followed: pull now and then")


@app.command()
def record(
    store: StorePath,
    answers: Annotated[Path, typer.Argument(help="A .csv, .tsv, .parquet or .jsonl file, an answer a row")],
    column: Annotated[
        list[str] | None,
        typer.Option(help="ours=theirs, e.g. item=question; ours: item, annotator, value, time, ..."),
    ] = None,
    control: Annotated[str, typer.Option(help="The question, where no column says it")] = "label",
    source: Annotated[str, typer.Option(help="Where the answers come from")] = "table",
) -> None:
    """Record answers that were given elsewhere; those that are there already are not added again."""
    import curate

    columns = dict(pair(text, "--column") for text in column or ())
    with curate.open(store) as opened:
        done = opened.record_answers(answers, columns=columns, control=control, source=source)
        say(f"{done['new']:,} new, {done['present']:,} present")


@app.command()
def gather(
    store: StorePath,
    control: Annotated[str | None, typer.Option(help="The question, where there are several")] = None,
    name: Annotated[str, typer.Option("--as", help="The column to make")] = "answers",
) -> None:
    """Bring recorded answers to the items, as the column that `consensus` and `annotators` read."""
    import curate

    with curate.open(store) as opened:
        say(str(opened.gather_answers(control=control, name=name)))


@app.command()
def status(store: StorePath, annotator: Name, with_: With = None) -> None:
    """Say where each round stands: tasks, answers, people."""
    import curate
    from curate import registry

    made = registry.build("annotators", annotator, parameters(with_))
    with curate.open(store) as opened:
        rows = [dict(row) for row in made.status(opened)]
    for row in rows:  # a table would not fit a terminal
        told = (
            f"{name.replace('_', ' ')} {_cell(value)}" for name, value in row.items() if value is not None
        )
        say(", ".join(told))
    if not rows:
        say("nothing was pushed yet")


@app.command()
def rounds(
    store: StorePath,
    control: Annotated[str, typer.Option(help="The question, e.g. overall or element_*")],
    settle: Annotated[str | None, typer.Option(help="Write what is decided as a column of this name")] = None,
    again: Annotated[
        Path | None, typer.Option(help="Write the ids of the next round into this file, for `push --ids`")
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", "-w", help="A rule or a number: spread=2, agreement=0.8, first=3, most=2"),
    ] = None,
) -> None:
    """Say what people agree on, what has to be asked again, and what it cost; `--settle` writes the consensus."""
    import curate
    from curate import registry

    plan = registry.tool("rounds")({"control": control, **parameters(with_)})
    with curate.open(store) as opened:
        status = plan.judge(opened.answers)
        say(str(status))
        if again:
            _write_ids(again, status.next())
        if settle:
            say(str(plan.settle(opened, settle)))


def _write_ids(path: Path, open_: Mapping[int, list[str]]) -> None:
    """The ids of the earliest round that is to be pushed, a line each."""
    round, ids = min(open_.items(), default=(0, []))
    write_whole(path, "".join(f"{id}\n" for id in ids))
    if ids:
        say(f"push them: --ids {path} --round {round}")


@app.command()
def templates() -> None:
    """List what can be asked."""
    from curate import registry

    rows: list[tuple[str, str, str]] = registry.tool("templates")()
    print_table(["template", "kinds", ""], [list(row) for row in rows])


def _cell(value: Any) -> str:
    return (
        f"{value:.0%}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
