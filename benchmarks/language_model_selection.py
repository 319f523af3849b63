"""The whole path for a language model: LoRA, gradients, LESS / GIST / pursuit, retrain; the loss on a held-back task.

    python benchmarks/language_model_selection.py DATA [--targets TEMPLATE ...] [--pool 40] [--budgets 0.01 0.05] [--seeds 3]

DATA holds self_instruct (55,185 instructions of 283 templates). One template is held back: 16 of its items say what is wanted,
64 others test it; the pool is `--pool` items of each of the 40 shortest other templates. A small GPT (two layers of 64, random
weights) reads the pool's text first, so that there is something to adapt. Then, by seed: LoRA is warmed up on 5 % of the pool
with three checkpoints, Adam-preconditioned gradients of the pool and plain ones of the 16 are projected to 1,024 numbers and kept
as bytes, each method chooses from the same gradients, and LoRA is trained anew on what was chosen, so many steps for all. The number is
the mean loss of an answer's token on the 64, lower is better; random, the whole pool and no training stand beside.
"""

from __future__ import annotations

import argparse
import json
import lzma
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import transformers
from _measure import markdown
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from curate.scorers.influence import (
    AdamMoments,
    Checkpoint,
    GradientStore,
    Plan,
    Texts,
    adam_moments,
    causal_loss,
    collect_gradients,
    encode_pairs,
    gist,
    less,
    loss_drop,
    select_parameters,
    warm_up_losses,
)
from curate.selectors.pursuit import pursue

Array = npt.NDArray[Any]
LENGTH, WORDS, SEEDED = 96, 1500, 16
END = "<|endoftext|>"
UNCHOSEN = ("no training", "the whole pool")


class Task(NamedTuple):
    pool: Texts
    wanted: Texts
    test: Texts
    kin: Array
    """(n,) whether an item of the pool is of a template of the same data set as the target."""


# --- Data and model -----------------------------------------------------------------------------------------------------


def read(folder: Path) -> dict[str, list[tuple[str, str]]]:
    rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
    with lzma.open(folder / "self_instruct" / "t0_train_50k.jsonl.xz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            rows[row["template"]].append(
                (row["prompt"].strip() + "\n", row["completion"].removesuffix(END).strip())
            )
    return rows


def tokenizer_of(texts: list[str]) -> Any:
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=WORDS, special_tokens=[END], show_progress=False)
    words.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END)


def make_task(rows: dict[str, list[tuple[str, str]]], target: str, each: int, seed: int) -> tuple[Task, Any]:
    rng = np.random.default_rng(seed)
    length = {
        name: np.median([len(p) + len(a) for p, a in pairs])
        for name, pairs in rows.items()
        if len(pairs) >= 100
    }
    names = sorted((n for n in length if n != target), key=lambda n: (length[n], n))[:40]
    family = target[: len(target) - len(target.split("_", 2)[-1])]
    pool, kin = [], []
    for name in names:
        chosen = rng.permutation(len(rows[name]))[:each]
        pool += [rows[name][i] for i in chosen]
        kin += [name.startswith(family)] * len(chosen)
    held = [rows[target][i] for i in rng.permutation(len(rows[target]))[: SEEDED + 64]]
    tokenizer = tokenizer_of([p + a for p, a in pool])

    def texts(pairs: list[tuple[str, str]]) -> Texts:
        return encode_pairs(tokenizer, [p for p, _ in pairs], [a for _, a in pairs], max_length=LENGTH)

    return Task(texts(pool), texts(held[:SEEDED]), texts(held[SEEDED:]), np.array(kin)), tokenizer


def pretrain(task: Task, epochs: int = 3) -> Any:
    torch.manual_seed(0)
    size = transformers.GPT2Config(
        vocab_size=WORDS, n_positions=LENGTH, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
    )
    size._attn_implementation = "eager"
    model = transformers.GPT2LMHeadModel(size)
    whole = Texts(task.pool.tokens, task.pool.tokens)  # every token is learnt, the prompts' too
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    fit(model, whole, np.arange(len(whole)), optimiser, steps=epochs * len(whole) // 16, seed=0)
    return model


def adapted(base: Any, seed: int) -> Any:
    import copy

    torch.manual_seed(seed)
    lora = LoraConfig(
        r=8, lora_alpha=32, target_modules=["c_attn", "c_fc"], task_type="CAUSAL_LM", fan_in_fan_out=True
    )
    return get_peft_model(copy.deepcopy(base), lora)


def fit(
    model: Any, texts: Texts, rows: Array, optimiser: Any, *, steps: int, seed: int, batch: int = 16
) -> None:
    """Train for so many steps on these rows, shuffled anew whenever all were seen, the rate falling to 0."""
    rng, order = np.random.default_rng(seed), np.empty(0, np.int64)
    first = optimiser.param_groups[0]["lr"]
    for step in range(steps):
        while len(order) < batch:
            order = np.append(order, rng.permutation(rows))
        optimiser.param_groups[0]["lr"] = first * (1 - step / steps)
        optimiser.zero_grad()
        causal_loss(model, texts.batch(order[:batch])).backward()
        optimiser.step()
        order = order[batch:]


def test_loss(model: Any, texts: Texts) -> float:
    with torch.no_grad():
        return float(causal_loss(model.eval(), texts.batch(np.arange(len(texts)))))


# --- Gradients ----------------------------------------------------------------------------------------------------------


def warm_up(base: Any, task: Task, seed: int, epochs: int = 3) -> tuple[Any, list[Checkpoint]]:
    """LoRA on 5 % of the pool, a checkpoint after each epoch."""
    model = adapted(base, seed)
    rows = np.random.default_rng(seed).permutation(len(task.pool))[: max(32, len(task.pool) // 20)]
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    named, points = select_parameters(model), []
    for epoch in range(epochs):
        rate = 2e-3 * (1 - epoch / epochs)
        optimiser.param_groups[0]["lr"] = rate
        fit(model, task.pool, rows, optimiser, steps=max(4, len(rows) // 8), seed=seed + epoch, batch=8)
        kept = adam_moments(optimiser.state_dict(), named)
        moments = AdamMoments(*({n: t.clone() for n, t in m.items()} for m in (kept.first, kept.second)))
        points.append(Checkpoint({n: p.detach().clone() for n, p in named.items()}, rate, moments))
    return model, points


def gradients(
    model: Any, task: Task, points: list[Checkpoint], folder: Path
) -> tuple[str, GradientStore, GradientStore, GradientStore, GradientStore]:
    plan = Plan(dim=1024, precision="int8", batch_size=16)
    plain = [Checkpoint(p.values, p.rate) for p in points]
    options: dict[str, Any] = {"loss": causal_loss, "plan": plan}
    train = collect_gradients(
        model, task.pool.batch, folder / "train", rows=len(task.pool), checkpoints=points, **options
    )
    aim = collect_gradients(
        model, task.wanted.batch, folder / "aim", rows=SEEDED, checkpoints=plain, **options
    )
    own = collect_gradients(
        model, task.pool.batch, folder / "plain", rows=len(task.pool), checkpoints=plain[-1:], **options
    )
    aim_last = collect_gradients(
        model, task.wanted.batch, folder / "last", rows=SEEDED, checkpoints=plain[-1:], **options
    )
    return train.method, train.store, aim.store, own.store, aim_last.store


def rankings(
    base: Any, task: Task, seed: int, folder: Path, most: int
) -> tuple[dict[str, Array], dict[str, float], str]:
    """Rows of the pool, best first, by method; and the CPU seconds of each choice."""
    start = time.process_time()
    model, points = warm_up(base, task, seed)
    method, train, aim, own, aim_last = gradients(model, task, points, folder)
    seconds = {"warm-up and gradients": time.process_time() - start}
    rates = np.array(train.header.rates) / sum(train.header.rates)
    mean = aim.to_numpy().reshape(SEEDED, len(rates), -1).mean(0).reshape(-1)

    def drop() -> Array:
        both = Texts([*task.pool.tokens, *task.wanted.tokens], [*task.pool.labels, *task.wanted.labels])
        target = list(range(len(task.pool), len(both)))
        fresh = adapted(base, seed)
        pair = warm_up_losses(
            fresh, both.batch, rows=len(both), target=target, loss=causal_loss, steps=20, learning_rate=2e-3
        )
        return np.argsort(-loss_drop(*pair)[: len(task.pool)], kind="stable")

    def best(score: Array) -> Array:
        return np.argsort(-score, kind="stable")

    choices = {
        "random": lambda: np.random.default_rng(seed + 50).permutation(len(task.pool)),
        "top-k LESS": lambda: best(less(train, aim).score),
        "top-k GIST": lambda: best(gist(own, aim_last, rank=8).score),
        "top-k loss drop": drop,
        "pursuit (GTP)": lambda: pursue(train, mean, most, rates=list(rates)).index,
    }
    found = {}
    for name, choose in choices.items():
        start = time.process_time()
        found[name] = choose()
        seconds[name] = time.process_time() - start
    return found, seconds, method


def retrained(base: Any, task: Task, rows: Array, seed: int, steps: int) -> float:
    model = adapted(base, seed + 900)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    fit(model, task.pool, rows, optimiser, steps=steps, seed=seed)
    return test_loss(model, task.test)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", nargs="+", default=["common_gen_Given_concepts_type_2"])
    parser.add_argument("--pool", type=int, default=40)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.01, 0.02, 0.05, 0.1])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = read(given.data)
    for target in given.targets:
        results: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        shares: dict[str, list[float]] = defaultdict(list)
        spent: dict[str, list[float]] = defaultdict(list)
        for seed in range(given.seeds):
            task, _ = make_task(rows, target, given.pool, seed)
            base = pretrain(task)
            size = len(task.pool)
            with tempfile.TemporaryDirectory() as folder:
                most = round(max(given.budgets) * size)
                chosen, seconds, method = rankings(base, task, seed, Path(folder), most)
            for name, value in seconds.items():
                spent[name].append(value)
            results["no training"][0].append(test_loss(base, task.test))
            results["the whole pool"][1].append(retrained(base, task, np.arange(size), seed, given.steps))
            for name, order in chosen.items():
                shares[name].append(float(task.kin[order[: round(0.05 * size)]].mean()))
                for budget in given.budgets:
                    k = max(1, round(budget * size))
                    results[name][budget].append(retrained(base, task, order[:k], seed, given.steps))
            report(
                target, size, method, given.budgets, results, shares, spent
            )  # after each seed: it takes its time


def report(
    target: str, size: int, method: str, budgets: list[float], results: Any, shares: Any, spent: Any
) -> None:
    def told(values: list[float]) -> str:
        spread = f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
        return f"{np.mean(values):.3f}{spread}"

    flat = {name: told(next(iter(results[name].values()))) for name in UNCHOSEN}
    print(
        f"\n**{target}**, pool of {size}, gradients by {method}: loss without training {flat['no training']}, ",
        end="",
    )
    print(
        f"trained on the whole pool {flat['the whole pool']} (mean ± standard error, {len(spent['random'])} seeds)\n"
    )
    header = (
        "method",
        *(f"{b:.0%}" for b in budgets),
        "of the target's data set among the first 5 %",
        "CPU-s to choose",
    )
    table = [
        (
            name,
            *(told(found[b]) for b in budgets),
            f"{np.mean(shares[name]):.0%}",
            f"{np.mean(spent[name]):.1f}",
        )
        for name, found in results.items()
        if name not in UNCHOSEN
    ]
    print(markdown(header, table))
    print(f"\nWarm-up and gradients: {np.mean(spent['warm-up and gradients']):.0f} CPU-s.", flush=True)


if __name__ == "__main__":
    main()
