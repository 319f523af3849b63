"""A full disk fails the commit that meets it and nothing else: what was acknowledged stays readable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(how: str, path: Path) -> dict[str, list]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
    command = [sys.executable, str(HERE / "store_disk.py"), how, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.crash
def test_file_size_limit(tmp_path: Path) -> None:
    report = run("limit", tmp_path / "store")
    assert report["wrong"] == []
    none, part, catalog = report["errors"]
    assert none == ""
    assert "File too large" in part and "Nothing was committed" in part
    assert "run it again" in catalog or "run again" in catalog
    some, more, many, again = report["counts"]
    assert (some, more, again) == (3, 0, 2) and many < 500


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.crash
def test_no_space_left(small_disk: Path) -> None:
    report = run("small", small_disk)
    assert report["wrong"] == []
    part, catalog = report["errors"]
    assert "No space left" in part and "free space" in part
    assert "run it again" in catalog or "run again" in catalog
    some, more, again = report["counts"]
    assert some >= 5 and more < 3 and again == 2
