"""pairwise-judge, against a server that answers as planted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from judge_work import batch, text_of

from curate.scorers.alignment.judges.rating import PairwiseJudge


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
