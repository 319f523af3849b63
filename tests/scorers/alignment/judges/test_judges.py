"""Scorers by a judge behind an endpoint, against a server that answers as planted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

import curate
from curate.contracts import component_digest, component_params, parallel_to
from curate.errors import InputError, RunError
from curate.scorers.alignment.judges.client import Settings, open_client
from curate.scorers.alignment.judges.grounded import ElementJudge
from curate.scorers.alignment.judges.rating import JudgeScore, PairwiseJudge
from curate.scorers.alignment.judges.splitting import ModelElements
from curate.scorers.alignment.vqa.aggregates import Dsg


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "replies")


@pytest.fixture
def image(tmp_path: Path) -> str:
    Image.new("RGB", (64, 32), "red").save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    return str(content if isinstance(content, str) else content[1]["text"])


def batch(**columns: Any) -> pa.RecordBatch:
    n = len(next(iter(columns.values())))
    return pa.record_batch({"id": [str(i) for i in range(n)], **columns})


# --- judge-score --------------------------------------------------------------------------------------------


def test_a_rating_is_what_is_expected_of_the_tokens(chat_endpoint: Any, folder: str, image: str) -> None:
    chat_endpoint.answer = lambda body: (
        "4",
        [{"4": math.log(0.6), "3": math.log(0.2), "the": math.log(0.2)}],
    )
    rows = batch(image=[image], text=["a red square"])
    scored = JudgeScore(model="m", cache=folder, price_in=1.0).score(rows).to_pylist()[0]
    assert scored["judge_score"] == pytest.approx(3.75)
    assert scored["judge_score_spread"] == pytest.approx(math.sqrt(0.75 * 0.0625 + 0.25 * 0.5625))
    assert scored["judge_score_expected"] is True
    assert scored["judge_score_cost"] == pytest.approx(100e-6)
    assert "a red square" in text_of(chat_endpoint.asked[0])
    plain = JudgeScore(model="m", cache=folder, logprobs=False).score(rows).to_pylist()[0]
    assert (plain["judge_score"], plain["judge_score_spread"], plain["judge_score_expected"]) == (4, 0, False)
    assert "logprobs" not in chat_endpoint.asked[1]


def test_items_that_cannot_be_judged_say_why_and_cost_nothing(
    chat_endpoint: Any, folder: str, image: str, tmp_path: Path
) -> None:
    chat_endpoint.answer = lambda body: "5"
    (tmp_path / "bad.png").write_bytes(b"no image")
    rows = batch(
        image=[image, None, str(tmp_path / "bad.png"), "gone.png", image, image],
        text=["a"] * 4 + [" ", None],
    )
    scored = JudgeScore(model="m", cache=folder).score(rows)
    assert scored["judge_score"].to_pylist() == [5, None, None, None, None, None]
    reasons = scored["judge_score_reason"].to_pylist()
    starts = ["missing: no image", "wrong-format", "missing", "no text", "no text"]
    assert reasons[0] is None
    assert all(reason.startswith(start) for reason, start in zip(reasons[1:], starts, strict=True))
    assert chat_endpoint.requests == 1


def test_other_words_other_columns_no_image(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: "yes" if "Paris" in text_of(body) else "no"
    scorer = JudgeScore(
        model="m",
        cache=folder,
        image=False,
        ratings=("no", "yes"),
        template="Is {output} right for {instruction}?",
    )
    assert scorer.needs == ("output", "instruction")
    rows = batch(output=["Paris", "{text}"], instruction=["Capital of France?"] * 2)
    assert scorer.score(rows)["judge_score"].to_pylist() == [1, 0]
    assert text_of(chat_endpoint.asked[0]).startswith("Is ")


def test_rubbish_is_repaired_or_null_and_never_paid_for_again(chat_endpoint: Any, folder: str) -> None:
    def stubborn(body: dict[str, Any]) -> str:
        if "first" in text_of(body):
            return "3" if len(body["messages"]) > 1 else "Well, 3 or 4"
        return "I'd rather not"

    chat_endpoint.answer = stubborn
    rows = batch(text=["first", "second"])

    def build(repairs: int) -> JudgeScore:
        return JudgeScore(
            model="m", cache=folder, image=False, repairs=repairs, template="Rate {text}", price_out=1.0
        )

    scored = build(2).score(rows).to_pylist()
    assert (scored[0]["judge_score"], scored[1]["judge_score"]) == (3, None)
    assert scored[0]["judge_score_cost"] == pytest.approx(20e-6)  # rubbish is paid for as well
    assert "3 replies" in scored[1]["judge_score_reason"]
    assert "rather not" in scored[1]["judge_score_reason"]
    assert len(chat_endpoint.asked) == 2 + 3
    repair = chat_endpoint.asked[-1]["messages"]
    assert [m["role"] for m in repair] == ["user", "assistant", "user", "assistant", "user"]
    assert "none of them" in repair[2]["content"]
    assert build(2).score(rows).to_pylist() == scored
    assert len(chat_endpoint.asked) == 5
    assert build(0).score(rows)["judge_score"].to_pylist() == [None, None]
    assert len(chat_endpoint.asked) == 5


def test_an_interrupted_run_goes_on_where_it_stopped(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: "2"
    rows = batch(text=[f"item {i}" for i in range(6)])
    scorer = JudgeScore(model="m", cache=folder, image=False, attempts=1, concurrency=1, max_tokens=3)
    chat_endpoint.faults = [None, None, "drop"]
    with pytest.raises(RunError, match="kept in the cache"):
        scorer.score(rows)
    assert scorer.score(rows)["judge_score"].to_pylist() == [2] * 6
    texts = [text_of(body) for body in chat_endpoint.asked]
    assert len(texts) == len(set(texts)) == 6
    assert chat_endpoint.asked[0]["max_tokens"] == 3


def test_one_item_that_is_refused_does_not_stop_the_others(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: "2"
    chat_endpoint.faults = [400]
    scorer = JudgeScore(model="m", cache=folder, image=False, concurrency=1)
    scored = scorer.score(batch(text=["a", "b"]))
    assert scored["judge_score"].to_pylist() == [None, 2]
    assert scored["judge_score_reason"][0].as_py().startswith("the endpoint refuses it: HTTP 400")


# --- pairwise-judge ---------------------------------------------------------------------------------------------


def prefers(word: str) -> Callable[[dict[str, Any]], str]:
    def answer(body: dict[str, Any]) -> str:
        first = text_of(body).partition("<answer A>")[2].partition("</answer A>")[0]
        return "A" if word in first else "B"

    return answer


def pair(**more: Any) -> pa.RecordBatch:
    return batch(prompt=["Q"], chosen=["good one"], rejected=["bad one"], **more)


def test_the_better_answer_wins_in_both_orders(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = prefers("good")
    rows = batch(
        prompt=["Q", None, "Q", "Q", "Q"],
        chosen=["good", "bad", "good", None, "same"],
        rejected=["bad", "good", "", "bad", "same "],
    )
    scored = PairwiseJudge(model="m", cache=folder).score(rows)
    assert scored["pairwise_judge"].to_pylist() == [1, 0, None, None, None]
    assert scored["pairwise_inconsistent"].to_pylist() == [False, False, None, None, None]
    assert scored["pairwise_judge_reason"].to_pylist() == [
        None,
        None,
        "no rejected",
        "no chosen",
        "chosen and rejected are the same",
    ]
    assert chat_endpoint.requests == 4


def test_a_judge_that_goes_by_place_is_seen(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: "A"
    scored = PairwiseJudge(model="m", cache=folder, price_in=1.0).score(pair()).to_pylist()[0]
    assert (scored["pairwise_judge"], scored["pairwise_inconsistent"]) == (0.5, True)
    assert (scored["pairwise_judge_forward"], scored["pairwise_judge_swapped"]) == (1, 1)
    assert scored["pairwise_judge_cost"] == pytest.approx(200e-6)


@pytest.mark.parametrize(("verdict", "expected"), [("soft", 0.75), ("conservative", 0.5), ("lenient", 1.0)])
def test_the_verdict_says_what_a_tie_is_worth(
    chat_endpoint: Any, folder: str, verdict: Any, expected: float
) -> None:
    chat_endpoint.answer = lambda body: "A" if "<answer A>\ngood" in text_of(body) else "tie"
    scored = PairwiseJudge(model="m", cache=folder, verdict=verdict).score(pair())
    assert scored["pairwise_judge"].to_pylist() == [expected]


def test_how_sure_the_judge_is_counts(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: ("A", [{"A": math.log(0.6), "B": math.log(0.4)}])
    scorer = PairwiseJudge(model="m", cache=folder)
    found = scorer.score(pair()).to_pylist()[0]
    assert found["pairwise_judge_forward"] == pytest.approx(0.6)
    without = PairwiseJudge(model="m", cache=folder, logprobs=False).score(pair()).to_pylist()[0]
    assert without["pairwise_judge_forward"] == 1


def test_pairs_are_shown_with_what_the_template_names(chat_endpoint: Any, folder: str, image: str) -> None:
    chat_endpoint.answer = prefers("good")
    scorer = PairwiseJudge(
        model="m", cache=folder, image=True, template="{caption}: <answer A>{first}</answer A> or {second}?"
    )
    assert scorer.needs == ("image", "caption", "chosen", "rejected")
    scored = scorer.score(pair(caption=["a caption"], image=[image]))
    assert scored["pairwise_judge"].to_pylist() == [1]
    assert text_of(chat_endpoint.asked[0]).startswith("a caption: ")


# --- element-judge ----------------------------------------------------------------------------------------------

QUESTIONS = [
    {"question": "Is there a car?", "answer": "yes", "depends": []},
    {"question": "How many cars are there?", "answer": "two", "depends": [0]},
    {"question": "Is it night?", "answer": "no", "depends": []},
    {"question": "Is there a dog?", "answer": "yes", "depends": []},
]
SEEN = [
    {"question": 2, "evidence": "one car", "box": [0.1, 0.2, 0.5, 0.9], "answer": "one", "sure": 0.75},
    {"question": 1, "evidence": "a red car", "box": [0.5, 0.2, 0.1, 0.9], "answer": True},
    {"question": 3, "evidence": "a blue sky", "box": None, "answer": "No.", "sure": 0.5},
    {"question": 4, "evidence": "it is hidden", "box": "nowhere", "answer": "unsure", "sure": 0.9},
]


def test_elements_are_judged_with_their_evidence(chat_endpoint: Any, folder: str, image: str) -> None:
    chat_endpoint.answer = lambda body: "Here: " + json.dumps({"answers": SEEN})
    rows = batch(image=[image], questions=[QUESTIONS])
    found = ElementJudge(model="m", cache=folder, price_out=1.0).score(rows)
    scored = found.to_pylist()[0]
    assert [one["answer"] for one in scored["element_judge_answers"]] == [1, 0.25, 0.5, 0.5]
    assert scored["element_judge"] == pytest.approx(2.25 / 4)
    evidence = scored["element_judge_evidence"]
    assert [one["evidence"] for one in evidence] == ["a red car", "one car", "a blue sky", "it is hidden"]
    assert evidence[1]["box"] == pytest.approx([0.1, 0.2, 0.5, 0.9])
    assert [evidence[i]["box"] for i in (0, 2, 3)] == [None] * 3
    assert evidence[0]["question"] == "Is there a car?"
    assert [one["score"] for one in evidence] == [1, 0.25, 0.5, 0.5]
    field = ElementJudge(model="m", cache=folder, questions="asked").gives[2]
    assert parallel_to(field) == "asked"  # what the evidence is about
    assert scored["element_judge_cost"] == pytest.approx(10e-6)
    assert "2. How many cars are there?" in text_of(chat_endpoint.asked[0])
    dsg = Dsg(answers="answers").score(
        pa.record_batch(
            {"id": ["a"], "questions": rows["questions"], "answers": found["element_judge_answers"]}
        )
    )
    assert dsg["dsg"].to_pylist() == [pytest.approx(3 / 4)]  # what it gives is what DSG reads


@pytest.mark.parametrize(
    "rubbish",
    [
        "I see a car.",
        json.dumps({"answers": SEEN[:3]}),
        json.dumps({"answers": [*SEEN[:3], SEEN[0]]}),
        json.dumps({"answers": [{**one, "sure": 7} for one in SEEN]}),
        json.dumps({"answers": [{**one, "evidence": ""} for one in SEEN]}),
        json.dumps({"verdicts": SEEN}),
    ],
    ids=["words", "one left out", "one twice", "surer than sure", "no evidence", "other form"],
)
def test_answers_of_another_form_are_repaired(
    chat_endpoint: Any, folder: str, image: str, rubbish: str
) -> None:
    def answer(body: dict[str, Any]) -> str:
        return rubbish if len(body["messages"]) == 1 else json.dumps({"answers": SEEN})

    chat_endpoint.answer = answer
    rows = batch(image=[image], questions=[QUESTIONS])
    assert ElementJudge(model="m", cache=folder).score(rows)["element_judge"][0].is_valid
    none = ElementJudge(model="m", cache=folder, repairs=0).score(rows)
    assert (
        none["element_judge_reason"][0].as_py().startswith("the judge's answer cannot be read in its reply")
    )
    assert len(chat_endpoint.asked) == 2


def test_items_without_questions_say_so(chat_endpoint: Any, folder: str, image: str) -> None:
    chat_endpoint.answer = lambda body: json.dumps({"answers": [{**SEEN[1], "question": 1}]})
    rows = batch(image=[image, image, None], asked=[["Is there a car?"], [], ["Is there a car?"]])
    scorer = ElementJudge(model="m", cache=folder, questions="asked", template="Look: {questions}")
    scored = scorer.score(rows)
    assert scored["element_judge"].to_pylist() == [1, None, None]
    assert scored["element_judge_reason"].to_pylist() == [None, "no questions", "missing: no image"]
    assert text_of(chat_endpoint.asked[0]).startswith("Look: 1. Is there a car?\n")


# --- model-elements ---------------------------------------------------------------------------------------------

PARTS = [
    {"element": "Car", "type": "Object-vehicle", "question": "Is there a car?", "negative": "No car?"},
    {"element": "dragon", "type": "animal/human", "question": "Is there a dragon?"},
    {"element": "red", "type": "color", "question": "Is the car red?", "depends": [1, 2, 3, 9]},
    {"element": "a red", "type": "mood", "question": "Is it so?", "depends": [3], "negative": " "},
]


def test_a_text_is_split_by_the_model(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: json.dumps({"elements": PARTS})
    rows = batch(text=["A red  car", "", None])
    scored = ModelElements(model="m", cache=folder).score(rows)
    first = scored.to_pylist()[0]
    assert first["model_elements"] == 3
    assert first["model_elements_left_out"] == 1  # there is no dragon in the text
    assert first["model_elements_names"] == ["Car (object)", "red (color)", "a red (other)"]
    questions = first["model_elements_questions"]
    assert [q["depends"] for q in questions] == [[], [0], [1]]
    assert {q["answer"] for q in questions} == {"yes"}
    assert scored["model_elements_reason"].to_pylist() == [None, "no text", "no text"]
    for option, count in (({"limit": 1}, 1), ({"negatives": True}, 4)):
        more = ModelElements(model="m", cache=folder, **option).score(rows).to_pylist()[0]
        assert len(more["model_elements_questions"]) == count
    assert more["model_elements_questions"][3] == {
        "question": "No car?",
        "answer": "no",
        "type": "object",
        "depends": [],
        "element": "Car",
    }


def test_a_split_that_is_none_is_null(chat_endpoint: Any, folder: str) -> None:
    chat_endpoint.answer = lambda body: json.dumps({"elements": PARTS[1:2]})
    scorer = ModelElements(model="m", cache=folder, repairs=1, template="Split {text} into {types}")
    scored = scorer.score(batch(text=["A red car"]))
    assert "2 replies" in scored["model_elements_reason"][0].as_py()
    assert "phrase of the text" in chat_endpoint.asked[1]["messages"][2]["content"]
    assert text_of(chat_endpoint.asked[0]).startswith("Split A red car into object, ")


# --- What they share --------------------------------------------------------------------------------------------

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
