"""`ranked`: values in pieces against a plain sort."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.selectors.threshold.ranking import ranked

SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, np.inf, -np.inf, np.nan, 3.4e38, 0.5]


@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda t: arrays(t, st.integers(0, 40), elements=st.sampled_from([t(v) for v in SPECIAL]))
    ),
    st.lists(st.integers(0, 40), max_size=3),
    st.integers(0, 45),
    st.booleans(),
)
def test_as_a_plain_sort_with_ties_by_id(
    values: npt.NDArray[np.floating], cuts: list[int], count: int, lowest: bool
) -> None:
    ids = [f"{(7 * i) % 41:02}-with-a-long-tail" for i in range(len(values))]
    pieces = np.split(values, sorted(min(c, len(values)) for c in cuts))
    given_ids = pa.array(ids, pa.string())
    rows, found = ranked(pieces, given_ids, count, lowest)
    known = [i for i in range(len(values)) if not np.isnan(values[i])]
    expected = sorted(known, key=lambda i: (values[i] if lowest else -values[i], ids[i]))[:count]
    assert rows.dtype == np.int64 and rows.tolist() == expected
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values[rows])
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        for name, little in (("_RUN", 4), ("_STEP", 2), ("MANY", 16)):
            patch.setattr(f"curate.selectors.threshold.ranking.{name}", little)
        patch.setattr("curate.spool.HELD", 16)
        patch.setattr("curate.spool._BLOCK", 3)
        again = ranked(pieces, given_ids, count, lowest, scratch=Path(folder))
        assert [a.tobytes() for a in again] == [rows.tobytes(), found.tobytes()]
        assert [a.dtype for a in again] == [rows.dtype, found.dtype]
        assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_many_in_many_pieces(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=20_000) * 1000).astype(dtype)
    ids = pa.array([f"{i:05}" for i in rng.permutation(20_000)])
    rows, _ = ranked(np.array_split(values, 7), ids, 7_777)
    expected = np.lexsort((np.array(ids), -values))[:7_777]
    np.testing.assert_array_equal(rows, expected)
