"""`representative`: one of each group."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError, UnknownNameError
from curate.selectors.threshold.representative import Representative
from curate.testing import ArrayView, check_selector

VIEW = ArrayView(
    {
        "id": ["a", "b", "c", "d", "e"],
        "near_duplicate": [False, True, False, None, False],
        "near_duplicate_group": ["g1", "g1", None, None, "g2"],
        "cluster": [7, 7, 8, 8, 9],
        "s": [0.1, 0.9, 0.3, 0.8, 0.2],
    }
)


def test_all_representatives_and_loners_without_a_budget() -> None:
    chosen = check_selector(Representative(), VIEW)
    assert sorted(chosen.index.tolist()) == [0, 2, 4]  # not the duplicate, not the one without a verdict
    told = dict(zip(chosen.index.tolist(), chosen.reason, strict=True))
    assert told == {0: "representative of group g1", 2: "not near_duplicate", 4: "representative of group g2"}
    assert chosen.random == {"objective": 1.0, "random": 0.75}


def test_the_best_first_with_a_budget() -> None:
    chosen = check_selector(Representative(by="s"), VIEW, 2)
    assert chosen.index.tolist() == [2, 4]
    np.testing.assert_allclose(chosen.gain, [0.3, 0.2])


def test_another_group_column() -> None:
    chosen = check_selector(Representative(by="s", group="cluster"), VIEW, 1)
    assert chosen.reason == ["representative of group 8"]


def test_a_random_draw_without_by() -> None:
    firsts = {int(Representative().select(VIEW, 1, np.random.default_rng(s)).index[0]) for s in range(30)}
    assert firsts == {0, 2, 4}


def test_needs_are_all_columns_that_are_read() -> None:
    assert Representative().needs == ("id", "near_duplicate")
    assert Representative("f", by="a + b", group="g").needs == ("id", "f", "a", "b", "g")


def test_another_flag() -> None:
    view = ArrayView({"id": list("abc"), "exact_duplicate": [True, False, True]})
    chosen = check_selector(Representative(flag="exact_duplicate"), view)
    assert chosen.index.tolist() == [1] and chosen.reason == "not exact_duplicate"


def test_budgets_count_what_can_be_chosen() -> None:
    with pytest.raises(InputError, match="only 3 of 5 items have near_duplicate = false"):
        Representative().select(VIEW, 4, np.random.default_rng(0))
    assert len(Representative().select(VIEW, 1.0, np.random.default_rng(0))) == 3


def test_a_missing_flag_names_what_exists() -> None:
    with pytest.raises(UnknownNameError, match=r"'near_dup'.*Did you mean 'near_duplicate'"):
        Representative(flag="near_dup").select(VIEW, None, np.random.default_rng(0))
