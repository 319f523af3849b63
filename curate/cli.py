"""The command line: thin commands over the same steps as a recipe's. Nothing heavy is imported before it is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import asking, finding, moving, removing
from curate.console import (
    Version,
    amount,
    log_progress,
    number,
    parameters,
    print_table,
    say,
    tell_end,
)
from curate.counting import counted
from curate.errors import CurateError
from curate.interruption import Interruptible

if TYPE_CHECKING:
    from curate.api import Store
    from curate.store import PartStore

app = typer.Typer(
    name="curate",
    cls=Interruptible,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(asking.app, name="annotate")

StorePath = Annotated[Path, typer.Argument(help="The store, e.g. pets.curate")]
With = Annotated[
    list[str] | None, typer.Option("--with", "-w", help="A parameter: name=value. May be repeated.")
]


def main() -> None:
    """Run the command line: exit code 0 done, 1 could not be done, 2 wrong usage, 130 interrupted."""
    log_progress()
    try:
        app()
    except (CurateError, OSError) as error:  # a folder that cannot be written is no fault of ours
        say(f"curate: {error}", err=True)
        sys.exit(1)


@app.callback()
def _every(version: Version = False) -> None:
    """Decide what a model is trained on: one store, many scores, a selection, and the reason for every item."""


# --- Recipes ----------------------------------------------------------------------------------------------------


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file")],
    set: Annotated[
        list[str] | None, typer.Option("--set", help="Override: key=value, e.g. steps.3.budget=5%")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; default: one per core")] = None,
    on: Annotated[
        str,
        typer.Option(help="Where: local; ray (a cluster of its own); auto, ray://host:10001 or host:6379"),
    ] = "local",
    gpus: Annotated[float, typer.Option(help="GPUs for each Ray worker, such as 1 or 0.5")] = 0.0,
    through: Annotated[
        str | None,
        typer.Option(help="Where the store is published (s3://...), for machines that do not see its folder"),
    ] = None,
) -> None:
    """Run a recipe; what was done before is not done again."""
    from curate.recipe import read_recipe
    from curate.run.checking import check_steps
    from curate.run.engine import begin, execute
    from curate.run.runner import choose_runner
    from curate.store.places import open_shared

    runner = choose_runner(on, workers, gpus)
    loaded = read_recipe(recipe, set or ())
    base = recipe.parent.absolute()
    if through is None and not (base / loaded.store).exists():  # a recipe that is refused makes no store
        with _as_it_is(base / loaded.store) as there:
            check_steps(there, loaded.steps, base, elsewhere=runner.elsewhere)
    with open_shared(base / loaded.store, through) as store:
        context = begin(
            store, recipe=loaded.plain(), seed=loaded.seed, base=base, runner=runner, through=through
        )
        try:
            done = execute(context, loaded.steps)
        finally:
            for step in context.run.steps:
                say(str(step))
        tell_end(done, base / loaded.store)


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file")],
    set: Annotated[list[str] | None, typer.Option("--set", help="Override: key=value")] = None,
    sample: Annotated[
        int, typer.Option(help="Score so many rows of each step to say what the rest takes")
    ] = 0,
    workers: Annotated[int | None, typer.Option(help="Workers to plan for; default: one per core")] = None,
) -> None:
    """Say what a recipe would do: what is already there, what is to do, rows expected. Changes nothing."""
    from curate.recipe import read_recipe
    from curate.run.plan import plan as make_plan

    loaded = read_recipe(recipe, set or ())
    base = recipe.parent.absolute()
    with _as_it_is(base / loaded.store) as store:
        planned = make_plan(store, loaded.steps, base=base, seed=loaded.seed, sample=sample, workers=workers)
    rows = [[p.state, p.title, number(p.rows), number(p.todo), p.note] for p in planned]
    print_table(["state", "step", "rows", "to do", ""], rows)


@contextmanager
def _as_it_is(path: Path) -> Iterator[PartStore]:
    """The store at a path, or, where there is none, an empty one that is gone afterwards."""
    import tempfile

    from curate.store import PartStore

    with (
        tempfile.TemporaryDirectory() as empty,
        PartStore.open(path) if path.exists() else PartStore.create(Path(empty) / "none") as store,
    ):
        yield store


# --- Steps ------------------------------------------------------------------------------------------------------


app.command()(moving.add)
app.command()(moving.attach)


@app.command()
def score(
    store: StorePath,
    scorer: Annotated[str, typer.Argument(help="A registered scorer; see `curate list`")],
    with_: With = None,
    name: Annotated[str | None, typer.Option("--as", help="Another name for its columns")] = None,
    where: Annotated[str | None, typer.Option(help="Only items for which this holds")] = None,
) -> None:
    """Score items that have no score yet."""
    moving.take_step(store, lambda opened: opened.score(scorer, name=name, where=where, **parameters(with_)))


@app.command()
def keep(
    store: StorePath,
    expression: Annotated[str, typer.Argument(help="A predicate over columns, e.g. 'clip_score > 0.2'")],
    name: Annotated[str | None, typer.Option("--as", help="The selection's name")] = None,
    within: Annotated[str | None, typer.Option(help="Only items of this selection")] = None,
) -> None:
    """Store the items for which an expression holds as a selection."""
    with _open(store) as opened:
        kept = opened.keep(expression, name=name, within=within)
        say(f"{kept.name}: {len(kept):,} of {counted(len(opened), 'item')}")


@app.command()
def select(
    store: StorePath,
    selector: Annotated[str, typer.Argument(help="A registered selector; see `curate list`")],
    budget: Annotated[str | None, typer.Option(help="A count (500), a fraction (0.1) or '10%'")] = None,
    with_: With = None,
    name: Annotated[str | None, typer.Option("--as", help="The selection's name")] = None,
    where: Annotated[str | None, typer.Option(help="Only items for which this holds")] = None,
    within: Annotated[str | None, typer.Option(help="Only items of this selection")] = None,
    after: Annotated[str | None, typer.Option(help="A selection to continue: its items come first")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random generator")] = 0,
) -> None:
    """Choose items by a selector and store the selection under a name."""
    import curate

    with curate.open(store, seed=seed) as opened:
        chosen = opened.select(
            selector,
            budget=None if budget is None else amount(budget),
            name=name,
            where=where,
            within=within,
            after=after,
            **parameters(with_),
        )
        say(f"{chosen.name}: {len(chosen):,} of {counted(len(opened), 'item')}")


for command in (finding.analyse, finding.compare, removing.delete, moving.export):
    app.command()(command)


# --- Looking ----------------------------------------------------------------------------------------------------


@app.command()
def report(
    store: StorePath,
    out: Annotated[Path, typer.Argument(help="The HTML file to write")] = Path("report.html"),
    selection: Annotated[str | None, typer.Option(help="Show this selection as kept")] = None,
    map_of: Annotated[
        str | None, typer.Option(help="The column of vectors that the map of items shows")
    ] = None,
    map_by: Annotated[str, typer.Option(help="How the map is laid out: pca or t-sne")] = "pca",
) -> None:
    """Write the report: one HTML file that needs neither network nor server."""
    with _open(store) as opened:
        say(str(opened.report(out, selection=selection, map_of=map_of, map_by=map_by)))  # type: ignore[arg-type]


@app.command()
def show(
    store: StorePath,
    what: Annotated[
        str, typer.Argument(help="items, columns, selections, runs, history, rejected, failed or answers")
    ] = "items",
    where: Annotated[str | None, typer.Option(help="Only items (or answers) for which this holds")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="A column of items to show, default: all; may be repeated")
    ] = None,
    scorer: Annotated[str | None, typer.Option(help="With `failed`: the scorer")] = None,
    limit: Annotated[int, typer.Option(help="Rows to show")] = 20,
) -> None:
    """Show what a store holds."""
    from curate.show import tables
    from curate.store.compaction import hint

    with _open(store) as opened:
        say(repr(opened))
        if tip := hint(opened.parts.snapshot()):
            say(tip)
        for header, rows in tables(
            opened, what, where=where, scorer=scorer, limit=limit, named=columns or ()
        ):
            print_table(header, rows, least=10)


@app.command()
def explain(store: StorePath, id: Annotated[str, typer.Argument(help="The item's id")]) -> None:
    """Say why an item is where it is: scores, and which step decided what, with values."""
    with _open(store) as opened:
        say(str(opened.explain(id)))


@app.command("list")
def list_() -> None:
    """List scorers, selectors, annotators and analyses."""
    from curate import registry

    for group in registry.GROUPS:
        rows = [[name, registry.about(group, name)] for name in registry.names(group)]
        print_table([group, ""], rows or [["none installed", ""]])


@app.command()
def verify(path: Annotated[Path, typer.Argument(help="A store, or an export")]) -> None:
    """Re-read everything and compare it with what was committed. Exit code 1 if anything is damaged."""
    from curate.formats.manifest import check_export

    if (path / "manifest.json").exists() and not (path / "STORE.json").exists():
        problems = check_export(path)
    else:
        with _open(path) as opened:
            problems = [str(problem) for problem in opened.verify()]
    for problem in problems:
        say(problem, err=True)
    say("all well" if not problems else counted(len(problems), "problem"))
    if problems:
        raise typer.Exit(1)


@app.command()
def gc(
    store: StorePath,
    grace: Annotated[float, typer.Option(help="Seconds that an unneeded file is kept")] = 86400.0,
    keep_versions: Annotated[int, typer.Option(help="Newest versions that stay readable")] = 20,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be deleted")] = False,
) -> None:
    """Delete files that no kept version, tag or running process needs."""
    with _open(store) as opened:
        say(str(opened.gc(grace_seconds=grace, keep_versions=keep_versions, dry_run=dry_run)))


@app.command()
def compact(
    store: StorePath,
    part_rows: Annotated[int, typer.Option(help="Rows of a merged part, at most")] = 8192,
    alongside: Annotated[bool, typer.Option(help="Even while other processes write")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be merged")] = False,
) -> None:
    """Merge small parts, and leave out the content of deleted items; then `gc` frees the space."""
    with _open(store) as opened:
        say(str(opened.compact(part_rows=part_rows, alongside=alongside, dry_run=dry_run)))


@app.command()
def publish(
    store: StorePath,
    url: Annotated[str, typer.Argument(help="A folder, s3://, gs://, az:// or fsspec address")],
) -> None:
    """Upload what is new of a store, so that others can clone it; credentials come from the environment."""
    with _open(store) as opened:
        say(str(opened.publish(url)))


@app.command()
def clone(
    url: Annotated[str, typer.Argument(help="Where a store was published")],
    path: Annotated[Path, typer.Argument(help="The store to make, or to bring up to date")],
) -> None:
    """Make a store of what was published, or fetch what is new of it; every file is checked."""
    from curate.store import PartStore

    opened, report = PartStore.clone(url, path)
    opened.close()
    say(str(report))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for images, store, export and report")] = Path("demo"),
) -> None:
    """Run the main job on 1,797 scanned digits with 5 % of the labels flipped, and say what was found."""
    from curate.demo import run_demo

    run_demo(out, say)


# --- Inside ---------------------------------------------------------------------------------------------------------


def _open(path: Path) -> Store:
    import curate

    return curate.open(path)
