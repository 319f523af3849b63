"""Frames of any kind as Polars, with errors that name what is wrong in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.arrays.conversion import as_array
from curate.counting import counted
from curate.errors import InputError, SchemaError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["check_key", "mixed_types", "read_frame", "shown"]

NEEDED = ("item", "annotator", "value")
KNOWN = (*NEEDED, "time", "created_at", "round", "seconds", "touched", "skipped", "control")
"""The columns that are looked at; others may hold anything."""


def read_frame(frame: Any, needed: Sequence[str] = NEEDED, known: Sequence[str] = KNOWN) -> pl.DataFrame:
    """The known columns of a pandas, Polars or Arrow frame, or of a mapping of columns, as Polars.

    Raises SchemaError where a needed column is missing, or one mixes types; it names the first rows of each type.
    """
    import polars as pl

    if hasattr(frame, "collect") and not hasattr(frame, "height"):
        frame = frame.collect()  # a lazy frame
    if not hasattr(frame, "columns") and hasattr(frame, "to_arrow"):
        frame = frame.to_arrow()
    names = _names(frame)
    missing = [name for name in needed if name not in names]
    if missing:
        raise SchemaError(
            f"no column {', '.join(map(repr, missing))}: there is {', '.join(map(repr, names)) or 'none'}; "
            f"{', '.join(map(repr, needed))} are needed"
        )
    columns = {name: _column(frame, name) for name in known if name in names}
    lengths = {len(c) for c in columns.values()}
    if len(lengths) > 1:
        raise SchemaError(f"columns of different length: { {n: len(c) for n, c in columns.items()} }")
    return pl.DataFrame(columns)


def _names(frame: Any) -> list[str]:
    if isinstance(frame, Mapping):
        return [str(name) for name in frame]
    if hasattr(frame, "column_names"):
        return list(frame.column_names)  # an Arrow table
    if hasattr(frame, "schema") and hasattr(frame, "to_pydict"):
        return list(frame.schema.names)  # a record batch
    if hasattr(frame, "columns"):
        return [str(name) for name in frame.columns]
    raise SchemaError(
        f"a {type(frame).__name__} is no frame: give a pandas, Polars or Arrow frame, or a mapping of columns"
    )


def _column(frame: Any, name: str) -> pl.Series:
    import polars as pl

    is_view = hasattr(frame, "to_arrow") and not hasattr(frame, "iloc") and not hasattr(frame, "height")
    if is_view and not isinstance(frame, Mapping):
        frame = frame.to_arrow([name])  # rows of a store
    values = frame[name] if not hasattr(frame, "column") else frame.column(name)
    try:
        if isinstance(values, pl.Series):
            series = values
        elif hasattr(values, "iloc"):
            series = pl.from_pandas(values.reset_index(drop=True))
        elif hasattr(values, "detach"):
            series = pl.Series(name, as_array(values, f"column {name!r}"))
        elif hasattr(values, "null_count") or hasattr(values, "__array__"):
            series = pl.Series(name, values)  # Arrow or NumPy
        else:
            series = pl.Series(name, list(values), strict=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise SchemaError(f"column {name!r} mixes types: {mixed_types(list(values))}") from error
    except Exception as error:  # Arrow's own errors, of a package we do not import for this
        if type(error).__module__.partition(".")[0] != "pyarrow":
            raise
        raise SchemaError(f"column {name!r} mixes types: {mixed_types(list(values))}") from error
    if series.dtype == pl.Object:
        raise SchemaError(f"column {name!r} mixes types: {mixed_types(series.to_list())}")
    return series.alias(name)


def mixed_types(values: Sequence[Any]) -> str:
    """Which types there are and the first row of each, for a message."""
    first: dict[str, tuple[int, Any]] = {}
    for row, value in enumerate(values):
        if value is not None and value == value:
            first.setdefault(type(value).__name__, (row, value))
    return ", ".join(f"{name} (row {row}: {value!r})" for name, (row, value) in sorted(first.items()))


def check_key(frame: pl.DataFrame, name: str) -> None:
    """Raises InputError naming rows where this column is null."""
    null = frame[name].is_null()
    if frame[name].dtype.is_float():
        null |= frame[name].is_nan().fill_null(True)
    if null.any():
        rows = null.arg_true().head(5).to_list()
        raise InputError(
            f"{counted(int(null.sum()), 'answer has', 'answers have')} no {name}, in rows {rows}: an answer needs one"
        )


def shown(values: pl.Series, limit: int = 5) -> str:
    """The first of these values, and how many more, for a message."""
    head = ", ".join(repr(v) for v in values.head(limit).to_list())
    more = len(values) - limit
    return head if more <= 0 else f"{head} and {more} more"
