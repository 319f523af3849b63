"""Training FGA-BLIP2 on people's ratings: three losses, a frozen vision tower, and a run that goes on where it stopped."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.contracts import digest
from curate.errors import InputError, MediaError, require
from curate.media import read_ahead
from curate.scorers.alignment.fga.formulas import VarianceWeight, learning_rate
from curate.scorers.alignment.fga.network import FgaModel, new_mask_head
from curate.scorers.alignment.fga.pictures import augment, open_picture, prepare_picture
from curate.scorers.alignment.fga.ratings import Missing, Prepared, Rating, prepare_ratings
from curate.scorers.alignment.fga.resuming import read_state, write_state

__all__ = ["LOSSES", "Trained", "TrainingSettings", "fga_losses", "train_fga"]

LOSSES = ("total", "overall", "tokens", "mask")
"""The columns of a history."""

_FROZEN = ("vision_model.embeddings.", "vision_model.encoder.")
_UNUSED = ("vision_projection.", "text_projection.")
_STREAM = 7919


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults are the authors', but for `flip`.

    `learning_rate` is reached after `warm_up` steps and falls by a cosine to 0. `weight_decay` is for matrices alone.
    `token_weight` and `mask_weight` are what the token and mask losses count beside the overall one.
    `variance_weight`: what a rating counts (none, linear, exp; see `variance_weights`). `length`: tokens of a caption.
    `missing`: drop a rating with an element that is not in its caption, or skip that element.
    `crop`: show a random part of an image each time; `flip`: mirror half of them, which the authors did although it
    makes "left of" wrong. `precision` bf16 computes in bfloat16 where that is safe. `save_every`: steps between
    checkpoints, 0 = at the end of each epoch. All randomness comes from `seed`.
    """

    epochs: int = 5
    batch_size: int = 14
    learning_rate: float = 1e-5
    warm_up: int = 100
    weight_decay: float = 0.05
    token_weight: float = 0.1
    mask_weight: float = 0.1
    variance_weight: VarianceWeight = "none"
    length: int = 32
    missing: Missing = "drop"
    crop: bool = True
    flip: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    save_every: int = 0
    seed: int = 42

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 1), ("warm_up", 0), ("save_every", 0)):
            if getattr(self, name) < low:
                raise InputError(f"{name}={getattr(self, name)}: at least {low}")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate={self.learning_rate}: above 0")


@dataclass(frozen=True, eq=False)
class Trained:
    """`model`, ready to score and to `save`; `history` (steps, 4) float64, the losses (`LOSSES`) of each step, NaN where
    no image of a batch could be opened; `dropped` and `failed` map ratings to why they were not learned from, for their
    text or elements and for their image."""

    model: FgaModel
    history: npt.NDArray[np.float64]
    dropped: dict[int, str]
    failed: dict[int, str]


def train_fga(
    model: FgaModel,
    ratings: Sequence[Rating],
    settings: TrainingSettings | None = None,
    *,
    checkpoint: str | Path | None = None,
    watch: Callable[[int, int, npt.NDArray[np.float64]], None] | None = None,
) -> Trained:
    """Train a copy of a model on ratings (the frozen vision tower is shared, not copied).

    With `checkpoint`, a file, progress is saved there, and a run that finds it goes on from it: on a CPU it ends with
    the same bits as one that was never interrupted. `watch(step, steps, losses)` is called after each step. torch's own
    random state is left as it was.
    Raises InputError for ratings out of range, where none can be learned from, and for the checkpoint of another run.
    Source: EvalMuse-40K (arXiv 2412.18150).
    """
    how = settings or TrainingSettings()
    data = prepare_ratings(
        model, ratings, length=how.length, variance_weight=how.variance_weight, missing=how.missing
    )
    run = _Run(_copy(model, how.seed), data, [ratings[row].image for row in data.rows], how)
    identity = digest(asdict(how), _describe(ratings), run.fingerprint())
    file = None if checkpoint is None else Path(checkpoint)
    if file is not None and file.exists():
        run.restore(read_state(file, identity))
    per_epoch = -(-len(data.rows) // how.batch_size)
    for losses in run.steps():
        if file is not None and run.done % (how.save_every or per_epoch) == 0:
            write_state(file, identity, run.state())
        if watch is not None:
            watch(run.done, run.total, losses)
    run.train(False)
    failed = {int(data.rows[i]): why for i, why in sorted(run.failed.items())}
    return Trained(run.model, np.array(run.history).reshape(-1, len(LOSSES)), data.dropped, failed)


class Losses(NamedTuple):
    """Torch scalars: `total` = `overall` + token_weight x `tokens` + mask_weight x `mask`, each weighted over the batch."""

    total: Any
    overall: Any
    tokens: Any
    mask: Any


def fga_losses(
    queries: Any, tokens: Any, belongs: Any, batch: dict[str, Any], how: TrainingSettings
) -> Losses:
    """The three losses of a batch, torch tensors.

    `queries` (b, q), `tokens` and `belongs` (b, l) are what the network says; `batch` has `scores`, `weights`, `asked`
    (b,), `targets` and `masks` (b, l). Over a batch, weighted: |1 + 4 mean queries - score|, the mean over all l places
    of |token x mask - target|, and of |belongs - mask| where elements were asked for.
    """
    overall = (1 + 4 * queries.mean(1) - batch["scores"]).abs()
    by_token = (tokens * batch["masks"] - batch["targets"]).abs().mean(1)
    by_mask = (belongs - batch["masks"]).abs().mean(1) * batch["asked"]
    a, b, c = ((batch["weights"] * part).mean() for part in (overall, by_token, by_mask))
    return Losses(a + how.token_weight * b + how.mask_weight * c, a, b, c)


class _Run:
    """A training under way: `done` of `total` steps. What a step does depends on weights, settings and its number alone."""

    def __init__(self, model: FgaModel, data: Prepared, images: Sequence[Any], how: TrainingSettings) -> None:
        self.model, self.data, self.images, self.how = model, data, images, how
        self.per_epoch = -(-len(data.rows) // how.batch_size)
        self.total = how.epochs * self.per_epoch
        self.done = 0
        self.history: list[npt.NDArray[np.float64]] = []
        self.failed: dict[int, str] = {}
        self.optimiser = _optimiser(self.weights(), how)

    def weights(self) -> dict[str, Any]:
        """What is trained, by name."""
        named = self.model.net.named_parameters()
        own = {n: p for n, p in named if not n.startswith((*_FROZEN, *_UNUSED))}
        return own | {f"mask_head.{n}": p for n, p in self.model.mask_head.named_parameters()}

    def fingerprint(self) -> str:
        """Which weights the run starts from."""
        sums = {n: p.detach().double().cpu().abs().sum().item() for n, p in self.weights().items()}
        return digest({n: float.hex(value) for n, value in sums.items()})

    def train(self, on: bool) -> None:
        self.model.net.qformer.train(on)
        self.model.mask_head.train(on)

    def steps(self) -> Iterator[npt.NDArray[np.float64]]:
        """Do what is left, and give the losses of each step."""
        self.train(True)
        while self.done < self.total:
            epoch, first = divmod(self.done, self.per_epoch)
            order = np.random.default_rng([self.how.seed, epoch]).permutation(len(self.images))
            left = order[first * self.how.batch_size :]
            look = partial(self._look, epoch)
            decoded = read_ahead(look, left.tolist(), 3 * self.how.batch_size)
            for low in range(0, len(left), self.how.batch_size):
                rows = left[low : low + self.how.batch_size]
                found = [next(decoded) for _ in rows]
                self.history.append(self._step(rows, found))
                self.done += 1
                yield self.history[-1]

    def _look(self, epoch: int, row: int) -> npt.NDArray[np.float32]:
        image = open_picture(self.images[row])
        rng = np.random.default_rng([self.how.seed, epoch, row])
        image = augment(image, rng, self.how.crop, self.how.flip)
        return prepare_picture(image, self.model.image_size)

    def _step(self, rows: npt.NDArray[np.int64], found: list[Any]) -> npt.NDArray[np.float64]:
        torch: Any = require("torch", "train")
        for row, one in zip(rows, found, strict=True):
            if isinstance(one, MediaError):
                self.failed[int(row)] = f"{one.code}: {one}"
        good = [i for i, one in enumerate(found) if not isinstance(one, MediaError)]
        if not good:
            return np.full(len(LOSSES), np.nan)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.done, self.total, self.how.learning_rate, self.how.warm_up)
        where = self.model.device
        devices = [torch.device(where)] if where.startswith("cuda") else []
        with torch.random.fork_rng(
            devices
        ):  # dropout is drawn from the number of the step, so that a resumed run agrees
            torch.manual_seed(self.how.seed * _STREAM + self.done)
            losses = self._losses(rows[good], np.stack([found[i] for i in good]))
            self.optimiser.zero_grad(set_to_none=True)
            losses.total.backward()
            self.optimiser.step()
        return np.array([float(one.detach()) for one in losses], np.float64)

    def _losses(self, rows: npt.NDArray[np.int64], pixels: npt.NDArray[np.float32]) -> Losses:
        torch: Any = require("torch", "train")
        names = ("ids", "attention", "targets", "masks", "scores", "weights", "asked")
        where = self.model.device
        batch = {n: torch.from_numpy(getattr(self.data, n)[rows]).to(where) for n in names}
        half = self.how.precision == "bf16"
        with torch.autocast(where.partition(":")[0], torch.bfloat16, enabled=half):
            seen = self.model.see(torch.from_numpy(pixels))
            out = self.model.match(seen, batch["ids"], batch["attention"])
            belongs = self.model.mask(batch["ids"], batch["attention"])
        return fga_losses(out.queries, out.tokens, belongs.float(), batch, self.how)

    def state(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "weights": {name: p.detach() for name, p in self.weights().items()},
            "optimiser": self.optimiser.state_dict(),
            "history": [row.tolist() for row in self.history],
            "failed": dict(self.failed),
        }

    def restore(self, state: dict[str, Any]) -> None:
        torch: Any = require("torch", "train")
        with torch.no_grad():
            for name, p in self.weights().items():
                p.copy_(state["weights"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done, self.failed = state["done"], dict(state["failed"])
        self.history = [np.array(row, np.float64) for row in state["history"]]


def _copy(model: FgaModel, seed: int) -> FgaModel:
    """The model with weights of its own, but for the vision tower, and with a mask head."""
    named = model.net.named_parameters()
    shared = {id(p): p.requires_grad_(False) for n, p in named if n.startswith(_FROZEN)}
    net = copy.deepcopy(model.net, shared)
    head = copy.deepcopy(model.mask_head) if model.mask_head is not None else None
    if head is None:
        head = new_mask_head(int(net.config.qformer_config.hidden_size), seed).to(model.device)
    return FgaModel(net, head, model.tokenizer, model.device)


def _optimiser(weights: dict[str, Any], how: TrainingSettings) -> Any:
    torch: Any = require("torch", "train")
    for p in weights.values():
        p.requires_grad_(True)
    groups = [
        {"params": [p for p in weights.values() if p.ndim >= 2], "weight_decay": how.weight_decay},
        {"params": [p for p in weights.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=how.learning_rate)


def _describe(ratings: Sequence[Rating]) -> str:
    """What identifies ratings; images that are no addresses are taken by their place."""
    plain = [
        [str(r.image) if isinstance(r.image, (str, Path)) else "", r.text, r.score, r.elements, r.prompt]
        for r in ratings
    ]
    return digest(plain)
