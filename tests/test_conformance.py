"""Every registered scorer, selector, annotator and analysis keeps the promises of `curate.contracts`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageFilter

import curate
from curate import registry
from curate.errors import InputError, MissingExtraError, MissingModelError
from curate.memory import ArrayView
from curate.recipe.reader import build_recipe
from curate.run.checking import check_steps
from curate.testing import check_analysis, check_annotator, check_scorer, check_selector


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

BRIEF = {"epochs": 10, "batch_size": 3}
"""A short training. Item 0 is no good example of a good label there: its copy, item 4, bears another."""

SMALL_LANGUAGE_MODEL = "a small language model with random weights"
"""Stands for a folder that is made when it is needed."""

SMALL_BLIP2 = "a small BLIP-2 with random weights"
"""Likewise."""

SMALL_SPEECH_MODEL = "a small speech language model with random weights"
SMALL_CTC_MODEL = "a small CTC model of speech with random weights"

SMALL_VISION_LANGUAGE_MODEL = "a small vision-language model with random weights"
SMALL_HEAD = "a reward head of one layer"

STAND_IN_JUDGE = {"model": "stand-in", "cache": "a folder for replies"}
"""A server on loopback that answers by whether the text is that of item 5, and a folder that is made."""

SCORERS = {
    "aldr-loss": Example(BRIEF, ("label", "pixel_embedding"), planted=("item-3", "item-5")),
    "aum": Example(BRIEF, ("label", "pixel_embedding"), planted=("item-3", "item-5")),
    "instance-density": Example(
        {"method": "knn", "neighbours": 1}, ("label", "pixel_embedding"), planted=("item-3", "item-5")
    ),
    "audio-basics": Example(columns=("audio",), planted=("item-0", "item-5")),
    "ches": Example(
        {"model": SMALL_LANGUAGE_MODEL, "device": "cpu"}, ("prompt", "chosen", "rejected"), torch=True
    ),
    "blip2-itm": Example({"model": SMALL_BLIP2, "device": "cpu"}, ("image", "text"), torch=True),
    "clip": Example(SMALL_CLIP, ("image", "text"), torch=True),
    "clip-score": Example(SMALL_CLIP, ("image", "text"), torch=True),
    "caption-reward": Example(
        {"image": "pixel_embedding", "text": "pixel_embedding", "groups": "picture", "folds": 2},
        ("pixel_embedding", "caption_rank", "picture"),
    ),
    "class-gaussian": Example(columns=("label", "pixel_embedding"), planted=("item-0", "item-5")),
    "combine": Example(
        {"columns": ["sharpness", "0 - length(text)"]}, ("sharpness", "text"), ("item-0", "item-7")
    ),
    "confident-learning": Example(columns=("label", "pred_probs"), planted=("item-0", "item-5")),
    "consensus": Example({"answers": "votes"}, ("votes",), planted=("item-0", "item-5")),
    "ctc-alignment": Example({"model": SMALL_CTC_MODEL, "device": "cpu"}, ("text", "audio"), torch=True),
    "dsg": Example(
        {"answers": "question_answers"}, ("questions", "question_answers"), planted=("item-0", "item-5")
    ),
    "elements": Example(columns=("text",), planted=("item-0", "item-5")),
    "element-judge": Example(STAND_IN_JUDGE, ("image", "questions")),
    "exact-duplicate": Example({"columns": ["text"]}, ("text",), planted=("item-0", "item-4")),
    "expected-answers": Example(
        {"answers": "seen_as"}, ("label", "pred_probs", "seen_as"), planted=("item-0", "item-5")
    ),
    "faulty-pairs": Example(columns=("prompt", "chosen", "rejected")),
    "faulty-questions": Example(columns=("key", "answers"), planted=("item-0", "item-5")),
    "fga-blip2": Example({"model": SMALL_BLIP2, "device": "cpu"}, ("image", "text"), torch=True),
    "image-basics": Example(columns=("image",), planted=("item-0", "item-5")),
    "judge-score": Example(STAND_IN_JUDGE, ("image", "text"), planted=("item-0", "item-5")),
    "knn-agreement": Example({"k": 3}, ("label", "pixel_embedding"), planted=("item-0", "item-5")),
    "knn-shapley": Example({"k": 2}, ("label", "pixel_embedding"), planted=("item-0", "item-5")),
    "label-errors": Example(columns=("label", "pred_probs"), planted=("item-0", "item-5")),
    "lemon": Example(
        {"image": "pixel_embedding", "text": "pred_probs", "joint": False, "k": 2},
        ("pixel_embedding", "pred_probs"),
        planted=("item-3", "item-4"),
    ),
    "label-probs": Example({"folds": 3}, ("label", "pixel_embedding")),
    "ldr-loss": Example(BRIEF, ("label", "pixel_embedding"), planted=("item-3", "item-5")),
    "local-elements": Example({"model": SMALL_LANGUAGE_MODEL, "device": "cpu"}, ("text",), torch=True),
    "memorisation": Example({"runs": 20}, ("label", "pixel_embedding"), planted=("item-0", "item-5")),
    "min-k": Example(
        {"log_probs": "log_probs", "variant": "min-k"}, ("log_probs",), planted=("item-0", "item-5")
    ),
    "minhash": Example(columns=("text",)),
    "minilm": Example({"device": "cpu"}, ("text",), torch=True),
    "missing-labels": Example(columns=("label", "pred_probs"), planted=("item-0", "item-5")),
    "model-elements": Example(STAND_IN_JUDGE, ("text",)),
    "multilabel-errors": Example(
        {"pred_probs": "pred_probs"}, ("label", "pred_probs"), planted=("item-0", "item-5")
    ),
    "near-duplicate": Example(
        {"by": "embedding", "embedding": "pixel_embedding"},
        ("pixel_embedding",),
        planted=("item-0", "item-4"),
    ),
    "out-of-fold": Example({"folds": 3}, ("label", "pixel_embedding")),
    "outlier": Example({"k": 2}, ("pixel_embedding",)),
    "pair-filter": Example(
        {"image": "pixel_embedding", "text": "pred_probs", "folds": 3, "epochs": 0, "dim": 2},
        ("pixel_embedding", "pred_probs"),
        planted=("item-3", "item-4"),
    ),
    "phash": Example(columns=("image",)),
    "pixel-embedding": Example(columns=("image",)),
    "pairwise-judge": Example(STAND_IN_JUDGE, ("prompt", "chosen", "rejected"), planted=("item-0", "item-5")),
    "pn-vqa": Example(
        {"model": SMALL_VISION_LANGUAGE_MODEL, "device": "cpu"}, ("image", "questions"), torch=True
    ),
    "positive-unlabelled": Example(
        {"positive": "class-1", "probabilities": "chance"}, ("label", "chance"), planted=("item-0", "item-5")
    ),
    "ref-clip-score": Example(
        {"image": "pixel_embedding", "text": "pixel_embedding", "references": ["pixel_embedding"]},
        ("pixel_embedding",),
    ),
    "rating-agreement": Example(columns=("ratings",), planted=("item-0", "item-5")),
    "regression-errors": Example(
        {"labels": "amount", "predictions": "forecast"}, ("amount", "forecast"), planted=("item-0", "item-5")
    ),
    "reward-head": Example({"weights": SMALL_HEAD, "features": "pixel_embedding"}, ("pixel_embedding",)),
    "self-rescaling": Example(BRIEF, ("label", "pixel_embedding"), planted=("item-3", "item-5")),
    "speech-relevance": Example(
        {"model": SMALL_SPEECH_MODEL, "device": "cpu"}, ("text", "audio"), torch=True
    ),
    "sound-embedding": Example(columns=("audio",)),
    "speech-rate": Example({"seconds": "amount"}, ("text", "amount"), planted=("item-6", "item-5")),
    "transcript-errors": Example({"hypothesis": "chosen"}, ("text", "chosen")),
    "tifa": Example(
        {"answers": "question_answers"}, ("questions", "question_answers"), planted=("item-0", "item-5")
    ),
    "training-dynamics": Example(BRIEF, ("label", "pixel_embedding"), planted=("item-3", "item-5")),
    "text-basics": Example(columns=("text",), planted=("item-0", "item-5")),
    "token-errors": Example(columns=("token_labels", "token_probs"), planted=("item-0", "item-5")),
    "vq2": Example(
        {"model": SMALL_VISION_LANGUAGE_MODEL, "device": "cpu"}, ("image", "questions"), torch=True
    ),
    "vqa-score": Example(
        {"model": SMALL_VISION_LANGUAGE_MODEL, "device": "cpu"}, ("image", "text"), torch=True
    ),
}
SCORERS |= {
    name: Example(
        {"gradients": "pixel_embedding", "target": "label = 'class-2'"},
        ("label", "pixel_embedding"),
        planted=("item-5", "item-0"),  # its vector is of class 2, whatever its label
    )
    for name in ("less", "tracin", "gist", "datainf", "trak")
} | {
    "el2n": Example(columns=("label", "pred_probs"), planted=("item-5", "item-0")),
    "gradients": Example(
        {"features": "pixel_embedding", "dim": 32}, ("label", "pixel_embedding", "pred_probs")
    ),
    "grand": Example(
        {"features": "pixel_embedding"},
        ("label", "pixel_embedding", "pred_probs"),
        planted=("item-5", "item-0"),
    ),
    "loss-drop": Example(
        {"before": "amount", "after": "forecast"}, ("amount", "forecast"), planted=("item-5", "item-0")
    ),
    "model-gradients": Example(
        {
            "model": SMALL_LANGUAGE_MODEL,
            "device": "cpu",
            "dim": 64,
            "prompt": ("prompt",),
            "answer": "chosen",
        },
        ("prompt", "chosen"),
        torch=True,
    ),
    "self-influence": Example({"gradients": "pixel_embedding"}, ("pixel_embedding",)),
}
SELECTORS = {
    "balanced": Example({"by": ("label", "sharpness")}, ("label", "sharpness")),
    "feature-mapping": Example({"target": "sharpness >= 0.5"}, ("label", "pixel_embedding", "sharpness")),
    "class-dro": Example(
        {"loss": "amount", "reference": "forecast", "eta": 0.1}, ("label", "amount", "forecast")
    ),
    "cw-erm": Example({"coreset": 1.0, "epochs": 2, "warm_up": 2}, ("label", "pixel_embedding"), budget=5),
    "group-weights": Example({"group": "label"}, ("label",)),
    "importance-resampling": Example({"target": "sharpness >= 0.5"}, ("text", "sharpness")),
    "instance-selection": Example({"by": "amount"}, ("label", "amount"), budget=4),
    "label-mapping": Example(
        {"target": "sharpness >= 0.5", "classes": ("class-0", "class-1", "class-2")},
        ("label", "pred_probs", "sharpness"),
    ),
    "random": Example(columns=("text",)),
    "representative": Example(columns=("near_duplicate", "near_duplicate_group")),
    "stratified": Example({"by": "label"}, ("label",)),
    "top": Example({"by": "sharpness"}, ("sharpness",)),
    "ccs": Example({"by": "sharpness", "bins": 3}, ("sharpness",)),
    "craig": Example({"group": "label"}, ("pixel_embedding", "label")),
    "d2": Example({"by": "sharpness", "neighbours": 2}, ("pixel_embedding", "sharpness")),
    "facility-location": Example({"mandatory": "id = 'item-5'"}, ("pixel_embedding",)),
    "grad-match": Example(columns=("pixel_embedding",)),
    "graph-cut": Example(columns=("pixel_embedding",)),
    "hardest": Example({"by": "sharpness", "never_learned": "label = 'class-1'"}, ("sharpness", "label")),
    "herding": Example({"group": "label", "balance": "equal"}, ("pixel_embedding", "label")),
    "k-center": Example({"forbidden": "id = 'item-0'"}, ("pixel_embedding",)),
    "moderate": Example({"group": "label"}, ("pixel_embedding", "label")),
    "prototypes": Example(columns=("pixel_embedding",)),
    "query": Example(
        {"by": "sharpness", "known": "label = 'class-1'"}, ("pixel_embedding", "sharpness", "label")
    ),
    "semdedup": Example(columns=("pixel_embedding",)),
    "information-projection": Example(
        {"target": "near_duplicate", "mandatory": "id = 'item-5'"}, ("pixel_embedding", "near_duplicate")
    ),
    "pursuit": Example(
        {
            "gradients": "pixel_embedding",
            "target": "near_duplicate",
            "tasks": "label",
            "rank": 2,
            "typical": 0.5,
        },
        ("pixel_embedding", "near_duplicate", "label"),
    ),
    "soft-cap": Example({"by": "sharpness", "cap": 1}, ("sharpness",)),
}
ANALYSES: dict[str, Example] = {
    "annotators": Example({"answers": "votes", "resamples": 50}, ("votes",)),
    "drift": Example({"permutations": 99, "label": "label"}, ("pixel_embedding", "label")),
    "embedding-health": Example(columns=("pixel_embedding",)),
    "fairness": Example(
        {"group": "label", "answers": "votes", "dropped": "near_duplicate"},
        ("label", "votes", "near_duplicate"),
    ),
    "generator-ranking": Example(
        {"by": "sharpness", "generator": "label", "resamples": 50}, ("sharpness", "label")
    ),
    "group-health": Example({"by": "sharpness", "group": "label", "smallest": 2}, ("sharpness", "label")),
    "label-conflicts": Example(columns=("label", "near_duplicate_group")),
    "label-audit": Example({"items": 4}, ("label", "pred_probs")),
    "label-health": Example(columns=("label", "pred_probs")),
    "score-contributions": Example(
        {"columns": ["sharpness", "length(text)"], "truth": "not near_duplicate", "repeats": 50},
        ("sharpness", "text", "near_duplicate"),
    ),
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
        "token_labels": [["A", "B", "A"][: 2 + i % 2] if i != 5 else ["B", "A", "A"] for i in range(n)],
        "token_probs": [[[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]][: 2 + i % 2] for i in range(n)],
        "amount": [1.0, 2.0, 3.0, 4.0, 1.0, 60.0, 7.0, 8.0, 9.0],
        "forecast": [1.1, 2.2, 2.9, 4.0, 1.0, 6.2, 7.1, 7.8, 9.3],
        "chance": [0.1, 0.8, 0.15, 0.2, 0.85, 0.9, 0.05, 0.95, 0.1],
        "log_probs": [[None, -1.0 - i, -0.1, -3.0] if i != 5 else [None, -0.1] for i in range(n)],
        "votes": [
            [{"annotator": f"a{j}", "value": "xyz"[j if i == 5 else i % 3]} for j in range(3)]
            for i in range(n)
        ],
        "seen_as": [
            [{"annotator": f"a{j}", "value": f"class-{(labels[i] + (i == 5)) % 3}"} for j in range(i % 3)]
            for i in range(n)
        ],
        "picture": list("aabbccddd"),
        "caption_rank": [1, 2, 2, 1, 1, 2, None, 2, 1],
        "key": ["ABCD"[i % 4] if i != 5 else "D" for i in range(n)],
        "answers": [["ABCD"[(i + (j == i % 4)) % 4] for j in range(4)] for i in range(n)],
        "questions": [[{"question": "Is it there?"}, {"question": "Is it red?", "depends": [0]}]] * n,
        "question_answers": [["yes" if i != 5 else "no", "yes"] for i in range(n)],
        "prompt": ["What is to be seen?"] * n,
        "chosen": list(TEXTS),
        "rejected": list(reversed(TEXTS)),
        "ratings": [[4, 5] if i != 5 else [1, 5] for i in range(n)],
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


def judge(body: dict[str, Any]) -> str:
    """Says of item 5, and of nothing else, that it is bad."""
    content = body["messages"][0]["content"]
    text = content if isinstance(content, str) else content[1]["text"]
    if "<questions>" in text:
        seen = [{"question": i, "evidence": "it is there", "answer": "yes"} for i in (1, 2)]
        return json.dumps({"answers": seen})
    if "Split it into elements" in text:
        word = text.partition("<text>")[2].split()[0]
        return json.dumps({"elements": [{"element": word, "type": "object", "question": "Is it there?"}]})
    if "<answer A>" in text:
        first = text.partition("<answer A>")[2].partition("</answer A>")[0]
        return "B" if TEXTS[5] in first else "A" if TEXTS[5] in text else "tie"
    return "1" if TEXTS[5] in text else "5"


def view_of(everything: dict[str, Any], columns: tuple[str, ...]) -> ArrayView:
    wanted = {name: everything[name] for name in ("id", *columns)}
    vectors = {name: values for name, values in wanted.items() if isinstance(values, np.ndarray)}
    return ArrayView({name: values for name, values in wanted.items() if name not in vectors}, vectors)


ANNOTATORS = {
    "label-studio": "tests.annotators.label_studio.conftest",
    "offline": "tests.annotators.offline.conftest",
}
"""Where a function `trial` makes an annotator, and people who answer what it asks."""


def test_every_registered_component_has_an_example() -> None:
    assert set(ANNOTATORS) == set(registry.ANNOTATORS)
    assert set(SCORERS) == set(registry.SCORERS)
    assert set(SELECTORS) == set(registry.SELECTORS)
    assert set(ANALYSES) == set(registry.ANALYSES)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_scorer(name: str, everything: dict[str, Any], request: pytest.FixtureRequest) -> None:
    example = SCORERS[name]
    view = view_of(everything, example.columns)
    params = dict(example.params)
    if params.get("model") == SMALL_LANGUAGE_MODEL:
        params["model"] = request.getfixturevalue("save_language_model")(limit=128)
    if params.get("model") == SMALL_BLIP2:
        params["model"] = str(request.getfixturevalue("save_blip2")())
    if params.get("model") == SMALL_VISION_LANGUAGE_MODEL:
        params["model"] = request.getfixturevalue("save_vision_language_model")()
    if params.get("weights") == SMALL_HEAD:
        params["weights"] = str(request.getfixturevalue("tmp_path") / "head.pt")
        torch = pytest.importorskip("torch", reason="extra not installed")
        torch.save({"0.weight": torch.ones(1, 16), "0.bias": torch.ones(1)}, params["weights"])
    if params.get("model") in (SMALL_CTC_MODEL, SMALL_SPEECH_MODEL):
        kind = "ctc" if params["model"] == SMALL_CTC_MODEL else "qwen2-audio"
        params["model"] = request.getfixturevalue("save_speech_model")(kind)
    if params.get("cache") == STAND_IN_JUDGE["cache"]:
        request.getfixturevalue("chat_endpoint").answer = judge
        params["cache"] = str(request.getfixturevalue("tmp_path") / "replies")
    scorer = registry.build("scorers", name, params)
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


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_a_selector_says_whether_it_does_without_a_budget(name: str, everything: dict[str, Any]) -> None:
    selector = registry.build("selectors", name, SELECTORS[name].params)
    view = view_of(everything, SELECTORS[name].columns)
    if getattr(selector, "budgeted", False):
        with pytest.raises(InputError, match="a budget is needed"):
            selector.select(view, None, np.random.default_rng(0))
    else:
        assert len(selector.select(view, None, np.random.default_rng(0)))


@pytest.mark.parametrize("name", sorted(ANALYSES))
def test_analysis(name: str, everything: dict[str, Any]) -> None:
    example = ANALYSES[name]
    analysis = registry.build("analyses", name, example.params)
    found = check_analysis(analysis, view_of(everything, example.columns))
    assert found.findings


@pytest.mark.parametrize("name", sorted(ANNOTATORS))
def test_annotator(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    annotator, people = importlib.import_module(ANNOTATORS[name]).trial(request, tmp_path)
    with curate.open(tmp_path / "trial.curate", create=True) as store:
        check_annotator(annotator, store, people)


@pytest.fixture(scope="module")
def stocked(everything: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[curate.Store]:
    """A store that holds everything."""
    folder = tmp_path_factory.mktemp("stocked")
    for name in ("config.json", "head.pt"):
        (folder / name).touch()  # all that is looked at of a model before it is loaded
    vectors = {name: values for name, values in everything.items() if isinstance(values, np.ndarray)}
    with curate.open(folder / "all.curate", create=True) as store:
        store.add({name: everything[name] for name in everything if name not in vectors}, kind="label")
        for name, values in vectors.items():
            store.attach(values, name=name, ids="rows")
        yield store


@pytest.mark.parametrize(
    ("verb", "name", "example"),
    [
        (verb, name, examples[name])
        for verb, examples in (("score", SCORERS), ("select", SELECTORS), ("analyse", ANALYSES))
        for name in sorted(examples)
    ],
)
def test_no_example_is_refused_in_a_recipe(
    verb: str, name: str, example: Example, stocked: curate.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stocked.path.parent
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    params = dict(example.params)
    if example.torch and params.get("model") not in (None, SMALL_CLIP["model"]):
        params["model"] = str(folder)
    if params.get("weights") == SMALL_HEAD:
        params["weights"] = str(folder / "head.pt")
    step: dict[str, Any] = {verb: name, "with": params}
    if verb != "analyse":
        step["as"] = "tried"  # the columns of some are there, as a user would have them
    if verb == "select" and example.budget is not None:
        step["budget"] = example.budget
    try:
        check_steps(stocked.parts, build_recipe({"store": "s", "steps": [step]}).steps)
    except MissingExtraError as error:
        pytest.skip(str(error))
