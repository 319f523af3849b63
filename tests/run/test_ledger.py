"""Step records go through JSON and back; keys of later versions are ignored."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from curate.run.ledger import StepRecord


@given(st.text(), st.dictionaries(st.text(), st.integers()), st.booleans())
def test_records_survive_json(title, counts, reused):
    record = StepRecord(1, "keep", "k", title, counts=counts, reused=reused)
    assert StepRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_unknown_keys_of_a_later_version_are_ignored():
    data = StepRecord(1, "keep", "k", "t").to_dict() | {"added_in_2031": 1}
    assert StepRecord.from_dict(data).title == "t"


def test_a_step_tells_its_first_reasons_and_counts_the_others():
    reasons = {f"{n} words too many": n for n in range(1, 9)}
    lines = str(StepRecord(1, "score", "s", "score s", counts={"failed": 36}, reasons=reasons)).splitlines()
    assert len(lines) == 8 and lines[1].strip() == "1 x 1 words too many"
    assert lines[7].strip() == "15 x 2 other reasons"


def test_counts_are_told_in_one_order_whoever_remembers_them():
    counts = {"added": 3, "deferred": 1, "read": 4, "rejected": 1}
    assert str(StepRecord(1, "import", "i", "import x", counts=counts)).startswith(
        " 1. import x: read 4, added 3, rejected 1, deferred 1"
    )
