"""What people said of pairs, as what the network should say: token targets, masks and weights for training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.scorers.alignment.fga.captions import clean_caption
from curate.scorers.alignment.fga.formulas import (
    VarianceWeight,
    prompt_variances,
    token_targets,
    variance_weights,
)
from curate.scorers.alignment.fga.judging import locate_elements
from curate.scorers.alignment.fga.network import FgaModel

__all__ = ["Missing", "Prepared", "Rated", "Rating", "prepare_ratings", "ratings_of"]

Missing = Literal["drop", "skip"]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rating:
    """What people said of one pair.

    `score` in [1, 5], the mean of the annotators. `elements` maps phrases of the text (`guitar (object)`) to the share
    of annotators who see them, in [0, 1]; None where nobody was asked. `prompt` says which ratings are of one prompt;
    by default those of the same text.
    """

    image: Any = field(compare=False)
    text: str
    score: float
    elements: Mapping[str, float] | None = None
    prompt: str | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """Ratings as arrays. `rows` (n,) which ratings they are; `ids` and `attention` (n, length) int64; `targets` and
    `masks` (n, length), `scores`, `weights` and `asked` (n,) float32: `asked` is 0 where no elements were asked for, so
    that nothing is known of the mask. `dropped` maps the other ratings to why they cannot be learned from."""

    rows: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    attention: npt.NDArray[np.int64]
    targets: Floats
    masks: Floats
    scores: Floats
    weights: Floats
    asked: Floats
    dropped: dict[int, str]


class Rated(NamedTuple):
    """`ratings`, and the row of the table that each is of, (n,) int64; `dropped` maps the other rows to why."""

    ratings: list[Rating]
    rows: npt.NDArray[np.int64]
    dropped: dict[int, str]


def ratings_of(table: pa.Table, *, folder: str = "", meaningful: bool = False) -> Rated:
    """Ratings to train on from a table of EvalMuse-40K, as `curate.formats.evalmuse.read` gives it.

    It needs the columns `prompt`, `img_path` and `score`; `element_score` (a list of structs with `element` and `mean`),
    `prompt_id` and `prompt_meaningless` are used where they are there. `folder` is put before the paths of images.
    Elements without a mean are left out; where nobody was asked for elements (the test split) there are none.
    `meaningful` leaves out prompts that most annotators call meaningless. A row without an image, a prompt or a score is
    dropped, with the reason.
    Raises SchemaError where a column is missing.
    """
    missing = [name for name in ("prompt", "img_path", "score") if name not in table.column_names]
    if missing:
        raise SchemaError(
            f"no column {', '.join(missing)}: ratings are made of a table as curate.formats.evalmuse.read gives it"
        )
    found = Rated([], np.empty(0, np.int64), {})
    rows = []
    for row, entry in enumerate(table.to_pylist()):
        why = _unusable(entry, meaningful)
        if why is not None:
            found.dropped[row] = why
            continue
        rows.append(row)
        image = f"{folder.rstrip('/')}/{entry['img_path']}" if folder else entry["img_path"]
        prompt = entry.get("prompt_id")
        found.ratings.append(Rating(image, entry["prompt"], entry["score"], _means(entry), prompt))
    return found._replace(rows=np.array(rows, np.int64))


def _unusable(entry: Mapping[str, Any], meaningful: bool) -> str | None:
    for name in ("img_path", "prompt", "score"):
        if entry[name] is None:
            return f"no {name}"
    votes = [vote for vote in entry.get("prompt_meaningless") or () if vote is not None]
    if meaningful and votes and sum(votes) / len(votes) > 0.5:
        return "its prompt is meaningless to most annotators"
    return None


def _means(entry: Mapping[str, Any]) -> dict[str, float] | None:
    elements = entry.get("element_score")
    if elements is None:
        return None
    return {one["element"]: one["mean"] for one in elements if one["mean"] is not None}


def prepare_ratings(
    model: FgaModel,
    ratings: Sequence[Rating],
    *,
    length: int = 32,
    variance_weight: VarianceWeight = "none",
    missing: Missing = "drop",
) -> Prepared:
    """Tokens, targets, masks and weights of ratings, captions padded or cut to `length` tokens.

    Spans are looked for in the caption as cleaned, which is what the model sees. A rating with an element that is not
    found is left out (`missing="drop"`, as the authors did), or keeps its other elements (`"skip"`).
    Raises InputError naming ratings with a score outside [1, 5] or an element outside [0, 1], and if none is left.
    """
    _check(ratings, length, missing)
    variances = prompt_variances(
        [r.text if r.prompt is None else r.prompt for r in ratings], np.array([r.score for r in ratings])
    )
    weights = variance_weights(variances, variance_weight)
    rows: list[int] = []
    dropped: dict[int, str] = {}
    parts: list[tuple[npt.NDArray[np.int64], Floats, Floats]] = []
    for row, rating in enumerate(ratings):
        found = _prepare(model, rating, length, missing)
        if isinstance(found, str):
            dropped[row] = found
        else:
            rows.append(row)
            parts.append(found)
    if not rows:
        some = "; ".join(f"rating {row}: {why}" for row, why in list(dropped.items())[:3])
        raise InputError(
            f"none of {counted(len(ratings), 'rating')} can be learned from: {some or 'there are none'}"
        )
    ids, attention = np.zeros((2, len(rows), length), np.int64)
    for i, (own, _, _) in enumerate(parts):
        ids[i, : len(own)], attention[i, : len(own)] = own, 1
    return Prepared(
        rows=np.array(rows, np.int64),
        ids=ids,
        attention=attention,
        targets=np.stack([target for _, target, _ in parts]),
        masks=np.stack([mask for _, _, mask in parts]),
        scores=np.array([ratings[row].score for row in rows], np.float32),
        weights=weights[rows].astype(np.float32),
        asked=np.array([ratings[row].elements is not None for row in rows], np.float32),
        dropped=dropped,
    )


def _prepare(
    model: FgaModel, rating: Rating, length: int, missing: Missing
) -> tuple[npt.NDArray[np.int64], Floats, Floats] | str:
    """Ids, targets and mask of one rating; or why there are none."""
    cleaned = clean_caption(rating.text)
    if not cleaned:
        return "no word is left of the text"
    ids = model.encode(cleaned, length)
    elements = dict(rating.elements or {})
    spans, notes = locate_elements(model, model.names(ids), list(elements))
    if notes and missing == "drop":
        return notes[0]
    pairs = [(span, value) for span, value in zip(spans, elements.values(), strict=True) if span is not None]
    target, mask = token_targets(rating.score, [s for s, _ in pairs], [v for _, v in pairs], length)
    return ids, target, mask


def _check(ratings: Sequence[Rating], length: int, missing: Missing) -> None:
    if length < 3:
        raise InputError(f"length={length}: [CLS], a token and [SEP] make three")
    if missing not in ("drop", "skip"):
        raise InputError(f"missing={missing!r}: drop or skip")
    for row, rating in enumerate(ratings):
        if not 1 <= rating.score <= 5:
            raise InputError(f"rating {row}: score {rating.score!r} does not lie in [1, 5]")
        for element, value in (rating.elements or {}).items():
            if not (isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 1):
                raise InputError(
                    f"rating {row}: element {element!r} has {value!r}, which does not lie in [0, 1]"
                )
