"""A compressed set: which pieces are taken, how they are stitched, what is written, and what cannot be compressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate
from curate.errors import InputError
from curate.formats.mosaic import compress_view, make_mosaics, write_mosaics
from curate.memory import ArrayView

RED, BLUE = np.array([200, 0, 0]), np.array([0, 0, 200])


def images(n: int = 8) -> tuple[list[np.ndarray], list[str]]:
    """Plain colours of growing strength: red ones are class a, blue ones class b."""
    made, labels = [], []
    for i in range(n):
        colour = (RED if i % 2 == 0 else BLUE) * (i + 1) // n
        made.append(np.broadcast_to(colour, (20, 30, 3)).astype(np.uint8))
        labels.append("ab"[i % 2])
    return made, labels


def predict(pixels: np.ndarray) -> np.ndarray:
    """Sure of red where it is strong, of blue likewise."""
    red, blue = pixels[..., 0].mean((1, 2)) / 255, pixels[..., 2].mean((1, 2)) / 255
    a = np.clip(0.5 + (red - blue) / 2, 0, 1)
    return np.stack([a, 1 - a], 1)


def test_the_surest_of_each_class_fill_the_pictures() -> None:
    pictures, labels = images()
    made = make_mosaics(pictures.__getitem__, labels, predict, per_class=1, grid=2, side=8)
    assert made.pixels.shape == (2, 8, 8, 3) and made.labels.tolist() == ["a", "b"]
    assert made.sources.tolist() == [[6, 4, 2, 0], [7, 5, 3, 1]]  # the strongest first
    assert (np.diff(made.confidence, axis=1) < 0).all()
    assert made.pixels[0, 0, 0].tolist() == (RED * 7 // 8).tolist()  # top left: the surest
    assert made.pixels[0, 7, 7].tolist() == (RED * 1 // 8).tolist()  # bottom right: the fourth
    assert np.allclose(made.soft, predict(made.pixels))
    clear = [predict(pictures[row][None])[0] for row in made.sources.ravel()]
    assert np.allclose(made.patch_soft.reshape(-1, 2), clear, atol=1e-6)
    assert np.array_equal(made.confidence, np.stack([made.patch_soft[0, :, 0], made.patch_soft[1, :, 1]]))
    two = make_mosaics(pictures.__getitem__, labels, predict, per_class=2, grid=1, side=8)
    assert two.sources.ravel().tolist() == [6, 4, 7, 5]


def test_each_picture_has_one_of_the_best() -> None:
    pictures, labels = images(16)
    made = make_mosaics(pictures.__getitem__, labels, predict, per_class=2, grid=2, side=8)
    assert made.sources[:2].tolist() == [[14, 10, 6, 2], [12, 8, 4, 0]]


def test_a_small_class_gives_its_next_best_pieces() -> None:
    pictures, labels = images(4)
    made = make_mosaics(pictures.__getitem__, labels, predict, per_class=1, grid=2, side=8, crops=3)
    assert sorted(made.sources[0].tolist()) == [0, 0, 2, 2]
    one = make_mosaics(pictures.__getitem__, labels, predict, per_class=2, grid=2, side=8, crops=1)
    assert set(one.sources[:2].ravel().tolist()) == {0, 2} and len(one) == 4


def test_the_best_piece_of_an_image_is_taken() -> None:
    half = np.zeros((40, 40, 3), np.uint8)
    half[:20, :20] = RED  # red is only in one corner
    made = make_mosaics(
        [half, np.zeros((9, 9, 3), np.uint8) + np.uint8(BLUE)].__getitem__,
        ["a", "b"],
        predict,
        per_class=1,
        grid=1,
        side=16,
        crops=60,
        smallest=0.4,
    )
    assert made.pixels[0, ..., 0].mean() > 150  # the corner, not the whole


def test_a_piece_is_looked_at_once() -> None:
    rng = np.random.default_rng(1)
    pictures = list(rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8))
    seen: list[int] = []

    def count(pixels: np.ndarray) -> np.ndarray:
        seen.append(len(pixels))
        return predict(pixels)

    made = make_mosaics(pictures.__getitem__, ["a", "b"] * 4, count, per_class=1, side=32, crops=9)
    assert seen == [4, 4, 2]  # there is one square in a square, whatever is drawn; and the two pictures
    assert np.allclose(
        made.patch_soft[0],
        predict(np.stack([np.kron(pictures[i], np.ones((2, 2, 1))) for i in made.sources[0]])),
        atol=0.01,
    )


def test_the_same_seed_gives_the_same_and_candidates_are_drawn() -> None:
    rng = np.random.default_rng(1)
    pictures = list(rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
    labels = ["a", "b"] * 10
    one, other = (make_mosaics(pictures.__getitem__, labels, predict, per_class=1, side=8) for _ in range(2))
    assert np.array_equal(one.pixels, other.pixels)
    few = make_mosaics(pictures.__getitem__, labels, predict, per_class=1, side=8, candidates=2)
    assert len(set(few.sources[0].tolist())) == 2


def test_what_is_written_can_be_read_and_taken_in_again(tmp_path: Path) -> None:
    pictures, labels = images()
    made = make_mosaics(pictures.__getitem__, labels, predict, per_class=1, side=8)
    ids = [f"item-{i}" for i in range(8)]
    written = write_mosaics(made, tmp_path / "small", ids=ids)
    assert written.rows == 2 and written.failed == 0
    table = pq.read_table(next((tmp_path / "small").rglob("*.parquet")))
    row = table.to_pylist()[0]
    assert row["label"] == "a" and row["sources"] == ["item-6", "item-4", "item-2", "item-0"]
    assert np.allclose(row["soft_label"], made.soft[0])
    assert np.array_equal(np.array(table["patch_soft_labels"].to_pylist(), np.float32), made.patch_soft)
    assert "a, b" in json.loads((tmp_path / "small" / "manifest.json").read_text())["description"]
    assert not write_mosaics(made, tmp_path / "small", ids=ids).written  # the same again is left alone
    small = write_mosaics(made, tmp_path / "lossy", quality=50, format="jsonl")
    (lossy, *rest) = sorted((tmp_path / "lossy").rglob("*.jpg"))
    assert small.rows == 2 and len(rest) == 1
    assert abs(np.asarray(Image.open(lossy)).astype(int) - made.pixels[0]).max() < 60
    with pytest.raises(InputError, match="quality=0"):
        write_mosaics(made, tmp_path / "none", quality=0)
    files = write_mosaics(made, tmp_path / "files", format="jsonl")
    assert files.rows == 2 and len(list((tmp_path / "files").rglob("*.png"))) == 2
    line = json.loads(next((tmp_path / "files").rglob("*.jsonl")).read_text().splitlines()[1])
    assert np.allclose(line["patch_soft_labels"], made.patch_soft[1])


def test_a_view_is_compressed(tmp_path: Path) -> None:
    pictures, labels = images()
    paths = []
    for i, pixels in enumerate(pictures):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(pixels).save(paths[-1])
    paths[7] = str(tmp_path / "gone.png")
    given: list[str | None] = [*labels]
    given[6] = None
    view = ArrayView({"id": [f"i{i}" for i in range(8)], "image": paths, "label": given})
    compress_view(view, tmp_path / "small", predict, per_class=1, side=8)
    rows = pq.read_table(next((tmp_path / "small").rglob("*.parquet"))).to_pylist()
    assert [set(r["sources"]) for r in rows] == [{"i0", "i2", "i4"}, {"i1", "i3", "i5"}]
    store = curate.open(tmp_path / "s.curate", create=True)
    store.add(tmp_path / "small" / "data" / "*.parquet", kind="label")
    assert len(store) == 2
    again = store.compress(tmp_path / "smaller", predict, per_class=1, side=8, grid=1)
    assert again.rows == 2
    with pytest.raises(InputError, match="none of 8 items"):
        compress_view(ArrayView({"image": paths, "label": [None] * 8}), tmp_path / "none", predict)
    store.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": 0}, "per_class=0"),
        ({"side": 9}, "a multiple of the grid"),
        ({"smallest": 0.0}, "smallest=0.0"),
        ({"labels": []}, "at least one"),
        ({"predict": lambda p: np.zeros((len(p), 3))}, "for 5 images of 2 classes|of 2 classes"),
        ({"predict": lambda p: np.full((len(p), 2), 3.0)}, "what predict gave.* no distribution"),
        ({"read": lambda row: np.zeros((4, 4), np.uint8)}, r"shape \(4, 4\)"),
    ],
)
def test_what_cannot_be_compressed(options: dict[str, Any], message: str) -> None:
    pictures, labels = images()
    asked: dict[str, Any] = {
        "read": pictures.__getitem__,
        "labels": labels,
        "predict": predict,
        "side": 8,
        **options,
    }
    first = [asked.pop(name) for name in ("read", "labels", "predict")]
    with pytest.raises(InputError, match=message):
        make_mosaics(*first, **asked)
