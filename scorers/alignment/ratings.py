"""Several people's ratings of one item: how far apart they are, and whether more people should be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import detail, flag, reason_name, score
from curate.errors import InputError

__all__ = ["RatingAgreement", "Spread", "needs_more_ratings", "rating_spread"]

Floats = npt.NDArray[np.float64]


class Spread(NamedTuple):
    """Of each item: `low`, `high`, `mean` (n,) float64, NaN where nobody rated; `raters` (n,) int64: how many rated."""

    low: Floats
    high: Floats
    mean: Floats
    raters: npt.NDArray[np.int64]


def rating_spread(ratings: Any) -> Spread:
    """Lowest, highest and mean rating and how many there are, of each item.

    `ratings`: (n, raters) numbers, NaN where one did not rate, or an Arrow list array, or n sequences of any lengths.
    An Arrow list may hold answers in place of numbers: structs of which `value` is the rating, a number or its text.
    Raises InputError for a rating that is infinite or no number.
    """
    items = ratings if isinstance(ratings, (pa.Array, pa.ChunkedArray)) else _listed(ratings)
    if isinstance(items, pa.ChunkedArray):
        items = items.combine_chunks() if items.num_chunks != 1 else items.chunk(0)
    if not (pa.types.is_list(items.type) or pa.types.is_large_list(items.type)):
        raise InputError(f"ratings are {items.type}: a list of numbers for each item is expected")
    try:
        parents = items.value_parent_indices() if hasattr(items, "value_parent_indices") else None
        values = np.array(_rated(items.flatten()).cast(pa.float64()).fill_null(float("nan")), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"ratings are no numbers: {error}") from None
    owner = np.asarray(parents if parents is not None else _parents(items), np.int64)
    if np.isinf(values).any():
        raise InputError(f"item {owner[np.isinf(values)][0]} has an infinite rating")
    held = ~np.isnan(values)
    owner, values = owner[held], values[held]
    low, high = np.full(len(items), np.inf), np.full(len(items), -np.inf)
    np.minimum.at(low, owner, values)
    np.maximum.at(high, owner, values)
    count = np.bincount(owner, minlength=len(items)).astype(np.int64)
    total = np.bincount(owner, values, len(items))
    mean = np.divide(total, count, out=np.full(len(items), np.nan), where=count > 0)
    return Spread(np.where(count > 0, low, np.nan), np.where(count > 0, high, np.nan), mean, count)


def _rated(values: pa.Array) -> pa.Array:
    """The ratings themselves, of answers their `value`."""
    import pyarrow.compute as pc

    if not pa.types.is_struct(values.type) or values.type.get_field_index("value") < 0:
        return values
    return pc.struct_field(values, "value")


def _listed(ratings: Any) -> pa.Array:
    if isinstance(ratings, np.ndarray):
        if ratings.ndim != 2:
            raise InputError(
                f"ratings of shape {ratings.shape}: (items, raters), or a sequence for each item"
            )
        ratings = ratings.astype(np.float64).tolist()
    try:
        return pa.array([None if row is None else list(row) for row in ratings], pa.list_(pa.float64()))
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        raise InputError(f"ratings are no numbers: {error}") from None


def _parents(items: pa.Array) -> npt.NDArray[np.int64]:
    import pyarrow.compute as pc

    return np.asarray(pc.list_parent_indices(items), np.int64)


def needs_more_ratings(ratings: Any, *, spread: float = 2, at_least: int = 2) -> npt.NDArray[np.bool_]:
    """Which items are to be sent to more people: (n,) bool.

    EvalMuse-40K's rule: where the highest and the lowest overall rating (1 to 5) of an item are `spread` or more apart,
    three more annotators rate it. An item with fewer than `at_least` ratings needs more in any case: one opinion cannot
    disagree. `ratings` as for `rating_spread`. Whether the new ratings replace the old or join them the paper does not
    say; both are a mean over what you then pass.
    """
    if not spread > 0:
        raise InputError(f"spread={spread}: how far apart ratings must be, above 0")
    found = rating_spread(ratings)
    apart = np.nan_to_num(found.high - found.low) >= spread
    return np.asarray(apart | (found.raters < at_least), np.bool_)


@dataclass(frozen=True)
class RatingAgreement:
    """How far people agree on an item, and whether more of them should be asked (EvalMuse-40K's rule).

    `ratings`   the column with a list of numbers for each item, one of each annotator.
    `spread`    highest minus lowest rating from which on an item needs more.
    `at_least`  fewer ratings than this need more in any case.

    The score is minus the range: 0 where all agree, higher = keep. The mean is beside it.
    """

    ratings: str = "ratings"
    spread: float = 2.0
    at_least: int = 2

    name: ClassVar[str] = "rating-agreement"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False
    gives: ClassVar[tuple[pa.Field, ...]] = (
        score("rating_agreement"),
        flag("needs_more_ratings"),
        detail("rating_mean", pa.float32()),
        detail("rating_count", pa.int32()),
    )

    def __post_init__(self) -> None:
        if not self.spread > 0:
            raise InputError(f"rating-agreement: spread={self.spread}: above 0")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.ratings,)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows without a rating are null and say so."""
        ratings = batch.column(self.ratings)
        found = rating_spread(ratings)
        none = found.raters == 0
        asked = needs_more_ratings(ratings, spread=self.spread, at_least=self.at_least)
        reasons = np.full(len(none), None, object)
        reasons[none] = "no rating"
        columns = [
            pa.array(found.low - found.high, pa.float32(), mask=none),
            pa.array(asked, pa.bool_(), mask=none),
            pa.array(found.mean, pa.float32(), mask=none),
            pa.array(found.raters, pa.int32(), mask=none),
            pa.array(reasons, pa.string()),
        ]
        return pa.record_batch(columns, [*(f.name for f in self.gives), reason_name(self.name)])
