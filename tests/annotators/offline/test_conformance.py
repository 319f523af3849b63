"""The offline twin keeps every promise of an annotator, in both of its formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.annotators.offline import Offline
from curate.testing import check_annotator
from tests.annotators.offline.conftest import FilePeople, LinePeople


@pytest.mark.parametrize(
    ("format", "people"), [("label-studio", FilePeople), ("jsonl", LinePeople), ("jsonl", FilePeople)]
)
def test_nothing_is_lost_or_doubled(format: str, people: Any, store: Any, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    check_annotator(Offline(folder, format=format), store, people(folder))  # type: ignore[arg-type]
