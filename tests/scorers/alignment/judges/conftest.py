"""What other processes run is a module beside the tests: `tests` may be the name of somebody else's package there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "replies")


@pytest.fixture
def image(tmp_path: Path) -> str:
    Image.new("RGB", (64, 32), "red").save(tmp_path / "red.png")
    return str(tmp_path / "red.png")
