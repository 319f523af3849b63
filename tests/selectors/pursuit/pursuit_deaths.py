"""A shard that takes its worker with it: a module of its own, for workers of a cluster to find."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from curate.selectors.pursuit.gradients import PieceShard


class DiesOnce(PieceShard):
    """Takes its worker with it, once, in the middle of a pursuit."""

    asked = 0

    def best(self, *args: Any) -> Any:
        self.asked += 1
        mark = Path(os.environ["CURATE_TEST_MARK"])
        if self.low == 80 and self.asked == 9 and not mark.exists():
            mark.touch()
            os._exit(1)
        return super().best(*args)
