"""Joint embedders and `pair-filter`: planted truth, no leaks between folds, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError, SchemaError
from curate.scorers.alignment import pair_filter, train_joint
from curate.scorers.alignment.pairs.crossfit import deal_groups, told_apart
from curate.scorers.alignment.pairs.filter import PairFilter
from curate.testing import ArrayView, check_scorer, score_all


def make_pairs(n: int, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Two views, 40 and 30 numbers wide, of eight numbers that they share."""
    world = np.random.default_rng(99)
    left, right = world.normal(size=(8, 40)), world.normal(size=(8, 30))
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 8))
    images = shared @ left + noise * rng.normal(size=(n, 40))
    return images, shared @ right + noise * rng.normal(size=(n, 30))


def retrieval(model: Any, images: np.ndarray, texts: np.ndarray) -> float:
    cosines = model.embed_images(images) @ model.embed_texts(texts).T
    return told_apart(np.diag(cosines), cosines[~np.eye(len(cosines), dtype=bool)])


def test_the_closed_form_tells_new_pairs_apart_and_shuffled_ones_teach_nothing() -> None:
    images, texts = make_pairs(200)
    new = make_pairs(150, seed=1)
    assert retrieval(train_joint(images, texts, epochs=0), *new) > 0.98
    shuffled = texts[np.random.default_rng(0).permutation(200)]
    assert 0.3 < retrieval(train_joint(images, shuffled, epochs=0), *new) < 0.7


def test_every_setting_changes_the_towers() -> None:
    pytest.importorskip("torch", reason="extra train not installed")
    images, texts = make_pairs(120)
    base: dict[str, Any] = {"epochs": 4, "held": 0.0}  # nothing held out: the last epoch stays
    plain = train_joint(images, texts, **base)
    again = train_joint(images, texts, **base)
    assert np.array_equal(plain.image.linear, again.image.linear)
    changes: list[dict[str, Any]] = [
        {"dim": 5},
        {"components": 10},
        {"shrinkage": 0.1},
        {"hidden": 8},
        {"hardness": 0.0},
        {"temperature": 0.3},
        {"rate": 1e-2},
        {"decay": 500.0},
        {"epochs": 1},
        {"held": 0.3},
        {"groups": np.arange(120) // 3},
    ]
    for change in changes:
        other = train_joint(images, texts, **{**base, **change})
        assert not np.allclose(plain.score(images, texts), other.score(images, texts), atol=1e-9), change
    dealt = [train_joint(images, texts, epochs=1, held=0.3, seed=seed) for seed in (0, 1)]
    assert not np.allclose(*(one.image.mean for one in dealt))  # other groups are held out
    assert train_joint(images, texts, epochs=60, rate=0.05, patience=1).best < 40


def test_training_keeps_what_held_out_groups_like_best() -> None:
    pytest.importorskip("torch", reason="extra train not installed")
    images, texts = make_pairs(200, noise=3)
    found = train_joint(images, texts, rate=5e-3, hidden=16)
    assert found.held_out[found.best] == min(found.held_out)
    assert retrieval(found, *make_pairs(150, seed=1, noise=3)) > 0.8
    assert (
        train_joint(images[:12], texts[:12], epochs=2).held_out == ()
    )  # one held-out pair would tell nothing


def test_contrastive_loss_by_hand() -> None:
    torch = pytest.importorskip("torch", reason="extra train not installed")
    from curate.scorers.alignment.pairs.training import contrastive_loss

    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    groups = torch.tensor([0, 1, 2])
    # cosines are 1 with itself and its copy, 0 with the other: rows 0 and 2 lose log(2 + 1/e), row 1 log(1 + 2/e)
    plain = (2 * np.log(2 + np.exp(-1)) + np.log(1 + 2 * np.exp(-1))) / 3
    assert np.isclose(float(contrastive_loss(x, x, groups, temperature=1)), plain)
    # the copy is of the same group: no wrong partner for row 0 or 2
    same = (2 * np.log(1 + np.exp(-1)) + np.log(1 + 2 * np.exp(-1))) / 3
    assert np.isclose(float(contrastive_loss(x, x, torch.tensor([0, 1, 0]), temperature=1)), same)
    # hardness 1: for row 0 the wrong partners weigh 2 e/(e + 1) and 2/(e + 1)
    e = np.e
    hard = np.log((e + 2 * e / (e + 1) * e + 2 / (e + 1)) / e)
    expected = (2 * hard + np.log(1 + 2 / e)) / 3
    assert np.isclose(float(contrastive_loss(x, x, groups, temperature=1, hardness=1)), expected)


def test_planted_wrong_pairs_score_low_even_when_all_teach() -> None:
    images, texts = make_pairs(200)
    wrong = np.arange(0, 200, 5)
    texts[wrong] = texts[np.roll(wrong, 1)]
    good = np.setdiff1d(np.arange(200), wrong)
    found = pair_filter(images, texts, train=lambda x, y, g: train_joint(x, y, groups=g, epochs=0))
    assert told_apart(found.score[good], found.score[wrong]) > 0.97
    assert abs(found.score[wrong].mean()) < 0.5 and found.score[good].mean() > 1.5  # 0 is chance
    trusted = np.isin(np.arange(200), good[:60])
    few = pair_filter(
        images, texts, trusted=trusted, train=lambda x, y, g: train_joint(x, y, groups=g, epochs=0)
    )
    assert told_apart(few.score[good[60:]], few.score[wrong]) > 0.93
    assert few.auroc > 0.95


def test_no_model_sees_a_group_that_it_judges() -> None:
    images, texts = make_pairs(60)
    groups = np.arange(60) // 3
    seen: list[set[int]] = []

    def train(x: Any, y: Any, g: Any) -> Any:
        seen.append(set(g.tolist()))
        return train_joint(x, y, groups=g, epochs=0)

    trusted = np.arange(60) % 3 == 0
    found = pair_filter(images, texts, trusted=trusted, groups=groups, folds=4, train=train)
    for fold, taught in enumerate(seen):
        assert not taught & set(groups[found.fold == fold].tolist())
    # copies of random pairs: with the group told nothing can be learned, without it the copies give themselves away
    rng = np.random.default_rng(0)
    x, y = np.repeat(rng.normal(size=(100, 20)), 3, 0), np.repeat(rng.normal(size=(100, 20)), 3, 0)
    closed = lambda a, b, g: train_joint(a, b, groups=g, epochs=0)  # noqa: E731
    assert pair_filter(x, y, groups=np.arange(300) // 3, train=closed).auroc < 0.65
    assert pair_filter(x, y, train=closed).auroc > 0.75


@given(st.integers(2, 6), st.integers(4, 30), st.integers(0, 5))
def test_folds_keep_groups_and_spread_what_is_known(folds: int, count: int, seed: int) -> None:
    codes = np.repeat(np.arange(count), 2)
    known = codes < max(folds, 4)
    if max(folds, 4) > count:
        return
    fold = deal_groups(codes, known, folds, seed)
    assert (fold[::2] == fold[1::2]).all()
    assert set(fold[known]) == set(range(folds))


def test_told_apart_by_hand() -> None:
    assert told_apart(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == (1 + 0.5 + 1 + 1) / 4
    assert np.isnan(told_apart(np.array([]), np.array([1.0])))


def view_of(n: int = 60) -> ArrayView:
    images, texts = make_pairs(n)
    texts[5] = texts[40]
    table = {
        "id": [f"{i:03d}" for i in range(n)],
        "ok": [None if i == 0 else i % 6 != 5 for i in range(n)],
        "photo": [None if i == 1 else f"p{i // 2}" for i in range(n)],
    }
    return ArrayView(table, {"a": images.astype(np.float32), "b": texts.astype(np.float32)})


def test_scorer_conforms_and_its_parameters_matter() -> None:
    view = view_of()
    base: dict[str, Any] = {"image": "a", "text": "b", "epochs": 0}
    check_scorer(PairFilter(**base, trusted="ok", groups="photo"), view, planted=("006", "005"))
    plain = score_all(PairFilter(**base), view)["pair_filter"].to_numpy()
    changes: list[dict[str, Any]] = [
        {"trusted": "ok"},
        {"groups": "photo"},
        {"folds": 3},
        {"seed": 1},
        {"dim": 2},
    ]
    for change in (*changes, {"components": 3}, {"shrinkage": 0.0}):
        other = score_all(PairFilter(**{**base, **change}), view)["pair_filter"].to_numpy()
        assert not np.allclose(plain, other), change
    pytest.importorskip("torch", reason="extra train not installed")
    trained = score_all(PairFilter("a", "b", epochs=3), view)["pair_filter"].to_numpy()
    layered = score_all(PairFilter("a", "b", epochs=3, hidden=4), view)["pair_filter"].to_numpy()
    assert not np.allclose(plain, trained) and not np.allclose(trained, layered)


def test_wide_vectors_of_few_images_give_the_components_that_all_their_rows_give() -> None:
    from curate.scorers.alignment.pairs.embedder import _components

    rng = np.random.default_rng(0)
    z = np.repeat(rng.normal(size=(7, 12)), [1, 2, 3, 1, 4, 2, 2], axis=0)
    z -= z.mean(0)
    values, axes = _components(z)
    expected = np.linalg.eigvalsh(z.T @ z / len(z))
    assert len(values) == 6  # seven points, centred
    assert np.allclose(values, expected[-6:])
    assert np.allclose(axes.T @ axes, np.eye(6))
    assert np.allclose(z @ axes @ axes.T, z)


def test_shrinkage_holds_down_what_few_pairs_cannot_teach() -> None:
    images, texts = make_pairs(60, noise=3)
    rng = np.random.default_rng(5)
    wide = np.hstack([images, 0.3 * rng.normal(size=(60, 200))])
    view = ArrayView(
        {"id": [f"{i:03d}" for i in range(60)]}, {"a": wide.astype(np.float32), "b": texts.astype(np.float32)}
    )

    def known(**fields: Any) -> float:
        note = PairFilter("a", "b", epochs=0, folds=4, **fields).fit(view).notes[0]
        return float(note.partition("AUROC ")[2].split()[0])

    assert known(shrinkage=3.0) > known(shrinkage=0.0) + 0.02
    assert known(shrinkage=0.0, components=12) > known(shrinkage=0.0) + 0.02


def test_notes_say_what_was_learned() -> None:
    view = view_of()
    told = PairFilter("a", "b", trusted="ok", epochs=0).fit(view).notes
    assert "learned from 49 pairs in 49 groups" in told[0] and "do not drop" not in told[0]
    rng = np.random.default_rng(0)
    noise = {
        "a": rng.normal(size=(60, 5)).astype(np.float32),
        "b": rng.normal(size=(60, 5)).astype(np.float32),
    }
    blind = ArrayView({"id": [f"{i:03d}" for i in range(60)]}, noise)
    assert "do not drop by this score" in PairFilter("a", "b", epochs=0).fit(blind).notes[0]


def test_rows_without_vectors_get_a_reason_and_change_no_other() -> None:
    view = view_of()
    images, texts = view.vectors("a").to_numpy().copy(), view.vectors("b").to_numpy().copy()
    images[3], texts[7, 2] = np.nan, np.inf
    table = {"id": [f"{i:03d}" for i in range(60)]}
    holes = score_all(PairFilter("a", "b", epochs=0), ArrayView(table, {"a": images, "b": texts}))
    assert holes["pair_filter_reason"][3].as_py() == "no a"
    assert holes["pair_filter_reason"][7].as_py() == "b is not finite"
    kept = np.setdiff1d(np.arange(60), [3, 7])
    small = ArrayView({"id": [table["id"][i] for i in kept]}, {"a": images[kept], "b": texts[kept]})
    alone = score_all(PairFilter("a", "b", epochs=0), small)
    assert np.allclose(holes["pair_filter"].take(kept).to_numpy(), alone["pair_filter"].to_numpy())


def test_bad_input_is_told() -> None:
    images, texts = make_pairs(20)
    with pytest.raises(InputError, match="of each are meant"):
        train_joint(images, texts[:19])
    with pytest.raises(InputError, match="1 pair: it takes 4"):
        train_joint(images[:1], texts[:1])
    with pytest.raises(InputError, match="2 groups of pairs"):
        train_joint(images, texts, groups=np.arange(20) % 2)
    with pytest.raises(InputError, match="the first is row 4"):
        train_joint(np.where(np.arange(20)[:, None] == 4, np.nan, images), texts)
    with pytest.raises(InputError, match="all 20 texts are the same vector"):
        train_joint(images, np.ones((20, 3)), epochs=0)
    with pytest.raises(InputError, match="19 groups for 20 pairs"):
        train_joint(images, texts, groups=np.arange(19))
    with pytest.raises(InputError, match="held=1"):
        train_joint(images, texts, held=1.0)
    with pytest.raises(InputError, match="dim=0"):
        train_joint(images, texts, dim=0)
    with pytest.raises(InputError, match="shrinkage=-1"):
        train_joint(images, texts, shrinkage=-1)
    model = train_joint(images, texts, epochs=0)
    with pytest.raises(InputError, match=r"trained on \(n, 40\)"):
        model.embed_images(texts)
    with pytest.raises(InputError, match="one of each per pair"):
        model.score(images, texts[:3])
    with pytest.raises(InputError, match="3 groups with a trusted pair for 2 folds"):
        pair_filter(images, texts, trusted=np.arange(20) < 3, folds=2)
    with pytest.raises(InputError, match="marks of trust"):
        pair_filter(images, texts, trusted=np.ones(3, bool))
    for wrong in (
        {"folds": 1},
        {"dim": 0},
        {"hidden": -1},
        {"epochs": -1},
        {"components": 0},
        {"shrinkage": -1.0},
    ):
        with pytest.raises(InputError, match="pair-filter"):
            PairFilter(**wrong)
    with pytest.raises(SchemaError):
        PairFilter("ok", "b").fit(view_of())
