"""The local runner: outcomes as they come, workers that die are survived, the task that kills is found."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from run_tasks import die_on_three, double, fail_on_three, refuse

from curate.errors import InputError
from curate.run.runner import LocalRunner


@pytest.fixture
def runner():
    made = LocalRunner(2)
    yield made
    made.close()


@pytest.mark.parametrize("processes", [False, True])
def test_every_task_has_its_outcome(runner, processes):
    outcomes = list(runner.map(double, range(20), processes=processes))
    assert sorted((o.task, o.value) for o in outcomes) == [(i, 2 * i) for i in range(20)]
    assert not any(o.error for o in outcomes)


@pytest.mark.parametrize("processes", [False, True])
def test_a_failing_task_is_told_and_the_rest_goes_on(runner, processes):
    outcomes = {o.task: o for o in runner.map(fail_on_three, range(6), processes=processes)}
    assert outcomes[3].error == "ValueError: three"
    assert [outcomes[i].value for i in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("processes", [False, True])
def test_errors_meant_for_the_user_are_raised(runner, processes):
    with pytest.raises(InputError, match="no "):
        list(runner.map(refuse, range(4), processes=processes))


def test_a_task_that_kills_its_worker_is_found_and_the_rest_is_done(runner):
    outcomes = {o.task: o for o in runner.map(die_on_three, range(8), processes=True)}
    assert "died" in outcomes[3].error
    assert sorted(i for i, o in outcomes.items() if o.value == i) == [0, 1, 2, 4, 5, 6, 7]


def test_the_pool_is_usable_after_a_death(runner):
    list(runner.map(die_on_three, range(8), processes=True))
    assert sorted(o.value for o in runner.map(double, range(4), processes=True)) == [0, 2, 4, 6]


def test_a_script_without_a_main_guard_can_use_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import math
            from curate.run.runner import LocalRunner
            runner = LocalRunner(2)
            print(sorted(o.value for o in runner.map(math.sqrt, [1, 4, 9], processes=True)))
            runner.close()
            """
        )
    )
    out = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert out.stdout.strip() == "[1.0, 2.0, 3.0]"


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    import time

    import psutil

    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, time
            from curate.run.runner import LocalRunner
            runner = LocalRunner(2)
            pids = {o.value for o in runner.map(lambda _: (time.sleep(0.2), os.getpid())[1], range(4), processes=True)}
            print(*pids, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    out = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    pids = [int(p) for p in out.stdout.split()]
    assert pids
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(psutil.pid_exists(p) for p in pids):
        time.sleep(0.1)
    alive = [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE]
    assert not alive
