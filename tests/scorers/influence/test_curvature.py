"""DataInf, TRAK and GIST against their formulas, solved the slow way."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.influence import datainf, gist, target_subspace, trak

N, M, D = 30, 5, 12


@pytest.fixture
def gradients():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, D)).astype(np.float32), rng.standard_normal((M, D)).astype(np.float32)


def datainf_by_hand(g, v, damping, layers):
    out = np.zeros(len(g))
    low = 0
    for width in layers:
        rows, aim = g[:, low : low + width].astype(float), v[:, low : low + width].mean(0).astype(float)
        lam = damping * (rows**2).mean()
        inverses = [np.linalg.inv(lam * np.eye(width) + np.outer(r, r)) for r in rows]
        out += rows @ np.mean(inverses, axis=0) @ aim
        low += width
    return out


@pytest.mark.parametrize("layers", [None, (5, 7)])
def test_datainf_is_the_mean_of_inverses(gradients, layers):
    g, v = gradients
    expected = datainf_by_hand(g, v, 0.1, layers or (D,))
    assert np.allclose(datainf(g, v, layers=layers).score, expected, rtol=1e-4)
    assert not np.allclose(datainf(g, v, layers=layers, damping=1.0).score, expected, rtol=0.01)


def test_datainf_of_one_item_is_exact():
    g, v = np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 1.0]], np.float32)
    lam = 0.1 * 2.5
    exact = g[0] @ np.linalg.inv(lam * np.eye(2) + np.outer(g[0], g[0])) @ v[0]
    assert np.allclose(datainf(g, v).score, exact, rtol=1e-5)


def test_trak_is_a_ridge_regression(gradients):
    g, v = gradients
    kernel = g.T @ g
    kernel = kernel + 0.01 * np.trace(kernel) / D * np.eye(D)
    expected = g @ np.linalg.solve(kernel, v.mean(0))
    assert np.allclose(trak(g, v).score, expected, rtol=1e-3, atol=1e-5)
    residuals = np.linspace(0, 1, N)
    assert np.allclose(trak(g, v, residuals=residuals).score, expected * residuals, rtol=1e-3, atol=1e-5)


def test_checkpoints_are_averaged(gradients):
    g, v = gradients
    for score in (trak, datainf):
        halves = [score(g[:, s], v[:, s]).score for s in (slice(0, 6), slice(6, 12))]
        assert np.allclose(score(g, v, checkpoints=2).score, np.mean(halves, axis=0), rtol=1e-3, atol=1e-5)


def test_sub_tasks_are_maximised(gradients):
    g, v = gradients
    for score in (trak, datainf, gist):
        each = np.stack([score(g, v[:2]).score, score(g, v[2:]).score], axis=1)
        got = score(g, v, groups=[0, 0, 1, 1, 1], **({"rank": 12} if score is gist else {}))
        if score is not gist:  # its subspace is that of all sub-tasks
            assert np.allclose(got.by_task, each, rtol=1e-4, atol=1e-5)
        assert np.array_equal(got.score, got.by_task.max(axis=1))


def test_subspace_is_that_of_the_singular_vectors(gradients):
    _, v = gradients
    for x in (v, np.tile(v, (4, 1))):  # wide and tall: the other Gram matrix
        basis = target_subspace(x, 3)
        expected = np.linalg.svd(x, full_matrices=False)[2][:3]
        assert np.allclose(np.abs(expected @ basis), np.eye(3), atol=1e-4)
        assert ((x @ basis).sum(0) >= 0).all()
    assert target_subspace(v, 100).shape == (D, M)  # five gradients span no more
    assert target_subspace(np.tile(v[:1], (3, 1)), 5).shape == (D, 1)


def test_gist_is_the_cosine_inside_the_subspace(gradients):
    g, v = gradients
    basis = np.linalg.svd(v, full_matrices=False)[2][:2].T
    inside, aim = g @ basis, v.mean(0) @ basis
    expected = inside @ aim / np.linalg.norm(inside, axis=1) / np.linalg.norm(aim)
    assert np.allclose(gist(g, v, rank=2).score, expected, atol=1e-5)
    apart = np.zeros((1, D), np.float32)
    assert gist(apart, v, rank=2).score[0] == 0


def test_rows_not_finite_are_left_out_of_everything(gradients):
    g, v = gradients
    bad = np.vstack([g, np.full((1, D), np.nan, np.float32)])
    for score in (datainf, trak, gist):
        with_bad, without = score(bad, v).score, score(g, v).score
        assert np.isnan(with_bad[-1]) and np.allclose(with_bad[:-1], without, rtol=1e-5)


def test_zeros_score_zero(gradients):
    g, v = gradients
    g = g.copy()
    g[4] = 0
    for score in (datainf, trak, gist):
        assert score(g, v).score[4] == 0
        assert (score(np.zeros_like(g), v).score == 0).all()


def test_what_does_not_fit_is_refused(gradients):
    g, v = gradients
    for call, told in [
        (lambda: datainf(g, v, layers=(5, 5)), "do not make up 12"),
        (lambda: datainf(g, v, damping=0), "above 0"),
        (lambda: trak(g, v, damping=-1), "above 0"),
        (lambda: trak(g, v, residuals=np.ones(3)), "residuals of shape"),
        (lambda: gist(g, v, rank=0), "at least 1"),
        (lambda: gist(g, v, rates=(1, 2)), "1 checkpoint"),
        (lambda: gist(g, v * 0), "all zero"),
        (lambda: target_subspace(v * 0, 2), "span nothing"),
    ]:
        with pytest.raises(InputError, match=told):
            call()
