"""CLIP with random weights of a fixed seed: shapes, nulls, batches, files and errors. What it knows is not tested here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.errors import InputError, MissingModelError, UnknownNameError
from curate.scorers.embedding.clip import Clip, ClipScore, match
from curate.scorers.embedding.clip_model import load_clip
from curate.testing import ArrayView, check_scorer, score_all
from curate.weights import no_waiting_for_the_hub

SMALL = "ViT-S-32"


def rows(column: pa.ChunkedArray) -> np.ndarray:
    stored = column.combine_chunks().drop_null()
    return stored.flatten().to_numpy().reshape(len(stored), -1)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> ArrayView:
    """Five images, one file that is none, and one row without text."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), np.uint8)).save(folder / f"{i}.png")
    (folder / "bad.png").write_bytes(b"no image")
    names = ["0.png", "1.png", "bad.png", "2.png", "3.png", "4.png"]
    texts = ["a dog", "two men talk about a car " * 30, "a cat", None, "", "the sea"]
    return ArrayView({"image": [str(folder / n) for n in names], "text": texts})


@pytest.fixture(scope="module")
def open_clip() -> None:
    pytest.importorskip("open_clip")


def test_match_by_hand() -> None:
    images = np.array([[1, 0], [3, 4], [1, 1]], np.float32)
    texts = np.array([[0, 2], [3, 4], [-1, -1]], np.float32)
    assert np.allclose(match(images, texts), [0, 1, -1], atol=1e-6)


@pytest.mark.usefixtures("open_clip")
def test_encoder_keeps_the_contract(view: ArrayView) -> None:
    scored = score_all(Clip(model=SMALL, pretrained=None), view)
    assert scored["clip_image"].is_null().to_pylist() == [False, False, True, False, False, False]
    assert scored["clip_text"].is_null().to_pylist() == [False, False, True, True, False, False]
    assert scored["clip_reason"].to_pylist()[2].startswith("wrong-format")
    assert scored["clip_reason"].null_count == 5
    for name in ("clip_image", "clip_text"):
        assert scored[name].type == pa.list_(pa.float32(), 384)
        assert np.allclose(np.linalg.norm(rows(scored[name]), axis=1), 1, atol=1e-5)
    one_by_one = score_all(Clip(model=SMALL, pretrained=None, batch_size=2), view, rows=1)
    for name in ("clip_image", "clip_text"):
        assert np.allclose(rows(one_by_one[name]), rows(scored[name]), atol=1e-5)


@pytest.mark.usefixtures("open_clip")
def test_encoder_passes_the_suite_where_all_have_text(view: ArrayView) -> None:
    spoken = view.rearranged(np.array([0, 1, 2, 4, 5]))
    check_scorer(Clip(model=SMALL, pretrained=None), spoken, tolerance=1e-5)


@pytest.mark.usefixtures("open_clip")
def test_score_keeps_the_contract_and_is_the_cosine_of_the_vectors(view: ArrayView) -> None:
    scorer = ClipScore(model=SMALL, pretrained=None, batch_size=3)
    check_scorer(scorer, view, tolerance=1e-5)
    scored = score_all(scorer, view)
    vectors = score_all(Clip(model=SMALL, pretrained=None), view)
    assert scored["clip_score_reason"].to_pylist()[3] == "no text"
    kept = [0, 1, 4, 5]
    images, texts = (np.array([vectors[n][i].as_py() for i in kept]) for n in ("clip_image", "clip_text"))
    got = [scored["clip_score"][i].as_py() for i in kept]
    assert np.allclose(got, (images * texts).sum(axis=1), atol=1e-5)
    assert len(set(got)) == 4


@pytest.mark.usefixtures("open_clip")
def test_weights_come_from_a_file_and_random_ones_are_always_the_same(
    view: ArrayView, tmp_path: Path
) -> None:
    import torch

    model = load_clip(SMALL, None, "cpu", "fp32").model
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    stored = score_all(ClipScore(model=SMALL, pretrained=str(tmp_path / "weights.pt"), device="cpu"), view)
    fresh = score_all(ClipScore(model=SMALL, pretrained=None, device="cpu"), view)
    assert stored.equals(fresh)
    half = score_all(ClipScore(model=SMALL, pretrained=None, precision="bf16"), view)
    assert np.allclose(half["clip_score"].drop_null(), fresh["clip_score"].drop_null(), atol=0.03)
    assert not half.equals(fresh)


@pytest.mark.usefixtures("open_clip")
def test_what_is_wrong_is_said(view: ArrayView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    with pytest.raises(UnknownNameError, match=r"CLIP model 'ViT-B32'. Did you mean 'ViT-B-32'"):
        score_all(ClipScore(model="ViT-B32"), view)
    with pytest.raises(UnknownNameError, match=r"weights of ViT-B-32 '/nowhere.pt'.*no such file"):
        score_all(ClipScore(pretrained="/nowhere.pt"), view)
    with pytest.raises(MissingModelError, match="does not hold weights of 'ViT-S-32'"):
        score_all(ClipScore(model=SMALL, pretrained=str(tmp_path / "weights.pt")), view)
    with pytest.raises(InputError, match="batch_size 0"):
        Clip(batch_size=0)
    with pytest.raises(InputError, match="'fp16' is for a GPU"):
        score_all(Clip(model=SMALL, pretrained=None, device="cpu", precision="fp16"), view)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingModelError, match=r"'ViT-B-32'.*not on this machine.*='/path/to"):
        score_all(ClipScore(model="ViT-B-32", pretrained="datacomp_s_s13m_b4k"), view)


@pytest.mark.usefixtures("open_clip")
def test_an_unreachable_hub_is_not_waited_for_unless_there_is_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    def unknown(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for proxies, offline in (({}, True), ({"https": "http://proxy:3128"}, False)):
        monkeypatch.setattr("curate.weights.getproxies", lambda found=proxies: found)
        with no_waiting_for_the_hub():
            assert constants.HF_HUB_OFFLINE is offline
        assert constants.HF_HUB_OFFLINE is False


@pytest.mark.usefixtures("open_clip")
def test_texts_are_read_without_their_padding_to_the_same_vectors() -> None:
    import torch

    model = load_clip(SMALL, None, "cpu", "fp32")
    seen: list[int] = []
    model.model.transformer.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    texts = ["", "a dog", "two men talk about a car " * 30, "a dog"]
    short = model.encode_texts(texts, batch_size=3)
    assert seen == [77]  # the longest of the three decides, and equal texts are read once
    seen.clear()
    model.encode_texts(texts[:2], batch_size=3)
    assert seen == [4]
    with torch.inference_mode():
        whole = model.model.encode_text(model.tokenise(texts), normalize=True).numpy()
    assert np.abs(short - whole).max() < 1e-5


@pytest.mark.usefixtures("open_clip")
@pytest.mark.parametrize("change", ["both ways", "last token", "other release"])
def test_texts_are_read_whole_where_padding_counts(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import copy

    from curate.scorers.embedding import clip_text

    model = load_clip(SMALL, None, "cpu", "fp32")
    net = copy.copy(model.model)
    net._buffers = dict(net._buffers)
    probe = model.tokenise(["", "a word or two"])
    assert clip_text.choose_text_tower(net, probe) != net.encode_text
    half = load_clip(SMALL, None, "cpu", "bf16")
    assert half.read_texts != half.model.encode_text
    if change == "both ways":
        net.attn_mask = None
    elif change == "last token":
        net.text_pool_type = "last"
    else:
        monkeypatch.setattr(clip_text, "_encode_short", lambda net, tokens: -net.encode_text(tokens))
    assert clip_text.choose_text_tower(net, probe) == net.encode_text


@pytest.mark.usefixtures("open_clip")
def test_an_image_of_many_texts_is_opened_once(view: ArrayView, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.scorers.embedding import clip_model

    opened: list[str] = []
    real = clip_model.open_image
    monkeypatch.setattr(clip_model, "open_image", lambda address: (opened.append(address), real(address))[1])
    path = view.to_arrow(["image"]).column(0)[0].as_py()
    model = load_clip(SMALL, None, "cpu", "fp32")
    vectors, reasons = model.encode_images([path, "/none.png", path, None, path], 2)
    assert sorted(opened) == ["/none.png", path]
    assert (vectors[[2, 4]] == vectors[0]).all() and vectors[0].any()
    assert [reason and reason.partition(":")[0] for reason in reasons] == [
        None,
        "missing",
        None,
        "missing",
        None,
    ]
