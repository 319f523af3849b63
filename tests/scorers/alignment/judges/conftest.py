"""What other processes run is a module beside the tests: `tests` may be the name of somebody else's package there."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
