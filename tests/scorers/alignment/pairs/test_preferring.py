"""Rewards of captions by models that have not seen the rankings of their image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import curate
from curate.errors import InputError
from curate.scorers.alignment import caption_reward, choose_caption
from curate.scorers.alignment.pairs.preferring import caption_features
from curate.scorers.alignment.pairs.reward_scorer import CaptionReward
from curate.testing import ArrayView, score_all

NAN = float("nan")


def planted(n: int, seed: int = 0) -> tuple[Any, ...]:
    """`n` images with four captions each, in one space of eight numbers; people like what fits, and long ones (the last
    number), with noise. Half of the images are ranked."""
    rng = np.random.default_rng(seed)
    pictures = rng.normal(size=(n, 8))
    groups = np.repeat(np.arange(n), 4)
    images = pictures[groups]
    fit = rng.random(4 * n)[:, None]
    texts = fit * images + (1 - fit) * rng.normal(size=(4 * n, 8))
    texts[:, 7] += rng.normal(size=4 * n)
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (images, texts)]
    liked = (units[0] * units[1]).sum(1) + units[1][:, 7] + rng.logistic(size=4 * n) * 0.15
    ranks = np.concatenate([np.argsort(np.argsort(-one)) + 1.0 for one in liked.reshape(n, 4)])
    ranks[groups >= n // 2] = NAN
    return images, texts, ranks, groups, liked


def test_what_people_like_is_learned_and_carried_to_images_they_have_not_ranked() -> None:
    images, texts, ranks, groups, liked = planted(160)
    found = caption_reward(images, texts, ranks, groups, dim=0)
    assert found.pairs == 80 * 6 and found.agreement > 0.8
    unranked = np.isnan(ranks)
    ours = np.corrcoef(found.score[unranked], liked[unranked])[0, 1]
    cosine = caption_features(images, texts)[0][:, 0]
    assert ours > np.corrcoef(cosine[unranked], liked[unranked])[0, 1] + 0.1 and ours > 0.8
    chosen = choose_caption(found.score, groups)
    assert (
        liked[chosen].mean() > liked.reshape(-1, 4).mean() + 0.5
    )  # the first of four at random has the mean
    for part in range(5):
        assert found.score[found.fold == part].std() == pytest.approx(1)


def test_no_caption_is_judged_by_a_model_that_saw_its_image() -> None:
    images, texts, ranks, groups, _ = planted(40)
    found = caption_reward(images, texts, ranks, groups, dim=0, penalty=10.0)
    assert all(len(np.unique(found.fold[groups == g])) == 1 for g in range(40))
    turned = ranks.copy()
    turned[groups == 3] = 5 - turned[groups == 3]  # people change their minds about one image
    again = caption_reward(images, texts, turned, groups, dim=0, penalty=10.0)
    same = found.fold == found.fold[groups == 3][0]
    assert np.allclose(found.score[same], again.score[same]) and not np.allclose(found.score, again.score)


def test_two_spaces_are_joined_by_the_best_captions() -> None:
    images, texts, ranks, groups, liked = planted(160)
    turn = np.random.default_rng(5).normal(size=(8, 12))
    found = caption_reward(images @ turn, texts, ranks, groups, dim=6)
    assert found.agreement > 0.65
    with pytest.raises(InputError, match=r"12 numbers and text vectors of 8.*dim=64"):
        caption_reward(images @ turn, texts, ranks, groups, dim=0)
    assert liked.shape == found.score.shape


def test_rankings_that_say_nothing_are_no_knowledge() -> None:
    images, texts, ranks, groups, _ = planted(40)
    random = np.where(np.isnan(ranks), NAN, np.random.default_rng(9).random(len(ranks)))
    assert abs(caption_reward(images, texts, random, groups, dim=0).agreement - 0.5) < 0.12
    with pytest.raises(InputError, match="0 groups with a trusted pair"):
        caption_reward(images, texts, np.ones(len(ranks)), groups, dim=0)
    with pytest.raises(InputError, match=r"\(3,\) ranks for 160 captions"):
        caption_reward(images, texts, ranks[:3], groups)
    with pytest.raises(InputError, match="dim=-1"):
        caption_reward(images, texts, ranks, groups, dim=-1)


def view(n: int = 40) -> ArrayView:
    images, texts, ranks, groups, liked = planted(n)
    return ArrayView(
        {
            "id": [f"i{i:03}" for i in range(4 * n)],
            "caption_rank": [None if np.isnan(r) else r for r in ranks.tolist()],
            "rating": (-ranks).tolist(),
            "image": [f"{g}.png" for g in groups],
            "liked": liked.tolist(),
        },
        {"clip_image": images.astype(np.float32), "clip_text": texts.astype(np.float32)},
    )


def test_the_scorer_marks_one_caption_of_each_image() -> None:
    found = score_all(CaptionReward(), view())
    best, places = (np.array(found[c]) for c in ("caption_reward_best", "caption_reward_rank"))
    assert best.reshape(-1, 4).sum(1).tolist() == [1] * 40
    assert (places[best] == 1).all() and sorted(places[:4]) == [1, 2, 3, 4]
    by_rating = score_all(CaptionReward(ranks="0 - rating"), view())
    assert np.allclose(found["caption_reward"], by_rating["caption_reward"])
    for changed in ({"penalty": 1e4}, {"folds": 3}, {"seed": 1}, {"dim": 4}, {"groups": "id"}):
        if changed == {"groups": "id"}:
            with pytest.raises(InputError, match="0 groups"):
                score_all(CaptionReward(**changed), view())
        else:
            other = score_all(CaptionReward(**changed), view())
            assert not np.allclose(found["caption_reward"], other["caption_reward"]), changed
    (note,) = CaptionReward().fit(view()).notes
    assert "50 % is random" in note and "120 pairs" in note


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"dim": -1}, {"penalty": 0.0}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="caption-reward"):
        CaptionReward(**wrong)


def test_the_best_share_is_kept_in_a_store(tmp_path: Path) -> None:
    images, texts, ranks, groups, liked = planted(24)
    rows = []
    for i in range(len(groups)):
        path = tmp_path / f"{groups[i]}.png"
        if not path.exists():
            Image.new("RGB", (8, 8), (int(groups[i]) * 10, 9, 9)).save(path)
        rank = None if np.isnan(ranks[i]) else float(ranks[i])
        rows.append({"id": f"c{i:03}", "image": str(path), "caption": f"caption {i}", "caption_rank": rank})
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(rows, kind="image-text", id="id")
        ids = [row["id"] for row in rows]
        store.attach(images.astype(np.float32), name="clip_image", ids=ids)
        store.attach(texts.astype(np.float32), name="clip_text", ids=ids)
        store.score("caption-reward")
        kept = store.select("top", by="caption_reward", budget=0.25, where="caption_reward_best", name="kept")
        chosen = kept.items.to_polars(["id"])["id"].to_list()
    assert len(chosen) == 6
    rows_kept = [int(c[1:]) for c in chosen]
    assert len(set(groups[rows_kept])) == 6 and liked[rows_kept].mean() > liked.mean() + 0.5
