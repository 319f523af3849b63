"""One thing is one, and two are two."""

from __future__ import annotations

from pathlib import Path

import pytest

import curate
from curate.counting import counted
from curate.store.clone import CloneReport
from curate.store.gc import GcReport


@pytest.mark.parametrize(("n", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1797, "1,797 rows")])
def test_one_has_no_s(n: int, text: str) -> None:
    assert counted(n, "row") == text


def test_what_is_told_of_a_store_of_one_item(tmp_path: Path) -> None:
    with curate.open(tmp_path / "s", create=True) as store:
        store.add([{"id": "a", "text": "b", "label": "c"}], kind="label")
        assert "1 item, label" in repr(store)
        assert "1 item, " in repr(store.items)
        assert "1 item)" in repr(store.select("random", budget=1, name="one"))
    assert "1 part, 1 pack, 2 orphans" in str(GcReport(parts=1, packs=1, orphans=2))
    assert "1 new version, 1 file (" in str(CloneReport(version=1, manifests=1, files=1))
