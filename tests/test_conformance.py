"""Every registered scorer and selector keeps the promises of `curate.contracts`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image, ImageFilter

from curate import registry
from curate.contracts import ROW, Selection, detail, reason_name, score, vector
from curate.errors import InputError, MissingExtraError, MissingModelError
from curate.memory import ArrayView
from curate.testing import check_scorer, check_selector, score_all


@dataclass(frozen=True)
class Example:
    """How to try a component: its parameters, the columns of `everything` it is shown, a good and a bad item."""

    params: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    planted: tuple[str, str] | None = None
    kind: str = ""
    budget: int | None = 3
    torch: bool = False


SMALL_CLIP = {"model": "ViT-S-32-alt", "pretrained": None, "device": "cpu"}
"""Random weights: what is tried is the way there and back, not what CLIP knows."""

SCORERS = {
    "audio-basics": Example(columns=("audio",), planted=("item-0", "item-5")),
    "clip": Example(SMALL_CLIP, ("image", "text"), torch=True),
    "clip-score": Example(SMALL_CLIP, ("image", "text"), torch=True),
    "confident-learning": Example(columns=("label", "pred_probs"), planted=("item-0", "item-5")),
    "exact-duplicate": Example({"columns": ["text"]}, ("text",), planted=("item-0", "item-4")),
    "image-basics": Example(columns=("image",), planted=("item-0", "item-5")),
    "minhash": Example(columns=("text",)),
    "minilm": Example({"device": "cpu"}, ("text",), torch=True),
    "near-duplicate": Example(
        {"by": "embedding", "embedding": "pixel_embedding"},
        ("pixel_embedding",),
        planted=("item-0", "item-4"),
    ),
    "out-of-fold": Example({"folds": 3}, ("label", "pixel_embedding")),
    "phash": Example(columns=("image",)),
    "pixel-embedding": Example(columns=("image",)),
    "text-basics": Example(columns=("text",), planted=("item-0", "item-5")),
}
SELECTORS = {
    "random": Example(columns=("text",)),
    "representative": Example(columns=("near_duplicate", "near_duplicate_group")),
    "stratified": Example({"by": "label"}, ("label",)),
    "top": Example({"by": "sharpness"}, ("sharpness",)),
}

TEXTS = (
    "A child in a pink dress climbs the stairs to her playhouse .",
    "Two dogs run across a field of yellow grass after a ball .",
    "The old man sells fruit from a cart at the corner of the street .",
    "Snow lies on the roofs , and nobody has swept the path yet .",
    "A child in a pink dress climbs the stairs to her playhouse .",  # the first again
    "buy buy buy buy buy buy",
    "A surfer in a black suit falls from a tall green wave .",
    "Four women in long skirts dance in a ring on the village square .",
    "A train crosses the iron bridge high above the river at dusk .",
)
"""Item 4 is a copy of item 0, item 5 is bad; so it is with the images, sounds, vectors and labels below."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Nine items with every column that a registered component may ask for."""
    folder = tmp_path_factory.mktemp("items")
    rng = np.random.default_rng(0)
    n = len(TEXTS)
    centres = np.eye(3, 16) * 6
    truth = np.arange(n) % 3
    vectors = (centres[truth] + rng.normal(size=(n, 16))).astype(np.float32)
    vectors[4] = vectors[0] * 1.001
    probs = np.full((n, 3), 0.05)
    probs[np.arange(n), truth] = 0.9
    labels = truth.copy()
    labels[5] = 0
    return {
        "id": [f"item-{i}" for i in range(n)],
        "text": list(TEXTS),
        "image": [_image(folder, i, rng) for i in range(n)],
        "audio": [_sound(folder, i, rng) for i in range(n)],
        "label": [f"class-{i}" for i in labels],
        "pixel_embedding": vectors,
        "pred_probs": probs.astype(np.float32),
        "sharpness": [0.5, 0.25, None, 0.5, 0.125, 0.75, 0.5, 0.0, 1.0],
        "near_duplicate": [False, False, False, None, True, False, True, False, False],
        "near_duplicate_group": [0, None, 1, None, 0, None, 1, None, None],
    }


def _image(folder: Path, i: int, rng: np.random.Generator) -> str:
    coarse = np.random.default_rng(0 if i == 4 else i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((96, 80), Image.Resampling.NEAREST)
    if i == 5:
        image = image.filter(ImageFilter.GaussianBlur(12))
    path = folder / f"{i}.png"
    image.save(path)
    return str(path)


def _sound(folder: Path, i: int, rng: np.random.Generator) -> str:
    rate = 16000
    seconds = np.arange(rate) / rate
    samples = 0.3 * np.sin(2 * np.pi * (200 + 30 * i) * seconds) * (seconds % 0.5 < 0.4)
    path = folder / f"{i}.wav"
    soundfile.write(path, samples + rng.normal(0, 0.3 if i == 5 else 1e-4, rate), rate)
    return str(path)


def view_of(everything: dict[str, Any], columns: tuple[str, ...]) -> ArrayView:
    wanted = {name: everything[name] for name in ("id", *columns)}
    vectors = {name: values for name, values in wanted.items() if isinstance(values, np.ndarray)}
    return ArrayView({name: values for name, values in wanted.items() if name not in vectors}, vectors)


def test_every_registered_component_has_an_example() -> None:
    assert set(SCORERS) == set(registry.SCORERS)
    assert set(SELECTORS) == set(registry.SELECTORS)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_scorer(name: str, everything: dict[str, Any]) -> None:
    example = SCORERS[name]
    view = view_of(everything, example.columns)
    scorer = registry.build("scorers", name, example.params)
    if (
        example.torch
    ):  # a model takes its time: four items on one thread, so that tests side by side do not wait
        pytest.importorskip("torch", reason="extra not installed").set_num_threads(1)
        view = view.rearranged(np.arange(4))
    try:
        check_scorer(scorer, view, example.planted, kind=example.kind)
    except (MissingExtraError, MissingModelError) as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_selector(name: str, everything: dict[str, Any]) -> None:
    example = SELECTORS[name]
    selector = registry.build("selectors", name, example.params)
    chosen = check_selector(selector, view_of(everything, example.columns), example.budget)
    assert len(chosen) == example.budget


# --- The suite itself: it accepts a good scorer and catches every broken promise -----------------------------------


@dataclass(frozen=True)
class Shortness:
    """The example of the README: short texts are good."""

    scale: float = 10.0

    name: ClassVar[str] = "shortness"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), detail("length", pa.int32()))

    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else self.scale / (self.scale + len(t)) for t in texts]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column("text").to_pylist()
        arrays = [
            pa.array(self.values(texts), pa.float32()),
            pa.array([None if t is None else len(t) for t in texts], pa.int32()),
            pa.array(["no text" if t is None else None for t in texts], pa.string()),
        ]
        return pa.record_batch(arrays, ["shortness", "length", reason_name(self.name)])


WORDS = ArrayView({"id": list("abcd"), "text": ["ab", "a", "abcd", None]})


def test_a_good_scorer_passes() -> None:
    check_scorer(Shortness(), WORDS, planted=("b", "c"))


@dataclass(frozen=True)
class WrongWayRound(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else float(len(t)) for t in texts]


@dataclass(frozen=True)
class LooksAround(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else len(t) / len(texts) for t in texts]


@dataclass(frozen=True)
class NeedsTheFirst(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else float(t == texts[0]) for t in texts]


@dataclass(frozen=True)
class HidesNulls(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [len(t or "") / 10 for t in texts]


@dataclass(frozen=True)
class GivesNaN(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t is None else float("nan") if t == "a" else 0.5 for t in texts]


@dataclass(frozen=True)
class Silent(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        return [None if t in (None, "a") else 0.5 for t in texts]


@dataclass(frozen=True)
class Moody(Shortness):
    calls: ClassVar[list[int]] = []

    def values(self, texts: list[str | None]) -> list[float | None]:
        self.calls.append(1)
        return [None if t is None else len(self.calls) / 1000 for t in texts]


@dataclass(frozen=True)
class OpensFiles(Shortness):
    def __post_init__(self) -> None:
        Path(__file__).read_bytes()


@dataclass(frozen=True)
class FailsWhenEmpty(Shortness):
    def values(self, texts: list[str | None]) -> list[float | None]:
        _ = texts[0]
        return super().values(texts)


@dataclass(frozen=True)
class OtherName(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("brevity"), detail("length", pa.int32()))


@dataclass(frozen=True)
class TwoScores(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), score("length"))


@dataclass(frozen=True)
class OtherType(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), detail("length", pa.int64()))


@dataclass(frozen=True)
class Missing(Shortness):
    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("shortness"), detail("length", pa.int32()), vector("more", 3))


@dataclass(frozen=True)
class SnakeCase(Shortness):
    name: ClassVar[str] = "text_basics"


@dataclass(frozen=True)
class Impostor(Shortness):
    name: ClassVar[str] = "image-basics"


@dataclass
class Loose:
    name: ClassVar[str] = "loose"


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (WrongWayRound(), "good 'b' and bad 'c'"),
        (LooksAround(), "batches of 1"),
        (NeedsTheFirst(), "batches of 1|another order"),
        (HidesNulls(), "has a value where the reason"),
        (GivesNaN(), "holds NaN"),
        (Silent(), "null without a reason"),
        (Moody(), "two results"),
        (OpensFiles(), "touches the outside"),
        (FailsWhenEmpty(), "list index out of range"),
        (OtherName(), "writes its score to 'brevity'"),
        (TwoScores(), "more than one main score"),
        (OtherType(), "promised int64"),
        (Missing(), "columns .* promised"),
        (SnakeCase(), "kebab-case"),
        (Impostor(), "registered for another class"),
        (Loose(), "no frozen dataclass"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_broken_promise_is_caught(scorer: Any, message: str) -> None:
    with pytest.raises((AssertionError, IndexError), match=message):
        check_scorer(scorer, WORDS, planted=("b", "c"))


@dataclass(frozen=True)
class Rank:
    """A fitting scorer: the share of texts that are longer. `order` spoils it on purpose."""

    order: bool = False

    name: ClassVar[str] = "rank"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("rank"),)

    def fit(self, view: ArrayView) -> Any:
        lengths = [None if t is None else len(t) for t in view.to_arrow(["text"]).column(0).to_pylist()]
        known = sorted(x for x in lengths if x is not None)
        ranks = [None if x is None else float(len(known) - known.index(x)) for x in lengths]
        return RankFitted(ranks[::-1] if self.order and None not in ranks else ranks)


@dataclass(frozen=True)
class RankFitted:
    ranks: list[float | None]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        picked = [self.ranks[row] for row in batch.column(ROW).to_pylist()]
        reasons = pa.array(["no text" if x is None else None for x in picked], pa.string())
        return pa.record_batch([pa.array(picked, pa.float32()), reasons], ["rank", "rank_reason"])


def test_a_fitting_scorer_is_fitted_first_and_asked_by_position() -> None:
    view = ArrayView({"id": list("abc"), "text": ["abc", "a", "ab"]})
    check_scorer(Rank(), view, planted=("b", "a"))
    assert score_all(Rank(), view)["rank"].to_pylist() == [1, 3, 2]
    with pytest.raises(AssertionError, match="another order of rows"):
        check_scorer(Rank(order=True), view)
    check_scorer(Rank(order=True), view, order_free=False)


@dataclass(frozen=True)
class First:
    """A selector that is wrong in the way asked for."""

    fault: str = "order"

    name: ClassVar[str] = "first"
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ("id",)

    def select(self, view: ArrayView, budget: Any, rng: np.random.Generator) -> Selection:
        if self.fault != "budget" and (not isinstance(budget, int) or not 0 < budget <= len(view)):
            raise InputError("no such budget")
        ids = np.array(view.to_arrow(["id"]).column(0).to_pylist())
        index = np.argsort(ids)[: budget if isinstance(budget, int) else 2]
        if self.fault == "order":
            index = np.arange(len(index))
        if self.fault == "twice":
            index = np.zeros(len(index), np.int64)
        if self.fault == "seed":
            index = np.random.default_rng().permutation(len(view))[: len(index)]
        if self.fault == "more":
            index = np.argsort(ids)[: len(index) + 1]
        gain = np.full(len(index), np.nan, np.float32) if self.fault == "gain" else None
        weight = np.zeros(len(index), np.float32) if self.fault == "weight" else None
        return Selection(index, weight=weight, gain=gain, reason=["x"] if self.fault == "reason" else "x")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("order", "do ties break by id"),
        ("twice", "chosen twice"),
        ("seed", "same seed gives another"),
        ("more", "the budget is 4"),
        ("gain", "gain is not finite"),
        ("weight", "weights are positive"),
        ("reason", "one reason for each item"),
        ("budget", "budget 0 of 40 items is accepted"),
    ],
)
def test_a_selectors_broken_promise_is_caught(fault: str, message: str) -> None:
    view = ArrayView({"id": [f"{i:02d}" for i in range(40)]})
    with pytest.raises(AssertionError, match=message):
        check_selector(First(fault), view, 4)


def test_a_good_selector_passes() -> None:
    view = ArrayView({"id": [f"{i:02d}" for i in range(40)]})
    assert check_selector(First("none"), view, 4).index.tolist() == [0, 1, 2, 3]
