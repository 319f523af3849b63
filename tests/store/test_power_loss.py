"""The power may fail between any two system calls: what was acknowledged is there, and nothing is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_recorder
import store_workload

from curate.store import PartStore


@pytest.mark.crash
@pytest.mark.parametrize("variant", store_recorder.VARIANTS)
def test_every_moment(tmp_path: Path, variant: str) -> None:
    root = tmp_path / "store"
    with store_recorder.recording(root) as recorder:
        store_workload.play(root).close()
    folders = [p.relative_to(root) for p in root.rglob("*") if p.is_dir()]
    kinds = {event[0] for event in recorder.events}
    assert kinds == {"create", "write", "sync", "rename", "sync folder", "unlink", "catalog", "ack"}
    stores = 0
    for moment in range(len(recorder.events) + 1):
        disk, acked = recorder.disk_after(moment, variant)
        place = tmp_path / str(moment)
        for folder in folders:
            (place / folder).mkdir(parents=True, exist_ok=True)
        for path, content in disk.items():
            target = place / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        if (place / "STORE.json").exists():
            stores += 1
            _check(place, acked, f"after {recorder.events[moment - 1][0]}, event {moment}")
        if moment % 20 == 0:
            assert store_workload.check(store_workload.play(place)) == []
    assert stores > 100


def _check(place: Path, acked: list[str], when: str) -> None:
    store = PartStore.open(place)
    assert store.verify() == [], when
    store_workload.read_state(store)
    tokens = {entry["token"] for entry in store.history()}
    assert set(acked) <= tokens, f"{when}: lost {set(acked) - tokens}"
    store.close()
