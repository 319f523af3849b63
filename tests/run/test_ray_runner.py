"""The Ray runner: as the local one, on a cluster of this machine's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import run_tasks as work

from curate.errors import InputError, RunError
from curate.run.ray_runner import MAX_DEATHS, RayRunner
from curate.run.runner import LocalRunner, choose_runner

ray = pytest.importorskip("ray", reason="extra ray not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runner() -> Iterator[RayRunner]:
    made = RayRunner(None, 2)
    yield made
    made.close()
    assert not ray.is_initialized()


def test_every_task_has_its_outcome_from_another_process(runner: RayRunner) -> None:
    outcomes = list(runner.map(work.double, range(20), processes=False))
    assert sorted((o.task, o.value) for o in outcomes) == [(i, 2 * i) for i in range(20)]
    assert not any(o.error for o in outcomes)
    pids = {o.value for o in runner.map(work.whoami, range(8), processes=False)}
    assert os.getpid() not in pids and len(pids) <= 2, "workers stay"


def test_nothing_to_do(runner: RayRunner) -> None:
    assert list(runner.map(work.double, [], processes=True)) == []


def test_tasks_are_made_as_workers_take_them(runner: RayRunner) -> None:
    made = []

    def tasks() -> Iterator[int]:
        for i in range(50):
            made.append(i)
            yield i

    outcomes = runner.map(work.double, tasks(), processes=True)
    for done, _ in enumerate(outcomes):
        assert len(made) <= done + 2 + 1, "one for each worker, and one ahead"
    assert made == list(range(50))


def test_a_failing_task_is_told_and_the_rest_goes_on(runner: RayRunner) -> None:
    outcomes = {o.task: o for o in runner.map(work.fail_on_three, range(6), processes=True)}
    assert outcomes[3].error == "ValueError: three"
    assert [outcomes[i].value for i in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]


def test_errors_meant_for_the_user_are_raised_and_the_runner_goes_on(runner: RayRunner) -> None:
    with pytest.raises(InputError, match="no "):
        list(runner.map(work.refuse, range(4), processes=True))
    assert [o.value for o in runner.map(work.double, [4], processes=True)] == [8]


def test_a_task_that_kills_its_worker_is_found_and_the_rest_is_done(runner: RayRunner) -> None:
    outcomes = {o.task: o for o in runner.map(work.die_on_three, range(8), processes=True)}
    assert f"died {MAX_DEATHS} times" in (outcomes[3].error or "")
    assert sorted(i for i, o in outcomes.items() if o.value == i) == [0, 1, 2, 4, 5, 6, 7]


def test_a_worker_that_dies_once_costs_nothing_but_time(runner: RayRunner, tmp_path: Path) -> None:
    marks = [str(tmp_path / name) for name in "ab"]
    assert [o.value for o in runner.map(work.die_once, marks, processes=True)] == ["done", "done"]


def test_left_half_way_the_runner_is_usable(runner: RayRunner) -> None:
    outcomes = runner.map(work.double, range(50), processes=True)
    next(outcomes)
    outcomes.close()
    assert len(list(runner.map(work.double, range(5), processes=True))) == 5


def test_more_workers_than_places(runner: RayRunner) -> None:
    runner._dismiss()  # both CPUs are free, five are wanted: three actors find no place
    crowd = RayRunner(None, 5)
    outcomes = list(crowd.map(work.double, range(9), processes=True))
    assert sorted(o.value or 0 for o in outcomes) == [2 * i for i in range(9)]
    crowd.close()


def test_more_gpus_than_there_are(runner: RayRunner) -> None:
    greedy = RayRunner(None, None, gpus=1000)
    with pytest.raises(RunError, match="no place for a worker of one CPU and 1000 GPUs"):
        list(greedy.map(work.double, [1], processes=True))


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(**options: object) -> None:
        tried.append(options)
        raise ConnectionError("nobody answers\nand more")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(RunError, match=r"cluster at 'nowhere:1' cannot be reached: nobody answers\. "):
        list(RayRunner("nowhere:1").map(work.double, [1], processes=True))
    with pytest.raises(RunError, match="no Ray cluster could be started: nobody answers"):
        list(RayRunner(None, 2).map(work.double, [1], processes=True))
    assert len(tried) == 3, "one of its own is tried twice"


def test_names_of_runners() -> None:
    assert isinstance(choose_runner(), LocalRunner)
    assert isinstance(choose_runner("ray", 3), RayRunner) and choose_runner("ray", 3).workers == 3
    found = choose_runner("ray://somewhere:10001", gpus=0.5)
    assert isinstance(found, RayRunner) and (found.address, found.gpus) == ("ray://somewhere:10001", 0.5)
    with pytest.raises(InputError, match="no runner 'spark'"):
        choose_runner("spark")
    with pytest.raises(InputError, match="gpus are given to workers of a Ray cluster"):
        choose_runner("local", gpus=1)
    with pytest.raises(InputError, match="0 workers"):
        choose_runner("ray", 0)
