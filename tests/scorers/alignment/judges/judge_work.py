"""Questions that other processes ask, and what the tests of the judges share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from curate.scorers.alignment.judges.client import Client, Question, Settings

ASK = Question("m", "Is there a cat?")


def ask_five(settings: Settings) -> None:
    for i in range(5):
        Client(settings).ask(replace(ASK, text=f"shared {i}"))


def ask_twelve(settings: Settings) -> None:
    client = Client(settings)
    client.ask_all([lambda i=i: client.ask(replace(ASK, text=f"killed {i}")) for i in range(12)])


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    return str(content if isinstance(content, str) else content[1]["text"])


def batch(**columns: Any) -> pa.RecordBatch:
    n = len(next(iter(columns.values())))
    return pa.record_batch({"id": [str(i) for i in range(n)], **columns})
