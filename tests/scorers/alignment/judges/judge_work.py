"""Questions that other processes ask."""

from __future__ import annotations

from dataclasses import replace

from curate.scorers.alignment.judges.client import Client, Question, Settings

ASK = Question("m", "Is there a cat?")


def ask_five(settings: Settings) -> None:
    for i in range(5):
        Client(settings).ask(replace(ASK, text=f"shared {i}"))


def ask_twelve(settings: Settings) -> None:
    client = Client(settings)
    client.ask_all([lambda i=i: client.ask(replace(ASK, text=f"killed {i}")) for i in range(12)])
