"""Ctrl-C: every command ends with one honest sentence and exit code 130, and nobody reading ends them quietly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import curate
from curate.cli import app
from curate.interruption import EARLY, SAID

INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may have told us to ignore it
    "from curate.__main__ import main; main()"
)


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


def test_every_command_has_its_sentence() -> None:
    assert sorted(name for name, _ in commands(typer.main.get_command(app))) == sorted(SAID)


@pytest.mark.parametrize("name", SAID)
def test_every_command_ends_with_its_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    group: Any = typer.main.get_command(app)
    command = dict(commands(group))[name]
    needed = [p.opts[0] for p in command.params if p.required]
    arguments = [text for o in needed for text in ([o, "x"] if o.startswith("-") else ["x"])]

    def impatient(**given: Any) -> None:
        raise KeyboardInterrupt

    command.callback = impatient
    with pytest.raises(SystemExit) as ended:
        group.main([*name.split(), *arguments], prog_name="curate")
    assert ended.value.code == 130
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"interrupted; {SAID[name]}\n")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with curate.open(tmp_path / "s.curate", create=True) as made:
        made.add([{"id": n, "instruction": "say", "output": "hi"} for n in "abc"], kind="instruction")
    return tmp_path / "s.curate"


def test_a_real_signal_while_a_command_waits(store: Path, tmp_path: Path) -> None:
    """It waits for ids from a pipe into which nobody has written yet."""
    pipe = tmp_path / "ids"
    os.mkfifo(pipe)
    victim = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "delete", str(store), "--ids", str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with pipe.open("w"):  # is opened when the other side opens it, and held open: the command goes on waiting
        victim.send_signal(signal.SIGINT)
        out, err = victim.communicate(timeout=60)
    assert (victim.returncode, out, err) == (130, "", f"interrupted; {SAID['delete']}\n")
    with curate.open(store) as opened:
        assert len(opened) == 3


def test_an_interrupted_selection_is_not_there(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where DuckDB notices first: its word for Ctrl-C is an error of its own."""
    from curate.store.engine import Engine

    def interrupted(self: Engine) -> None:
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr(Engine, "connect", interrupted)
    with pytest.raises(SystemExit) as ended:
        app(["keep", str(store), "length(output) > 1", "--as", "long"])
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"interrupted; {SAID['keep']}"
    monkeypatch.undo()
    with curate.open(store) as opened:
        assert list(opened.selections) == []


def test_ctrl_c_while_it_starts_is_told_in_a_sentence() -> None:
    """Where the command line itself is still being imported."""
    early = (
        "import sys\n"
        "class Impatient:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from curate.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", early], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted; nothing was begun\n")


def test_ctrl_c_while_what_was_typed_is_read_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    group: Any = typer.main.get_command(app)

    def impatient(*given: Any) -> None:
        raise KeyboardInterrupt

    group.parse_args = impatient
    with pytest.raises(SystemExit) as ended:
        group.main(["list"], prog_name="curate")
    assert (ended.value.code, capsys.readouterr().err) == (130, f"interrupted; {EARLY}\n")


@pytest.mark.parametrize(
    "command", [["show"], ["show", "columns"], ["explain", "a"], ["verify"]], ids=" ".join
)
def test_a_reader_that_went_away_ends_it_quietly(store: Path, command: list[str]) -> None:
    """As in `curate show s | head -1`, where head is done at once."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "curate", command[0], str(store), *command[1:]],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
