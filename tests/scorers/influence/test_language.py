"""A small GPT-2 with LoRA: texts to batches, adapters to checkpoints, gradients to LESS, and the whole path in a store."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError, MissingModelError
from curate.memory import ArrayView
from curate.scorers.influence import (
    Checkpoint,
    Plan,
    adam_moments,
    adapter_values,
    causal_loss,
    collect_gradients,
    encode_pairs,
    less,
    loss_drop,
    select_parameters,
    warm_up_losses,
)
from curate.scorers.influence.language import IGNORED
from curate.scorers.influence.model_gradients import ModelGradients
from curate.testing import score_all

torch = pytest.importorskip("torch", reason="extra train not installed")
transformers = pytest.importorskip("transformers", reason="extra train not installed")
peft = pytest.importorskip("peft", reason="extra train not installed")
pytest.importorskip("numba", reason="extra select not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

PROMPTS = ["Say a.", "Say a!", "Say b.", "Count:", "Count!"]
ANSWERS = ["aaaa aaaa", "aa aaaa", "bbbb", "1 2 3 4 5", "1 2 3 4"]


@pytest.fixture(scope="module")
def folder(save_language_model):
    return save_language_model(limit=64, end=True)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Two adapters after some steps of Adam, saved by peft, and the optimiser's state of each."""
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = adapted(folder)
        optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2)
        texts = encode_pairs(tokenizer, PROMPTS, ANSWERS, max_length=48)
        home, saved = tmp_path_factory.mktemp("adapters"), []
        for epoch in range(2):
            for row in range(len(texts)):
                optimiser.zero_grad()
                causal_loss(net, texts.batch(np.array([row]))).backward()
                optimiser.step()
            net.save_pretrained(home / str(epoch))
            torch.save(optimiser.state_dict(), home / str(epoch) / "optimizer.pt")
            saved.append(str(home / str(epoch)))
    return net, tokenizer, texts, saved


def adapted(folder):
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    lora = peft.LoraConfig(
        r=2, lora_alpha=8, target_modules=["c_attn"], task_type="CAUSAL_LM", fan_in_fan_out=True
    )
    return peft.get_peft_model(base, lora)


def test_the_loss_is_that_of_transformers(trained):
    net, _, texts, _ = trained
    for row in range(len(texts)):
        one = texts.batch(np.array([row]))
        expected = net(**one, attention_mask=torch.ones_like(one["input_ids"])).loss
        assert torch.allclose(causal_loss(net, one), expected, atol=1e-5)
        both = texts.batch(np.array([row, 3]))  # padded to the longest: nothing changes
        alone = {name: tensor[:1] for name, tensor in both.items()}
        assert torch.allclose(causal_loss(net, alone), expected, atol=1e-5)


def test_only_answers_have_labels_and_prompts_are_cut_first(trained):
    _, tokenizer, texts, _ = trained
    end = tokenizer.eos_token_id
    assert texts.labels[2].tolist() == [IGNORED] * 6 + [
        *tokenizer("bbbb", add_special_tokens=False)["input_ids"],
        end,
    ]
    short = encode_pairs(tokenizer, ["abcdef"], ["xyz"], max_length=6)
    assert short.tokens[0].tolist()[:2] == tokenizer("ef", add_special_tokens=False)["input_ids"][:2]
    assert len(short.tokens[0]) == 6 and short.counted.tolist() == [4]
    shorter = encode_pairs(tokenizer, ["abc"], ["xyz"], max_length=3)
    assert (shorter.labels[0] != IGNORED).sum() == 2  # one token of the prompt is left to predict from
    with pytest.raises(InputError, match="1 prompt and 2 answers"):
        encode_pairs(tokenizer, ["a"], ["b", "c"])
    with pytest.raises(InputError, match="max_length 1"):
        encode_pairs(tokenizer, ["a"], ["b"], max_length=1)


def test_a_text_without_an_answer_teaches_nothing(trained):
    net, _, texts, _ = trained
    one = texts.batch(np.array([0]))
    one["labels"][:] = IGNORED
    assert causal_loss(net, one).item() == 0


def test_adapters_are_checkpoints(trained, folder, tmp_path):
    net, tokenizer, texts, saved = trained
    values = [adapter_values(net, path) for path in saved]
    now = {name: p for name, p in net.named_parameters() if p.requires_grad}
    assert set(values[1]) == set(now) and all(torch.equal(values[1][n], p) for n, p in now.items())
    assert not all(torch.equal(values[0][n], values[1][n]) for n in now)
    with pytest.raises(MissingModelError, match=r"adapter_config\.json is missing"):
        adapter_values(net, tmp_path)
    wide = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(folder),
        peft.LoraConfig(r=4, target_modules=["c_attn"], task_type="CAUSAL_LM", fan_in_fan_out=True),
    )
    with pytest.raises(InputError, match=r"another model: .*lora_A.*is"):
        adapter_values(wide, saved[0])
    other = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(folder),
        peft.LoraConfig(r=2, target_modules=["c_fc"], task_type="CAUSAL_LM", fan_in_fan_out=True),
    )
    with pytest.raises(InputError, match="of its 4 parameters 0 are in this one"):
        adapter_values(other, saved[0])


def test_from_adapters_to_less(trained, tmp_path):
    net, _, texts, saved = trained
    parameters = select_parameters(net)
    states = [torch.load(f"{path}/optimizer.pt", weights_only=True) for path in saved]
    moments = [adam_moments(state, parameters) for state in states]
    points = [Checkpoint(adapter_values(net, path), 1e-2, m) for path, m in zip(saved, moments, strict=True)]
    plain = [Checkpoint(p.values, p.rate) for p in points]
    plan = Plan(dim=256, batch_size=2, precision="int8")
    options = {"rows": 5, "loss": causal_loss, "plan": plan}
    train = collect_gradients(net, texts.batch, tmp_path / "train", checkpoints=points, **options)
    target = collect_gradients(net, texts.batch, tmp_path / "target", checkpoints=plain, **options)
    assert train.method == "vmap" and train.store.shape == (5, 512) and train.store.header.kind == "adam"
    own = less(target.store, target.store.take(np.array([0]))).score
    assert own[0] > 0.99 and own.argmax() == 0
    assert own[1] > own[3]  # the other that says a, not the one that counts
    with_adam = less(train.store, target.store.take(np.array([0]))).score
    assert not np.allclose(own, with_adam, atol=0.05)


def test_the_warm_up_lowers_losses_of_its_kind(trained):
    net, _, texts, _ = trained
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    losses = warm_up_losses(net, texts.batch, rows=5, target=[0], loss=causal_loss, steps=8)
    drop = loss_drop(*losses)
    assert drop[0] > 0.15 and drop[1] > drop[3]
    assert all(torch.equal(before[n], p) for n, p in net.named_parameters())
    with pytest.raises(InputError, match="0 target rows"):
        warm_up_losses(net, texts.batch, rows=5, target=[], loss=causal_loss)
    with pytest.raises(InputError, match="1 target row of 5"):
        warm_up_losses(net, texts.batch, rows=5, target=[5], loss=causal_loss)


def view():
    table = {"id": [str(i) for i in range(6)], "prompt": [*PROMPTS, "none"], "reply": [*ANSWERS, " "]}
    return ArrayView(table)


def scorer(folder, saved, **changed):
    options = {
        "adapters": tuple(saved),
        "prompt": ("prompt",),
        "answer": "reply",
        "dim": 128,
        "device": "cpu",
    }
    return ModelGradients(folder, **{**options, **changed})


def stacked(got):
    return np.array([row for row in got["model_gradients"].to_pylist() if row is not None], np.float32)


def test_the_scorer_gives_what_collecting_gives(trained, folder, tmp_path):
    net, _, _, saved = trained
    got = score_all(scorer(folder, saved, max_length=48), view())
    assert got["model_gradients_reason"].to_pylist() == [None] * 5 + ["no reply"]
    tokenizer = trained[1]
    texts = encode_pairs(tokenizer, PROMPTS, ANSWERS, max_length=48)
    points = [Checkpoint(adapter_values(net, path)) for path in saved]
    expected = collect_gradients(
        net, texts.batch, tmp_path / "g", rows=5, loss=causal_loss, checkpoints=points, plan=Plan(dim=128)
    ).store.to_numpy()
    assert np.allclose(stacked(got), expected, atol=2e-3)


def test_each_parameter_of_the_scorer_counts(trained, folder, tmp_path):
    _, _, _, saved = trained
    base = stacked(score_all(scorer(folder, saved), view()))
    assert np.allclose(np.linalg.norm(base.reshape(5, 2, 128), axis=2), 1, atol=1e-5)
    moments = tuple(f"{path}/optimizer.pt" for path in saved)
    for changed in (
        {"moments": moments},
        {"seed": 1},
        {"projection": "rademacher"},
        {"normalise": False},
        {"max_length": 8},
        {"parameters": ("*lora_B*",)},
        {"prompt": ()},
    ):
        other = stacked(score_all(scorer(folder, saved, **changed), view()))
        assert other.shape == base.shape and not np.allclose(other, base, atol=1e-3), changed
    same = stacked(score_all(scorer(folder, saved, batch_size=1), view()))
    assert np.allclose(same, base, atol=1e-5)
    whole = stacked(score_all(scorer(folder, ()), view()))
    assert whole.shape == (5, 128)


def test_a_model_of_your_own(trained, folder, tmp_path, monkeypatch):
    code = (
        "import transformers\n"
        f"def make():\n    return (transformers.AutoModelForCausalLM.from_pretrained({folder!r}), "
        f"transformers.AutoTokenizer.from_pretrained({folder!r}))\n"
        "def wrong():\n    return 3\n"
    )
    (tmp_path / "my_loader_of_models.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    got = stacked(score_all(scorer("my_loader_of_models:make", ()), view()))
    assert np.allclose(got, stacked(score_all(scorer(folder, ()), view())), atol=1e-4)
    with pytest.raises(InputError, match="returns int"):
        score_all(scorer("my_loader_of_models:wrong", ()), view())
    with pytest.raises(InputError, match="no function that can be imported"):
        score_all(scorer("my_loader_of_models:nothing", ()), view())


def test_what_is_not_there_is_said(folder, trained, tmp_path):
    with pytest.raises(MissingModelError, match="no usable causal language model"):
        score_all(scorer(str(tmp_path), ()), view())
    with pytest.raises(MissingModelError, match="adapter"):
        score_all(scorer(folder, (str(tmp_path),)), view())
    broken = tmp_path / "optimizer.pt"
    broken.write_bytes(b"nothing")
    for path in (broken, tmp_path / "none.pt"):
        with pytest.raises(MissingModelError, match="no optimiser's state"):
            score_all(scorer(folder, trained[3], moments=(str(path),) * 2), view())
    for wrong in ({"model": ""}, {"batch_size": 0}, {"max_length": 1}, {"moments": ("a",)}, {"dim": 0}):
        with pytest.raises(InputError):
            ModelGradients(**{"model": folder, **wrong})


def test_instructions_may_have_no_input():
    made = ModelGradients("a model")
    assert made.resolve(["id", "instruction", "output"], "instruction").needs == ("instruction", "output")
    assert made.resolve(["id", "instruction", "input", "output"], "instruction") == made
    named = ModelGradients("a model", prompt=("instruction", "context"))
    assert named.resolve(["id", "instruction", "output"], "instruction") == named  # what was named is meant
