"""What a command says when Ctrl-C ends it: what is there by now, and what the same command would do."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from curate.console import say

__all__ = ["EARLY", "SAID", "Interruptible"]

EARLY = "nothing was begun"
"""What holds before a command is known."""

_GOES_ON = "what was committed is kept, the same command goes on from there"
_ALIKE = "nothing was changed, the same command starts afresh"
_WHOLE = "{} is there whole or not at all, the same command starts afresh"
_MADE = "scores made for it and committed are kept, " + _WHOLE

SAID = {
    "add": _GOES_ON,
    "analyse": _MADE.format("what was found"),
    "annotate gather": _WHOLE.format("the column"),
    "annotate pull": "answers that were recorded are kept, the same command fetches the others",
    "annotate push": "what was sent is noted, the same command sends what is missing",
    "annotate record": "answers are recorded all or none, the same command adds those that are missing",
    "annotate rounds": _WHOLE.format("what is settled"),
    "annotate status": _ALIKE,
    "annotate templates": _ALIKE,
    "attach": _WHOLE.format("the column"),
    "clone": "files that came whole are kept, the same command fetches the others",
    "compact": _GOES_ON,
    "compare": _MADE.format("the comparison"),
    "delete": "the items are deleted all or none, the same command deletes them",
    "demo": _GOES_ON,
    "explain": _ALIKE,
    "export": _WHOLE.format("an export"),
    "gc": "nothing that is needed was deleted, the same command deletes the rest",
    "keep": _WHOLE.format("the selection"),
    "list": _ALIKE,
    "plan": _ALIKE,
    "publish": "files that were uploaded stay, a version is published whole or not at all, the same command goes on from there",
    "report": _WHOLE.format("a report"),
    "run": _GOES_ON,
    "score": _GOES_ON,
    "select": _MADE.format("the selection"),
    "show": _ALIKE,
    "verify": "nothing was changed, the same command checks from the start",
}
"""By command, what holds whenever it was interrupted."""


class Interruptible(TyperGroup):
    """A group of commands of which each ends on Ctrl-C with its sentence and exit code 130, wherever it was."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Read what was typed in front of a command; the first time much is imported for it."""
        try:
            return super().make_context(*args, **more)
        except KeyboardInterrupt:
            raise _ended(EARLY) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _ended(SAID.get(_asked(ctx), EARLY)) from None


def _ended(said: str) -> typer.Exit:
    say(f"interrupted; {said}", err=True)
    return typer.Exit(130)


def _asked(ctx: Any) -> str:
    """The command's name as it is typed behind `curate`."""
    names = [ctx.invoked_subcommand or ""]
    while ctx.parent is not None:
        names.insert(0, ctx.info_name)
        ctx = ctx.parent
    return " ".join(names)
