"""Runs whose workers share no disk with the driver, only the address at which the store is published."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from run_elsewhere import Elsewhere

import curate
from curate.errors import ConflictError
from curate.recipe.reader import build_recipe
from curate.run import context as contexts
from curate.run.engine import begin, execute
from curate.run.ledger import RunRecord
from curate.run.progress import SilentProgress
from curate.store import PartStore, places
from curate.store.remote import open_remote

STEPS = [
    {"score": "text-basics"},
    {"score": "pixel-embedding", "with": {"size": 2}},
    {"keep": "text_words > 1", "as": "kept"},
]


@pytest.fixture(params=["bucket", "folder"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return str(request.getfixturevalue("bucket"))
    return places.address(str(tmp_path / "published"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of twelve pictures in packs, three parts."""

    def png(shade: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.full((4, 4, 3), shade, np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    path = tmp_path_factory.mktemp("imported") / "s.curate"
    captions = [" ".join(["word"] * (1 + i % 3)) for i in range(12)]
    table = {
        "id": [f"i{i:02}" for i in range(12)],
        "image": [png(20 * i) for i in range(12)],
        "caption": captions,
    }
    with curate.open(path, create=True) as store:
        store.add(pa.table(table), kind="image-text", part_rows=4)
    return path


@pytest.fixture(scope="module")
def expected(imported: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a run on this machine makes of it."""
    return locally(imported, tmp_path_factory, STEPS)


def locally(imported: Path, folders: pytest.TempPathFactory, steps: list[Any]) -> list[str]:
    path = Path(shutil.copytree(imported, folders.mktemp("local") / "s.curate"))
    with curate.open(path) as store:
        store.run({"steps": steps})
        return contents(store.parts)


WHOLE = [
    *STEPS,
    {"score": "exact-duplicate", "with": {"columns": ["caption"]}},
    {"score": "near-duplicate", "with": {"embedding": "pixel_embedding", "by": "embedding"}},
    {"select": "top", "budget": 3, "with": {"by": "text_words"}},
    {"select": "k-center", "budget": 4, "with": {"embedding": "pixel_embedding"}},
]
"""With steps that see everything."""


@pytest.fixture
def driver(imported: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the store, and one in which workers live."""
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(imported, tmp_path / "driver" / "s.curate")
    return tmp_path / "driver"


def contents(store: PartStore) -> list[str]:
    """The content of every live part: the same hashes, the same bytes."""
    snapshot = store.snapshot()
    aligned = [p for parts in snapshot.aligned.values() for p in parts]
    chosen = [p for parts in snapshot.selection_parts.values() for p in parts]
    return sorted(f"{p.table} {p.part_id} {p.blake3}" for p in (*snapshot.items, *aligned, *chosen))


def run(folder: Path, url: str, runner: Elsewhere | None = None, steps: list[Any] = STEPS) -> RunRecord:
    """Run the recipe as the command line does, by workers elsewhere."""
    runner = runner or Elsewhere(folder / "s.curate", folder.parent / "elsewhere")
    with places.open_shared(folder / "s.curate", url) as store:
        recipe = build_recipe({"store": "s.curate", "steps": steps})
        context = begin(
            store, recipe=recipe.plain(), base=folder, runner=runner, progress=SilentProgress(), through=url
        )
        return execute(context, recipe.steps)


def published(url: str, path: Path) -> list[str]:
    """What is published, cloned and checked."""
    store, report = PartStore.clone(url, path)
    with store:
        assert store.verify() == [] and report.later == 0
        return contents(store)


def objects(url: str) -> dict[str, int]:
    return open_remote(url).listed("parts/")


def test_workers_that_share_no_disk_make_the_same_bytes(
    driver: Path, url: str, expected: list[str], tmp_path: Path
) -> None:
    done = run(driver, url)
    with PartStore.open(driver / "s.curate") as store:
        assert contents(store) == expected and store.verify() == []
    assert published(url, tmp_path / "clone") == expected
    assert [step.computed for step in done.steps[:2]] == [12, 12]
    assert all(step.times["transfer"] > 0 for step in done.steps[:2])
    assert len(objects(url)) == len(expected), "no file that no version needs"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_steps_that_see_everything_are_spread_too_and_workers_die_in_them(
    driver: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = locally(driver / "s.curate", tmp_path_factory, WHOLE)
    for part in (
        "store.pieces.PIECE_ROWS",
        "selectors.threshold.top._PIECE",
        "scorers.duplicates.exact._PIECE",
    ):
        monkeypatch.setattr(f"curate.{part}", 5)
    armed = dict.fromkeys(
        range(7, 40, 3), "place.brought:1:exit"
    )  # those that read what the worker has not kept
    runner = Elsewhere(driver / "s.curate", driver.parent / "elsewhere", armed)
    done = run(driver, bucket, runner, WHOLE)
    with PartStore.open(driver / "s.curate") as store:
        assert contents(store) == expected and store.verify() == []
    assert [step.computed for step in done.steps[3:]] == [8] * 4
    assert runner.attempts > 6 + 4 * 2 and runner.deaths >= 2
    assert list((driver.parent / "elsewhere").iterdir()) == []


def test_a_second_run_does_nothing_and_a_new_driver_goes_on_from_the_address(
    driver: Path, bucket: str, expected: list[str], tmp_path: Path
) -> None:
    run(driver, bucket)
    for folder in (driver, tmp_path / "another"):  # there, no store yet
        folder.mkdir(exist_ok=True)
        runner = Elsewhere(folder / "s.curate", tmp_path / "elsewhere")
        again = run(folder, bucket, runner)
        assert runner.attempts == 0 and all(step.reused for step in again.steps)
    assert published(bucket, tmp_path / "clone") == expected


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["part.fsync:1", "part.rename:1", "part.rename:2", "place.upload:1", "place.uploaded:1"]
)
def test_a_worker_killed_at_any_step_leaves_nothing_half(
    driver: Path, bucket: str, expected: list[str], place: str, tmp_path: Path
) -> None:
    runner = Elsewhere(driver / "s.curate", tmp_path / "elsewhere", {2: f"{place}:exit", 5: f"{place}:exit"})
    run(driver, bucket, runner)
    assert runner.attempts == 6 + 2, "three parts, two scorers, two deaths"
    assert published(bucket, tmp_path / "clone") == expected
    assert len(objects(bucket)) == len(expected), "the same work made the same file"


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        "publish.part:2",
        "publish.manifest:1",
        "publish.manifest:3",
        "place.received:2",
        "commit.commit:3",
        "commit.after:4",
    ],
)
def test_after_the_driver_was_killed_the_same_command_ends_with_the_same_bytes(
    driver: Path, bucket: str, expected: list[str], place: str, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys, test_through as t; t.main(*sys.argv[1:])",
        str(driver),
        bucket,
    ]
    first = subprocess.run(
        [*command, f"{place}:exit"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert first.returncode == 99, first.stderr
    again = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert again.returncode == 0, again.stderr
    with PartStore.open(driver / "s.curate") as store:
        assert contents(store) == expected and store.verify() == []
    assert published(bucket, tmp_path / "clone") == expected


def test_a_driver_whose_disk_is_lost_costs_what_was_not_published(
    driver: Path, bucket: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(contexts, "SHARE_EVERY", 0.0)

    def stop(done: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(driver, bucket, Elsewhere(driver / "s.curate", tmp_path / "elsewhere", after=stop))
    shutil.rmtree(driver / "s.curate")
    done = run(driver, bucket)
    assert published(bucket, tmp_path / "clone") == expected
    assert done.status == "done"


def test_of_two_drivers_one_wins_and_the_other_is_told(
    driver: Path, bucket: str, expected: list[str], tmp_path: Path
) -> None:
    with PartStore.open(driver / "s.curate") as store:
        store.publish(bucket)
    other = tmp_path / "other"
    other.mkdir()

    def meanwhile(done: int) -> None:
        if done == 1 and not (other / "s.curate").exists():
            run(other, bucket)

    with pytest.raises(ConflictError, match=r"went different ways: version \d+ there is 'score' of run"):
        run(driver, bucket, Elsewhere(driver / "s.curate", tmp_path / "elsewhere", after=meanwhile))
    assert published(bucket, tmp_path / "clone") == expected, "what is published is the winner's, whole"
    with PartStore.open(driver / "s.curate") as store:
        assert store.verify() == []
    with pytest.raises(ConflictError, match="went different ways"):
        run(driver, bucket)  # again: before any work
    third = tmp_path / "third"
    third.mkdir()
    assert all(step.reused for step in run(third, bucket).steps), "what the other did counts for it"


@pytest.mark.slow
def test_ray_workers_that_know_only_the_address(
    driver: Path, bucket: str, expected: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="extra ray not installed")
    recipe = driver / "recipe.yaml"
    recipe.write_text(json.dumps({"store": "s.curate", "steps": STEPS}))
    command = [
        sys.executable,
        "-c",
        "from curate.cli import main; main()",
        "run",
        str(recipe),
        "--on",
        "ray",
        "--workers",
        "2",
    ]
    done = subprocess.run(
        [*command, "--through", bucket],
        capture_output=True,
        text=True,
        cwd=tmp_path / "elsewhere",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert published(bucket, tmp_path / "clone") == expected
    shutil.rmtree(driver / "s.curate")
    done = subprocess.run(
        [*command, "--through", bucket],
        capture_output=True,
        text=True,
        cwd=tmp_path / "elsewhere",
        timeout=300,
    )
    assert done.stdout.count("(already done)") == len(STEPS), done.stdout + done.stderr


def main(folder: str, url: str, armed: str = "") -> None:
    """A driver that can be killed."""
    from curate.store import failpoints

    failpoints.arm(armed or None)
    run(Path(folder), url)
