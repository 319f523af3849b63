"""Pairs of image and text through a loaded FGA-BLIP2, batch by batch: scores, tokens, elements, and why there are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError, MediaError, require
from curate.media import read_ahead
from curate.scorers.alignment.fga.captions import MAX_WORDS, clean_caption, element_text, find_span
from curate.scorers.alignment.fga.formulas import element_scores, overall_scores
from curate.scorers.alignment.fga.network import FgaModel
from curate.scorers.alignment.fga.pictures import open_picture, prepare_picture

__all__ = ["Judged", "judge_pairs", "locate_elements"]

Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Judged:
    """What the model says of one pair.

    `overall` in [1, 5] or None. `elements` one score in [0, 1] for each element asked for, None where it is not in the
    caption as read, and `spans` where each lies in `tokens`; `notes` says why each None is one. `token_scores` (l,)
    float32 in [0, 1], one for each of `tokens`. `mask` (l,) how probably each token belongs to some element, None if
    not asked for. `reason` says why there is no `overall`; then all else is empty.
    """

    overall: float | None = None
    elements: tuple[float | None, ...] = ()
    spans: tuple[Span | None, ...] = ()
    tokens: tuple[str, ...] = ()
    token_scores: npt.NDArray[np.float32] | None = None
    mask: npt.NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class _Read:
    """A caption as the model will see it, and where its elements lie; or why it cannot be shown."""

    ids: npt.NDArray[np.int64] | None = None
    tokens: tuple[str, ...] = ()
    spans: tuple[Span | None, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None


def judge_pairs(
    model: FgaModel,
    images: Sequence[Any],
    texts: Sequence[str | None],
    elements: Sequence[Sequence[str | None] | None] | None = None,
    *,
    batch_size: int = 16,
    max_words: int = MAX_WORDS,
    mask: bool = False,
) -> list[Judged]:
    """Judge each image against its text, in order; see `FgaBlip2.score_pairs`.

    An image that several texts of a batch share is looked at once. Neither the batch nor its padding changes a score,
    but for rounding. Raises InputError for lists of unequal length and for a `mask` that the model cannot give.
    """
    for row, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"text {row} is {type(text).__name__}: strings are meant, and None where there is none"
            )
    asked = [None] * len(texts) if elements is None else list(elements)
    if not len(images) == len(texts) == len(asked):
        raise InputError(
            f"{counted(len(images), 'image')}, {counted(len(texts), 'text')} and {counted(len(asked), 'list')} of "
            "elements"
        )
    if mask and model.mask_head is None:
        raise InputError("this model has no mask head: it was loaded from weights without `mask_proj`")
    read = [_read(model, *pair, max_words) for pair in zip(texts, asked, strict=True)]
    judged = [Judged(reason=one.reason) for one in read]
    wanted = [row for row, one in enumerate(read) if one.ids is not None]
    for rows, pixels, places in _batches(model, images, wanted, batch_size, judged):
        for row, found in zip(rows, _run(model, [read[r] for r in rows], pixels, places, mask), strict=True):
            judged[row] = found
    return judged


def locate_elements(
    model: FgaModel, tokens: Sequence[str], elements: Sequence[str | None]
) -> tuple[list[Span | None], list[str]]:
    """Where each element lies in a caption's tokens ([CLS] first), None where it does not; and a note for each None."""
    spans: list[Span | None] = []
    notes = []
    for element in elements:
        cleaned = "" if element is None else clean_caption(element_text(element), max_words=len(tokens))
        pieces = model.pieces(cleaned) if cleaned else []
        span = find_span(tokens, model.names(pieces))
        told = f"{element!r} is not in the caption" if cleaned else f"{element!r} has no words"
        if span is not None and model.tokenizer.unk_token_id in pieces:
            span, told = None, f"{element!r} holds what the vocabulary lacks, and all of that looks alike"
        spans.append(span)
        if span is None:
            notes.append(told)
    return spans, notes


def _read(model: FgaModel, text: str | None, elements: Sequence[str | None] | None, max_words: int) -> _Read:
    if text is None:
        return _Read(reason="no text")
    cleaned = clean_caption(text, max_words)
    if not cleaned:
        return _Read(reason="empty: no word is left of the text")
    try:
        ids = model.encode(cleaned)
        tokens = model.names(ids)
        spans, notes = locate_elements(model, tokens, elements or ())
    except InputError as error:
        return _Read(reason=f"tokenizer: {error}")
    return _Read(ids, tuple(tokens), tuple(spans), tuple(notes))


def _batches(
    model: FgaModel, images: Sequence[Any], wanted: Sequence[int], size: int, judged: list[Judged]
) -> Iterator[tuple[list[int], Any, list[int]]]:
    """Rows of up to `size` pairs, their distinct images (k, 3, s, s), and which of these each row has.

    Rows whose image cannot be opened are told so in `judged`. Images are decoded in threads meanwhile.
    """
    torch: Any = require("torch", "train")
    groups = _group(images, wanted, size)
    distinct = [place for _, firsts, _ in groups for place in firsts]

    def load(row: int) -> npt.NDArray[np.float32]:
        return prepare_picture(open_picture(images[row]), model.image_size)

    decoded = read_ahead(load, distinct, 3 * size)
    for rows, firsts, places in groups:
        found = [next(decoded) for _ in firsts]
        good = {i: one for i, one in enumerate(found) if not isinstance(one, MediaError)}
        new = {old: i for i, old in enumerate(good)}
        for row, place in zip(rows, places, strict=True):
            error = found[place]
            if isinstance(error, MediaError):
                judged[row] = Judged(reason=f"{error.code}: {error}")
        kept = [(row, new[place]) for row, place in zip(rows, places, strict=True) if place in new]
        if kept:
            pixels = torch.from_numpy(np.stack(list(good.values())))
            yield [row for row, _ in kept], pixels, [place for _, place in kept]


def _group(
    images: Sequence[Any], wanted: Sequence[int], size: int
) -> list[tuple[list[int], list[int], list[int]]]:
    """Batches as (rows, a row for each distinct image, the image of each row). Addresses and objects are compared, not
    contents."""
    groups = []
    for low in range(0, len(wanted), size):
        rows = list(wanted[low : low + size])
        seen: dict[Any, int] = {}
        firsts: list[int] = []
        places: list[int] = []
        for row in rows:
            key = images[row] if isinstance(images[row], str) else id(images[row])
            if key not in seen:
                seen[key] = len(firsts)
                firsts.append(row)
            places.append(seen[key])
        groups.append((rows, firsts, places))
    return groups


def _run(
    model: FgaModel, read: Sequence[_Read], pixels: Any, places: Sequence[int], mask: bool
) -> list[Judged]:
    torch: Any = require("torch", "train")
    with torch.inference_mode():
        ids, attention = model.pad([one.ids for one in read if one.ids is not None])
        seen = model.see(pixels)[torch.tensor(list(places), device=model.device)]
        out = model.match(seen, ids, attention)
        overall = overall_scores(out.queries.double().cpu().numpy())
        scores = out.tokens.cpu().numpy()
        belongs = model.mask(ids, attention).cpu().numpy() if mask else None
    judged = []
    for row, one in enumerate(read):
        length = len(one.tokens)
        tokens = scores[row, :length]
        if not np.isfinite(overall[row]) or not np.isfinite(tokens).all():
            judged.append(Judged(reason="the model gives no finite number for this pair"))
            continue
        elements = tuple(element_scores(tokens, one.spans))
        part = None if belongs is None else belongs[row, :length]
        judged.append(Judged(float(overall[row]), elements, one.spans, one.tokens, tokens, part, one.notes))
    return judged
