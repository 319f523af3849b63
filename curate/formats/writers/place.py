"""Complete or absent: a folder is written beside its place under another name and renamed into it at the end.

Names beside `out` (all hidden, all gone after a finished export):

    .out.tmp-<digest>   the draft; its writer holds a lock on it, so one without a lock was left by a dead process
    .out.old            the export being replaced, between two renames; found later, it is put back or removed

The last steps are made under a lock on the parent folder, for a few milliseconds. File systems without `flock`
(some network shares) work too; there a left-over draft is not taken for dead, and the error says what to delete.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import blake3

from curate.durable import sync
from curate.errors import BusyError, InputError, RunError
from curate.formats.writers.draft import Draft

__all__ = ["drafting", "publish", "settle"]


def settle(out: Path) -> None:
    """Undo what a crash left: put a half-replaced export back, remove drafts of dead processes."""
    if not out.parent.is_dir():
        return
    with _locked(out.parent):
        _repair(out)
        _sweep(out)


@contextmanager
def drafting(out: Path, digest: str) -> Iterator[Draft]:
    """A draft folder for `out`, removed unless it was published.

    Raises BusyError if another process is writing the same export, RunError when the disk is full.
    """
    root = out.parent / f"{_stem(out)}.tmp-{digest[:16]}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _locked(out.parent):
            _repair(out)
            _sweep(out)
            if root.exists():
                raise BusyError(
                    f"{root} is there already: another process is writing this export. Wait for it; "
                    "if none is running, delete that folder"
                )
            root.mkdir()
            descriptor = os.open(root, os.O_RDONLY)
            _try_lock(descriptor)
    except OSError as error:
        raise _explain(error, out) from error
    try:
        yield Draft(root)
    except OSError as error:
        raise _explain(error, out) from error
    finally:
        shutil.rmtree(root, ignore_errors=True)
        os.close(descriptor)


def publish(draft: Draft, out: Path, *, replace: bool) -> None:
    """Make the draft durable and give it its name. `replace` moves an export that is there out of the way first."""
    draft.sync()
    with _locked(out.parent):
        old = _old(out)
        if replace and out.exists():
            os.rename(out, old)  # noqa: PTH104  (one call, as the crash tests count them)
        try:
            os.rename(draft.root, out)  # noqa: PTH104
        except OSError as error:
            if old.exists():
                os.rename(old, out)  # noqa: PTH104
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise InputError(
                    f"{out} appeared while the export was being written; it was left as it is"
                ) from error
            raise
        sync(out.parent)
        if old.exists():
            shutil.rmtree(old)
            sync(out.parent)


def _repair(out: Path) -> None:
    old = _old(out)
    if not old.exists():
        return
    if out.exists():
        shutil.rmtree(old)  # the new one is in place: only the tidying was missing
    else:
        os.rename(old, out)  # noqa: PTH104
    sync(out.parent)


def _sweep(out: Path) -> None:
    draft = re.compile(re.escape(f"{_stem(out)}.tmp-") + "[0-9a-f]{16}")
    for path in sorted(out.parent.iterdir()):
        if not draft.fullmatch(path.name) or not path.is_dir() or path.is_symlink():
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if _try_lock(descriptor):
                shutil.rmtree(path)
        finally:
            os.close(descriptor)


def _stem(out: Path) -> str:
    name = out.name
    return (
        f".{name}"
        if len(os.fsencode(name)) <= 200
        else f".{blake3.blake3(os.fsencode(name)).hexdigest(length=16)}"
    )


def _old(out: Path) -> Path:
    return out.parent / f"{_stem(out)}.old"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # no locks here: the renames are still atomic
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Whether nobody else held the lock; False too where the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _explain(error: OSError, out: Path) -> Exception:
    """The same failure in words a user can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"no space left on the disk of {out.parent} while exporting to {out}: nothing was left there"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return InputError(
            f"cannot write the export to {out}: {error.strerror} ({error.filename or out.parent})"
        )
    return error
