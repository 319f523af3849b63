"""Projections: right by hand, unbiased, the same in blocks, on torch and in every group of sixteen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.influence import Projection, project

pytest.importorskip("numba", reason="extra select not installed")
KINDS = ("count-sketch", "rademacher")
MASK = (1 << 64) - 1


def splitmix(number: int) -> int:
    """The hash in Python's own integers."""
    z = number & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_count_sketch_is_what_its_hash_says():
    plan = Projection(dim=10, seed=3)
    gradients = np.arange(1, 61, dtype=np.float32).reshape(3, 20)
    expected = np.zeros((3, 10), np.float32)
    for j in range(20):
        bits = splitmix(j * 0x9E3779B97F4A7C15 + plan.key)
        expected[:, ((bits >> 32) * 10) >> 32] += gradients[:, j] * (1 - 2 * (bits & 1))
    assert np.array_equal(project(gradients, 10, seed=3), expected)


def test_rademacher_is_a_matrix_of_signs():
    eye = np.eye(300, dtype=np.float32)
    matrix = project(eye, 128, kind="rademacher") * np.sqrt(128)
    assert np.allclose(np.abs(matrix), 1)
    assert abs(matrix.mean()) < 0.02
    bits = splitmix((7 * 2 + 1) * 0x9E3779B97F4A7C15 + Projection(128, kind="rademacher").key)
    assert np.sign(matrix[7, 64 + 5]) == 1 - 2 * ((bits >> 5) & 1)


@pytest.mark.parametrize("kind", KINDS)
def test_inner_products_stay_on_average_and_within_their_spread(kind):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 2000)).astype(np.float32)
    x[1] += 0.5 * x[0]
    true = float(x[0] @ x[1])
    found = [np.prod(project(x, 256, seed=seed, kind=kind), axis=0).sum() for seed in range(60)]
    spread = np.linalg.norm(x[0]) * np.linalg.norm(x[1]) / np.sqrt(256)
    assert abs(np.mean(found) - true) < 4 * spread / np.sqrt(60)
    assert 0.6 * spread < np.std(found) < 1.5 * spread


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 40),
    cuts=st.lists(st.integers(1, 699), max_size=4, unique=True),
    kind=st.sampled_from(KINDS),
)
def test_blocks_make_no_difference(rows, cuts, kind):
    x = np.random.default_rng(rows).standard_normal((rows, 700)).astype(np.float32)
    whole = project(x, 64, kind=kind)
    running = Projection(64, kind=kind).start(rows)
    edges = [0, *sorted(cuts), 700]
    for low, high in itertools.pairwise(edges):
        running.add(x[:, low:high], low)
    assert np.allclose(running.finish(), whole, atol=1e-3)
    assert np.allclose(project(x[:1], 64, kind=kind)[0], whole[0], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_projects_to_the_same(kind):
    torch = pytest.importorskip("torch", reason="extra train not installed")
    from curate.scorers.influence.tensors import add_tensor

    x = np.random.default_rng(0).standard_normal((5, 3000)).astype(np.float32)
    sums = torch.zeros(5, 128)
    add_tensor(Projection(128, 9, kind), torch.from_numpy(x[:, 100:]), 100, sums)
    assert np.allclose(sums.numpy(), project(x[:, 100:], 128, seed=9, kind=kind, offset=100), atol=1e-3)
    assert np.array_equal(project(torch.from_numpy(x), 128, kind=kind), project(x, 128, kind=kind))


def test_seeds_differ_and_repeat():
    x = np.random.default_rng(0).standard_normal((2, 500)).astype(np.float32)
    assert np.array_equal(project(x, 32, seed=1), project(x, 32, seed=1))
    assert not np.allclose(project(x, 32, seed=1), project(x, 32, seed=2))


def test_nothing_of_the_size_of_a_matrix_is_held():
    import tracemalloc

    x = np.ones((16, 200_000), np.float32)
    project(x[:, :10], 1024)
    for kind, most in (("count-sketch", 2e6), ("rademacher", 3e7)):
        tracemalloc.start()
        project(x[:, :20_000] if kind == "rademacher" else x, 1024, kind=kind)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most, (kind, peak)  # a matrix would be 820 and 82 MB


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: project(np.ones(3, np.float32), 8), "shape"),
        (lambda: project(np.ones((2, 3), np.float32), 0), "dimensions"),
        (lambda: project(np.ones((2, 3), np.float32), 100, kind="rademacher"), "multiple of 64"),
        (lambda: project(np.ones((2, 3), np.float32), 8, kind="dense"), "'count-sketch' or 'rademacher'"),
        (lambda: Projection(8).start(3).add(np.ones((2, 3), np.float32), 0), "shape"),
    ],
)
def test_what_cannot_be_projected_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_of_no_coordinates_nothing_is_left():
    assert np.array_equal(project(np.ones((2, 0), np.float32), 8), np.zeros((2, 8)))
    assert Projection(8).start(2).finish().shape == (2, 8)
