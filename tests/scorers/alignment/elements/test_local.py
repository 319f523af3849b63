"""`local-elements`: greedy answers of a small random model, and answers that say something, good and broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import curate
from curate.errors import InputError, MissingModelError
from curate.scorers.alignment.elements import local
from curate.scorers.alignment.elements.generating import Answerer, load_answerer
from curate.scorers.alignment.elements.local import LocalElements
from curate.scorers.alignment.judges.splitting import ModelElements
from curate.testing import ArrayView, check_scorer, score_all

torch = pytest.importorskip("torch", reason="extra train not installed")


def one_by_one(model: Answerer, prompt: str, count: int) -> str:
    """The likeliest token, again and again, the whole text read anew each time."""
    ids = model.encode(prompt)
    start, end = len(ids), model.tokenizer.eos_token_id
    with torch.inference_mode():
        for _ in range(count):
            token = int(model.net(torch.tensor([ids])).logits[0, -1].argmax())
            if token == end:
                break
            ids.append(token)
    return str(model.tokenizer.decode(ids[start:], skip_special_tokens=True))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_answers_are_greedy_whatever_the_batch(save_language_model: Callable[..., str], kind: str) -> None:
    model = load_answerer(save_language_model(kind, limit=128, end=True), "cpu", "fp32")
    prompts = ["two red cars", "a dog", "on the street, at night, in the rain", "a dog"]
    expected = [one_by_one(model, prompt, 12) for prompt in prompts]
    assert len(set(expected)) > 1
    for size in (1, 2, 4):
        assert model.answer(prompts, max_tokens=12, batch_size=size) == expected
    assert model.answer([], max_tokens=12) == []
    room = model.limit - len(model.encode("a dog"))
    assert model.answer(["a dog"], max_tokens=room)[0] is not None
    assert model.answer(["a dog"], max_tokens=room + 1) == [None]


def test_what_a_folder_says_of_sampling_is_set_aside(save_language_model: Callable[..., str]) -> None:
    folder = save_language_model("llama", limit=64, end=True)
    said = {
        "do_sample": True,
        "temperature": 50.0,
        "top_k": 200,
        "eos_token_id": 7,
        "repetition_penalty": 9.0,
    }
    (Path(folder) / "generation_config.json").write_text(json.dumps(said))
    model = load_answerer(folder, "cpu", "fp32")
    assert set(model.net.generation_config.eos_token_id) == {7, model.tokenizer.eos_token_id}
    model.net.generation_config.eos_token_id = [model.tokenizer.eos_token_id]
    assert model.answer(["a dog"], max_tokens=10) == [one_by_one(model, "a dog", 10)]


def test_a_model_with_a_chat_template_is_asked_in_a_chat(save_language_model: Callable[..., str]) -> None:
    model = load_answerer(save_language_model("gpt2", limit=64), "cpu", "fp32")
    model.tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}>"
    assert model.tokenizer.decode(model.encode("a dog")) == "[a dog]>"


def test_a_model_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModelError, match="no usable causal language model"):
        load_answerer(str(tmp_path), "cpu", "fp32")


class Canned:
    """Stands in for a model: answers by what the prompt holds."""

    limit = 99

    def __init__(self, answers: dict[str, str | None]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def answer(self, prompts: Sequence[str], *, max_tokens: int, batch_size: int) -> list[str | None]:
        self.asked += prompts
        return [next(a for word, a in self.answers.items() if word in prompt) for prompt in prompts]

    def find_marks(self, text: str) -> list[str]:
        return ["</s>"] if "</s>" in text else []


PARTS = [
    {"element": "car", "type": "Object-vehicle", "question": "Is there a car?", "negative": "No car?"},
    {"element": "dragon", "type": "object", "question": "Is there a dragon?"},
    {"element": "red", "type": "color", "question": "Is the car red?", "depends": [1]},
]


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Canned:
    made = Canned(
        {
            "red car": "Sure: " + json.dumps({"elements": PARTS}),
            "blue": '{"elements": [{"element": "blue"',
            "dragonfly": json.dumps({"elements": [{"element": "a cat", "question": "Is there a cat?"}]}),
            "long": None,
        }
    )
    monkeypatch.setattr(local, "load_answerer", lambda *_: made)
    return made


TEXTS = ["A red car", "a blue sky", "a dragonfly", "a long text", " ", None, "a dog</s> now"]


def test_answers_become_elements_or_reasons(canned: Canned) -> None:
    found = score_all(LocalElements(max_tokens=7), ArrayView({"text": TEXTS}))
    assert found["local_elements"].to_pylist() == [2, *[None] * 6]
    assert found["local_elements_names"][0].as_py() == ["car (object)", "red (color)"]
    assert found["local_elements_left_out"][0].as_py() == 1  # there is no dragon in the text
    questions = found["local_elements_questions"][0].as_py()
    assert [(q["question"], q["element"], q["depends"]) for q in questions] == [
        ("Is there a car?", "car", []),
        ("Is the car red?", "red", [0]),
    ]
    reasons = found["local_elements_reason"].to_pylist()
    assert reasons[0] is None and 'begins \'{"elements"' in reasons[1] and "phrase of the text" in reasons[2]
    assert reasons[3].startswith("the question and an answer of 7 tokens are more than the 99")
    assert reasons[4:6] == ["no text"] * 2 and "'</s>'" in reasons[6]
    assert len(canned.asked) == 4


def test_the_endpoint_is_asked_the_same(canned: Canned, chat_endpoint: Any, tmp_path: Path) -> None:
    chat_endpoint.answer = lambda body: json.dumps({"elements": PARTS})
    rows = pa.record_batch({"id": ["a"], "text": ["A red car"]})
    there = (
        ModelElements(model="m", cache=str(tmp_path / "c"), negatives=True, limit=1)
        .score(rows)
        .to_pylist()[0]
    )
    here = LocalElements(negatives=True, limit=1).score(rows).to_pylist()[0]
    assert chat_endpoint.asked[0]["messages"][-1]["content"] in (
        canned.asked[0],
        [{"type": "text", "text": canned.asked[0]}],
    )
    for name in ("", "_questions", "_names", "_left_out"):
        assert here[f"local_elements{name}"] == there[f"model_elements{name}"]
    assert len(here["local_elements_questions"]) == 2


def test_it_keeps_the_contract_with_a_model(save_language_model: Callable[..., str]) -> None:
    folder = save_language_model("llama", limit=1024, end=True)
    scorer = LocalElements(model=folder, device="cpu", template="Split: {text}", max_tokens=8, batch_size=2)
    view = ArrayView({"text": ["a red car", "a dog on a mat", "nothing much", None]})
    check_scorer(scorer, view)
    reasons = score_all(scorer, view)["local_elements_reason"].to_pylist()
    assert all(why.startswith("the model's answer cannot be read") for why in reasons[:3])


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"max_tokens": 0}, {"batch_size": 0}, {"template": "Split it"}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="local-elements"):
        LocalElements(**wrong)


def test_its_questions_are_stored_for_others(canned: Canned, tmp_path: Path) -> None:
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add([{"id": "a", "instruction": "A red car", "output": "x"}], kind="instruction", id="id")
        store.score("local-elements")
        row = store.items.to_polars().row(0, named=True)
    assert row["local_elements"] == 2 and row["local_elements_questions"][1]["element"] == "red"
