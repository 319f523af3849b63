"""Gold items: what is known already, and who gets it right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from curate.annotators.consensus.intervals import wilson

if TYPE_CHECKING:
    import polars as pl

__all__ = ["gold_table"]


def gold_table(
    votes: pl.DataFrame,
    gold: Mapping[str, str],
    *,
    trust: float = 0.0,
    least: int = 5,
    tolerance: float = 0.0,
) -> pl.DataFrame:
    """A row for each annotator: `annotator`, `answers`, `gold_answers`, `gold_accuracy` with its 95 % interval `low`, `high`
    (Wilson), and `trusted`.

    An answer is right where it equals the gold value, or, of numbers, is no further away than `tolerance`. Trusted is who
    is right in at least `trust` of the gold answers, and everybody with fewer than `least` of them.
    """
    import polars as pl

    known = pl.DataFrame(
        {"item": list(gold), "truth": list(gold.values())}, schema={"item": pl.String, "truth": pl.String}
    )
    joined = votes.join(known, "item", "left").with_columns(
        off=(pl.col("number") - pl.col("truth").cast(pl.Float64, strict=False)).abs()
    )
    right = (pl.col("value") == pl.col("truth")) | (pl.col("off") <= tolerance).fill_null(False)
    table = (
        joined.group_by("annotator")
        .agg(
            answers=pl.len(),
            gold_answers=pl.col("truth").is_not_null().sum(),
            right=(right & pl.col("truth").is_not_null()).sum(),
        )
        .sort("annotator")
    )
    asked, hits = table["gold_answers"].to_numpy().astype(np.float64), table["right"].to_numpy()
    low, high = wilson(hits, asked)
    share = hits / np.maximum(asked, 1)
    none = pl.Series(asked == 0)
    return table.select(
        "annotator",
        "answers",
        "gold_answers",
        gold_accuracy=pl.Series(share).set(none, None),
        low=pl.Series(low).set(none, None),
        high=pl.Series(high).set(none, None),
        trusted=pl.Series((asked < least) | (share >= trust)),
    )
