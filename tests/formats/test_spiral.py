"""SPIRAL's file, small ones of the published form."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import curate
from curate.errors import InputError, SchemaError
from curate.formats.spiral import SCHEMA, read

ENTRY: dict[str, Any] = {
    "transcript": [
        {"speaker": "spk_1", "text": ["Trams are back.", "They run at night."]},
        {"speaker": "spk_2", "text": ["Uh, since May?"]},
    ],
    "original_key_sentence": "They run at night.",
    "test_question": {
        "question": "When do trams run?",
        "choices": ["A. At noon", "B. At night", "C. In St. Ives", "D. Never"],
        "correct_answer": "B. At night",
    },
    "metadata": {"main_topic": "Town", "subtopic": "Trams", "transcript_type": "meeting", "id": "meeting_7"},
    "audio_data": {
        "key_sentences": {"text": "They run at night.", "indices": [1, 2], "audio_dir": "spiral/key_wavs"},
        "combined": {
            "audio_files": ["meeting_7.wav"],
            "audio_folder": "spiral/wavs",
            "sentences": ["Trams are back.", "They run at night.", "Uh, since May?"],
        },
    },
}


def save(path: Path, *entries: Any) -> Path:
    path.write_text("\n\n".join(json.dumps(one) for one in entries) + "\n", encoding="utf-8")
    return path


def other(**changed: Any) -> dict[str, Any]:
    made = copy.deepcopy(ENTRY)
    made["metadata"]["id"] = "meeting_8"
    made["test_question"].update(changed)
    return made


def test_an_item_as_published(tmp_path: Path) -> None:
    table = read(
        save(tmp_path / "data.jsonl", ENTRY, other()), folder="/d", hard=save(tmp_path / "h.jsonl", other())
    )
    assert table.schema == SCHEMA
    row = table.to_pylist()[0]
    assert row == {
        "id": "meeting_7",
        "audio": "/d/spiral/wavs/meeting_7.wav",
        "text": "Trams are back. They run at night. Uh, since May?",
        "turns": [
            {"speaker": "spk_1", "text": "Trams are back. They run at night."},
            {"speaker": "spk_2", "text": "Uh, since May?"},
        ],
        "sentences": ["Trams are back.", "They run at night.", "Uh, since May?"],
        "question": "When do trams run?",
        "choices": ["At noon", "At night", "In St. Ives", "Never"],
        "answer": 1,
        "key_sentence": "They run at night.",
        "key_begin": 1,
        "key_end": 2,
        "topic": "Town",
        "subtopic": "Trams",
        "type": "meeting",
        "hard": False,
    }
    assert row["sentences"][row["key_begin"] : row["key_end"]] == [row["key_sentence"]]
    assert table["hard"].to_pylist() == [False, True]


@pytest.mark.parametrize(("correct", "answer"), [("D", 3), ("At noon", 0), ("E. Else", None), (None, None)])
def test_the_right_answer_is_found_however_it_is_written(
    tmp_path: Path, correct: str | None, answer: int | None
) -> None:
    table = read(save(tmp_path / "d.jsonl", other(correct_answer=correct)))
    assert table["answer"].to_pylist() == [answer]
    assert table["hard"].to_pylist() == [None]
    assert table["audio"].to_pylist() == ["spiral/wavs/meeting_7.wav"]


def test_what_is_missing_is_null_or_named(tmp_path: Path) -> None:
    bare = copy.deepcopy(ENTRY)
    del bare["transcript"], bare["original_key_sentence"], bare["audio_data"]["key_sentences"]
    bare["test_question"] = {"question": "Why?"}
    row = read(save(tmp_path / "b.jsonl", bare)).to_pylist()[0]
    assert [row[n] for n in ("text", "turns", "choices", "answer", "key_sentence", "key_begin")] == [None] * 6
    for broken, error, match in (
        ({**ENTRY, "metadata": {}}, SchemaError, "line 1: no metadata.id"),
        ({**ENTRY, "audio_data": {}}, SchemaError, "line 1: no test_question.question, or no audio_data"),
        ({**ENTRY, "test_question": None}, SchemaError, "line 1: no test_question"),
        ([1], InputError, "line 1: list where an object"),
    ):
        with pytest.raises(error, match=match):
            read(save(tmp_path / "x.jsonl", broken))
    (tmp_path / "x.jsonl").write_text("{")
    with pytest.raises(InputError, match="line 1: no JSON"):
        read(tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.jsonl")


def test_it_goes_into_a_store(tmp_path: Path) -> None:
    wavs = tmp_path / "spiral" / "wavs"
    wavs.mkdir(parents=True)
    soundfile.write(wavs / "meeting_7.wav", np.sin(np.arange(8000) / 9), 8000)
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(read(save(tmp_path / "d.jsonl", ENTRY), folder=tmp_path), kind="speech")
        store.score("audio-basics")
        row = store.items.to_polars(["id", "text", "question", "key_begin", "audio_basics"]).row(
            0, named=True
        )
    assert (
        row["id"] == "meeting_7"
        and row["question"] == "When do trams run?"
        and row["audio_basics"] is not None
    )
