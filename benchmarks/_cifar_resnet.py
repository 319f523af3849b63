"""ResNets for CIFAR-10 with weights from the shared data: features and logits of small images, and fine-tuning."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def listed_images(
    data: Path, name: str, most: int | None = None
) -> tuple[list[Image.Image], npt.NDArray[Any], npt.NDArray[Any]]:
    """The (first `most`) images of "train_first15000" or "test", their places in CIFAR-10 and their true labels."""
    folder = data / "cifar10_images"
    with (folder / f"{name}_index.csv").open() as file:
        rows = list(csv.DictReader(file))[:most]
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        images = [Image.open(archive.open(row["path"])).convert("RGB") for row in rows]
    places, labels = (np.array([int(row[key]) for row in rows]) for key in ("cifar_index", "label"))
    return images, places, labels


def features_and_logits(images: Iterable[Image.Image], weights: Path) -> tuple[Any, Any]:
    """(n, 64) and (n, 10) float32 of images, which are brought to 32 x 32."""
    import torch

    state, pixels = read_state(weights), _pixels(images)
    rows: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
    with torch.inference_mode():
        for low in range(0, len(pixels), 500):
            found = forward(_normal(pixels[low : low + 500]), state)
            rows.append((found.numpy(), (found @ state["linear.weight"].T + state["linear.bias"]).numpy()))
    return np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])


def fine_tuned(
    images: Iterable[Image.Image], labels: npt.NDArray[Any], weights: Path, seed: int, epochs: int = 6
) -> dict[str, Any]:
    """The state after training all of it, in bfloat16 products: SGD with momentum, a cosine from 0.01 to 0, each image
    flipped or not and shifted by up to four pixels."""
    import torch

    state = {
        name: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
        for name, value in read_state(weights).items()
    }
    learnt = [value.requires_grad_() for name, value in state.items() if "running" not in name]
    x = torch.nn.functional.pad(_normal(_pixels(images)), (4, 4, 4, 4))
    y = torch.from_numpy(np.asarray(labels, np.int64))
    rng, size = torch.Generator().manual_seed(seed), 128
    descent = torch.optim.SGD(learnt, lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    course = torch.optim.lr_scheduler.CosineAnnealingLR(descent, epochs * (len(x) // size))
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=rng)
        for low in range(0, len(x) - size + 1, size):
            at = order[low : low + size]
            down, right = torch.randint(0, 9, (2, size), generator=rng)
            turned = torch.rand(size, generator=rng) < 0.5
            pixel = torch.arange(32)
            across = torch.where(turned[:, None], 31 - pixel, pixel) + right[:, None]
            cut = x[at[:, None, None], :, (down[:, None] + pixel)[:, :, None], across[:, None, :]]
            loss = torch.nn.functional.cross_entropy(_logits(cut.permute(0, 3, 1, 2), state, True), y[at])
            descent.zero_grad()
            loss.backward()
            descent.step()
            course.step()
    return {name: value.detach() for name, value in state.items()}


def averaged(images: Iterable[Image.Image], state: dict[str, Any]) -> npt.NDArray[Any]:
    """(n, 10) probabilities: the mean over ten views, the image and four shifts of two pixels, each also flipped."""
    import torch

    x = torch.nn.functional.pad(_normal(_pixels(images)), (2, 2, 2, 2))
    total = torch.zeros(len(x), 10, dtype=torch.float64)
    with torch.inference_mode():
        for low in range(0, len(x), 500):
            for down, right in ((2, 2), (0, 2), (4, 2), (2, 0), (2, 4)):
                view = x[low : low + 500, :, down : down + 32, right : right + 32]
                for one in (view, view.flip(3)):
                    found = _logits(one.contiguous(memory_format=torch.channels_last), state)
                    total[low : low + 500] += found.softmax(1) / 10
    return np.asarray(total.numpy())


def read_state(weights: Path) -> dict[str, Any]:
    """Weights by name, on the CPU."""
    import torch

    state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix("module."): value for name, value in state.items()}


def _pixels(images: Iterable[Image.Image]) -> npt.NDArray[Any]:
    return np.stack([np.asarray(image.convert("RGB").resize((32, 32))) for image in images])


def _normal(pixels: npt.NDArray[Any]) -> Any:
    import torch

    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]


def _logits(x: Any, state: dict[str, Any], training: bool = False) -> Any:
    import torch

    with torch.autocast("cpu", torch.bfloat16):
        found = forward(x, state, training=training)
    return found.float() @ state["linear.weight"].T + state["linear.bias"]


def forward(x: Any, state: dict[str, Any], training: bool = False) -> Any:
    """The 64 numbers before the last layer."""
    return stage_maps(x, state, training)[-1].mean(dim=(2, 3))


def stage_maps(x: Any, state: dict[str, Any], training: bool = False) -> list[Any]:
    """What each of the three stages of residual blocks gives, after a first 3 x 3 convolution: 16, 32 and 64 maps."""
    import torch.nn.functional as nn

    def convolved(x: Any, conv: str, norm: str, stride: int = 1) -> Any:
        x = nn.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        known = (state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return nn.batch_norm(x, *known, training=training)

    found = []
    x = nn.relu(convolved(x, "conv1", "bn1"))
    blocks = len({name.split(".")[1] for name in state if name.startswith("layer1.")})
    for stage in (1, 2, 3):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            inner = nn.relu(convolved(x, f"{name}.conv1", f"{name}.bn1", stride))
            inner = convolved(inner, f"{name}.conv2", f"{name}.bn2")
            if stride == 2:  # half the size, twice the channels: the new ones are empty
                more = x.shape[1] // 2
                x = nn.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
            x = nn.relu(inner + x)
        found.append(x)
    return found
