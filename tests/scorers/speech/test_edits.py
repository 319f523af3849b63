"""Word and character error rates: by hand, against brute force, the parameters of the scorer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError, MissingModelError
from curate.memory import ArrayView
from curate.scorers.speech import (
    align_edits,
    character_error_rate,
    edits,
    normalise_transcripts,
    word_error_rate,
)
from curate.scorers.speech.transcripts import TranscriptErrors
from curate.testing import check_scorer, score_all


def test_by_hand() -> None:
    found = word_error_rate(
        ["the cat sat on the mat", "a b", "", "one two"], ["The cat sit on mat, now!", "", "x y", "one two"]
    )
    assert found.hits.tolist() == [4, 0, 0, 2]
    assert found.substitutions.tolist() == [1, 0, 0, 0]
    assert found.deletions.tolist() == [1, 2, 0, 0]
    assert found.insertions.tolist() == [1, 0, 2, 0]
    assert np.allclose(found.rate, [0.5, 1, np.nan, 0], equal_nan=True)
    assert np.allclose(found.matched, [4 / 7, 0, 0, 1])
    assert found.pooled == pytest.approx(7 / 10)
    assert np.isnan(word_error_rate([], []).pooled) and np.isnan(word_error_rate([""], [""]).matched[0])


def test_characters_by_hand() -> None:
    found = character_error_rate(["kitten", "a b"], ["sitting", "ab"])
    assert found.rate.tolist() == [3 / 6, 1 / 3]
    assert (found.substitutions[0], found.insertions[0], found.deletions[1]) == (2, 1, 1)
    kinds = [edit.kind for edit in align_edits("kitten", "sitting")]
    assert kinds == ["substitution", "hit", "hit", "hit", "substitution", "hit", "insertion"]


def test_normalisation() -> None:
    texts = [
        "\u2019Tis the dogs\u2019 WELL-known \u201cit\u2019s\u201d, O\u2019Brien \u2013 1,455!",
        None,
        "\u00c9T\u00c9",
        " \t",
        "ﬁve $ 5",
    ]
    assert normalise_transcripts(texts) == [
        "tis the dogs well known it's o'brien 1 455",
        None,
        "été",
        "",
        "five 5",
    ]
    assert word_error_rate(["A b."], ["a b"]).rate == 0
    assert word_error_rate(["A b."], ["a b"], normalise=False).rate == 1
    assert character_error_rate(["A b."], ["a b"], normalise=False).rate == 0.5
    assert word_error_rate([" a\tb\n"], ["a b"], normalise=False).rate == 0


def slow(reference: str, hypothesis: str) -> tuple[int, int]:
    """The fewest edits, and of those the fewest substitutions, by recursion."""

    @cache
    def best(i: int, j: int) -> tuple[int, int]:
        if not i or not j:
            return i + j, 0
        same = reference[i - 1] == hypothesis[j - 1]
        through = best(i - 1, j - 1)
        ways = [through if same else (through[0] + 1, through[1] + 1)]
        ways += [(e + 1, s) for e, s in (best(i - 1, j), best(i, j - 1))]
        return min(ways)

    return best(len(reference), len(hypothesis))


@given(st.lists(st.tuples(st.text("abc", max_size=9), st.text("abc", max_size=9)), max_size=6))
def test_against_brute_force(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = [a for a, _ in pairs], [b for _, b in pairs]
    found = character_error_rate(references, hypotheses, normalise=False)
    back = character_error_rate(hypotheses, references, normalise=False)
    for i, (a, b) in enumerate(pairs):
        total = int(found.substitutions[i] + found.deletions[i] + found.insertions[i])
        assert (total, int(found.substitutions[i])) == slow(a, b)
        assert found.hits[i] + found.substitutions[i] + found.deletions[i] == len(a)
        assert found.hits[i] + found.substitutions[i] + found.insertions[i] == len(b)
        steps = align_edits(a, b)
        counts = [sum(s.kind == k for s in steps) for k in ("hit", "substitution", "deletion", "insertion")]
        assert counts == [found.hits[i], found.substitutions[i], found.deletions[i], found.insertions[i]]
        assert [s.reference for s in steps if s.reference is not None] == list(range(len(a)))
        assert [s.hypothesis for s in steps if s.hypothesis is not None] == list(range(len(b)))
        assert all(
            (a[s.reference] == b[s.hypothesis]) == (s.kind == "hit")
            for s in steps
            if s.kind in ("hit", "substitution")
        )  # type: ignore[index]
    assert np.array_equal(found.insertions, back.deletions) and np.array_equal(found.hits, back.hits)


def test_long_pairs_and_batches_of_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ab "), n)) for n in (0, 1, 7, 300, 40, 41, 300, 2, 0, 90)]
    others = texts[::-1]
    whole = character_error_rate(texts, others, normalise=False)
    alone = [character_error_rate([a], [b], normalise=False) for a, b in zip(texts, others, strict=True)]
    assert whole.substitutions.tolist() == [int(a.substitutions[0]) for a in alone]
    monkeypatch.setattr(edits, "_CELLS", 50)
    assert character_error_rate(texts, others, normalise=False).hits.tolist() == whole.hits.tolist()
    monkeypatch.setattr(edits, "_SHORT", 1)  # as long texts are counted, in 64 bits
    assert character_error_rate(texts, others, normalise=False).hits.tolist() == whole.hits.tolist()
    with pytest.raises(InputError, match="whole table"):
        align_edits(range(10_000), range(10_000))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="as many"):
        word_error_rate(["a"], [])
    with pytest.raises(InputError, match="reference in row 1 is null"):
        word_error_rate(["a", None], ["a", "b"])  # type: ignore[list-item]


# --- The scorer -----------------------------------------------------------------------------------------------------


def _heard() -> ArrayView:
    return ArrayView(
        {
            "id": list("abcdef"),
            "text": ["One two three.", "one two three", "one two three", None, "...", "one two"],
            "heard": ["one two three", "won two", "", "x", "x", None],
        }
    )


def test_scorer_from_a_column() -> None:
    view = _heard()
    scorer = TranscriptErrors(hypothesis="heard")
    found = score_all(scorer, view).to_pydict()
    assert np.allclose(found["transcript_errors"][:3], [1, 1 / 3, 0])
    assert np.allclose(found["transcript_errors_rate"][:3], [0, 2 / 3, 1])
    assert found["transcript_errors_deletions"][:3] == [0, 1, 3]
    assert found["transcript_errors_hypothesis"] == ["one two three", "won two", "", None, None, None]
    assert found["transcript_errors_reason"][3:] == ["no word in the text", "no word in the text", "no heard"]
    check_scorer(scorer, view, planted=("a", "b"))


def test_parameters_have_an_effect() -> None:
    view = _heard()

    def first(**params: object) -> list[float]:
        scorer = TranscriptErrors(hypothesis="heard", **params)  # type: ignore[arg-type]
        return score_all(scorer, view)["transcript_errors_rate"].to_pylist()

    assert first(normalise=False)[0] == pytest.approx(2 / 3)
    assert first(unit="character")[1] == pytest.approx(8 / 13)
    for wrong in ({"batch_size": 0}, {"max_seconds": 0.0}):
        with pytest.raises(InputError):
            TranscriptErrors(**wrong)  # type: ignore[arg-type]


def test_too_long_a_pair_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.scorers.speech.transcripts._CELLS", 100)
    found = score_all(TranscriptErrors(hypothesis="heard", unit="character"), _heard())
    assert found["transcript_errors_reason"][0].as_py().startswith("too long to compare")


def _recordings(folder: Path) -> ArrayView:
    rng = np.random.default_rng(0)
    paths = []
    for i, (seconds, rate) in enumerate([(1.0, 16000), (0.5, 8000), (2.5, 22050)]):
        n = round(seconds * rate)
        paths.append(str(folder / f"{i}.wav"))
        soundfile.write(paths[-1], 0.2 * rng.normal(size=n), rate)
    silent = folder / "silent.wav"
    soundfile.write(silent, np.zeros(16000), 16000)
    return ArrayView(
        {
            "id": list("abcde"),
            "text": ["words are here"] * 5,
            "audio": [*paths, str(silent), str(folder / "no.wav")],
        }
    )


def test_scorer_with_a_model(tmp_path: Path, save_speech_model: Callable[..., str]) -> None:
    view = _recordings(tmp_path)
    for kind in ("ctc", "whisper"):
        scorer = TranscriptErrors(model=save_speech_model(kind), device="cpu")
        found = score_all(scorer, view).to_pydict()
        reasons = found["transcript_errors_reason"]
        assert [r and r.partition(":")[0] for r in reasons[3:]] == ["silent", "missing"]
        assert (reasons[2] is None) == (kind == "ctc")  # the other hears two seconds
        assert isinstance(found["transcript_errors_hypothesis"][0], str)
        for change in ({"batch_size": 1}, {"precision": "bf16"}):
            again = score_all(TranscriptErrors(model=scorer.model, device="cpu", **change), view)  # type: ignore[arg-type]
            assert change != {"batch_size": 1} or again.to_pydict() == found
    short = score_all(TranscriptErrors(model=scorer.model, device="cpu", max_seconds=0.7), view)
    assert short["transcript_errors_reason"][0].as_py() == "1.0 s, at most 0.7 s are heard"
    with pytest.raises(InputError, match="language"):
        score_all(TranscriptErrors(model=save_speech_model("ctc"), device="cpu", language="en"), view)
    with pytest.raises(MissingModelError, match="nobody/nothing"):
        score_all(TranscriptErrors(model="nobody/nothing"), view)
