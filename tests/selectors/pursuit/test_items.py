"""The registered selectors of pursuit: that they are the functions, on the rows of a view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.contracts import Selection
from curate.errors import InputError
from curate.memory import ArrayView
from curate.selectors.pursuit import information_projection, pursue, soft_cap, target_subspaces, usual_product
from curate.selectors.pursuit.items import InformationProjection, Pursuit, SoftCap


def make_view(n: int = 120, aims: int = 12, seed: int = 0) -> tuple[ArrayView, np.ndarray[Any, Any]]:
    """Items around six centres, the last `aims` of them wanted, from two of the centres in turn; ids in another order than rows."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((6, 24))
    of = np.concatenate([rng.integers(0, 6, n - aims), np.arange(aims) % 2])
    rows = (centres[of] + 0.7 * rng.standard_normal((n, 24))).astype(np.float32)
    table = {
        "id": [f"i{(i * 7) % n:03d}" for i in range(n)],
        "split": ["pool"] * (n - aims) + ["wanted"] * aims,
        "task": [f"task {j}" for j in of % 2],
        "label": [f"class {j}" for j in of],
        "quality": rng.uniform(0, 1, n).tolist(),
    }
    return ArrayView(table, {"gradients": rows}), rows


def select(selector: Any, view: ArrayView, budget: Any) -> Selection:
    return selector.select(view, budget, np.random.default_rng(0))


def test_a_pursuit_is_the_function() -> None:
    view, rows = make_view()
    wanted = np.arange(108, 120)
    chosen = select(Pursuit(target="split = 'wanted'"), view, 10)
    plain = pursue(rows[:108], rows[wanted].mean(0), 10)
    assert chosen.index.tolist() == plain.index.tolist()
    assert chosen.weight == pytest.approx(plain.weight, rel=1e-4)
    assert chosen.random["objective"] == pytest.approx(plain.residual[-1], rel=1e-4)
    assert chosen.random["objective"] < chosen.random["random"]
    assert chosen.seed is not None and chosen.seconds is not None and chosen.memory is not None
    assert "split = 'wanted'" in chosen.reason[0] and "%" in chosen.reason[0]
    whole = select(Pursuit(), view, "10%")
    assert whole.index.tolist() == pursue(rows, None, 12).index.tolist()


def test_tasks_are_targets_of_their_own() -> None:
    view, rows = make_view()
    chosen = select(Pursuit(target="split = 'wanted'", tasks="task"), view, 10)
    means = np.stack([rows[108::2].mean(0), rows[109::2].mean(0)])
    assert chosen.index.tolist() == pursue(rows[:108], means, 10).index.tolist()
    assert "2 tasks by task" in chosen.reason[0]


def test_rank_rates_and_checkpoints() -> None:
    view, rows = make_view()
    wanted, pool = rows[108:], rows[:108]
    bases = target_subspaces(wanted, 3, 2)
    plain = pursue(pool, wanted.mean(0), 5, subspaces=bases, rates=[0.9, 0.1])
    how = Pursuit(target="split = 'wanted'", rank=3, checkpoints=2, rates=(0.9, 0.1))
    assert select(how, view, 5).index.tolist() == plain.index.tolist()
    assert (
        select(Pursuit(target="split = 'wanted'", rank=3, checkpoints=2), view, 5).index.tolist()
        != plain.index.tolist()
    )
    inside = select(Pursuit(rank=4), view, 4)  # without a target: the subspace of all
    assert inside.index.tolist() == pursue(rows, None, 4, subspaces=target_subspaces(rows, 4)).index.tolist()


def test_the_ways_of_a_pursuit_reach_the_function() -> None:
    view, rows = make_view()
    for how in ({"ridge": 5.0}, {"passes": 1}, {"swaps": 0}):
        chosen = select(Pursuit(**how), view, 12)
        assert chosen.index.tolist() == pursue(rows, None, 12, **how).index.tolist()
    assert select(Pursuit(ridge=5.0), view, 12).weight.std() < select(Pursuit(), view, 12).weight.std()


def test_items_less_typical_than_the_targets_own_stay_out() -> None:
    view, rows = make_view()
    aims = [rows[108::2], rows[109::2]]
    least = [usual_product(own, 0.9) for own in aims]
    means = np.stack([own.mean(0) for own in aims])
    how = Pursuit(target="split = 'wanted'", tasks="task", typical=0.9)
    plain = pursue(rows[:108], means, 10, least=least)
    assert select(how, view, 10).index.tolist() == plain.index.tolist()
    assert plain.index.tolist() != pursue(rows[:108], means, 10).index.tolist()
    inside = Pursuit(target="split = 'wanted'", rank=3, checkpoints=2, rates=(0.9, 0.1), typical=0.9)
    bases = target_subspaces(rows[108:], 3, 2)
    known = {"subspaces": bases, "rates": [0.9, 0.1]}
    floor = usual_product(rows[108:], 0.9, **known)
    seen = pursue(rows[:108], rows[108:].mean(0), 5, least=floor, **known)
    assert select(inside, view, 5).index.tolist() == seen.index.tolist()


def make_two_kinds() -> tuple[ArrayView, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The view of `make_view`, whose wanted items have other gradients, too: in `plain`."""
    view, rows = make_view()
    plain = np.full_like(rows, np.nan)
    plain[108:] = 3 * np.sign(rows[108:]) * rows[108:] ** 2
    return ArrayView(view.to_arrow(["id", "split", "task"]), {"gradients": rows, "plain": plain}), rows, plain


def test_a_target_of_other_gradients_than_the_pools() -> None:
    view, rows, plain = make_two_kinds()
    how = Pursuit(target="split = 'wanted'", target_gradients="plain")
    assert "plain" in how.needs
    assert select(how, view, 10).index.tolist() == pursue(rows[:108], plain[108:].mean(0), 10).index.tolist()
    how = Pursuit(target="split = 'wanted'", target_gradients="plain", tasks="task", typical=0.7)
    least = [usual_product(plain[k::2], 0.7, as_pool=rows[k::2]) for k in (108, 109)]
    means = np.stack([plain[k::2].mean(0) for k in (108, 109)])
    chosen = pursue(rows[:108], means, 10, least=least)
    assert select(how, view, 10).index.tolist() == chosen.index.tolist()
    assert chosen.index.tolist() != pursue(rows[:108], means, 10).index.tolist()
    same = Pursuit(target="split = 'wanted'", target_gradients="gradients", typical=0.7)
    usual = Pursuit(target="split = 'wanted'", typical=0.7)
    assert select(same, view, 10).index.tolist() == select(usual, view, 10).index.tolist()


def test_items_of_the_target_that_lack_one_kind_of_gradients() -> None:
    view, rows, plain = make_two_kinds()
    plain[110], rows[112] = np.nan, np.nan
    table = view.to_arrow(["id", "split", "task"])
    holed = ArrayView(table, {"gradients": rows, "plain": plain})
    how = Pursuit(target="split = 'wanted'", target_gradients="plain")
    known = np.array([108, 109, 111, 112, 113, 114, 115, 116, 117, 118, 119])
    whole = pursue(rows[:108], plain[known].mean(0), 10)
    assert select(how, holed, 10).index.tolist() == whole.index.tolist()
    both = known[known != 112]
    floor = usual_product(plain[both], 0.7, as_pool=rows[both])
    few = pursue(rows[:108], plain[both].mean(0), 10, least=floor)
    typical = Pursuit(target="split = 'wanted'", target_gradients="plain", typical=0.7)
    assert select(typical, holed, 10).index.tolist() == few.index.tolist()
    narrow = ArrayView(table, {"gradients": rows, "plain": plain[:, :7]})
    with pytest.raises(InputError, match="7 wide"):
        select(how, narrow, 10)
    with pytest.raises(InputError, match="no item of the target"):
        select(how, ArrayView(table, {"gradients": rows, "plain": np.full_like(rows, np.nan)}), 10)


def test_items_without_gradients_and_constraints() -> None:
    view, rows = make_view()
    first = select(Pursuit(target="split = 'wanted'"), view, 10)
    holes = rows.copy()
    holes[first.index[0]] = np.nan
    holes[first.index[1], 3] = np.inf
    table = view.to_arrow([c for c in view.columns if c != "gradients"])
    holed = ArrayView(table, {"gradients": holes})
    chosen = select(Pursuit(target="split = 'wanted'"), holed, 10)
    assert not set(first.index[:2]) & set(chosen.index) and len(chosen) == 10
    free = np.setdiff1d(np.arange(108), first.index[:2])
    assert chosen.index.tolist() == free[pursue(rows[free], rows[108:].mean(0), 10).index].tolist()
    id_ = table["id"][50].as_py()
    told = select(
        Pursuit(target="split = 'wanted'", mandatory=f"id = '{id_}'", forbidden="label = 'class 1'"), view, 10
    )
    labels = np.array(table["label"].to_pylist())
    assert told.index[0] == 50 and told.reason[0] == "mandatory"
    assert "class 1" not in set(labels[np.setdiff1d(told.index, [50])])
    shares = select(Pursuit(group="label", balance="equal"), view, 12)
    assert set(np.unique(labels[shares.index], return_counts=True)[1].tolist()) == {2}
    with pytest.raises(InputError, match="mandatory"):
        select(Pursuit(target="split = 'wanted'", mandatory="split = 'wanted'"), view, 20)
    with pytest.raises(InputError, match="109"):
        select(Pursuit(target="split = 'wanted'"), view, 109)
    assert len(select(Pursuit(target="split = 'wanted'"), view, 1.0)) == 108


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"cost": "quality"}, "cost"),
        ({"tasks": "task"}, "target"),
        ({"target_gradients": "plain"}, "target_gradients 'plain'"),
        ({"rates": (1.0,), "checkpoints": 2}, "1 rate for 2 checkpoints"),
        ({"checkpoints": -1}, "checkpoints -1: at least 1"),
        ({"typical": 0.5}, "typical 0.5"),
        ({"typical": 2.0, "target": "split = 'wanted'"}, "typical 2.0"),
    ],
)
def test_a_pursuit_that_cannot_be(how: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Pursuit(**how)


def test_nothing_wanted() -> None:
    view, _ = make_view()
    with pytest.raises(InputError, match="no item of the target"):
        select(Pursuit(target="split = 'missing'"), view, 3)
    with pytest.raises(InputError, match="is true"):
        select(InformationProjection(embedding="gradients", target="split = 'missing'"), view, 3)


def test_information_projection_is_the_function() -> None:
    view, rows = make_view()
    order = np.argsort(view.to_arrow(["id"])["id"].to_pylist())
    chosen = select(InformationProjection(embedding="gradients", target="split = 'wanted'"), view, 8)
    pool, wanted = order[order < 108], order[order >= 108]
    plain = information_projection(rows[pool], rows[wanted], 8)
    assert chosen.index.tolist() == pool[plain.index].tolist()
    assert chosen.random["objective"] > chosen.random["random"]
    whole = select(InformationProjection(embedding="gradients", quality="quality"), view, 8)
    quality = np.array(view.to_arrow(["quality"])["quality"].to_pylist())[order]
    assert (
        whole.index.tolist()
        == order[information_projection(rows[order], None, 8, quality=quality).index].tolist()
    )


def test_soft_cap_is_the_function() -> None:
    view, _ = make_view()
    how = {"temperature": 0.1, "penalty": 0.2, "cap": 3, "batch": 5}
    chosen = select(SoftCap(by="quality", **how), view, 60)
    order = np.argsort(view.to_arrow(["id"])["id"].to_pylist())
    quality = np.array(view.to_arrow(["quality"])["quality"].to_pylist())
    plain = soft_cap(quality[order], 60, rng=np.random.default_rng(chosen.seed), **how)
    assert chosen.index.tolist() == order[plain.index].tolist()
    assert chosen.weight.tolist() == plain.weight.tolist() and chosen.weight.sum() == 60
    with pytest.raises(InputError, match="draws"):
        SoftCap(by="quality", cost="quality")


@pytest.mark.parametrize(
    "selector", [Pursuit(), Pursuit(rank=8), InformationProjection(), SoftCap(by="quality", batch=7)]
)
def test_estimates_grow_with_what_there_is(selector: Any) -> None:
    small, large = selector.estimate(1000, 64, 10), selector.estimate(100_000, 64, 1000)
    assert 0 < small["seconds"] < large["seconds"] and 0 <= small["bytes"] <= large["bytes"]
