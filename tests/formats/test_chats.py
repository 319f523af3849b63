"""Conversations become the texts of items, and texts conversations again: by hand, both spellings, and back and forth."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError, SchemaError
from curate.formats import open_source
from curate.formats.chats import as_chats, check_chat
from curate.formats.turns import is_chat, read_transcript
from curate.kinds import KINDS

Row = dict[str, Any]


def said(*messages: tuple[str, str | None]) -> list[Row]:
    return [{"role": role, "content": content} for role, content in messages]


def texts(source: Any, kind: str, **options: Any) -> pa.Table:
    batches = list(open_source(source, kind, **options).batches())
    return pa.concat_tables([batch.table for batch in batches])


ASKED, MORE = ("user", "How high?"), ("user", "And how wide?")
HIGH, LOW, WIDE = ("assistant", "300 m."), ("assistant", "Quite."), ("assistant", "125 m.")


def test_an_instruction_is_what_was_said_before_the_last_answer() -> None:
    rows = [
        {"messages": said(ASKED, HIGH), "source": "a"},
        {"messages": said(("system", "Be brief."), ASKED, HIGH, MORE, WIDE), "source": "b"},
    ]
    found = texts(rows, "instruction").to_pylist()
    assert [row["instruction"] for row in found] == [
        "How high?",
        "system: Be brief.\n\nuser: How high?\n\nassistant: 300 m.\n\nuser: And how wide?",
    ]
    assert [row["output"] for row in found] == ["300 m.", "125 m."]
    assert [row["messages"] for row in found] == [row["messages"] for row in rows]  # as they were
    assert [row["source"] for row in found] == ["a", "b"]


def test_other_names_and_spellings_are_read() -> None:
    shared = [{"from": "human", "value": "How high?"}, {"from": "gpt", "value": "300 m."}]
    for rows, options in (
        ([{"conversations": shared}], {}),
        ([{"dialogue": said(ASKED, HIGH)}], {"columns": {"messages": "dialogue"}}),
    ):
        found = texts(rows, "instruction", **options).to_pylist()[0]
        assert (found["instruction"], found["output"]) == ("How high?", "300 m.")


def test_rows_without_a_last_answer_are_refused_each() -> None:
    rows = [said(ASKED, HIGH), said(ASKED), [], None, said(HIGH), said(ASKED, ("assistant", None))]
    (batch,) = open_source([{"messages": row} for row in rows], "instruction").batches()
    assert batch.table["output"].to_pylist() == ["300 m."]
    assert [(r["row"], r["code"]) for r in batch.rejected.to_pylist()] == [
        (1, "missing-output"),
        (2, "missing-instruction"),
        (3, "missing-instruction"),
        (4, "missing-instruction"),
        (5, "missing-output"),
    ]


def test_what_is_no_conversation_is_left_alone() -> None:
    assert texts([{"instruction": "a", "output": "b", "messages": said(ASKED)}], "instruction")[
        "output"
    ].to_pylist() == ["b"]
    for wrong in (["How high?", "300 m."], {"role": ["user"], "content": ["How high?"]}):
        with pytest.raises(
            SchemaError, match=r"column 'messages' holds .*: conversations are lists of messages"
        ):
            texts([{"messages": wrong}], "instruction")
    with pytest.raises(SchemaError, match="no column instruction and output"):
        texts([{"question": "How high?", "conversation": "the first"}], "instruction")
    (batch,) = open_source([{"chosen": said(ASKED, HIGH), "rejected": "no"}], "preference").batches()
    assert batch.rejected["code"].to_pylist() == ["type-chosen"]


def test_a_preference_is_split_where_its_answers_part() -> None:
    rows = [
        {"chosen": said(ASKED, HIGH), "rejected": said(ASKED, LOW)},
        {"chosen": said(ASKED, HIGH, MORE, WIDE), "rejected": said(ASKED, HIGH, MORE, LOW)},
        {"chosen": said(ASKED, HIGH, MORE, WIDE), "rejected": said(ASKED, LOW)},
        {"chosen": said(ASKED, HIGH), "rejected": said(ASKED, HIGH)},  # the same answer twice
        {"chosen": said(HIGH), "rejected": said(LOW)},
    ]
    found = texts(rows, "preference").to_pylist()
    longer = "assistant: 300 m.\n\nuser: And how wide?\n\nassistant: 125 m."
    before = "user: How high?\n\nassistant: 300 m.\n\nuser: And how wide?"
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in found] == [
        ("How high?", "300 m.", "Quite."),
        (before, "125 m.", "Quite."),
        ("How high?", longer, "Quite."),
        ("How high?", "300 m.", "300 m."),
        (None, "300 m.", "Quite."),
    ]
    assert [row["chosen_messages"] for row in found] == [row["chosen"] for row in rows]


def test_a_prompt_of_its_own_is_kept() -> None:
    own = {"chosen": said(ASKED, HIGH), "rejected": said(ASKED, LOW)}
    alone = {"chosen": said(HIGH), "rejected": said(LOW)}
    for row, prompt in (
        ({"prompt": "How high?", **own}, "How high?"),
        ({"prompt": said(ASKED), **own}, "How high?"),
        ({"prompt": said(ASKED), **alone}, "How high?"),
    ):
        found = texts([row], "preference").to_pylist()[0]
        assert (found["prompt"], found["chosen"], found["rejected"]) == (prompt, "300 m.", "Quite.")


def chats(rows: list[Row], kind: str) -> list[Row]:
    table = texts(rows, kind)
    (batch,) = table.drop_columns(["_source", "_index"]).combine_chunks().to_batches()
    return as_chats(batch, KINDS[kind]).to_pylist()


def test_texts_have_a_turn_each() -> None:
    rows: list[Row] = [{"instruction": "Add.", "input": "1, 2", "output": "3"}]
    rows.append({"instruction": "Say hi.", "input": "", "output": "hi"})
    made = chats(rows, "instruction")
    assert [row["messages"] for row in made] == [
        said(("user", "Add.\n\n1, 2"), ("assistant", "3")),
        said(("user", "Say hi."), ("assistant", "hi")),
    ]
    assert set(made[0]) == {"id", "messages"}
    pair = chats(
        [{"prompt": "How high?", "chosen": "300 m.", "rejected": "Quite.", "by": "ann"}], "preference"
    )
    assert pair[0]["prompt"] == said(ASKED) and pair[0]["chosen"] == said(HIGH)
    assert pair[0]["rejected"] == said(LOW) and pair[0]["by"] == "ann"


MESSAGES = st.tuples(
    st.sampled_from(["user", "assistant", "system"]), st.text(st.characters(codec="utf-8"), max_size=3)
)
TALK = st.lists(MESSAGES, max_size=3)


@given(st.lists(st.tuples(TALK, TALK, TALK), min_size=1, max_size=4))
def test_conversations_come_back_as_they_were(drawn: list[tuple[Any, Any, Any]]) -> None:
    rows = [
        {
            "id": str(i),
            "chosen": said(*both, *one, ("assistant", f"yes {i}")),
            "rejected": said(*both, *other, ("assistant", f"no {i}")),
        }
        for i, (both, one, other) in enumerate(drawn)
    ]
    for row, back in zip(rows, chats(rows, "preference"), strict=True):
        assert set(back) == {"id", "prompt", "chosen", "rejected"}
        assert back["prompt"] + back["chosen"] == row["chosen"]
        assert back["prompt"] + back["rejected"] == row["rejected"]
    asked = [{"messages": said(*both, ("user", "?"), ("assistant", "!"))} for both, _, _ in drawn]
    assert [row["messages"] for row in chats(asked, "instruction")] == [row["messages"] for row in asked]


def test_transcripts_are_read() -> None:
    assert read_transcript("\n\nHuman: How\n\nhigh?\n\nAssistant: 300 m.") == said(
        ("user", "How\n\nhigh?"), HIGH
    )
    with pytest.raises(InputError, match="does not begin with 'Human:'"):
        read_transcript("How high? Assistant: 300 m.")


def test_what_is_no_chat_is_named() -> None:
    with pytest.raises(InputError, match="'label' are no conversations"):
        check_chat("jsonl", KINDS["label"])
    with pytest.raises(InputError, match="csv cannot hold conversations"):
        check_chat("csv", KINDS["preference"])
    assert not is_chat(pa.list_(pa.struct([("role", pa.string()), ("content", pa.int64())])))


def test_a_store_takes_conversations_and_gives_them_back(tmp_path: Any) -> None:
    import curate

    rows = [{"id": f"i{n}", "messages": said(ASKED, (("assistant"), f"{n} m."))} for n in range(4)]
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(rows, kind="instruction")
        store.score("text-basics")
        store.select("random", budget=2, name="some")
        store.export(tmp_path / "out", format="jsonl", selection="some", chat=True)
        store.export(tmp_path / "texts", format="jsonl", selection="some", columns=["output"])
        with pytest.raises(InputError, match="csv cannot hold"):
            store.run({"steps": [{"export": "c", "format": "csv", "chat": True}]})
    with curate.open(tmp_path / "again.curate", create=True) as again:
        assert again.add(tmp_path / "out", kind="instruction").counts["added"] == 2
        back = again.items.to_polars(["id", "instruction", "output"]).rows()
    assert all(f"i{out.removesuffix(' m.')}" == id and asked == "How high?" for id, asked, out in back)
