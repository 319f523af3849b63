"""TracIn, Grad-Cos and LESS against their formulas in plain loops, from arrays, vectors in pieces and every kind of store."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from curate.errors import InputError
from curate.memory import ArrayVectors
from curate.scorers.influence import GradientStore, Header, Projection, grad_cos, less, self_influence, tracin
from curate.scorers.influence.kernels import dots_of_bytes, dots_of_bytes_by_three

N, M, T, D = 37, 7, 3, 40
RATES = (1.7e-5, 1.3e-5, 2.6e-6)
GROUPS = ["b", "a", "a", "b", "c", "a", "c"]


@pytest.fixture
def gradients():
    rng = np.random.default_rng(0)
    train = rng.standard_normal((N, T, D)) * rng.uniform(0.1, 9, (N, T, 1))
    target = rng.standard_normal((M, T, D)) * rng.uniform(0.1, 9, (M, T, 1))
    return train.astype(np.float32), target.astype(np.float32)


def flat(x):
    return x.reshape(len(x), -1)


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def store_of(path, values, precision, normalised, checkpoints=("x", "y", "z"), rates=RATES):
    header = Header(
        len(values),
        D,
        checkpoints,
        999,
        projection=Projection(D),
        precision=precision,
        normalised=normalised,
        rates=rates,
    )
    store = GradientStore.create(path, header)
    for t in range(T):
        store.write(np.arange(len(values)), t, values[:, t])
    store.commit()
    return GradientStore.open(path)


def less_by_hand(train, target, rates, mean):
    eta = np.array(rates) / sum(rates)
    tasks = sorted(set(GROUPS))
    out = np.empty((len(train), len(tasks)))
    for i in range(len(train)):
        for j, task in enumerate(tasks):
            rows = [k for k, name in enumerate(GROUPS) if name == task]
            if mean == "cosines":
                each = [sum(eta[t] * cosine(train[i, t], target[k, t]) for t in range(T)) for k in rows]
                out[i, j] = np.mean(each)
            else:
                out[i, j] = sum(eta[t] * cosine(train[i, t], target[rows, t].mean(0)) for t in range(T))
    return out


@pytest.mark.parametrize("mean", ["cosines", "gradient"])
def test_less_is_its_formula(gradients, mean):
    train, target = gradients
    expected = less_by_hand(train, target, RATES, mean)
    got = less(flat(train), flat(target), checkpoints=T, rates=RATES, groups=GROUPS, mean=mean)
    assert got.tasks == ("a", "b", "c")
    assert np.allclose(got.by_task, expected, atol=1e-6)
    assert np.allclose(got.score, expected.max(axis=1), atol=1e-6)


def test_the_two_means_differ_where_lengths_do(gradients):
    train, target = gradients
    one, other = (
        less(flat(train), flat(target), checkpoints=T, mean=mean).score for mean in ("cosines", "gradient")
    )
    assert np.abs(one - other).max() > 0.05


def test_tracin_is_its_formula(gradients):
    train, target = gradients
    expected = [sum(RATES[t] * train[i, t] @ target[:, t].mean(0) for t in range(T)) for i in range(N)]
    assert np.allclose(
        tracin(flat(train), flat(target), checkpoints=T, rates=RATES).score, expected, rtol=1e-4, atol=1e-8
    )
    plain = tracin(flat(train), flat(target), checkpoints=T).score
    assert np.allclose(plain, np.einsum("itd,td->i", train, target.mean(0)), rtol=1e-4, atol=1e-3)


def test_grad_cos_weighs_checkpoints_alike(gradients):
    train, target = gradients
    expected = less_by_hand(train, target, (1, 1, 1), "cosines")
    got = grad_cos(flat(train), flat(target), checkpoints=T, groups=GROUPS)
    assert np.allclose(got.by_task, expected, atol=1e-6)


def test_self_influence_by_hand():
    train = np.array([[3, 4, 0, 1], [0, 0, 0, 2]], np.float32)
    assert np.allclose(self_influence(train, checkpoints=2, rates=(2, 0.5)), [2 * 25 + 0.5, 2.0])


@pytest.mark.parametrize("precision", ["fp16", "int8", "1-bit"])
@pytest.mark.parametrize("normalised", [True, False])
def test_stores_say_the_same_as_arrays(tmp_path, gradients, precision, normalised):
    train, target = gradients
    store = store_of(tmp_path / "train", train, precision, normalised)
    aim = store_of(tmp_path / "target", target, "fp16", False)
    exact = less(flat(train), flat(target), checkpoints=T, rates=RATES, groups=GROUPS)
    got = less(store, aim, groups=GROUPS)
    assert np.abs(got.by_task - exact.by_task).max() < {"fp16": 1e-3, "int8": 0.01, "1-bit": 0.3}[precision]
    lengths = tracin(store, aim).score  # the lengths are kept where rows are normalised
    expected = tracin(flat(train), flat(target), checkpoints=T, rates=RATES).score
    assert np.corrcoef(lengths, expected)[0, 1] > (0.6 if precision == "1-bit" else 0.999)
    assert np.allclose(
        self_influence(store), self_influence(flat(train), checkpoints=T, rates=RATES), rtol=0.05
    )


def test_bytes_are_multiplied_as_they_lie(tmp_path, gradients):
    pytest.importorskip("numba", reason="extra select not installed")
    train, target = gradients
    store = store_of(tmp_path / "g", train, "int8", True)
    few = less(store, flat(target), groups=GROUPS)  # three queries: the kernel
    many = less(store, flat(target), groups=[str(i) for i in range(M)])  # seven: decoded
    one = less(store, flat(target)[:1])
    assert np.allclose(one.by_task[:, 0], many.by_task[:, 0], atol=1e-6)
    values = store.to_numpy().astype(np.float64).reshape(N, T, D)
    assert np.allclose(few.by_task, less_by_hand(values, target, RATES, "cosines"), atol=2e-3)
    out = np.zeros((5, 2), np.float32)
    codes = np.arange(-20, 20, dtype=np.int8).reshape(5, 2, 4)
    scales, queries = np.full((5, 2), 0.5, np.float32), np.ones((2, 2, 4), np.float32)
    for kernel in (dots_of_bytes, dots_of_bytes_by_three):  # the kernels themselves, in Python
        out[:] = 0
        kernel(codes, scales, queries, out)
        assert np.allclose(out, codes.reshape(5, -1).sum(1, dtype=float)[:, None] / 2)


class Pieces(ArrayVectors):
    def chunks(self) -> Iterator[np.ndarray]:
        yield from (self.array[low : low + 5] for low in range(0, len(self.array), 5))


def test_vectors_in_pieces(gradients):
    train, target = gradients
    whole = less(flat(train), flat(target), checkpoints=T)
    pieces = less(Pieces(flat(train)), Pieces(flat(target)), checkpoints=T)
    assert np.allclose(whole.score, pieces.score, atol=1e-6)


def test_rows_that_cannot_be_scored(tmp_path, gradients):
    train, target = gradients
    train = train.copy()
    train[3, 1, 2] = np.nan
    train[5] = 0
    for source in (
        flat(train),
        store_of(tmp_path / "a", train, "int8", True),
        store_of(tmp_path / "b", train, "fp16", False),
    ):
        score = less(source, flat(target), checkpoints=T).score
        assert np.isnan(score[3]) and score[5] == 0 and np.isfinite(np.delete(score, 3)).all()
        assert np.isnan(tracin(source, flat(target), checkpoints=T).score[3])
        assert np.isnan(self_influence(source, checkpoints=T)[3])
    assert np.isfinite(less(flat(train)[:1], flat(target), checkpoints=T).score).all()  # one item


def test_what_does_not_fit_is_refused(tmp_path, gradients):
    train, target = gradients
    x, v = flat(train), flat(target)
    bad = v.copy()
    bad[2, 0] = np.inf
    for call, told in [
        (lambda: less(x, bad, checkpoints=T), "1 gradient of the target is not finite, as row 2"),
        (lambda: less(x, np.zeros_like(v), checkpoints=T), "all zero"),
        (lambda: less(x, v[:, :60], checkpoints=T), "20 dimensions, those to be scored 40"),
        (lambda: less(x, v, checkpoints=7), "7 checkpoints of equal width"),
        (lambda: less(x, v, checkpoints=T, rates=(1, 2)), "2 learning rates for 3"),
        (lambda: less(x, v, checkpoints=T, rates=(0, 0, 0)), "not all 0"),
        (lambda: less(x, v, checkpoints=T, groups=["a"]), "1 sub-task for 7"),
        (lambda: less(x, v, checkpoints=T, mean="mode"), "'cosines' or 'gradient'"),
        (lambda: less(x[:0], v, checkpoints=T), "at least one of each"),
        (lambda: less(x[0], v, checkpoints=T), "shape"),
    ]:
        with pytest.raises(InputError, match=told):
            call()
    one = store_of(tmp_path / "one", train, "int8", True)
    other = store_of(tmp_path / "other", target, "fp16", True, checkpoints=("x", "y", "w"))
    with pytest.raises(InputError, match="cannot be compared: checkpoints"):
        less(one, other)
    with pytest.raises(InputError, match="holds 3 checkpoints, 2 are asked for"):
        less(one, v, checkpoints=2)


def test_what_points_to_the_target_is_found():
    rng = np.random.default_rng(1)
    aim = rng.standard_normal(200)
    target = (aim + rng.standard_normal((10, 200))).astype(np.float32)
    train = rng.standard_normal((300, 200)).astype(np.float32)
    train[:30] += 0.5 * aim  # thirty of the kind asked for
    for score in (less(train, target).score, tracin(train, target).score, grad_cos(train, target).score):
        assert np.isin(np.argsort(-score)[:30], np.arange(30)).mean() > 0.9
