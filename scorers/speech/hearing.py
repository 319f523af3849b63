"""What the scorers with a model of speech share: sounds in groups, and answers as a record batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import reason_name
from curate.errors import MediaError
from curate.media import read_ahead
from curate.scorers.speech.sound import LEAD, Samples, read_sound

__all__ = ["Hearing", "answer", "column", "hear", "unscored"]

Reasons = npt.NDArray[np.object_]
LEAST = 0.025
"""Seconds that wav2vec2 and its like need to give one frame."""


class Hearing(NamedTuple):
    """The rate in Hz that a model hears, the most seconds, and how many sounds are held at a time."""

    rate: int
    max_seconds: float
    group: int


def hear(
    uris: Sequence[str | None], reasons: Reasons, how: Hearing
) -> Iterator[tuple[list[int], list[Samples]]]:
    """Rows and their sounds, one channel at the rate, in groups; `reasons` says already what is not to be opened.

    Where a sound cannot be heard its reason is written there. The next are decoded while the caller works.
    """
    rows = unscored(reasons)
    held: list[tuple[int, Samples]] = []
    sounds = read_ahead(lambda uri: read_sound(uri, how.rate)[0], [uris[row] for row in rows], LEAD)
    for row, found in zip(rows, sounds, strict=True):
        if isinstance(found, MediaError):
            reasons[row] = "no audio" if uris[row] is None else f"{found.code}: {found}"
        elif len(found) < LEAST * how.rate:
            reasons[row] = (
                f"{1000 * len(found) / how.rate:.1f} ms: a model of speech hears nothing below 25 ms"
            )
        elif len(found) > how.max_seconds * how.rate:
            reasons[row] = f"{len(found) / how.rate:.1f} s, at most {how.max_seconds:g} s are heard"
        else:
            held.append((row, found))
        if len(held) == how.group:
            yield [r for r, _ in held], [s for _, s in held]
            held = []
    if held:
        yield [r for r, _ in held], [s for _, s in held]


def unscored(reasons: Reasons) -> list[int]:
    """The rows without a reason."""
    return [int(row) for row in np.flatnonzero(reasons == None)]  # noqa: E711 - element by element


def column(batch: pa.RecordBatch, name: str) -> list[str | None]:
    """A column as strings."""
    values: list[str | None] = batch.column(batch.schema.get_field_index(name)).cast(pa.string()).to_pylist()
    return values


def answer(
    name: str, gives: Sequence[pa.Field], found: Sequence[tuple[Any, ...] | None], reasons: Reasons
) -> pa.RecordBatch:
    """A tuple of values per row, one for each field; None where there is a reason."""
    arrays = [
        pa.array([None if row is None else row[i] for row in found], field.type)
        for i, field in enumerate(gives)
    ]
    fields = [*gives, pa.field(reason_name(name), pa.string())]
    return pa.record_batch([*arrays, pa.array(reasons, pa.string())], schema=pa.schema(fields))
