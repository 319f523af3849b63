"""What all scorers by a judge behind an endpoint share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from judge_work import batch, text_of
from PIL import Image

import curate
from curate.contracts import component_digest, component_params
from curate.errors import InputError
from curate.scorers.alignment.judges.client import Settings, open_client
from curate.scorers.alignment.judges.grounded import ElementJudge
from curate.scorers.alignment.judges.rating import JudgeScore, PairwiseJudge
from curate.scorers.alignment.judges.splitting import ModelElements

ALL = (JudgeScore, PairwiseJudge, ElementJudge, ModelElements)


@pytest.mark.parametrize("scorer", ALL, ids=lambda scorer: scorer.name)
def test_settings_reach_the_client(scorer: Any) -> None:
    given = {
        "timeout": 7.0,
        "attempts": 3,
        "per_minute": 5.0,
        "concurrency": 2,
        "price_in": 1.0,
        "price_out": 2.0,
        "max_cost": 3.0,
    }
    assert scorer(model="m", cache="c", **given).settings == Settings("c", **given)


@pytest.mark.parametrize("scorer", ALL, ids=lambda scorer: scorer.name)
def test_no_address_and_no_key_is_part_of_a_scorer(scorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = scorer(model="m", cache="c")
    before = component_digest(one)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://other.example/v1")
    assert component_digest(scorer(model="m", cache="c")) == before
    assert not any("sk-" in str(value) or "://" in str(value) for value in component_params(one).values())


@pytest.mark.parametrize("scorer", ALL, ids=lambda scorer: scorer.name)
@pytest.mark.parametrize(
    "wrong",
    [
        {"model": " "},
        {"cache": ""},
        {"repairs": -1},
        {"max_tokens": 0},
        {"image_size": 1},
        {"attempts": 0},
        {"template": "no braces"},
        {"template": "{0}"},
        {"template": "{"},
    ],
    ids=str,
)
def test_wrong_parameters_are_refused(scorer: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        scorer(**{"model": "m", "cache": "c", **wrong})


@pytest.mark.parametrize(
    ("scorer", "wrong"),
    [
        (JudgeScore, {"ratings": ("5",)}),
        (PairwiseJudge, {"verdict": "hard"}),
        (PairwiseJudge, {"template": "{first}"}),
        (ElementJudge, {"template": "{text}"}),
        (ModelElements, {"template": "{types}"}),
        (ModelElements, {"limit": 0}),
    ],
)
def test_wrong_parameters_of_their_own(scorer: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        scorer(model="m", cache="c", **wrong)


def test_the_image_is_sent_in_the_size_asked_for(chat_endpoint: Any, folder: str, image: str) -> None:
    chat_endpoint.answer = lambda body: "5"
    rows = batch(image=[image], text=["a"])
    for size in (16, 32):
        JudgeScore(model="m", cache=folder, image_size=size).score(rows)
    urls = [body["messages"][0]["content"][0]["image_url"]["url"] for body in chat_endpoint.asked]
    assert len(urls[0]) < len(urls[1])


def test_an_image_is_read_when_its_turn_comes(chat_endpoint: Any, folder: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.new("RGB", (20, 20)).save(path)

    def answer(_: dict[str, Any]) -> str:
        paths[2].unlink(missing_ok=True)  # a batch that had been read beforehand would not notice
        return "5"

    chat_endpoint.answer = answer
    scorer = JudgeScore(model="m", cache=folder, concurrency=1)
    scored = scorer.score(batch(image=[str(path) for path in paths], text=["a", "b", "c"]))
    assert scored["judge_score"].to_pylist() == [5, 5, None]


def test_a_store_keeps_the_evidence_and_hands_the_answers_on(
    chat_endpoint: Any, folder: str, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any]) -> str:
        listed = text_of(body).partition("<questions>\n")[2].partition("\n</questions>")[0].splitlines()
        seen = [
            {
                "question": i,
                "evidence": "seen",
                "box": [0, 0, 1, 1],
                "answer": "yes" if "dog" in asked else "no",
            }
            for i, asked in enumerate(listed, 1)
        ]
        return json.dumps({"answers": seen})

    chat_endpoint.answer = answer
    rows = []
    for i, caption in enumerate(("a dog", "a red cat on a table", "a dog next to a car")):
        Image.new("RGB", (20, 20), (i * 40, 0, 0)).save(tmp_path / f"{i}.png")
        rows.append({"id": str(i), "image": str(tmp_path / f"{i}.png"), "caption": caption})
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    store = curate.open(str(tmp_path / "s.curate"), create=True)
    store.add(str(tmp_path / "items.jsonl"), kind="image-text", id="id")
    store.score("elements")
    store.score("element-judge", model="m", cache=folder, questions="elements_questions")
    store.score("dsg", questions="elements_questions", answers="element_judge_answers")
    found = store.items.to_polars().sort("id")
    assert found["dsg"][0] == found["element_judge"][0] == 1
    assert found["dsg"][1] == found["element_judge"][1] == 0
    assert 0 < found["element_judge"][2] < 1
    assert found["element_judge_evidence"][0][0]["evidence"] == "seen"
    assert chat_endpoint.requests == 3


def test_spending_is_counted_over_batches(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: "5"
    scorer = JudgeScore(model="m", cache=folder, image=False, price_in=10.0)
    for text in ("a", "b", "a"):
        scorer.score(batch(text=[text]))
    spent = open_client(scorer.settings).spent
    assert (spent.answered, spent.cached, spent.tokens_in) == (2, 1, 200)
    assert spent.cost == pytest.approx(2e-3)
