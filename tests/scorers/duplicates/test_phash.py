"""Perceptual hashes: against the definition, flat images, unreadable ones, edits of real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.contracts import reason_name
from curate.scorers.duplicates.phash import FLAT, PerceptualHash, perceptual_hash, shrink
from curate.testing import ArrayView, check_scorer, score_all


def picture(seed: int, side: int = 64) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def by_definition(grey: np.ndarray) -> int:
    """As ImageHash writes it, with SciPy's DCT."""
    from scipy.fft import dct

    low = dct(dct(grey.astype(float), axis=0), axis=1)[:8, :8]
    bits = "".join(str(int(bit)) for bit in (low > np.median(low)).reshape(-1))
    return int(bits, 2)


def test_agrees_with_the_definition() -> None:
    grey = np.stack([shrink(picture(seed))[0] for seed in range(50)])
    assert perceptual_hash(grey).tolist() == [by_definition(one) for one in grey]


def test_bits_of_a_ramp_by_hand() -> None:
    """Brightness rising to the right: only the first row has frequencies, the mean is +, odd ones are negative."""
    ramp = np.broadcast_to(np.arange(32) * 8.0, (1, 32, 32))
    bits = f"{int(perceptual_hash(ramp)[0]):064b}"
    assert bits[0] == "1"
    assert [bits[k] for k in (1, 3, 5, 7)] == ["0"] * 4


def test_flat_images_hash_to_their_mean_alone_and_differ_by_colour() -> None:
    red, blue = Image.new("RGB", (40, 40), (200, 10, 10)), Image.new("RGB", (40, 40), (10, 10, 200))
    noisy = np.asarray(red).copy()
    noisy[::7, ::5] += 1
    shrunk = [shrink(image) for image in (red, blue, Image.fromarray(noisy))]
    assert perceptual_hash(np.stack([s[0] for s in shrunk])).tolist() == [1 << 63] * 3
    assert shrunk[0][1].reshape(16, 3).tolist() == [[200, 10, 10]] * 16
    assert shrunk[1][1].reshape(16, 3).tolist() == [[10, 10, 200]] * 16
    assert np.array_equal(shrunk[0][1], shrunk[2][1])
    assert shrunk[2][0].std() < FLAT


def test_scorer_keeps_the_contract(tmp_path: Path) -> None:
    for seed in range(4):
        picture(seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    names = [str(tmp_path / name) for name in ("0.png", "1.png", "2.png", "3.png", "bad.png", "gone.png")]
    view = ArrayView({"image": names})
    check_scorer(PerceptualHash(), view)
    scored = score_all(PerceptualHash(), view)
    assert scored["phash"].null_count == 2
    assert scored["phash"].to_pylist()[:4] == [by_definition(shrink(picture(s))[0]) for s in range(4)]
    reasons = scored[reason_name("phash")].to_pylist()
    assert reasons[:4] == [None] * 4
    assert reasons[5].startswith("missing")
    assert all(c > 20 for c in scored["phash_contrast"].to_pylist()[:4])


@pytest.mark.data
def test_edits_of_real_photographs_stay_within_four_bits(flickr: list[Image.Image]) -> None:
    def bits(edit: object) -> np.ndarray:
        edited = np.stack([shrink(edit(image))[0] for image in flickr])  # type: ignore[operator]
        return np.bitwise_count(perceptual_hash(edited) ^ original)

    original = perceptual_hash(np.stack([shrink(image)[0] for image in flickr]))
    half = bits(lambda image: image.resize((image.width // 2, image.height // 2)))
    assert (half <= 4).mean() == 1.0
    assert (bits(lambda image: image.point(lambda v: min(255, int(v * 1.2)))) <= 4).mean() > 0.9
    others = np.bitwise_count(original[:, None] ^ original[None, :])[np.triu_indices(len(original), 1)]
    assert others.min() > 8
