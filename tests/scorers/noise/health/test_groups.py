"""Groups worse than the rest: by hand, false alarms and power, clusters, and what cannot be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="extra noise not installed")

from curate.errors import ExpressionError, InputError
from curate.memory import ArrayView
from curate.scorers.noise.health import compare_groups, k_means
from curate.scorers.noise.health.grouped import GroupHealth
from curate.testing import check_analysis
from curate.vectors import sources


def test_two_kinds_of_values_are_tested_exactly() -> None:
    values = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1.0])
    groups = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    found = compare_groups(values, groups, smallest=4)
    # all three bad ones among the four of group 0: C(4,3) C(6,0) / C(10,3) = 4 / 120, twice by Holm
    assert found.p == pytest.approx([2 * 4 / 120, 1.0])
    assert found.mean.tolist() == [0.25, 1.0] and found.rest.tolist() == [1.0, 0.25]
    assert found.size.tolist() == [4, 6] and found.worse.tolist() == [False, False]
    assert compare_groups(values, groups, smallest=4, alpha=0.1).worse.tolist() == [True, False]


def test_other_values_are_tested_as_if_groups_were_shuffled() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(300) < 0.1, 0.03, 0.8) + rng.normal(size=300) * 0.05
    groups = (np.arange(300) < 40).astype(int)
    values[(groups == 1) & (rng.random(300) < 0.08)] -= 0.7
    found = compare_groups(values, groups)
    seen = values[groups == 1].mean()
    shuffled = np.array([rng.permutation(values)[:40].mean() for _ in range(20000)])
    share = (shuffled <= seen).mean()
    assert 0.01 < share < 0.3  # worth telling apart
    assert found.p[1] == pytest.approx(2 * share, rel=0.15)
    half = 1.96 * values[groups == 1].std(ddof=1) / 40**0.5
    assert found.high[1] - found.mean[1] == pytest.approx(half, rel=1e-3)


def test_a_group_with_twice_the_errors_is_found_by_its_score() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(20):
        groups = rng.integers(0, 20, 4000)
        wrong = rng.random(4000) < np.where(groups == 7, 0.2, 0.1)
        values = np.where(wrong, 0.1, 0.8) + rng.normal(size=4000) * 0.1
        found += compare_groups(values, groups).worse[7]
    assert found >= 12  # a rank test would see about six


def test_small_groups_items_without_a_group_and_missing_values() -> None:
    values = np.concatenate([np.zeros(9), np.ones(100), [np.nan] * 5])
    groups = np.concatenate([np.zeros(9), np.ones(50), np.full(50, -1), np.ones(5)]).astype(int)
    found = compare_groups(values, groups)
    assert found.size.tolist() == [9, 50]
    assert np.isnan(found.p[0]) and not found.worse[0] and found.rest[0] == 1
    assert compare_groups(values, groups, smallest=9).worse[0]
    assert compare_groups(values, groups, smallest=9, least=1.0).worse[0]
    assert not compare_groups(values, groups, smallest=9, least=1.1).worse[0]


def test_what_cannot_be_compared_is_not_tested() -> None:
    for values, groups in (
        (np.ones(40), np.arange(40) % 2),  # one value
        (np.arange(40.0), np.zeros(40, int)),  # one group of all
        (np.full(40, np.nan), np.arange(40) % 2),
    ):
        found = compare_groups(values, groups)
        assert np.isnan(found.p).all() and not found.worse.any()
    assert len(compare_groups(np.empty(0), np.empty(0, int)).size) == 0
    with pytest.raises(InputError, match="both"):
        compare_groups(np.ones(3), np.zeros(2, int))
    with pytest.raises(InputError, match="1 value is infinite"):
        compare_groups(np.array([1, np.inf]), np.zeros(2, int))


@pytest.mark.parametrize("kind", ["rare flag", "skewed"])
def test_false_alarms_stay_below_alpha_and_a_bad_group_is_found(kind: str) -> None:
    rng = np.random.default_rng(0)
    alarms = found = 0
    for _ in range(100):
        groups = rng.choice(40, 2000, p=rng.dirichlet(np.full(40, 0.7)))
        values = (rng.random(2000) > 0.03).astype(float) if kind == "rare flag" else rng.beta(5, 0.5, 2000)
        alarms += compare_groups(values, groups).worse.any()
        worst = int(np.bincount(groups).argmax())
        values[(groups == worst) & (rng.random(2000) < 0.3)] = 0
        found += compare_groups(values, groups).worse[worst]
    assert alarms <= 11  # 5 of 100 expected at most, three standard deviations above
    assert found >= 99


def test_clusters_are_found_numbered_by_size_and_repeatable() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [100, 60, 30])
    x = np.eye(3, 8)[truth] * 5 + rng.normal(size=(190, 8)) * 0.3
    assert k_means(x, 3).tolist() == truth.tolist()
    assert k_means(x, 7, seed=1).tolist() == k_means(x, 7, seed=1).tolist() != k_means(x, 7, seed=2).tolist()
    assert k_means(x, 3, rounds=0).max() == 2
    assert k_means(np.ones((5, 2)), 3).tolist() == [0] * 5  # nothing to tell apart
    with pytest.raises(InputError, match="6 clusters of 5"):
        k_means(np.ones((5, 2)), 6)
    with pytest.raises(InputError, match="finite"):
        k_means(np.full((5, 2), np.nan), 1)


def planted(n: int = 600) -> ArrayView:
    """Source `c` is worse by 0.2; so is the third of three clusters."""
    rng = np.random.default_rng(0)
    source = np.array(["a", "b", "c"])[rng.integers(0, 3, n)]
    cluster = np.repeat([0, 1, 2], [n // 2, n // 3, n - n // 2 - n // 3])
    quality = rng.random(n) - 0.2 * (source == "c") - 0.3 * (cluster == 2)
    x = np.eye(3, 8)[cluster] * 5 + rng.normal(size=(n, 8)) * 0.3
    table = {"id": [f"{i:03d}" for i in range(n)], "source": source, "quality": quality, "bad": quality < 0.1}
    return ArrayView(table, {"v": x.astype(np.float32)})


def test_a_named_group_is_told_with_its_lowest_items() -> None:
    view = planted()
    found = check_analysis(GroupHealth("quality", group="source"), view)
    assert found.summary.startswith("1 of 3 groups (source) are worse")
    first = found.findings[0]
    assert first.serious and first.table["group"].to_pylist() == ["c"]
    table = view.to_arrow()
    lowest = table.filter(np.asarray(table["source"]) == "c").sort_by("quality")["id"].to_pylist()[:3]
    assert first.table["lowest items"].to_pylist() == [", ".join(lowest)]
    assert GroupHealth("quality", group="source").needs == ("quality", "source")


class InPieces(ArrayView):
    """A view in pieces of seven rows."""

    def _pieces(self, rows: int | None) -> Any:
        return super()._pieces(7)


def test_clusters_are_the_same_however_the_view_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK", 32)
    whole = planted()
    values = whole.vectors("v").take(np.arange(len(whole)))
    cut = InPieces(whole.to_arrow(["id", "quality"]), {"v": values})
    assert len(list(cut.spread(lambda piece, first: first))) == 86
    asked = GroupHealth("quality", embedding="v", clusters=9)
    assert repr(asked.analyse(cut)) == repr(asked.analyse(whole))


def test_clusters_serve_where_no_group_is_named() -> None:
    view = planted()
    found = check_analysis(GroupHealth("not bad", embedding="v", clusters=3), view)
    assert found.findings[0].table["group"].to_pylist() == ["cluster 2"]
    assert found.findings[0].table["items"].to_pylist() == [100]
    assert GroupHealth("not bad", embedding="v").needs == ("bad", "v")
    seeds = {repr(GroupHealth("quality", embedding="v", clusters=9, seed=s).analyse(view)) for s in (0, 0, 1)}
    assert len(seeds) == 2
    assert (
        "of 2 groups" in GroupHealth("quality", embedding="v").analyse(view).summary
    )  # 600 / 500, at least 2


def test_parameters_show() -> None:
    view = planted()
    assert "0 of 3" in GroupHealth("quality", group="source", least=0.5).analyse(view).summary
    assert "0 of 0" in GroupHealth("quality", group="source", smallest=500).analyse(view).summary
    assert "0 of 3" in GroupHealth("quality", group="source", alpha=1e-14).analyse(view).summary


def test_bad_input_is_named() -> None:
    view = planted(60)
    empty = ArrayView(
        {"id": ["a", "b"], "q": [None, None], "g": ["x", None], "h": [None, None]}, {"v": np.ones((2, 2))}
    )
    with pytest.raises(InputError, match="none of 2 items has a value of 'q'"):
        GroupHealth("q", group="g").analyse(empty)
    with pytest.raises(InputError, match="no item has a value of 'h'"):
        GroupHealth("id = 'a'", group="h").analyse(empty)
    with pytest.raises(InputError, match="a number is needed"):
        GroupHealth("source", group="source").analyse(view)
    with pytest.raises(ExpressionError):
        _ = GroupHealth("quality +", group="source").needs
    for bad in ({"alpha": 0.0}, {"clusters": -1}, {"smallest": 0}):
        with pytest.raises(InputError, match="group-health"):
            GroupHealth(**bad)
