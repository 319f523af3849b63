"""Group-fair weights: totals by hand, independence of class and group, raking to several shares at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, UnknownNameError
from curate.selectors.reweighting import group_weights, rake

PAIRS = st.lists(st.tuples(st.sampled_from("gh"), st.sampled_from("xyz")), min_size=4, max_size=50).filter(
    lambda pairs: len({g for g, _ in pairs}) == 2
)


def test_equal_by_hand() -> None:
    found = group_weights(["a", "a", "a", "b"])
    assert np.allclose(found.by_row, [2 / 3, 2 / 3, 2 / 3, 2])
    assert found.index.tolist() == [3, 0, 1, 2]
    assert found.effective == pytest.approx(16 / (4 / 3 + 4))


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_what_the_weights_make_equal(pairs: list[tuple[str, str]]) -> None:
    groups, labels = (np.array(side) for side in zip(*pairs, strict=True))
    n = len(groups)

    def total(weights: np.ndarray, g: str | None, c: str | None) -> float:
        inside = np.ones(n, bool)
        inside &= True if g is None else groups == g
        inside &= True if c is None else labels == c
        return float(weights[inside].sum())

    cells = [(g, c) for g in "gh" for c in "xyz" if ((groups == g) & (labels == c)).any()]
    equal = group_weights(groups, labels).by_row
    assert np.allclose([total(equal, g, c) for g, c in cells], n / len(cells), rtol=1e-4)
    independent = group_weights(groups, labels, aim="independent").by_row
    if len(cells) == 2 * len(set(labels)):  # every combination occurs
        for g, c in cells:
            expected = (groups == g).mean() * (labels == c).mean() * n
            assert total(independent, g, c) == pytest.approx(expected, rel=1e-4)
    within = group_weights(groups, labels, aim="equal-within-class").by_row
    for c in set(labels):
        assert total(within, None, c) == pytest.approx((labels == c).sum(), rel=1e-4)
        shares = [total(within, g, c) for g in "gh" if (g, c) in cells]
        assert np.allclose(shares, shares[0], rtol=1e-4)


def test_a_cap_holds_small_groups_down() -> None:
    groups = ["a"] * 99 + ["b"]
    assert group_weights(groups).by_row[99] == pytest.approx(50)
    assert group_weights(groups, cap=5).by_row[99] == pytest.approx(5)


def test_raking_meets_all_shares() -> None:
    rng = np.random.default_rng(0)
    axes = {
        "sex": rng.choice(["f", "m"], 500, p=[0.2, 0.8]),
        "age": rng.choice([1, 2, 3], 500, p=[0.6, 0.3, 0.1]),
    }
    found = rake(axes, {"sex": {"f": 0.5, "m": 0.5}, "age": {1: 1, 2: 1, 3: 2}})
    for name, value, share in (("sex", "f", 0.5), ("age", 3, 0.5), ("age", 1, 0.25)):
        assert found.by_row[axes[name] == value].sum() / 500 == pytest.approx(share, abs=1e-4)
    ratio = [found.by_row[(axes["sex"] == s) & (axes["age"] == a)][0] for s in "fm" for a in (1, 2)]
    assert ratio[0] / ratio[1] == pytest.approx(ratio[2] / ratio[3], rel=1e-4)  # no interaction is made up


def test_a_share_of_nothing_leaves_a_value_out() -> None:
    found = rake({"a": ["x", "y", "z"]}, {"a": {"x": 1, "y": 1, "z": 0}})
    assert found.index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: group_weights(["a", "a"]), "all 2 items are of group 'a'"),
        (lambda: group_weights(["a", None]), "some groups are missing"),
        (lambda: group_weights([]), "at least|shape"),
        (lambda: group_weights(["a", "b"], ["x"]), "1 label for 2 groups"),
        (lambda: group_weights(["a", "b"], aim="independent"), "needs labels"),
        (lambda: group_weights(["a", "b"], aim="fair"), "independent, equal or"),
        (lambda: group_weights(["a", "b"], cap=0.1), "cap=0.1"),
        (lambda: rake({"a": ["x", "y"]}, {"a": {"x": 1}}), r"no share is given for \['y'\]"),
        (lambda: rake({"a": ["x", "y"]}, {"b": {"x": 1}}), "the same names"),
        (lambda: rake({"a": ["x", "y"]}, {"a": {"x": 0, "y": 0}}), "not all 0"),
        (lambda: rake({"a": ["x"], "b": ["x", "x"]}, {"a": {"x": 1}, "b": {"x": 1}}), "one length"),
        (
            lambda: rake({"a": ["x", "y"], "b": ["p", "q"]}, {"a": {"x": 9, "y": 1}, "b": {"p": 1, "q": 9}}),
            "no weights give all these shares",
        ),
    ],
)
def test_what_cannot_be(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]
    with pytest.raises(UnknownNameError, match="Did you mean 'male'"):
        rake({"sex": ["male", "male"]}, {"sex": {"male": 1, "mael": 1}})
