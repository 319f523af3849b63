"""`stratified`: quotas worked out by hand, weights that undo the sampling."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.selectors.threshold.stratified import Stratified, allot, stratified_rows
from curate.testing import ArrayView, check_selector

LABELS = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
VIEW = ArrayView(
    {
        "id": [f"{i:03d}" for i in range(100)],
        "label": LABELS,
        "site": ["x", "y"] * 50,
        "s": [None, *np.linspace(0.01, 0.99, 99)],
    }
)


def quotas(sizes: list[int], count: int, balance: str = "proportional") -> list[int]:
    return allot(np.array(sizes), count, balance).tolist()  # type: ignore[arg-type]


def test_largest_remainders_by_hand() -> None:
    assert quotas([60, 30, 10], 10) == [6, 3, 1]
    assert quotas([60, 30, 10], 7) == [4, 2, 1]  # 4.2, 2.1, 0.7: the third has the largest remainder
    assert quotas([50, 50], 3) == [2, 1]  # 1.5 and 1.5: the earlier
    assert quotas([1, 999], 10) == [0, 10]


def test_equal_shares_fill_up_from_the_large_strata() -> None:
    assert quotas([60, 30, 10], 9, "equal") == [3, 3, 3]
    assert quotas([60, 30, 2], 10, "equal") == [4, 4, 2]
    assert quotas([60, 30, 2], 11, "equal") == [5, 4, 2]  # the odd one to the largest
    assert quotas([5, 5, 5], 2, "equal") == [1, 1, 0]
    assert quotas([3, 0, 1], 4, "equal") == [3, 0, 1]


def test_more_than_there_are_is_an_error() -> None:
    with pytest.raises(InputError, match="5 items asked for, the strata hold 4"):
        allot(np.array([3, 1]), 5)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.data(),
    st.sampled_from(["proportional", "equal"]),
)
def test_quotas_fit(sizes: list[int], data: st.DataObject, balance: str) -> None:
    count = data.draw(st.integers(0, sum(sizes)))
    got = quotas(sizes, count, balance)
    assert sum(got) == count
    assert all(0 <= q <= n for q, n in zip(got, sizes, strict=True))
    if balance == "proportional" and count:
        assert all(abs(q - n * count / sum(sizes)) < 1 for q, n in zip(got, sizes, strict=True))
    else:
        open_ = [q for q, n in zip(got, sizes, strict=True) if q < n]
        assert not open_ or max(open_) - min(open_) <= 1
        assert not open_ or max(got) <= min(open_) + 1


def test_rows_take_turns_so_that_every_head_is_balanced() -> None:
    codes = np.array([0, 0, 0, 0, 1, 1])
    keys = np.array([4, 3, 2, 1, 2, 1])
    rows = stratified_rows(codes, keys, pa.array(list("abcdef")), np.array([4, 2]))
    assert rows.tolist() == [3, 5, 2, 1, 4, 0]  # turns 1/8, 1/4, 3/8, 5/8, 3/4, 7/8


def test_proportional_keeps_the_shares() -> None:
    chosen = check_selector(Stratified("label"), VIEW, 20)
    assert np.unique(np.array(LABELS)[chosen.index], return_counts=True)[1].tolist() == [12, 6, 2]
    assert chosen.random["objective"] == pytest.approx(1.0)
    assert chosen.random["random"] < 1.0
    assert set(chosen.reason) == {
        "one of 12 of 60 with label=a",
        "one of 6 of 30 with label=b",
        "one of 2 of 10 with label=c",
    }
    assert chosen.weight is None


def test_equal_evens_them_out_and_weights_undo_it() -> None:
    chosen = check_selector(Stratified(("label",), balance="equal", reweight=True), VIEW, 30)
    labels = np.array(LABELS)[chosen.index]
    assert np.unique(labels, return_counts=True)[1].tolist() == [10, 10, 10]
    assert chosen.weight is not None
    assert [chosen.weight[labels == c].sum() / 30 for c in "abc"] == pytest.approx([0.6, 0.3, 0.1])
    assert chosen.weight.mean() == pytest.approx(1.0)


def test_prefer_takes_the_best_of_each() -> None:
    chosen = check_selector(Stratified("label", balance="equal", prefer="s"), VIEW, 6)
    assert sorted(chosen.index.tolist()) == [58, 59, 88, 89, 98, 99]
    assert chosen.gain is not None
    assert chosen.gain.max() == pytest.approx(0.99)


def test_needs_are_all_columns_that_are_read() -> None:
    assert Stratified(("label", "site"), prefer="s * 2 + t").needs == ("id", "label", "site", "s", "t")


def test_prefer_never_takes_a_null() -> None:
    assert 0 not in Stratified("label", prefer="s").select(VIEW, 1.0, np.random.default_rng(0)).index
    with pytest.raises(InputError, match="only 99 of 100"):
        Stratified("label", prefer="s").select(VIEW, 100, np.random.default_rng(0))


def test_several_columns_make_finer_strata() -> None:
    chosen = check_selector(Stratified(("label", "site")), VIEW, 10)
    pairs = [(LABELS[i], int(i % 2)) for i in chosen.index]
    # 3, 3, 1.5, 1.5, 0.5, 0.5: of equal remainders the earlier strata win
    assert sorted(pairs) == [("a", 0)] * 3 + [("a", 1)] * 3 + [("b", 0)] * 2 + [("b", 1)] * 2


def test_null_is_a_stratum_of_its_own_apart_from_the_word() -> None:
    view = ArrayView({"id": list("abcdef"), "label": [None, None, "null", "null", "x", "x"]})
    chosen = check_selector(Stratified("label", balance="equal"), view, 3)
    assert sorted(i // 2 for i in chosen.index) == [0, 1, 2]


def test_no_columns_is_an_error() -> None:
    with pytest.raises(InputError, match="name a column"):
        Stratified(())


@pytest.mark.parametrize("prefer", [None, "s"])
@pytest.mark.parametrize("rows", [7, 30])
def test_any_cut_and_any_order_give_the_same(
    prefer: str | None, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = Stratified(("label", "site"), "equal", prefer, reweight=True)
    whole = selector.select(VIEW, 30, np.random.default_rng(0))
    monkeypatch.setattr("curate.selectors.threshold.stratified.PIECE", rows)
    order = np.random.default_rng(1).permutation(100)
    moved = VIEW.rearranged(order)
    for view, index in (
        (VIEW, np.arange(100)),
        (moved, order),
        (moved.rearranged(np.argsort(order)), np.arange(100)),
    ):
        cut = selector.select(view, 30, np.random.default_rng(0))
        assert index[cut.index].tolist() == whole.index.tolist()
        assert cut.reason == whole.reason and cut.random == whole.random
        assert np.asarray(cut.weight).tolist() == np.asarray(whole.weight).tolist()
        assert np.array_equal(np.asarray(cut.gain), np.asarray(whole.gain)) or prefer is None


def test_few_rows_come_from_the_pieces_whether_a_stratum_lies_in_all_or_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from curate.selectors.threshold import stratified

    n, seen = 20_000, []
    inside = stratified.lowest_rows
    monkeypatch.setattr(stratified, "PIECE", 500)
    monkeypatch.setattr(stratified, "lowest_rows", lambda *asked: seen.append(inside(*asked)) or seen[-1])
    ids = [f"{i:05d}" for i in range(n)]
    for labels in (np.arange(n) % 5, np.arange(n) * 5 // n):
        view = ArrayView({"id": ids, "label": [f"l{c}" for c in labels]})
        chosen = Stratified("label").select(view, 4000, np.random.default_rng(0))
        assert len(chosen) == 4000 <= len(seen[-1].rows) < 8000
