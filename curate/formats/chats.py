"""Conversations, lists of who said what, as the texts that items of a kind have; and texts as conversations again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError, SchemaError
from curate.formats.arrays import plain
from curate.formats.rows import Asked, Chunk, Hints, Reader
from curate.formats.turns import (
    MESSAGES,
    Ints,
    Turns,
    agree,
    cut,
    is_chat,
    joined,
    laid,
    one_each,
    read_turns,
)
from curate.kinds import Kind

__all__ = ["ChatReader", "as_chats", "chat_sources", "check_chat", "with_chats"]

NAMES = ("messages", "conversations", "conversation")
"""What sources call the column of an instruction's conversation."""

_BETWEEN = "\n\n"


# --- In ---------------------------------------------------------------------------------------------------------------


def with_chats(reader: Reader, asked: Asked) -> Reader:
    """A reader whose conversations come as the texts of the kind; the same one where it holds none.

    Of an instruction `messages` (or `conversations`) gives `instruction`, all that was said before the last answer, and
    `output`, that answer. Of a preference `chosen` and `rejected`, where they are conversations, give what differs, and
    `prompt` (where the source has none of its own) what they begin with alike. Conversations stay as they are beside these,
    in their own column or as `chosen_messages` and so on. Raises SchemaError for lists or structs that are no messages.
    """
    columns = _candidates(list(reader.names), asked)
    if not columns:
        return reader
    first = next(iter(reader.chunks(1, Hints())), None)
    types = {} if first is None else {f.name: f.type for f in first.table.schema}
    chats = {ours: theirs for ours, theirs in columns.items() if theirs in types and is_chat(types[theirs])}
    (theirs, *_) = columns.values()
    if asked.kind.name == "instruction" and not chats and pa.types.is_nested(types.get(theirs, pa.null())):
        raise SchemaError(
            f"column {theirs!r} holds {types[theirs]}: conversations are lists of messages, each with the texts "
            "`role` and `content` (or `from` and `value`). Give it so, or give the columns `instruction` and `output`"
        )
    whole = asked.kind.name == "instruction" or {"chosen", "rejected"} <= chats.keys()
    return ChatReader(reader, asked.kind, chats) if chats and whole else reader


def _candidates(names: Sequence[str], asked: Asked) -> dict[str, str]:
    """Our column -> the source's, of those that may hold conversations."""
    given = asked.columns
    if asked.kind.name == "instruction":
        if {"instruction", "output"} & {*given, *names}:
            return {}
        found = given.get("messages") or next((name for name in NAMES if name in names), None)
        return {"messages": found} if found is not None and found in names else {}
    if asked.kind.name == "preference":
        columns = {ours: given.get(ours, ours) for ours in ("prompt", "chosen", "rejected")}
        return {ours: theirs for ours, theirs in columns.items() if theirs in names}
    return {}


class ChatReader:
    """A reader of rows with conversations, as rows with texts; see `with_chats`."""

    def __init__(self, reader: Reader, kind: Kind, chats: Mapping[str, str]) -> None:
        self._reader, self._kind, self._chats = reader, kind, dict(chats)
        self.implied = reader.implied

    @property
    def names(self) -> list[str]:
        """The source's columns, and those made of conversations."""
        own = list(self._reader.names)
        if self._kind.name == "instruction":
            return [*own, "instruction", "output"]
        added = [f"{ours}_messages" for ours in self._chats]
        return [*own, *(["prompt"] if self._splits else []), *added]

    @property
    def _splits(self) -> bool:
        """Whether a prompt is made of what both answers begin with."""
        return "prompt" not in self._chats and "prompt" not in self._reader.names

    def describe(self) -> str:
        """One line for logs."""
        return self._reader.describe()

    def fingerprint(self) -> str | None:
        """That of the source."""
        return self._reader.fingerprint()

    def chunks(self, rows: int, hints: Hints) -> Iterator[Chunk]:
        """The source's chunks, with texts."""
        for chunk in self._reader.chunks(rows, hints):
            table = chunk.table
            held = {ours: _column(table, theirs) for ours, theirs in self._chats.items()}
            turns = {ours: read_turns(array) for ours, array in held.items()}
            if self._kind.name == "instruction":
                instruction, output = _answered(turns["messages"])
                added = {"instruction": instruction, "output": output}
            else:
                added = {f"{ours}_messages": array for ours, array in held.items()}
                for ours, text in _compared(turns, self._splits).items():
                    added[self._chats.get(ours, ours)] = text
            for name, array in added.items():
                at = table.schema.get_field_index(name)
                table = table.append_column(name, array) if at < 0 else table.set_column(at, name, array)
            yield Chunk(table, chunk.rows, chunk.sources, chunk.base, chunk.rejected)


def _column(table: pa.Table, name: str) -> pa.Array:
    """A column of a chunk; a file that cannot be read leaves a chunk of no rows and no columns."""
    return plain(table.column(name)) if name in table.column_names else pa.nulls(len(table), MESSAGES)


def _answered(turns: Turns) -> tuple[pa.Array, pa.Array]:
    """What was said before the last answer, and that answer; null where the assistant has not the last word."""
    low, high = turns.offsets[:-1], turns.offsets[1:]
    said = np.append(pc.equal(turns.role, "assistant").to_numpy(zero_copy_only=False), False)
    answered = (high > low) & said[high - 1]
    return joined(turns, low, high - answered, "user"), joined(turns, high - answered, high, "assistant")


def _compared(turns: Mapping[str, Turns], splits: bool) -> dict[str, pa.Array]:
    """The texts of prompt, chosen and rejected: what both begin with is no part of the answers."""
    chosen, rejected, asked = turns["chosen"], turns["rejected"], turns.get("prompt")
    shared = _common(turns)
    ends = {
        name: joined(one, one.offsets[:-1] + shared, one.offsets[1:], "assistant")
        for name, one in (("chosen", chosen), ("rejected", rejected))
    }
    if asked is not None:
        return {**ends, "prompt": joined(asked, asked.offsets[:-1], asked.offsets[1:], "user")}
    if splits:
        ends["prompt"] = joined(chosen, chosen.offsets[:-1], chosen.offsets[:-1] + shared, "user")
    return ends


def _common(turns: Mapping[str, Turns]) -> Ints:
    """With how many equal messages chosen and rejected begin, the last of each never among them; where the source has a
    prompt of its own, as many as that has, or none where they do not begin with it."""
    chosen, rejected, asked = turns["chosen"], turns["rejected"], turns.get("prompt")
    most = np.maximum(np.minimum(chosen.counts, rejected.counts) - 1, 0)
    alike = agree(chosen, rejected, most)
    if asked is None:
        return alike
    begins = (agree(chosen, asked, np.minimum(alike, asked.counts)) == asked.counts) & (asked.counts <= alike)
    return np.where(begins, asked.counts, 0)


# --- Out --------------------------------------------------------------------------------------------------------------


def check_chat(format: str, kind: Kind | None = None) -> None:
    """Raises InputError for a kind of item that is no conversation, and a format that cannot hold one."""
    if kind is not None and kind.name not in ("instruction", "preference"):
        raise InputError(
            f"chat: items of kind {kind.name!r} are no conversations; instructions and preferences are"
        )
    if format == "csv":
        raise InputError(
            "csv cannot hold conversations: use jsonl, Parquet or datasets, or export texts without chat"
        )


def chat_sources(kind: Kind, names: Sequence[str]) -> list[str]:
    """The columns that conversations of this kind are made of, and take the place of."""
    own = NAMES if kind.name == "instruction" else tuple(f"{column}_messages" for column in kind.columns)
    return [name for name in (*kind.columns, *own) if name in names]


def as_chats(batch: pa.RecordBatch, kind: Kind) -> pa.RecordBatch:
    """Rows with conversations, `MESSAGES`, in place of texts: `messages` of instructions; `prompt`, `chosen` and `rejected` of
    preferences, which begin after the prompt. Conversations that were imported come as they were, others have a turn each.
    """
    sources = chat_sources(kind, batch.schema.names)
    held = {name: batch.column(name) for name in sources}
    made = _instructed(held, len(batch)) if kind.name == "instruction" else _preferred(held)
    rest = [field for field in batch.schema if field.name not in sources]
    schema = pa.schema([*rest, *(pa.field(name, MESSAGES) for name in made)])
    return pa.record_batch([*(batch.column(field.name) for field in rest), *made.values()], schema=schema)


def _instructed(held: Mapping[str, pa.Array], n: int) -> dict[str, pa.Array]:
    asked = held.get("instruction", pa.nulls(n, pa.string()))
    more = held.get("input", pa.nulls(n, pa.string()))
    more = pc.if_else(pc.equal(more, "").fill_null(True), pa.scalar(None, pa.string()), more)
    whole = pc.coalesce(pc.binary_join_element_wise(asked, more, _BETWEEN), asked)
    plainly = one_each([("user", whole), ("assistant", held.get("output", pa.nulls(n, pa.string())))])
    kept = next((held[name] for name in NAMES if name in held and is_chat(held[name].type)), None)
    if kept is None:
        return {"messages": plainly}
    return {"messages": _either(read_turns(kept), kept.is_valid(), plainly)}


def _preferred(held: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    made = {name: one_each([(role, held[name])]) for name, role in roles.items() if name in held}
    kept = {name: held[f"{name}_messages"] for name in roles if f"{name}_messages" in held}
    kept = {name: array for name, array in kept.items() if is_chat(array.type)}
    if not {"chosen", "rejected"} <= kept.keys():
        return made
    turns = {name: read_turns(array) for name, array in kept.items()}
    there = pc.and_(kept["chosen"].is_valid(), kept["rejected"].is_valid())
    shared = _common(turns)
    first = turns.get("prompt", turns["chosen"])
    stop = first.offsets[1:] if "prompt" in turns else first.offsets[:-1] + shared
    ends = {
        name: (turns[name], turns[name].offsets[:-1] + shared, turns[name].offsets[1:])
        for name in ("chosen", "rejected")
    }
    for name, (one, low, high) in {"prompt": (first, first.offsets[:-1], stop), **ends}.items():
        if name in made:
            made[name] = _either(cut(one, low, high), there, made[name])
    return made


def _either(kept: Turns, there: pa.Array, others: pa.Array) -> pa.Array:
    """Conversations as they were where they are there, else the others."""
    return pc.if_else(there, laid(kept), others)
