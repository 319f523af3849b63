"""What all tests share: where real data lies, small models, an endpoint, a Label Studio; and how examples are drawn."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "fixtures"))
pytest_plugins = ["small_models", "chat_endpoint", "object_store"]

# A change is judged by the same examples each time; `make explore` draws new ones, to find what these do not show.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set CURATE_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def label_studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running Label Studio. Where there is none: skipped, but REQUIRE_LABEL_STUDIO=1 makes that a failure."""
    folder = str(HERE / "annotators" / "label_studio")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from label_studio_server import LabelStudioServer, ServerUnavailable

    running = LabelStudioServer(tmp_path_factory.mktemp("label-studio"))
    try:
        running.start()
    except ServerUnavailable as error:
        (pytest.fail if os.environ.get("REQUIRE_LABEL_STUDIO") else pytest.skip)(str(error))
    yield running
    running.stop()
