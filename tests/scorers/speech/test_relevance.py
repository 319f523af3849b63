"""Relevance of speech to a text: by hand, budgets that are kept, planted queries, a small random model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.speech import (
    attention_received,
    frame_budget,
    frame_means,
    prune_speech,
    prune_tokens,
    token_relevance,
    trim_points,
    weighted_relevance,
)
from curate.scorers.speech.relevance_scorer import SpeechRelevance
from curate.scorers.speech.speech_model import load_speech_model
from curate.testing import check_scorer, score_all


def test_relevance_by_hand() -> None:
    speech = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]])
    text = np.array([[2.0, 0.0], [0.0, 5.0]])
    assert np.allclose(token_relevance(speech, text), [0.5, 0.7, 0, -0.5])
    assert np.allclose(token_relevance(speech, text, (text[:1], text[1:])), 0)
    assert np.allclose(token_relevance(speech, text[:1], (text[1:],)), [1, -0.2, 0, -1])


def test_frames_by_hand() -> None:
    values = [1.0, 3.0, 0.0, 0.0, 2.0]
    assert frame_means(values, 2).tolist() == [2, 0, 2]
    p = np.exp([4.0, 0.0, 2.0]) / np.exp([4.0, 0.0, 2.0]).sum()
    assert weighted_relevance(values, 2) == pytest.approx(float(p @ [2, 0, 2]))
    assert np.isnan(weighted_relevance([])) and len(frame_means([])) == 0
    assert len(frame_means(np.zeros(51))) == 3  # 25 tokens are a second


def test_budget_by_hand() -> None:
    # sums log 3, log 2, log 1: shares 1/2, 1/3, 1/6; of 5: 2.5, 1.67, 0.83; floors 2, 1, 0, remainders .5, .67, .83
    values = np.log([3.0, 2.0, 1.0])
    tokens = np.repeat(values / 4, 4)
    assert frame_budget(tokens, 5, 4).tolist() == [2, 2, 1]
    # a frame of four takes no more than four: what is too much goes to the others
    steep = np.repeat([10.0, 1.0, 0.0], 4)
    assert frame_budget(steep, 6, 4).tolist() == [4, 2, 0]
    assert prune_tokens([0.1, 0.9, 0.5, 0.2], 2, 4).tolist() == [1, 2]
    assert prune_tokens([0.5, 0.5, 0.5, 0.5], 2, 4).tolist() == [0, 1]


@given(st.integers(0, 2**32 - 1))
def test_the_budget_is_kept_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, frame = int(rng.integers(1, 60)), int(rng.integers(1, 12))
    values = rng.normal(size=n) * 10 ** rng.uniform(-2, 2)
    for keep in (0, 1, n // 2, n - 1, n):
        budget = frame_budget(values, keep, frame)
        kept = prune_tokens(values, keep, frame)
        assert budget.sum() == keep == len(set(kept.tolist())) and np.all(np.diff(kept) > 0)
        lengths = [len(values[low : low + frame]) for low in range(0, n, frame)]
        assert np.all(budget <= lengths) and np.all(budget >= 0)
        for i, low in enumerate(range(0, n, frame)):
            inside = np.isin(np.arange(low, low + lengths[i]), kept)
            part = values[low : low + frame]
            assert inside.sum() == budget[i]
            if inside.any() and not inside.all():
                assert part[inside].min() >= part[~inside].max()


def test_attention_by_hand() -> None:
    speech, weight = np.array([[2.0, -1.0], [0.5, 3.0], [1.0, 1.0]]), np.array([[0.3, 0.7]])
    # signs (1, -1), (1, 1), (1, 1) through (1, 1): 0, 2, 2 on both sides; scores are their products
    rows = np.exp([[0.0, 0, 0], [0, 4, 4], [0, 4, 4]])
    expected = (rows / rows.sum(1, keepdims=True)).mean(0)
    assert np.allclose(attention_received(speech, weight, weight), expected)
    assert attention_received(speech, weight, weight).sum() == pytest.approx(1)
    assert np.allclose(
        attention_received(5 * speech, 0.1 * weight, weight), expected
    )  # one bit is left of each


def test_heads_share_keys() -> None:
    rng = np.random.default_rng(0)
    speech, query, key = rng.normal(size=(6, 5)), rng.normal(size=(8, 5)), rng.normal(size=(4, 5))
    grouped = attention_received(speech, query, key, (4, 2))
    alone = [
        attention_received(speech, query[2 * h : 2 * h + 2], key[2 * (h // 2) : 2 * (h // 2) + 2])
        for h in range(4)
    ]
    assert np.allclose(grouped, np.mean(alone, 0)) and not np.allclose(alone[0], alone[1])
    with pytest.raises(InputError, match="heads"):
        attention_received(speech, query, key, (4, 4))


def test_both_phases() -> None:
    rng = np.random.default_rng(0)
    direction = rng.normal(size=16)
    speech = rng.normal(size=(100, 16))
    speech[50:60] += 4 * direction
    how = {"query_weight": rng.normal(size=(8, 16)), "key_weight": rng.normal(size=(8, 16))}
    first = prune_speech(speech, direction[None], 20, by_attention=0, **how)
    assert np.array_equal(first, prune_tokens(token_relevance(speech, direction[None]), 20))
    assert set(range(50, 60)) <= set(first.tolist())  # the second that answers the query
    both = prune_speech(speech, direction[None], 20, **how)
    assert len(both) == 20 and not np.array_equal(both, first) and np.all(np.diff(both) > 0)
    last = prune_speech(speech, direction[None], 20, by_attention=1, **how)
    order = np.argsort(-attention_received(speech, how["query_weight"], how["key_weight"]), kind="stable")
    assert np.array_equal(last, np.sort(order[:20]))
    assert (
        prune_speech(speech, direction[None], 20, frame=10, by_attention=0, **how).tolist() != first.tolist()
    )
    for wrong in ({"by_attention": 2.0}, {"keep": 101}):
        with pytest.raises(InputError):
            prune_speech(speech, direction[None], **{"keep": 5, **wrong}, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("curve", "least", "points"),
    [
        ([0, 0, 5, 6, 0, 0], None, (2, 4)),
        ([5, 0, 5, 0, 0, 0], 2.0, (0, 3)),
        ([5, 0, 5, 0, 0, 0], 4.0, (0, 1)),
        ([1, 1, 1], None, (0, 3)),
        ([-1, -2], 0.0, (0, 2)),
        ([-1, 2, 0, -1], 0.0, (1, 2)),
        ([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], None, (0, 7)),
        ([], None, (0, 0)),
    ],
)
def test_trim_points(curve: list[float], least: float | None, points: tuple[int, int]) -> None:
    assert trim_points(curve, least) == points


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12))
def test_trim_points_against_all_runs(curve: list[int]) -> None:
    begin, end = trim_points(curve, 0.5)
    runs = {
        (i, j): sum(curve[i:j]) - 0.5 * (j - i)
        for i in range(len(curve))
        for j in range(i + 1, len(curve) + 1)
    }
    if max(runs.values()) > 0:
        assert runs[begin, end] == max(runs.values())


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no token"):
        token_relevance(np.ones((2, 3)), np.empty((0, 3)))
    with pytest.raises(InputError, match="needed"):
        token_relevance(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(InputError, match="NaN"):
        token_relevance([[np.nan]], [[1.0]])
    for keep in (-1, 4):
        with pytest.raises(InputError, match="3 tokens"):
            frame_budget([1.0, 2.0, 3.0], keep)
    with pytest.raises(InputError, match="frame=0"):
        frame_means([1.0], 0)


# --- The model and the scorer ---------------------------------------------------------------------------------------


def _view(folder: Path) -> ArrayView:
    rng = np.random.default_rng(0)
    paths = []
    for i, (seconds, rate) in enumerate([(1.0, 16000), (3.3, 8000), (0.4, 22050)]):
        n = round(seconds * rate)
        paths.append(str(folder / f"{i}.wav"))
        soundfile.write(paths[-1], 0.2 * rng.normal(size=n) + 0.3 * np.sin(np.arange(n) ** 1.5 / 3e3), rate)
    short, silent = folder / "short.wav", folder / "silent.wav"
    soundfile.write(short, np.full(100, 0.5), 16000)
    soundfile.write(silent, np.zeros(16000), 16000)
    return ArrayView(
        {
            "id": list("abcdef"),
            "audio": [*paths, str(short), str(silent), str(folder / "no.wav")],
            "text": ["What is said?", "What is said?", "Who says it?", "x", "x", "x"],
            "question": ["x", "y", None, "x", "x", "x"],
        }
    )


def test_model_by_its_own_forward_pass(save_speech_model: Callable[..., str]) -> None:
    """The speech tokens are those that the model itself puts in the place of its audio tokens."""
    torch = pytest.importorskip("torch", reason="extra train not installed")
    model = load_speech_model(save_speech_model("qwen2-audio"), "cpu", "fp32")
    assert (model.rate, model.per_second) == (16000, 25)
    rng = np.random.default_rng(0)
    sounds = [(0.3 * rng.normal(size=n)).astype(np.float32) for n in (16000, 9000)]
    for sound, tokens in zip(sounds, model.speech_tokens(sounds), strict=True):
        found = model.parts.extractor(
            sound, sampling_rate=16000, padding="max_length", return_attention_mask=True, return_tensors="pt"
        )
        seen: list[object] = []

        def look(*given: object, into: list[object] = seen) -> None:
            into.append(given[2]["inputs_embeds"])  # type: ignore[index]

        inner = model._core.language_model
        handle = inner.register_forward_pre_hook(look, with_kwargs=True)
        ids = torch.tensor([[7, *[2] * len(tokens), 9]])
        with torch.inference_mode():
            model.parts.net(
                input_ids=ids,
                input_features=found["input_features"],
                feature_attention_mask=found["attention_mask"],
                attention_mask=torch.ones_like(ids),
            )
        handle.remove()
        assert np.allclose(seen[0][0, 1:-1].numpy(), tokens, atol=1e-5)
    long = model.speech_tokens([np.concatenate([sounds[0], sounds[1]])])[0]
    parts = model.speech_tokens(sounds, batch_size=1)
    assert np.allclose(long, np.concatenate(parts), atol=1e-5)  # window by window
    query, key, heads = model.first_layer()
    kept = prune_speech(
        long, model.text_tokens("a query"), 10, query_weight=query, key_weight=key, heads=heads
    )
    assert len(kept) == 10


def test_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_speech_model: Callable[..., str]
) -> None:
    view = _view(tmp_path)
    scorer = SpeechRelevance(model=save_speech_model("qwen2-audio"), device="cpu")
    found = score_all(scorer, view).to_pydict()
    reasons = found["speech_relevance_reason"]
    assert reasons[:3] == [None] * 3 and "nothing below 25 ms" in reasons[3]
    assert [r.partition(":")[0] for r in reasons[4:]] == ["silent", "missing"]
    assert [len(c) for c in found["speech_relevance_curve"][:3]] == [1, 4, 1]
    assert len(set(found["speech_relevance_curve"][1])) > 1
    assert 0 <= found["speech_relevance_begin"][1] < found["speech_relevance_end"][1] <= np.float32(3.3)
    assert found["speech_relevance_end"][0] == 1.0
    check_scorer(scorer, view, tolerance=1e-5)
    monkeypatch.setattr("curate.scorers.speech.hearing.LEAST", 0.0)
    assert "make no token" in score_all(scorer, view)["speech_relevance_reason"][3].as_py()


def test_parameters_have_an_effect(tmp_path: Path, save_speech_model: Callable[..., str]) -> None:
    view = _view(tmp_path)
    model = save_speech_model("qwen2-audio")

    def scores(**params: object) -> list[float | None]:
        scorer = SpeechRelevance(model=model, device="cpu", **params)  # type: ignore[arg-type]
        return score_all(scorer, view)["speech_relevance"].to_pylist()

    plain = scores()
    assert scores(contrast=())[0] != plain[0]
    assert scores(keep=0.2)[1] not in (None, plain[1]) and scores(keep=0.2)[1] != scores(keep=1.0)[1]
    assert scores(query="question")[0] != plain[0] and scores(query="question")[2] is None
    assert scores(max_seconds=2.0)[:2] == [plain[0], None]
    assert np.allclose(scores(batch_size=1)[:3], plain[:3], atol=1e-5)
    assert scores(precision="bf16")[0] == pytest.approx(plain[0], abs=0.1)
    for wrong in (
        {"batch_size": 0},
        {"max_seconds": 0.0},
        {"model": ""},
        {"keep": 0.0},
        {"contrast": (" ",)},
    ):
        with pytest.raises(InputError):
            SpeechRelevance(**wrong)  # type: ignore[arg-type]
