"""`curate add`, `attach` and `export`: what comes into a store, and what goes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.console import as_options, pair, say
from curate.errors import InputError

if TYPE_CHECKING:
    from curate.api import Store
    from curate.run.ledger import StepRecord

StorePath = Annotated[Path, typer.Argument(help="The store, e.g. pets.curate")]


def add(
    store: StorePath,
    source: Annotated[str, typer.Argument(help="A file, glob, folder, tar or URL")],
    kind: Annotated[str, typer.Option(help="image-text, speech, label, instruction or preference")],
    column: Annotated[list[str] | None, typer.Option(help="ours=theirs; may be repeated")] = None,
    id: Annotated[str | None, typer.Option(help="Their column that identifies a row")] = None,
    format: Annotated[str | None, typer.Option(help="Where the file name does not tell")] = None,
    texts: Annotated[
        str | None, typer.Option(help="A metadata table, or the suffix of sidecar texts")
    ] = None,
    on_conflict: Annotated[str, typer.Option(help="skip, update or error")] = "skip",
    check: Annotated[str, typer.Option(help="decode, header or none")] = "decode",
    host: Annotated[
        list[str] | None, typer.Option(help="A host that media may be fetched from; may be repeated")
    ] = None,
    part_rows: Annotated[int, typer.Option(help="Rows in a part: the unit of work and of resume")] = 8192,
) -> None:
    """Import items; makes the store where there is none."""
    columns = dict(pair(text, "--column") for text in column or ())

    def step(opened: Store) -> StepRecord:
        return opened.add(
            source,
            kind=kind,
            columns=columns,
            id=id,
            format=format,
            texts=texts,
            on_conflict=on_conflict,  # type: ignore[arg-type]
            check=check,  # type: ignore[arg-type]
            hosts=host or (),
            part_rows=part_rows,
        )

    try:
        take_step(store, step, create=True)
    except InputError as error:
        raise InputError(as_options(str(error))) from error


def attach(
    store: StorePath,
    vectors: Annotated[Path, typer.Argument(help=".npy, .npz, Parquet or Arrow")],
    name: Annotated[str, typer.Option("--as", help="The column to make")],
    ids: Annotated[str | None, typer.Option(help="A file of ids, or 'rows' for the order of import")] = None,
    key: Annotated[str | None, typer.Option(help="The array in an .npz, or the column in a table")] = None,
) -> None:
    """Join vectors (predicted probabilities, embeddings) to items by id."""
    take_step(store, lambda opened: opened.attach(vectors, name=name, ids=ids, key=key))


def export(
    store: StorePath,
    out: Annotated[Path, typer.Argument(help="The folder to make")],
    format: Annotated[str, typer.Option(help="parquet, jsonl, csv, datasets or webdataset")] = "parquet",
    selection: Annotated[str | None, typer.Option(help="A selection; default: all items")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="A column to write, default: all; may be repeated")
    ] = None,
    media: Annotated[str | None, typer.Option(help="reference, copy or embed")] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Conversations in place of texts, as trainers read them")
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a different export of ours")] = False,
) -> None:
    """Write items as a data set with manifest, card and Croissant metadata."""
    take_step(
        store,
        lambda opened: opened.export(
            out.absolute(),
            format=format,
            selection=selection,
            columns=columns or (),
            media=media,
            chat=chat,
            overwrite=overwrite,
        ),
    )


def take_step(path: Path, step: Callable[[Store], StepRecord], *, create: bool = False) -> None:
    """Take one step in a store and say what came of it; of an interrupted one, what is there by now."""
    import curate

    with curate.open(path, create=create) as opened:
        try:
            say(str(step(opened)))
        except KeyboardInterrupt:
            for record in opened.steps[-1:]:
                say(str(record))
            raise
