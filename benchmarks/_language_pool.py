"""Templates of T0 as a pool with held-back tasks, and a small GPT that has read other templates: text to select from, and a learner."""

from __future__ import annotations

import copy
import json
import lzma
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from curate.scorers.influence import Texts, causal_loss, encode_pairs

Array = npt.NDArray[Any]
Pairs = list[tuple[str, str]]
LENGTH, WORDS, WIDTH = 80, 1200, 64
WANTED, TESTED, POOLED, READ = 16, 64, 40, 60
"""Items of each held-back task that say what is wanted, and that test; templates of the pool; those read before, and items of each."""
END = "<|endoftext|>"


class Task(NamedTuple):
    pool: Texts
    wanted: Texts
    tests: list[Texts]
    """The test items of each held-back template."""
    templates: Array
    """(n,) the template of each item of the pool, `tasks` (m,) that of each wanted item."""
    tasks: Array
    kin: Array
    """(n,) whether a pool item is of the data set of one of the held-back templates: shown, never used."""


class Templates:
    """Pairs of prompt and answer by template, those of all held-back templates apart; items without an answer are left out."""

    def __init__(self, folder: Path, targets: Sequence[str]) -> None:
        rows = _read(folder)
        lengths = {
            name: np.median([len(p) + len(a) for p, a in own])
            for name, own in rows.items()
            if len(own) >= 100 and name not in targets
        }
        order = sorted(lengths, key=lambda name: (lengths[name], name))
        self.rows, self.targets, self.pool = rows, list(targets), order[:POOLED]
        self.read = [name for name in order[POOLED:] if not self.is_kin(name)][:READ]

    def is_kin(self, name: str) -> bool:
        return any(name.startswith(_family(target)) for target in self.targets)

    def task(self, tokenizer: Any, each: int, seed: int) -> Task:
        """`each` items of every template of the pool; held-back items whose prompt or long answer is in the pool are not used."""
        rng = np.random.default_rng(seed)
        pool: Pairs = []
        for name in self.pool:
            pool += [self.rows[name][i] for i in rng.permutation(len(self.rows[name]))[:each]]
        known = {p for p, _ in pool} | {a for _, a in pool if len(a) > 20}
        held = {t: [r for r in self.rows[t] if not known & set(r)] for t in self.targets}
        parts = {t: [own[i] for i in rng.permutation(len(own))[: WANTED + TESTED]] for t, own in held.items()}
        names = np.repeat(np.arange(POOLED), [min(each, len(self.rows[name])) for name in self.pool])
        return Task(
            encoded(tokenizer, pool),
            encoded(tokenizer, [r for own in parts.values() for r in own[:WANTED]]),
            [encoded(tokenizer, own[WANTED:]) for own in parts.values()],
            names,
            np.repeat(np.arange(len(parts)), WANTED),
            np.array([self.is_kin(self.pool[i]) for i in names]),
        )


def _read(folder: Path) -> dict[str, Pairs]:
    rows: dict[str, Pairs] = defaultdict(list)
    with lzma.open(folder / "self_instruct" / "t0_train_50k.jsonl.xz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            answer = row["completion"].removesuffix(END).strip()
            if answer:
                rows[row["template"]].append((row["prompt"].strip() + "\n", answer))
    return rows


def _family(template: str) -> str:
    """The name of its data set: the first two words."""
    return "_".join(template.split("_", 2)[:2]) + "_"


def encoded(tokenizer: Any, pairs: Pairs) -> Texts:
    return encode_pairs(tokenizer, [p for p, _ in pairs], [a for _, a in pairs], max_length=LENGTH)


def tokenizer_of(texts: list[str]) -> Any:
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=WORDS, special_tokens=[END], show_progress=False)
    words.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END)


def pretrained(templates: Templates, cache: Path, epochs: int = 2) -> tuple[Any, Any]:
    """A tokenizer and a GPT that has read templates of neither the pool nor the target's data sets; both kept in `cache`.

    It comes without dropout: what is seen of it is the same whether it was read or made.
    """
    pairs = [pair for name in templates.read for pair in templates.rows[name][:READ]]
    torch.manual_seed(0)
    size = transformers.GPT2Config(
        vocab_size=WORDS,
        n_positions=LENGTH,
        n_embd=WIDTH,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    size._attn_implementation = "eager"
    tokenizer, model = tokenizer_of([p + a for p, a in pairs]), transformers.GPT2LMHeadModel(size)
    if cache.exists():
        model.load_state_dict(torch.load(cache, weights_only=True))
        return tokenizer, model.eval()
    texts = encoded(tokenizer, pairs)
    whole = Texts(texts.tokens, texts.tokens)  # every token is learnt, the prompts' too
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    fit(model, whole, (np.arange(len(whole)), None), optimiser, steps=epochs * len(whole) // 16, seed=0)
    torch.save(model.state_dict(), cache)
    return tokenizer, model.eval()


def adapted(base: Any, seed: int) -> Any:
    """A copy with LoRA."""
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=8, lora_alpha=32, target_modules=["c_attn", "c_fc"], task_type="CAUSAL_LM", fan_in_fan_out=True
    )
    return get_peft_model(copy.deepcopy(base), lora)


def fit(
    model: Any,
    texts: Texts,
    chosen: tuple[Array, Array | None],
    optimiser: Any,
    *,
    steps: int,
    seed: int,
    batch: int = 16,
    falling: float = 1.0,
) -> None:
    """Train for so many steps on these rows, all in turn or drawn in proportion to weights; the rate falls by the share `falling`."""
    rng, (rows, weights) = np.random.default_rng(seed), chosen
    share = None if weights is None else weights / weights.sum()
    order, first = np.empty(0, np.int64), optimiser.param_groups[0]["lr"]
    for step in range(steps):
        while len(order) < batch:
            drawn = rng.permutation(rows) if share is None else rng.choice(rows, len(rows), p=share)
            order = np.append(order, drawn)
        optimiser.param_groups[0]["lr"] = first * (1 - falling * step / steps)
        optimiser.zero_grad()
        causal_loss(model, texts.batch(order[:batch])).backward()
        optimiser.step()
        order = order[batch:]


def loss_of(model: Any, texts: Texts) -> float:
    """The mean loss of an answer's token."""
    with torch.no_grad():
        return float(causal_loss(model.eval(), texts.batch(np.arange(len(texts)))))
