"""The client of chat endpoints: nothing lost, nothing paid for twice, no secret told."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judge_work import ASK, ask_five, ask_twelve
from PIL import Image

from curate.errors import InputError, MediaError, RunError
from curate.scorers.alignment.judges.client import Client, Picture, Refused, Settings, open_client
from curate.scorers.alignment.judges.replies import Replies, Reply
from curate.scorers.alignment.judges.transport import KEY

QUICK = Settings(cache="cache", timeout=2.0, attempts=4, wait=0.01)


@pytest.fixture
def quick(tmp_path: Path) -> Settings:
    return replace(QUICK, cache=str(tmp_path / "cache"))


def test_a_question_is_paid_for_once(chat_endpoint: Any, quick: Settings) -> None:
    client = Client(replace(quick, price_in=2.0, price_out=10.0))
    first, again = client.ask(ASK), client.ask(ASK)
    other = Client(quick).ask(ASK)  # as after an interruption: another client over the same folder
    assert first == again == other == Reply("yes", 100, 10, "stop")
    assert chat_endpoint.requests == 1
    assert client.spent.cost == pytest.approx(100 * 2e-6 + 10 * 1e-5)
    assert (client.spent.answered, client.spent.cached, client.spent.tokens_in, client.spent.tokens_out) == (
        1,
        1,
        100,
        10,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"text": "Is there a dog?"},
        {"picture": Picture(b"a", 64)},
        {"turns": (("assistant", "yes"), ("user", "sure?"))},
        {"max_tokens": 3},
        {"temperature": 0.5},
        {"logprobs": 5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_the_answer_depends_on_is_part_of_the_key(change: dict[str, Any]) -> None:
    assert replace(ASK, **change).identity() != ASK.identity() == replace(ASK).identity()


def test_the_body_is_that_of_the_protocol(chat_endpoint: Any, quick: Settings, tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.png")
    picture = Picture((tmp_path / "a.png").read_bytes(), 50)
    Client(quick).ask(replace(ASK, picture=picture, turns=(("assistant", "so"),), logprobs=5, max_tokens=7))
    body = chat_endpoint.asked[0]
    image, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": ASK.text}
    assert body["messages"][1] == {"role": "assistant", "content": "so"}
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 7, 0.0)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
    head, _, data = image["image_url"]["url"].partition(",")
    import base64
    import io

    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (50, 25)
    headers = chat_endpoint.headers[0]
    assert headers["Authorization"] == f"Bearer {os.environ[KEY]}"
    assert len(headers["Idempotency-Key"]) == 32


def test_a_bad_image_is_not_sent(chat_endpoint: Any, quick: Settings) -> None:
    with pytest.raises(MediaError):
        Client(quick).ask(replace(ASK, picture=Picture(b"no image", 64)))
    assert chat_endpoint.requests == 0


@pytest.mark.parametrize("fault", ["drop", "half", "html", 429, 500, 503, (429, 0)], ids=str)
def test_what_passes_is_tried_again(chat_endpoint: Any, quick: Settings, fault: Any) -> None:
    chat_endpoint.faults = [fault, fault]
    client = Client(quick)
    assert client.ask(ASK).text == "yes"
    assert (chat_endpoint.requests, len(chat_endpoint.asked)) == (3, 1)
    assert (client.spent.attempts, client.spent.answered) == (3, 1)


def test_a_time_out_is_tried_again(chat_endpoint: Any, quick: Settings) -> None:
    chat_endpoint.faults = ["hang"]
    assert Client(replace(quick, timeout=0.3)).ask(ASK).text == "yes"
    assert chat_endpoint.requests == 2


def test_retry_after_holds_for_everyone(chat_endpoint: Any, quick: Settings) -> None:
    chat_endpoint.faults = [(429, 0.4)]
    client = Client(replace(quick, concurrency=1))
    begin = time.monotonic()
    client.ask(ASK)
    assert time.monotonic() - begin >= 0.4


def test_an_endpoint_that_gives_nothing_ends_the_run_and_loses_nothing(
    chat_endpoint: Any, quick: Settings
) -> None:
    client = Client(replace(quick, attempts=2, concurrency=1))
    client.ask(ASK)
    chat_endpoint.faults = [500, 500]
    jobs = [lambda i=i: client.ask(replace(ASK, text=f"{i}?")).text for i in range(4)]
    with pytest.raises(RunError, match="no answer in 2 attempts, last: HTTP 500"):
        client.ask_all(jobs)
    paid = len(chat_endpoint.asked)
    assert Client(quick).ask_all(jobs) == ["yes"] * 4
    texts = [body["messages"][0]["content"] for body in chat_endpoint.asked]
    assert len(texts) == len(set(texts)) == 5 >= paid


@pytest.mark.parametrize(
    ("code", "match"), [(401, KEY), (403, KEY), (404, "no model 'm'"), (302, "redirected")]
)
def test_what_is_set_up_wrong_is_said_at_once(
    chat_endpoint: Any, quick: Settings, code: int, match: str
) -> None:
    chat_endpoint.faults = [code]
    with pytest.raises(InputError, match=match):
        Client(quick).ask(ASK)
    assert chat_endpoint.requests == 1


def test_what_is_refused_is_not_asked_again(chat_endpoint: Any, quick: Settings) -> None:
    chat_endpoint.faults = [400]
    with pytest.raises(Refused, match=r"HTTP 400: no: Bearer \*\*\*"):
        Client(quick).ask(ASK)
    assert chat_endpoint.requests == 1


def test_no_credit_ends_the_run(chat_endpoint: Any, quick: Settings) -> None:
    chat_endpoint.faults = [402]
    with pytest.raises(RunError, match="HTTP 402"):
        Client(quick).ask(ASK)


def test_the_dialect_of_an_endpoint_is_learnt(chat_endpoint: Any, quick: Settings) -> None:
    newer = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    chat_endpoint.faults = [
        {"message": newer, "code": "unsupported_parameter"},
        {"message": "'temperature' does not support 0", "code": "unsupported_value"},
    ]
    client = Client(quick)
    for text in ("a", "b"):
        assert client.ask(replace(ASK, text=text)).text == "yes"
    for body in chat_endpoint.asked:
        assert body["max_completion_tokens"] == 256
        assert not {"max_tokens", "temperature"} & set(body)
    assert chat_endpoint.requests == 4
    chat_endpoint.faults = [{"message": "logprobs are not supported"}]
    with pytest.raises(InputError, match="switch `logprobs` off"):
        client.ask(replace(ASK, logprobs=5))
    chat_endpoint.faults = [{"message": newer, "code": "unsupported_parameter"}]
    with pytest.raises(RunError, match="max_tokens"):
        client.ask(replace(ASK, text="c"))


def test_a_model_that_is_not_there_is_said(chat_endpoint: Any, quick: Settings) -> None:
    chat_endpoint.faults = [{"message": "no such model", "code": "model_not_found"}]
    with pytest.raises(InputError, match="no model 'm'"):
        Client(quick).ask(ASK)


def test_no_secret_is_told(
    chat_endpoint: Any, quick: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    for fault in (400, 401, 404, 500, "drop", "html"):
        chat_endpoint.faults = [fault] * 2
        with pytest.raises((Refused, InputError, RunError)) as caught:
            Client(replace(quick, attempts=2)).ask(ASK)
        error: BaseException | None = caught.value
        while error is not None:
            told.append(f"{error!r}")
            error = None if error.__suppress_context__ else error.__context__
        chat_endpoint.faults = []
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(RunError, match="no connection") as refused:
        Client(replace(quick, attempts=1)).ask(ASK)
    told += [repr(refused.value), caplog.text, repr(quick), ASK.identity()]
    told += [path.read_text() for path in Path(quick.cache).rglob("*.json")]
    assert not any(secret in text for text in told for secret in ("sk-secret", "127.0.0.1"))


def test_addresses_that_would_give_the_key_away_are_refused(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match="OPENAI_BASE_URL"):
        Client(quick).ask(ASK)
    monkeypatch.setenv(KEY, "k")
    for address, match in (
        ("http://example.org/v1", "in the clear"),
        ("https://user:pass@example.org", "plain"),
        ("file:///etc/passwd", "plain"),
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        with pytest.raises(InputError, match=match) as caught:
            Client(quick).ask(ASK)
        assert address not in str(caught.value)


def test_at_most_so_many_are_under_way(chat_endpoint: Any, quick: Settings) -> None:
    def slow(_: dict[str, Any]) -> str:
        time.sleep(0.03)
        return "yes"

    chat_endpoint.answer = slow
    for bound in (1, 3):
        client, chat_endpoint.most_together = Client(replace(quick, concurrency=bound)), 0
        questions = [replace(ASK, text=f"{bound} {i}") for i in range(9)]
        client.ask_all([lambda q=q, c=client: c.ask(q) for q in questions])
        assert chat_endpoint.most_together <= bound
    assert chat_endpoint.most_together > 1


def test_the_pace_is_kept(chat_endpoint: Any, quick: Settings) -> None:
    client = Client(replace(quick, per_minute=600))
    begin = time.monotonic()
    client.ask_all([lambda i=i: client.ask(replace(ASK, text=str(i))) for i in range(4)])
    assert time.monotonic() - begin >= 0.3 - 1e-3


def test_spending_ends_where_it_must(chat_endpoint: Any, quick: Settings) -> None:
    client = Client(replace(quick, concurrency=1, price_in=1e4, max_cost=2.0))  # each reply costs 1
    with pytest.raises(RunError, match="max_cost"):
        client.ask_all([lambda i=i: client.ask(replace(ASK, text=str(i))) for i in range(5)])
    assert client.spent.cost == 2.0
    assert client.ask(replace(ASK, text="0")).text == "yes"  # what is known stays free


def test_two_processes_and_many_threads_pay_once(chat_endpoint: Any, quick: Settings) -> None:
    def slow(_: dict[str, Any]) -> str:
        time.sleep(0.02)
        return "yes"

    chat_endpoint.answer = slow
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=ask_five, args=(quick,)) for _ in range(2)]
    threads = [threading.Thread(target=ask_five, args=(quick,)) for _ in range(3)]
    for worker in (*others, *threads):
        worker.start()
    for worker in (*others, *threads):
        worker.join()
    assert [p.exitcode for p in others] == [0, 0]
    assert len(chat_endpoint.asked) == 5
    assert not list((Path(quick.cache) / "locks").iterdir())


def test_where_one_fails_the_others_are_not_tried_for_ever(chat_endpoint: Any, quick: Settings) -> None:
    chat_endpoint.faults = [500] * 60
    client = Client(replace(quick, attempts=60, wait=0.05, concurrency=2))

    def fail() -> Reply:
        while not chat_endpoint.requests:
            time.sleep(0.005)
        raise InputError("this one")

    with pytest.raises(InputError, match="this one"):
        client.ask_all([lambda: client.ask(ASK), fail])
    assert chat_endpoint.requests < 10
    chat_endpoint.faults = []
    assert client.ask(ASK).text == "yes"


def test_a_process_that_is_killed_costs_only_what_was_under_way(chat_endpoint: Any, quick: Settings) -> None:
    def slow(_: dict[str, Any]) -> str:
        time.sleep(0.05)
        return "yes"

    chat_endpoint.answer = slow
    two = replace(quick, concurrency=2)
    process = multiprocessing.get_context("spawn").Process(target=ask_twelve, args=(two,))
    process.start()
    while len(chat_endpoint.asked) < 4:
        assert process.is_alive(), "it ended before it was killed"
        time.sleep(0.005)
    process.kill()
    process.join()
    ask_twelve(two)
    assert 12 <= len(chat_endpoint.asked) <= 12 + 2
    assert len({body["messages"][0]["content"] for body in chat_endpoint.asked}) == 12


def test_a_damaged_reply_is_asked_for_again(chat_endpoint: Any, quick: Settings) -> None:
    Client(quick).ask(ASK)
    path = next(Path(quick.cache).rglob("*.json"))
    for rubbish in (b"", path.read_bytes()[:20], b"[]", b'{"text": 1}'):
        path.write_bytes(rubbish)
        assert Client(quick).ask(ASK).text == "yes"
    assert len(chat_endpoint.asked) == 5
    assert not list(Path(quick.cache).rglob("*.part"))


def test_replies_come_back_as_they_were(tmp_path: Path) -> None:
    reply = Reply("4", 1, 2, "length", ((("4", -0.5), (" 5", -1.25)), ()))
    Replies(tmp_path).keep("ab" * 16, reply)
    assert Replies(tmp_path).find("ab" * 16) == reply
    assert Replies(tmp_path).find("cd" * 16) is None
    assert json.loads(next(tmp_path.rglob("*.json")).read_text())["text"] == "4"


def test_a_cache_that_cannot_be_written_is_said(chat_endpoint: Any, quick: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Client(replace(quick, cache=str(tmp_path / "file" / "x"))).ask(ASK)
    assert chat_endpoint.requests == 0


@pytest.mark.parametrize(
    "wrong",
    [{"cache": " "}, {"timeout": 0}, {"attempts": 0}, {"concurrency": 0}, {"wait": -1}, {"max_cost": -1}],
    ids=str,
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(QUICK, **wrong)


def test_one_client_for_the_same_settings() -> None:
    assert open_client(QUICK) is open_client(replace(QUICK)) is not open_client(replace(QUICK, attempts=9))
