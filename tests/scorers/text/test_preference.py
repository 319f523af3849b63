"""CHES by hand, beside a plain loop over a small random model, and pairs that cannot be scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError, UnknownNameError
from curate.registry import build
from curate.scorers.text import ches
from curate.scorers.text.language_model import load_language_model
from curate.scorers.text.preference import Ches
from curate.testing import ArrayView, check_scorer, score_all

Saver = Callable[..., str]
PAIRS = {
    "prompt": ["Say hello.", "Two and two?", "Why is the sky blue, then?", "Name a colour", "Go on"],
    "chosen": ["Hello!", "Four", "Light scatters on air, the blue most of all.", "red", "No"],
    "rejected": ["Hello?", "It is five, is it not", "Because", "red", "I will not go on, and nor should you"],
}


def test_by_hand() -> None:
    plus, minus = np.array([[2.0, 0], [1, 1]]), np.array([[1.0, 3], [1, 1]])
    got = ches(plus, minus, np.array([2, 1]), np.array([1, 4]))
    np.testing.assert_allclose(got.raw, [2 - 4, 0])
    np.testing.assert_allclose(got.normalised, [2 / 2 - 4 / 4, 2 / 4 - 2])


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 9), st.floats(0.1, 10), st.integers(0, 2**32 - 1))
def test_the_same_answer_twice_is_zero_and_scale_is_squared(
    n: int, d: int, length: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    plus, minus, lengths = rng.normal(size=(n, d)), rng.normal(size=(n, d)), np.full(n, length)
    np.testing.assert_allclose(np.concatenate(ches(plus, plus, lengths, lengths)), 0, atol=1e-12)
    one, other = ches(plus, minus, lengths, lengths), ches(scale * plus, scale * minus, lengths, lengths)
    np.testing.assert_allclose(other.raw, scale**2 * one.raw, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.normalised * length**2, one.raw, rtol=1e-9, atol=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    sums, lengths = np.ones((2, 3)), np.ones(2)
    with pytest.raises(InputError, match=r"\(2, 3\) and \(1, 3\)"):
        ches(sums, sums[:1], lengths, lengths)
    with pytest.raises(InputError, match="1 pair with a length below 1, the first in row 1"):
        ches(sums, sums, np.array([1, 0]), lengths)
    assert np.isnan(ches(sums * np.nan, sums, lengths, lengths).raw).all()


def by_hand(folder: str, i: int) -> tuple[float, float]:
    """One pair, each answer alone, by the definition."""
    import torch

    model = load_language_model(folder, "cpu", "fp32")
    sums, lengths = [], []
    for name in ("chosen", "rejected"):
        prompt, answer = (list(text.encode()) for text in (PAIRS["prompt"][i], PAIRS[name][i]))
        ids = torch.tensor([model.tokenizer(PAIRS["prompt"][i] + PAIRS[name][i])["input_ids"]])
        assert ids.shape[1] == len(prompt) + len(answer)
        with torch.inference_mode():
            states = model.net(ids, output_hidden_states=True).hidden_states[-1][0].double()
        kept = states[len(prompt) - 1 : -1]
        sums.append(kept.sum(0).numpy())
        lengths.append(len(kept))
    (plus, minus), (long, other) = sums, lengths
    return plus @ minus - plus @ plus, plus @ minus / (long * other) - plus @ plus / long**2


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_scores_are_those_of_the_hidden_states(save_language_model: Saver, kind: str) -> None:
    folder = save_language_model(kind, limit=128)
    scored = score_all(Ches(folder, device="cpu"), ArrayView(PAIRS))
    expected = np.array([by_hand(folder, i) for i in range(5)])
    np.testing.assert_allclose(scored["ches_raw"].to_numpy(), expected[:, 0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(scored["ches_normalised"].to_numpy(), expected[:, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scored["ches"].to_numpy(), -scored["ches_normalised"].to_numpy())
    raw = score_all(Ches(folder, normalised=False, device="cpu"), ArrayView(PAIRS))
    np.testing.assert_array_equal(raw["ches"].to_numpy(), -raw["ches_raw"].to_numpy())
    assert abs(scored["ches"][3].as_py()) < 1e-5  # the same answer twice


def test_neither_batches_nor_order_nor_padding_change_a_score(save_language_model: Saver) -> None:
    one = Ches(save_language_model(), batch_size=1, device="cpu")
    view = ArrayView(PAIRS)
    whole = score_all(one, view)["ches"].to_numpy()
    assert np.ptp(whole) > 0.1
    for batch_size, rows in ((2, 5), (16, 5), (3, 2)):
        got = score_all(replace(one, batch_size=batch_size), view, rows)["ches"].to_numpy()
        np.testing.assert_allclose(got, whole, atol=1e-5)
    order = np.array([3, 1, 4, 0, 2])
    moved = score_all(replace(one, batch_size=4), view.rearranged(order))["ches"].to_numpy()
    np.testing.assert_allclose(moved, whole[order], atol=1e-5)
    for side in ("left", "right"):
        padded = replace(one, model=save_language_model(pad="<pad>", side=side), batch_size=4)
        np.testing.assert_allclose(score_all(padded, view)["ches"].to_numpy(), whole, atol=1e-5)


def test_conformance_with_a_planted_pair(save_language_model: Saver) -> None:
    view = ArrayView({"id": list("abcde"), **PAIRS})
    folder = save_language_model()
    whole = score_all(Ches(folder, device="cpu"), view)["ches"].to_numpy()
    good = "abcde"[int(whole.argmax())]
    check_scorer(Ches(folder, device="cpu"), view, planted=(good, "d"), tolerance=1e-4, kind="preference")


def test_a_long_prompt_loses_its_beginning_and_a_long_answer_is_not_scored(
    save_language_model: Saver,
) -> None:
    folder = save_language_model(limit=20)
    view = ArrayView(
        {
            "prompt": ["0123456789abcdefgh", "0123456789abcdefgh"[-14:], "x", "x"],
            "chosen": ["chosen", "chosen", "short", "s" * 20],
            "rejected": ["nother", "nother", "r" * 19, "r"],
        }
    )
    scored = score_all(Ches(folder, device="cpu"), view)
    assert scored["ches"][0].as_py() == pytest.approx(scored["ches"][1].as_py(), abs=1e-6)
    assert scored["ches"][2].is_valid
    assert (
        scored["ches_reason"][3].as_py() == "too many tokens in chosen: the model takes 20 with the prompt's"
    )


def test_pairs_that_cannot_be_scored_say_why(save_language_model: Saver) -> None:
    pairs = {
        "prompt": ["p", "p", "p", "", None],
        "chosen": ["c", None, "c", "c", "c"],
        "rejected": ["r", "r", "  ", "r", "r"],
    }
    scored = score_all(Ches(save_language_model(), device="cpu"), ArrayView(pairs))
    nothing = "no prompt, and the tokenizer knows no token to begin with"
    assert scored["ches_reason"].to_pylist() == [None, "no chosen", "no rejected", nothing, nothing]
    begun = score_all(Ches(save_language_model(begin=True), device="cpu"), ArrayView(pairs))
    assert begun["ches_reason"].to_pylist() == [None, "no chosen", "no rejected", None, None]


def test_columns_and_parameters(save_language_model: Saver) -> None:
    folder = save_language_model()
    renamed = ArrayView({"p": PAIRS["prompt"], "c": PAIRS["chosen"], "r": PAIRS["rejected"]})
    scorer = Ches(folder, prompt="p", chosen="c", rejected="r", device="cpu")
    whole = score_all(Ches(folder, device="cpu"), ArrayView(PAIRS))
    assert score_all(scorer, renamed).equals(whole)
    half = score_all(Ches(folder, device="cpu", precision="bf16"), ArrayView(PAIRS))
    np.testing.assert_allclose(half["ches"].to_numpy(), whole["ches"].to_numpy(), atol=0.3)
    assert not half.equals(whole)
    with pytest.raises(InputError, match="give the model that is to be trained"):
        Ches("")
    with pytest.raises(InputError, match="batch_size 0"):
        Ches("m", batch_size=0)
    with pytest.raises(InputError, match="'model'"):
        build("scorers", "ches", {})
    with pytest.raises(UnknownNameError, match="Did you mean 'normalised'"):
        build("scorers", "ches", {"model": "m", "normalized": True})


def test_nan_weights_are_said(save_language_model: Saver) -> None:
    import torch

    folder = save_language_model()
    model = load_language_model(folder, "cpu", "fp32")
    with torch.no_grad():
        next(model.net.base_model.parameters())[:] = torch.nan
    scored = score_all(Ches(folder, device="cpu"), ArrayView(PAIRS))
    assert set(scored["ches_reason"].to_pylist()) == {"the model answers with NaN"}
    load_language_model.cache_clear()
