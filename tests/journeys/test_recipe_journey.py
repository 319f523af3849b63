"""One recipe, from a folder of pictures to an export and a report; the same, killed at random moments; the same on Ray."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import curate
from curate.run.ray_worker import Worker

RECIPE = """
store: s.curate
seed: 3
steps:
  - import: PICTURES
    kind: image-text
    part_rows: 40
  - score: image-basics
  - score: text-basics
  - score: exact-duplicate
  - score: near-duplicate
    with: {by: image}
  - keep: image_basics > 0.05 and text_basics > 0.2 and not exact_duplicate
    as: clean
  - select: top
    with: {by: image_basics + text_basics}
    budget: 25%
    as: best
  - export: out
    format: webdataset
    selection: best
  - export: table
    format: parquet
  - report: report.html
"""


def write_pictures(folder: Path, n: int = 240) -> None:
    """Noise pictures with captions; every tenth repeats the one before, two are torn."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    for i in range(n):
        if i % 10 != 1:
            noise = rng.integers(0, 255, (6, 6, 3), np.uint8)
            picture, caption = Image.fromarray(noise).resize((48, 48)), f"a picture of thing {i} on a table"
        picture.save(folder / f"{i:04d}.png")
        (folder / f"{i:04d}.txt").write_text(caption)
    for i in (17, 111):
        data = (folder / f"{i:04d}.png").read_bytes()
        (folder / f"{i:04d}.png").write_bytes(data[: len(data) // 2])


def prepare(folder: Path, pictures: Path) -> Path:
    """A folder with the recipe; the pictures are named by their absolute path, which is part of the items."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE.replace("PICTURES", str(pictures)))
    return folder / "recipe.yaml"


def command(recipe: Path) -> list[str]:
    return [sys.executable, "-c", "from curate.cli import main; main()", "run", str(recipe)]


def outcome(folder: Path) -> dict[str, str]:
    """Hash of every exported file, of the report, and the live parts of the store."""
    files = [p for out in ("out", "table") for p in sorted((folder / out).rglob("*")) if p.is_file()]
    hashes = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    hashes["report.html"] = hashlib.sha256((folder / "report.html").read_bytes()).hexdigest()
    with curate.open(folder / "s.curate") as store:
        snapshot = store.parts.snapshot()
        live = [*snapshot.items, *snapshot.rejected, *snapshot.deleted]
        live += [p for parts in snapshot.aligned.values() for p in parts]
        hashes |= {p.path: p.blake3 for p in live}
        assert store.verify() == []
    return hashes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, dict[str, str], float]:
    """The pictures, what an undisturbed run makes of them, and how long it takes."""
    root = tmp_path_factory.mktemp("journey")
    write_pictures(root / "pictures")
    recipe = prepare(root / "whole", root / "pictures")
    started = time.monotonic()
    subprocess.run(command(recipe), check=True, capture_output=True, timeout=120)
    return root, outcome(root / "whole"), time.monotonic() - started


def test_counts_are_exact_and_every_item_can_be_explained(undisturbed):
    root, _, _ = undisturbed
    with curate.open(root / "whole" / "s.curate") as store:
        run = store.last_run()
        by_kind = {}
        for step in run.steps:
            by_kind.setdefault(step.kind, []).append(step)
        first = by_kind["import"][0]
        assert (first.counts["read"], first.counts["added"], first.counts["rejected"]) == (240, 238, 2)
        keep = by_kind["keep"][0]
        assert keep.before == 238
        assert keep.counts["kept"] + keep.counts["dropped"] == 238
        assert sum(keep.reasons.values()) == keep.counts["dropped"]
        assert keep.reasons["exact_duplicate"] >= 20
        best = store.selections["best"]
        assert len(best) == round(0.25 * keep.counts["kept"])
        assert best.stats["random"]["objective"] > best.stats["random"]["random"]
        dropped = store.items.where("exact_duplicate").ids()[0].as_py()
        told = str(store.explain(dropped))
        assert "NOT exact_duplicate is false: exact_duplicate = True" in told
        assert "not selected" in told


def test_the_exports_can_be_loaded_by_others(undisturbed):
    import tarfile

    import polars as pl

    def members(path):
        with tarfile.open(path) as tar:
            return tar.getnames()

    root, _, _ = undisturbed
    with curate.open(root / "whole" / "s.curate") as store:
        best, clean = store.selections["best"], store.selections["clean"]
        frame = pl.read_parquet(str(root / "whole" / "table" / "data" / "*.parquet"))
        assert frame["id"].to_list() == clean.items.ids().to_pylist()
        names = [n for tar in sorted((root / "whole" / "out").rglob("*.tar")) for n in members(tar)]
        assert sum(n.endswith(".png") for n in names) == len(best)


def test_running_it_again_does_nothing(undisturbed):
    root, expected, _ = undisturbed
    done = subprocess.run(
        command(root / "whole" / "recipe.yaml"), check=True, capture_output=True, text=True, timeout=120
    )
    assert outcome(root / "whole") == expected
    assert done.stdout.count("(already done)") == 10, done.stdout


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("moment", range(20))
def test_killed_at_a_random_moment_the_same_command_ends_with_the_same_bytes(undisturbed, moment):
    root, expected, seconds = undisturbed
    recipe = prepare(root / f"killed-{moment}", root / "pictures")
    delay = random.Random(moment).uniform(0.25, 1.0) * seconds
    victim = subprocess.Popen(command(recipe), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    subprocess.run(command(recipe), check=True, capture_output=True, timeout=120)
    got = outcome(root / f"killed-{moment}")
    assert {k for k in expected if got.get(k) != expected[k]} == set()
    assert set(got) == set(expected)


# --- On Ray -----------------------------------------------------------------------------------------------------------


def on_ray(recipe: Path, workers: int) -> list[str]:
    pytest.importorskip("ray", reason="extra ray not installed")
    return [*command(recipe), "--on", "ray", "--workers", str(workers)]


def ray_workers(driver: int) -> list[psutil.Process]:
    """The processes in which the parts of this run are worked on."""
    found = []
    for process in psutil.Process(driver).children(recursive=True):
        with contextlib.suppress(psutil.Error, IndexError):
            if process.cmdline()[0].startswith("ray::" + Worker.__name__):
                found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_ray_ends_with_the_same_bytes(undisturbed, workers):
    root, expected, _ = undisturbed
    recipe = prepare(root / f"ray-{workers}", root / "pictures")
    subprocess.run(on_ray(recipe, workers), check=True, capture_output=True, timeout=300)
    assert outcome(root / f"ray-{workers}") == expected


@pytest.mark.crash
@pytest.mark.slow
def test_ten_workers_killed_on_ray_and_then_the_driver(undisturbed):
    root, expected, _ = undisturbed
    recipe = prepare(root / "ray-killed", root / "pictures")
    rng, killed = random.Random(0), 0
    victim = subprocess.Popen(
        on_ray(recipe, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while victim.poll() is None and killed < 10:
        for process in ray_workers(victim.pid)[:1]:
            with contextlib.suppress(psutil.Error):
                process.kill()
                killed += 1
        time.sleep(rng.uniform(0.1, 0.6))
    assert killed, "no worker was seen to kill"
    if victim.poll() is None and not (root / "ray-killed" / "report.html").exists():
        os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    subprocess.run(on_ray(recipe, 2), check=True, capture_output=True, timeout=300)
    assert outcome(root / "ray-killed") == expected
