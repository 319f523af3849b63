"""A cluster whose nodes come and go, and one with a slow worker: every outcome once, whoever did the work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import run_tasks as work

from curate.run.ray_runner import RayRunner

ray = pytest.importorskip("ray", reason="extra ray not installed")
pytestmark = pytest.mark.slow
PATIENCE = 120


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without places for work: that is on the nodes that come and go."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


def test_nodes_that_come_and_go(cluster: Any) -> None:
    leaving = cluster.add_node(num_cpus=1)
    runner = RayRunner(cluster.address, 2)
    outcomes = runner.map(work.where, range(40), processes=True)
    seen = [next(outcomes) for _ in range(3)]
    first = {o.value[1] for o in seen if o.value}
    coming = cluster.add_node(num_cpus=1)
    until = time.monotonic() + PATIENCE
    while len({o.value[1] for o in seen if o.value}) < 2 and time.monotonic() < until:
        seen.append(next(outcomes))  # the second actor has found its place
    cluster.remove_node(leaving)
    seen += list(outcomes)

    assert sorted(o.task for o in seen) == list(range(40)), "each once"
    assert [o.value[0] for o in sorted(seen, key=lambda o: o.task) if o.value] == list(range(40))
    nodes = {o.value[1] for o in seen if o.value}
    assert len(nodes) == 2 and seen[-1].value is not None and seen[-1].value[1] not in first
    cluster.remove_node(coming)
    runner.close()


def test_a_slow_worker_keeps_nobody_waiting(cluster: Any) -> None:
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    runner = RayRunner(cluster.address, 2)
    list(runner.map(work.where, range(4), processes=True))  # both are up
    outcomes = list(runner.map(work.slow_on_zero, range(12), processes=True))
    assert sorted(o.task for o in outcomes) == list(range(12))
    pid = {o.task: o.value for o in outcomes}
    assert outcomes[-1].task == 0 and sum(value == pid[0] for value in pid.values()) == 1, (
        "the other did the rest"
    )
    runner.close()
