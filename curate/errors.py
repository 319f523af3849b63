"""Every exception that curate raises on purpose, in one tree.

    CurateError
    ├── InputError                what was asked for, or handed in, is wrong (also a ValueError)
    │   ├── SchemaError           columns are missing, of the wrong type, or clash
    │   ├── ExpressionError       a `keep`/`where` expression is not a plain predicate over columns
    │   ├── RecipeError           a recipe cannot be read
    │   └── UnknownNameError      no such scorer, selector, column, selection, step ...; names what exists
    ├── MissingExtraError         an optional package is not installed; names the extra (also an ImportError)
    ├── MissingModelError         the weights of a model are neither here nor to be fetched
    ├── MediaError                an image or a sound cannot be opened safely; carries a short `code`
    ├── StoreError                the store on disk
    │   ├── StoreNotFoundError    there is no store there
    │   ├── StoreFormatError      written by another version, or not a store
    │   ├── ConflictError         another process changed what this commit replaces; run again
    │   ├── BusyError             another process holds the lock longer than we wait
    │   └── CorruptionError       bytes on disk are not what was committed
    ├── AnnotatorError            the annotators' tool cannot be reached, refuses, or is not as it was left
    └── RunError                  a run ended without doing all it was asked

Messages say what happened, the offending value, what exists, and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AnnotatorError",
    "BusyError",
    "ConflictError",
    "CorruptionError",
    "CurateError",
    "ExpressionError",
    "InputError",
    "MediaError",
    "MissingExtraError",
    "MissingModelError",
    "RecipeError",
    "RunError",
    "SchemaError",
    "StoreError",
    "StoreFormatError",
    "StoreNotFoundError",
    "UnknownNameError",
    "check_installed",
    "require",
]


class CurateError(Exception):
    """Base of all: catch this to catch everything curate raises on purpose."""


class InputError(CurateError, ValueError):
    """What was asked for, or handed in, is wrong."""


class SchemaError(InputError):
    """Columns are missing, of the wrong type, or clash."""


class ExpressionError(InputError):
    """A `keep` or `where` expression is not a plain predicate over columns."""


class RecipeError(InputError):
    """A recipe cannot be read."""


class UnknownNameError(InputError):
    """A name that nothing bears; the message lists what exists and the nearest."""

    def __init__(self, what: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.what, self.name, self.known = what, name, sorted(known)
        near = difflib.get_close_matches(str(name), self.known, n=1, cutoff=0.5)  # None is a name, too
        did_you_mean = f" Did you mean {near[0]!r}?" if near else ""
        exists = ", ".join(self.known) if self.known else "none"
        super().__init__(
            f"unknown {what} {name!r}.{did_you_mean} Known: {exists}.{' ' + hint if hint else ''}"
        )


class MissingExtraError(CurateError, ImportError):
    """An optional package is not installed."""


class MissingModelError(CurateError):
    """The weights of a model are neither on this machine nor to be fetched; says how to give them by path."""


class MediaError(CurateError):
    """An image or a sound cannot be opened safely. `code` is a short, countable reason."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str]]:
        # The default would call __init__ with the message alone: such an error could not leave a worker.
        return type(self), (self.code, str(self))


class StoreError(CurateError):
    """The store on disk."""


class StoreNotFoundError(StoreError):
    """There is no store there."""


class StoreFormatError(StoreError):
    """Written by another version of the format, or not a store at all."""


class ConflictError(StoreError):
    """Another process changed what this commit replaces. Nothing was written; run again."""


class BusyError(StoreError):
    """Another process holds the catalog's lock for longer than we wait."""


class CorruptionError(StoreError):
    """Bytes on disk are not the bytes that were committed."""


class AnnotatorError(CurateError):
    """The tool of the annotators cannot be reached, refuses what is asked, or is not as it was left."""


class RunError(CurateError):
    """A run ended without doing all it was asked."""


def require(module: str, extra: str) -> object:
    """Import an optional module, or say which extra brings it.

    Raises MissingExtraError naming the extra. A module that is installed but broken raises its own error.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing != module.partition(".")[0]:
            raise  # something else is missing inside an installed package: do not hide it
        raise _not_installed(module, extra) from error


def check_installed(module: str, extra: str) -> None:
    """Raises MissingExtraError where `require` surely would, without importing anything."""
    from importlib.util import find_spec

    if find_spec(module.partition(".")[0]) is None:
        raise _not_installed(module, extra)


def _not_installed(module: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"{module!r} is not installed. It comes with an extra: pip install 'curate[{extra}]'"
    )
