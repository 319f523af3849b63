"""FGA-BLIP2 against an independent implementation in numpy, and against itself in other batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fga_reference as reference
import numpy as np
import pytest
from PIL import Image

from curate.errors import InputError, MissingExtraError
from curate.scorers.alignment import FgaBlip2
from curate.scorers.alignment.fga.loading import load_fga
from curate.scorers.alignment.fga.network import FgaModel, new_mask_head
from curate.scorers.alignment.fga.pictures import MEAN, STD

torch = pytest.importorskip("torch", reason="extra train not installed")

TEXTS = [
    "A red car.",
    "two dogs on the street",
    "a blue car left of a green dog, very dark",
    "a guitar!",
    "the carpet",
    "a St. Bernard on the street",
]
HEADS = 2


def pixels(picture: np.ndarray) -> np.ndarray:
    small = np.asarray(Image.fromarray(picture).resize((28, 28), Image.Resampling.BICUBIC), np.float64)
    return ((small / 255 - MEAN) / STD).transpose(2, 0, 1)


def words_to_ids(folder: Path, words: str) -> list[int]:
    """By hand: no tokenizer of transformers is used for what is expected."""
    import json

    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    return [vocabulary[word] for word in ("[CLS]", *words.split(), "[SEP]")]


def test_scores_are_those_of_the_reference(blip2: Path, pictures: list[np.ndarray]) -> None:
    weights = reference.lavis_weights(load_fga(str(blip2), device="cpu").net.state_dict())
    judged = FgaBlip2(model=str(blip2), device="cpu", batch_size=4).judge_pairs(pictures, TEXTS)
    by_hand = [
        "a red car",
        "two dog ##s on the street",
        "a blue car left of a green dog , very dark",
        "a guitar",
        "the car ##pet",
        "a st bernard on the street",
    ]
    for picture, words, found in zip(pictures, by_hand, judged, strict=True):
        expected, tokens = reference.judge(weights, pixels(picture), words_to_ids(blip2, words), HEADS)
        assert found.tokens == ("[CLS]", *words.split(), "[SEP]")
        assert found.overall == pytest.approx(expected, abs=1e-5)
        assert np.abs(found.token_scores - tokens).max() < 1e-5
        assert 1 < expected < 5
    overall = [one.overall for one in judged]
    assert np.ptp(overall) > 0.05, "pairs that all score the same prove nothing"
    assert np.ptp(np.concatenate([one.token_scores for one in judged])) > 0.1


def test_the_mask_head_is_that_of_the_reference(blip2: Path, pictures: list[np.ndarray]) -> None:
    model = load_fga(str(blip2), device="cpu")
    head = new_mask_head(32, seed=1)
    with torch.no_grad():
        for i in (0, 2, 4, 6, 8):  # drawn as small as they are for training, all would say one half
            head[i].weight.mul_(15)
    from curate.scorers.alignment.fga.judging import judge_pairs

    weights = reference.lavis_weights(model.net.state_dict())
    weights |= {f"mask_proj.layers.{k}": v.double().numpy() for k, v in head.state_dict().items()}
    judged = judge_pairs(FgaModel(model.net, head, model.tokenizer, "cpu"), pictures, TEXTS, mask=True)
    for found in judged:
        ids = words_to_ids(blip2, " ".join(found.tokens[1:-1]))
        assert np.abs(found.mask - reference.mask(weights, ids, HEADS)).max() < 1e-5
    assert np.ptp(np.concatenate([one.mask for one in judged])) > 0.01
    with pytest.raises(InputError, match="no mask head"):
        FgaBlip2(model=str(blip2)).judge_pairs(pictures, TEXTS, mask=True)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_batches_padding_and_order_change_nothing(blip2: Path, pictures: list[np.ndarray], size: int) -> None:
    elements = [["car"], ["street", "dog"], ["green dog", "car"], ["guitar"], [], ["street"]]
    whole = FgaBlip2(model=str(blip2), batch_size=6).score_pairs(pictures, TEXTS, elements)
    order = np.random.default_rng(size).permutation(6)
    found = FgaBlip2(model=str(blip2), batch_size=size).score_pairs(
        [pictures[i] for i in order], [TEXTS[i] for i in order], [elements[i] for i in order]
    )
    assert np.abs(found.overall - whole.overall[order]).max() < 1e-5
    for row, i in enumerate(order):
        assert [one is None for one in found.elements[row]] == [one is None for one in whole.elements[i]]
        pairs = zip(found.elements[row], whole.elements[i], strict=True)
        assert all(abs(a - b) < 1e-5 for a, b in pairs if a is not None)


def test_pairs_are_lists_of_images_and_strings(blip2: Path, pictures: list[np.ndarray]) -> None:
    scorer = FgaBlip2(model=str(blip2))
    with pytest.raises(InputError, match="of one pair"):
        scorer.score_pairs(Image.fromarray(pictures[0]), "a car")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="text 1 is int"):
        scorer.score_pairs(pictures[:2], ["a car", 3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="precision 'half': 'fp32', 'bf16', 'fp16'"):
        FgaBlip2(model=str(blip2), precision="half").score_pairs(pictures[:1], ["a car"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="device='tpu': 'auto', 'cpu'"):
        FgaBlip2(model=str(blip2), device="tpu").score_pairs(pictures[:1], ["a car"])


def test_elements_are_the_mean_of_their_tokens_and_null_where_there_are_none(
    blip2: Path, pictures: list[np.ndarray]
) -> None:
    scorer = FgaBlip2(model=str(blip2))
    text = "A blue car, left of a St. Bernard on the carpet"
    asked = ["Blue Car (object)", "st. bernard", "car", "pet", "guitar", "left of", "...", None, "a"]
    (judged,) = scorer.judge_pairs(pictures[:1], [text], [asked])
    assert judged.tokens[1:5] == ("a", "blue", "car", ",")
    assert judged.spans == ((2, 4), (8, 10), (3, 4), None, None, (5, 7), None, None, (1, 2))
    (unlike,) = scorer.judge_pairs(pictures[:1], ["a photo of a violin"], [["piano", "a piano"]])
    assert unlike.spans == (
        None,
        None,
    )  # the model reads violin and piano alike: as words that it does not know
    assert unlike.notes[0] == "'piano' holds what the vocabulary lacks, and all of that looks alike"
    scores = judged.token_scores
    assert judged.elements[0] == pytest.approx((scores[2] + scores[3]) / 2, abs=1e-6)
    assert [one is None for one in judged.elements] == [span is None for span in judged.spans]
    assert judged.notes == (
        "'pet' is not in the caption",
        "'guitar' is not in the caption",
        "'...' has no words",
        "None has no words",
    )
    overall, elements = scorer.score_pairs(pictures[:1], [text], [dict.fromkeys(["car", "guitar"], 1)])
    assert overall.shape == (1,) and overall[0] == pytest.approx(judged.overall, abs=1e-5)
    assert elements == [[pytest.approx(scores[3], abs=1e-5), None]]
    assert scorer.score_pairs(pictures[:1], [text]).elements == [[]]


def test_what_cannot_be_judged_says_why(blip2: Path, pictures: list[np.ndarray], tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(pictures[0]).save(good)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-60])
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    sources = [str(good), good, pictures[0], Image.fromarray(pictures[0]), None]
    sources += [
        str(tmp_path / "none.png"),
        str(tmp_path / "cut.png"),
        str(tmp_path / "huge.png"),
        *[str(good)] * 3,
    ]
    texts: list[Any] = ["a dog"] * 8 + ["", " ...!", None]
    scorer = FgaBlip2(model=str(blip2), batch_size=3)
    judged = scorer.judge_pairs(sources, texts)
    assert [one.reason for one in judged[:4]] == [None] * 4
    assert np.ptp([one.overall for one in judged[:4]]) < 1e-5
    starts = ["missing: no image", "missing", "truncated", "too-large", "empty", "empty", "no text"]
    assert [one.reason.startswith(s) for one, s in zip(judged[4:], starts, strict=True)] == [True] * 7
    overall = scorer.score_pairs(sources, texts).overall
    assert np.isnan(overall).tolist() == [False] * 4 + [True] * 7
    with pytest.raises(InputError, match=r"2 images, 1 text"):
        scorer.score_pairs(sources[:2], ["a"])
    with pytest.raises(InputError, match="uint8"):
        scorer.score_pairs([np.zeros((3, 3))], ["a"])
    with pytest.raises(InputError, match="a list of phrases"):
        scorer.score_pairs(sources[:1], ["a"], ["a dog"])
    assert len(scorer.score_pairs([], []).overall) == 0


def test_long_captions_are_cut_where_training_cut_them(blip2: Path, pictures: list[np.ndarray]) -> None:
    long = "a red car " + "very " * 10_000 + "guitar"
    short = FgaBlip2(model=str(blip2), max_words=3)
    (judged,) = short.judge_pairs(pictures[:1], [long], [["guitar", "car"]])
    assert judged.tokens == ("[CLS]", "a", "red", "car", "[SEP]")
    assert judged.elements[0] is None and judged.elements[1] is not None
    (plain,) = short.judge_pairs(pictures[:1], ["a red car"])
    assert judged.overall == pytest.approx(plain.overall, abs=1e-6)
    (judged,) = FgaBlip2(model=str(blip2)).judge_pairs(pictures[:1], [long])
    assert len(judged.tokens) == 48 and judged.tokens[-1] == "[SEP]", "this model takes no more"
    (joined,) = FgaBlip2(model=str(blip2)).judge_pairs(pictures[:1], ["- " * 3 + "-" * 9000])
    assert len(joined.tokens) == 48


def test_an_image_that_texts_share_is_looked_at_once(
    blip2: Path, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    Image.fromarray(pictures[1]).save(tmp_path / "b.png")
    a, b = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    shown: list[int] = []
    see = FgaModel.see
    monkeypatch.setattr(FgaModel, "see", lambda self, x: shown.append(len(x)) or see(self, x))
    found = FgaBlip2(model=str(blip2)).score_pairs([a, b, a, a], TEXTS[:4])
    assert shown == [2]
    one = [
        FgaBlip2(model=str(blip2)).score_pairs([i], [t]).overall[0]
        for i, t in zip([a, b, a, a], TEXTS, strict=False)
    ]
    assert np.abs(found.overall - one).max() < 1e-5


def test_special_names_in_a_text_are_text(
    save_blip2: Callable[..., Path], pictures: list[np.ndarray]
) -> None:
    folder = save_blip2()
    tokenizer = load_fga(str(folder), device="cpu").tokenizer
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<image>"]}
    )  # as on the hub, beyond the vocabulary
    tokenizer.add_special_tokens({"additional_special_tokens": ["<other>"]})
    tokenizer.save_pretrained(folder)
    (judged,) = FgaBlip2(model=str(folder)).judge_pairs(pictures[:1], ["a <other> dog [sep]"])
    assert judged.reason is None
    assert judged.tokens.count("[SEP]") == 1
    assert "<other>" not in judged.tokens


def test_odd_characters_are_no_trouble(blip2: Path, pictures: list[np.ndarray]) -> None:
    odd = [
        "a\x00dog",
        "a \ud800 dog",
        "\u202e dog \U0001f415",
        "\u72d7" * 900,
        "dog\u0301\u0301",
        "[MASK] ##s",
    ]
    judged = FgaBlip2(model=str(blip2)).judge_pairs(pictures, odd, [["dog", "\ud800"]] * 6)
    for one in judged:
        assert one.reason is None or one.reason.startswith("empty")
        assert one.reason or 1 < one.overall < 5
    assert judged[1].elements[0] is not None


def test_reduced_precision_is_near(blip2: Path, pictures: list[np.ndarray]) -> None:
    exact = FgaBlip2(model=str(blip2), device="cpu").score_pairs(pictures, TEXTS).overall
    half = FgaBlip2(model=str(blip2), device="cpu", precision="bf16").score_pairs(pictures, TEXTS).overall
    assert 0 < np.abs(half - exact).max() < 0.2
    with pytest.raises(InputError, match="'fp16' is for a GPU"):
        FgaBlip2(model=str(blip2), device="cpu", precision="fp16").score_pairs(pictures, TEXTS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_gives_the_same(blip2: Path, pictures: list[np.ndarray], precision: Any) -> None:
    exact = FgaBlip2(model=str(blip2), device="cpu").score_pairs(pictures, TEXTS).overall
    found = (
        FgaBlip2(model=str(blip2), device="cuda", precision=precision).score_pairs(pictures, TEXTS).overall
    )
    assert np.abs(found - exact).max() < (1e-3 if precision == "fp32" else 0.2)


def test_pillow_images_are_seen_as_files_are(blip2: Path, pictures: list[np.ndarray], tmp_path: Path) -> None:
    layer = Image.fromarray(pictures[0]).convert("RGBA")
    layer.putalpha(Image.fromarray(np.kron([[0, 255], [255, 0]], np.ones((15, 20))).astype(np.uint8)))
    layer.save(tmp_path / "layer.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pictures[0]).save(tmp_path / "turned.png", exif=turned)
    files = [str(tmp_path / name) for name in ("layer.png", "turned.png")]
    scorer = FgaBlip2(model=str(blip2))
    found = scorer.score_pairs([Image.open(file) for file in files], TEXTS[:2]).overall
    assert np.abs(found - scorer.score_pairs(files, TEXTS[:2]).overall).max() < 1e-6
    (tmp_path / "cut.png").write_bytes((tmp_path / "layer.png").read_bytes()[:-80])
    lazy = [Image.open(tmp_path / "cut.png"), Image.new("1", (9000, 9000))]
    judged = scorer.judge_pairs(lazy, TEXTS[:2])
    assert [one.reason.partition(":")[0] for one in judged] == ["unreadable", "too-large"]
    lazy[0].close()


def test_many_pairs_are_judged_window_by_window(
    blip2: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.scorers.alignment.fga.scorer._WINDOW", 2)
    whole = FgaBlip2(model=str(blip2), batch_size=6).score_pairs(pictures, TEXTS, [["car"]] * 6)
    parts = FgaBlip2(model=str(blip2), batch_size=1).score_pairs(pictures, TEXTS, [["car"]] * 6)
    assert np.abs(whole.overall - parts.overall).max() < 1e-5
    assert [len(one) for one in parts.elements] == [1] * 6


def test_without_the_extra_the_extra_is_named(blip2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_fga.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"curate\[train\]"):
        FgaBlip2(model=str(blip2)).score_pairs([], [])
