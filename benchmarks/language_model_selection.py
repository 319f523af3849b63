"""The whole path for a language model: LoRA, gradients, selection, retraining; the loss on tasks that were held back.

    python benchmarks/language_model_selection.py DATA [--targets TEMPLATE ...] [--pool 30] [--budgets 0.005 ... 0.1] [--seeds 5] [--out FILE]

DATA holds self_instruct (55,185 instructions of 283 templates of T0). The templates `--targets` are held back, each a sub-task: 16 of
its items say what is wanted, 64 others test; the pool is `--pool` items of each of the 40 shortest other templates, the same data
sets' other templates among them. A small GPT (two layers of 64, random weights) first reads 60 items of each of the
60 next templates, none of them of those data sets. Then, by seed: LoRA is warmed up on 5 % of the pool with three checkpoints, Adam-preconditioned gradients of the pool and plain
ones of the wanted items (preconditioned, too, to tell what these would be as items of the pool) are projected to 1,024 numbers and kept as bytes, each method chooses from the same gradients, and LoRA is
trained anew on what was chosen, as many steps for all; a method's weights say how often an item is drawn. Of six moments of that
training the one with the lowest loss on the wanted items counts. The number is the mean loss of an answer's token, averaged over the
held-back templates, lower is better; random, the whole pool (three times as many steps) and no training stand beside. What is
finished is kept in FILE, and gradients beside it: the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from _cells import WHOLE, Cells, Report, leads, reaches, table
from _language_pool import Task, Templates, adapted, fit, loss_of, pretrained
from _target_methods import GTPS, METHODS, RIVALS, Seen, choose

from curate.scorers.influence import (
    AdamMoments,
    Checkpoint,
    Plan,
    Texts,
    adam_moments,
    causal_loss,
    collect_gradients,
    loss_drop,
    select_parameters,
    warm_up_losses,
)

Array = npt.NDArray[Any]
NONE = "no training"
TARGETS = (
    "common_gen_Given_concepts_type_2",
    "rotten_tomatoes_Movie_Expressed_Sentiment",
    "glue_qqp_duplicate",
    "social_i_qa_I_was_wondering",
)
DIM, RATE, STEPS, LOOKS = 1024, 3e-3, 36, 6
UNUSED = ("GTP, one target, lengths kept",)
"""Gradients are kept at length 1."""


class Setting(NamedTuple):
    """What all seeds share."""

    templates: Templates
    tokenizer: Any
    base: Any
    each: int
    budgets: list[float]
    methods: list[str]
    cells: Cells
    name: str


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
        steps = max(4, len(rows) // 8)
        fit(model, task.pool, (rows, None), optimiser, steps=steps, seed=seed + epoch, batch=8)
        kept = adam_moments(optimiser.state_dict(), named)
        moments = AdamMoments(*({n: t.clone() for n, t in m.items()} for m in (kept.first, kept.second)))
        points.append(Checkpoint({n: p.detach().clone() for n, p in named.items()}, rate, moments))
    return model, points


def look(setting: Setting, task: Task, seed: int) -> Seen:
    """What the methods may see."""
    model, points = warm_up(setting.base, task, seed)
    plain = [Checkpoint(p.values, p.rate) for p in points]
    plan = Plan(dim=DIM, precision="int8", batch_size=16)

    def gradients(texts: Texts, at: list[Checkpoint]) -> Array:
        with tempfile.TemporaryDirectory() as folder:
            found = collect_gradients(
                model, texts.batch, folder, rows=len(texts), loss=causal_loss, checkpoints=at, plan=plan
            )
            return found.store.to_numpy().astype(np.float32)

    train, wanted = gradients(task.pool, points), gradients(task.wanted, plain)
    own, last = gradients(task.pool, plain[-1:]), wanted[:, -DIM:]
    rates = np.array([p.rate for p in points])
    return Seen(
        train,
        wanted,
        own,
        last,
        DIM,
        task.templates,
        task.tasks,
        embedded(setting.base, task.pool),
        embedded(setting.base, task.wanted),
        dropped(setting.base, task, seed),
        seed,
        tuple(rates / rates.mean()),
        gradients(task.wanted, points),
    )


def kept_or_made(path: Path, make: Callable[[], Seen]) -> Seen:
    if not path.exists():
        np.savez(path, **make()._asdict())
    with np.load(path) as file:
        seen = Seen(**file)
    return seen._replace(dim=int(seen.dim), seed=int(seen.seed), rates=tuple(seen.rates))


def embedded(base: Any, texts: Texts) -> Array:
    """The mean of the last layer over a text's tokens, at length 1."""
    rows = []
    with torch.inference_mode():
        for tokens in texts.tokens:
            found = base.transformer(torch.from_numpy(tokens)[None]).last_hidden_state[0].mean(0)
            rows.append((found / found.norm()).numpy())
    return np.stack(rows)


def dropped(base: Any, task: Task, seed: int) -> Array:
    """By what share the loss of each item of the pool falls where LoRA learns the wanted items for 20 steps."""
    both = Texts([*task.pool.tokens, *task.wanted.tokens], [*task.pool.labels, *task.wanted.labels])
    target = list(range(len(task.pool), len(both)))
    pair = warm_up_losses(
        adapted(base, seed),
        both.batch,
        rows=len(both),
        target=target,
        loss=causal_loss,
        steps=20,
        learning_rate=2e-3,
    )
    return loss_drop(*pair)[: len(task.pool)]


# --- Measuring ----------------------------------------------------------------------------------------------------------


def retrained(base: Any, task: Task, chosen: tuple[Array, Array | None], seed: int, steps: int) -> float:
    """The test loss at that of a few moments at which the wanted items have the lowest."""
    model = adapted(base, seed + 900)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
    best, found = np.inf, np.nan
    for moment in range(LOOKS):
        optimiser.param_groups[0]["lr"] = RATE * (1 - moment / LOOKS)
        fit(
            model.train(),
            task.pool,
            chosen,
            optimiser,
            steps=steps // LOOKS,
            seed=seed * LOOKS + moment,
            falling=1 / (LOOKS - moment),
        )
        wanted = loss_of(model, task.wanted)
        if wanted < best:
            best, found = wanted, test_loss(model, task)
    return found


def test_loss(model: Any, task: Task) -> float:
    return float(np.mean([loss_of(model, texts) for texts in task.tests]))


def run_seed(setting: Setting, seed: int) -> None:
    """All methods at all budgets, into the cells."""
    cells, name = setting.cells, setting.name
    left = {b: cells.missing(name, seed, b, setting.methods) for b in setting.budgets}
    if not any(left.values()) and not cells.missing(name, seed, 1.0, [WHOLE]):
        return
    task = setting.templates.task(setting.tokenizer, setting.each, seed)
    if cells.missing(name, seed, 1.0, [WHOLE]):
        everything = np.arange(len(task.pool)), None
        kin = float(task.kin.mean())
        cells.add((name, seed, 0.0, NONE), value=test_loss(setting.base, task), kin=0.0)
        found = retrained(setting.base, task, everything, seed, 3 * STEPS)
        cells.add((name, seed, 1.0, WHOLE), value=found, kin=kin)
    start = time.process_time()
    seen = kept_or_made(cells.path.with_suffix(f".{seed}.npz"), lambda: look(setting, task, seed))
    print(f"{name}: gradients of seed {seed}, {time.process_time() - start:.0f} CPU s", flush=True)
    for budget, methods in left.items():
        for method in methods:
            start = time.process_time()
            rows, weights = choose(method, seen, max(1, round(budget * len(task.pool))))
            took = time.process_time() - start
            plain = bool((weights == weights[0]).all())
            loss = retrained(setting.base, task, (rows, None if plain else weights), seed, STEPS)
            kin = float(task.kin[rows].mean())
            cells.add((name, seed, budget, method), value=loss, kin=kin, seconds=took)


def told(setting: Setting, seeds: int) -> str:
    report = Report(setting.cells, setting.name, seeds, setting.budgets, scale=1.0, digits=3, lower=True)
    whole, none = report.told(report.series(1.0, WHOLE)), report.told(report.series(0.0, NONE))
    head = f"{setting.name}, {seeds} seeds; loss without training {none}, after training on the whole pool {whole}"
    parts = [head, table(report, setting.methods, "loss")]
    ours = [name for name in setting.methods if name in GTPS]
    known = {called: [n for n in names if n in setting.methods] for called, names in RIVALS.items()}
    if ours and all(known.values()):
        parts += [leads(report, ours, known), reaches(report, ours)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--pool", type=int, default=30)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.005, 0.01, 0.02, 0.05, 0.1])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    templates = Templates(given.data, given.targets)
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch) / "cells.jsonl"
        tokenizer, base = pretrained(templates, out.with_suffix(".pt"))
        methods = given.methods or [name for name in METHODS if name not in UNUSED]
        name = "+".join(given.targets)
        setting = Setting(templates, tokenizer, base, given.pool, given.budgets, methods, Cells(out), name)
        for seed in range(given.seeds):
            run_seed(setting, seed)
            print(told(setting, seed + 1), flush=True)  # after each seed: it takes its time


if __name__ == "__main__":
    main()
