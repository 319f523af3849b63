"""Where the time of a step went."""

from __future__ import annotations

import re
import time
from typing import ClassVar

import fsspec
import numpy as np
import pytest
from PIL import Image

from curate.media import clock, open_image
from curate.media.access import read_bytes
from curate.media.ahead import read_ahead
from curate.media.policy import MediaPolicy
from curate.recipe.reader import build_recipe
from curate.run.engine import begin, execute
from curate.run.ledger import SHARES, StepRecord
from curate.run.progress import SilentProgress, _LogMeter
from curate.run.stopwatch import Stopwatch


def test_opening_media_is_counted(tmp_path):
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(tmp_path / "a.png")
    before = clock.now()
    open_image(str(tmp_path / "a.png"))
    once = clock.now()
    assert once.opened - before.opened == pytest.approx(once.waited - before.waited, abs=1e-3)
    assert once.opened > before.opened and once.fetched == before.fetched, "a file is not sent from elsewhere"
    with pytest.raises(Exception, match="no such file"):
        open_image(str(tmp_path / "b.png"))
    assert clock.now().opened > once.opened, "what fails has taken time too"


def test_bytes_from_elsewhere_are_counted_as_fetched():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/there/a", b"abc")
    before = clock.now().fetched
    assert read_bytes("memory://there/a", MediaPolicy(protocols=frozenset({"memory"}))) == b"abc"
    assert clock.now().fetched > before


def test_what_other_threads_open_is_waited_for_only_where_it_is_late():
    opened: list[int] = []

    def slow(value: int) -> int:
        with clock.opening():
            time.sleep(0.02)
        opened.append(value)
        return value

    before = clock.now()
    for value in read_ahead(slow, range(8), 4):
        while len(opened) < min(8, value + 4):  # the model: four threads are faster than it
            time.sleep(0.001)
    after = clock.now()
    assert after.opened - before.opened >= 0.16
    assert 0 < after.waited - before.waited < (after.opened - before.opened) / 2


def test_a_stopwatch_takes_waiting_out_of_what_it_happened_in(monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: seconds[0])
    watch = Stopwatch()
    with clock.opening():
        seconds[0] += 3
        with clock.fetching():
            seconds[0] += 1
    seconds[0] += 2
    watch.lap("model")
    seconds[0] += 0.5
    watch.lap("write")
    times = watch.times()
    expected = {"model": 2, "decode": 3, "transfer": 1, "write": 0.5, "opening": 4}
    assert times == pytest.approx(expected)


def test_a_long_step_tells_shares_and_the_slowest_parts():
    record = StepRecord(1, "score", "s", "score s", seconds=20.0)
    for part, seconds in (("p1", 1.0), ("p2", 6.0), ("p3", 2.0), ("p4", 3.0)):
        spent = {"transfer": 0.5, "read": 1.0, "decode": seconds / 4, "model": 3 * seconds / 4, "write": 0.25}
        record.spend(part, {**spent, "opening": 0.5})
    record.times["commit"] = 3.0
    assert list(record.slowest) == ["p2", "p4", "p3"]
    told = str(record)
    assert "transfer 9%, read 18%, decode 14%, model 41%, write 5%, commit 14%" in told
    assert "; opening media took 2.0 s over all threads; slowest parts: p2 7.8 s, p4 4.8 s, p3 3.8 s" in told
    record.seconds = 1.0
    assert "slowest" not in str(record)


def test_scoring_fills_them(store, captions, spies, tmp_path):
    store.add(captions("a", "bb", "ccc", "dddd"), kind="image-text", part_rows=3)
    record = store.score("spy", log=str(tmp_path / "log"))
    assert record.times.keys() == {*SHARES, "opening"}
    assert record.slowest.keys() == {"rows 0 to 2", "rows 3 to 3"}
    assert record.times["model"] > record.times["transfer"], "nothing came from elsewhere"
    assert StepRecord.from_dict(record.to_dict()).times == record.times


def test_a_step_that_sees_everything_tells_how_far_it_is_and_where_its_time_went(
    store, captions, monkeypatch
):
    class Noted(SilentProgress):
        notes: ClassVar[list[str]] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    monkeypatch.setattr("curate.run.progress.LOG_EVERY", 0.0)
    store.add(captions("a", "bb", "a", "dddd"), kind="image-text", part_rows=3)
    steps = [{"score": "exact-duplicate", "with": {"columns": ["caption"]}}]
    done = execute(begin(store.parts, progress=Noted()), build_recipe({"store": "s", "steps": steps}).steps)
    (record,) = done.steps
    assert "score exact-duplicate: 2 rounds over 1 piece done" in Noted.notes
    assert record.times.keys() == {"model", "write", "commit"} and record.slowest == {}
    record.seconds = 20.0
    assert re.search(r"time: model \d+%, write \d+%, commit \d+%$", str(record))


def test_who_waits_is_told_how_long():
    meter = _LogMeter("score", 1000)
    meter.advance(100)
    assert meter.told(10.0) == "100 of 1,000 rows, 10 rows/s, 90 s left"
    assert meter.told(60.0) == "100 of 1,000 rows, 2 rows/s, 9 min left"
    assert meter.told(6000.0).endswith("15.0 h left")
    assert _LogMeter("score", None).told(1.0) == "0 rows, 0 rows/s"
