"""`min-k` with a small random model: by hand, padding and batches that change nothing, windows, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from curate.contracts import role_of
from curate.errors import InputError, MissingModelError, SchemaError
from curate.scorers.text.contamination import MinK
from curate.scorers.text.language_model import load_language_model, plan_windows
from curate.testing import ArrayView, check_scorer, score_all

Saver = Callable[..., str]
TEXTS = ["The cat sat.", "A", "On a mat of straw it lay, and slept", "dogs bark", "zzzz", "Ünïcode, too: 猫"]
LONG = "In the beginning there were more words than a small model takes at a time, and then some more."


def values(scorer: MinK, texts: list[str], rows: int = 1 << 30) -> np.ndarray:
    return score_all(scorer, ArrayView({"text": texts}), rows)["min_k"].to_numpy()


def by_hand(folder: str, text: str, k: float, variant: str) -> float:
    """One text, alone, straight from its logits."""
    import torch

    model = load_language_model(folder, "cpu", "fp32")
    ids = torch.tensor(model.tokenizer(text)["input_ids"])
    with torch.inference_mode():
        all_ = model.net(ids[None]).logits[0, :-1].double().log_softmax(1)
    scores = all_.gather(1, ids[1:, None])[:, 0]
    if variant == "min-k++":
        mean = (all_.exp() * all_).sum(1)
        scores = (scores - mean) / ((all_.exp() * all_**2).sum(1) - mean**2).sqrt()
    count = max(int(k * len(scores)), 1)
    return float(scores.sort().values[:count].mean())


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("variant", ["min-k", "min-k++"])
def test_scores_are_those_of_the_logits(save_language_model: Saver, kind: str, variant: str) -> None:
    folder = save_language_model(kind)
    scorer = MinK(folder, variant=variant, k=0.3, device="cpu")
    expected = [-by_hand(folder, text, 0.3, variant) for text in TEXTS if text != "A"]
    got = values(scorer, TEXTS)
    np.testing.assert_allclose(np.delete(got, 1), expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(got[1])  # one token
    assert not np.allclose(np.delete(values(replace(scorer, k=0.9), TEXTS), 1), expected)


@pytest.mark.parametrize("variant", ["min-k", "min-k++"])
def test_neither_batches_nor_order_nor_padding_change_a_score(
    save_language_model: Saver, variant: str
) -> None:
    texts = [*TEXTS, LONG]
    plain = MinK(save_language_model(limit=40), variant=variant, device="cpu", batch_size=1)
    whole = values(plain, texts)
    for batch_size, rows in ((2, 100), (8, 3), (3, 1)):
        np.testing.assert_allclose(
            values(replace(plain, batch_size=batch_size), texts, rows), whole, atol=1e-5
        )
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_allclose(
        values(replace(plain, batch_size=4), [texts[i] for i in order]), whole[order], atol=1e-5
    )
    for side in ("left", "right"):
        padded = save_language_model(limit=40, pad="<pad>", side=side)
        np.testing.assert_allclose(
            values(replace(plain, model=padded, batch_size=7), texts), whole, atol=1e-5
        )


def test_conformance(save_language_model: Saver) -> None:
    view = ArrayView({"text": [*TEXTS[2:], LONG, "", "  "]})
    check_scorer(MinK(save_language_model(limit=40), device="cpu"), view, tolerance=1e-5)


def test_details_are_the_baselines(save_language_model: Saver) -> None:
    import zlib

    scorer = MinK(save_language_model(), device="cpu")
    scored = score_all(scorer, ArrayView({"text": ["The cat sat.", "", None]})).slice(0, 1).to_pylist()[0]
    assert scored["min_k_tokens"] == 11
    assert scored["min_k_perplexity"] == pytest.approx(np.exp(-scored["min_k_log_prob"]))
    size = len(zlib.compress(b"The cat sat."))
    assert scored["min_k_zlib"] == pytest.approx(-scored["min_k_log_prob"] / size)
    loss = MinK(scorer.model, variant="min-k", k=1.0, device="cpu")
    assert values(loss, ["The cat sat."])[0] == pytest.approx(-scored["min_k_log_prob"], abs=1e-6)
    assert [role_of(f) for f in scorer.gives] == ["score", *["detail"] * 4]


def test_a_token_that_begins_every_text_is_not_scored_but_lets_the_first_be(
    save_language_model: Saver,
) -> None:
    begun = MinK(save_language_model(begin=True, end=True), device="cpu")
    scored = score_all(begun, ArrayView({"text": ["The cat sat.", "A", "b</s>"]}))
    # the end that the tokenizer adds is none of the text's
    assert scored["min_k_tokens"].to_pylist() == [12, 1, 2]


# --- Windows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "window", "stride"), [(10, 4, 1), (10, 4, 3), (11, 5, 2), (4, 4, 2), (3, 9, 4)]
)
def test_windows_score_every_token_but_the_first_once(length: int, window: int, stride: int) -> None:
    windows = plan_windows([0, 1, length], window, stride)
    scored = [(w.text, t) for w in windows for t in range(w.first, w.end)]
    assert sorted(scored) == [(2, t) for t in range(1, length)] and len(set(scored)) == len(scored)
    for w in windows:
        assert w.end - w.begin <= window
        assert w.begin == 0 or w.first - w.begin >= window - stride


def test_long_texts_are_read_in_windows(save_language_model: Saver) -> None:
    folder = save_language_model(limit=40)
    scored = score_all(MinK(folder, device="cpu"), ArrayView({"text": [LONG]}))
    assert scored["min_k_tokens"].to_pylist() == [len(LONG) - 1]
    one = values(MinK(folder, device="cpu"), [LONG])[0]
    assert values(MinK(folder, device="cpu", max_length=40, stride=20), [LONG])[0] == pytest.approx(one)
    others = [MinK(folder, device="cpu", max_length=20), MinK(folder, device="cpu", stride=5)]
    for other in others:
        assert abs(values(other, [LONG])[0] - one) > 1e-4
    # the last token of each window by hand: what it sees is its window and no more
    import torch

    model = load_language_model(folder, "cpu", "fp32")
    ids = model.encode([LONG])
    found = model.token_statistics(ids, max_length=40, stride=20, moments=False)
    with torch.inference_mode():
        logits = model.net(torch.from_numpy(ids[0][None, 20:60])).logits[0].log_softmax(1)
    assert found.log_probs[45 - 1] == pytest.approx(float(logits[45 - 20 - 1, ids[0][45]]), abs=1e-5)
    assert len(found.means) == len(found.deviations) == 0


def test_windows_that_do_not_fit_are_refused(save_language_model: Saver) -> None:
    folder = save_language_model(limit=40)
    with pytest.raises(InputError, match="max_length=41: the model takes 40"):
        values(MinK(folder, device="cpu", max_length=41), TEXTS)
    with pytest.raises(InputError, match="stride=40: it lies between 1 and max_length - 1 = 39"):
        values(MinK(folder, device="cpu", stride=40), TEXTS)
    with pytest.raises(InputError, match="stride=0"):
        values(MinK(folder, device="cpu", stride=0), TEXTS)
    with pytest.raises(InputError, match="max_length=1"):
        values(MinK(folder, device="cpu", max_length=1), TEXTS)


# --- Models ---------------------------------------------------------------------------------------------------------


def test_half_precision_is_near_but_not_the_same(save_language_model: Saver) -> None:
    whole = MinK(save_language_model(), device="cpu")
    full, half = values(whole, TEXTS[2:]), values(replace(whole, precision="bf16"), TEXTS[2:])
    np.testing.assert_allclose(half, full, rtol=0.1)
    assert not np.allclose(half, full, rtol=1e-5)
    with pytest.raises(InputError, match="'fp16' is for a GPU"):
        values(replace(whole, precision="fp16"), TEXTS)


def test_logits_of_minus_infinity_and_nan_weights(save_language_model: Saver) -> None:
    import torch

    folder = save_language_model()
    scorer = MinK(folder, device="cpu")
    model = load_language_model(folder, "cpu", "fp32")
    biased = torch.nn.Linear(32, model.net.config.vocab_size)
    with torch.no_grad():
        biased.bias[258] = -torch.inf  # a token that is never said
    model.net.lm_head = biased
    assert np.isfinite(values(scorer, TEXTS[2:])).all()
    with torch.no_grad():
        biased.bias[:] = torch.nan
    broken = score_all(scorer, ArrayView({"text": ["dogs bark", ""]}))
    assert broken["min_k_reason"].to_pylist() == ["the model answers with NaN", "no text"]
    load_language_model.cache_clear()


def test_a_model_that_cannot_be_had_is_said(
    save_language_model: Saver, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingModelError, match=r"'nobody/nothing' is not on this machine.*path/to/folder"):
        values(MinK("nobody/nothing"), TEXTS)
    with pytest.raises(MissingModelError, match="holds no usable causal language model"):
        values(MinK(str(tmp_path)), TEXTS)


def test_a_model_is_loaded_once(save_language_model: Saver) -> None:
    folder = save_language_model()
    load_language_model.cache_clear()
    scorer = MinK(folder, device="cpu")
    assert load_language_model.cache_info().misses == 0  # the constructor loads nothing
    values(scorer, ["", " "])
    assert load_language_model.cache_info().misses == 0  # nor does a batch without text
    values(scorer, TEXTS, rows=2)
    assert load_language_model.cache_info().misses == 1


def test_parameters_that_say_no_sense_are_refused() -> None:
    for wrong, told in (
        ({}, "neither is given"),
        ({"model": "a", "log_probs": "b"}, "both is given"),
        ({"log_probs": "b"}, "needs means= and deviations="),
        ({"model": "a", "k": 0.0}, "k=0.0"),
        ({"model": "a", "batch_size": 0}, "batch_size 0"),
    ):
        with pytest.raises(InputError, match=told):
            MinK(**wrong)


# --- Columns computed elsewhere -------------------------------------------------------------------------------------

COLUMN = MinK(log_probs="lp", means="mu", deviations="sigma", k=0.5)


def test_a_column_gives_the_scores_of_the_model_that_made_it(save_language_model: Saver) -> None:
    folder = save_language_model()
    model = load_language_model(folder, "cpu", "fp32")
    texts = TEXTS[2:]
    found = model.token_statistics(model.encode(texts))
    lists = [
        pa.ListArray.from_arrays(pa.array(found.offsets, pa.int32()), pa.array(a, pa.float64()))
        for a in found[:3]
    ]
    view = ArrayView({"id": list("abcd"), "lp": lists[0], "mu": lists[1], "sigma": lists[2]})
    for variant in ("min-k", "min-k++"):
        scorer = replace(COLUMN, variant=variant)
        got = score_all(scorer, view)
        expected = values(MinK(folder, variant=variant, k=0.5, device="cpu"), texts)
        np.testing.assert_allclose(got["min_k"].to_numpy(), expected, rtol=1e-5)
        assert "min_k_zlib" not in got.column_names
        check_scorer(scorer, view)
    assert replace(COLUMN, variant="min-k").needs == ("lp",)


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 3)]
)
def test_lists_of_any_type_are_read_and_a_first_null_left_out(type_: pa.DataType) -> None:
    rows = [[None, -1.0, -3.0], [-5.0, -1.0, -3.0], None]
    table = pa.table({"id": ["a", "b", "c"], "lp": pa.array(rows, type_)})
    scored = score_all(MinK(log_probs="lp", variant="min-k", k=0.5), ArrayView(table))
    assert scored["min_k"].to_pylist() == [3.0, 5.0, None]
    assert scored["min_k_tokens"].to_pylist() == [2, 3, None]


def test_rows_of_a_column_that_say_no_sense_get_a_reason() -> None:
    rows = [
        ([-1.0, -2.0], [-1.0, -1.0], [1.0, 1.0], None),
        ([None], [None], [None], "no token log-probabilities in 'lp'"),
        ([], [], [], "no token log-probabilities in 'lp'"),
        ([-1.0, float("nan")], [-1.0, -1.0], [1.0, 1.0], "NaN or null among the numbers of 'lp'"),
        ([-1.0, None], [-1.0, -1.0], [1.0, 1.0], "NaN or null among the numbers of 'lp'"),
        ([-1.0, -2.0], [-1.0], [1.0, 1.0], "as many numbers in 'mu' as in 'lp' are needed"),
        ([-1.0, -2.0], [-1.0, float("nan")], [1.0, 1.0], "NaN or null among the numbers of 'mu'"),
        ([-1.0, -2.0], [-1.0, -1.0], [1.0, -1.0], "a standard deviation below 0 in 'sigma'"),
        ([0.5, -2.0], [-1.0, -1.0], [1.0, 1.0], "a number above 0 in 'lp': a log-probability is not"),
        ([-1.0, -3.0], [-1.0, -1.0], [1.0, 2.0], None),
    ]
    table = {"id": [str(i) for i in range(len(rows))]}
    table |= {name: [row[i] for row in rows] for i, name in enumerate(("lp", "mu", "sigma"))}
    scored = score_all(COLUMN, ArrayView(table))
    for got, (*_, told) in zip(scored["min_k_reason"].to_pylist(), rows, strict=True):
        assert (got is None) == (told is None) and (got or "").startswith(told or "")
    assert scored["min_k"].to_pylist()[0] == 1.0 and scored["min_k"].to_pylist()[-1] == 1.0
    with pytest.raises(SchemaError, match="'lp' is double: lists are needed"):
        score_all(MinK(log_probs="lp", variant="min-k"), ArrayView({"lp": [-1.0]}))
    with pytest.raises(SchemaError, match="lists of string: lists of numbers"):
        score_all(MinK(log_probs="lp", variant="min-k"), ArrayView({"lp": [["a"]]}))


def test_the_column_and_the_role_read() -> None:
    assert MinK("model").needs == ("text",)
    assert MinK("model", column="story").needs == ("story",)
