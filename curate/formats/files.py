"""Small files of text, read whole: what readers of published data sets share."""

from __future__ import annotations

import os
from pathlib import Path

from curate.errors import InputError

__all__ = ["read_text"]


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file, ends of lines as they are. Raises InputError where it cannot be read or is not UTF-8."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}") from error
