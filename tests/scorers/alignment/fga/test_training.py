"""Training: losses by hand, what is learned, what is frozen, and runs that are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.errors import InputError
from curate.scorers.alignment import FgaBlip2
from curate.scorers.alignment.fga.judging import judge_pairs
from curate.scorers.alignment.fga.loading import load_fga
from curate.scorers.alignment.fga.network import FgaModel, new_mask_head
from curate.scorers.alignment.fga.ratings import Rating, prepare_ratings
from curate.scorers.alignment.fga.training import TrainingSettings, fga_losses, train_fga

torch = pytest.importorskip("torch", reason="extra train not installed")

BRIEF = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-3, warm_up=2, length=12)


@pytest.fixture(scope="module")
def model(blip2: Path) -> FgaModel:
    return load_fga(str(blip2), device="cpu")


def task(n: int, seed: int) -> list[Rating]:
    """Bright and dark pictures with captions that say which they are, or lie: people notice, in the whole and in the word."""
    rng = np.random.default_rng(seed)
    ratings = []
    for _ in range(n):
        bright, told = rng.integers(2, size=2)
        noise = rng.integers(0, 60, (28, 28, 3))
        picture = (noise + (190 if bright else 0)).astype(np.uint8)
        word = "bright" if told else "dark"
        right = bool(bright == told)
        texts = [f"a {word} square", f"the square, very {word}", f"a {word} square on the street"]
        elements = {f"{word} (attribute)": float(right), "square (shape)": 1.0}
        ratings.append(Rating(picture, texts[rng.integers(3)], 4.5 if right else 1.5, elements))
    return ratings


def rank_correlation(a: Any, b: Any) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def test_losses_by_hand() -> None:
    def t(*rows: Any) -> Any:
        return torch.tensor(rows)

    batch = {
        "scores": t(3.0, 1.0),
        "weights": t(1.0, 3.0),
        "asked": t(1.0, 0.0),
        "masks": t([1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]),
        "targets": t([0.5, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
    }
    queries = t([1.0, 0.5], [0.25, 0.25])  # overall 4 and 2
    tokens = t([0.25, 0.5, 0.9, 0.9], [0.5, 0.9, 0.9, 0.9])
    belongs = t([1.0, 0.5, 0.5, 0.0], [0.3, 0.3, 0.3, 0.3])
    found = fga_losses(queries, tokens, belongs, batch, TrainingSettings())
    overall, by_token, by_mask = (1 + 3) / 2, (0.75 / 4 + 3 * 0.5 / 4) / 2, (1.0 / 4) / 2
    assert [float(one) for one in found[1:]] == pytest.approx([overall, by_token, by_mask])
    assert float(found.total) == pytest.approx(overall + 0.1 * by_token + 0.1 * by_mask)
    other = fga_losses(queries, tokens, belongs, batch, TrainingSettings(token_weight=1, mask_weight=2))
    assert float(other.total) == pytest.approx(overall + by_token + 2 * by_mask)


def test_ratings_become_targets_of_the_cleaned_text(model: FgaModel) -> None:
    ratings = [
        Rating(
            None, "(A) St. Bernard. on the street!", 4.0, {"st. bernard (animal/human)": 0.5, "street": 1.0}
        ),
        Rating(None, "a dog", 2.0, {"guitar (object)": 0.0, "dog": 1.0}),
        Rating(None, "...", 2.0),
        Rating(None, "a dog", 3.0),
    ]
    data = prepare_ratings(model, ratings, length=9)
    assert data.rows.tolist() == [0, 3]
    assert data.dropped == {1: "'guitar (object)' is not in the caption", 2: "no word is left of the text"}
    assert model.names(data.ids[0]) == [
        "[CLS]",
        "a",
        "st",
        "bernard",
        "on",
        "the",
        "street",
        "[SEP]",
        "[PAD]",
    ]
    assert data.attention[0].tolist() == [1] * 8 + [0]
    assert data.targets[0].tolist() == [0.75, 0, 0.5, 0.5, 0, 0, 1, 0, 0]
    assert data.masks[0].tolist() == [1, 0, 1, 1, 0, 0, 1, 0, 0]
    assert data.asked.tolist() == [1, 0] and data.scores.tolist() == [4, 3]
    skipped = prepare_ratings(model, ratings, length=9, missing="skip")
    assert skipped.rows.tolist() == [0, 1, 3]
    assert skipped.targets[1].tolist() == [0.25, 0, 1, 0, 0, 0, 0, 0, 0]
    cut = prepare_ratings(model, ratings, length=6, missing="skip")
    assert model.names(cut.ids[0]) == ["[CLS]", "a", "st", "bernard", "on", "[SEP]"]
    assert cut.masks[0].tolist() == [1, 0, 1, 1, 0, 0], "what is cut off has no span"


def test_ratings_weigh_by_the_variance_of_their_prompt(model: FgaModel) -> None:
    ratings = [
        Rating(None, "a dog", s, prompt=p) for s, p in ((1.0, "p"), (3.0, "p"), (2.0, "q"), (2.0, "q"))
    ]
    weights = {
        w: prepare_ratings(model, ratings, variance_weight=w).weights for w in ("none", "linear", "exp")
    }
    assert weights["none"].tolist() == [1] * 4
    assert weights["linear"].tolist() == [2, 2, 0, 0]
    assert weights["exp"] == pytest.approx([np.e**2, np.e**2, 1, 1])
    by_text = [replace(one, prompt=None) for one in ratings]
    assert prepare_ratings(model, by_text, variance_weight="linear").weights == pytest.approx([2 / 3] * 4)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ([Rating(None, "a dog", 6.0)], r"rating 0: score 6.0 does not lie in \[1, 5\]"),
        ([Rating(None, "a dog", float("nan"))], "rating 0: score nan"),
        ([Rating(None, "a dog", 3.0, {"dog": 3})], r"rating 0: element 'dog' has 3"),
        (
            [Rating(None, "a dog", 3.0, {"cat": 1.0})],
            r"none of 1 rating .* rating 0: 'cat' is not in the caption",
        ),
        ([], "none of 0 ratings can be learned from: there are none"),
    ],
)
def test_ratings_that_cannot_be_learned_from_are_named(model: FgaModel, wrong: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        prepare_ratings(model, wrong)


def test_wrong_settings_are_refused(model: FgaModel) -> None:
    for wrong in (
        {"epochs": 0},
        {"batch_size": 0},
        {"warm_up": -1},
        {"learning_rate": 0.0},
        {"save_every": -1},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            TrainingSettings(**wrong)
    with pytest.raises(InputError, match="length=2"):
        prepare_ratings(model, [Rating(None, "a dog", 3.0)], length=2)
    with pytest.raises(InputError, match="missing='zero'"):
        prepare_ratings(model, [Rating(None, "a dog", 3.0)], missing="zero")  # type: ignore[arg-type]


def test_a_small_task_is_learned(save_blip2: Callable[..., Path], tmp_path: Path) -> None:
    plain = load_fga(str(save_blip2(seed=2, dropout=0.0)), device="cpu")
    head = new_mask_head(32)
    with torch.no_grad():
        for i in (0, 2, 4, 6, 8):  # drawn as small as the authors draw them, it would need many more steps
            head[i].weight.mul_(8)
    model = FgaModel(plain.net, head, plain.tokenizer, "cpu")
    how = TrainingSettings(
        epochs=16, batch_size=12, learning_rate=2e-3, warm_up=10, length=10, token_weight=5, mask_weight=1
    )
    held = task(60, seed=1)
    before = torch.random.get_rng_state()
    trained = train_fga(model, task(120, seed=0), how)
    assert torch.equal(before, torch.random.get_rng_state())
    first, last = trained.history[:10].mean(0), trained.history[-10:].mean(0)
    assert (last < 0.3 * first).all(), (first, last)

    def judge(which: FgaModel) -> Any:
        asked = [list(r.elements or {}) for r in held]
        return judge_pairs(
            which, [r.image for r in held], [r.text for r in held], asked, mask=which is not model
        )

    truth = [r.score for r in held]
    untrained = rank_correlation([one.overall for one in judge(model)], truth)
    judged = judge(trained.model)
    learned = rank_correlation([one.overall for one in judged], truth)
    assert learned > 0.8 and learned > abs(untrained) + 0.2, (learned, untrained)
    words = np.array([[one.elements[0] for one in judged], [one.elements[1] for one in judged]])
    right = np.array(truth) > 3
    assert ((words[0] >= 0.5) == right).mean() > 0.9, "the word that lies is found"
    assert (words[1] >= 0.5).mean() > 0.9, "the word that does not is not blamed"
    belongs = [one.mask[span[0] : span[1]].mean() for one in judged for span in one.spans]
    others = [np.delete(one.mask, [0, *[i for s in one.spans for i in range(*s)]]).mean() for one in judged]
    assert np.mean(belongs) > np.mean(others) + 0.3, "the mask head knows which words are elements"
    trained.model.save(tmp_path / "mine")
    again = FgaBlip2(model=str(tmp_path / "mine"), device="cpu")
    found = again.score_pairs([r.image for r in held], [r.text for r in held]).overall
    assert np.abs(found - [one.overall for one in judged]).max() < 1e-5


def test_the_vision_tower_is_frozen_and_the_model_given_is_left_alone(model: FgaModel) -> None:
    before = {k: v.clone() for k, v in model.net.state_dict().items()}
    trained = train_fga(model, task(8, 0), BRIEF).model
    assert all(torch.equal(v, before[k]) for k, v in model.net.state_dict().items())
    assert model.mask_head is None and trained.mask_head is not None
    changed = {k for k, v in trained.net.state_dict().items() if not torch.equal(v, before[k])}
    frozen = {k for k in before if k.startswith(("vision_model.embeddings.", "vision_model.encoder."))}
    unused = {k for k in before if "_projection" in k and k not in frozen}
    assert not changed & (frozen | unused)
    dropped = {
        "itm_head.weight",
        "query_tokens",
        "vision_model.post_layernorm.weight",
        "qformer.layernorm.bias",
    }
    assert dropped <= changed
    assert {
        "embeddings.word_embeddings.weight",
        "qformer.encoder.layer.0.crossattention.attention.key.weight",
    } <= changed
    tower = "encoder.layers.0.mlp.fc1.weight"
    mine, theirs = (dict(net.vision_model.named_parameters())[tower] for net in (trained.net, model.net))
    assert mine is theirs, "the tower is shared, not copied"


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_interrupted_run_ends_with_the_same_bits(model: FgaModel, tmp_path: Path, stop: int) -> None:
    how = replace(
        BRIEF, epochs=3, save_every=1 if stop != 5 else 0, flip=True
    )  # dropout, crops and flips are all drawn
    ratings = task(11, 0)
    whole = train_fga(model, ratings, how)
    file = tmp_path / "run.pt"

    def interrupt(step: int, steps: int, losses: np.ndarray) -> None:
        assert steps == 9 and losses.shape == (4,)
        if step == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fga(model, ratings, how, checkpoint=file, watch=interrupt)
    torch.rand(5)  # whatever else drew numbers meanwhile
    seen: list[int] = []
    resumed = train_fga(model, ratings, how, checkpoint=file, watch=lambda s, n, x: seen.append(s))
    assert seen == list(range({1: 2, 3: 4, 5: 4}[stop], 10)), "what was done is not done again"
    assert np.array_equal(whole.history, resumed.history)
    for name in ("net", "mask_head"):
        a, b = (getattr(one.model, name).state_dict() for one in (whole, resumed))
        assert all(torch.equal(a[k], b[k]) for k in a)
    done = train_fga(
        model, ratings, how, checkpoint=file, watch=lambda *_: pytest.fail("nothing is left to do")
    )
    assert np.array_equal(done.history, whole.history)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_checkpoint_belongs_to_one_run(
    model: FgaModel, save_blip2: Callable[..., Path], tmp_path: Path
) -> None:
    file, ratings = tmp_path / "run.pt", task(8, 0)
    train_fga(model, ratings, BRIEF, checkpoint=file)
    other = load_fga.__wrapped__(str(save_blip2(seed=9)), device="cpu")
    for args in (
        (model, ratings[:7], BRIEF),
        (model, ratings, replace(BRIEF, learning_rate=2e-3)),
        (other, ratings, BRIEF),
    ):
        with pytest.raises(InputError, match="of a run with other ratings, settings or starting weights"):
            train_fga(*args, checkpoint=file)
    for content in (b"", b"junk"):
        file.write_bytes(content)
        with pytest.raises(InputError, match="is no checkpoint of a training"):
            train_fga(model, ratings, BRIEF, checkpoint=file)
    torch.save({"a": 1}, file)
    with pytest.raises(InputError, match="that curate wrote"):
        train_fga(model, ratings, BRIEF, checkpoint=file)


def test_images_that_cannot_be_opened_are_left_out_and_named(model: FgaModel, tmp_path: Path) -> None:
    ratings = task(6, 0)
    (tmp_path / "bad.png").write_bytes(b"")
    broken = [*ratings[:3], replace(ratings[3], image=str(tmp_path / "bad.png")), *ratings[4:]]
    found = train_fga(model, broken, replace(BRIEF, batch_size=1, epochs=1))
    assert list(found.failed) == [3] and found.failed[3].startswith("empty: ")
    assert np.isnan(found.history).any(1).sum() == 1 and len(found.history) == 6
    assert np.isfinite(train_fga(model, broken, replace(BRIEF, batch_size=6, epochs=1)).history).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"learning_rate": 2e-3},
        {"warm_up": 0},
        {"weight_decay": 5.0},
        {"token_weight": 1.0},
        {"mask_weight": 1.0},
        {"crop": False},
        {"flip": True},
        {"batch_size": 3},
        {"epochs": 3},
        {"length": 10},
        {"precision": "bf16"},
        {"variance_weight": "exp"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_every_setting_has_an_effect(model: FgaModel, changed: dict[str, Any]) -> None:
    ratings = task(8, 3)
    plain = train_fga(model, ratings, BRIEF)
    other = train_fga(model, ratings, replace(BRIEF, **changed))
    assert np.isfinite(other.history).all()
    a, b = (one.model.net.state_dict()["itm_head.weight"] for one in (plain, other))
    assert not torch.equal(a, b)


def test_crops_and_flips() -> None:
    from curate.scorers.alignment.fga.pictures import augment

    image = Image.fromarray(np.arange(40 * 30 * 3, dtype=np.uint32).astype(np.uint8).reshape(30, 40, 3))
    rng = np.random.default_rng(0)
    parts = [augment(image, rng, crop=True, flip=False) for _ in range(50)]
    areas = np.array([one.size[0] * one.size[1] for one in parts]) / 1200
    ratios = np.array([one.size[0] / one.size[1] for one in parts])
    assert areas.min() > 0.47 and areas.max() <= 1 and np.ptp(areas) > 0.3
    assert ratios.min() > 0.7 and ratios.max() < 1.4
    flips = [np.array_equal(augment(image, rng, crop=False, flip=True), image) for _ in range(40)]
    assert 8 < sum(flips) < 32
    assert augment(image, rng, crop=False, flip=False) is image
