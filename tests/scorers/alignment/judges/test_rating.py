"""judge-score, against a server that answers as planted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from judge_work import batch, text_of

from curate.errors import RunError
from curate.scorers.alignment.judges.rating import JudgeScore


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
    repair = max((asked["messages"] for asked in chat_endpoint.asked), key=len)  # they come in any order
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
