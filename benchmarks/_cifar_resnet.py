"""ResNet-20 for CIFAR-10 with weights from the shared data: features and logits of small images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def features_and_logits(images: Iterable[Image.Image], weights: Path) -> tuple[Any, Any]:
    """(n, 64) and (n, 10) float32 of images, which are brought to 32 x 32."""
    import torch

    state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("module."): value for name, value in state.items()}
    pixels = np.stack([np.asarray(image.convert("RGB").resize((32, 32))) for image in images])
    rows: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = []
    with torch.inference_mode():
        for low in range(0, len(pixels), 500):
            x = torch.from_numpy(pixels[low : low + 500]).permute(0, 3, 1, 2).float() / 255
            x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
            found = _forward(x, state)
            rows.append((found.numpy(), (found @ state["linear.weight"].T + state["linear.bias"]).numpy()))
    return np.concatenate([r[0] for r in rows]), np.concatenate([r[1] for r in rows])


def _forward(x: Any, state: dict[str, Any], parts: int = 1) -> Any:
    """The 64 numbers before the last layer: a 3 x 3 convolution and three stages of residual blocks; of each of `parts` x
    `parts` parts of the picture."""
    import torch.nn.functional as nn

    def convolved(x: Any, conv: str, norm: str, stride: int = 1) -> Any:
        x = nn.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        known = (state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return nn.batch_norm(x, *known)

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
    return x.mean(dim=(2, 3)) if parts == 1 else nn.adaptive_avg_pool2d(x, parts).flatten(1)
