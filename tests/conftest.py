"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set CURATE_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def save_language_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Saves a small causal language model with random weights, and a tokenizer of bytes, and gives the folder.

    `kind` gpt2 or llama; `limit` the tokens it takes; `begin` and `end`, `pad` the special tokens its tokenizer knows;
    `side` where the tokenizer would pad.
    """
    torch = pytest.importorskip("torch", reason="extra train not installed")
    transformers = pytest.importorskip("transformers", reason="extra train not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    def save(
        kind: str = "gpt2",
        limit: int = 64,
        begin: bool = False,
        end: bool = False,
        pad: str = "",
        side: str = "right",
    ) -> str:
        torch.set_num_threads(1)  # tests side by side should not wait for each other
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        names = ["<s>", "</s>", "<pad>"]
        vocabulary = {token: i for i, token in enumerate([*alphabet, *names])}
        bytes_ = Tokenizer(models.BPE(vocabulary, []))
        bytes_.pre_tokenizer, bytes_.decoder = (
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
        )
        template = " ".join(["<s>"] * begin + ["$A"] + ["</s>"] * end)
        bytes_.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(n, vocabulary[n]) for n in names]
        )
        special = {"bos_token": "<s>"} if begin else {}
        special |= {"eos_token": "</s>"} if end else {}
        special |= {"pad_token": pad} if pad else {}
        folder = tmp_path_factory.mktemp("language-model")
        transformers.PreTrainedTokenizerFast(
            tokenizer_object=bytes_, padding_side=side, **special
        ).save_pretrained(folder)
        sizes = {"vocab_size": len(vocabulary), "bos_token_id": None, "eos_token_id": None}
        if kind == "gpt2":
            config = transformers.GPT2Config(n_positions=limit, n_embd=32, n_layer=2, n_head=2, **sizes)
        else:
            config = transformers.LlamaConfig(
                max_position_embeddings=limit,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                **sizes,
            )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(config)
            with torch.no_grad():
                for (
                    weights
                ) in model.parameters():  # small as they come: every token would be as likely as any other
                    weights.mul_(6 if weights.ndim > 1 else 1)
        model.save_pretrained(folder)
        return str(folder)

    return save
