"""The authors' checkpoint: names there and back, what may be missing, and what is another model's."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fga_reference as reference
import numpy as np
import pytest

from curate.errors import InputError, MissingModelError
from curate.scorers.alignment import FgaBlip2, convert_lavis_state_dict
from curate.scorers.alignment.fga.loading import load_fga, read_checkpoint
from curate.scorers.alignment.fga.network import FgaModel, new_mask_head

torch = pytest.importorskip("torch", reason="extra train not installed")


@pytest.fixture(scope="module")
def other(save_blip2: Callable[..., Path]) -> dict[str, Any]:
    """Weights of another model of the same shape, as the authors' trainer would have saved them."""
    state = load_fga(str(save_blip2(seed=7)), device="cpu").net.state_dict()
    found = {k: torch.from_numpy(v).float() for k, v in reference.lavis_weights(state).items()}
    head = new_mask_head(32, seed=3).state_dict()
    found |= {f"mask_proj.layers.{name}": value for name, value in head.items()}
    found["Qformer.cls.predictions.bias"] = torch.zeros(3)
    found["Qformer.bert.embeddings.position_ids"] = torch.arange(48)[None]
    found["temp"] = torch.tensor(0.07)
    found["merge_layer.weight"] = torch.zeros(2)
    return found


def test_names_go_there_and_back(other: dict[str, Any], save_blip2: Callable[..., Path]) -> None:
    original = load_fga(str(save_blip2(seed=7)), device="cpu").net.state_dict()
    converted = convert_lavis_state_dict({"model": other, "optimizer": {}, "epoch": 4})
    inner = {k: v for k, v in converted.items() if not k.startswith("mask_proj.")}
    assert set(inner) == set(original)
    for name, value in original.items():
        expected = value.clone()
        if name.endswith("qkv.bias"):
            width = len(value) // 3
            expected[width : 2 * width] = 0  # LAVIS has no such bias
        assert torch.equal(inner[name], expected), name
    heads = [k for k in converted if k.startswith("mask_proj.")]
    assert sorted(heads) == sorted(k for k in other if k.startswith("mask_proj."))
    prefixed = {f"module.{k}": v for k, v in other.items()}
    assert set(convert_lavis_state_dict(prefixed)) == set(converted)
    assert len(other) == len(reference.lavis_weights(original)) + 10 + 4, "the input is left as it was"


def test_names_and_shapes_are_those_of_the_real_model() -> None:
    """ViT-g at 364 pixels and BERT-base, without memory for their weights."""
    import transformers

    config = transformers.Blip2Config(
        vision_config={"image_size": 364},
        qformer_config={"vocab_size": 30523, "use_qformer_text_input": True},
    )
    with torch.device("meta"):
        own = transformers.Blip2ForImageTextRetrieval(config).state_dict()
    state: dict[str, Any] = {}
    for i in range(39):
        block = f"visual_encoder.blocks.{i}"
        state |= {
            f"{block}.{n}.{k}": (1408,) for n in ("norm1", "norm2", "attn.proj") for k in ("weight", "bias")
        }
        state |= {f"{block}.attn.{n}": (1408,) for n in ("q_bias", "v_bias")}
        state |= {f"{block}.attn.qkv.weight": (4224, 1408), f"{block}.attn.proj.weight": (1408, 1408)}
        state |= {f"{block}.mlp.fc1.weight": (6144, 1408), f"{block}.mlp.fc1.bias": (6144,)}
        state |= {f"{block}.mlp.fc2.weight": (1408, 6144), f"{block}.mlp.fc2.bias": (1408,)}
    state |= {"visual_encoder.cls_token": (1, 1, 1408), "visual_encoder.pos_embed": (1, 677, 1408)}
    state |= {
        "visual_encoder.patch_embed.proj.weight": (1408, 3, 14, 14),
        "visual_encoder.patch_embed.proj.bias": (1408,),
    }
    state |= {f"ln_vision.{k}": (1408,) for k in ("weight", "bias")}
    for i in range(12):
        layer = f"Qformer.bert.encoder.layer.{i}"
        for kind, width in (("attention", 768), ("crossattention", 1408))[: 2 - i % 2]:
            for name, inner in (("query", 768), ("key", width), ("value", width)):
                state |= {
                    f"{layer}.{kind}.self.{name}.weight": (768, inner),
                    f"{layer}.{kind}.self.{name}.bias": (768,),
                }
            state |= {
                f"{layer}.{kind}.output.dense.weight": (768, 768),
                f"{layer}.{kind}.output.dense.bias": (768,),
            }
            state |= {f"{layer}.{kind}.output.LayerNorm.{k}": (768,) for k in ("weight", "bias")}
        for kind in ("", "_query"):
            state |= {
                f"{layer}.intermediate{kind}.dense.{k}": s
                for k, s in (("weight", (3072, 768)), ("bias", (3072,)))
            }
            state |= {
                f"{layer}.output{kind}.dense.{k}": s for k, s in (("weight", (768, 3072)), ("bias", (768,)))
            }
            state |= {f"{layer}.output{kind}.LayerNorm.{k}": (768,) for k in ("weight", "bias")}
    words = "Qformer.bert.embeddings"
    state |= {
        f"{words}.word_embeddings.weight": (30523, 768),
        f"{words}.position_embeddings.weight": (512, 768),
    }
    state |= {f"{words}.LayerNorm.{k}": (768,) for k in ("weight", "bias")}
    state |= {"query_tokens": (1, 32, 768), "itm_head.weight": (2, 768), "itm_head.bias": (2,)}
    state |= {
        f"{n}_proj.{k}": s for n in ("vision", "text") for k, s in (("weight", (256, 768)), ("bias", (256,)))
    }
    tensors = {name: torch.empty(shape, device="meta") for name, shape in state.items()}
    converted = convert_lavis_state_dict(tensors)
    assert {k: tuple(v.shape) for k, v in converted.items()} == {k: tuple(v.shape) for k, v in own.items()}


def test_a_checkpoint_is_put_on_its_base(
    other: dict[str, Any], blip2: Path, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    texts = ["a red car", "a dog on the street"] * 3
    torch.save({"model": other, "epoch": 1, "config": {"lr": 1e-5}}, tmp_path / "fga.pth")
    save_file({k: v.contiguous() for k, v in other.items()}, str(tmp_path / "fga.safetensors"))
    found = {}
    for name in ("fga.pth", "fga.safetensors"):
        scorer = FgaBlip2(model=str(tmp_path / name), base=str(blip2), device="cpu")
        found[name] = scorer.score_pairs(pictures, texts).overall
        assert scorer.judge_pairs(pictures[:1], texts[:1], mask=True)[0].mask is not None
    assert np.array_equal(found["fga.pth"], found["fga.safetensors"])
    plain = FgaBlip2(model=str(blip2), device="cpu").score_pairs(pictures, texts).overall
    assert np.abs(plain - found["fga.pth"]).max() > 0.05
    weights = {k: v.double().numpy() for k, v in other.items()}
    from test_judging import pixels, words_to_ids

    expected, _ = reference.judge(weights, pixels(pictures[1]), words_to_ids(blip2, texts[1]), 2)
    assert found["fga.pth"][1] == pytest.approx(expected, abs=1e-5)


def test_what_a_checkpoint_may_lack(other: dict[str, Any], blip2: Path, tmp_path: Path) -> None:
    base = load_fga(str(blip2), device="cpu").net.state_dict()
    lean = {
        k: v for k, v in other.items() if not k.startswith(("visual_encoder.", "mask_proj.", "vision_proj"))
    }
    torch.save(lean, tmp_path / "lean.pth")
    model = load_fga(str(tmp_path / "lean.pth"), str(blip2), "cpu")
    loaded = model.net.state_dict()
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    assert torch.equal(loaded[name], base[name])
    assert torch.equal(loaded["itm_head.weight"], other["itm_head.weight"])
    assert torch.equal(loaded["vision_model.post_layernorm.weight"], other["ln_vision.weight"])
    assert model.mask_head is None


def test_what_a_checkpoint_may_not_lack(other: dict[str, Any], blip2: Path, tmp_path: Path) -> None:
    def refuse(state: Any, match: str, error: type[Exception] = InputError) -> None:
        torch.save(state, tmp_path / "bad.pth")
        with pytest.raises(error, match=match):
            load_fga(str(tmp_path / "bad.pth"), str(blip2), "cpu")

    def without(*names: str) -> dict[str, Any]:
        return {k: v for k, v in other.items() if k not in names}

    block = "visual_encoder.blocks.1"
    refuse(without(f"{block}.norm1.weight"), r"lacks 1 weight, among them vision_model.*layers.1.layer_norm1")
    refuse(without(f"{block}.attn.v_bias"), r"only q_bias of visual_encoder.blocks.1.attn")
    refuse(without("Qformer.bert.encoder.layer.0.output.dense.weight"), r"lacks 1 weight")
    refuse(without("itm_head.weight"), r"no checkpoint of FGA-BLIP2.*lacks itm_head.weight.*Qformer")
    refuse({"conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}, r"it holds 2 tensors under conv1, fc")
    refuse({}, r"it holds 0 tensors under no name")
    refuse([1, 2], r"holds list, no weights by name")
    refuse(
        {**other, "query_tokens": torch.zeros(1, 4, 7)}, r"query_tokens is \(1, 4, 7\), expected \(1, 4, 32\)"
    )
    refuse({**other, "visual_encoder.rel_pos.weight": torch.zeros(1)}, r"vision tower is another.*rel_pos")
    refuse({**other, "Qformer.decoder.weight": torch.zeros(1)}, r"Q-Former is another.*decoder")
    refuse({**other, "mask_proj.layers.0.weight": torch.zeros(2, 2)}, r"the mask head is another")
    with pytest.raises(InputError, match=r"no checkpoint of FGA-BLIP2"):
        convert_lavis_state_dict({"weight": torch.zeros(1)})
    with pytest.raises(InputError, match="a NoneType is no checkpoint"):
        convert_lavis_state_dict(None)  # type: ignore[arg-type]


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


def test_files_that_are_none_or_want_to_run_code_are_refused(
    blip2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": Evil()}, protocol=2))
    torch.save({"model": Evil()}, tmp_path / "evil2.pth")
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("evil.pth", "evil2.pth", "noise.safetensors", "empty.pth"):
        with pytest.raises(MissingModelError, match="holds no weights that can be read"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "touched").exists()
    with pytest.raises(MissingModelError, match=r"there is no file nowhere.pth"):
        load_fga("nowhere.pth", str(blip2))


def test_folders_of_other_models_are_refused(
    save_language_model: Callable[..., str], save_blip2: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"a model of type 'gpt2', not 'blip-2'"):
        load_fga(save_language_model())
    with pytest.raises(MissingModelError, match="holds no usable BLIP-2"):
        load_fga(str(tmp_path))
    with pytest.raises(InputError, match=r"tokenizer of .* has \d+ tokens and the model knows"):
        load_fga(str(save_blip2(more=("one", "two", "three"))))
    from safetensors.torch import load_file, save_file

    folder = save_blip2(seed=2)
    file = folder / "model.safetensors"
    weights = {k: v for k, v in load_file(file).items() if not k.startswith(("qformer.", "embeddings."))}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=r"is no BLIP-2 for image-text retrieval: \d+ of its weights are missing"
    ):
        load_fga(str(folder))


def test_a_tokenizer_of_another_kind_is_refused(
    save_language_model: Callable[..., str], save_blip2: Callable[..., Path]
) -> None:
    folder, other = save_blip2(seed=4), Path(save_language_model())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((other / name).read_bytes())
    with pytest.raises(InputError, match="no cls_token and no sep_token"):
        load_fga(str(folder))


def test_the_words_of_a_tokenizer_are_enough(
    blip2: Path, save_blip2: Callable[..., Path], pictures: list[np.ndarray]
) -> None:
    import json

    folder = save_blip2()
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    found = FgaBlip2(model=str(folder)).judge_pairs(pictures[:1], ["A red carpet."])
    expected = FgaBlip2(model=str(blip2)).judge_pairs(pictures[:1], ["A red carpet."])
    assert found[0].tokens == expected[0].tokens == ("[CLS]", "a", "red", "car", "##pet", "[SEP]")
    assert found[0].overall == expected[0].overall


def test_older_and_newer_configs_make_the_same_model(
    blip2: Path, save_blip2: Callable[..., Path], pictures: list[np.ndarray]
) -> None:
    import json

    folder = save_blip2()
    config = json.loads((folder / "config.json").read_text())
    config["image_token_index"] = 36
    config["qformer_config"]["qformer_text_input"] = config["qformer_config"].pop("use_qformer_text_input")
    (folder / "config.json").write_text(json.dumps(config))
    found = FgaBlip2(model=str(folder)).score_pairs(pictures[:1], ["a red car"], [["car"]])
    expected = FgaBlip2(model=str(blip2)).score_pairs(pictures[:1], ["a red car"], [["car"]])
    assert np.array_equal(found.overall, expected.overall)
    assert found.elements == expected.elements


def test_names_on_a_hub_that_is_not_there_are_missing_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        MissingModelError, match=r"'hanshuhao/FGA-BLIP2' is not on this machine.*fga_blip2.pth"
    ):
        FgaBlip2(device="cpu").score_pairs([], [])
    with pytest.raises(MissingModelError, match=r"'nobody/nothing' is not on this machine"):
        FgaBlip2(model="nobody/nothing").score_pairs([], [])


def test_a_saved_model_is_the_same_with_its_mask_head(
    blip2: Path, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    plain = load_fga(str(blip2), device="cpu")
    FgaModel(plain.net, new_mask_head(32, seed=5), plain.tokenizer, "cpu").save(tmp_path / "saved")
    scorer = FgaBlip2(model=str(tmp_path / "saved"), device="cpu")
    (judged,) = scorer.judge_pairs(pictures[:1], ["a red car"], mask=True)
    (expected,) = FgaBlip2(model=str(blip2), device="cpu").judge_pairs(pictures[:1], ["a red car"])
    assert judged.overall == expected.overall
    head = load_fga(str(tmp_path / "saved"), device="cpu").mask_head.state_dict()
    fresh = new_mask_head(32, seed=5).state_dict()
    assert all(torch.equal(head[name], fresh[name]) for name in fresh)
    assert head["0.weight"].std().item() == pytest.approx(1 / 33, rel=0.05)
    assert not torch.equal(fresh["0.weight"], new_mask_head(32, seed=6).state_dict()["0.weight"])
