"""PN-VQA, VQ2 and VQAScore over a model with random weights: what is asked, how answers are put together, and nulls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.errors import InputError
from curate.scorers.alignment import pn_vqa_score
from curate.scorers.alignment.vqa.loading import load_vision_language_model
from curate.scorers.alignment.vqa.questions import QUESTIONS
from curate.scorers.alignment.vqa.scorers import PnVqa, Vq2, VqaScore
from curate.testing import ArrayView, check_scorer, score_all

pytest.importorskip("torch", reason="extra vision not installed")
pytest.importorskip("transformers", reason="extra vision not installed")


def ask(*texts: str, answer: str = "yes") -> list[dict[str, Any]]:
    return [{"question": text, "answer": answer, "type": None, "depends": None} for text in texts]


@pytest.fixture(scope="module")
def folder(save_vision_language_model: Callable[..., str]) -> str:
    return save_vision_language_model()


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> ArrayView:
    """Six images, of which one is cut off and one is none, with their questions."""
    place = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(5):
        path = place / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (40 + 9 * i, 60, 3), np.uint8)).save(path)
        paths.append(str(path))
    data = Path(paths[3]).read_bytes()
    Path(paths[3]).write_bytes(data[: len(data) // 2])
    questions = [
        ask("Is there a dog?", "Is it red?"),
        ask("Is there a cat?", answer="No."),
        None,
        ask("Is there a cow?"),
        ask("How many?", answer="two"),
        ask("Is it you?"),
    ]
    return ArrayView(
        {
            "image": pa.array([*paths, None]),
            "text": ["a dog", "two men", " ", "a cow", "the sea", "a house"],
            "questions": pa.array(questions, QUESTIONS),
        }
    )


def reasons(table: pa.Table, name: str) -> list[str | None]:
    return [None if r is None else r[:24] for r in table[f"{name}_reason"].to_pylist()]


def asked_by_hand(folder: str, view: ArrayView, row: int, prompts: Sequence[str]) -> np.ndarray:
    """Log-probabilities of yes and of no."""
    model = load_vision_language_model(folder, "cpu", "fp32")
    path = view.to_arrow(["image"])["image"][row].as_py()
    words = [model.find_words(("yes",)), model.find_words(("no",))]
    answer = model.ask([(Image.open(path).convert("RGB"), list(prompts))], words)[0]
    assert not isinstance(answer, str)
    return answer


def share(logs: np.ndarray) -> np.ndarray:
    return np.exp(logs[:, 0]) / np.exp(logs).sum(1)


@pytest.mark.parametrize("kind", [PnVqa, Vq2, VqaScore])
def test_they_keep_the_contract(kind: type, folder: str, view: ArrayView) -> None:
    check_scorer(kind(model=folder, device="cpu"), view, tolerance=1e-5)


def test_pn_vqa_is_put_together_as_written(folder: str, view: ArrayView) -> None:
    scored = score_all(
        PnVqa(model=folder, device="cpu", positive="{question} T", negative="{question} F"), view
    )
    assert reasons(scored, "pn_vqa") == [
        None,
        None,
        "no questions",
        "truncated: " + view.to_arrow(["image"])["image"][3].as_py()[:13],
        "question 0 expects 'two'",
        "missing: no image",
    ]
    p = share(asked_by_hand(folder, view, 0, ["Is there a dog? T", "Is it red? T"]))
    n = share(asked_by_hand(folder, view, 0, ["Is there a dog? F", "Is it red? F"]))
    for field, expected in (("positive", p), ("negative", n), ("answer", (p + 1 - n) / 2)):
        assert np.allclose([a[field] for a in scored["pn_vqa_answers"][0].as_py()], expected, atol=1e-6)
    assert scored["pn_vqa"][0].as_py() == pytest.approx(((p + 1 - n) / 2).mean(), abs=1e-6)
    p, n = (share(asked_by_hand(folder, view, 1, [f"Is there a cat? {x}"])) for x in "TF")
    assert scored["pn_vqa"][1].as_py() == pytest.approx(1 - pn_vqa_score(p, n)[0], abs=1e-6)  # no is expected
    assert abs(scored["pn_vqa"][1].as_py() - 0.5) > 1e-4


def test_vq2_asks_for_any_answer(folder: str, view: ArrayView) -> None:
    scored = score_all(Vq2(model=folder, device="cpu"), view)
    by_hand = share(asked_by_hand(folder, view, 4, ['Is "two" true for "How many?" in this image?']))
    assert scored["vq2"][4].as_py() == pytest.approx(by_hand[0], abs=1e-6)
    assert [a["answer"] for a in scored["vq2_answers"][4].as_py()] == pytest.approx(
        by_hand.tolist(), abs=1e-6
    )
    other = score_all(Vq2(model=folder, device="cpu", template="{question}"), view)
    assert other["vq2"][4].as_py() == pytest.approx(
        share(asked_by_hand(folder, view, 4, ["How many?"]))[0], abs=1e-6
    )


def test_vqa_score_is_the_chance_of_yes_among_all_words(folder: str, view: ArrayView) -> None:
    scored = score_all(VqaScore(model=folder, device="cpu"), view)
    assert reasons(scored, "vqa_score")[2] == "no text"
    logs = asked_by_hand(folder, view, 1, ['Does this figure show "two men"? Please answer yes or no.'])
    assert scored["vqa_score"][1].as_py() == pytest.approx(np.exp(logs[0, 0]), abs=1e-6)
    shared = score_all(VqaScore(model=folder, device="cpu", normalise="yes-no"), view)
    assert shared["vqa_score"][1].as_py() == pytest.approx(share(logs)[0], abs=1e-6)
    other = score_all(VqaScore(model=folder, device="cpu", template="{text}?"), view)
    logs = asked_by_hand(folder, view, 1, ["two men?"])
    assert other["vqa_score"][1].as_py() == pytest.approx(np.exp(logs[0, 0]), abs=1e-6)


def test_every_other_parameter_has_an_effect(folder: str, view: ArrayView) -> None:
    plain = score_all(VqaScore(model=folder, device="cpu"), view)["vqa_score"].drop_null().to_numpy()
    small = score_all(VqaScore(model=folder, device="cpu", batch_size=1), view)
    assert np.allclose(small["vqa_score"].drop_null(), plain, atol=1e-6)
    exchanged = score_all(VqaScore(model=folder, device="cpu", yes=("no",), no=("yes",)), view)
    assert not np.allclose(exchanged["vqa_score"].drop_null(), plain, atol=1e-5)
    half = score_all(VqaScore(model=folder, device="cpu", precision="bf16"), view)
    assert 0 < np.abs(half["vqa_score"].drop_null().to_numpy() - plain).max() < 0.02
    renamed = view.to_arrow().append_column("asks", view.to_arrow()["questions"]).drop_columns(["questions"])
    for kind in (PnVqa, Vq2):
        one = score_all(kind(model=folder, device="cpu"), view)
        assert one.equals(score_all(kind(model=folder, device="cpu", questions="asks"), ArrayView(renamed)))


def test_what_cannot_be_is_refused_at_once(folder: str, view: ArrayView) -> None:
    with pytest.raises(InputError, match="batch_size 0"):
        VqaScore(batch_size=0)
    with pytest.raises(InputError, match="words for each, none for both"):
        VqaScore(no=("Yes",))
    with pytest.raises(InputError, match="positive 'Is it there'"):
        PnVqa(positive="Is it there")
    with pytest.raises(InputError, match="negative"):
        PnVqa(negative="{answer}")
    with pytest.raises(InputError, match="nothing else in braces"):
        VqaScore(template="{text.__class__}")
    with pytest.raises(InputError, match="cannot be read"):
        Vq2(template="{question")
    with pytest.raises(InputError, match="no token for"):
        score_all(VqaScore(model=folder, device="cpu", yes=("oui",)), view)


def test_a_device_that_is_not_there_is_an_error(folder: str, view: ArrayView) -> None:
    with pytest.raises(Exception, match=r"nowhere|device"):
        score_all(VqaScore(model=folder, device="nowhere"), view)
