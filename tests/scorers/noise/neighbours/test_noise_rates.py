"""Noise rates from labels of neighbours: planted transition matrices, a case by hand, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.noise.neighbours import noise_rates
from curate.scorers.noise.neighbours.noise_rates import estimate_noise_rates

T = np.array([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.1, 0.3, 0.6]])
PRIOR = np.array([0.5, 0.3, 0.2])


def planted(n: int = 30000) -> np.ndarray:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, n, p=PRIOR)
    return (rng.random((n, 3))[:, :, None] > T.cumsum(axis=1)[truth][:, None]).sum(axis=2)


def test_a_planted_matrix_is_found() -> None:
    found = estimate_noise_rates(planted(), 3)
    np.testing.assert_allclose(found.transition, T, atol=0.02)
    np.testing.assert_allclose(found.prior, PRIOR, atol=0.02)
    given = PRIOR @ T
    np.testing.assert_allclose(found.trust, PRIOR * np.diag(T) / given, atol=0.02)


def test_without_noise_everything_is_trusted() -> None:
    found = estimate_noise_rates(np.array([[0, 0, 0]] * 3 + [[1, 1, 1]]), 2)
    np.testing.assert_allclose(found.transition, np.eye(2), atol=1e-3)
    np.testing.assert_allclose(found.prior, [0.75, 0.25], atol=1e-3)
    np.testing.assert_allclose(found.trust, 1, atol=1e-3)


def test_who_is_the_neighbour_of_whom_does_not_matter() -> None:
    triples = planted(500)
    turned = estimate_noise_rates(triples[::-1, [2, 0, 1]], 3)
    np.testing.assert_allclose(turned.transition, estimate_noise_rates(triples, 3).transition, atol=1e-12)


def test_a_class_nobody_has_is_trusted_and_changes_nothing() -> None:
    found = estimate_noise_rates(planted(3000), 4)
    without = estimate_noise_rates(planted(3000), 3)
    np.testing.assert_allclose(found.transition[:3, :3], without.transition, atol=0.05)
    assert found.prior[3] < 0.05
    assert np.isfinite(found.transition).all()


def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = estimate_noise_rates(planted(500), 3)
    monkeypatch.setattr(noise_rates, "_CELLS", 12)
    np.testing.assert_allclose(estimate_noise_rates(planted(500), 3).transition, whole.transition)


def test_rounds_and_start_are_heeded() -> None:
    triples = planted(3000)
    assert estimate_noise_rates(triples, 3, rounds=2).rounds == 2
    one, other = (estimate_noise_rates(triples, 3, rounds=1, start=s).transition[0, 0] for s in (0.5, 0.9))
    assert one != other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"triples": np.zeros((0, 3), int)}, "shape"),
        ({"triples": np.zeros((4, 2), int)}, "shape"),
        ({"triples": np.array([[0, 1, 3]])}, "0 to 2 is meant"),
        ({"start": 0.2}, "start=0.2"),
        ({"rounds": 0}, "rounds=0"),
    ],
)
def test_what_is_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"triples": planted(10), "classes": 3} | change
    with pytest.raises(InputError, match=message):
        estimate_noise_rates(**arguments)  # type: ignore[arg-type]
