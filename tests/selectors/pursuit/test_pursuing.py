"""Pursuit by hand, against brute force and one-at-a-time matching, cut into shards, on planted copies, and with bad input."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from curate.choosing import Constraints
from curate.errors import InputError
from curate.memory import ArrayVectors
from curate.selectors.pursuit import Pursued, nonnegative_least_squares, pursue, target_subspaces, tasks
from curate.selectors.pursuit.sources import Beside, Few, Shard, Shards, best_of

Array = np.ndarray[Any, Any]


def clustered(
    n: int = 600, width: int = 64, clusters: int = 12, noise: float = 1.0, seed: int = 0
) -> tuple[Array, Array]:
    """Gradients around centres, and the mean of new ones around three of them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, width))
    rows = centres[rng.integers(0, clusters, n)] + noise * rng.standard_normal((n, width))
    aims = centres[rng.integers(0, 3, 30)] + noise * rng.standard_normal((30, width))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    aims /= np.linalg.norm(aims, axis=1, keepdims=True)
    return rows.astype(np.float32), aims.mean(0)


def left(rows: Array, target: Array, chosen: Pursued) -> float:
    """The residual of a selection, from its weights."""
    assert chosen.weight is not None and chosen.scale is not None
    total = (chosen.weight * chosen.scale) @ rows[chosen.index].astype(np.float64)
    return float(np.linalg.norm(total - target) / np.linalg.norm(target))


def check(rows: Array, target: Array, chosen: Pursued, count: int) -> None:
    assert chosen.index.dtype == np.int64 and len(np.unique(chosen.index)) == len(chosen) == count
    assert chosen.weight is not None and chosen.gain is not None and chosen.residual is not None
    assert chosen.weight.dtype == np.float32 and (chosen.weight > 0).all()
    assert chosen.gain.shape == chosen.residual.shape == (count,)
    assert left(rows, target, chosen) == pytest.approx(chosen.residual[-1], abs=2e-4)


def one_at_a_time(rows: Array, target: Array, count: int) -> float:
    """The residual of non-negative orthogonal matching pursuit."""
    rows = rows.astype(np.float64)
    held: list[int] = []
    residual = target
    for _ in range(count):
        scores = rows @ residual
        scores[held] = -np.inf
        held.append(int(scores.argmax()))
        weight = nonnegative_least_squares(rows[held], target)
        residual = target - weight @ rows[held]
    return float(np.linalg.norm(residual) / np.linalg.norm(target))


def test_by_hand() -> None:
    rows = np.array([[1.0, 0, 0], [0, 2, 0], [0.9, 0.1, 0], [0, 0, 1], [-1, 0, 0]])
    chosen = pursue(rows, np.array([3.0, 1, 0]), 2)
    # the first two give 3, 0.5 exactly; the third is near the first, and would leave something
    assert chosen.index.tolist() == [0, 1]
    assert chosen.weight == pytest.approx([3 / 1.75, 0.5 / 1.75])
    assert chosen.scale == pytest.approx([1.75, 1.75])
    assert chosen.residual == pytest.approx([np.sqrt(1 / 10), 0], abs=1e-7)
    assert chosen.gain == pytest.approx([0.9, 0.1])
    assert chosen.round.tolist() == [0, 0]


def test_mostly_the_best_of_all_pairs() -> None:
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((12, 6)).astype(np.float32)
        target = rng.uniform(0, 1, 12) @ rows
        best = np.inf
        for pair in itertools.combinations(range(12), 2):
            weight = nonnegative_least_squares(rows[list(pair)], target)
            best = min(best, float(np.linalg.norm(weight @ rows[list(pair)] - target)))
        ratios.append(float(pursue(rows, target, 2).residual[-1]) * np.linalg.norm(target) / best)
    assert min(ratios) > 1 - 1e-5 and np.mean(np.array(ratios) < 1.001) >= 0.5 and np.mean(ratios) < 1.2


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("passes", [8, 128])
def test_no_worse_than_one_at_a_time(noise: float, passes: int) -> None:
    rows, target = clustered(noise=noise)
    chosen = pursue(rows, target, 30, passes=passes)
    check(rows, target, chosen, 30)
    assert chosen.residual is not None and (np.diff(chosen.residual) <= 1e-9).all()
    assert chosen.residual[-1] <= one_at_a_time(rows, target, 30) * 1.001
    # swapping is what makes it so
    assert chosen.residual[-1] <= pursue(rows, target, 30, passes=passes, swaps=0).residual[-1]


def test_heads_are_pursuits_of_their_own() -> None:
    rows, target = clustered()
    chosen = pursue(rows, target, 40)
    assert chosen.residual is not None and chosen.gain is not None
    for head in (1, 5, 20, 40):
        kept = chosen.index[:head]
        weight = nonnegative_least_squares(rows[kept], target)
        exact = np.linalg.norm(weight @ rows[kept] - target) / np.linalg.norm(target)
        assert chosen.residual[head - 1] == pytest.approx(exact, abs=0.02)
        assert exact <= one_at_a_time(rows, target, head) * 1.15
    assert chosen.gain.sum() == pytest.approx(1 - chosen.residual[-1] ** 2, abs=1e-5)


@pytest.mark.parametrize("shards", [2, 7, 8, 40])
def test_any_number_of_shards_chooses_the_same(shards: int) -> None:
    rows, target = clustered(noise=2.0)
    whole, cut = pursue(rows, target, 50), pursue(rows, target, 50, shards=shards)
    assert cut.index.tolist() == whole.index.tolist()
    assert (cut.weight == whole.weight).all() and (cut.residual == whole.residual).all()
    mean = pursue(rows, None, 50).index, pursue(rows, None, 50, shards=shards).index
    assert (mean[0] == mean[1]).all()


class Pieces:
    """Vectors in several pieces of another precision, as a store has them."""

    def __init__(self, array: Array, cuts: list[int]) -> None:
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0
        self.pieces = np.split(array, cuts)

    def __len__(self) -> int:
        return len(self.array)

    def chunks(self) -> Iterator[Array]:
        self.read += 1
        yield from self.pieces

    def take(self, rows: Array) -> Array:
        return self.array[rows]

    def to_numpy(self) -> Array:
        raise AssertionError("all rows at once are not to be asked for")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_streamed_from_pieces(dtype: Any) -> None:
    rows, target = clustered()
    rows = rows.astype(dtype)
    pieces = Pieces(rows, [100, 101, 400])
    streamed = pursue(pieces, target, 40, passes=8, shards=3)
    assert streamed.index.tolist() == pursue(rows, target, 40, passes=8).index.tolist()
    assert pieces.read <= 3 * 40  # passes, swaps, and the shards that look for their rows
    assert pursue(ArrayVectors(rows), target, 40).index.tolist() == pursue(rows, target, 40).index.tolist()


def test_shards_elsewhere() -> None:
    rows, target = clustered()
    here = Shards(Beside([Shard(rows, 0, 200), Shard(rows[200:], 200, 600, offset=200)], [0, 200]))
    assert pursue(here, target, 20).index.tolist() == pursue(rows, target, 20).index.tolist()
    with pytest.raises(InputError, match="shards already"):
        pursue(here, target, 20, rates=[1.0])


def test_a_shard_that_leads_nowhere_gives_nothing() -> None:
    rows, target = clustered(300)
    away = -np.abs(rows[:, :1]) * target[None].astype(np.float32) - 0.01 * target.astype(np.float32)
    both = np.concatenate([rows, away])
    chosen = pursue(both, target, 20, shards=2)
    assert chosen.index.max() < 300
    assert chosen.index.tolist() == pursue(rows, target, 20).index.tolist()


def test_the_order_of_rows_does_not_matter() -> None:
    rows, target = clustered()
    rows[300:310] = rows[:10]  # equal rows: the tie goes to the lower number
    ids = np.arange(600)
    order = np.random.default_rng(3).permutation(600)
    whole = pursue(rows, target, 50)
    moved = pursue(rows[order], target, 50, ties=ids[order], shards=4)
    assert order[moved.index].tolist() == whole.index.tolist()


def test_near_copies_stay_out() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 128))
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    near = np.repeat(base, 5, 0) + 0.002 * rng.standard_normal((1500, 128))
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    groups = np.repeat(np.arange(300), 5)
    target = rng.uniform(0.5, 1.5, 40) @ base[:40]
    chosen = pursue(near, target, 40)
    assert len(np.unique(groups[chosen.index])) == 40
    assert set(groups[chosen.index]) == set(range(40))
    top = np.argsort(-(near @ target.astype(np.float32)))[:40]
    assert len(np.unique(groups[top])) < 15


def test_beyond_the_rank_the_rest_is_pursued_again() -> None:
    rows, target = clustered(600, width=16)
    chosen = pursue(rows, target, 100)
    check(rows, target, chosen, 100)
    counts = np.bincount(chosen.round[chosen.round >= 0])
    assert counts[0] <= 16 and len(counts) >= 100 / 16
    assert chosen.residual is not None and chosen.residual[-1] < 0.05
    everything = pursue(rows, target, 600)
    assert sorted(everything.index) == list(range(600))
    assert (everything.round == -1).any() and everything.weight[everything.round == -1].max() < 0.01


def test_identical_items_and_a_single_one() -> None:
    rows = np.ones((5, 3))
    chosen = pursue(rows, np.array([1.0, 2, 3]), 4)
    assert chosen.index.tolist() == [0, 1, 2, 3] and chosen.round.tolist() == [0, 1, 2, 3]
    assert chosen.weight is not None and chosen.weight[0] == chosen.weight.max()
    alone = pursue(np.array([[2.0, 0]]), np.array([4.0, 0]), 1)
    assert alone.index.tolist() == [0] and alone.scale[0] == pytest.approx(2) and alone.residual[-1] < 1e-6


def test_the_mean_of_the_pool_is_the_target_where_none_is_given() -> None:
    rows, _ = clustered()
    chosen = pursue(rows, None, 60, rng=np.random.default_rng(0))
    assert chosen.residual is not None
    assert left(rows, rows.mean(0), chosen) == pytest.approx(chosen.residual[-1], abs=1e-4)
    assert chosen.random["objective"] == pytest.approx(chosen.residual[-1])
    assert chosen.random["objective"] < chosen.random["random"] < 1
    assert pursue(rows, None, 60).random == {}


def test_several_targets_have_equal_shares() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.abs(rng.standard_normal((50, 4))) @ np.eye(4, 12, 4 * j) for j in range(3)])
    targets = np.stack([np.eye(3)[j].repeat(4) for j in range(3)])
    chosen = pursue(rows, targets, 7)
    of = chosen.index // 50
    assert np.bincount(of).tolist() == [3, 2, 2]
    assert of.tolist() == [0, 1, 2, 0, 1, 2, 0]  # in turn
    assert chosen.residual is not None and (np.diff(chosen.residual) < 1e-9).all()
    for j in range(3):
        own = pursue(rows, targets[j], 3 if j == 0 else 2)
        assert chosen.index[of == j].tolist() == own.index.tolist()
    # what one cannot use goes to the others
    few = rows.copy()
    few[:49] = 0
    assert np.bincount(pursue(few, targets, 9).index // 50).tolist() == [1, 4, 4]


def test_mandatory_forbidden_and_groups() -> None:
    rows, target = clustered()
    free = pursue(rows, target, 20)
    must, banned = np.array([599, 3, int(free.index[2])]), free.index[:2]
    chosen = pursue(rows, target, 20, within=Constraints(mandatory=must, forbidden=banned))
    check(rows, target, chosen, 20)
    assert chosen.index[:3].tolist() == must.tolist() and not set(banned) & set(chosen.index)
    codes = np.arange(600) % 3
    shared = pursue(rows, target, 20, within=Constraints(group=codes, balance="equal"))
    assert sorted(np.bincount(codes[shared.index]).tolist()) == [6, 7, 7]
    own = pursue(rows[codes == 1], target, 7)
    assert set(shared.index[codes[shared.index] == 1]) <= set(np.flatnonzero(codes == 1)[own.index])
    means = pursue(rows, None, 30, within=Constraints(group=codes))
    alone = pursue(rows[codes == 2], rows[codes == 2].mean(0), 10)
    assert means.index[codes[means.index] == 2].tolist() == (np.flatnonzero(codes == 2)[alone.index]).tolist()
    several = pursue(
        rows, np.stack([target, rows[7], rows[9]]), 6, within=Constraints(mandatory=np.arange(5))
    )
    assert sorted(several.index)[:5] == [0, 1, 2, 3, 4] and len(several) == 6
    with pytest.raises(InputError, match="costs"):
        pursue(rows, target, 20, within=Constraints(cost=np.full(600, 2.0)))


def test_checkpoints_rates_and_subspaces() -> None:
    rows, target = clustered(width=60)
    stacked = rows * np.repeat(np.sqrt([0.5, 0.25, 2.0]), 20).astype(np.float32)
    plain = pursue(stacked, target * np.repeat(np.sqrt([0.5, 0.25, 2.0]), 20), 20)
    assert pursue(rows, target, 20, rates=[0.5, 0.25, 2.0]).index.tolist() == plain.index.tolist()
    aims = clustered(30, 60, seed=4)[0]
    bases = target_subspaces(aims, 4, checkpoints=3)
    assert [basis.shape for basis in bases] == [(20, 4)] * 3
    assert all(np.allclose(basis.T @ basis, np.eye(4)) for basis in bases)
    inside = np.concatenate([rows[:, 20 * t : 20 * t + 20] @ bases[t] for t in range(3)], axis=1)
    aim = np.concatenate([aims[:, 20 * t : 20 * t + 20].mean(0) @ bases[t] for t in range(3)])
    chosen = pursue(rows, aims.mean(0), 10, subspaces=bases, shards=2)
    assert chosen.index.tolist() == pursue(inside.astype(np.float32), aim, 10).index.tolist()


def test_a_ridge_evens_the_weights() -> None:
    rows, target = clustered()
    target = target / np.linalg.norm(target)
    plain, shrunk = (pursue(rows, target, 40, ridge=ridge) for ridge in (0.0, 1.0))
    assert plain.weight is not None and shrunk.weight is not None
    assert shrunk.weight.std() < plain.weight.std()
    check(rows, target, shrunk, 40)


def test_rows_unlike_the_target_stay_out_while_there_are_others() -> None:
    rows, target = np.array([[1.0, 0.5], [1, 0.6], [0.2, -1]]), np.array([1.0, 0])
    assert sorted(pursue(rows, target, 2).index) == [0, 2]  # 1 and 0.5 of them are (1.1, 0)
    like = pursue(rows, target, 2, least=0.5)  # products 1, 1 and 0.2
    assert like.index.tolist() == [0, 1] and like.round is not None and like.round.tolist() == [0, 1]
    assert sorted(pursue(rows, target, 2, least=0.2).index) == [0, 1]  # above it is meant
    assert sorted(pursue(rows, target, 2, least=0.19).index) == [0, 2]
    assert sorted(pursue(rows, target, 2, least=5.0).index) == [0, 1]  # none is: those that are most like it
    assert sorted(pursue(rows, target, 3, least=0.5).index) == [0, 1, 2]
    must = pursue(rows, target, 2, least=0.5, within=Constraints(mandatory=np.array([2])))
    assert must.index.tolist() == [2, 1]
    both = pursue(rows, np.stack([target, [0.0, 1]]), 2, least=[0.5, 0.55])
    assert both.index.tolist() == [0, 1]  # that along (0, 1) is the second: 0.6


@pytest.mark.parametrize("shards", [2, 7, 40])
def test_what_is_unlike_is_so_in_any_shards(shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, target = clustered(noise=2.0)
    least = float(np.sort(rows @ target.astype(np.float32))[-80])
    whole = pursue(rows, target, 50, least=least)
    cut = pursue(rows, target, 50, least=least, shards=shards)
    assert cut.index.tolist() == whole.index.tolist() and (cut.weight == whole.weight).all()
    assert whole.index.tolist() != pursue(rows, target, 50).index.tolist()
    assert (rows[whole.index] @ target > least - 1e-6).all()
    monkeypatch.setattr(tasks, "_HELD", 0)  # too many to be held here: asked for where they lie
    assert pursue(rows, target, 50, least=least, shards=shards).index.tolist() == whole.index.tolist()


def test_a_few_rows_answer_as_all_do() -> None:
    rows, target = clustered(noise=2.0)
    rank = np.random.default_rng(2).permutation(600)
    rows[7], rows[450] = rows[300], rows[300]  # of equal products the lowest rank goes first
    source = Shard(rows, 0, 600, rank)
    some = np.array([450, 2, 300, 7, 99, 12])
    few = Few(source, some)
    assert (few.take(np.array([12, 450])) == rows[[12, 450]]).all() and len(few) == 6
    closed = np.setdiff1d(np.arange(600), some)
    for count, taken in ((3, []), (6, [2, 599]), (1, [300])):
        here = few.best(target, count, np.array(taken, np.int64), -np.inf)
        there = source.best(target, count, np.append(closed, np.array(taken, np.int64)), -np.inf)
        assert here[0].tolist() == there[0].tolist() and here[1] == pytest.approx(there[1], rel=1e-5)
    assert few.total(some[:2])[0][0] == pytest.approx(rows[some[:2]].sum(0), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"budget": 0}, "budget 0"),
        ({"budget": 31}, "budget 31"),
        ({"target": np.zeros(4)}, "all zero"),
        ({"target": np.ones(3)}, "4 columns"),
        ({"target": np.array([1, 1, np.nan, 1])}, "not finite"),
        ({"gradients": np.zeros((30, 4))}, "none leads towards it"),
        ({"gradients": np.zeros((30, 4)), "target": None}, "all zero"),
        ({"gradients": np.where(np.eye(30, 4) > 0, np.inf, 1.0)}, "4 gradients are not finite.*row 0"),
        ({"gradients": np.where(np.eye(30, 4) > 0, np.nan, 1.0), "target": None}, "not finite.*row 0"),
        ({"gradients": np.zeros((0, 4))}, "at least one"),
        ({"gradients": np.ones(4)}, "is meant"),
        ({"gradients": np.array([["a"]])}, "numbers"),
        (
            {"gradients": np.eye(30, 4)[:, [0, 0, 0, 0]] * 0 + [1, 1, -1, -1], "target": np.ones(4)},
            "none leads",
        ),
        ({"shards": 0}, "shards"),
        ({"shards": 2.5}, r"shards 2\.5: how many"),
        ({"shards": "two"}, "shards 'two'"),
        ({"shards": 31}, "shards"),
        ({"passes": 0}, "passes"),
        ({"ridge": -1.0}, "ridge"),
        ({"least": [0.1, 0.2]}, "least"),
        ({"least": np.nan}, "least nan"),
        ({"rates": [1.0, 1.0, 1.0]}, "3 checkpoints"),
        ({"rates": [-1.0, 1.0]}, "rates"),
        ({"subspaces": [np.ones((3, 1))]}, "subspace 0"),
        ({"ties": np.arange(3)}, "ties"),
    ],
)
def test_what_cannot_be_used(change: dict[str, Any], told: str) -> None:
    rows = np.abs(np.random.default_rng(0).standard_normal((30, 4)))
    given = {"gradients": rows, "target": np.ones(4), "budget": 3, **change}
    with pytest.raises(InputError, match=told):
        pursue(given.pop("gradients"), given.pop("target"), given.pop("budget"), **given)


def test_fractions_and_the_best_of_equal_scores() -> None:
    rows, target = clustered()
    assert len(pursue(rows, target, "5%")) == len(pursue(rows, target, 0.05)) == 30
    assert best_of(np.array([1.0, 3, 2, 2, 2]), np.array([0, 1, 4, 2, 3]), 3).tolist() == [1, 3, 4]
