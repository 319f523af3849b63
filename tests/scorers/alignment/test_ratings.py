"""Who needs more ratings: by hand, and the items of TIFA that are known to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import InputError
from curate.scorers.alignment.ratings import RatingAgreement, needs_more_ratings, rating_spread
from curate.testing import ArrayView, check_scorer, score_all

LISTS = [[5, 5, 4], [1, 3, 2], [2], [], None, [3, None, 4]]


def test_spread_by_hand() -> None:
    found = rating_spread(LISTS)
    assert found.raters.tolist() == [3, 3, 1, 0, 0, 2]
    assert (found.high - found.low)[[0, 1, 2, 5]].tolist() == [1, 2, 0, 1]
    assert found.mean[[0, 1, 5]].tolist() == pytest.approx([14 / 3, 2, 3.5])
    assert np.isnan(found.mean[3:5]).all()
    array = rating_spread(np.array([[1, np.nan], [4, 2]]))
    assert array.raters.tolist() == [1, 2]
    sliced = pa.array(LISTS, pa.list_(pa.int64())).slice(1, 2)
    assert rating_spread(sliced).mean.tolist() == [2, 2]
    assert rating_spread(pa.chunked_array([sliced, sliced])).raters.tolist() == [3, 1, 3, 1]


def test_answers_hold_ratings() -> None:
    said = [[{"annotator": "a", "value": "25"}, {"annotator": "b", "value": "80.5"}], [], None]
    found = rating_spread(pa.array(said))
    assert found.low[0] == 25 and found.high[0] == 80.5 and found.raters.tolist() == [2, 0, 0]
    with pytest.raises(InputError, match="no numbers"):
        rating_spread(pa.array([[{"annotator": "a", "value": "good"}]]))
    with pytest.raises(InputError, match="no numbers"):
        rating_spread(pa.array([[{"annotator": "a", "score": 1}]]))


def test_the_rule() -> None:
    assert needs_more_ratings(LISTS).tolist() == [False, True, True, True, True, False]
    assert needs_more_ratings(LISTS, spread=1).tolist() == [True, True, True, True, True, True]
    assert needs_more_ratings(LISTS, at_least=1).tolist() == [False, True, False, True, True, False]
    assert needs_more_ratings(LISTS, at_least=3).tolist() == [False, True, True, True, True, True]


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="infinite"):
        rating_spread([[1.0, np.inf]])
    with pytest.raises(InputError, match="no numbers"):
        rating_spread([["good"]])
    with pytest.raises(InputError, match="shape"):
        rating_spread(np.ones(3))
    with pytest.raises(InputError, match="list of numbers"):
        rating_spread(pa.array([1, 2]))
    with pytest.raises(InputError, match="spread"):
        needs_more_ratings(LISTS, spread=0)
    with pytest.raises(InputError, match="spread"):
        RatingAgreement(spread=-1)


def test_the_scorer() -> None:
    view = ArrayView({"id": list("abcdef"), "overall": pa.array(LISTS, pa.list_(pa.float64()))})
    check_scorer(RatingAgreement("overall"), view, planted=("a", "b"))
    scored = score_all(RatingAgreement("overall", spread=3, at_least=1), view)
    assert scored["needs_more_ratings"].to_pylist() == [False, False, False, None, None, False]
    assert scored["rating_agreement"].to_pylist() == [-1, -2, 0, None, None, -1]
    assert scored["rating_agreement_reason"].to_pylist()[3] == "no rating"


def test_sixty_one_of_the_eight_hundred(data_dir: Path) -> None:
    file = data_dir / "t2i_ratings" / "tifa" / "human_annotations_with_scores.json"
    items = json.loads(file.read_text()).values()
    assert needs_more_ratings([item["human_scores"] for item in items]).sum() == 61
