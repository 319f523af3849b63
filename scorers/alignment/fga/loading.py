"""Loading FGA-BLIP2: from the hub, from a folder transformers saved, or from the authors' checkpoint on top of BLIP-2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from curate.counting import counted
from curate.errors import InputError, MissingModelError, check_installed, require
from curate.scorers.alignment.fga.lavis import MASK_HEAD, convert_lavis_state_dict
from curate.scorers.alignment.fga.network import MASK_FILE, FgaModel, new_mask_head
from curate.weights import Precision, choose_device, choose_dtype, hub_is_named, why_missing

__all__ = ["AUTHORS", "BASE", "check_fga", "load_fga", "read_checkpoint"]

AUTHORS = "hanshuhao/FGA-BLIP2"
BASE = "Salesforce/blip2-itm-vit-g-coco"

_HUB_FILES = {AUTHORS: "fga_blip2.pth"}
"""Repositories on the hub that hold no model in transformers' format but a checkpoint of that name."""

_CHECKPOINTS = (".pth", ".pt", ".bin", ".safetensors")
_OPTIONAL = ("vision_projection.", "text_projection.")
_VISION = "vision_model."


@lru_cache(maxsize=1)
def load_fga(
    model: str = AUTHORS, base: str = BASE, device: str = "auto", precision: Precision = "fp32"
) -> FgaModel:
    """The model, in memory until another is asked for. Code that comes with a model is not run.

    `model` is a folder or hub name in transformers' format (BLIP-2 for image-text retrieval, with its tokenizer, and a
    mask head where `FgaModel.save` wrote one), or the authors' checkpoint: a file, or their name on the hub. A checkpoint
    brings weights only: architecture, tokenizer, and the vision tower if it lacks one, are those of `base`.
    `precision` is that of the vision tower.
    Raises MissingModelError where something cannot be had, InputError for the weights or tokenizer of another model and
    for fp16 on a CPU, MissingExtraError without transformers.
    """
    require("transformers", "train")
    where = choose_device(device)
    dtype = choose_dtype(precision, where)
    checkpoint = _find_checkpoint(model)
    source = model if checkpoint is None else base
    weights = None if checkpoint is None else read_checkpoint(checkpoint)
    net, tokenizer = _load_base(source, whole=weights is None)
    head = _load_head(Path(source) / MASK_FILE, net)
    if weights is not None:
        head = _apply(net, weights, str(checkpoint)) or head
    _check_tokenizer(tokenizer, net, source)
    net = net.float().to(where).eval()
    net.vision_model.embeddings.to(dtype)
    net.vision_model.encoder.to(dtype)
    return FgaModel(net, None if head is None else head.to(where).eval(), tokenizer, where)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The authors' checkpoint from a file, converted. Tensors alone are read: a file that wants to run code is refused.

    Raises MissingModelError for a file that cannot be read, InputError for the checkpoint of another model.
    """
    torch: Any = require("torch", "train")
    safetensors: Any = require("safetensors.torch", "train")
    try:
        if Path(path).suffix == ".safetensors":
            state = safetensors.load_file(str(path))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:  # damaged files raise almost anything
        raise MissingModelError(f"{path} holds no weights that can be read: {_first_line(error)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path} holds {type(state).__name__}, no weights by name")
    try:
        return convert_lavis_state_dict(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_fga(model: str, base: str) -> None:
    """Raises what `load_fga` surely will, and loads nothing. A file of weights is put on a base."""
    check_installed("torch", "train")
    check_installed("transformers", "train")
    whole, file = Path(model).is_dir(), model.endswith(_CHECKPOINTS)
    if file and not whole:
        _find_checkpoint(model)
    elif cause := why_missing(model):
        raise MissingModelError(_explain(model, cause))
    put_on = not whole and (file or model in _HUB_FILES)
    if put_on and (cause := why_missing(base)):
        raise MissingModelError(_explain(base, cause))


def _find_checkpoint(model: str) -> Path | None:
    """The file with the authors' weights, or None for a model in transformers' format."""
    if Path(model).is_dir():
        return None
    if model.endswith(_CHECKPOINTS):
        if not Path(model).is_file():
            raise MissingModelError(f"there is no file {model}: give the path of a checkpoint of FGA-BLIP2")
        return Path(model)
    if model not in _HUB_FILES:
        return None
    hub: Any = require("huggingface_hub", "train")
    try:
        return Path(hub.hf_hub_download(model, _HUB_FILES[model], local_files_only=not hub_is_named()))
    except Exception as error:  # the hub's client raises a different one for each way of failing
        raise MissingModelError(_explain(model, _first_line(error))) from error


def _load_base(source: str, whole: bool) -> tuple[Any, Any]:
    """Network and tokenizer. `whole`: its weights are those to be used, so none may be missing."""
    transformers: Any = require("transformers", "train")
    local = Path(source).is_dir() or not hub_is_named()
    with _quiet(transformers):
        try:
            raw = transformers.PretrainedConfig.get_config_dict(source, local_files_only=local)[0]
            if not raw:
                raise OSError("there is no config.json")
            if raw.get("model_type") != "blip-2":
                raise InputError(f"{source} holds a model of type {raw.get('model_type')!r}, not 'blip-2'")
            config = transformers.Blip2Config.from_pretrained(source, local_files_only=local)
            config.qformer_config.use_qformer_text_input = True  # older configs spell it otherwise
            config.image_token_index = None  # else the first ids are taken for places of the image
            net, info = transformers.Blip2ForImageTextRetrieval.from_pretrained(
                source, config=config, local_files_only=local, output_loading_info=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=local)
            if tokenizer.cls_token is None and (Path(source) / "vocab.txt").is_file():  # BERT's words alone
                tokenizer = transformers.BertTokenizer.from_pretrained(source, local_files_only=local)
        except InputError:
            raise
        except Exception as error:  # as above
            raise MissingModelError(_explain(source, _first_line(error))) from error
    missing = [name for name in info["missing_keys"] if not name.startswith(_OPTIONAL)]
    if missing and (whole or any(name.startswith(_VISION) for name in missing)):
        raise InputError(
            f"{source} is no BLIP-2 for image-text retrieval: {len(missing)} of its weights are missing, among them "
            f"{', '.join(sorted(missing)[:3])}"
        )
    return net, tokenizer


def _load_head(path: Path, net: Any) -> Any:
    if not path.is_file():
        return None
    safetensors: Any = require("safetensors.torch", "train")
    return _fill_head(net, safetensors.load_file(str(path)), str(path))


def _fill_head(net: Any, weights: Mapping[str, Any], path: str) -> Any:
    head = new_mask_head(int(net.config.qformer_config.hidden_size))
    try:
        head.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path}: the mask head is another: {_first_line(error, 2)}") from error
    return head


def _apply(net: Any, weights: dict[str, Any], path: str) -> Any:
    """Put a checkpoint's weights into a network; the mask head, if the checkpoint has one."""
    own = net.state_dict()
    inner = {name: value for name, value in weights.items() if not name.startswith(MASK_HEAD)}
    wrong = [
        f"{name} is {tuple(value.shape)}, expected {tuple(own[name].shape) if name in own else 'none'}"
        for name, value in inner.items()
        if name not in own or own[name].shape != value.shape
    ]
    if wrong:
        raise InputError(
            f"{path} does not fit the BLIP-2 it is to be put on: {'; '.join(wrong[:3])} ({len(wrong)} in all). "
            "Give the `base` it was trained from"
        )
    may_lack = (*_OPTIONAL, *(() if any(n.startswith("vision_model.e") for n in inner) else (_VISION,)))
    lacking = [name for name in own if name not in inner and not name.startswith(may_lack)]
    if lacking:
        raise InputError(
            f"{path} lacks {counted(len(lacking), 'weight')}, among them {', '.join(lacking[:3])}"
        )
    net.load_state_dict(inner, strict=False)
    prefix = f"{MASK_HEAD}layers."
    head = {n.removeprefix(prefix): value for n, value in weights.items() if n.startswith(prefix)}
    return _fill_head(net, head, path) if head else None


def _check_tokenizer(tokenizer: Any, net: Any, source: str) -> None:
    lacking = [name for name in ("cls_token", "sep_token") if getattr(tokenizer, name, None) is None]
    if lacking:
        raise InputError(
            f"the tokenizer of {source} has no {' and no '.join(lacking)}: a BERT tokenizer is needed"
        )
    known = int(net.embeddings.word_embeddings.num_embeddings)
    if tokenizer.vocab_size > known:
        raise InputError(
            f"the tokenizer of {source} has {counted(tokenizer.vocab_size, 'token')} and the model knows {known}: it "
            "is another's"
        )


def _is_zip(path: str | Path) -> bool:
    """Whether torch wrote the file in its present format, which can be mapped instead of read."""
    with Path(path).open("rb") as file:
        return file.read(2) == b"PK"


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Loading takes a moment, and the run has its own bar; what is missing we say ourselves."""
    log = transformers.utils.logging
    were, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if were:
            log.enable_progress_bar()


def _first_line(error: Exception, lines: int = 1) -> str:
    said = [line.strip() for line in str(error).strip().splitlines()[:lines]] or [type(error).__name__]
    return " ".join(said)[:300]


def _explain(model: str, cause: str) -> str:
    if Path(model).is_dir():
        return f"{model} holds no usable BLIP-2 with its tokenizer: {cause}"
    return (
        f"the model {model!r} is not on this machine and could not be fetched ({cause}). Where there is a "
        f"network, download the authors' fga_blip2.pth and the folder of {BASE}, copy them here, and give their paths: "
        "model='/path/to/fga_blip2.pth', base='/path/to/folder'. A folder that FgaModel.save wrote is enough by itself"
    )
