"""Helpers of these tests can be imported, here and by the workers of a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
