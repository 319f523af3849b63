"""The server of these tests. Helpers are modules beside them (`label_studio_*.py`), which also run as scripts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from label_studio_server import LabelStudioServer, ServerUnavailable


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A running server. Without one: skipped, but REQUIRE_LABEL_STUDIO=1 makes that a failure."""
    running = LabelStudioServer(tmp_path_factory.mktemp("label-studio"))
    try:
        running.start()
    except ServerUnavailable as error:
        (pytest.fail if os.environ.get("REQUIRE_LABEL_STUDIO") else pytest.skip)(str(error))
    yield running
    running.stop()
