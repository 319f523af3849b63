"""The command line: every command documented, quick to start, clear when it refuses, safe for the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate import __version__
from curate.cli import app
from curate.console import as_options

RUN = [sys.executable, "-m", "curate"]


def curate(*args: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *args], capture_output=True, text=True, cwd=cwd, timeout=120)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "a", "instruction": "say hi", "output": "hi there friend"}\n'
        '{"id": "b", "instruction": "say [red]x[/x] \\u001b[31m", "output": "bye now friend"}\n'
        '{"id": "c", "instruction": "q", "output": null}\n'
    )
    return tmp_path


def test_every_command_and_option_has_help():
    runner = CliRunner()
    import typer

    group = typer.main.get_command(app)
    assert {
        "run",
        "plan",
        "add",
        "score",
        "keep",
        "select",
        "annotate",
        "export",
        "report",
        "show",
        "explain",
        "analyse",
        "compare",
    } <= set(group.commands)
    asking = group.commands["annotate"].commands
    assert set(asking) == {"push", "pull", "record", "gather", "status", "rounds", "templates"}
    for name, command in [*group.commands.items(), *((f"annotate {n}", c) for n, c in asking.items())]:
        assert command.help, name
        assert runner.invoke(app, [*name.split(), "--help"]).exit_code == 0
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_step_by_step(folder):
    assert "added 2" in curate("add", "s.curate", "rows.jsonl", "--kind", "instruction", cwd=folder).stdout
    assert "scored 2" in curate("score", "s.curate", "text-basics", cwd=folder).stdout
    assert "long: 1 of 2" in curate("keep", "s.curate", "text_words > 5", "--as", "long", cwd=folder).stdout
    assert (
        "one: 1 of 2"
        in curate("select", "s.curate", "random", "--budget", "1", "--as", "one", cwd=folder).stdout
    )
    assert (
        "rows 1"
        in curate("export", "s.curate", "out", "--format", "jsonl", "--selection", "one", cwd=folder).stdout
    )
    assert curate("verify", "s.curate", cwd=folder).stdout.strip() == "all well"
    assert curate("verify", "out", cwd=folder).stdout.strip() == "all well"
    assert "missing-output" in curate("show", "s.curate", "rejected", cwd=folder).stdout
    report = curate("report", "s.curate", "r.html", cwd=folder)
    assert report.returncode == 0
    assert (folder / "r.html").exists()
    for what in ("items", "columns", "selections", "runs", "history"):
        shown = curate("show", "s.curate", what, cwd=folder)
        assert shown.returncode == 0, shown.stderr
        assert "\x1b[31m" not in shown.stdout, "what is in the data must not drive the terminal"
    assert "text_words > 5" in curate("explain", "s.curate", "a", cwd=folder).stdout
    assert curate("gc", "s.curate", "--grace", "0", cwd=folder).returncode == 0
    assert curate("verify", "s.curate", cwd=folder).stdout.strip() == "all well"


def test_a_damaged_export_is_told_with_exit_code_1(folder):
    curate("add", "s.curate", "rows.jsonl", "--kind", "instruction", cwd=folder)
    curate("export", "s.curate", "out", "--format", "jsonl", cwd=folder)
    data = next((folder / "out").rglob("*.jsonl"))
    data.write_text(data.read_text().replace("friend", "fiend"))
    told = curate("verify", "out", cwd=folder)
    assert told.returncode == 1
    assert data.name in told.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "nothing.yaml"], "there is no recipe"),
        (["score", "none.curate", "text-basics"], "no store at"),
        (["add", "s.curate", "rows.jsonl", "--kind", "instructions"], "Did you mean 'instruction'"),
        (["add", "s.curate", "gone.jsonl", "--kind", "instruction"], "gone.jsonl"),
        (["add", "s.curate", "rows.jsonl", "--kind", "instruction", "--column", "x"], "name=value"),
    ],
)
def test_refusals_are_one_clear_line_and_exit_code_1(folder, args, said):
    done = curate(*args, cwd=folder)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_list_names_every_scorer_with_a_sentence_and_imports_none():
    code = (
        "import sys; from typer.testing import CliRunner; from curate.cli import app\n"
        "out = CliRunner().invoke(app, ['list']); print(out.output)\n"
        "from curate.registry import SCORERS\n"
        "loaded = {t.partition(':')[0] for t in SCORERS.values()} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in ("confident-learning", "near-duplicate", "stratified"):
        assert name in done.stdout


def test_plan_needs_no_store_and_makes_none(folder):
    (folder / "r.yaml").write_text(
        "store: new.curate\nsteps:\n  - import: rows.jsonl\n    kind: instruction\n  - score: text-basics\n"
    )
    done = curate("plan", "r.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("to do") >= 2
    assert not (folder / "new.curate").exists()


def test_a_recipe_that_is_refused_makes_no_store(folder):
    steps = "  - import: rows.jsonl\n    kind: instruction\n  - score: text-basics\n    with: {nope: 1}\n"
    (folder / "r.yaml").write_text("store: s.curate\nsteps:\n" + steps)
    done = CliRunner().invoke(app, ["run", str(folder / "r.yaml")])
    assert done.exit_code == 1 and "unknown parameter of 'text-basics' 'nope'" in str(done.exception)
    assert not (folder / "s.curate").exists()


def test_ctrl_c_is_told_in_a_sentence_and_the_same_command_goes_on(tmp_path):
    import json
    import signal
    import time

    rows = (json.dumps({"instruction": f"say {i}", "output": "x"}) for i in range(300_000))
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "r.yaml").write_text(
        "store: s.curate\nsteps:\n  - import: rows.jsonl\n    kind: instruction\n    part_rows: 500\n"
    )
    victim = subprocess.Popen(
        [*RUN, "run", "r.yaml"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    parts = tmp_path / "s.curate" / "parts" / "items"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (parts.is_dir() and len(list(parts.iterdir())) > 3):
        time.sleep(0.02)
    victim.send_signal(signal.SIGINT)
    out, err = victim.communicate(timeout=60)
    assert victim.returncode == 130
    assert "interrupted; what was committed is kept" in err
    # where Ctrl-C meets a generator that is being closed, Python itself tells of it and goes on
    assert err.count("Traceback") == err.count("Exception ignored in")
    assert "(interrupted)" in out
    assert "added 300,000" in curate("run", "r.yaml", cwd=tmp_path).stdout


def test_asking_people(folder):
    curate("add", "s.curate", "rows.jsonl", "--kind", "instruction", cwd=folder)
    ask = ("--template", "text-classification", "-p", "labels=[good, bad]", "-p", "text=instruction")
    here = ("s.curate", "offline", "--with", "folder=f")
    assert "nothing was pushed yet" in curate("annotate", "status", *here, cwd=folder).stdout
    planned = curate("annotate", "push", *here, *ask, "--dry-run", cwd=folder).stdout
    assert planned.startswith("would be: 2 created")
    (folder / "ids.txt").write_text("a\n\n")
    assert "1 created" in curate("annotate", "push", *here, *ask, "--ids", "ids.txt", cwd=folder).stdout
    assert "1 created, 1 present" in curate("annotate", "push", *here, *ask, cwd=folder).stdout
    assert "text-classification" in curate("annotate", "status", *here, cwd=folder).stdout
    tasks = json.loads((folder / "f" / "round-1" / "tasks-0001.json").read_text())
    line = {"key": tasks[0]["data"]["cur_key"], "annotator": "ann", "created_at": "2026-01-01T00:00:00Z"}
    (folder / "f" / "answers" / "a.jsonl").write_text(json.dumps({**line, "answers": {"label": "good"}}))
    assert "1 new" in curate("annotate", "pull", *here, cwd=folder).stdout
    assert "ann" in curate("show", "s.curate", "answers", "--where", "round = 1", cwd=folder).stdout
    settled = ("annotate", "rounds", "s.curate", "--control", "label", "-w", "first=1", "-w", "agreement=0.6")
    assert "1 to decide: 1 settled" in curate(*settled, "--settle", "said", cwd=folder).stdout.replace(
        ",", ""
    )
    assert "custom" in curate("annotate", "templates", cwd=folder).stdout
    wrong = curate("annotate", "rounds", "s.curate", "--control", "label", "-w", "agrement=1", cwd=folder)
    assert "Did you mean 'agreement'" in wrong.stderr


def test_the_version_is_told():
    done = curate("--version")
    assert (done.returncode, done.stdout) == (0, f"curate {__version__}\n")


def test_a_wide_table_names_the_columns_that_have_no_room(folder):
    assert curate("add", "s.curate", "rows.jsonl", "--kind", "instruction", cwd=folder).returncode == 0
    assert curate("score", "s.curate", "text-basics", cwd=folder).returncode == 0
    shown = curate("show", "s.curate", cwd=folder)
    left = shown.stdout.splitlines()[-1]
    assert "more columns, for which there is no room: " in left and "text_links" in left
    told = left.partition(": ")[2].split(", ")
    assert not {"id", "instruction", "output", "text_basics"} & set(told)  # what items hold, then scores
    asked = curate("show", "s.curate", "--columns", "text_links", "--columns", "text_words", cwd=folder)
    assert asked.stdout.splitlines()[1].split() == ["id", "text_links", "text_words"]


def test_a_place_that_cannot_be_written_is_told_in_a_line(folder):
    assert curate("add", "s.curate", "rows.jsonl", "--kind", "instruction", cwd=folder).returncode == 0
    (folder / "file").write_text("")
    for command in (("report", "s.curate", "file/r.html"), ("export", "s.curate", "file/out")):
        done = curate(*command, cwd=folder)
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("curate: "), done.stderr
        assert "Traceback" not in done.stderr


def test_what_other_packages_log_of_their_loading_is_not_shown():
    code = (
        "import logging\nfrom curate.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "logging.getLogger('faiss.loader').info('chatter')\nlogging.getLogger('curate').info('progress')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == "progress\n"


def test_an_interrupted_add_says_what_is_in_the_store(folder, monkeypatch):
    from curate.run.steps import importing

    def impatient(record, importer):
        record.counts = importer.counts
        if importer.counts["added"]:
            raise KeyboardInterrupt

    monkeypatch.setattr(importing, "COMMIT_EVERY", 0.0)
    monkeypatch.setattr(importing, "_tell", impatient)
    command = ["add", str(folder / "s"), str(folder / "rows.jsonl"), "--kind=instruction", "--part-rows=1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 130
    assert "added 1, rejected 1 (interrupted)" in done.output


def test_add_and_export_have_the_options_that_python_has(folder):
    store, out = str(folder / "s"), str(folder / "out")
    add = ["add", store, str(folder / "rows.jsonl"), "--kind=instruction"]
    assert CliRunner().invoke(app, [*add, "--part-rows=1", "--host=images.example"]).exit_code == 0
    import curate as package

    with package.open(store) as opened:
        assert opened.parts.snapshot().rows == len(opened.parts.snapshot().items) == 2
    assert (
        CliRunner().invoke(app, ["export", store, out, "--columns=output", "--format=jsonl"]).exit_code == 0
    )
    names = {
        name
        for path in (folder / "out").rglob("*.jsonl")
        for name in json.loads(path.read_text().split("\n")[0])
    }
    assert "output" in names and "instruction" not in names


def test_the_end_of_a_run_says_once_where_the_rows_are_that_failed(capsys):
    from curate.console import tell_end
    from curate.run.ledger import RunRecord, StepRecord

    run = RunRecord("r", "done", "", 0.0, None, "", 0)
    for title in ("score min-k", "score min-k", "score min-k as other", "score phash"):
        counts = {"rows": 3, "failed": 0 if "phash" in title else 2}
        run.steps.append(StepRecord(1, "score", title.split()[1], title, counts=counts))
    tell_end(run, Path("s.curate"))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "rows that min-k could not score: curate show s.curate failed --scorer min-k",
        "rows that min-k could not score: curate show s.curate failed --scorer other",
    ]


def test_columns_to_name_are_told_as_options(folder):
    (folder / "asked.jsonl").write_text('{"question": "How high?", "answer": "300 m."}\n')
    done = curate("add", "s.curate", "asked.jsonl", "--kind", "instruction", cwd=folder)
    assert done.returncode == 1
    assert "Did you mean --column instruction=question --column output=answer?" in done.stderr
    assert as_options('say columns={"text": "the body"}') == "say --column 'text=the body'"
    assert 'columns={"a' in as_options('columns={"a": {}}')  # what is no flat mapping stays
