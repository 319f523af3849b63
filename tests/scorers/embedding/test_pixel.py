"""The plain embedding: by hand, nothing lost at 8 x 8, and good enough to tell digits apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import InputError
from curate.scorers.embedding.pixel import BRIGHTNESS, PixelEmbedding, pixel_embeddings, shrink
from curate.testing import ArrayView, check_scorer, score_all


def test_two_pixels_by_hand() -> None:
    """(0, 255) is (-1, 1), whose mean is 0; (255, 255) keeps a quarter of its mean 1: (0.25, 0.25)."""
    root = 0.5**0.5
    got = pixel_embeddings(np.array([[0, 255], [255, 255], [0, 0]], np.uint8))
    assert np.allclose(got, [[-root, root], [root, root], [-root, -root]], atol=1e-6)


def test_rows_have_unit_length_even_if_flat_and_contrast_is_ignored() -> None:
    rng = np.random.default_rng(0)
    faint = rng.integers(118, 138, (20, 8, 8), np.uint8)
    flat = np.stack([np.full((8, 8), v, np.uint8) for v in range(256)])
    lengths = np.linalg.norm(pixel_embeddings(np.concatenate([faint, flat])), axis=1)
    assert np.allclose(lengths, 1, atol=1e-6)
    strong = ((faint.astype(float) - 127.5) * 9 + 127.5).round().astype(np.uint8)
    cosine = (pixel_embeddings(faint) * pixel_embeddings(strong)).sum(axis=1)
    assert cosine.min() > 0.999


def test_all_64_pixels_can_be_had_back() -> None:
    """Up to contrast: undo the length and the mean, and the image is there."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)
    values = pixel_embeddings(pixels).astype(float)
    values += values.mean(axis=1, keepdims=True) * (1 / BRIGHTNESS - 1)
    scaled = (pixels.reshape(5, 64) - 127.5) / 127.5
    ratio = scaled / values
    assert np.allclose(ratio, ratio[:, :1], rtol=1e-3)


def test_shrinking_takes_means_and_leaves_small_images_alone() -> None:
    checks = Image.fromarray(np.kron([[0, 200], [100, 40]], np.ones((4, 4))).astype(np.uint8))
    assert shrink(checks, 2).tolist() == [[0, 200], [100, 40]]
    assert np.array_equal(shrink(checks, 8), np.asarray(checks))


def test_scorer_keeps_the_contract(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    view = ArrayView({"image": [str(tmp_path / n) for n in ("0.png", "1.png", "bad.png", "2.png", "3.png")]})
    for scorer, dim in ((PixelEmbedding(), 192), (PixelEmbedding(size=4, mode="L"), 16)):
        check_scorer(scorer, view)
        scored = score_all(scorer, view)
        assert scored["pixel_embedding"].type.list_size == dim == scorer.dim
        assert scored["pixel_embedding"].is_null().to_pylist() == [False, False, True, False, False]
    with pytest.raises(InputError, match="size 0 pixels"):
        PixelEmbedding(size=0)


def test_nearest_neighbours_of_digits_are_of_the_same_class(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.images * (255 / 16)).round().astype(np.uint8)
    for i in range(300):
        Image.fromarray(pixels[i]).save(tmp_path / f"{i:03d}.png")
    view = ArrayView({"image": [str(tmp_path / f"{i:03d}.png") for i in range(300)]})
    stored = score_all(PixelEmbedding(mode="L"), view)["pixel_embedding"].combine_chunks()
    rows = stored.flatten().to_numpy().reshape(-1, 64)
    assert np.allclose(rows, pixel_embeddings(pixels[:300]))
    near = pixel_embeddings(pixels) @ pixel_embeddings(pixels).T
    np.fill_diagonal(near, -1)
    agree = (digits.target[near.argmax(axis=1)] == digits.target).mean()
    assert agree > 0.98  # at random 0.1
