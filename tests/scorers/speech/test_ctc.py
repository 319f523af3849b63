"""CTC alignment: by hand, against all paths, and the scorer on small random models."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, product
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.speech import ctc_align
from curate.scorers.speech.ctc_scorer import CtcAlignmentScore, spell
from curate.testing import check_scorer, score_all


def test_by_hand() -> None:
    # blank, a, b; three frames. "a" is spelled by aaa, aa-, a--, -aa, -a-, --a
    p = np.array([[0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    found = ctc_align(np.log(p), [1])
    paths = [
        0.4 * 0.7 * 0.3,
        0.4 * 0.7 * 0.6,
        0.4 * 0.2 * 0.6,
        0.5 * 0.7 * 0.3,
        0.5 * 0.7 * 0.6,
        0.5 * 0.2 * 0.3,
    ]
    assert np.exp(found.forward) == pytest.approx(sum(paths))
    assert np.exp(found.viterbi) == pytest.approx(0.5 * 0.7 * 0.6)
    assert found.greedy == pytest.approx(found.viterbi)
    assert found.spans.tolist() == [[1, 2]] and found.confidences.tolist() == pytest.approx([0.7])
    assert found.confidence == pytest.approx(0.7) and found.likelihood == 1.0  # more than one path spells it


def test_two_tokens_by_hand() -> None:
    p = np.array([[0.1, 0.8, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.9, 0.05, 0.05]])
    found = ctc_align(np.log(p), [1, 2])
    assert found.spans.tolist() == [[0, 2], [2, 3]]
    assert found.confidences.tolist() == pytest.approx([0.7, 0.6])
    other = ctc_align(np.log(p), [2, 1])
    assert other.forward < found.forward and other.likelihood < found.likelihood
    assert other.likelihood == pytest.approx(1 / (1 + (other.greedy - other.forward) / 2))


def test_equal_tokens_need_a_blank_between_them() -> None:
    p = np.full((3, 2), 0.5)
    assert ctc_align(np.log(p), [1, 1]).spans.tolist() == [[0, 1], [2, 3]]
    too_short = ctc_align(np.log(p[:2]), [1, 1])
    assert (
        too_short.viterbi == too_short.forward == -np.inf
        and too_short.confidence == too_short.likelihood == 0
    )
    assert too_short.spans.tolist() == [[-1, -1], [-1, -1]]
    assert np.isfinite(ctc_align(np.log(np.full((2, 3), 1 / 3)), [1, 2]).viterbi)


def test_nothing_to_say_and_nothing_to_hear() -> None:
    silent = ctc_align(np.log(np.full((2, 4), 0.25)), np.empty(0, int))
    assert silent.viterbi == silent.forward == pytest.approx(2 * np.log(0.25)) and np.isnan(silent.confidence)
    assert ctc_align(np.empty((0, 3)), [1]).forward == -np.inf
    assert ctc_align(np.empty((0, 3)), np.empty(0, int)).forward == 0


def every_path(p: np.ndarray, targets: list[int], blank: int) -> tuple[float, float, set[tuple[int, ...]]]:
    """The sum and the maximum over all paths that spell the targets, and the likeliest paths."""
    total, best, paths = 0.0, 0.0, set()
    for path in product(range(p.shape[1]), repeat=len(p)):
        if [c for c, _ in groupby(path) if c != blank] == targets:
            chance = float(np.prod([p[t, c] for t, c in enumerate(path)]))
            total += chance
            if chance > best * (1 + 1e-9):
                best, paths = chance, set()
            if chance > best * (1 - 1e-9):
                paths.add(path)
    return total, best, paths


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_against_all_paths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames, classes, blank = int(rng.integers(1, 6)), 3, int(rng.integers(3))
    p = rng.dirichlet(np.ones(classes), frames)
    targets = [int(c) for c in rng.choice([c for c in range(classes) if c != blank], rng.integers(0, 4))]
    total, best, paths = every_path(p, targets, blank)
    found = ctc_align(np.log(p), np.array(targets, int), blank)
    assert np.exp(found.forward) == pytest.approx(total) and np.exp(found.viterbi) == pytest.approx(best)
    assert found.greedy >= found.viterbi - 1e-12 and found.forward >= found.viterbi - 1e-12
    if best and targets:
        rebuilt = np.full(frames, blank)
        for token, (begin, end), sure in zip(targets, found.spans, found.confidences, strict=True):
            rebuilt[begin:end] = token
            assert sure == pytest.approx(p[begin:end, token].mean())
        assert tuple(rebuilt.tolist()) in paths
        assert found.spans[0, 0] >= 0 and np.all(found.spans[1:, 0] >= found.spans[:-1, 1])


def test_parity_with_the_loss_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="extra train not installed")
    rng = np.random.default_rng(0)
    log_probs = torch.from_numpy(rng.normal(size=(40, 12))).log_softmax(-1)
    for tokens in ([3], [1, 1, 2, 11, 5], list(rng.integers(1, 12, 15))):
        target = torch.tensor([[int(t) for t in tokens]])
        loss = torch.nn.functional.ctc_loss(log_probs[:, None], target, [40], [len(tokens)], reduction="sum")
        assert ctc_align(log_probs.numpy(), np.array(tokens)).forward == pytest.approx(-float(loss))


def test_classes_that_cannot_be_are_no_trouble() -> None:
    p = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    with np.errstate(divide="ignore"):
        found = ctc_align(np.log(p), [1, 2])
        assert found.forward == found.viterbi == 0 and found.likelihood == 1
        assert ctc_align(np.log(p), [2, 1]).forward == -np.inf


def test_a_text_too_long_for_the_sound_takes_no_memory() -> None:
    found = ctc_align(np.log(np.full((3000, 2), 0.5)), np.ones(10_000_000, int))
    assert found.forward == -np.inf and found.confidence == 0


def test_an_alignment_too_large_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_speech_model: Callable[..., str]
) -> None:
    monkeypatch.setattr("curate.scorers.speech.ctc_scorer.MOST_CELLS", 1000)
    found = score_all(CtcAlignmentScore(model=save_speech_model("ctc"), device="cpu"), _view(tmp_path))
    assert "too long to align" in found["ctc_alignment_reason"][0].as_py()


def test_long_sounds_do_not_underflow() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 30))
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = ctc_align(log_probs, rng.integers(1, 30, 200))
    assert -1e5 < found.viterbi < found.forward < found.greedy and 0 < found.confidence < 1


@pytest.mark.parametrize(
    ("log_probs", "targets", "words"),
    [
        (np.zeros((2, 3)), [1], "sum to 3"),
        (np.full((2, 3), np.nan), [1], "frame 0"),
        (np.log(np.full((2, 2), 0.5)), [0], "other than the blank"),
        (np.log(np.full((2, 2), 0.5)), [2], "from 0 to 1"),
        (np.zeros(3), [1], "needed"),
        (np.log(np.full((1 << 14, 3), 1 / 3)), np.tile([1, 2], 1 << 12), "cut the sound"),
    ],
)
def test_bad_input(log_probs: np.ndarray, targets: list[int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ctc_align(log_probs, targets)


# --- The scorer -----------------------------------------------------------------------------------------------------


def test_spelling() -> None:
    vocabulary = {"<pad>": 0, "|": 1, "A": 2, "B": 3, "'": 4, "\u00c9": 5, "<unk>": 6}
    spelled = spell("Ab, b\u2019a - \u00e9!", vocabulary, "|")
    assert spelled.tokens.tolist() == [2, 3, 1, 3, 4, 2, 1, 5]
    assert spelled.words.tolist() == [0, 0, -1, 1, 1, 1, -1, 3]
    assert (spelled.unknown, spelled.total) == (0.0, 4)
    assert spell("a1c", vocabulary, "|").unknown == pytest.approx(2 / 3)
    assert len(spell("12 <pad>", vocabulary, "|").tokens) == 1  # the a of pad, not the token
    assert spell("ab b", {"a": 1, "b": 2}, "|").tokens.tolist() == [1, 2, 2]


def _view(folder: Path) -> ArrayView:
    rng = np.random.default_rng(0)
    paths = []
    for i, (seconds, rate) in enumerate([(1.0, 16000), (0.5, 8000), (0.3, 22050), (1.0, 16000)]):
        n = round(seconds * rate)
        paths.append(str(folder / f"{i}.wav"))
        soundfile.write(paths[-1], 0.2 * rng.normal(size=n), rate)
    silent, short = folder / "silent.wav", folder / "short.wav"
    soundfile.write(silent, np.zeros(16000), 16000)
    soundfile.write(short, np.full(100, 0.5), 16000)
    return ArrayView(
        {
            "id": list("abcdefgh"),
            "audio": [*paths, str(silent), str(folder / "no.wav"), paths[0], str(short)],
            "text": [
                "Words are here",
                "two words",
                "so many words do not fit in three tenths",
                "12 a",
                "x",
                "x",
                "42",
                "x",
            ],
        }
    )


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_scorer(norm: str, tmp_path: Path, save_speech_model: Callable[..., str]) -> None:
    view = _view(tmp_path)
    scorer = CtcAlignmentScore(model=save_speech_model("ctc", norm), device="cpu")
    found = score_all(scorer, view).to_pydict()
    assert [r and r.partition(":")[0] for r in found["ctc_alignment_reason"][4:6]] == ["silent", "missing"]
    assert found["ctc_alignment_reason"][6] == "no character of the text is in the model's alphabet"
    assert found["ctc_alignment_reason"][7].startswith("6.2 ms")
    assert all(0 < found["ctc_alignment"][i] <= 1 for i in (0, 1, 3)) and found["ctc_alignment"][2] == 0
    assert [len(words or []) for words in found["ctc_alignment_words"]] == [3, 2, 9, 2, 0, 0, 0, 0]
    assert found["ctc_alignment_words"][3][0] is None and found["ctc_alignment_unknown"][3] == pytest.approx(
        2 / 3
    )
    assert found["ctc_alignment_worst"][0] == min(found["ctc_alignment_words"][0])
    assert 0 <= found["ctc_alignment_begin"][0] < found["ctc_alignment_end"][0] <= 1.0
    assert found["ctc_alignment_begin"][2] is None
    check_scorer(scorer, view, tolerance=1e-5)


def test_parameters_have_an_effect(tmp_path: Path, save_speech_model: Callable[..., str]) -> None:
    view = _view(tmp_path)
    model = save_speech_model("ctc", "layer")

    def first(**params: object) -> list[float | None]:
        return score_all(CtcAlignmentScore(model=model, device="cpu", **params), view)[
            "ctc_alignment"
        ].to_pylist()  # type: ignore[arg-type]

    plain = first()
    assert first(method="confidence")[0] != plain[0]
    assert first(max_seconds=0.7)[:2] == [None, plain[1]]
    assert np.allclose(first(batch_size=1)[:2], plain[:2], atol=1e-5)
    assert first(precision="bf16")[0] == pytest.approx(plain[0], abs=0.05)
    for wrong in ({"batch_size": 0}, {"max_seconds": 0.0}, {"model": ""}):
        with pytest.raises(InputError):
            CtcAlignmentScore(**wrong)  # type: ignore[arg-type]
