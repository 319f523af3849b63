"""Where the time of a part goes, as its worker sees it."""

from __future__ import annotations

import time

from curate.media import clock

__all__ = ["Stopwatch"]


class Stopwatch:
    """Adds up what lies between two laps under the name of the later one.

    What passes in a lap while this thread waits for media is not that lap's but `decode` or `transfer`, as opening them took
    up the one or the other over all threads meanwhile.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._started = self._last = clock.now()
        self._at = time.perf_counter()

    def lap(self, name: str) -> None:
        """What passed since the last lap was `name`."""
        at, now = time.perf_counter(), clock.now()
        passed, waited = at - self._at, now.waited - self._last.waited
        opened, fetched = now.opened - self._last.opened, now.fetched - self._last.fetched
        waited = min(max(waited, 0.0), passed)
        transfer = waited * min(1.0, fetched / opened) if opened > 0 else 0.0
        for key, seconds in ((name, passed - waited), ("transfer", transfer), ("decode", waited - transfer)):
            self._sums[key] = self._sums.get(key, 0.0) + seconds
        self._at, self._last = at, now

    def times(self) -> dict[str, float]:
        """Seconds by name, and under `opening` what opening media took over all threads, waited for or not."""
        return {**self._sums, "opening": clock.now().opened - self._started.opened}
