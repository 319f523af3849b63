"""Where the time of a step went."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from curate.media import open_image
from curate.media.clock import seconds_opening
from curate.run.ledger import StepRecord


def test_opening_media_is_counted(tmp_path):
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(tmp_path / "a.png")
    before = seconds_opening()
    open_image(str(tmp_path / "a.png"))
    once = seconds_opening() - before
    assert once > 0
    with pytest.raises(Exception, match="no such file"):
        open_image(str(tmp_path / "b.png"))
    assert seconds_opening() - before > once, "what fails has taken time too"


def test_a_long_step_tells_shares_and_the_slowest_parts():
    record = StepRecord(1, "score", "s", "score s", seconds=20.0)
    for part, seconds in (("p1", 1.0), ("p2", 6.0), ("p3", 2.0), ("p4", 3.0)):
        record.spend(part, {"read": 1.0, "score": seconds, "write": 0.25, "open": 0.5})
    record.times["commit"] = 3.0
    assert list(record.slowest) == ["p2", "p4", "p3"]
    told = str(record)
    assert "read 20%, score 60% (opening media: 2.0 s over all threads), write 5%, commit 15%" in told
    assert "slowest parts: p2 7.2 s, p4 4.2 s, p3 3.2 s" in told
    record.seconds = 1.0
    assert "slowest" not in str(record)


def test_scoring_fills_them(store, captions, spies, tmp_path):
    store.add(captions("a", "bb", "ccc", "dddd"), kind="image-text", part_rows=3)
    record = store.score("spy", log=str(tmp_path / "log"))
    assert set(record.times) >= {"read", "score", "write"} and len(record.slowest) == 2
    assert StepRecord.from_dict(record.to_dict()).times == record.times
