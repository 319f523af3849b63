"""The messages of many conversations, one after the other: who said what, compared, cut and joined without a loop over rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from curate.errors import InputError

__all__ = [
    "MESSAGES",
    "Turns",
    "agree",
    "cut",
    "is_chat",
    "joined",
    "laid",
    "one_each",
    "read_transcript",
    "read_turns",
]

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
"""A conversation as trainers read it."""

_KEYS = (("role", "content"), ("from", "value"))
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
}
_BETWEEN = "\n\n"
_SPEAKERS = re.compile(r"(?:^|\n\n)(Human|Assistant|System):[ \t]?")

Ints = npt.NDArray[np.int64]


class Turns(NamedTuple):
    """The messages of n conversations one after the other: those of i are `offsets[i]:offsets[i + 1]`."""

    offsets: Ints
    role: pa.Array
    content: pa.Array

    @property
    def counts(self) -> Ints:
        """(n,) how many messages each has."""
        return np.diff(self.offsets)

    @property
    def headed(self) -> pa.Array:
        """Each message with its role before it."""
        return pc.binary_join_element_wise(self.role, self.content, ": ")


def is_chat(type_: pa.DataType) -> bool:
    """Whether these are lists of messages: structs of role and content, or of from and value."""
    return _keys(type_) is not None


def _keys(type_: pa.DataType) -> tuple[str, str] | None:
    if not (pt.is_list(type_) or pt.is_large_list(type_)) or not pt.is_struct(type_.value_type):
        return None
    texts = {f.name for f in type_.value_type if pt.is_string(f.type) or pt.is_large_string(f.type)}
    return next((keys for keys in _KEYS if set(keys) <= texts), None)


def read_transcript(text: str) -> list[dict[str, str]]:
    """The messages of a conversation in one text, as hh-rlhf writes it: "\\n\\nHuman: ...\\n\\nAssistant: ...".

    Raises InputError for a text that does not begin with somebody's turn.
    """
    pieces = _SPEAKERS.split(text)
    if len(pieces) < 3 or pieces[0].strip():
        raise InputError(
            f"no conversation: {text[:60]!r} does not begin with 'Human:', 'Assistant:' or 'System:'"
        )
    pairs = zip(pieces[1::2], pieces[2::2], strict=True)
    return [{"role": _ROLES.get(who.lower(), who.lower()), "content": said.strip()} for who, said in pairs]


def read_turns(array: pa.Array) -> Turns:
    """The messages of a column of conversations: missing ones have none, a missing role or content is empty."""
    role, content = _keys(array.type) or _KEYS[0]
    counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    values = array.flatten()
    roles = pc.utf8_lower(pc.struct_field(values, role)).fill_null("")
    for theirs, ours in _ROLES.items():
        roles = pc.if_else(pc.equal(roles, theirs), ours, roles)
    return Turns(np.append(0, np.cumsum(counts)), roles, pc.struct_field(values, content).fill_null(""))


def agree(one: Turns, other: Turns, most: Ints) -> Ints:
    """(n,) how many messages of each, from the first and at most `most`, are equal in both."""
    both = pc.dictionary_encode(pa.concat_arrays([one.headed, other.headed])).indices
    codes = both.to_numpy(zero_copy_only=False)
    first, second = one.offsets[:-1], len(one.role) + other.offsets[:-1]
    alike, going = np.zeros(len(most), np.int64), most > 0
    while going.any():
        rows = np.flatnonzero(going)
        same = codes[first[rows] + alike[rows]] == codes[second[rows] + alike[rows]]
        alike[rows[same]] += 1
        going[rows[~same]] = False
        going &= alike < most
    return alike


def joined(turns: Turns, low: Ints, high: Ints, alone: str) -> pa.Array:
    """(n,) messages `low` to `high` of each as one text: of a single one by `alone` what was said, of others with the role
    before each; null where there is none."""
    part = cut(turns, low, high)
    offsets, one = pa.array(part.offsets, pa.int32()), part.counts == 1
    texts = pc.binary_join(pa.ListArray.from_arrays(offsets, part.headed), _BETWEEN)
    place = pa.array(np.where(one, part.offsets[:-1], 0), mask=~one)
    single = pc.equal(part.role.take(place), alone).fill_null(False)
    text = pc.if_else(single, part.content.take(place), texts)
    return pc.if_else(pa.array(part.counts > 0), text, pa.scalar(None, pa.string()))


def cut(turns: Turns, low: Ints, high: Ints) -> Turns:
    """Messages `low` to `high` of each conversation."""
    counts = np.maximum(high - low, 0)
    starts = np.append(0, np.cumsum(counts))
    index = pa.array(np.repeat(low - starts[:-1], counts) + np.arange(starts[-1]))
    return Turns(starts, turns.role.take(index), turns.content.take(index))


def one_each(said: Sequence[tuple[str, pa.Array]]) -> pa.Array:
    """A conversation for each row, of one message of each role; what is missing was not said."""
    n, k = len(said[0][1]), len(said)
    turn = np.arange(k) * n + np.arange(n)[:, None]
    content = pa.concat_arrays([text for _, text in said]).take(pa.array(turn.reshape(-1)))
    there = content.is_valid().to_numpy(zero_copy_only=False)
    roles = pa.array([role for role, _ in said], pa.string()).take(pa.array(np.tile(np.arange(k), n)[there]))
    return laid(Turns(np.append(0, np.cumsum(there.reshape(n, k).sum(axis=1))), roles, content.drop_null()))


def laid(turns: Turns) -> pa.Array:
    """Conversations as an array of `MESSAGES`."""
    values = pa.StructArray.from_arrays([turns.role, turns.content], fields=list(MESSAGES.value_type))
    return pa.ListArray.from_arrays(pa.array(turns.offsets, pa.int32()), values).cast(MESSAGES)
