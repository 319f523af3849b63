"""What a late step needs beside columns: a place to write to. Told before anything runs."""

from __future__ import annotations

from pathlib import Path

from curate.durable import check_writable
from curate.errors import InputError
from curate.formats.chats import check_chat
from curate.formats.export import check_media, check_target
from curate.kinds import KINDS
from curate.recipe.model import ExportStep

__all__ = ["check_export", "check_file"]


def check_export(step: ExportStep, target: Path, kind: str | None, earlier: ExportStep | None) -> None:
    """Raises InputError where an export cannot be written to `target`, whatever its rows. `kind` is theirs where it is known,
    `earlier` an export that will have been written there by then."""
    media = check_media(step.format, step.media, None if kind is None else KINDS[kind])
    if step.chat:
        check_chat(step.format, None if kind is None else KINDS[kind])
    if earlier is None:
        check_target(target, step.format, media, overwrite=step.overwrite)
    elif not step.overwrite and not _is_same(step, earlier):
        raise InputError(
            f"{target} will hold another export, which an earlier step writes there as {earlier.format}; pass "
            "overwrite: true to replace it, or choose another place"
        )
    check_writable(target)


def _is_same(step: ExportStep, other: ExportStep) -> bool:
    """Whether both may well write the same: the current set may be that selection."""
    media = [check_media(one.format, one.media) for one in (step, other)]
    chosen = {one.selection for one in (step, other) if one.selection}
    alike = (step.format, step.chat) == (other.format, other.chat)
    return alike and media[0] == media[1] and len(chosen) < 2


def check_file(target: Path) -> None:
    """Raises InputError where a file cannot be written to `target`."""
    if target.is_dir():
        raise InputError(f"{target} is a folder: name the file to write")
    check_writable(target)
