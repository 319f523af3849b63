"""The checkpoint of a training under way: written whole or not at all, and of one run only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from curate.durable import publish
from curate.errors import InputError, require

__all__ = ["read_state", "write_state"]

_FORMAT = "curate-fga-training-1"


def write_state(file: Path, identity: str, state: dict[str, Any]) -> None:
    """Replace a checkpoint: whoever reads finds the old one or the new one, also after a power cut."""
    torch: Any = require("torch", "train")
    draft = file.with_name(file.name + f".{os.getpid()}.tmp")
    try:
        with draft.open("wb") as out:
            torch.save({"format": _FORMAT, "identity": identity, **state}, out)
        publish(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def read_state(file: Path, identity: str) -> dict[str, Any]:
    """The state in a checkpoint of this very run. No code in it is run.

    Raises InputError for a file that is none, or of a run with other ratings, settings or starting weights.
    """
    torch: Any = require("torch", "train")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise almost anything
        raise InputError(
            f"{file} is no checkpoint of a training: {str(error).partition(chr(10))[0][:200]}"
        ) from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise InputError(f"{file} is no checkpoint of a training that curate wrote")
    if state["identity"] != identity:
        raise InputError(
            f"{file} is the checkpoint of a run with other ratings, settings or starting weights: give another file, or "
            "move this one away to begin anew"
        )
    return state
