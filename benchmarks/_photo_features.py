"""What small networks and plain statistics see in photos: features without a hub, by blocks that can be left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _cifar_resnet import MEAN, SPREAD, read_state, stage_maps
from PIL import Image

Array = npt.NDArray[Any]
NETWORKS = ("resnet20-12fca82f.th", "resnet32-d509ac18.th")
SIZES = (32, 64, 128)


def photo_features(photos: Sequence[Image.Image], weights: Path) -> dict[str, Array]:
    """Blocks of (n, d) numbers: `colours`, `gradients`, and `resnet20-32-3` for each network, size and stage."""
    blocks = {
        "colours": np.stack([colours(photo) for photo in photos]),
        "gradients": np.stack([gradients(photo) for photo in photos]),
    }
    for name in NETWORKS:
        for size in SIZES:
            for stage, found in zip((2, 3), network(photos, weights / name, size), strict=True):
                blocks[f"{name.partition('-')[0]}-{size}-{stage}"] = found
    return blocks


def colours(photo: Image.Image) -> Array:
    """Roots of the shares of 72 colours (hue, saturation, value), in the upper half, the lower half and the whole."""
    hsv = np.asarray(photo.resize((64, 64)).convert("HSV")).astype(int)
    codes = hsv[..., 0] * 8 // 256 * 9 + hsv[..., 1] * 3 // 256 * 3 + hsv[..., 2] * 3 // 256
    counts = [np.bincount(part.ravel(), minlength=72) / part.size for part in (codes[:32], codes[32:], codes)]
    return np.sqrt(np.concatenate(counts))


def gradients(photo: Image.Image, size: int = 64, cell: int = 8, bins: int = 9) -> Array:
    """Histograms of oriented gradients, each cell brought to about unit length."""
    dy, dx = np.gradient(np.asarray(photo.convert("L").resize((size, size)), float))
    strength, angle = np.hypot(dx, dy), (np.arctan2(dy, dx) % np.pi) / np.pi * bins
    low = np.floor(angle).astype(int)
    upper = angle - low
    place = np.arange(size) // cell
    found = np.zeros((size // cell, size // cell, bins))
    for bin_, share in ((low % bins, 1 - upper), ((low + 1) % bins, upper)):
        np.add.at(found, (place[:, None], place[None, :], bin_), strength * share)
    return (found / (np.sqrt((found**2).sum(2, keepdims=True)) + 20)).ravel()


def network(photos: Sequence[Image.Image], weights: Path, size: int) -> list[Array]:
    """The last two stages of a CIFAR-10 network on photos at a size: each map's mean over the whole, the upper half, the
    lower half and the middle, which are the same for a photo and its mirror image. Products in bfloat16."""
    import torch

    form = torch.channels_last
    state = {
        key: value.contiguous(memory_format=form) if value.dim() == 4 else value
        for key, value in read_state(weights).items()
    }
    rows: list[list[Array]] = [[], []]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for low in range(0, len(photos), 25):
            shown = [photo.resize((size, size), Image.Resampling.BICUBIC) for photo in photos[low : low + 25]]
            x = (
                torch.from_numpy(np.stack([np.asarray(one) for one in shown])).permute(0, 3, 1, 2).float()
                / 255
            )
            x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
            for kept, maps in zip(rows, stage_maps(x.contiguous(memory_format=form), state)[1:], strict=True):
                grid = torch.nn.functional.adaptive_avg_pool2d(maps.float(), 4).numpy()
                parts = (grid, grid[:, :, :2], grid[:, :, 2:], grid[:, :, 1:3, 1:3])
                kept.append(np.concatenate([part.mean((2, 3)) for part in parts], 1))
    return [np.concatenate(kept) for kept in rows]
