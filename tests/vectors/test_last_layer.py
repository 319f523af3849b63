"""What is no probability is refused; how the lengths come out is tested with those who offer them."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.vectors.last_layer import el2n, errors_of


def test_errors_by_hand() -> None:
    assert np.allclose(errors_of(np.array([[0.6, 0.4], [1, 0]]), np.array([1, 0])), [[0.6, -0.6], [0, 0]])


@pytest.mark.parametrize("row", [[2.5, -1.5], [0.9, 0.9], [0.0, 0.0], [-0.2, 1.2]])
def test_logits_are_refused(row: list[float]) -> None:
    with pytest.raises(
        InputError, match=r"1 of 2 rows are no distribution over the 2 classes .*: rows 1; row 1 is"
    ):
        el2n(np.array([[0.5, 0.5], row]), np.array([0, 1]))


def test_what_is_not_finite_stays_so_and_rounding_is_forgiven() -> None:
    found = el2n(np.array([[np.nan, 0.5], [0.5, 0.5001]]), np.array([0, 1]))
    assert np.isnan(found[0]) and found[1] == pytest.approx(0.5**0.5, abs=1e-3)
