"""`image-basics`: numbers by hand, and real photographs spoilt on purpose."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter

from curate.scorers.quality.image import ImageBasics, ImageMeasures, image_measures, image_score, shrink
from curate.testing import ArrayView, check_scorer, score_all

GOOD = ImageMeasures(aspect=1.5, brightness=0.5, contrast=0.2, sharpness=900.0, entropy=7.0)


def test_measures_of_a_checkerboard_by_hand() -> None:
    board = np.indices((8, 10)).sum(0).astype(np.uint8) % 2 * 255
    measured = image_measures(board)
    assert measured.aspect == 1.25
    assert measured.brightness == pytest.approx(0.5)
    assert measured.contrast == pytest.approx(0.5)
    assert measured.entropy == pytest.approx(1.0)
    assert measured.sharpness == pytest.approx((4 * 255) ** 2)  # the Laplacian is +-4 x 255 everywhere inside


def test_measures_of_a_ramp_by_hand() -> None:
    ramp = np.tile(np.array([0, 51, 102, 153], np.uint8), (4, 1))
    measured = image_measures(ramp)
    assert measured.brightness == pytest.approx(0.3)  # (0 + 0.2 + 0.4 + 0.6) / 4
    assert measured.contrast == pytest.approx(np.sqrt((0.09 + 0.01 + 0.01 + 0.09) / 4))
    assert measured.entropy == pytest.approx(2.0)
    assert measured.sharpness == 0.0  # a linear ramp has no second derivative


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 2)])
def test_images_too_small_for_a_laplacian_have_no_sharpness(shape: tuple[int, int]) -> None:
    measured = image_measures(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    assert measured.sharpness == 0.0
    assert measured.aspect == shape[1] / shape[0]


def test_score_is_the_worst_part() -> None:
    assert image_score(GOOD) == pytest.approx(0.9)  # 900 / 1000
    assert image_score(GOOD._replace(sharpness=100.0)) == pytest.approx(0.5)
    assert image_score(GOOD._replace(brightness=0.1)) == pytest.approx(0.5)
    assert image_score(GOOD._replace(brightness=0.98)) == pytest.approx(0.2)
    assert image_score(GOOD._replace(contrast=0.03)) == pytest.approx(0.3)
    assert image_score(GOOD._replace(entropy=2.0)) == pytest.approx(0.5)
    assert image_score(GOOD._replace(aspect=10.0)) == pytest.approx(0.3)
    assert image_score(GOOD._replace(aspect=0.1)) == pytest.approx(0.3)


def test_large_images_are_measured_at_one_size() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 600), dtype=np.uint8))
    assert shrink(image).shape == (128, 256)
    assert shrink(image.resize((256, 20))).shape == (20, 256)
    assert shrink(image.resize((30000, 20))).shape == (1, 256)


def photographs(data_dir: Path, count: int) -> dict[str, Image.Image]:
    with zipfile.ZipFile(data_dir / "flickr8k_1k" / "images.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))[:count]
        return {n: Image.open(io.BytesIO(archive.read(n))).convert("RGB") for n in names}


def scores(folder: Path, images: dict[str, Image.Image]) -> dict[str, np.ndarray]:
    paths = []
    for name, image in images.items():
        paths.append(str(folder / name))
        image.save(paths[-1], quality=90)
    batch = pa.record_batch({"id": paths, "image": paths})
    table = ImageBasics().score(batch)
    assert table.column("image_basics_reason").null_count == len(paths)
    return {f: table.column(f).to_numpy() for f in table.schema.names[:-1]}


@pytest.mark.data
def test_spoilt_photographs_score_below_the_same_photographs(data_dir: Path, tmp_path: Path) -> None:
    real = photographs(data_dir, 60)
    before = scores(tmp_path, real)
    assert (before["image_sharpness"] > 100).all()
    blurred = scores(tmp_path, {n: i.filter(ImageFilter.GaussianBlur(3)) for n, i in real.items()})
    assert (blurred["image_sharpness"] < before["image_sharpness"] / 5).all()
    assert (blurred["image_basics"] < before["image_basics"]).all()
    assert np.median(blurred["image_basics"]) < 0.3 < np.median(before["image_basics"])
    dark = scores(tmp_path, {n: i.point(lambda v: v // 12) for n, i in real.items()})
    assert (dark["image_brightness"] < 0.09).all()
    assert (dark["image_basics"] < np.minimum(before["image_basics"], 0.5)).all()
    pale = scores(tmp_path, {n: i.point(lambda v: 245 + v // 26) for n, i in real.items()})
    assert (pale["image_contrast"] < 0.02).all()
    assert (pale["image_basics"] < 0.4).all()
    strips = scores(tmp_path, {n: i.resize((i.width, max(4, i.width // 12))) for n, i in real.items()})
    assert (strips["image_basics"] <= 0.3).all()


@pytest.mark.data
def test_sharpness_hardly_depends_on_resolution(data_dir: Path) -> None:
    large = [
        i.convert("L").resize((1024, 768), Image.Resampling.BICUBIC)
        for i in photographs(data_dir, 20).values()
    ]
    small = [i.resize((512, 384), Image.Resampling.BOX) for i in large]
    a, b = ([image_measures(shrink(i)).sharpness for i in images] for images in (large, small))
    np.testing.assert_allclose(a, b, rtol=0.05)


def test_unreadable_images_are_null_with_the_code(tmp_path: Path) -> None:
    fine = tmp_path / "fine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(fine)
    cut = tmp_path / "cut.png"
    cut.write_bytes(fine.read_bytes()[:-200])
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    text = tmp_path / "text.jpg"
    text.write_text("not an image")
    uris = [str(fine), str(cut), str(empty), str(text), str(tmp_path / "gone.png"), None]
    table = ImageBasics().score(pa.record_batch({"image": pa.array(uris, pa.string())}))
    reasons = table.column("image_basics_reason").to_pylist()
    assert reasons[0] is None
    codes = [str(r).partition(":")[0] for r in reasons[1:]]
    assert codes == ["truncated", "empty", "wrong-format", "missing", "no image"]
    for name in table.schema.names[:-1]:
        assert table.column(name).is_null().to_pylist() == [False, True, True, True, True, True]


def test_conformance_with_a_planted_blur(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sharp = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    images = {
        "sharp": sharp,
        "blurred": sharp.filter(ImageFilter.GaussianBlur(4)),
        "tiny": sharp.resize((2, 2)),
    }
    for name, image in images.items():
        image.save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    names = [*images, "broken"]
    view = ArrayView({"id": names, "image": [str(tmp_path / f"{n}.png") for n in names]})
    check_scorer(ImageBasics(), view, planted=("sharp", "blurred"))
    assert score_all(ImageBasics(), view)["image_basics"].null_count == 1
